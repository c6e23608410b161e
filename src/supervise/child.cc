#include "supervise/child.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "sys/process.h"

namespace warder::supervise {
namespace {

Duration as_duration(const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

Exit as_exit(const siginfo_t& info) {
    const bool by_itself = info.si_code == CLD_EXITED;
    return {by_itself ? Exit::Kind::code : Exit::Kind::signal, info.si_status};
}

// glibc's waitid(2) leaves the kernel's fifth argument out: resource use, as wait4(2) gives it.
long wait_for(int pidfd, siginfo_t& info, int options, rusage* usage) {
    return ::syscall(SYS_waitid, P_PIDFD, pidfd, &info, options | WEXITED | WNOHANG, usage);
}

}  // namespace

bool Child::ended() const {
    siginfo_t info{};
    return wait_for(pidfd_.get(), info, WNOWAIT, nullptr) != 0 || info.si_pid != 0;
}

bool Child::ended_by_signal() const {
    siginfo_t info{};
    if (wait_for(pidfd_.get(), info, WNOWAIT, nullptr) != 0 || info.si_pid == 0) return false;
    return info.si_code != CLD_EXITED;
}

std::optional<Reaped> Child::reap() {
    siginfo_t info{};
    rusage usage{};
    const long result = wait_for(pidfd_.get(), info, 0, &usage);
    if (result == 0 && info.si_pid == 0) return std::nullopt;
    pidfd_.reset();
    pid_ = -1;
    // ECHILD: somebody else reaped it. It is no more, and that is all we shall ever know.
    if (result != 0) return Reaped{};
    return Reaped{as_exit(info), info.si_code == CLD_DUMPED, as_duration(usage.ru_utime), as_duration(usage.ru_stime),
                  static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
}

Result<void> Child::send(int signal) const { return send_signal(pidfd_.get(), signal); }

void Child::kill_process_group() const {
    if (pid_ > 1) ::kill(-pid_, SIGKILL);
}

}  // namespace warder::supervise
