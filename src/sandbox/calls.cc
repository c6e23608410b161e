#include "sandbox/calls.h"

#include <linux/sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <string_view>

namespace warder::sandbox {
namespace {

using seccomp::Denial;
using seccomp::Rules;
using seccomp::Test;

// What a usual program needs, by theme. systemd's @system-service is the model; left out of it: what makes descriptors of
// other processes or of handles, keyrings, userfaultfd, memory policy of others, and what only root could do.
constexpr std::string_view usual[] = {
    // files by name and by descriptor
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
    "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchown", "fchownat", "fcntl",
    "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate",
    "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1",
    "inotify_rm_watch", "ioctl", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr",
    "lseek", "lsetxattr", "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2",
    "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat",
    "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr", "splice", "stat", "statfs",
    "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat",
    "utime", "utimensat", "utimes", "vmsplice", "write", "writev",
    // waiting
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "epoll_wait_old", "eventfd", "eventfd2", "poll", "ppoll", "pselect6", "select", "signalfd", "signalfd4",
    "timerfd_create", "timerfd_gettime", "timerfd_settime",
    "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
    // memory
    "brk", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap",
    "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "process_mrelease",
    "remap_file_pages", "get_mempolicy", "mbind", "set_mempolicy",
    // processes, threads and signals
    "arch_prctl", "alarm", "capget", "capset", "clone", "execve", "execveat", "exit", "exit_group", "fork", "futex",
    "futex_waitv", "get_robust_list", "get_thread_area", "getcpu", "getegid", "geteuid", "getgid", "getgroups", "getitimer",
    "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid",
    "gettid", "getuid", "kill", "pause", "personality", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64",
    "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "set_robust_list",
    "set_thread_area", "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid",
    "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setuid", "sigaltstack",
    "tgkill", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "times", "tkill",
    "ugetrlimit", "vfork", "wait4", "waitid", "ioprio_get", "ioprio_set",
    // time, chance, the machine
    "clock_getres", "clock_gettime", "clock_nanosleep", "getrandom", "gettimeofday", "nanosleep", "sysinfo", "uname",
    // pipes and sockets
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "pipe", "pipe2",
    "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socket", "socketpair",
    // System V and POSIX queues: only of its own ipc namespace
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv",
    "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
    // a program that confines itself further
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
};

constexpr std::uint32_t namespace_flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                          CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;

// Numbers that are the same on both ABIs; terminal requests of asm-generic/ioctls.h.
constexpr std::uint32_t denied_terminal_requests[] = {
    0x5412,   // TIOCSTI: types into the terminal
    0x541c,   // TIOCLINUX: pastes into the console
    0x541d,   // TIOCCONS: takes the console's output
    0x5423,   // TIOCSETD: changes the line discipline
    0x540e,   // TIOCSCTTY: takes a controlling terminal
    0x5437,   // TIOCVHANGUP
};

// Options of SOL_SOCKET by which a holder spoils a lent listener for everybody, or leaves its network.
constexpr std::uint32_t denied_socket_options[] = {
    26,   // SO_ATTACH_FILTER
    27,   // SO_DETACH_FILTER
    44,   // SO_LOCK_FILTER
    50,   // SO_ATTACH_BPF
    51,   // SO_ATTACH_REUSEPORT_CBPF
    52,   // SO_ATTACH_REUSEPORT_EBPF
    25,   // SO_BINDTODEVICE
    62,   // SO_BINDTOIFINDEX
    83,   // SO_PASSRIGHTS: whether the end of a channel takes descriptors is the grant's to say
};

constexpr std::uint32_t denied_file_commands[] = {
    1024,   // F_SETLEASE: makes the opens of others wait
    1026,   // F_NOTIFY
};

Test equals(std::uint8_t argument, std::uint32_t value) { return {argument, Test::When::equal, value}; }
Test differs(std::uint8_t argument, std::uint32_t value) { return {argument, Test::When::differs, value}; }
Test has_any_of(std::uint8_t argument, std::uint32_t bits) { return {argument, Test::When::differs, 0, bits}; }

class RuleMaker {
public:
    void allow(std::string_view name) { add_to(rules_.allowed, name); }
    void absent(std::string_view name) { add_to(rules_.absent, name); }
    void deny(std::string_view name) {
        std::erase(rules_.allowed, seccomp::call_number(std::string(name)));
    }
    void deny_if(std::string_view name, std::vector<Test> tests) {
        const int call = seccomp::call_number(std::string(name));
        if (call >= 0) rules_.denials.push_back({call, std::move(tests)});
    }
    Rules take() { return std::move(rules_); }

private:
    // A negative number is a call that this architecture does not have.
    static void add_to(std::vector<int>& numbers, std::string_view name) {
        const int call = seccomp::call_number(std::string(name));
        if (call >= 0) numbers.push_back(call);
    }
    Rules rules_;
};

// Asking which it is stays allowed.
void deny_personalities(RuleMaker& rules) { rules.deny_if("personality", {differs(0, 0), differs(0, 0xffffffffU)}); }

void deny_terminals_and_leases(RuleMaker& rules) {
    for (const auto request : denied_terminal_requests) rules.deny_if("ioctl", {equals(1, request)});
    for (const auto command : denied_file_commands) rules.deny_if("fcntl", {equals(1, command)});
}

// Out-of-band bytes over unix sockets: nobody uses them, and the kernel's code for them has been broken into.
void deny_out_of_band(RuleMaker& rules) {
    rules.deny_if("sendto", {has_any_of(3, MSG_OOB)});
    rules.deny_if("recvfrom", {has_any_of(3, MSG_OOB)});
    rules.deny_if("sendmsg", {has_any_of(2, MSG_OOB)});
    rules.deny_if("recvmsg", {has_any_of(2, MSG_OOB)});
    rules.deny_if("sendmmsg", {has_any_of(3, MSG_OOB)});
    rules.deny_if("recvmmsg", {has_any_of(3, MSG_OOB)});
}

void deny_families(RuleMaker& rules, bool network) {
    std::vector<Test> foreign{differs(0, AF_UNIX)};
    if (network) {
        for (const int family : {AF_INET, AF_INET6, AF_NETLINK}) foreign.push_back(differs(0, static_cast<std::uint32_t>(family)));
    }
    rules.deny_if("socket", foreign);
    rules.deny_if("socketpair", {differs(0, AF_UNIX)});
    for (const auto option : denied_socket_options) rules.deny_if("setsockopt", {equals(1, SOL_SOCKET), equals(2, option)});
}

// seccomp sees neither the address nor whose socket it is, so what could lead a lent socket elsewhere is denied whole.
void deny_for_lent_sockets(RuleMaker& rules, const Calls& calls) {
    if (calls.inet_sockets_lent || calls.datagram_sockets_lent) {
        for (const auto* name : {"connect", "bind", "listen"}) rules.deny(name);
    }
    if (!calls.datagram_sockets_lent) return;
    for (const auto* name : {"sendmsg", "sendmmsg"}) rules.deny(name);
    rules.deny_if("sendto", {differs(4, 0)});
    rules.deny_if("sendto", {{4, Test::When::differs, 0, 0xffffffffU, true}});
}

void deny_namespaces(RuleMaker& rules, bool wanted) {
    // glibc falls back to clone, whose flags a filter can see.
    if (!wanted) rules.absent("clone3");
    if (!wanted) rules.deny_if("clone", {has_any_of(0, namespace_flags)});
    if (wanted) rules.allow("unshare");
    if (wanted) rules.allow("clone3");
}

bool is_call(const std::string& name) { return seccomp::call_number(name) != -1; }

const std::string* find_unknown(const Calls& calls) {
    for (const auto* names : {&calls.allow, &calls.deny}) {
        const auto found = std::find_if_not(names->begin(), names->end(), is_call);
        if (found != names->end()) return &*found;
    }
    return nullptr;
}

}  // namespace

Result<Rules> rules_of(const Calls& calls, SentDescriptors sent, std::string& unknown) {
    if (const auto* name = find_unknown(calls)) {
        unknown = *name;
        return failure(EINVAL, "naming a system call");
    }
    RuleMaker rules;
    for (const auto name : usual) rules.allow(name);
    for (const auto& name : calls.allow) rules.allow(name);
    deny_terminals_and_leases(rules);
    if (calls.lock_personality) deny_personalities(rules);
    deny_out_of_band(rules);
    deny_families(rules, calls.network && !calls.inet_sockets_lent && !calls.datagram_sockets_lent);
    deny_namespaces(rules, calls.namespaces);
    deny_for_lent_sockets(rules, calls);
    if (!calls.may_send_descriptors && sent == SentDescriptors::refused_by_filter) {
        for (const auto* name : {"sendmsg", "sendmmsg"}) rules.deny(name);
    }
    for (const auto& name : calls.deny) rules.deny(name);
    return rules.take();
}

std::vector<int> stub_calls() {
    std::vector<int> numbers;
    for (const auto* name : {"execveat", "exit_group", "ppoll", "prctl", "restart_syscall", "rt_sigaction"}) {
        numbers.push_back(seccomp::call_number(name));
    }
    return numbers;
}

}  // namespace warder::sandbox
