// The real machine behind Lookup.
#include <grp.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "base/mount_table.h"
#include "config/check.h"
#include "policy/path.h"
#include "sys/own_limits.h"
#include "sys/path_walk.h"

namespace warder::config {
namespace {

struct MagicName {
    unsigned long magic;
    const char* name;
};

// File systems that are the kernel's own doors. No file of them is lent.
constexpr std::array<MagicName, 9> kernel_filesystems{{
    {PROC_SUPER_MAGIC, "proc"},
    {SYSFS_MAGIC, "sysfs"},
    {CGROUP_SUPER_MAGIC, "cgroup"},
    {CGROUP2_SUPER_MAGIC, "cgroup2"},
    {DEBUGFS_MAGIC, "debugfs"},
    {TRACEFS_MAGIC, "tracefs"},
    {SECURITYFS_MAGIC, "securityfs"},
    {BPF_FS_MAGIC, "bpf"},
    {SELINUX_MAGIC, "selinuxfs"},
}};

std::optional<std::uint32_t> parse_id(const std::string& text) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool number = error == std::errc{} && end == text.data() + text.size() && value != UINT32_MAX;
    return number ? std::optional(value) : std::nullopt;
}

// Calls `ask(entry, buffer, size, &found)` with ever larger buffers, as getpwnam_r(3) wants.
template <typename Entry, typename Ask>
bool find_entry(Entry& entry, std::string& buffer, const Ask& ask) {
    for (std::size_t size = 1024; size <= (1U << 20); size *= 4) {
        buffer.resize(size);
        Entry* found = nullptr;
        const int error = ask(&entry, buffer.data(), buffer.size(), &found);
        if (error == 0) return found != nullptr;
        if (error != ERANGE && error != EINTR) return false;
    }
    return false;
}

std::optional<Account> find_user(const std::string& name) {
    passwd entry{};
    std::string buffer;
    const bool named = find_entry(entry, buffer, [&](passwd* into, char* text, std::size_t size, passwd** found) {
        return getpwnam_r(name.c_str(), into, text, size, found);
    });
    if (named) return Account{entry.pw_uid, entry.pw_gid};
    // A number that nobody has in the user database is a user all the same, in the group of that number.
    const auto uid = parse_id(name);
    if (!uid) return std::nullopt;
    const bool known = find_entry(entry, buffer, [&](passwd* into, char* text, std::size_t size, passwd** found) {
        return getpwuid_r(*uid, into, text, size, found);
    });
    return Account{*uid, known ? entry.pw_gid : *uid};
}

std::optional<gid_t> find_group(const std::string& name) {
    group entry{};
    std::string buffer;
    const bool named = find_entry(entry, buffer, [&](group* into, char* text, std::size_t size, group** found) {
        return getgrnam_r(name.c_str(), into, text, size, found);
    });
    return named ? std::optional(entry.gr_gid) : parse_id(name);
}

// Of the path itself, or of its nearest ancestor that exists.
std::string kernel_filesystem_of(std::string_view path) {
    struct statfs facts{};
    while (statfs(std::string(path).c_str(), &facts) != 0) {
        if (path.size() <= 1) return {};
        path = policy::directory_of(path);
    }
    for (const auto& entry : kernel_filesystems) {
        if (entry.magic == static_cast<unsigned long>(facts.f_type)) return entry.name;
    }
    return {};
}

PathFacts::Type type_of(mode_t mode) {
    if (S_ISREG(mode)) return PathFacts::Type::file;
    return S_ISDIR(mode) ? PathFacts::Type::directory : PathFacts::Type::other;
}

bool not_permitted(const Result<Fd>& way) { return !way && way.error().number == EPERM; }

PathFacts look_at(const std::string& mountinfo, const std::string& path) {
    PathFacts facts;
    if (path.empty()) return facts;
    facts.answered_by = mount_behind(mountinfo, path).type;
    if (answered_by_others(facts.answered_by)) {
        facts.type = PathFacts::Type::unknown;
        return facts;
    }
    facts.kernel_filesystem = kernel_filesystem_of(path);
    facts.led_by_another = not_permitted(open_directory_as_root(path));
    facts.led_astray = not_permitted(open_to_show(path));
    struct stat found{};
    if (stat(path.c_str(), &found) != 0) {
        facts.error = errno;
        return facts;
    }
    facts.type = type_of(found.st_mode);
    facts.executable = (found.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0;
    return facts;
}

std::uint64_t descriptor_limit() {
    const rlim_t limit = own_descriptor_limit();
    return limit != RLIM_INFINITY ? limit : 0;
}

}  // namespace

Lookup host_lookup() {
    const auto path = [table = mount_table()](const std::string& at) { return look_at(table, at); };
    return {find_user, find_group, path, descriptor_limit()};
}

}  // namespace warder::config
