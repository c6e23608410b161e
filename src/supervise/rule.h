// Rules of a life: when a worker counts as ready, when it is started again, how it is stopped. Values only.
#pragma once

#include <csignal>
#include <cstdint>
#include <vector>

#include "base/time.h"

namespace warder::supervise {

using namespace std::chrono_literals;

enum class ReadyBy : std::uint8_t {
    exec,      // its program runs
    libwarder, // it says so over the broker's socket
    notify,    // it says READY=1 to NOTIFY_SOCKET, sd_notify(3)
};

enum class RestartPolicy : std::uint8_t { never, on_failure, always };

struct Restart {
    RestartPolicy policy = RestartPolicy::always;
    Duration delay = 100ms;          // before the first restart
    double factor = 2.0;             // each further one waits this many times longer
    Duration cap = 30s;              // but never longer than this
    double jitter = 0.1;             // up to this share of the delay is added or taken, by chance
    Duration reset_after = 10s;      // ready for so long: the next delay is the first again
    std::uint32_t limit = 10;        // more starts than this within `window`: failed, until started by hand; 0: no limit
    Duration window = 60s;
    std::vector<int> success = {0};  // exit codes that are not failures
};

struct Stop {
    int signal = SIGTERM;
    Duration timeout = 10s;          // then SIGKILL to everything
};

struct Rule {
    ReadyBy ready = ReadyBy::exec;
    Duration setup_timeout = 10s;    // from the fork to the program
    Duration ready_timeout = 60s;    // from the program to ready
    Restart restart;
    Stop stop;
    bool autostart = true;
};

}  // namespace warder::supervise
