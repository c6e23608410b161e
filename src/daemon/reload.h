// Reload: the config read anew, compared worker by worker with what runs, and only what differs touched. Refused whole if
// anything is wrong with it: then everything is as it was.
#pragma once

#include <string>
#include <vector>

#include "control/operator.h"
#include "daemon/daemon.h"

namespace warder::daemon {

// Keys whose lines differ between two fingerprints ("grants.site", "exec").
std::vector<std::string> changed_keys(std::string_view before, std::string_view after);

class Reload {
public:
    explicit Reload(Daemon& daemon) : daemon_(daemon) {}

    // `plan` only says what `apply` would do.
    control::ReloadReport run(control::ReloadMode mode);

    // One worker alone. Why it failed, in words; empty: it did not.
    std::string change(const config::Worker& worker, control::ChangeKind kind);

private:
    void refuse_what_was_given_up(const config::Config& next, control::ReloadReport& report) const;
    control::ReloadReport compare(const config::Config& next) const;
    std::vector<std::string> what_was_replaced(const config::Worker& worker) const;
    control::ChangeKind kind_of(const config::Worker& before, const config::Worker& after, const std::vector<std::string>& keys) const;
    std::string apply(const config::Config& next, const control::ChangeReport& change);
    void refresh_log(const config::Worker& worker, gid_t group);
    void compare_daemon(const config::Daemon& next, control::ReloadReport& report);
    void add_what_looks_up(const config::Config& next, control::ReloadReport& report);

    Daemon& daemon_;
};

}  // namespace warder::daemon
