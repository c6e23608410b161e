#include "sandbox/call_groups.h"

#include <seccomp.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace warder::sandbox {
namespace {

using Name = std::string_view;

constexpr Name aio[] = {"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit"};

constexpr Name basic_io[] = {
    "close", "close_range", "dup", "dup2", "dup3", "lseek", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2",
    "read", "readv", "write", "writev",
};

constexpr Name chown[] = {"chown", "fchown", "fchownat", "lchown"};

constexpr Name clock[] = {"adjtimex", "clock_adjtime", "clock_settime", "settimeofday"};

constexpr Name debug[] = {
    "kcmp", "lookup_dcookie", "perf_event_open", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace", "rtas",
};

// What every program needs: memory, threads, its own ids and limits, time, to end.
constexpr Name fundamental[] = {
    "alarm", "arch_prctl", "brk", "capget", "clock_getres", "clock_gettime", "clock_nanosleep", "exit", "exit_group", "futex",
    "futex_waitv", "get_robust_list", "get_thread_area", "getcpu", "getegid", "geteuid", "getgid", "getgroups", "getpgid",
    "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid",
    "gettid", "gettimeofday", "getuid", "madvise", "membarrier", "mincore", "mmap", "mprotect", "mremap", "msync", "munmap",
    "nanosleep", "pause", "personality", "process_mrelease", "remap_file_pages", "restart_syscall", "rseq",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_yield", "set_robust_list", "set_thread_area", "set_tid_address",
    "sysinfo", "time", "ugetrlimit", "umask", "uname",
};

// Of a file that is open, by its descriptor alone: who was lent one could so give it other rights.
constexpr Name file_modes[] = {"fchmod", "fremovexattr", "fsetxattr"};

constexpr Name files[] = {
    "access", "chdir", "chmod", "copy_file_range", "creat", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir",
    "fchmodat", "fcntl", "fgetxattr", "flistxattr", "flock", "fstat", "fstatfs",
    "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init",
    "inotify_init1", "inotify_rm_watch", "ioctl", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr",
    "lsetxattr", "lstat", "memfd_create", "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2",
    "readahead", "readlink", "readlinkat", "removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr",
    "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "tee", "truncate", "unlink", "unlinkat", "utime", "utimensat",
    "utimes", "vmsplice",
};

constexpr Name file_system[] = {"@file-modes", "@files"};

constexpr Name handles[] = {"name_to_handle_at", "open_by_handle_at"};

constexpr Name io_event[] = {
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "epoll_wait_old", "eventfd", "eventfd2", "poll", "ppoll", "pselect6", "select",
};

constexpr Name io_uring[] = {"io_uring_enter", "io_uring_register", "io_uring_setup"};

constexpr Name ipc[] = {
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv",
    "msgsnd", "pipe", "pipe2", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
};

constexpr Name keyring[] = {"add_key", "keyctl", "request_key"};

constexpr Name memlock[] = {"mlock", "mlock2", "mlockall", "munlock", "munlockall"};

constexpr Name module[] = {"delete_module", "finit_module", "init_module"};

constexpr Name mount[] = {
    "chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root",
    "umount", "umount2",
};

constexpr Name network_io[] = {
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom", "recvmmsg",
    "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socket", "socketpair",
};

constexpr Name obsolete[] = {
    "_sysctl", "afs_syscall", "bdflush", "create_module", "ftime", "get_kernel_syms", "getpmsg", "gtty", "idle", "lock", "mpx",
    "prof", "profil", "putpmsg", "query_module", "security", "sgetmask", "ssetmask", "stime", "stty", "sysfs", "tuxcall",
    "ulimit", "uselib", "ustat", "vserver",
};

constexpr Name pkey[] = {"pkey_alloc", "pkey_free", "pkey_mprotect"};

constexpr Name process[] = {
    "clone", "execve", "execveat", "fork", "kill", "pidfd_open", "pidfd_send_signal", "prctl", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "setpgid", "setsid", "tgkill", "times", "tkill", "vfork", "wait4", "waitid",
};

constexpr Name raw_io[] = {"ioperm", "iopl", "pciconfig_iobase", "pciconfig_read", "pciconfig_write"};

constexpr Name reboot[] = {"kexec_file_load", "kexec_load", "reboot"};

constexpr Name resources[] = {
    "get_mempolicy", "ioprio_get", "ioprio_set", "mbind", "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "set_mempolicy", "setpriority", "setrlimit",
};

constexpr Name sandbox[] = {"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp"};

constexpr Name setuid[] = {
    "capset", "setfsgid", "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid",
};

constexpr Name signal[] = {
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack",
    "signalfd", "signalfd4",
};

constexpr Name swap[] = {"swapoff", "swapon"};

constexpr Name file_sync[] = {"fdatasync", "fsync", "sync_file_range", "syncfs"};

constexpr Name sync[] = {"@file-sync", "sync"};

constexpr Name timer[] = {
    "getitimer", "setitimer", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
    "timerfd_create", "timerfd_gettime", "timerfd_settime",
};

constexpr Name userfault[] = {"userfaultfd"};

// What only root could do in earnest.
constexpr Name privileged[] = {
    "@clock", "@handles", "@module", "@mount", "@raw-io", "@reboot", "@swap", "acct", "bpf", "fanotify_init", "fanotify_mark",
    "nfsservctl", "quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog", "unshare", "vhangup",
};

// What a usual program needs. systemd's set of this name is the model; left out of it: what makes descriptors of other
// processes or of handles, keyrings, userfaultfd, memory policy of others, and what only root could do. Nor
// sync(2), for which the whole machine would write and every server be waited for; it tells nobody that it was refused.
constexpr Name strict_service[] = {
    "@aio", "@basic-io", "@chown", "@default", "@file-sync", "@files", "@io-event", "@ipc", "@memlock", "@network-io", "@pkey",
    "@process", "@resources", "@sandbox", "@setuid", "@signal", "@timer",
};

constexpr Name system_service[] = {"@file-modes", "@strict-service"};

constexpr std::array<CallGroup, 36> groups{{
    {"@aio", "asynchronous input and output, io_setup(2)", aio},
    {"@basic-io", "reading, writing and closing descriptors", basic_io},
    {"@chown", "changing owners of files", chown},
    {"@clock", "setting the clock", clock},
    {"@debug", "looking into other processes, ptrace(2)", debug},
    {"@default", "what every program needs: memory, threads, its own ids, time, to end", fundamental},
    {"@file-modes", "rights and attributes of an open file, by its descriptor alone", file_modes},
    {"@file-sync", "writing out a file, or its file system, to disk", file_sync},
    {"@file-system", "files and directories by name and descriptor", file_system},
    {"@files", "@file-system without @file-modes", files},
    {"@handles", "files by handle, around the mounts", handles},
    {"@io-event", "waiting for descriptors", io_event},
    {"@io-uring", "io_uring, whose operations no filter sees", io_uring},
    {"@ipc", "pipes, System V and POSIX queues", ipc},
    {"@keyring", "the kernel's keyrings", keyring},
    {"@known", "every call that libseccomp knows", {}},
    {"@memlock", "locking memory", memlock},
    {"@module", "kernel modules", module},
    {"@mount", "mounts and roots", mount},
    {"@network-io", "sockets", network_io},
    {"@obsolete", "calls that are no more", obsolete},
    {"@pkey", "memory protection keys", pkey},
    {"@privileged", "what only root could do in earnest", privileged},
    {"@process", "making, running, signalling and waiting for processes", process},
    {"@raw-io", "ports of the machine", raw_io},
    {"@reboot", "restarting the machine, and another kernel", reboot},
    {"@resources", "priorities, limits, processors, memory policy", resources},
    {"@sandbox", "a program that confines itself further", sandbox},
    {"@setuid", "changing ids and capabilities", setuid},
    {"@signal", "handling signals", signal},
    {"@strict-service", "@system-service without @file-modes; where the filter of profile strict begins", strict_service},
    {"@swap", "swap space", swap},
    {"@sync", "writing out to disk, and all of the machine too", sync},
    {"@system-service", "what a usual program needs; where the filter of profile service begins", system_service},
    {"@timer", "timers", timer},
    {"@userfault", "userfaultfd(2)", userfault},
}};

constexpr int last_number = 1023;   // both ABIs count densely from 0

std::vector<std::string> known_calls() {
    std::vector<std::string> names;
    for (int number = 0; number <= last_number; ++number) {
        char* name = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
        if (name != nullptr) names.emplace_back(name);
        std::free(name);
    }
    return names;
}

void collect(Name name, std::vector<std::string>& into) {
    if (!name.starts_with('@')) {
        if (std::ranges::find(into, name) == into.end()) into.emplace_back(name);
        return;
    }
    if (name == "@known") into = known_calls();
    if (const CallGroup* group = find_group(name)) {
        for (const Name member : group->members) collect(member, into);
    }
}

}  // namespace

std::span<const CallGroup> call_groups() { return groups; }

const CallGroup* find_group(std::string_view name) {
    const auto found = std::ranges::find(groups, name, &CallGroup::name);
    return found == groups.end() ? nullptr : &*found;
}

std::vector<std::string> calls_of(std::string_view name) {
    std::vector<std::string> calls;
    collect(name, calls);
    return calls;
}

bool names_calls(std::string_view name) {
    if (name.starts_with('@')) return find_group(name) != nullptr;
    return ::seccomp_syscall_resolve_name(std::string(name).c_str()) != __NR_SCMP_ERROR;
}

std::vector<std::string> all_call_names() {
    std::vector<std::string> names = known_calls();
    for (const CallGroup& group : groups) names.emplace_back(group.name);
    return names;
}

}  // namespace warder::sandbox
