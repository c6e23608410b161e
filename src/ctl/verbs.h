// What warderctl does for each verb: asks, prints, and says how to exit.
#pragma once

#include "ctl/options.h"

namespace warder::ctl {

int run(const Options& options);

}  // namespace warder::ctl
