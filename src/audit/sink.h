// The sink writes records as JSON lines into a pipe (to the log keeper) or a file, without ever waiting. Lines go out whole
// or not at all: at most PIPE_BUF bytes at a time, which a full pipe refuses whole (pipe(7)), and then they stay in the ring.
#pragma once

#include <string>

#include "audit/ring.h"

namespace warder::audit {

class Sink {
public:
    // Writes to `out`, a non-blocking descriptor that stays the caller's; -1 throws records away.
    explicit Sink(int out = -1) : out_(out) {}

    enum class Outcome { drained, more, full };
    // Writes the oldest of what the ring holds, as much as goes out in one write. `full`: the other side does not read; all
    // stays for the next time.
    Outcome drain_some(Ring& ring);
    // All of it.
    Outcome drain(Ring& ring);

private:
    Outcome tell_lost();

    int out_;
    std::uint64_t lost_ = 0;
    std::string lines_;
};

}  // namespace warder::audit
