// Messages between two processes by each road the kernel has: which one is faster, and when.
#pragma once

#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "bench/measure.h"

namespace warder::bench {

// How long a round trip of 64 bytes takes, and how many messages of each size pass in a second. `round_trips` is the number
// of samples of the first, `span` how long each of the second is measured.
Result<std::vector<Section>> message_sections(std::size_t round_trips, Duration span);

}  // namespace warder::bench
