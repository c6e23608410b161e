// The floor of a spawn: the system calls that a plan of profile "strict" needs, one after the other, with nothing around them. It
// proves nothing to anybody, does not confine its PID 1, and says no more of a failure than that there was one.
#pragma once

#include "base/error.h"
#include "sandbox/prepared.h"
#include "sys/fd.h"

namespace warder::bench {

// The sandbox: namespaces and mounts, with a PID 1 in them. Returns a pidfd of that one, when it runs. Errors: those of pipe2 and clone3;
// ECHILD where the child failed.
Result<Fd> spawn_bare_reaper(const sandbox::Prepared& prepared);

// The program in it. Returns a pidfd, when it runs. Errors: the same.
Result<Fd> spawn_bare_program(const sandbox::Prepared& prepared, const Fd& reaper);

}  // namespace warder::bench
