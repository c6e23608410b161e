// What each kind of grant and each operation on a path costs, beside the same system calls in a bare broker.
#pragma once

#include "base/error.h"
#include "bench/measure.h"
#include "bench/requests.h"
#include "bench/subject.h"

namespace warder::bench {

Result<Section> kinds_section(const Programs& programs, const Effort& effort);

}  // namespace warder::bench
