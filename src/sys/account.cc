#include "sys/account.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>

namespace warder {
namespace {

constexpr std::size_t first_size = 1024;
constexpr std::size_t largest_size = 1 << 20;   // a group with many members

// Calls `lookup(entry, buffer, size, &found)` with a buffer that grows until the entry fits.
template <typename Entry, typename Lookup, typename Use>
auto with_entry(Lookup lookup, Use use, const char* doing) -> Result<decltype(use(std::declval<const Entry&>()))> {
    for (std::size_t size = first_size; size <= largest_size; size *= 2) {
        std::vector<char> buffer(size);
        Entry entry{};
        Entry* found = nullptr;
        const int error = lookup(&entry, buffer.data(), buffer.size(), &found);
        if (error == ERANGE) continue;
        if (error != 0) return failure(error, doing);
        if (!found) return failure(ENOENT, doing);
        return use(*found);
    }
    return failure(ERANGE, doing);
}

std::vector<gid_t> groups_of(const char* name, gid_t own) {
    int count = 32;
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    while (::getgrouplist(name, own, groups.data(), &count) < 0) groups.resize(static_cast<std::size_t>(count));
    groups.resize(static_cast<std::size_t>(count));
    std::erase(groups, own);
    return groups;
}

Account account_of(const passwd& entry) {
    return {entry.pw_name, entry.pw_uid, entry.pw_gid, groups_of(entry.pw_name, entry.pw_gid)};
}

}  // namespace

Result<Account> find_user(const std::string& name) {
    const auto lookup = [&](passwd* entry, char* buffer, std::size_t size, passwd** found) {
        return ::getpwnam_r(name.c_str(), entry, buffer, size, found);
    };
    return with_entry<passwd>(lookup, account_of, "finding a user");
}

Result<Account> find_user(uid_t uid) {
    const auto lookup = [&](passwd* entry, char* buffer, std::size_t size, passwd** found) {
        return ::getpwuid_r(uid, entry, buffer, size, found);
    };
    return with_entry<passwd>(lookup, account_of, "finding a user");
}

Result<gid_t> find_group(const std::string& name) {
    const auto lookup = [&](group* entry, char* buffer, std::size_t size, group** found) {
        return ::getgrnam_r(name.c_str(), entry, buffer, size, found);
    };
    return with_entry<group>(lookup, [](const group& entry) { return entry.gr_gid; }, "finding a group");
}

std::string user_name(uid_t uid) {
    const auto user = find_user(uid);
    return user ? user->name : std::to_string(uid);
}

std::string group_name(gid_t gid) {
    const auto lookup = [&](group* entry, char* buffer, std::size_t size, group** found) {
        return ::getgrgid_r(gid, entry, buffer, size, found);
    };
    const auto use = [](const group& entry) { return std::string(entry.gr_name); };
    const auto name = with_entry<group>(lookup, use, "finding a group");
    return name ? *name : std::to_string(gid);
}

}  // namespace warder
