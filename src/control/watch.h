// Poller tags of this module. The loop gives every event whose kind is ours to Server::handle.
#pragma once

#include <cstdint>

namespace warder::control {

inline constexpr std::uint8_t first_watch = 32;
inline constexpr std::uint8_t last_watch = 47;

// What an event of ours is about. `id` of the tag is the client's place, `generation` its life in that place.
enum class Watch : std::uint8_t {
    listener = 32,
    client = 33,
    timer = 34,   // a client that does not read has had its time
};

constexpr bool is_ours(std::uint8_t kind) { return kind >= first_watch && kind <= last_watch; }

}  // namespace warder::control
