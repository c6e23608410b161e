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

    // The keeper has said something: what was sent so far it has taken.
    void keeper_took() { on_their_way_ = 0; }

    // Sends what it has not got, a few at a time: the rest after keeper_took(), since the library keeps no more than 32 events
    // while its owner waits for an answer. True: it does not read just now, and this is to be called again soon.
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
    int on_their_way_ = 0;
};

}  // namespace warder::daemon
