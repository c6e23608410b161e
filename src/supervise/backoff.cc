#include "supervise/backoff.h"

#include <algorithm>

namespace warder::supervise {
namespace {

// `delay` times `by`, within zero and the cap. Compared as floating point first: no product can overflow.
Duration scaled(Duration delay, double by, Duration cap) {
    const double product = static_cast<double>(delay.count()) * by;
    if (product >= static_cast<double>(cap.count())) return cap;
    return Duration(product > 0 ? static_cast<std::int64_t>(product) : 0);
}

}  // namespace

Duration next_delay(const Restart& rule, Duration previous) {
    if (previous <= Duration::zero()) return std::min(rule.delay, rule.cap);
    return scaled(previous, std::max(rule.factor, 1.0), rule.cap);
}

Duration with_jitter(const Restart& rule, Duration delay, double chance) {
    const double share = std::clamp(rule.jitter, 0.0, 1.0);
    return scaled(delay, 1.0 + share * (2.0 * std::clamp(chance, 0.0, 1.0) - 1.0), rule.cap);
}

std::vector<Duration> schedule(const Restart& rule, std::size_t count) {
    std::vector<Duration> delays;
    delays.reserve(count);
    Duration delay{};
    for (std::size_t i = 0; i < count; ++i) delays.push_back(delay = next_delay(rule, delay));
    return delays;
}

}  // namespace warder::supervise
