// What a life costs: spawn to ready, kill -9 to the next life, and what warderd itself costs while nothing happens.
#pragma once

#include <vector>

#include "base/error.h"
#include "bench/measure.h"
#include "bench/requests.h"
#include "bench/subject.h"

namespace warder::bench {

Result<Section> life_section(const Programs& programs, const Effort& effort);
Result<Section> idle_section(const Programs& programs, const Effort& effort);

}  // namespace warder::bench
