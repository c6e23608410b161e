// Reports as people read them: JSON of warderd in, text out. Pure. A member that is missing or null is simply not shown, so
// that an older or newer warderd can be read. Exit codes are decided here too, from the same reports.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "ctl/table.h"

namespace warder::ctl {

// Never renumber: scripts read them. Documented in warderctl(1).
enum ExitCode : int {
    exit_done = 0,          // done; status: up; why: allowed; check: no errors
    exit_not_done = 1,      // asked for and not done; why: denied; check: errors
    exit_usage = 2,
    exit_not_running = 3,   // status: not ready (LSB)
    exit_unknown = 4,       // nobody can tell: no warderd, no permission, no such worker
    exit_not_said = 5,      // it was done, but the answer could not be written
};

std::string render_status(const nlohmann::json& report, Colors colors);       // a table of all
std::string render_worker(const nlohmann::json& worker, Colors colors);       // one, as a block
std::string render_list(const nlohmann::json& report);
std::string render_signal(const nlohmann::json& report);
std::string render_forget(const nlohmann::json& report);
std::string render_show(const nlohmann::json& report, Colors colors);
std::string render_life(const nlohmann::json& report, Colors colors);         // start, stop, restart
std::string render_reload(const nlohmann::json& report, Colors colors);
std::string render_grants(const nlohmann::json& report, Colors colors);
std::string render_fds(const nlohmann::json& report, Colors colors);
std::string render_sockets(const nlohmann::json& report, Colors colors);
std::string render_stores(const nlohmann::json& report, Colors colors);
// `why WORKER`: what its sandbox has stopped it for, from a report of its status.
std::string render_evidence(const nlohmann::json& report, Colors colors);
std::string render_why(const nlohmann::json& report, Colors colors);
std::string render_security(const nlohmann::json& report, bool one, Colors colors);   // one: item by item
std::string render_capabilities(const nlohmann::json& report, Colors colors);   // of check
std::string render_check(const nlohmann::json& report, Colors colors);
std::string render_sandbox_plan(const nlohmann::json& report, Colors colors);
std::string render_kernel(const nlohmann::json& report, Colors colors);
std::string render_version(const nlohmann::json& report);

// The sentence of a report that is an error, or empty.
std::string error_of(const nlohmann::json& report);

// One worker: ready or not. All: whether each that is wanted up is ready.
ExitCode exit_of_worker(const nlohmann::json& worker);
ExitCode exit_of_status(const nlohmann::json& report);

}  // namespace warder::ctl
