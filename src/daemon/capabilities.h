// Which capabilities warderd needs for a config, and why: each kind of grant and each item of a sandbox says which it takes. Pure.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "control/operator.h"
#include "sys/capabilities.h"

namespace warder::daemon {

struct Need {
    int capability = 0;
    std::vector<std::string> reasons;   // "worker web, grant http: listens on port 80"; the first few
};

class Needs {
public:
    void add(int capability, std::string reason);
    capabilities::Set set() const;
    // By number.
    const std::vector<Need>& list() const { return needs_; }
    // The first reason for one of them, or empty.
    std::string reason_for(int capability) const;

private:
    std::vector<Need> needs_;
};

Needs needed_by(const config::Config& config);

// What the config starts that no_new_privs would hinder, as a reason; empty: nothing, so warderd takes it on itself.
std::string needs_new_privileges(const config::Config& config);

// A sentence for each thing that `config` needs and a warderd with `permitted` (and no_new_privs, if it is set) has given up.
std::vector<std::string> restarts_for(const config::Config& config, capabilities::Set permitted, bool no_new_privileges);

std::vector<control::CapabilityReport> capability_reports(const config::Config& config);

}  // namespace warder::daemon
