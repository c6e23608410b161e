#include "supervise/child.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "sys/files.h"
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

// PF_FORKNOEXEC of linux/sched.h; execve(2) clears it before it closes descriptors, and a zombie still has it.
constexpr unsigned long forked_without_exec = 0x40;

// The ninth field of proc_pid_stat(5); the second is the name in brackets, which may hold anything.
unsigned long flags_of(const std::string& stat) {
    const std::size_t name_end = stat.rfind(')');
    unsigned long flags = 0;
    if (name_end == std::string::npos) return 0;
    std::sscanf(stat.c_str() + name_end, ") %*c %*d %*d %*d %*d %*d %lu", &flags);
    return flags;
}

}  // namespace

bool Child::ended() const {
    siginfo_t info{};
    return wait_for(pidfd_.get(), info, WNOWAIT, nullptr) != 0 || info.si_pid != 0;
}

bool Child::has_executed() const {
    const auto stat = read_file("/proc/" + std::to_string(pid_) + "/stat", 4096);
    return !stat || (flags_of(*stat) & forked_without_exec) == 0;
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

}  // namespace warder::supervise
