// What a sandbox costs: spawn to exec in profile "strict", with the sandbox made on the path and made ahead, beside the same
// system calls in a straight line, bwrap, and systemd-run where systemd runs.
#pragma once

#include "base/error.h"
#include "bench/measure.h"
#include "bench/requests.h"

namespace warder::bench {

// The last section of a run: this process has a small bounding set after it, as warderd has.
Result<Section> spawn_section(const Effort& effort, const std::string& nothing, const std::string& stub);

}  // namespace warder::bench
