// A worker that asks as fast as its socket takes it, for the bench of what the others notice.
#pragma once

#include <cstdint>

namespace warder::bench {

// Asks over `channel`, `width` opens a message, until a byte comes (or the end) from `socket`, and reads every answer. Returns how many.
std::uint32_t flood(int channel, int socket, std::uint32_t width);

}  // namespace warder::bench
