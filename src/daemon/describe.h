// Words for a worker's config, and its receipt as operators see it.
#pragma once

#include <vector>

#include "config/config.h"
#include "control/operator.h"
#include "supervise/worker.h"

namespace warder::daemon {

// Everything of a ShowReport that comes from the config. `settings` are those of the worker in the roster, if it is there.
control::ShowReport describe_worker(const config::Worker& worker, const supervise::WorkerSettings* settings);

// Whether something that a worker may have been lent by `before` it could not be lent by `after`.
bool takes_away(const std::vector<policy::Grant>& before, const std::vector<policy::Grant>& after);

// What a live reload from the one to the other cannot take back: a sentence for each grant that goes.
std::vector<std::string> left_behind(const std::vector<policy::Grant>& before, const std::vector<policy::Grant>& after);

std::vector<control::SandboxItem> sandbox_items(const sandbox::Receipt& receipt);

// A call that its filter denied, with the place in the config that decides about it and what would allow it.
control::DeniedCallReport describe_call(const config::Worker& worker, const sandbox::Calls& calls, const sandbox::SeenCall& call);
// "denied call ptrace(0, 0): EPERM; [worker.web.sandbox] (warder.toml:4): allow_calls = [\"ptrace\"] would allow it".
std::string sentence_of(const control::DeniedCallReport& report);

// What this kernel can do for a sandbox.
std::vector<control::Protection> protections();

}  // namespace warder::daemon
