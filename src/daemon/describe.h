// Words for a worker's config and cell, and what the kernel says of the running one. What it says is read from /proc after
// exec (the evidence "read"); what the plan wants stands beside it.
#pragma once

#include <vector>

#include "config/config.h"
#include "control/operator.h"
#include "supervise/worker.h"

namespace warder::daemon {

// Everything of a ShowReport that comes from the config. `settings` are those of the worker in the roster, if it is there.
control::ShowReport describe_worker(const config::Worker& worker, const supervise::WorkerSettings* settings);

// Fills in `effective` of the items that /proc tells about process `pid`, and whether they match.
void compare_with_process(std::vector<control::CellItem>& items, pid_t pid, const sandbox::Plan& plan);

// What this kernel can do for a cell.
std::vector<control::Protection> protections();

}  // namespace warder::daemon
