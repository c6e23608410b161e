// The runner itself: one process with the parent's code that starts commands, gives the worker their pipes, watches how they
// end and kills those that take too long. Programs may lie on a file system that hangs and workers may not read, so each
// command is waited for on its own, and none by the parent. When it ends, or its parent does, its commands end with it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/time.h"
#include "sys/fd.h"

namespace warder::opener {

// Both ends are the same binary, so this is not a protocol; it is decoded as carefully all the same.
namespace runner_wire {

enum class Kind : std::uint32_t { start = 1, kill = 2, begun = 3, ended = 4 };

inline constexpr std::uint32_t pipe_in = 1;
inline constexpr std::uint32_t pipe_out = 2;
inline constexpr std::uint32_t pipe_err = 4;

// To the runner, with a descriptor of the worker's channel. The grant's name follows, then each word, all NUL-terminated.
struct Start {
    Kind kind = Kind::start;
    std::uint32_t pipes = 0;
    std::uint64_t job = 0;
    std::int64_t timeout = 0;   // nanoseconds
    std::uint32_t uid = 65534;
    std::uint32_t gid = 65534;
    std::uint32_t request = 0;
    std::uint32_t grant = 0;
    std::uint32_t words = 0;
    std::uint32_t reserved = 0;
};

struct Kill {
    Kind kind = Kind::kill;
    std::uint32_t reserved = 0;
    std::uint64_t job = 0;
};

// From the runner: two of each job, begun and then ended, whatever became of it.
struct Report {
    Kind kind{};
    std::int32_t pid = 0;
    std::uint64_t job = 0;
    std::int32_t error = 0;       // begun: why it did not
    std::int32_t value = 0;       // ended: exit code or signal
    std::uint32_t by_signal = 0;
    std::uint32_t timed_out = 0;
    std::int64_t ran = 0;         // nanoseconds
    std::uint32_t unanswered = 0; // begun: the worker was not told, and did not get its ends
    std::uint32_t reserved = 0;
};

}  // namespace runner_wire

struct RunnerOrders {
    std::string groups;       // a directory of cgroup v2 to make one group for each command in; empty: none
    Duration begin_within{};  // from the request to exec; then the worker is told ETIMEDOUT
};

// The life of the runner, from just after the fork. `socket` is its end of the pair with the parent; every other descriptor
// but 0 to 2 is closed. Never returns.
[[noreturn]] void run_commands(Fd socket, const RunnerOrders& orders);

}  // namespace warder::opener
