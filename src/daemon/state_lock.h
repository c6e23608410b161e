// StateLock: one warderd alone has a state directory. A record lock (fcntl(2)), not flock(2): that one is kept by every child that was
// forked meanwhile, and outlives a warderd that was killed for as long as any of them lives.
#pragma once

#include <sys/types.h>

#include <string>

#include "sys/fd.h"

namespace warder::daemon {

class StateLock {
public:
    // Errors: EBUSY, another has it: `owner` is its pid then (0: it lives where we do not see it); those of open(2) and fcntl(2).
    static Result<StateLock> take(const std::string& state_directory, pid_t& owner);

private:
    explicit StateLock(Fd file) : file_(std::move(file)) {}
    Fd file_;   // never opened a second time: closing any descriptor of it gives the lock up
};

}  // namespace warder::daemon
