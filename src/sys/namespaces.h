// Entering namespaces. What changes this process itself is done only where it cannot be left half done.
#pragma once

#include "base/error.h"
#include "sys/fd.h"

namespace warder {

// The pid namespace that this process lives in (not the one that its children would be born in).
Result<Fd> open_own_pid_namespace();

// The mount namespace of a child of ours that is not reaped yet, so that the number cannot have gone to another.
Result<Fd> open_mount_namespace(int child_pid);

// While it lives, children are born in the pid namespace of `pidfd`'s process. Nothing else changes for this process.
// Going back must work: a parent that lost its own pid namespace could never fork for itself again, so it aborts.
class PidNamespaceScope {
public:
    // Errors: EPERM (needs CAP_SYS_ADMIN, and CAP_SYS_PTRACE for a process of another uid), ESRCH.
    static Result<PidNamespaceScope> enter(int pidfd, const Fd& own_pid_namespace);
    ~PidNamespaceScope();
    PidNamespaceScope(PidNamespaceScope&& other) noexcept : back_(other.back_) { other.back_ = -1; }
    PidNamespaceScope(const PidNamespaceScope&) = delete;
    PidNamespaceScope& operator=(const PidNamespaceScope&) = delete;
    PidNamespaceScope& operator=(PidNamespaceScope&&) = delete;

private:
    explicit PidNamespaceScope(int back) : back_(back) {}
    int back_;
};

}  // namespace warder
