#include "sys/process.h"

#include <linux/sched.h>
#include <poll.h>
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
