// Snapshot: what operators see of a worker, as a value, made without touching the world. And the words for how lives end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "supervise/lifecycle.h"

namespace warder::supervise {

// One death of a main process, with what waitid(2) said it had used (it and the children that it waited for).
struct Death {
    Exit exit;
    std::string words;              // in_words(exit), or more where more is known
    std::uint32_t life = 0;         // 1 is the first life of the worker
    pid_t pid = -1;                 // -1: there was no main process yet
    Instant started;
    Instant died;
    std::int64_t died_at = 0;       // wall clock, nanoseconds since 1970
    Duration user_time{};
    Duration system_time{};
    bool core = false;              // a core was written
    std::uint64_t largest_memory = 0;   // bytes, the peak of its resident set
};

struct Snapshot {
    WorkerId id{};
    std::string name;
    State state = State::stopped;
    Desired desired = Desired::down;
    std::string why;                // why it is in this state, in words
    Instant since;                  // when the present state began
    pid_t pid = -1;                 // of the main process, -1: none
    pid_t stub = -1;
    pid_t spare_sandbox = -1;           // the stub of the next life, which waits already; -1: there is none
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint32_t life = 0;         // number of lives so far: starts by persons and by policy
    std::uint32_t restarts = 0;     // by policy, since a person's last start
    Instant started = Instant::never();      // the present life; never: none
    Instant ready_at = Instant::never();     // of the present life; never: not ready yet
    Instant next_start = Instant::never();   // when waiting
    std::string last_exit;          // in words; empty: it never died
    std::vector<Death> deaths;      // the latest, oldest first
    std::string status;             // STATUS= of sd_notify
    Instant watchdog_at = Instant::never();  // when the present life last said WATCHDOG=1; never: it did not
    std::string cgroup;             // its directory, absolute; empty: none
};

// "exit code 3", "killed by SIGKILL", "set-up failed: mounts: No such file or directory", "not ready in time".
std::string in_words(const Exit& exit);

// Why the life is in its present state: "asked to start", "killed by SIGKILL; next start in 200ms",
// "start limit: 10 starts within 1min are allowed; last: exit code 1". `end` is how it ended last, in words.
std::string why_in_words(const Life& life, const Rule& rule, std::string_view end);

}  // namespace warder::supervise
