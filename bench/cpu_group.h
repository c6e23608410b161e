// The groups among which the kernel's scheduler divides a processor. Started by hand each session is one (autogroup, sched(7)), and
// going from one session to another costs more. A CPU control group overrides that, and a service of systemd with Delegate=yes
// has one, as systemd/warder.service does: there it is one group for warderd and all workers that have no CPU limits of their own.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "base/error.h"

namespace warder::bench {

// Whether each session is a group for who is where this process is.
bool sessions_are_groups();

// A CPU control group of the bench's own, removed with this; who is still in it goes back first.
class CpuGroup {
public:
    // Errors: ENOTSUP when cgroup v1's controller "cpu" is mounted nowhere (v2's would have to be given to all that runs on the
    // machine), and those of mkdir(2).
    static Result<CpuGroup> make();
    CpuGroup(CpuGroup&& other) noexcept : root_(std::move(other.root_)), path_(std::exchange(other.path_, {})) {}
    CpuGroup& operator=(CpuGroup&&) = delete;
    ~CpuGroup();

    // Moves a process into it, or back to the root: 0 is this one. What it forks from then on is where it is. Errors: those of open(2)
    // and write(2).
    Result<void> take(pid_t pid) const;
    Result<void> release(pid_t pid) const;

private:
    CpuGroup(std::string root, std::string path) : root_(std::move(root)), path_(std::move(path)) {}
    std::string root_;
    std::string path_;
};

}  // namespace warder::bench
