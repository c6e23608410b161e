// The descriptor store itself: a process that keeps the descriptors of one worker over that worker's lives. It is the only place where
// a foreign descriptor is ever received or closed, because either can wait for as long as its sender chose (a lingering socket,
// a FUSE file): then this process hangs, and nobody waits for it but its own worker.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

#include "sys/fd.h"

namespace warder::opener {

// Both ends are the same binary, so this is not a protocol; it is decoded as carefully all the same.
namespace descriptor_store_wire {

enum class Kind : std::uint32_t { adopt = 1, begins = 2, over = 3, limit = 4, held = 5, violated = 6 };

// To the descriptor store. `adopt` comes with the end of the worker's next life, before that life exists; `begins` when it does;
// nothing is taken from it until then.
struct Order {
    Kind kind{};
    std::uint32_t life = 0;
    std::uint32_t most = 0;       // adopt, limit: descriptors kept at once
    std::int32_t pid = 0;         // begins: whose messages count
    std::uint32_t uid = 65534;
    std::uint32_t gid = 65534;
};

inline constexpr std::size_t max_names_told = 512;
inline constexpr std::size_t name_room = 64;

// From the descriptor store, at most ten times a second: `entries` of these follow.
struct Entry {
    std::array<char, name_room> name{};   // NUL-terminated
    std::uint32_t count = 0;
    std::uint32_t reserved = 0;
    std::int64_t since = 0;               // nanoseconds since 1970
};

enum class Fault : std::uint32_t { none = 0, no_credentials = 1, too_long = 2, undecodable = 3, wrong_type = 4 };

struct Report {
    Kind kind{};
    std::uint32_t life = 0;       // the latest that was adopted; violated: the one that did it
    Fault fault{};                // violated
    std::uint32_t names = 0;
    std::uint32_t total = 0;      // descriptors kept
    std::uint32_t entries = 0;    // names that follow
    std::uint64_t refused = 0;    // messages that were answered with an error, of all lives
    std::uint64_t strays = 0;     // descriptors that came along where none may, and were closed
};

}  // namespace descriptor_store_wire

struct DescriptorStoreOrders {
    uid_t uid = 65534;            // the worker's
    gid_t gid = 65534;
};

// The life of a descriptor store, from just after the fork. `socket` is its end of the pair with the parent; every other descriptor but
// 0 to 2 is closed. Never returns.
[[noreturn]] void keep_descriptors(Fd socket, const DescriptorStoreOrders& orders);

}  // namespace warder::opener
