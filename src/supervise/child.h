// Child: one process of ours, named by its pidfd from birth to reaping. Nothing here waits.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/error.h"
#include "base/time.h"
#include "supervise/lifecycle.h"
#include "sys/fd.h"

namespace warder::supervise {

// What waitid(2) tells of a child that is no more.
struct Reaped {
    Exit exit;
    bool core = false;                  // a core was written
    Duration user_time{};
    Duration system_time{};
    std::uint64_t largest_memory = 0;   // bytes
};

class Child {
public:
    Child() = default;
    Child(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

    explicit operator bool() const { return static_cast<bool>(pidfd_); }
    pid_t pid() const { return pid_; }
    int pidfd() const { return pidfd_.get(); }

    // Whether it has ended and waits to be reaped.
    bool ended() const;

    // Whether it has become another program by execve(2), also if that has ended by now. Unknown counts as yes.
    bool has_executed() const;

    // Reaps it if it has ended; it is empty then. nullopt: it lives.
    std::optional<Reaped> reap();

    // Errors: ESRCH once it has ended.
    Result<void> send(int signal) const;

private:
    pid_t pid_ = -1;
    Fd pidfd_;
};

}  // namespace warder::supervise
