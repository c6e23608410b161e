// The sink writes records as JSON lines into a pipe (to the log keeper) or a file, without ever waiting. Lines go out whole
// or not at all: at most PIPE_BUF bytes at a time, which a full pipe refuses whole (pipe(7)), and then they stay in the ring.
#pragma once

#include <cstdint>
#include <string>

#include "audit/ring.h"

namespace warder::audit {

class Sink {
public:
    // Of records that are to be kept aside: whether who reads the lines does so, and is told by their worker's name and a tab in
    // front of a line.
    enum class Asides { are_marked, are_like_others };

    // Writes to `out`, a non-blocking descriptor that stays the caller's; -1 throws records away.
    explicit Sink(int out = -1, Asides asides = Asides::are_like_others) : out_(out), asides_(asides) {}

    enum class Outcome { drained, more, full };
    // Writes the oldest of what the ring holds, as much as goes out in one write. `full`: the other side does not read; all
    // stays for the next time.
    Outcome drain_some(Ring& ring);
    // All of it.
    Outcome drain(Ring& ring);

private:
    std::size_t gather(const Ring& ring);
    Outcome tell_lost();

    int out_;
    Asides asides_;
    std::uint64_t lost_ = 0;   // that could not be written, for another reason than that nobody reads
    std::string lines_;
};

}  // namespace warder::audit
