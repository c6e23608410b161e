// The asking side of each kind of request, by libwarder, for the worker of the bench.
#pragma once

#include <warder/warder.h>

#include <cstdint>
#include <vector>

#include "orders.h"

namespace warder::bench {

// Does what `order` says; false when a request failed.
bool do_kind(warder_connection* connection, const Order& order, std::vector<std::uint32_t>& samples);

}  // namespace warder::bench
