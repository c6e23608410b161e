#include "sys/own_limits.h"

#include <linux/capability.h>

#include <algorithm>

#include "sys/capabilities.h"

namespace warder {

rlim_t own_descriptor_limit() {
    constexpr rlim_t least = 65'536;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return least;
    const auto held = capabilities::held();
    const bool may_raise = held && (held->effective & capabilities::bit(CAP_SYS_RESOURCE)) != 0;
    return may_raise ? std::max(limit.rlim_max, least) : limit.rlim_max;
}

}  // namespace warder
