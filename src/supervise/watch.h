// What the poller's events of this module are about. Kinds 1 to 15 of PollTag::kind belong to supervise; `id` is the
// worker's and `generation` the number of its life, so an event of a life that is over finds nothing.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "sys/poller.h"

namespace warder::supervise {

enum class Watch : std::uint8_t {
    stub_status = 1,   // the stub's set-up went on, or failed
    main_status = 2,   // the program's set-up went on, or failed
    main_exit = 3,     // the main process ended
    stub_exit = 4,     // the stub ended
    notify = 5,        // something was said to NOTIFY_SOCKET; one socket for all lives, its generation is 0
    group = 6,         // the cgroup became empty, or not
    spare_sandbox = 7,     // of the next life: was made, or is no more; its generation is 0
};

inline constexpr std::uint8_t last_watch = 15;

inline bool is_watch(PollTag tag) { return tag.kind >= 1 && tag.kind <= last_watch; }

}  // namespace warder::supervise
