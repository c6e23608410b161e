#include "sys/where_it_leads.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/mount_table.h"
#include "sys/files.h"

namespace warder {
namespace {

constexpr int most_symlinks = 40;

// nullopt: no symlink, or nothing at all.
std::optional<std::string> target_of_link(const std::string& path) {
    std::array<char, PATH_MAX> target;
    const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
    if (size <= 0) return std::nullopt;
    return std::string(target.data(), static_cast<std::size_t>(size));
}

// "a" of "a/b/c", which it is taken from; empty at the end.
std::string take_name(std::string& rest) {
    rest.erase(0, std::min(rest.find_first_not_of('/'), rest.size()));
    const auto end = std::min(rest.find('/'), rest.size());
    std::string name = rest.substr(0, end);
    rest.erase(0, end);
    return name;
}

// ---- A way that is gone name by name ----

struct Way {
    Fd at;
    std::string rest;
    int links = 0;
};

Result<Fd> beginning_of(const std::string& path) {
    Fd at(::open(path.starts_with('/') ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!at) return failure("open");
    return at;
}

struct Kind {
    bool directory = false;
    bool symlink = false;
    uid_t owner = 0;
};

// From what the kernel has in memory.
Result<Kind> kind_of(int fd) {
    struct statx about;
    constexpr int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (::statx(fd, "", flags, STATX_TYPE | STATX_UID, &about) != 0) return failure("statx");
    return Kind{S_ISDIR(about.stx_mode), S_ISLNK(about.stx_mode), about.stx_uid};
}

Result<void> follow(Way& way, int link, uid_t owner, std::uint64_t also) {
    if (::getuid() == 0 && owner != 0) return failure(EPERM, "following a symlink that is not root's");
    if (++way.links > most_symlinks) return failure(ELOOP, "following symlinks");
    if ((also & RESOLVE_CACHED) != 0) {
        const auto type = file_system_in_memory(link);
        if (!type || !is_local(*type)) return failure(EAGAIN, "reading a symlink");
    }
    std::array<char, PATH_MAX> text;
    const ssize_t size = ::readlinkat(link, "", text.data(), text.size());
    if (size < 0) return failure("readlinkat");
    const std::string target(text.data(), static_cast<std::size_t>(size));
    if (target.starts_with('/')) way.at = TRY(beginning_of(target));
    way.rest = target + way.rest;   // which begins with a slash, or is empty
    return {};
}

// What the umask took away is given back, unless somebody has put another directory in its place.
Result<Fd> make_directory(int parent, const std::string& name, mode_t mode) {
    if (::mkdirat(parent, name.c_str(), mode) != 0 && errno != EEXIST) return failure("mkdirat");
    Fd made = TRY(open_at(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH));
    struct stat about;
    if (::fstat(made.get(), &about) != 0) return failure("fstat");
    const mode_t has = about.st_mode & 0777;
    const bool cut = about.st_uid == ::geteuid() && has != mode && (has & ~mode) == 0;
    if (cut && ::fchmod(made.get(), mode | (about.st_mode & S_ISGID)) != 0) return failure("fchmod");
    return made;
}

// `making`: the mode of what is absent and is to be made.
Result<Fd> go(const std::string& path, std::uint64_t also, std::optional<mode_t> making) {
    Way way{TRY(beginning_of(path)), path};
    for (std::string name = take_name(way.rest); !name.empty(); name = take_name(way.rest)) {
        auto next = open_at(way.at.get(), name.c_str(), O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_MAGICLINKS | also);
        if (!next && next.error().number == ENOENT && making) next = make_directory(way.at.get(), name, *making);
        if (!next) return next;
        const Kind kind = TRY(kind_of(next->get()));
        if (kind.symlink) {
            TRY(follow(way, next->get(), kind.owner, also));
        } else if (!kind.directory) {
            return failure(ENOTDIR, "openat2");
        } else {
            way.at = std::move(*next);
        }
    }
    return std::move(way.at);
}

}  // namespace

// `at` is free of symlinks; `rest` is still to be walked from there. A name's mount is looked up before the name is.
std::string mount_type_behind(std::string_view mountinfo, std::string_view path) {
    const auto theirs = mount_points_of_others(mountinfo);
    if (theirs.empty()) return mount_type_of(mountinfo, path);
    std::string at;
    std::string rest(path);
    int links = 0;
    for (std::string name = take_name(rest); !name.empty(); name = take_name(rest)) {
        if (name == ".") continue;
        if (name == "..") {
            at.erase(std::min(at.rfind('/'), at.size()));
            continue;
        }
        const std::string next = at + "/" + name;
        const bool perhaps = std::ranges::any_of(theirs, [&next](const auto& point) { return lies_in(point, next); });
        const std::string type = perhaps ? mount_type_of(mountinfo, next) : std::string();
        if (answered_by_others(type)) return type;
        const auto target = target_of_link(next);
        if (target && ++links > most_symlinks) break;
        if (target && target->starts_with('/')) at.clear();
        if (target) rest = *target + rest;   // rest begins with a slash, or is empty
        if (!target) at = next;
    }
    return mount_type_of(mountinfo, at.empty() ? "/" : at);
}

Result<Fd> open_directory_as_root(const std::string& path, std::uint64_t also) {
    constexpr std::uint64_t no_symlinks = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
    auto straight = open_at(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY, 0, no_symlinks | also);
    if (straight || straight.error().number != ELOOP) return straight;
    return go(path, also, std::nullopt);
}

Result<Fd> made_directory_as_root(const std::string& path, mode_t mode) { return go(path, 0, mode); }

Result<void> make_directories(const std::string& path, mode_t mode) {
    TRY(made_directory_as_root(path, mode));
    return {};
}

}  // namespace warder
