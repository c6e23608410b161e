// What a worker holds of what it was lent: its own descriptor table, as /proc shows it, held against what the broker lent.
#pragma once

#include <string>
#include <vector>

#include "broker/session.h"
#include "control/operator.h"

namespace warder::daemon {

// Needs CAP_SYS_PTRACE to see the table of another uid; without it the numbers are unknown. What it costs is for the worker to
// choose.
std::vector<control::FdReport> worker_fds(const broker::Principal& principal);

// What a grant names, as text: a path, or an address.
std::string grant_target(const policy::Grant& grant);

}  // namespace warder::daemon
