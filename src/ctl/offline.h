// Verbs that need no running warderd: the warderd binary itself answers, so that the answer comes from what will decide.
#pragma once

#include <string>

#include "base/error.h"
#include "ctl/options.h"

namespace warder::ctl {

// The warderd that belongs to the warderctl at `own` ("/proc/self/exe" resolved): its neighbour in a build tree, otherwise the
// installed one. Pure but for looking whether a file can be run.
std::string find_warderd(const std::string& own);

struct Finished {
    int exit_code = 0;      // 128 + signal if it was killed
    std::string output;     // of its standard output; its standard error is ours
};

// Runs warderd with `arguments` and waits for it. Errors: those of fork(2) and execve(2).
Result<Finished> run_warderd(const std::vector<std::string>& arguments);

}  // namespace warder::ctl
