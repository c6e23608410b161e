// What the poller's events are about: the one list of PollTag::kind. Each module has a range of its own, so that the loop hands an event to
// whom it belongs by its number alone.
#pragma once

#include <cstdint>

namespace warder {

enum class PollKind : std::uint8_t {
    // supervise. `id`: the worker; `generation`: the number of its life, so that an event of a life that is over finds nothing
    stub_status = 1,     // the stub's set-up went on, or failed
    main_status = 2,     // the program's set-up went on, or failed
    main_exit = 3,       // the main process ended
    stub_exit = 4,       // the stub ended
    notify = 5,          // something was said to NOTIFY_SOCKET; one socket for all lives, its generation is 0
    group = 6,           // the cgroup became empty, or not
    spare_sandbox = 7,   // of the next life: was made, or is no more; its generation is 0

    // broker and the processes beside
    session = 16,                 // id: the worker; generation: its session
    opener = 17,                  // id: the opener's slot; generation: its life. The socket to it
    opener_exit = 18,
    runner = 19,                  // generation: its life. The socket to the one that runs commands
    runner_exit = 20,
    descriptor_store = 21,        // id: the worker; generation: its descriptor store's life. The socket to it
    descriptor_store_exit = 22,
    joiner_exit = 23,             // id: the pair; generation: the attempt. Who made a channel's two ends and sent them has ended
    rotation = 24,                // a secret's file changed
    syscall_monitor = 25,         // id: the worker; generation: its syscall monitor's life. The socket to it
    syscall_monitor_exit = 26,

    // control. `id`: the client's place; `generation`: its life in that place
    control_listener = 32,
    control_client = 33,
    control_timer = 34,   // a client that does not read has had its time

    // daemon
    timer = 48,
    signals = 49,
    inquiry = 50,        // id: the inquiry's number
    inquiry_exit = 51,
};

constexpr bool is_of_supervise(std::uint8_t kind) { return kind >= 1 && kind < 16; }
constexpr bool is_of_control(std::uint8_t kind) { return kind >= 32 && kind < 48; }

}  // namespace warder
