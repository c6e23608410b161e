// What the bench and its worker say to each other over the socket that the worker was lent.
#pragma once

#include <cstdint>

namespace warder::bench {

// The worker's first word: its name.
struct Hello {
    char name[64];
};

// Open the page `count` times, `width` times in each request; the answer is `count` samples of 32 bits, in nanoseconds.
struct Order {
    std::uint32_t count;
    std::uint32_t width;
};

}  // namespace warder::bench
