#include "sys/mounts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace warder::mounts {
namespace {

int outcome(long result) { return result < 0 ? -errno : static_cast<int>(result); }

int set_attributes(int tree, std::uint64_t attributes, unsigned recursive) {
    mount_attr change{};
    change.attr_set = attributes;
    return outcome(::mount_setattr(tree, "", AT_EMPTY_PATH | recursive, &change, sizeof change));
}

// Closes what was made and passes the error on.
int give_up(int fd, int error) {
    ::close(fd);
    return error;
}

int configure_tmpfs(int context, const char* size, const char* mode) {
    if (::fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) != 0) return -errno;
    if (::fsconfig(context, FSCONFIG_SET_STRING, "mode", mode, 0) != 0) return -errno;
    return outcome(::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
}

// Whether `directory` is what "/" is.
bool is_root(int directory) {
    struct statx root;
    struct statx other;
    constexpr unsigned wanted = STATX_INO | STATX_MNT_ID;
    if (::statx(AT_FDCWD, "/", AT_NO_AUTOMOUNT, wanted, &root) != 0) return false;
    if (::statx(directory, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, wanted, &other) != 0) return false;
    return root.stx_ino == other.stx_ino && root.stx_mnt_id == other.stx_mnt_id;
}

}  // namespace

int copy_tree(int fd, Access access, Devices devices, bool no_execute) {
    const int tree = outcome(::open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH));
    if (tree < 0) return tree;
    std::uint64_t attributes = MOUNT_ATTR_NOSUID;
    if (access == Access::read_only) attributes |= MOUNT_ATTR_RDONLY;
    attributes |= devices == Devices::hidden ? std::uint64_t{MOUNT_ATTR_NODEV} : std::uint64_t{MOUNT_ATTR_NOEXEC};
    if (no_execute) attributes |= MOUNT_ATTR_NOEXEC;
    const int set = set_attributes(tree, attributes, AT_RECURSIVE);
    return set < 0 ? give_up(tree, set) : tree;
}

int make_tmpfs(const char* size, const char* mode) {
    const int context = outcome(::fsopen("tmpfs", FSOPEN_CLOEXEC));
    if (context < 0) return context;
    const int configured = configure_tmpfs(context, size, mode);
    if (configured < 0) return give_up(context, configured);
    const int tree = outcome(::fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    ::close(context);
    return tree;
}

int attach(int tree, int target) {
    return outcome(::move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int open_inside(int root, const char* path, Symlinks symlinks) {
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    if (symlinks == Symlinks::refused) how.resolve |= RESOLVE_NO_SYMLINKS;
    return outcome(::syscall(SYS_openat2, root, path, &how, sizeof how));
}

int bind(const char* from, int target) {
    const int tree = outcome(::open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    return tree < 0 ? tree : give_up(tree, attach(tree, target));
}

int make_read_only(int fd) { return set_attributes(fd, MOUNT_ATTR_RDONLY, 0); }

int go_to_root_of_namespace() {
    const int self = static_cast<int>(::syscall(SYS_pidfd_open, ::syscall(SYS_getpid), 0));
    if (self < 0) return -errno;
    const int gone = outcome(::setns(self, CLONE_NEWNS));
    ::close(self);
    return gone;
}

// "/" of a chroot need not be a mount, and only mounts have a propagation: it is changed from the namespace's root.
int make_private() {
    const int here = outcome(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (here < 0) return here;
    int made = go_to_root_of_namespace();
    if (made == 0) made = outcome(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    if (made == 0 && !is_root(here)) made = outcome(::fchdir(here) == 0 ? ::chroot(".") : -1);
    return give_up(here, made);
}

int become_root_of_namespace() {
    if (::syscall(SYS_pivot_root, ".", ".") != 0) return -errno;
    if (::umount2(".", MNT_DETACH) != 0) return -errno;
    return outcome(::chdir("/"));
}

}  // namespace warder::mounts
