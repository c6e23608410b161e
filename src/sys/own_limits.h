// How many descriptors warderd is to have, whoever started it: what is held, lent and watched takes one each.
#pragma once

#include <sys/resource.h>

namespace warder {

// 65,536, or more where the hard limit was set higher; the hard limit as it is for who may not raise it.
rlim_t own_descriptor_limit();

// What a worker begins with, where its config does not say.
inline constexpr rlim_t worker_descriptors = 1024;
inline constexpr rlim_t worker_descriptors_most = 65'536;

}  // namespace warder
