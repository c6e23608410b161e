#include "sys/process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace warder {

SignalsBlocked::SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

Result<Cloned> clone_process(std::uint64_t namespaces, int cgroup) {
    int pidfd = -1;
    clone_args arguments{};
    arguments.flags = CLONE_PIDFD | namespaces;
    arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
    arguments.exit_signal = SIGCHLD;
    if (cgroup >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = static_cast<std::uint64_t>(cgroup);
    }
    const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    // An older kernel knows a smaller structure, and refuses one that is longer and not zero there.
    if (pid < 0 && errno == E2BIG && cgroup >= 0) return failure(EOPNOTSUPP, "clone3 into a cgroup");
    if (pid < 0) return failure("clone3");
    return Cloned{static_cast<pid_t>(pid), Fd(pidfd)};
}

namespace {

// What the helper has to say: the sibling's pid as this pid namespace has it, or why there is none.
struct Birth {
    pid_t pid = -1;
    int error = 0;
    bool moved = false;   // setns had gone well
};

long clone_sibling(int cgroup) {
    clone_args arguments{};
    arguments.flags = CLONE_PARENT;   // its exit signal is the helper's
    if (cgroup >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = static_cast<std::uint64_t>(cgroup);
    }
    return ::syscall(SYS_clone3, &arguments, sizeof arguments);
}

// Returns in the sibling alone.
void help(int stub, int cgroup, int telling) {
    Birth birth;
    birth.moved = ::setns(stub, CLONE_NEWPID) == 0;
    const long pid = birth.moved ? clone_sibling(cgroup) : -1;
    if (pid == 0) return;
    birth.pid = static_cast<pid_t>(pid);
    birth.error = errno;
    [[maybe_unused]] const ssize_t size = ::write(telling, &birth, sizeof birth);
    for (;;) ::syscall(SYS_exit_group, 0);
}

Result<Birth> hear_of_birth(int listening, int helper) {
    Birth birth;
    const ssize_t size = ::read(listening, &birth, sizeof birth);
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(helper), &info, WEXITED) != 0) return failure("waitid");
    if (size != sizeof birth) return failure(ECHILD, "starting a child in a pid namespace");
    if (birth.pid < 0) return failure(birth.error, birth.moved ? "clone3(CLONE_PARENT)" : "setns(CLONE_NEWPID)");
    return birth;
}

}  // namespace

Result<Cloned> clone_through_helper(int stub, int cgroup) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    const Fd listening(ends[0]);
    Fd telling(ends[1]);
    const Cloned helper = TRY(clone_process(0, -1));
    if (helper.pid == 0) {
        help(stub, cgroup, telling.get());
        return Cloned{0, Fd()};
    }
    telling.reset();
    const Birth birth = TRY(hear_of_birth(listening.get(), helper.pidfd.get()));
    // Our own child, and not reaped: the number is its own.
    return Cloned{birth.pid, TRY(open_pidfd(birth.pid))};
}

Result<Fd> open_pidfd(pid_t pid) {
    // By number: the header of glibc 2.36 declares these calls for C alone.
    const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) return failure("pidfd_open");
    return Fd(fd);
}

Result<void> send_signal(int pidfd, int signal) {
    if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0) return failure("pidfd_send_signal");
    return {};
}

Result<std::optional<Ended>> reap(int pidfd) {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) != 0) return failure("waitid");
    if (info.si_pid == 0) return std::optional<Ended>();
    return std::optional<Ended>({info.si_code != CLD_EXITED, info.si_status, info.si_code == CLD_DUMPED});
}

bool ended_within(int pidfd, int timeout_ms) {
    pollfd ended{pidfd, POLLIN, 0};
    return ::poll(&ended, 1, timeout_ms) == 1;
}

}  // namespace warder
