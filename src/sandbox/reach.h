// What the host has where a sandbox is made from, and whether it can be looked at: a start looks at its sources by name, and before a server
// that hangs (of NFS, FUSE and the like) every worker would wait with it. Such sources are looked at by a child, and a life that follows
// does not look at them again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "sandbox/plan.h"
#include "sandbox/spawn.h"

namespace warder::sandbox {

// What lies at a path. While a template holds a directory its inode cannot be reused, so the time of change is looked at for files
// only (that of a directory changes with each name in it).
struct Look {
    bool exists = false;
    bool directory = false;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t changed = 0;
    friend bool operator==(const Look&, const Look&) = default;
};

// What a path of the host was when the sandbox was prepared.
struct Seen {
    std::string path;
    Look found;
    bool others = false;        // others answer for its file system
};

// Symlinks are followed.
Seen look_at(const std::string& path);

// Whether it is perhaps another now, for whoever must not wait: from what the kernel has in memory, true when that does not tell.
bool may_have_changed(const Seen& seen);

// Whether there is another file now, as far as the kernel has that in memory. One that was written to is the same.
bool is_another(const Seen& seen);

// By path.
using Facts = std::map<std::string, Seen>;

// Looks at those sources of the plan, and files that its program runs with, that others answer for, says `mountinfo`. Each is waited for
// at most a second; a server that was silent is not asked again for ten seconds, and then waited for 20 ms, until it answers. Errors:
// ETIMEDOUT with `unfit` filled in, and that alone for silence; pipe(2), fork(2).
Result<Facts> reach(const Plan& plan, std::string_view mountinfo, Unfit& unfit);

}  // namespace warder::sandbox
