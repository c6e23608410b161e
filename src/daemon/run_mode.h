// How warderd stands: as root, or as an ordinary user (--user) in a user namespace of its own.
#pragma once

#include "config/config.h"
#include "daemon/options.h"

namespace warder::daemon {

// The user namespace, before anything else: the process has one thread and holds nothing yet. What went wrong has been logged.
bool enter_user_mode();

// What a config begins with. Without root: who we are, and where this user's things lie.
config::Daemon initial_daemon(const Options& options);

}  // namespace warder::daemon
