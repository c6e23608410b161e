// What Landlock allows in a sandbox, as values: which tree may be read, written or run. Computed once; a child turns it into a
// ruleset when its mounts stand, because a private /tmp is new at each start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/plan.h"
#include "sandbox/program.h"
#include "sys/landlock.h"

namespace warder::sandbox {

// Who may have a say in where a path leads when the ruleset is made.
enum class FoundBy : std::uint8_t {
    sandbox,      // all its links are the sandbox's own
    others,    // it may lie in a tree where others make symlinks: those lead to what is theirs, or nowhere
    program,   // likewise, and its symlinks are followed, to a file
};

struct PathRight {
    std::string path;          // in the sandbox
    std::uint64_t rights = 0;  // of sys/landlock.h
    bool may_be_absent = false;
    FoundBy found = FoundBy::sandbox;
};

struct PortRight {
    std::uint16_t port = 0;
    std::uint64_t rights = 0;
};

struct Rights {
    landlock::Handled handled;
    std::vector<PathRight> paths;
    std::vector<PortRight> ports;
};

// Rights for a kernel with this Landlock ABI, of whose faults these are mended.
Rights rights_of(const Plan& plan, const Chain& chain, int abi, unsigned errata);

}  // namespace warder::sandbox
