// The floor of a spawn: the system calls that a plan of profile "strict" needs, one after the other, with nothing around them. It
// proves nothing to anybody, does not confine its PID 1, and says no more of a failure than that there was one.
#pragma once

#include "base/error.h"
#include "sandbox/prepared.h"
#include "sys/fd.h"

namespace warder::bench {

struct BareCell {
    Fd reaper;    // pidfds
    Fd program;
};

// Returns when the program runs. Errors: those of pipe2 and clone3; ECHILD where a child of it failed.
Result<BareCell> spawn_bare_cell(const sandbox::Prepared& prepared);

}  // namespace warder::bench
