// Files, mounts, roots and devices of the host.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "attempt.h"

namespace attempts {
namespace {

int open_and_close(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return errno;
    ::close(fd);
    return 0;
}

int read_public(const Context& c) { return open_and_close(c.below("hidden/public"), O_RDONLY); }
int read_private(const Context& c) { return open_and_close(c.below("hidden/private"), O_RDONLY); }
int write_file(const Context& c) { return open_and_close(c.below("hidden/public"), O_WRONLY); }
int list_directory(const Context& c) { return open_and_close(c.below("hidden"), O_RDONLY | O_DIRECTORY); }
int write_shown(const Context& c) { return open_and_close(c.below("shown/list"), O_WRONLY); }

int stat_file(const Context& c) {
    struct stat status;
    return done(::stat(c.below("hidden/public").c_str(), &status));
}

int watch_directory(const Context& c) {
    const int watch = ::inotify_init1(IN_CLOEXEC);
    return done(::inotify_add_watch(watch, c.below("hidden").c_str(), IN_ALL_EVENTS));
}

int change_mode(const Context& c) { return done(::chmod(c.below("hidden/public").c_str(), 0644)); }

int hard_link(const Context& c) {
    const std::string mine = c.own("linked");
    const int result = done(::link(c.below("hidden/shared").c_str(), mine.c_str()));
    ::unlink(mine.c_str());
    return result;
}

int leave_a_root(const Context& c) {
    const int outside = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (::chroot(c.below("tmp").c_str()) != 0 || ::fchdir(outside) != 0 || ::chroot(".") != 0) return errno;
    return read_public(c);
}

int mount_memory(const Context& c) {
    step_aside(CLONE_NEWNS);
    return done(::mount("tmpfs", c.below("tmp").c_str(), "tmpfs", 0, nullptr));
}

int bind_the_root(const Context& c) {
    step_aside(CLONE_NEWNS);
    return done(::mount("/", c.below("tmp").c_str(), nullptr, MS_BIND, nullptr));
}

int mount_proc(const Context& c) {
    step_aside(CLONE_NEWNS);
    return done(::mount("proc", c.below("tmp").c_str(), "proc", 0, nullptr));
}

int mount_cgroups(const Context& c) {
    step_aside(CLONE_NEWNS);
    return done(::mount("cgroup2", c.below("tmp").c_str(), "cgroup2", 0, nullptr));
}

// Where it is no mount of its own, it is made one: only the right to change it is tried.
void make_it_a_mount(const Context& c) { ::mount(c.below("shown").c_str(), c.below("shown").c_str(), nullptr, MS_BIND, nullptr); }

int remount(const Context& c) {
    step_aside(CLONE_NEWNS);
    make_it_a_mount(c);
    return done(::mount(nullptr, c.below("shown").c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr));
}

int unmount(const Context& c) {
    step_aside(CLONE_NEWNS);
    make_it_a_mount(c);
    const int result = done(::umount2(c.below("shown").c_str(), MNT_DETACH));
    return result == EINVAL ? done(::umount2("/proc", MNT_DETACH)) : result;   // it could not be made a mount: one that is there
}

int pivot(const Context& c) {
    step_aside(CLONE_NEWNS);
    const std::string place = c.below("tmp");
    ::mount("tmpfs", place.c_str(), "tmpfs", 0, nullptr);
    return done(::syscall(SYS_pivot_root, place.c_str(), place.c_str()));
}

int open_file_system(const Context&) { return done(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)); }
int pick_file_system(const Context&) { return done(::syscall(SYS_fspick, AT_FDCWD, "/", FSPICK_CLOEXEC)); }
long clone_tree() { return ::syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC); }
int copy_tree(const Context&) { return done(clone_tree()); }

int move_tree(const Context& c) {
    step_aside(CLONE_NEWNS);
    long tree = clone_tree();
    if (tree < 0) tree = ::open("/", O_PATH | O_CLOEXEC);
    return done(::syscall(SYS_move_mount, tree, "", AT_FDCWD, c.below("tmp").c_str(), MOVE_MOUNT_F_EMPTY_PATH));
}

int change_mount(const Context& c) {
    step_aside(CLONE_NEWNS);
    make_it_a_mount(c);
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_NODIRATIME;
    const auto change = [&](const std::string& path) { return done(::syscall(SYS_mount_setattr, AT_FDCWD, path.c_str(), 0, &attributes, sizeof attributes)); };
    const int result = change(c.below("shown"));
    return result == EINVAL ? change("/proc") : result;
}

int list_mounts(const Context&) {
    constexpr long number = 458;   // listmount (6.8), of both ABIs
    struct {
        std::uint32_t size = 24, namespace_descriptor = 0;
        std::uint64_t mount = ~0ULL, last = 0;
    } request;
    std::uint64_t mounts[16];
    return done(::syscall(number, &request, mounts, 16, 0));
}

int make_device(const Context& c) {
    const std::string path = c.own("device");
    ::unlink(path.c_str());
    if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) return errno;
    const int result = open_and_close(path, O_RDWR);
    ::unlink(path.c_str());
    return result;
}

std::vector<unsigned char> bytes_of(const std::string& hex) {
    std::vector<unsigned char> bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes.push_back(static_cast<unsigned char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

int open_by_handle(const Context& c) {
    auto handle = bytes_of(c.text("handle"));
    const int mount = ::open(c.below("shown").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mount < 0) return errno;
    return done(::open_by_handle_at(mount, reinterpret_cast<file_handle*>(handle.data()), O_RDONLY));
}

int make_handle(const Context& c) {
    unsigned char space[sizeof(file_handle) + MAX_HANDLE_SZ]{};
    auto* handle = reinterpret_cast<file_handle*>(space);
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    return done(::name_to_handle_at(AT_FDCWD, c.below("shown").c_str(), handle, &mount, 0));
}

std::string process(const Context& c, const char* who, const char* what) { return "/proc/" + c.text(std::string(who) + ".pid") + "/" + what; }

int through_a_process_root(const Context& c) { return open_and_close(process(c, "user", "root") + c.below("hidden/public"), O_RDONLY); }
int memory_file(const Context& c) { return open_and_close(process(c, "user", "mem"), O_RDWR); }
int environment_file(const Context& c) { return open_and_close(process(c, "user", "environ"), O_RDONLY); }
int see_processes(const Context& c) { return open_and_close(process(c, "user", "stat"), O_RDONLY); }
int core_pattern(const Context&) { return open_and_close("/proc/sys/kernel/core_pattern", O_WRONLY); }
int key_of_the_kernel(const Context&) { return open_and_close("/proc/sys/vm/drop_caches", O_WRONLY); }
int sysrq(const Context&) { return open_and_close("/proc/sysrq-trigger", O_WRONLY); }
int kernel_core(const Context&) { return open_and_close("/proc/kcore", O_RDONLY); }
int memory_device(const Context&) { return open_and_close("/dev/mem", O_RDONLY); }
int kernel_log(const Context&) { return open_and_close("/dev/kmsg", O_WRONLY); }
int uevent_helper(const Context&) { return open_and_close("/sys/kernel/uevent_helper", O_WRONLY); }
int kernel_state(const Context&) { return open_and_close("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY); }
int shared_memory_file(const Context& c) { return open_and_close("/dev/shm/" + c.text("user.name"), O_RDONLY); }
int leave_the_group(const Context& c) { return open_and_close(c.text("cgroup") + "/../cgroup.procs", O_WRONLY); }
int lower_oom_score(const Context&) {
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    return fd < 0 ? errno : done(::write(fd, "-1", 2));
}

// The group's name as the host has it: where it is, and what else there is.
int learn_the_group(const Context& c) {
    const int fd = ::open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    char text[4096];
    const ssize_t size = ::read(fd, text, sizeof text);
    const std::string said(text, size > 0 ? static_cast<std::size_t>(size) : 0);
    return said.find(c.text("group")) != std::string::npos ? 0 : only_its_own;
}

int run_what_it_wrote(const Context& c) {
    const std::string path = c.own("written");
    const int file = own_file(c, "written", O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (file < 0) return errno;
    if (!copy_itself(c, file)) return EIO;
    ::close(file);
    const int status = run(path, "nothing");
    ::unlink(path.c_str());
    return status < 0 ? -status : status;
}

int run_another(const Context&) {
    const int status = run("/usr/bin/true", "nothing");
    return status < 0 ? -status : status;
}

int run_from_memory(const Context& c) {
    const int file = static_cast<int>(::syscall(SYS_memfd_create, "code", MFD_CLOEXEC));
    if (file < 0) return errno;
    if (!copy_itself(c, file)) return EIO;
    const int status = run("#" + std::to_string(file), "nothing");
    return status < 0 ? -status : status;
}

int give_capabilities(const Context& c) {
    const int file = own_file(c, "capable", O_WRONLY | O_CREAT);
    if (file < 0) return errno;
    const std::uint32_t value[5] = {0x02000001, 1U << 13, 0, 0, 0};   // version 2, CAP_NET_RAW
    const int result = done(::fsetxattr(file, "security.capability", value, sizeof value, 0));
    ::unlink(c.own("capable").c_str());
    return result;
}

int make_immutable(const Context& c) {
    const int file = own_file(c, "fixed", O_RDWR | O_CREAT);
    int flags = FS_IMMUTABLE_FL;
    const int result = done(::ioctl(file, FS_IOC_SETFLAGS, &flags));
    flags = 0;
    if (result == 0) ::ioctl(file, FS_IOC_SETFLAGS, &flags);
    ::unlink(c.own("fixed").c_str());
    return result;
}

int thaw(const Context& c) { return past_the_check(::ioctl(::open(c.below("tmp").c_str(), O_RDONLY | O_CLOEXEC), FITHAW, 0), EINVAL, EOPNOTSUPP); }

int give_away(const Context& c) {
    const int file = own_file(c, "gift", O_WRONLY | O_CREAT);
    const int result = done(::fchown(file, static_cast<uid_t>(c.number("user.uid")), static_cast<gid_t>(-1)));
    ::unlink(c.own("gift").c_str());
    return result;
}

// Run by a stranger, such a program has the uid of whoever owns it.
int chmod_set_user_id(const Context& c) {
    const int file = own_file(c, "program", O_WRONLY | O_CREAT, 0700);
    if (file < 0) return errno;
    ::close(file);
    const int result = done(::chmod(c.own("program").c_str(), 04700));
    ::unlink(c.own("program").c_str());
    return result;
}

int made_so(const Context& c, long made) {
    const int result = made < 0 ? errno : 0;
    if (made >= 0) ::close(static_cast<int>(made));
    ::unlink(c.own("made").c_str());
    return result;
}

int create_set_group_id(const Context& c) { return made_so(c, own_file(c, "made", O_WRONLY | O_CREAT | O_EXCL, 02700)); }

int create_set_user_id_unseen(const Context& c) {
    open_how how{};
    how.flags = O_WRONLY | O_CREAT | O_EXCL;
    how.mode = 04700;
    return made_so(c, ::syscall(SYS_openat2, AT_FDCWD, c.own("made").c_str(), &how, sizeof how));
}

constexpr std::uint32_t seen = mounts | landlock_files;
constexpr std::uint32_t domain = landlock_files | landlock_ports | landlock_scope;   // whatever it is about: what is outside cannot be looked into
constexpr std::uint32_t mounting = capabilities | filter | landlock_files;

constexpr Attempt table[] = {
    {"read-file", "opens a file of the host that everybody may read", read_public, seen, "ENOENT", "ENOENT"},
    {"read-private-file", "opens a file that root alone may read", read_private, user | seen, "ENOENT", "ENOENT"},
    {"write-file", "opens a file of the host for writing", write_file, user | seen, "ENOENT", "ENOENT"},
    {"list-directory", "lists a directory of the host", list_directory, seen, "ENOENT", "ENOENT"},
    {"stat-file", "asks whether a file is there", stat_file, mounts, "ENOENT", "ENOENT"},
    {"watch-directory", "watches a directory of the host by inotify", watch_directory, mounts, "ENOENT", "ENOENT"},
    {"chmod-file", "changes the mode of a file of the host", change_mode, user | mounts, "ENOENT", "ENOENT"},
    {"T47-chmod", "makes a program of its own set-user-id", chmod_set_user_id, filter, "EPERM", "EPERM"},
    {"T47-create", "creates a file that is set-group-id", create_set_group_id, filter, "EPERM", "EPERM"},
    {"T47-openat2", "creates a set-user-id file by a call whose mode no filter sees", create_set_user_id_unseen, filter, "ENOSYS", "ENOSYS"},
    {"hard-link", "links a foreign file into a directory of its own", hard_link, seen, "ENOENT", "ENOENT"},
    {"write-bind", "writes to what is bound read-only", write_shown, user | seen, "EACCES", "EACCES"},
    {"chroot-escape", "leaves a root by a second chroot and a directory held before", leave_a_root, capabilities | filter | seen, "EPERM", "EPERM"},
    {"mount", "mounts a file system in memory", mount_memory, mounting, "EPERM", "EPERM"},
    {"bind-mount", "binds the root elsewhere", bind_the_root, mounting, "EPERM", "EPERM"},
    {"mount-proc", "mounts /proc", mount_proc, mounting, "EPERM", "EPERM"},
    {"mount-cgroup2", "mounts the tree of groups", mount_cgroups, mounting, "EPERM", "EPERM"},
    {"remount", "makes a read-only bind writable", remount, mounting, "EPERM", "EPERM"},
    {"umount", "takes a mount away to see what is below", unmount, mounting, "EPERM", "EPERM"},
    {"pivot-root", "changes the root", pivot, mounting, "EPERM", "EPERM"},
    {"fsopen", "makes a file system by the new calls", open_file_system, capabilities | filter, "EPERM", "EPERM"},
    {"fspick", "takes the root's file system to reconfigure it", pick_file_system, capabilities | filter, "EPERM", "EPERM"},
    {"open-tree", "copies the root's tree", copy_tree, capabilities | filter, "EPERM", "EPERM"},
    {"move-mount", "attaches a copied tree", move_tree, mounting, "EPERM", "EPERM"},
    {"mount-setattr", "changes a mount's attributes", change_mount, capabilities | filter, "EPERM", "EPERM"},
    {"listmount", "lists mounts by a call younger than libseccomp", list_mounts, filter, "ENOSYS", "ENOSYS", none_lent, "ENOSYS"},
    {"mknod", "makes a device and opens it", make_device, capabilities | seen, "EACCES", "EACCES"},
    {"open-by-handle", "opens a hidden file by its handle (CVE-2014-9357, \"shocker\")", open_by_handle, capabilities | filter | landlock_files, "EPERM", "EPERM"},
    {"name-to-handle", "makes a handle", make_handle, filter, "EPERM", "EPERM"},
    {"proc-root", "goes through another process's root", through_a_process_root, capabilities | mounts | domain, "ENOENT", "ENOENT"},
    {"proc-mem", "opens another process's memory", memory_file, capabilities | mounts | domain, "ENOENT", "ENOENT"},
    {"proc-environ", "reads another process's environment", environment_file, capabilities | seen, "ENOENT", "ENOENT"},
    {"proc-stat", "looks at another process", see_processes, seen, "ENOENT", "ENOENT"},
    {"core-pattern", "opens the kernel's core_pattern for writing", core_pattern, user | seen, "ENOENT", "ENOENT"},
    {"proc-sys", "opens a key of the kernel for writing", key_of_the_kernel, user | seen, "ENOENT", "ENOENT"},
    {"sysrq", "opens sysrq-trigger for writing", sysrq, user | seen, "ENOENT", "ENOENT", none_lent, "ENOENT"},
    {"kcore", "opens the kernel's memory", kernel_core, capabilities | seen, "ENOENT", "ENOENT", none_lent, "ENOENT"},
    {"dev-mem", "opens the machine's memory", memory_device, user | mounts, "ENOENT", "ENOENT", none_lent, "ENOENT"},
    {"dev-kmsg", "writes to the kernel's log", kernel_log, user | mounts, "ENOENT", "ENOENT"},
    {"uevent-helper", "opens the path of a program that the kernel runs", uevent_helper, user | seen, "ENOENT", "ENOENT", none_lent, "ENOENT"},
    {"sysfs", "opens a file of sysfs for writing", kernel_state, user | seen, "ENOENT", "ENOENT", none_lent, "ENOENT"},
    {"dev-shm", "opens shared memory of another worker by name", shared_memory_file, mounts, "ENOENT", "ENOENT"},
    {"leave-cgroup", "opens the list of processes of the group above", leave_the_group, user | seen, "ENOENT", "ENOENT", none_lent, "ENOENT"},
    {"learn-cgroup", "reads where on the host its group is", learn_the_group, seen | cgroups, "ENOENT", "ENOENT", none_lent, "its own"},
    {"oom-score", "spares itself from the kernel when memory is short", lower_oom_score, capabilities | seen, "ENOENT", "ENOENT", none_lent, "EACCES"},
    {"run-written", "runs a program that it wrote", run_what_it_wrote, landlock_files, "EACCES", "EACCES"},
    {"run-another", "runs a program that it was not given", run_another, landlock_files, "EACCES", "EACCES"},
    {"run-memory", "runs a program from memory of its own", run_from_memory, 0, "open", "open"},
    {"file-capability", "gives a file of its own a capability", give_capabilities, capabilities | strict_filter, "EPERM", "EPERM"},
    {"immutable", "makes a file of its own immutable", make_immutable, capabilities | strict_filter, "ENOTTY", "EPERM", none_lent, "ENOTTY EOPNOTSUPP"},
    {"thaw", "freezes or thaws a file system", thaw, capabilities | strict_filter, "ENOTTY", "EPERM"},
    {"give-away", "gives a file of its own to another", give_away, capabilities, "EPERM", "EPERM"},
};

}  // namespace

std::span<const Attempt> on_files() { return table; }

}  // namespace attempts
