// How often operator new was called in this process since its start. For tests that hold the request path off the heap;
// a binary that links counted_new.cc has its operators replaced.
#pragma once

#include <cstddef>

namespace warder::test {

std::size_t allocations();

}  // namespace warder::test
