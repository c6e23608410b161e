// Reports as JSON text. Every report is one object that begins {"warder":1,"verb":"..."}: 1 is the version of the shape.
// Within a version members are added, never renamed or removed, and what is unknown is null rather than left out. Moments
// are RFC 3339 in UTC with an age or distance in milliseconds beside them. The same functions serve the offline verbs of
// warderd, so that live and offline answers have one shape.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "control/operator.h"

namespace warder::control {

inline constexpr int report_version = 1;

// The present moment on both clocks, so that moments of the one can be told in the other.
struct Clock {
    Instant now{};
    std::int64_t wall = 0;   // nanoseconds since 1970
    static Clock read();
};

std::string status_json(const std::vector<WorkerReport>& workers, const Clock& clock);
std::string list_json(const std::vector<WorkerReport>& workers);
std::string show_json(const ShowReport& show, const Clock& clock);
std::string sandbox_plan_json(const SandboxPlanReport& sandbox);
std::string kernel_json(const KernelReport& kernel);
// start, stop, restart. `done`: the worker has reached the state that was asked for, rather than begun to.
std::string life_json(std::string_view verb, const WorkerReport& worker, bool done, const Clock& clock);
std::string reload_json(const ReloadReport& report);
std::string logs_json(const LogsReport& logs);
std::string grants_json(std::string_view worker, const std::vector<GrantReport>& grants);
std::string fds_json(std::string_view worker, const std::vector<FdReport>& fds, const Clock& clock);
std::string sockets_json(const SocketsReport& sockets);
std::string stores_json(const std::vector<StoreReport>& stores, const Clock& clock);
std::string security_json(const std::vector<SecurityReport>& reports);
std::string why_json(const WhyReport& why);
std::string check_json(const CheckReport& check);
std::string version_json(const VersionReport& version, const Clock& clock);
std::string shutdown_json();
std::string signal_json(std::string_view worker, int signal, pid_t pid);
std::string forget_json(std::string_view name, uid_t uid);
std::string refusal_json(std::string_view verb, const Refusal& refusal);
// A life that did not become what was asked for: the refusal with the worker beside it.
std::string failed_life_json(std::string_view verb, const Refusal& refusal, const WorkerReport& worker, const Clock& clock);

}  // namespace warder::control
