// The syscall monitor itself: a process that holds the listener of one worker's filter, sees each call that the filter denies, and answers it
// with the errno that the filter would have given. It lets nothing through: there is no answer of its that allows a call, and
// when it is no more the kernel answers ENOSYS to what waits and to all that follows. It never follows a pointer of the worker's:
// what it decides by is what the kernel copied into its notification, run through the filter as it was planned.
#pragma once

#include <linux/filter.h>

#include <array>
#include <cstdint>

#include "sys/fd.h"

namespace warder::sandbox {

// Both ends are the same binary, so this is not a protocol; it is decoded as carefully all the same.
namespace syscall_monitor_wire {

enum class Kind : std::uint32_t { adopt = 1, over = 2, seen = 3 };

// To the syscall monitor. `adopt` comes with the end of a socket on which the child of that life sends its listener, and is followed by
// `length` instructions of its filter.
struct Order {
    Kind kind{};
    std::uint32_t life = 0;
    std::uint32_t length = 0;
    std::uint32_t reserved = 0;
};
inline constexpr std::size_t max_instructions = BPF_MAXINSNS;

inline constexpr std::size_t max_calls = 64;
inline constexpr std::size_t name_room = 32;

struct Entry {
    std::int32_t number = -1;
    std::int32_t error = 0;                  // 0: it ends the worker
    std::int32_t pid = 0;
    std::uint8_t foreign = 0;
    std::uint8_t plain = 0;
    std::uint16_t reserved = 0;
    std::uint64_t count = 0;
    std::int64_t first = 0;
    std::int64_t last = 0;
    std::array<std::uint64_t, 6> arguments{};
    std::array<char, name_room> name{};      // NUL-terminated
};

// From the syscall monitor: when a call is seen for the first time before it is answered, and otherwise at most ten times a second.
// `entries` of these follow.
struct Report {
    Kind kind{};
    std::uint32_t life = 0;
    std::uint32_t entries = 0;
    std::uint32_t killed = 0;                // 1: one that ends the worker waits, and is not answered
    std::uint64_t others = 0;                // calls for which there was no room
};

}  // namespace syscall_monitor_wire

// The life of a syscall monitor, from just after the fork. `socket` is its end of the pair with the parent; every other descriptor but
// 0 to 2 is closed. Never returns.
[[noreturn]] void monitor_calls(Fd socket);

}  // namespace warder::sandbox
