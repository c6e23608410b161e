// The parent's side of one syscall monitor: makes the socket on which the child of each life hands over the listener of its filter, and hears by
// value which calls were denied. No listener ever comes here: were it held in two places, a worker would wait for a syscall monitor that
// is no more.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>

#include "base/error.h"
#include "sandbox/seen_call.h"
#include "sys/channel.h"
#include "sys/seccomp.h"

namespace warder::sandbox {

class SyscallMonitor {
public:
    // Forks it. Needs root's credentials. Errors: socketpair(2), clone(2).
    static Result<std::unique_ptr<SyscallMonitor>> spawn();
    // Killed; reaped if it ends at once.
    ~SyscallMonitor();
    SyscallMonitor(const SyscallMonitor&) = delete;
    SyscallMonitor& operator=(const SyscallMonitor&) = delete;

    int socket() const { return channel_.get(); }
    int pidfd() const { return pidfd_.get(); }
    pid_t pid() const { return pid_; }

    // A life begins, under this filter as it was planned. Returns what its child is given (Descriptors::syscall_monitor).
    // Errors: those of Channel::send and socketpair(2).
    Result<Fd> adopt(const seccomp::Program& filter);
    // That life is over: whoever of it still waits is answered ENOSYS.
    void over();

    // Takes one report, without waiting. False: there is none, or it is of an earlier life.
    bool hear();
    // What it saw in the latest life in which it saw anything, and whether that is the present one, or the one just over.
    const SeenCalls& seen() const { return seen_; }
    bool seen_now() const { return seen_life_ == life_; }

    // Reaps it if it has ended.
    bool ended();

private:
    SyscallMonitor(Channel channel, Fd pidfd, pid_t pid) : channel_(std::move(channel)), pidfd_(std::move(pidfd)), pid_(pid) {}

    Channel channel_;
    Fd pidfd_;
    pid_t pid_;
    std::uint32_t life_ = 0;
    std::uint32_t seen_life_ = 0;
    bool reaped_ = false;
    SeenCalls seen_;
    std::array<std::byte, max_message> scratch_;
};

}  // namespace warder::sandbox
