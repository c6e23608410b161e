// What a worker's sandbox is to be, in lines: every item of its plan after defaults, and where each comes from. Also what of all
// plans this kernel lacks. Nothing is started.
#pragma once

#include <string>

#include "config/config.h"
#include "control/operator.h"
#include "sandbox/probe.h"

namespace warder::daemon {

control::SandboxPlanReport describe_sandbox(const config::Worker& worker, const sandbox::KernelFeatures& kernel);

// Not ok: a worker requires an item that the kernel lacks, or [daemon] require names one.
control::KernelReport describe_kernel(const config::Config& config, const sandbox::KernelFeatures& kernel);

// The items of [daemon] require that the kernel lacks, in a sentence each.
std::vector<std::string> missing_of_daemon(const config::Daemon& daemon, const sandbox::KernelFeatures& kernel);

}  // namespace warder::daemon
