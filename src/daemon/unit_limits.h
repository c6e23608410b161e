// What keeps warderd itself from giving its workers what the config says: its unit's (or container's) bounding set, address families
// and filter of calls. Found at load, where it can be named, and not at the start of a worker, where it is "Operation not permitted".
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"

namespace warder::daemon {

// What this process may have and do; asked once, when it begins, since it gives up itself what its config does not need.
struct OwnLimits {
    std::uint64_t bounding = ~std::uint64_t{0};   // capabilities, bit by number
    bool vsock = true;         // sockets of AF_VSOCK
    bool packet = true;        // ... of AF_PACKET
    bool realtime = true;      // scheduling of real time
    bool clock = true;         // setting the clock, for who has the capability
};

const OwnLimits& own_limits();

// A fault of each worker that wants what the limits do not let warderd have: it is not started. The warning has the line for the
// unit's drop-in.
void complain_of_limits(config::Config& config, const OwnLimits& limits, std::vector<config::Problem>& problems);

}  // namespace warder::daemon
