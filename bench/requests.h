// What a request costs through warderd, beside the floor, round by round in the same run.
#pragma once

#include <vector>

#include "base/error.h"
#include "bench/measure.h"
#include "bench/subject.h"

namespace warder::bench {

struct Effort {
    std::size_t rounds = 15;        // floor, warderd, floor, warderd ...
    std::size_t requests = 4000;    // in each round
    std::size_t batches = 200;      // of 64 opens, in each round
    std::size_t lives = 200;        // kills and starts
    std::size_t workers = 100;      // for the memory
    Duration idle = std::chrono::seconds(10);
    std::size_t round_trips = 50'000;
    Duration throughput = std::chrono::milliseconds(600);
};

Result<std::vector<Section>> request_sections(const Programs& programs, const Effort& effort);

}  // namespace warder::bench
