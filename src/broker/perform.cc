// The dispatcher: who may do what where, and with whose credentials. The operations themselves stand in
// perform_files.cc, perform_paths.cc, perform_sockets.cc and perform_system.cc. Every path is looked up below a held
// directory with no symlink followed; a file's type and, under root, its owner are looked at on the open descriptor,
// before anything of it changes.
#include "broker/perform.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/inotify.h>

#include <optional>

#include "sys/path_walk.h"

namespace warder::broker {
namespace {

// Only a lookup that stays in memory, on a file system that asks nobody else, is done without patience.
//
// Whatever changes a directory or reads one takes its lock, and a foreign reader holds that lock for as long as it likes:
// getdents(2) into memory whose page nobody brings. So list, mkdir, rename and their like are never done here.
//
// What is made here is also closed here after it was lent, and by the last who holds it when the worker was quicker. That must
// not wait either. Closing a TCP or vsock socket takes as long as its holder said by SO_LINGER; a unix socket's queue may hold
// such a one that its peer sent; a watch ends after a grace period of the kernel, some 14 ms. An opener that hangs at it is
// killed, which ends the wait. The log's socket has no name, so nobody can send anything to it.
bool may_be_done_here(const Task& task) {
    const bool reachable = task.directory >= 0 && !task.cross_mounts;
    switch (task.operation) {
        case Operation::read:
        case Operation::stat:
        case Operation::access:
        case Operation::readlink: return reachable && (task.local || task.overlay);
        case Operation::write:
        case Operation::append: return reachable && task.local && !has(task.flags, OpenFlag::truncate);
        case Operation::syslog: return reachable && task.local;
        default: return false;
    }
}

// What the grant itself is the right to: no permission of a file or a worker stands behind it.
bool by_root(const Task& task) {
    switch (task.operation) {
        case Operation::secret:
        case Operation::raw:
        case Operation::packet:
        case Operation::netlink:
        case Operation::device:
        case Operation::sysctl_read:
        case Operation::sysctl_write: return true;
        default: return task.as == policy::As::root;
    }
}

bool needs_directory(const Task& task) {
    switch (task.operation) {
        case Operation::connect: return task.address.family == policy::Family::unix_path;
        case Operation::raw:
        case Operation::packet:
        case Operation::netlink:
        case Operation::sysctl_read:
        case Operation::sysctl_write: return false;
        default: return true;
    }
}

Performed perform_held(const Task& task, Patience patience, Texts& texts) {
    switch (task.operation) {
        case Operation::read:
        case Operation::write:
        case Operation::append:
        case Operation::create: return open_file(task, patience);
        case Operation::truncate: return truncate_file(task);
        case Operation::secret: return lend_secret(task, patience);
        case Operation::stat: return tell_stat(task, patience, texts);
        case Operation::access: return test_access(task, patience);
        case Operation::readlink: return read_link(task, patience, texts);
        case Operation::list: return list_directory(task);
        case Operation::mkdir: return make_directory(task);
        case Operation::rmdir: return remove_name(task, AT_REMOVEDIR);
        case Operation::unlink: return remove_name(task, 0);
        case Operation::rename: return rename_path(task);
        case Operation::link: return link_file(task);
        case Operation::symlink: return make_symlink(task);
        case Operation::chmod: return change_mode(task);
        case Operation::connect: return connect_to(task, patience);
        case Operation::syslog: return connect_to_log(task, patience);
        case Operation::raw: return lend_raw(task);
        case Operation::packet: return lend_packet(task);
        case Operation::netlink: return lend_netlink(task);
        case Operation::device: return open_device(task, texts);
        case Operation::sysctl_read: return read_sysctl(task, texts);
        case Operation::sysctl_write: return write_sysctl(task);
        default: break;   // listeners are lent by the broker, which keeps them
    }
    return refused(Reason::unknown_operation);
}

// As root finds it, who follows nobody else's symlinks.
bool is_there(const std::string& path) {
    const auto directory = open_directory_as_root(std::string(policy::directory_of(path)));
    struct stat about;
    return directory && ::fstatat(directory->get(), std::string(policy::name_of_file(path)).c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0;
}

// Instances are counted for the user who makes them (max_user_instances), and whoever holds one holds it for as long as it likes: so
// it is the worker's, whoever looks at the path. Its watches are counted with it.
Result<Fd> new_watcher(Privileges& privileges, const Identity& worker) {
    TRY(privileges.become(worker));
    Fd watcher(::inotify_init1(IN_CLOEXEC));
    if (!watcher) return failure("inotify_init1");
    return watcher;
}

// What was not made at load, since others answer for its file system. What is there is left as it is.
Result<void> make_missing(const Task& task, Privileges& privileges) {
    std::string path(task.prefix);
    if (task.making == Making::file) path.append("/").append(task.path);
    privileges.become_root();
    if (is_there(path)) return {};
    Identity owner = own_identity();
    if (task.owned) {
        owner.uid = task.owner;
        owner.gid = task.owner_group;
    }
    return make(task.making, path, task.making_mode, owner);
}

// A directory that is not held is found by its name first, with symlinks: the prefix is the administrator's. Where root acts they
// have to be root's, and for a worker its own permissions count from the first that is not.
Performed perform_below_prefix(Task task, Privileges& privileges, const Identity& worker, Texts& texts) {
    privileges.become_root();
    const CPath prefix(task.prefix);
    if (!prefix.fits()) return failed(ENAMETOOLONG);
    auto directory = by_root(task) ? open_directory_as_root(prefix.get()) : open_directory_for(worker, privileges, prefix.get());
    privileges.become_root();
    if (!directory && directory.error().number == EPERM) return refused(Reason::foreign_owner);
    if (!directory) return failed(directory.error());
    const auto type = file_system_of(directory->get());
    if (!type) return failed(type.error());
    if (is_kernel_view(*type)) return refused(Reason::refused_filesystem);
    task.directory = directory->get();
    task.making = Making::nothing;   // done
    return perform(task, Patience::until_deadline, privileges, worker, texts);
}

}  // namespace

Performed refused(Reason reason) { return {Fd(), reason, errno_of(reason), 0, 0, 0, {}, 0, 0, false}; }
Performed failed(int error) { return {Fd(), Reason::system, error, 0, 0, 0, {}, 0, 0, false}; }
Performed failed(const Error& error) { return failed(error.number); }

Performed lent(Fd fd, const struct stat& about, std::uint64_t value) {
    constexpr blkcnt_t many = 8192;   // of 512 bytes: more than any secret has, and freed in no time
    const bool large = S_ISREG(about.st_mode) && about.st_blocks > many;
    return {std::move(fd), Reason::ok, 0, value, about.st_dev, about.st_ino, {}, 0, 0, large};
}

Performed lent_as_asked(const Task& task, Fd fd, std::uint64_t value) {
    if (::fcntl(fd.get(), F_SETFL, has(task.flags, OpenFlag::nonblock) ? O_NONBLOCK : 0) != 0) return failed(errno);
    struct stat about;
    if (const auto told = status_of(fd.get(), about); !told) return failed(told.error());
    return lent(std::move(fd), about, value);
}

Performed told(Texts& texts, std::string_view data, std::uint64_t value) {
    if (data.size() > texts.room().size()) return failed(EMSGSIZE);
    Performed performed;
    performed.value = value;
    performed.data = texts.keep(data);
    return performed;
}

Performed perform(const Task& task, Patience patience, Privileges& privileges, const Identity& worker, Texts& texts) {
    if (patience == Patience::never && !may_be_done_here(task)) return refused(Reason::would_block);
    if (task.making != Making::nothing && patience == Patience::until_deadline) {
        const auto made = make_missing(task, privileges);
        if (!made) return made.error().number == EPERM ? refused(Reason::foreign_owner) : failed(made.error());
    }
    if (needs_directory(task) && task.directory < 0) return perform_below_prefix(task, privileges, worker, texts);
    std::optional<Result<Fd>> watcher;
    if (task.operation == Operation::watch) watcher.emplace(new_watcher(privileges, worker));
    if (by_root(task)) {
        privileges.become_root();
    } else if (const auto became = privileges.become(worker); !became) {
        return failed(became.error());
    }
    if (watcher) return watch_path(task, patience, std::move(*watcher));
    return perform_held(task, patience, texts);
}

}  // namespace warder::broker
