// Making, signalling and reaping processes by descriptor. clone3 is always the plain kind: a child that shares our memory
// (CLONE_VM, CLONE_VFORK) and stops in its set-up would stop us.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "sys/fd.h"

namespace warder {

// All signals of this thread are held back while it lives, so that a child never runs a handler of its parent.
class SignalsBlocked {
public:
    SignalsBlocked();
    ~SignalsBlocked();
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    sigset_t before_;
};

struct Cloned {
    pid_t pid = -1;   // 0: this is the child, which must never return to its caller's caller
    Fd pidfd;         // the parent's
};

// clone3 with CLONE_PIDFD. `namespaces` are CLONE_NEW* flags; `cgroup` is a directory of cgroup v2 to be born in, or -1.
// Errors: clone3's own; EOPNOTSUPP where the kernel cannot clone into a cgroup (before 5.7).
Result<Cloned> clone_process(std::uint64_t namespaces, int cgroup);

// A child of this process that is born in the pid namespace of `stub`'s process, where this process could not come back from it
// itself (its own belongs to a user namespace above): a helper goes there and makes its own sibling. Waits for those two calls.
// Errors: clone3's, setns's, and those of pipe2.
Result<Cloned> clone_through_helper(int stub, int cgroup);

// A pidfd of `pid`. Of a child that we have not reaped it cannot name another process.
Result<Fd> open_pidfd(pid_t pid);

// Errors: ESRCH (already gone), EPERM.
Result<void> send_signal(int pidfd, int signal);

// How a child ended.
struct Ended {
    bool by_signal = false;
    int value = 0;        // exit code or signal
    bool core = false;    // a core was written
};

// Reaps the child behind `pidfd` if it has ended; never waits. Errors: ECHILD.
Result<std::optional<Ended>> reap(int pidfd);

// Waits up to `timeout_ms` for the process to end, without reaping it. False: it runs on.
bool ended_within(int pidfd, int timeout_ms);

}  // namespace warder
