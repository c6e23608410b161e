// Kinds of poll tags that are the broker's: 16 to 31.
#pragma once

#include <cstdint>

namespace warder::broker {

enum class Watch : std::uint8_t {
    session = 16,   // id: the worker, generation: its session
    opener = 17,    // id: the opener's slot, generation: its life. The socket to it
    opener_exit = 18,
    runner = 19,    // generation: its life. The socket to the one that runs commands
    runner_exit = 20,
    descriptor_store = 21, // id: the worker, generation: its descriptor store's life. The socket to it
    descriptor_store_exit = 22,
    joiner_exit = 23,   // id: the pair, generation: the attempt. Who made a channel's two ends and sent them has ended
    rotation = 24,      // a secret's file changed
    syscall_monitor = 25,       // id: the worker, generation: its syscall monitor's life. The socket to it
    syscall_monitor_exit = 26,
};

}  // namespace warder::broker
