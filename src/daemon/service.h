// Talking to the service manager that started warderd: sd_notify(3)'s datagrams, which are a few lines, so that nothing
// more is linked into what root runs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace warder::daemon {

class ServiceManager {
public:
    // Takes NOTIFY_SOCKET and WATCHDOG_USEC out of the environment: workers must not see them.
    static ServiceManager from_environment();

    void ready(std::string_view status) const;
    void status(std::string_view status) const;
    void reloading(Instant now) const;
    void stopping() const;
    void watchdog() const;

    // How often it wants to hear from us (half of WATCHDOG_USEC); nullopt: not at all.
    std::optional<Duration> watchdog_interval() const { return watchdog_interval_; }

private:
    void send(std::string_view text) const;

    std::string socket_;
    std::optional<Duration> watchdog_interval_;
};

}  // namespace warder::daemon
