// Config: what the TOML files say, as values with defaults filled in and names resolved. Who uses it need not know TOML.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "policy/grant.h"
#include "sandbox/plan.h"
#include "supervise/rule.h"

namespace warder::config {

// Where something stands in a file. Lines and columns count from 1; 0 is "nowhere".
struct Position {
    std::string file;
    std::uint32_t line = 0;
    std::uint32_t column = 0;
};

enum class Requesters : std::uint8_t { main, group };
enum class Severity : std::uint8_t { error, warning };

// A complaint with its place, its line of text and what to do.
struct Problem {
    Severity severity = Severity::error;
    Position where;
    std::string what;         // "unknown key \"lisen\" in a grant"
    std::string suggestion;   // "did you mean \"listen\"?", or empty
    std::string line;         // the line of the file itself
    std::uint32_t length = 1; // how many columns the caret underlines
};

struct Logging {
    std::uint64_t max_size = 10ULL << 20;   // bytes of one file before it is rotated
    std::uint32_t keep = 5;                 // rotated files kept beside the present one
};

struct Daemon {
    std::string runtime_directory = "/run/warder";
    std::string state_directory = "/var/lib/warder";
    std::string log_directory = "/var/log/warder";
    std::string control_socket;             // empty: runtime_directory/control.sock
    std::string control_group = "warder";   // members may use the control socket, beside root
    std::string cgroup = "auto";            // "auto", "none", or a directory of cgroup v2 that is ours
    uid_t uid_first = 64000;                // of workers without a named user
    uid_t uid_last = 64999;
    std::uint32_t openers = 2;
    Duration request_deadline = std::chrono::seconds(5);
    Logging logging;
    bool log_keeper = true;                 // false: workers write to warderd's own standard error
};

struct Worker {
    std::string name;
    Position where;
    std::string user;                       // empty: from the range
    std::string group;                      // empty: the user's own
    std::vector<std::string> supplementary_groups;
    Requesters requesters = Requesters::main;
    supervise::Rule rule;
    sandbox::Plan cell;                     // uid and gid not resolved yet when `user` is empty
    std::vector<policy::Grant> grants;
    Logging logging;
    std::uint32_t max_outstanding = 64;     // requests being done at once
    std::string fingerprint;                // equal fingerprints: the same config, a reload leaves the worker alone
};

struct Config {
    Daemon daemon;
    std::vector<Worker> workers;
    std::vector<std::string> files;         // in the order in which they were read
};

}  // namespace warder::config
