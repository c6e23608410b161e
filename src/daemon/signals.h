// Signals as events of the loop: blocked everywhere, read from a descriptor. Children get theirs back in the sandbox's set-up.
#pragma once

#include <optional>

#include "base/error.h"
#include "sys/fd.h"

namespace warder::daemon {

class Signals {
public:
    // Blocks SIGTERM, SIGINT and SIGHUP and ignores SIGPIPE, for the whole process.
    static Result<Signals> create();
    int get() const { return fd_.get(); }
    // The next one that came, if any.
    std::optional<int> take();

private:
    explicit Signals(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

}  // namespace warder::daemon
