// What a config says against what this machine has: names become numbers, "file or tree" is decided by the disk, programs
// and prefixes are looked for. All looking goes through Lookup, so that each judgement can be tested by value.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace warder::config {

struct Account {
    uid_t uid = 0;
    gid_t gid = 0;
};

// What lies at a path, symlinks followed.
struct PathFacts {
    enum class Type : std::uint8_t { absent, file, directory, other, unknown };
    Type type = Type::absent;
    bool executable = false;         // a file that some user may execute
    std::string kernel_filesystem;   // "proc", "sysfs" ..., of it or its nearest ancestor that exists; otherwise empty
    int error = 0;                   // absent: why, an errno
    std::string answered_by = {};    // unknown: the type of its file system, which others answer for; it was not asked
    bool led_by_another = false;     // through a symlink that is not root's, on the way or itself
    bool led_astray = false;         // and to what is not that symlink's owner's
};

struct Lookup {
    std::function<std::optional<Account>(const std::string& name)> user;   // by name, or a decimal uid
    std::function<std::optional<gid_t>(const std::string& name)> group;
    std::function<PathFacts(const std::string& path)> path;
    std::uint64_t descriptor_limit = 0;   // RLIMIT_NOFILE that warderd will have; 0: not to be checked
};

// The real machine. Reads the user database and file systems, so only at start, at reload and in `check`.
Lookup host_lookup();

// Fills in what parse() left open (uid, gid, groups) and adds to `problems`, which is in
// order of files and lines again afterwards. A config that parse() found errors in may be given too, so that all errors are
// told at once. On errors the config is not to be used. What a machine may have today and lack at its next boot is no error: it is
// a warning, and the `fault` of the worker that it concerns.
void resolve(Config& config, std::vector<Problem>& problems, const Lookup& lookup);

// Whether there is an error among them.
bool any_error(const std::vector<Problem>& problems);

// By file in the order of `files`, line and column.
void sort_problems(std::vector<Problem>& problems, const std::vector<std::string>& files);

}  // namespace warder::config
