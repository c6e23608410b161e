// Pipes from workers' output to the log keeper. warderd keeps both ends, so that nothing is lost while either side is
// started again: the worker's next life gets the same writing end, the keeper's next life the same reading end.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "broker/broker.h"
#include "config/config.h"
#include "sys/fd.h"

namespace warder::daemon {

class LogPipes {
public:
    // A pipe called `name` ("log:web", "audit"), made if there is none. Returns a descriptor of the writing end, which is
    // the caller's. `limits` go to the keeper with it. Errors: pipe2(2), fcntl(2).
    Result<Fd> writer(const std::string& name, const config::Logging& limits);

    void forget(const std::string& name);

    // The keeper is up: it is to get every pipe. Nothing is sent yet.
    void keeper_began(WorkerId keeper);
    void keeper_ended();

    // Sends what it has not got. True: it does not read just now, and this is to be called again soon.
    bool deliver(broker::Broker& broker);

private:
    struct Pipe {
        Fd reader;
        Fd writer;
        config::Logging limits;
        bool delivered = false;
    };

    std::map<std::string, Pipe> pipes_;
    bool keeper_up_ = false;
    WorkerId keeper_{};
};

}  // namespace warder::daemon
