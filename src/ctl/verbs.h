// What warderctl does for each verb: asks, prints, and says how to exit.
#pragma once

#include "ctl/options.h"

namespace warder::ctl {

int run(const Options& options);

// Whether all that was said to standard output was taken; says on standard error why not.
bool all_written();

}  // namespace warder::ctl
