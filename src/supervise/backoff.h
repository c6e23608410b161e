// Backoff: how long to wait before the next start. Pure; chance comes in as an argument.
#pragma once

#include <cstddef>
#include <vector>

#include "base/time.h"
#include "supervise/rule.h"

namespace warder::supervise {

// The wait before jitter that follows one of `previous`; zero: the first.
Duration next_delay(const Restart& rule, Duration previous);

// `delay` with up to rule.jitter of it added (chance 1) or taken (chance 0), never longer than the cap, never below zero.
Duration with_jitter(const Restart& rule, Duration delay, double chance);

// The first `count` waits, without jitter: what a worker that dies at once each time goes through.
std::vector<Duration> schedule(const Restart& rule, std::size_t count);

}  // namespace warder::supervise
