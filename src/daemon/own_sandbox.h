// warderd's own sandbox: few capabilities, a fixed list of calls that nobody below it needs, no new privileges where the config
// allows it, no dumps, and descriptors that close at exec. Put on once, before anything is started; never taken off.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "control/operator.h"
#include "sys/capabilities.h"

namespace warder::daemon {

// Calls that answer EPERM here and in everything that warderd starts, on every ABI of this machine. Never shorter: what runs
// counts on it.
std::vector<std::string_view> denied_calls();

class OwnSandbox {
public:
    // Nobody may look into this process or find a core of it, and nothing that was open when it began goes further. First of all.
    static void close_memory_and_descriptors();

    // Drops what the config does not need. Errors: those of prctl(2), capset(2) and seccomp(2); nothing is undone then.
    static Result<OwnSandbox> put_on(const config::Config& config);

    OwnSandbox() = default;

    // Sentences about a config that this process could not carry out any more.
    std::vector<std::string> restarts_for(const config::Config& next) const;

    // Capabilities that the config needs and this process never had, with the reason, in sentences.
    const std::vector<std::string>& missing() const { return missing_; }

    // What is in force now, looked at now.
    std::vector<control::SandboxItem> receipt(const std::string& cgroup) const;

private:
    capabilities::Set kept_ = 0;
    bool no_new_privileges_ = false;
    std::vector<std::string> missing_;
};

}  // namespace warder::daemon
