// What the bench and its worker say to each other over the socket that the worker was lent.
#pragma once

#include <cstdint>

namespace warder::bench {

// The worker's first word: its name.
struct Hello {
    char name[64];
};

enum class Doing : std::uint32_t {
    measure,   // open the page `count` times, `width` times in each request; the answer is `count` samples of 32 bits, in ns
    flood,     // ask for the page without waiting for answers, `width` times in each request
    hang,      // ask for what never opens, again whenever its deadline has come
};

// What goes on until it is told otherwise ends with one byte more; the answer is how often it was done, in 32 bits.
struct Order {
    std::uint32_t count;
    std::uint32_t width;
    Doing doing = Doing::measure;
};

}  // namespace warder::bench
