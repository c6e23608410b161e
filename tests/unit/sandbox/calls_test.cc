// The rules as values, and the filter as the kernel applies it: each case runs in a child that installs it.
#include "sandbox/calls.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include "sandbox/forbidden.h"
#include "sys/fd.h"
#include "sys/socket_options.h"

using namespace warder;
using namespace warder::sandbox;

namespace {

seccomp::Rules rules_for(const Calls& calls, SentDescriptors sent = SentDescriptors::refused_by_socket) {
    std::string unknown;
    auto rules = rules_of(calls, sent, unknown);
    REQUIRE(rules);
    return *rules;
}

// What a child ends with: the errno of `attempt` (0: none), or minus the signal that killed it.
int in_child(const std::function<long()>& attempt) {
    const pid_t child = ::fork();
    if (child == 0) {
        const long result = attempt();
        ::_exit(result < 0 ? errno : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int under(const Calls& calls, const std::function<long()>& attempt, SentDescriptors sent = SentDescriptors::refused_by_socket) {
    const auto program = seccomp::compile(rules_for(calls, sent));
    REQUIRE(program);
    return in_child([&] {
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (seccomp::install(program->data(), static_cast<unsigned short>(program->size())) != 0) ::_exit(254);
        return attempt();
    });
}

long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
    return ::syscall(number, a, b, c, d, e, f);
}

constexpr long upper_bit = 1L << 32;

}  // namespace

TEST_CASE("D11: what reaches into other processes, handles or the kernel is EPERM") {
    const Calls calls;
    for (const long number : {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_bpf, SYS_userfaultfd, SYS_keyctl,
                              SYS_add_key, SYS_request_key, SYS_perf_event_open, SYS_open_by_handle_at, SYS_name_to_handle_at,
                              SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_pidfd_getfd, SYS_kcmp,
                              SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount, SYS_open_tree, SYS_fsopen,
                              SYS_fsmount, SYS_mount_setattr, SYS_setns, SYS_unshare, SYS_kexec_load, SYS_kexec_file_load,
                              SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_swapon, SYS_swapoff, SYS_reboot,
                              SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_acct, SYS_quotactl,
                              SYS_syslog, SYS_vhangup, SYS_fanotify_init, SYS_lookup_dcookie, SYS_nfsservctl, SYS_sethostname,
                              SYS_setdomainname, SYS_migrate_pages, SYS_move_pages, SYS_process_madvise}) {
        CAPTURE(number);
        CHECK(under(calls, [=] { return call(number, -1, -1, -1, -1, -1); }) == EPERM);
    }
}

TEST_CASE("T47: no call sets a set-user-id or set-group-id bit, and the one whose mode cannot be seen is not there") {
    char folder[] = "/tmp/warder-test-XXXXXX";
    REQUIRE(::mkdtemp(folder) != nullptr);
    const std::string path = std::string(folder) + "/file";
    REQUIRE(::close(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const auto at = [](const std::string& name) { return reinterpret_cast<long>(name.c_str()); };
    const std::string fresh = std::string(folder) + "/new";
    const std::string place(folder);
    constexpr long new_file = S_IFREG;
    const Calls calls;
    for (const long bits : {04000L, 02000L, 06000L}) {
        CAPTURE(bits);
        const long mode = bits | 0755;
        CHECK(under(calls, [&] { return call(SYS_fchmod, file.get(), mode); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_fchmodat, AT_FDCWD, at(path), mode); }) == EPERM);
        CHECK(under(calls, [&] { return call(452, AT_FDCWD, at(path), mode, 0); }) != 0);   // fchmodat2
        CHECK(under(calls, [&] { return call(SYS_mkdirat, AT_FDCWD, at(fresh), mode); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_mknodat, AT_FDCWD, at(fresh), new_file | mode, 0); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_openat, AT_FDCWD, at(fresh), O_WRONLY | O_CREAT, mode); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_openat, AT_FDCWD, at(place), O_WRONLY | O_TMPFILE, mode); }) == EPERM);
        // Without a file to be made nobody looks at the mode, and programs leave there what they like.
        CHECK(under(calls, [&] { return call(SYS_openat, AT_FDCWD, at(path), O_RDONLY, mode); }) == 0);
#if defined(__x86_64__)
        CHECK(under(calls, [&] { return call(SYS_chmod, at(path), mode); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_creat, at(fresh), mode); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_mkdir, at(fresh), mode); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_mknod, at(fresh), new_file | mode, 0); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_open, at(fresh), O_WRONLY | O_CREAT, mode); }) == EPERM);
        CHECK(under(calls, [&] { return call(SYS_open, at(place), O_WRONLY | O_TMPFILE, mode); }) == EPERM);
#endif
    }
    CHECK(under(calls, [&] { return call(SYS_openat2, AT_FDCWD, at(path), 0, 0); }) == ENOSYS);
    CHECK(under(calls, [&] { return call(SYS_fchmod, file.get(), 01755); }) == 0);
    CHECK(under(calls, [&] { return call(SYS_openat, AT_FDCWD, at(place), O_WRONLY | O_TMPFILE, 0755); }) == 0);
    CHECK(::access(fresh.c_str(), F_OK) != 0);
    Calls without;
    without.restrict_suid_sgid = false;
    CHECK(under(without, [&] { return call(SYS_fchmod, file.get(), 04755); }) == 0);
    const auto program = [](const Calls& of) { return *seccomp::compile(rules_for(of)); };
    CHECK(refuses_set_ids(program(calls)));
    CHECK_FALSE(refuses_set_ids(program(without)));
    CHECK_FALSE(refuses_set_ids({}));
    ::unlink(path.c_str());
    ::rmdir(folder);
}

TEST_CASE("a controlling terminal is taken by who has terminals of its own") {
    const auto takes = [] { return call(SYS_ioctl, -1, 0x540e, 0); };
    CHECK(under({}, takes) == EPERM);
    Calls with_ptys;
    with_ptys.ptys = true;
    CHECK(under(with_ptys, takes) == EBADF);
}

TEST_CASE("an unknown call is ENOSYS, and clone3 too, so that programs fall back to what a filter can see") {
    CHECK(under({}, [] { return call(999); }) == ENOSYS);
    CHECK(under({}, [] { return call(SYS_clone3); }) == ENOSYS);
    Calls with_namespaces;
    with_namespaces.namespaces = true;
    CHECK(under(with_namespaces, [] { return call(SYS_clone3, 0, 0); }) == EINVAL);
}

#if defined(__x86_64__)
TEST_CASE("another ABI kills: i386 and x32") {
    const auto by_i386 = [] {
        ::signal(SIGSEGV, SIG_DFL);   // doctest's handler would report a crash of the case
        long result = 20;             // getpid
        __asm__ volatile("int $0x80" : "+a"(result) : : "r8", "r9", "r10", "r11", "memory");
        return result;
    };
    // A kernel that has no calls of i386 (ia32_emulation=0) raises SIGSEGV before any filter is asked.
    const bool kernel_has_it = in_child(by_i386) != -SIGSEGV;
    CHECK(under({}, by_i386) == (kernel_has_it ? -SIGSYS : -SIGSEGV));
    CHECK(under({}, [] { return call(0x40000000 + SYS_getpid); }) == -SIGSYS);
}
#endif

TEST_CASE("clone makes processes and threads, but no namespaces") {
    CHECK(under({}, [] {
        const pid_t child = ::fork();
        if (child == 0) ::_exit(0);
        return ::waitpid(child, nullptr, 0) == child ? 0L : -1L;
    }) == 0);
    for (const long flag : {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET}) {
        CAPTURE(flag);
        CHECK(under({}, [=] { return call(SYS_clone, flag | SIGCHLD); }) == EPERM);
        CHECK(under({}, [=] { return call(SYS_clone, upper_bit | flag | SIGCHLD); }) == EPERM);
    }
}

TEST_CASE("T21: requests to terminals are compared by the 32 bits that the kernel looks at") {
    for (const long request : {0x5412L, 0x541cL, 0x541dL, 0x5423L}) {
        CAPTURE(request);
        CHECK(under({}, [=] { return call(SYS_ioctl, 0, request, 0); }) == EPERM);
        CHECK(under({}, [=] { return call(SYS_ioctl, 0, request | upper_bit, 0); }) == EPERM);
    }
    CHECK(under({}, [] { return call(SYS_ioctl, -1, FIONREAD, 0); }) == EBADF);
}

TEST_CASE("D15: in strict only requests of ioctl(2) that are known to be harmless go through, by all their 32 bits") {
    Calls calls;
    calls.few_ioctls = true;
    const auto asked = [](long request) { return [=] { return call(SYS_ioctl, -1, request, 0); }; };
    // FS_IOC_SETFLAGS, FSSETXATTR, FICLONE, FICLONERANGE, FIDEDUPERANGE, SET_ENCRYPTION_POLICY, ENABLE_VERITY, SETVERSION, EXT4_IOC_MIGRATE,
    // EXT4_IOC_SWAP_BOOT, BTRFS_IOC_SNAP_CREATE, F2FS_IOC_START_ATOMIC_WRITE, FAT_IOCTL_SET_ATTRIBUTES, one that is nobody's.
    for (const long request : {0x40086602L, 0x401c5820L, 0x40049409L, 0x4020940dL, 0xc0189436L, 0x800c6613L, 0x40806685L, 0x40087602L, 0x6609L,
                               0x6611L, 0x50009401L, 0xf501L, 0x40047211L, 0x12345678L}) {
        CAPTURE(request);
        CHECK(under(calls, asked(request)) == ENOTTY);
        CHECK(under(calls, asked(request | upper_bit)) == ENOTTY);
    }
    for (const long request : {long{FIONREAD}, long{FIOCLEX}, long{FIONBIO}, 0x5401L, 0x5413L, 0x80086601L, 0x8933L}) {
        CAPTURE(request);
        CHECK(under(calls, asked(request)) == EBADF);
    }
    CHECK(under(calls, asked(0x5412)) == EPERM);
    calls.allow_ioctls = {0x40086602U, 0x12345678U};
    CHECK(under(calls, asked(0x40086602)) == EBADF);
    CHECK(under(calls, asked(0x12345678)) == EBADF);
    CHECK(under(calls, asked(0x401c5820)) == ENOTTY);
    for (std::uint32_t i = 0; i < 62; ++i) calls.allow_ioctls.push_back(0x7000U + i);
    CHECK(under(calls, asked(0x703d)) == EBADF);
    calls.any_ioctl = true;
    CHECK(under(calls, asked(0x401c5820)) == EBADF);
}

TEST_CASE("D15: beside a lent device its driver's requests go through, and those that change files do not") {
    Calls calls;
    calls.few_ioctls = calls.devices_lent = true;
    const auto asked = [](long request) { return [=] { return call(SYS_ioctl, -1, request, 0); }; };
    for (const long request : {0x40086602L, 0x401c5820L, 0x40049409L, 0xc0189436L, 0x40806685L, 0x50009401L}) CHECK(under(calls, asked(request)) == ENOTTY);
    for (const long request : {0x80086601L, 0x400454caL, 0xae01L, 0x4501L}) CHECK(under(calls, asked(request)) == EBADF);
    calls.allow_ioctls = {0x40086602U};
    CHECK(under(calls, asked(0x40086602)) == EBADF);
}

TEST_CASE("D15: where /proc/self/fd is a name of a lent file, calls that change rights by name are denied, and allow gives them back") {
    Calls calls;
    calls.descriptors_have_names = true;
    for (const long number : {long{SYS_chmod}, long{SYS_fchmodat}, long{SYS_setxattr}, long{SYS_removexattr}}) {
        CAPTURE(number);
        CHECK(under(calls, [=] { return call(number, 0, 0, 0, 0); }) == EPERM);
    }
    calls.allow = {"chmod"};
    CHECK(under(calls, [] { return call(SYS_chmod, 0, 0); }) == EFAULT);
    CHECK(under(calls, [] { return call(SYS_setxattr, 0, 0, 0, 0); }) == EPERM);
    calls.allow = {"@files"};
    CHECK(under(calls, [] { return call(SYS_setxattr, 0, 0, 0, 0); }) == EFAULT);
}

TEST_CASE("shared memory is not mapped executable where what was written is not to run") {
    Calls calls;
    calls.no_code_in_shared_memory = true;
    CHECK(under(calls, [] { return call(SYS_shmat, -1, 0, 0100000); }) == EPERM);
    CHECK(under(calls, [] { return call(SYS_shmat, -1, 0, 0); }) == EINVAL);
}

TEST_CASE("D13: filters on sockets and their lock are denied, other options are not") {
    const auto set = [](int level, int option) {
        return [=] {
            const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
            const int value = 1;
            return static_cast<long>(::setsockopt(fd, level, option, &value, sizeof value));
        };
    };
    for (const int option : {SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF,
                             SO_ATTACH_REUSEPORT_EBPF}) {
        CAPTURE(option);
        CHECK(under({}, set(SOL_SOCKET, option)) == EPERM);
        // The same number of another protocol is another option (26 is IPV6_V6ONLY).
        CHECK(under({}, set(41, option)) != EPERM);
    }
    CHECK(under({}, set(SOL_SOCKET, SO_PASSCRED)) == 0);
    CHECK(under({}, [] { return call(SYS_setsockopt, 0, SOL_SOCKET | upper_bit, SO_LOCK_FILTER | upper_bit, 0, 0); }) == EPERM);
}

TEST_CASE("only unix sockets are made, unless the network is the host's") {
    const auto make = [](long family) { return [=] { return call(SYS_socket, family, SOCK_STREAM, 0); }; };
    CHECK(under({}, make(AF_UNIX)) == 0);
    for (const long family : {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG}) {
        CAPTURE(family);
        CHECK(under({}, make(family)) == EPERM);
    }
    Calls host;
    host.network = true;
    CHECK(under(host, make(AF_INET)) == 0);
    CHECK(under(host, make(AF_INET6)) != EPERM);
    CHECK(under(host, make(AF_PACKET)) == EPERM);
    CHECK(under(host, make(AF_ALG)) == EPERM);
    host.inet_sockets_lent = true;
    CHECK(under(host, make(AF_INET)) == EPERM);
}

TEST_CASE("D1, D5: with lent inet sockets connect, bind and listen are denied whole, accept stays") {
    Calls calls;
    calls.inet_sockets_lent = true;
    for (const long number : {SYS_connect, SYS_bind, SYS_listen}) CHECK(under(calls, [=] { return call(number, -1); }) == EPERM);
    for (const long number : {SYS_accept, SYS_accept4, SYS_sendmsg, SYS_sendto}) {
        CHECK(under(calls, [=] { return call(number, -1); }) == EBADF);
    }
    CHECK(under({}, [] { return call(SYS_connect, -1); }) == EBADF);
}

TEST_CASE("D1: nobody connects by sending") {
    CHECK(under({}, [] { return call(SYS_sendto, -1, 0, 0, MSG_FASTOPEN, 0, 0); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_sendto, -1, 0, 0, MSG_FASTOPEN | MSG_NOSIGNAL, 1, 16); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_sendmsg, -1, 0, MSG_FASTOPEN | MSG_DONTWAIT); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_sendmmsg, -1, 0, 0, MSG_FASTOPEN); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_sendto, -1, 0, 0, MSG_NOSIGNAL, 0, 0); }) == EBADF);
}

TEST_CASE("where ports are restricted there is no socket that gets to them past Landlock") {
    constexpr int smc = 256;
    Calls calls;
    calls.network = true;
    const auto make = [](int family, int protocol) {
        return [=] { return call(SYS_socket, family, SOCK_STREAM | SOCK_CLOEXEC, protocol); };
    };
    CHECK(under(calls, make(AF_INET, IPPROTO_MPTCP)) != EPERM);
    calls.ports_restricted = true;
    for (const int family : {AF_INET, AF_INET6}) {
        CHECK(under(calls, make(family, IPPROTO_MPTCP)) == EPROTONOSUPPORT);
        CHECK(under(calls, make(family, smc)) == EPROTONOSUPPORT);
        CHECK(under(calls, make(family, IPPROTO_TCP)) == 0);
        CHECK(under(calls, make(family, 0)) == 0);
    }
    CHECK(gets_past_ports(AF_INET, IPPROTO_MPTCP));
    CHECK_FALSE(gets_past_ports(AF_INET, IPPROTO_TCP));
    CHECK_FALSE(gets_past_ports(AF_NETLINK, smc));
}

TEST_CASE("D2: with lent datagram sockets nothing is sent to an address") {
    Calls calls;
    calls.datagram_sockets_lent = true;
    CHECK(under(calls, [] { return call(SYS_sendto, -1, 0, 0, 0, 0, 0); }) == EBADF);
    CHECK(under(calls, [] { return call(SYS_sendto, -1, 0, 0, 0, 1, 16); }) == EPERM);
    CHECK(under(calls, [] { return call(SYS_sendto, -1, 0, 0, 0, upper_bit, 16); }) == EPERM);
    CHECK(under(calls, [] { return call(SYS_sendmsg, -1); }) == EPERM);
    CHECK(under(calls, [] { return call(SYS_sendmmsg, -1); }) == EPERM);
    CHECK(under(calls, [] { return call(SYS_connect, -1); }) == EPERM);
}

TEST_CASE("where the kernel cannot refuse descriptors, the filter refuses to send them") {
    const auto send = [] { return call(SYS_sendmsg, -1, 0, 0); };
    CHECK(under({}, send, SentDescriptors::refused_by_socket) == EBADF);
    CHECK(under({}, send, SentDescriptors::refused_by_filter) == EPERM);
    Calls may;
    may.may_send_descriptors = true;
    CHECK(under(may, send, SentDescriptors::refused_by_filter) == EBADF);
}

TEST_CASE("D10: out-of-band bytes are denied") {
    CHECK(under({}, [] { return call(SYS_sendto, -1, 0, 0, MSG_OOB, 0, 0); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_recvfrom, -1, 0, 0, MSG_OOB | MSG_DONTWAIT, 0, 0); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_recvmsg, -1, 0, MSG_OOB); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_recvmsg, -1, 0, MSG_DONTWAIT); }) == EBADF);
}

TEST_CASE("T36: leases cannot be taken") {
    CHECK(under({}, [] { return call(SYS_fcntl, 0, F_SETLEASE, F_WRLCK); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_fcntl, 0, F_NOTIFY, 0); }) == EPERM);
    CHECK(under({}, [] { return call(SYS_fcntl, -1, F_GETFD); }) == EBADF);
}

TEST_CASE("personality can be asked and left as it is, not changed") {
    CHECK(under({}, [] { return call(SYS_personality, 0xffffffffL) < 0 ? -1L : 0L; }) == 0);
    CHECK(under({}, [] { return call(SYS_personality, 0) < 0 ? -1L : 0L; }) == 0);
    CHECK(under({}, [] { return call(SYS_personality, 0x0040000); }) == EPERM);
}

TEST_CASE("calls are added and taken away by name; what is taken away stays away") {
    Calls calls;
    calls.allow = {"kcmp", "chroot"};
    calls.deny = {{"chroot"}, {"uname"}};
    CHECK(under(calls, [] { return call(SYS_kcmp, -1, -1, -1, -1, -1); }) != EPERM);
    CHECK(under(calls, [] { return call(SYS_chroot, 0); }) == EPERM);
    CHECK(under(calls, [] { return call(SYS_uname, 0); }) == EPERM);
}

TEST_CASE("a name that is no call is said") {
    Calls calls;
    calls.deny = {{"read"}, {"raed"}};
    std::string unknown;
    CHECK_FALSE(rules_of(calls, SentDescriptors::refused_by_socket, unknown));
    CHECK(unknown == "raed");
}

namespace {

// setsockopt(2) on a descriptor that is none: the filter's answer, or EBADF behind it.
int sets(const Calls& calls, long level, long option) {
    return under(calls, [=] { return call(SYS_setsockopt, -1, level, option, 0, 0); });
}

Calls lending(std::uint32_t kinds) {
    Calls calls;
    calls.inet_sockets_lent = (kinds & ~static_cast<std::uint32_t>(socket_options::lent_unix)) != 0;
    calls.lent_sockets = kinds;
    return calls;
}

constexpr std::uint32_t tcp_of_ipv6 = socket_options::lent_ipv6 | socket_options::lent_tcp;

}  // namespace

TEST_CASE("T39: beside lent sockets each option of the table has its answer, and what is not in it has ENOPROTOOPT") {
    const auto program = seccomp::compile(rules_for(lending(tcp_of_ipv6)));
    REQUIRE(program);
    const auto answer = [&](unsigned long level, unsigned long option) { return verdict_of(*program, SYS_setsockopt, {0, level, option, 0, 0, 0}); };
    constexpr std::uint32_t no_such = SECCOMP_RET_ERRNO | ENOPROTOOPT;
    for (const auto& level : socket_options::levels()) {
        for (std::uint32_t number = 0; number < 1024; ++number) {
            const auto* option = socket_options::find(level.number, number);
            const bool harmless = option != nullptr && option->harmless;
            CAPTURE(level.name);
            CAPTURE(number);
            REQUIRE(answer(level.number, number) == (harmless ? SECCOMP_RET_ALLOW : no_such));
        }
    }
    for (const unsigned long level : {2UL, 33UL, 132UL, 282UL, 284UL, 0xffffffffUL}) CHECK(answer(level, 1) == no_such);
    // The kernel reads 32 bits of each.
    CHECK(answer(6UL | 1UL << 40, 1UL | 1UL << 50) == SECCOMP_RET_ALLOW);
    CHECK(answer(41UL | 1UL << 40, 57UL | 1UL << 32) == no_such);
}

TEST_CASE("T39: what servers set may be set, and what leads elsewhere may not, as the kernel applies it") {
    const Calls calls = lending(tcp_of_ipv6);
    struct Number {
        long level, option;
    };
    for (const Number one : {Number{SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_REUSEPORT}, {SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_LINGER},
                             {SOL_SOCKET, SO_SNDBUF}, {SOL_SOCKET, SO_RCVBUF}, {SOL_SOCKET, SO_RCVTIMEO}, {SOL_SOCKET, SO_SNDTIMEO}, {6, 1}, {6, 3},
                             {6, 4}, {6, 5}, {6, 6}, {6, 9}, {6, 12}, {6, 18}, {6, 23}, {41, 26}, {41, 66}, {41, 67}, {0, 1}, {0, 13}}) {
        CHECK(sets(calls, one.level, one.option) == EBADF);
    }
    for (const Number one : {Number{41, 57}, {41, 54}, {41, 55}, {41, 59}, {41, 50}, {41, 6}, {41, 76}, {41, 20}, {0, 4}, {0, 8}, {0, 50}, {0, 35},
                             {6, 30}, {6, 31}, {17, 100}, {SOL_SOCKET, SO_DONTROUTE}, {SOL_SOCKET, SO_BINDTODEVICE}, {SOL_SOCKET, 62},
                             {SOL_SOCKET, SO_ATTACH_FILTER}, {SOL_SOCKET, SO_MARK}, {SOL_SOCKET, 83}}) {
        CHECK(sets(calls, one.level, one.option) == ENOPROTOOPT);
    }
    CHECK(sets({}, 41, 57) == EBADF);
}

TEST_CASE("options that the config names may be set, and no others with them") {
    Calls calls = lending(tcp_of_ipv6);
    calls.socket_options = {"IPV6_UNICAST_HOPS", "TCP_CONGESTION"};
    CHECK(sets(calls, 41, 16) == EBADF);
    CHECK(sets(calls, 6, 13) == EBADF);
    CHECK(sets(calls, 41, 17) == ENOPROTOOPT);
    CHECK(sets(calls, 6, 1) == EBADF);
}

TEST_CASE("where unix sockets alone are lent the options of other protocols are about the worker's own sockets") {
    const Calls calls = lending(socket_options::lent_unix);
    CHECK(sets(calls, SOL_SOCKET, SO_KEEPALIVE) == EBADF);
    CHECK(sets(calls, SOL_SOCKET, SO_PASSCRED) == EBADF);
    CHECK(sets(calls, SOL_SOCKET, SO_MAX_PACING_RATE) == ENOPROTOOPT);
    CHECK(sets(calls, SOL_SOCKET, SO_ATTACH_FILTER) == ENOPROTOOPT);
    CHECK(sets(calls, 0, 2) == EBADF);
    CHECK(sets(calls, 0, 21) == EPERM);
}

TEST_CASE("beside listeners one of listen and connect is left, never both, and neither beside what could be led elsewhere") {
    const auto left = [](const Calls& calls) {
        std::string names;
        for (const auto& [name, number] : {std::pair{"bind", SYS_bind}, {"listen", SYS_listen}, {"connect", SYS_connect}}) {
            const int answer = under(calls, [=] { return call(number, -1); });
            CHECK((answer == EBADF || answer == EPERM));
            if (answer == EBADF) names += std::string(name) + " ";
        }
        return names;
    };
    Calls calls = lending(tcp_of_ipv6);
    calls.listeners_lent = true;
    CHECK(left(calls) == "listen ");
    calls.beside_listeners = BesideListeners::connect;
    CHECK(left(calls) == "connect ");
    calls.beside_listeners = BesideListeners::neither;
    CHECK(left(calls) == "");
    calls.connections_lent = true;
    calls.only_listeners_lent = false;
    for (const auto choice : {BesideListeners::listen, BesideListeners::connect}) {
        calls.beside_listeners = choice;
        CHECK(left(calls) == "");
    }
    calls.connections_lent = false;
    calls.datagram_sockets_lent = true;
    CHECK(left(calls) == "");
    calls.beside_listeners = BesideListeners::listen;
    CHECK(left(calls) == "listen ");
}

TEST_CASE("who may connect beside listeners makes its own sockets in the host's network, but none that get past Landlock's ports") {
    Calls calls = lending(tcp_of_ipv6);
    calls.listeners_lent = calls.network = true;
    const auto make = [](long family, long protocol) { return [=] { return call(SYS_socket, family, SOCK_STREAM, protocol); }; };
    CHECK(under(calls, make(AF_INET, 0)) == EPERM);
    calls.beside_listeners = BesideListeners::connect;
    CHECK(under(calls, make(AF_INET, 0)) == 0);
    CHECK(under(calls, make(AF_INET, 262)) == EPROTONOSUPPORT);
    CHECK(under(calls, [] { return call(SYS_sendto, -1, 0, 0, MSG_FASTOPEN, 0, 0); }) == EPERM);
    calls.network = false;
    CHECK(under(calls, make(AF_INET, 0)) == EPERM);
}
