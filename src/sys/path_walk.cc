#include "sys/path_walk.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "sys/files.h"

namespace warder {
namespace {

constexpr int max_symlinks = 40;
constexpr std::size_t max_mounts = 16 << 20;   // bytes of the table

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

// ---- A way that is gone name by name. Without the heap: also by a child of ours between fork and exec ----

// For whom, once a name is another's word.
struct Handing {
    Privileges& privileges;
    const Identity& whom;
};

struct WalkOptions {
    std::uint64_t also = 0;              // further RESOLVE bits
    std::optional<mode_t> making = {};   // the mode of what is absent and is to be made
    bool any_kind = false;               // the end need not be a directory, and may be led to by a symlink of its owner
    bool by_kernel = false;              // as the kernel leads, behind root: its links lie in its own file systems
    Handing* handing = nullptr;          // whose permissions count where root's directories end
};

struct PathWalk {
    Fd at;
    std::array<char, 2 * PATH_MAX> rest;   // ends with 0
    std::size_t begin = 0;
    int links = 0;
    std::optional<uid_t> led_by;           // the owner of the symlinks that are not root's
    bool handed = false;                   // no longer with root's permissions

    Result<void> put_before_rest(std::string_view target);
    const char* take_name();
    bool at_end() const { return rest[begin] == 0; }
};

Result<void> PathWalk::put_before_rest(std::string_view target) {
    const std::string_view left(rest.data() + begin);
    if (target.size() + 1 + left.size() + 1 > rest.size()) return failure(ENAMETOOLONG, "following symlinks");
    std::memmove(rest.data() + target.size() + 1, left.data(), left.size() + 1);
    std::memcpy(rest.data(), target.data(), target.size());
    rest[target.size()] = '/';
    begin = 0;
    return {};
}

// The next one, which stays where it is; nullptr at the end.
const char* PathWalk::take_name() {
    while (rest[begin] == '/') ++begin;
    if (at_end()) return nullptr;
    const char* name = rest.data() + begin;
    while (!at_end() && rest[begin] != '/') ++begin;
    while (rest[begin] == '/') rest[begin++] = 0;
    return name;
}

Fd beginning_of(std::string_view path) {
    return Fd(::open(path.starts_with('/') ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

struct Kind {
    bool symlink = false;
    uid_t owner = 0;
};

// From what the kernel has in memory.
Result<Kind> kind_of(int fd) {
    struct statx about;
    constexpr int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (::statx(fd, "", flags, STATX_TYPE | STATX_UID, &about) != 0) return failure("statx");
    return Kind{S_ISLNK(about.stx_mode), about.stx_uid};
}

Failure not_roots() { return failure(EPERM, "following a symlink that is not root's"); }

// Without root, and of whom the way is for, the kernel's own permissions decide.
bool may_lead(PathWalk& walk, uid_t owner, const WalkOptions& options) {
    if (::getuid() != 0 || owner == 0 || walk.handed) return true;
    if (!options.any_kind || walk.led_by.value_or(owner) != owner) return false;
    walk.led_by = owner;
    return true;
}

Result<void> hand_over(PathWalk& walk, const WalkOptions& options) {
    TRY(options.handing->privileges.become(options.handing->whom));
    walk.handed = true;
    return {};
}

Result<void> follow(PathWalk& walk, int link, uid_t owner, const WalkOptions& options) {
    if (options.handing != nullptr && !walk.handed && owner != 0) TRY(hand_over(walk, options));
    if (!may_lead(walk, owner, options)) return not_roots();
    if (++walk.links > max_symlinks) return failure(ELOOP, "following symlinks");
    if ((options.also & RESOLVE_CACHED) != 0) {
        const auto type = file_system_in_memory(link);
        if (!type || !is_local(*type)) return failure(EAGAIN, "reading a symlink");
    }
    std::array<char, PATH_MAX> text;
    const ssize_t size = ::readlinkat(link, "", text.data(), text.size());
    if (size < 0) return failure("readlinkat");
    const std::string_view target(text.data(), static_cast<std::size_t>(size));
    if (target.starts_with('/')) walk.at = beginning_of(target);
    if (!walk.at) return failure("open");
    return walk.put_before_rest(target);
}

// What the umask took away is given back, unless somebody has put another directory in its place.
Result<Fd> make_directory(int parent, const char* name, mode_t mode) {
    if (::mkdirat(parent, name, mode) != 0 && errno != EEXIST) return failure("mkdirat");
    Fd made = TRY(open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH));
    struct stat about;
    if (::fstat(made.get(), &about) != 0) return failure("fstat");
    const mode_t has = about.st_mode & 0777;
    const bool cut = about.st_uid == ::geteuid() && has != mode && (has & ~mode) == 0;
    if (cut && ::fchmod(made.get(), mode | (about.st_mode & S_ISGID)) != 0) return failure("fchmod");
    return made;
}

bool lies_in_kernel_view(int fd) {
    const auto type = file_system_of(fd);
    return type && is_kernel_view(*type);
}

// A name that is no directory: a symlink, or the end.
Result<void> pass(PathWalk& walk, const char* name, const WalkOptions& options) {
    Fd other = TRY(open_at(walk.at.get(), name, O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_MAGICLINKS | options.also));
    const Kind kind = TRY(kind_of(other.get()));
    if (kind.symlink && options.by_kernel && !walk.led_by && lies_in_kernel_view(other.get())) {
        walk.at = TRY(open_at(walk.at.get(), name, O_PATH, 0, 0));
        return {};
    }
    if (kind.symlink) return follow(walk, other.get(), kind.owner, options);
    if (!options.any_kind || !walk.at_end()) return failure(ENOTDIR, "openat2");
    walk.at = std::move(other);
    return {};
}

// O_DIRECTORY lets what mounts itself do so.
Result<void> step(PathWalk& walk, const char* name, const WalkOptions& options) {
    if (options.handing != nullptr && !walk.handed && !names_are_roots(walk.at.get())) TRY(hand_over(walk, options));
    auto next = open_at(walk.at.get(), name, O_PATH | O_NOFOLLOW | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS | options.also);
    if (!next && next.error().number == ENOENT && options.making) next = make_directory(walk.at.get(), name, *options.making);
    if (!next && next.error().number == ENOTDIR) return pass(walk, name, options);
    if (!next) return Failure(next.error());
    walk.at = std::move(*next);
    return {};
}

// What proc(5) has of a process belongs to its user, and is no file of theirs.
bool belongs_to(int fd, uid_t owner) {
    const auto kind = kind_of(fd);
    const auto type = file_system_of(fd);
    return kind && kind->owner == owner && type && !is_kernel_view(*type);
}

Result<Fd> go(std::string_view path, const WalkOptions& options) {
    PathWalk walk;
    walk.at = beginning_of(path);
    if (!walk.at) return failure("open");
    walk.rest[0] = 0;
    TRY(walk.put_before_rest(path));
    while (const char* name = walk.take_name()) TRY(step(walk, name, options));
    if (walk.led_by && !belongs_to(walk.at.get(), *walk.led_by)) return not_roots();
    return std::move(walk.at);
}

}  // namespace

std::string mount_table() { return read_file("/proc/self/mountinfo", max_mounts).value_or(std::string()); }

// `at` is free of symlinks; `rest` is still to be walked from there. A name's mount is looked up before the name is.
Mount mount_behind(std::string_view mountinfo, std::string_view path) {
    const auto theirs = mount_points_of_others(mountinfo);
    if (theirs.empty()) return mount_of(mountinfo, path);
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
        Mount mount = perhaps ? mount_of(mountinfo, next) : Mount();
        if (answered_by_others(mount.type)) return mount;
        const auto target = target_of_link(next);
        if (target && ++links > max_symlinks) break;
        if (target && target->starts_with('/')) at.clear();
        if (target) rest = *target + rest;   // rest begins with a slash, or is empty
        if (!target) at = next;
    }
    return mount_of(mountinfo, at.empty() ? "/" : at);
}

Result<Fd> open_directory_as_root(const std::string& path, std::uint64_t also) {
    constexpr std::uint64_t no_symlinks = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
    auto straight = open_at(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY, 0, no_symlinks | also);
    if (straight || straight.error().number != ELOOP) return straight;
    return go(path, {.also = also});
}

// Who may walk the whole way needs nobody's help, and that is one call.
Result<Fd> open_directory_for(const Identity& whom, Privileges& privileges, const std::string& path, std::uint64_t also) {
    TRY(privileges.become(whom));
    auto whole = open_at(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS | also);
    if (whole || whole.error().number != EACCES || ::getuid() != 0) return whole;
    privileges.become_root();
    Handing handing{privileges, whom};
    return go(path, {.also = also, .handing = &handing});
}

bool names_are_roots(int directory) {
    struct statx about;
    constexpr int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (::statx(directory, "", flags, STATX_MODE | STATX_UID, &about) != 0 || about.stx_uid != 0) return false;
    return (about.stx_mode & (S_IWGRP | S_IWOTH)) == 0 || (about.stx_mode & S_ISVTX) != 0;
}

Result<Fd> made_directory_as_root(const std::string& path, mode_t mode) { return go(path, {.making = mode}); }

Result<Fd> open_to_show(std::string_view path, std::uint64_t also) {
    std::array<char, PATH_MAX> text;
    if (path.size() >= text.size()) return failure(ENAMETOOLONG, "open");
    text[path.copy(text.data(), path.size())] = 0;
    constexpr std::uint64_t no_symlinks = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
    auto straight = open_at(AT_FDCWD, text.data(), O_PATH | O_DIRECTORY, 0, no_symlinks | also);
    if (!straight && straight.error().number == ENOTDIR) straight = open_at(AT_FDCWD, text.data(), O_PATH, 0, no_symlinks | also);
    if (straight || straight.error().number != ELOOP) return straight;
    return go(path, {.also = also, .any_kind = true});
}

Result<Fd> open_to_use(std::string_view path) { return go(path, {.any_kind = true, .by_kernel = true}); }

Result<void> make_directories(const std::string& path, mode_t mode) {
    TRY(made_directory_as_root(path, mode));
    return {};
}

}  // namespace warder
