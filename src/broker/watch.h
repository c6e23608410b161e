// Kinds of poll tags that are the broker's: 16 to 31.
#pragma once

#include <cstdint>

namespace warder::broker {

enum class Watch : std::uint8_t {
    session = 16,   // id: the worker, generation: its session
    opener = 17,    // id: the opener's slot, generation: its life. The socket to it
    opener_exit = 18,
};

}  // namespace warder::broker
