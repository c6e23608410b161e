// What one worker's requests cost while others do their worst: flood, hang, or both.
#pragma once

#include <vector>

#include "base/error.h"
#include "bench/measure.h"
#include "bench/requests.h"
#include "bench/subject.h"

namespace warder::bench {

Result<std::vector<Section>> fairness_sections(const Programs& programs, const Effort& effort);

}  // namespace warder::bench
