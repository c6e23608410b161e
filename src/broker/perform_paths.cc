// Operations on paths. What tells something is asked of the object that was looked up, by its descriptor; what changes
// a directory is done by one name in a directory that was looked up; nothing is ever looked up twice.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>


#include "base/bytes.h"
#include "broker/perform.h"
#include "protocol/message.h"

namespace warder::broker {
namespace {

constexpr std::uint64_t itself = O_PATH | O_NOFOLLOW;   // with NO_SYMLINKS: a symlink at the end is what is looked up
constexpr std::uint32_t permission_bits = 0777;
constexpr std::size_t max_listed = 16 << 20;           // bytes of a list

// A symlink is never followed, so IN_DONT_FOLLOW asks for what is done anyway. Not taken: IN_MASK_ADD and IN_MASK_CREATE are about
// a watch that is there already, and each descriptor that is lent has one.
constexpr std::uint64_t watch_flags = IN_ONLYDIR | IN_EXCL_UNLINK | IN_ONESHOT;
constexpr std::uint64_t watchable = IN_ALL_EVENTS | watch_flags | IN_DONT_FOLLOW;

protocol::wire::Stat wire_of(const struct stat& about) {
    protocol::wire::Stat wire{};
    wire.device = about.st_dev;
    wire.inode = about.st_ino;
    wire.mode = about.st_mode;
    wire.links = static_cast<std::uint32_t>(about.st_nlink);
    wire.uid = about.st_uid;
    wire.gid = about.st_gid;
    wire.size = static_cast<std::uint64_t>(about.st_size);
    wire.blocks = static_cast<std::uint64_t>(about.st_blocks);
    wire.modified = about.st_mtim.tv_sec;
    wire.changed = about.st_ctim.tv_sec;
    wire.modified_ns = static_cast<std::uint32_t>(about.st_mtim.tv_nsec);
    wire.changed_ns = static_cast<std::uint32_t>(about.st_ctim.tv_nsec);
    return wire;
}

// What was looked up, and that it may be spoken of.
Tried<Fd> find(const Task& task, std::uint64_t flags, Patience patience, struct stat& about,
               Wanted wanted = Wanted::anything) {
    auto found = open_below(task, task.path, flags, patience);
    if (!found) return found;
    auto gated = passed(task, found->get(), about, wanted);
    if (gated.reason != Reason::ok) return Ended(std::move(gated));
    return found;
}

Performed result_of(int returned) { return returned == 0 ? Performed{} : failed(errno); }

// ---- list ----

char letter_of(unsigned char type) {
    switch (type) {
        case DT_REG: return 'f';
        case DT_DIR: return 'd';
        case DT_LNK: return 'l';
        case DT_FIFO: return 'p';
        case DT_SOCK: return 's';
        case DT_CHR: return 'c';
        case DT_BLK: return 'b';
        default: return '?';   // the file system does not say
    }
}

bool is_dot(std::string_view name) { return name == "." || name == ".."; }

// Rewrites what getdents64 gave into letters and names, which are always shorter.
std::size_t rewrite(std::span<const char> entries, char* out) {
    std::size_t used = 0;
    for (std::size_t at = 0; at < entries.size();) {
        const auto* entry = reinterpret_cast<const dirent64*>(entries.data() + at);
        const std::string_view name(entry->d_name);
        at += entry->d_reclen;
        if (is_dot(name)) continue;
        out[used++] = letter_of(entry->d_type);
        std::memcpy(out + used, name.data(), name.size() + 1);
        used += name.size() + 1;
    }
    return used;
}

Result<std::uint64_t> write_list(const Task& task, int directory, int memory) {
    alignas(dirent64) WARDER_UNINITIALIZED std::array<char, 32 * 1024> entries;
    WARDER_UNINITIALIZED std::array<char, 32 * 1024> names;
    std::size_t total = 0;
    for (;;) {
        const ssize_t size = ::getdents64(directory, entries.data(), entries.size());
        if (size < 0) return failure("getdents64");
        if (size == 0) return total;
        const std::size_t used = rewrite(std::span(entries).first(static_cast<std::size_t>(size)), names.data());
        total += used;
        if (total > max_listed) return failure(EOVERFLOW, "listing a directory");
        if (!has_memory_for(task, total)) return failure(EDQUOT, "listing a directory");
        const ssize_t written = ::write(memory, names.data(), used);
        if (written != static_cast<ssize_t>(used)) return failure(written < 0 ? errno : ENOSPC, "write");
    }
}

// ---- What is made and then given to its owner ----

// It was made without any permission for anybody, as nothing else here is: what somebody has put in its place meanwhile
// is told from it, and not given away.
Performed give_directory(const Task& task, int parent, const char* name) {
    auto made = open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
    if (!made) return failed(made.error());
    struct stat about;
    if (::fstat(made->get(), &about) != 0) return failed(errno);
    if (about.st_uid != ::geteuid() || (about.st_mode & permission_bits) != 0) return refused(Reason::foreign_owner);
    if (::fchown(made->get(), task.owner, task.owner_group) != 0) return failed(errno);
    return result_of(::fchmod(made->get(), task.mode | (about.st_mode & S_ISGID)));
}

Performed give_symlink(const Task& task, int parent, const char* name) {
    auto made = open_at(parent, name, itself, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
    if (!made) return failed(made.error());
    struct stat about;
    if (::fstat(made->get(), &about) != 0) return failed(errno);
    const bool ours = S_ISLNK(about.st_mode) && about.st_uid == ::geteuid() && about.st_nlink == 1;
    if (!ours) return refused(Reason::foreign_owner);
    return result_of(::fchownat(made->get(), "", task.owner, task.owner_group, AT_EMPTY_PATH));
}

}  // namespace

Performed tell_stat(const Task& task, Patience patience, Texts& texts) {
    struct stat about;
    auto found = find(task, itself, patience, about);
    if (!found) return std::move(found.error());
    const auto wire = wire_of(about);
    return told(texts, text_of(std::as_bytes(std::span(&wire, 1))));
}

// A symlink at the end is ELOOP here, as it would be for whoever opens it. The raw call, since glibc would do without
// what the kernel does not know, and then answer for the wrong uid.
Performed test_access(const Task& task, Patience patience) {
    if ((task.mode & ~7U) != 0) return refused(Reason::bad_argument);
    struct stat about;
    auto found = find(task, O_PATH, patience, about);
    if (!found) return std::move(found.error());
    return result_of(static_cast<int>(
        ::syscall(SYS_faccessat2, found->get(), "", static_cast<int>(task.mode), AT_EMPTY_PATH | AT_EACCESS)));
}

Performed read_link(const Task& task, Patience patience, Texts& texts) {
    struct stat about;
    auto found = find(task, itself, patience, about);
    if (!found) return std::move(found.error());
    if (!S_ISLNK(about.st_mode)) return failed(EINVAL);
    WARDER_UNINITIALIZED std::array<char, policy::max_path + 1> text;
    const ssize_t size = ::readlinkat(found->get(), "", text.data(), text.size());
    if (size < 0) return failed(errno);
    return told(texts, {text.data(), static_cast<std::size_t>(size)}, static_cast<std::uint64_t>(size));
}

Performed list_directory(const Task& task) {
    struct stat about;
    auto directory = find(task, O_RDONLY | O_DIRECTORY | O_NONBLOCK, Patience::until_deadline, about);
    if (!directory) return std::move(directory.error());
    if (!has_memory_for(task, 0)) return refused(Reason::too_many);
    auto memory = new_sealed_file("warder-list");
    if (!memory) return failed(memory.error());
    const auto size = write_list(task, directory->get(), memory->get());
    if (!size && size.error().number == EDQUOT) return refused(Reason::too_many);
    if (!size) return failed(size.error());
    return lend_sealed(std::move(*memory), *size);
}

// inotify takes only names: this one leads to exactly what was looked up, whatever has become of its path.
Performed watch_path(const Task& task, Patience patience, Result<Fd> watcher) {
    if ((task.argument & ~watchable) != 0) return refused(Reason::bad_argument);
    struct stat about;
    auto found = find(task, itself, patience, about);
    if (!found) return std::move(found.error());
    if (!watcher) return failed(watcher.error());
    // Our name for it is a link, which must be followed.
    const std::uint64_t asked = task.argument & ~std::uint64_t{IN_DONT_FOLLOW};
    const std::uint64_t events = (asked & IN_ALL_EVENTS) != 0 ? asked : asked | IN_ALL_EVENTS;
    const int watch =
        ::inotify_add_watch(watcher->get(), own_path(found->get()).c_str(), static_cast<std::uint32_t>(events));
    if (watch < 0) return failed(errno);
    return lent_as_asked(task, std::move(*watcher), static_cast<std::uint64_t>(watch));
}

Performed make_directory(const Task& task) {
    if ((task.mode & ~permission_bits) != 0) return refused(Reason::bad_argument);
    auto parent = parent_of(task, task.path);
    if (!parent) return std::move(parent.error());
    WARDER_UNINITIALIZED const CPath name(parent->name);
    if (!name.fits()) return failed(ENAMETOOLONG);
    if (::mkdirat(parent->directory, name.get(), gives_away(task) ? 0 : task.mode) != 0) return failed(errno);
    return gives_away(task) ? give_directory(task, parent->directory, name.get()) : Performed{};
}

Performed remove_name(const Task& task, int flags) {
    auto parent = parent_of(task, task.path);
    if (!parent) return std::move(parent.error());
    WARDER_UNINITIALIZED const CPath name(parent->name);
    if (!name.fits()) return failed(ENAMETOOLONG);
    return result_of(::unlinkat(parent->directory, name.get(), flags));
}

Performed rename_path(const Task& task) {
    auto from = parent_of(task, task.path);
    if (!from) return std::move(from.error());
    auto to = parent_of(task, task.second);
    if (!to) return std::move(to.error());
    WARDER_UNINITIALIZED const CPath before(from->name);
    WARDER_UNINITIALIZED const CPath after(to->name);
    if (!before.fits() || !after.fits()) return failed(ENAMETOOLONG);
    return result_of(::renameat(from->directory, before.get(), to->directory, after.get()));
}

// By name linkat(2) might find another file than the one that was looked at. Under root the file has two names from
// then on, and the gate trusts it no more until one of them is gone.
Performed link_file(const Task& task) {
    struct stat about;
    auto file = find(task, itself, Patience::until_deadline, about, Wanted::regular);
    if (!file) return std::move(file.error());
    auto to = parent_of(task, task.second);
    if (!to) return std::move(to.error());
    WARDER_UNINITIALIZED const CPath name(to->name);
    if (!name.fits()) return failed(ENAMETOOLONG);
    return result_of(::linkat(AT_FDCWD, own_path(file->get()).c_str(), to->directory, name.get(), AT_SYMLINK_FOLLOW));
}

Performed make_symlink(const Task& task) {
    auto parent = parent_of(task, task.path);
    if (!parent) return std::move(parent.error());
    WARDER_UNINITIALIZED const CPath name(parent->name);
    WARDER_UNINITIALIZED const CPath text(task.second);
    if (!name.fits() || !text.fits()) return failed(ENAMETOOLONG);
    if (::symlinkat(text.get(), parent->directory, name.get()) != 0) return failed(errno);
    return gives_away(task) ? give_symlink(task, parent->directory, name.get()) : Performed{};
}

// chmod(2) by the name of the descriptor: fchmod(2) takes none of the O_PATH kind, and opening the file might be
// forbidden.
Performed change_mode(const Task& task) {
    if ((task.mode & ~permission_bits) != 0) return refused(Reason::bad_argument);
    struct stat about;
    auto found = find(task, itself, Patience::until_deadline, about, Wanted::regular_or_directory);
    if (!found) return std::move(found.error());
    return result_of(::chmod(own_path(found->get()).c_str(), task.mode));
}

}  // namespace warder::broker
