// RunMode: whether warderd is root or an ordinary user (--user), and what follows for a config. Known before a file is read, so
// that its defaults are right; what an ordinary user cannot have is refused here, by line, so that nothing later has to be skipped.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace warder::config {

struct Config;
struct Daemon;
struct Problem;

struct RunMode {
    bool without_root = false;   // an ordinary user, in a user namespace with one uid and gid: every worker has these
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;   // supplementary ones, which cannot be given up
    int nice = 0;                // as warderd was started: root needs CAP_SYS_NICE for lower ones, an ordinary user has none
    int oom_score_adjust = 0;    // likewise, with CAP_SYS_RESOURCE
};

// Where an ordinary user's things lie, where the files do not say.
struct Places {
    std::string runtime;
    std::string state;
    std::string cache;
};

// What [daemon] is before a file says otherwise. Root's places are fixed.
Daemon initial_daemon(const RunMode& run_mode, const Places& places);

// Without root: adds an error for each thing that takes it, and gives every worker warderd's own ids, niceness and oom score
// where its file says nothing else. Otherwise nothing. Call after resolve().
void settle(Config& config, std::vector<Problem>& problems);

// What the profile "user" lacks beside "strict", a sentence a line, for whoever starts warderd.
std::vector<std::string> lacks_without_root(const RunMode& run_mode);

}  // namespace warder::config
