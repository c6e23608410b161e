// Pipes from workers' output to the log keeper: one for each run, so that no run finds its pipe as another left it, and the end
// of a run is the end of its last line. warderd keeps the reading ends until they are read, so that nothing is lost while the
// keeper is started again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/broker.h"
#include "config/config.h"
#include "daemon/named_pipes.h"
#include "sys/fd.h"

namespace warder::daemon {

class LogPipes {
public:
    // Takes the names with it.
    ~LogPipes();

    // From here on the pipes of workers get names in `directory`. Errors: those of NamedPipes::begin().
    Result<void> name_in(const std::string& directory) { return names_.begin(directory); }

    // A pipe called `name` ("log:web", "audit"), made if there is none. Returns a descriptor of the writing end, which is
    // the caller's. `limits` go to the keeper with it. With a `group` it has a name, which that group may open: where none can be
    // made it is a pipe all the same. Errors: pipe2(2), fcntl(2).
    Result<Fd> writer(const std::string& name, const config::Logging& limits, std::optional<gid_t> group = {});

    // A run is over: the next one gets a pipe of its own, whose writing end is returned, the caller's. The old one's is closed
    // here. Where too many of former runs are unread it stays the same pipe. Errors: pipe2(2), fcntl(2).
    Result<Fd> renew(const std::string& name);

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
    struct Reader {
        Fd fd;
        bool delivered = false;
    };
    struct Pipe {
        Reader reader;
        Fd writer;
        std::uint64_t name = 0;       // 0: none
        std::optional<gid_t> group;   // who may open it by its name
        config::Logging limits;
        std::vector<Reader> former;   // of runs that are over, the oldest first; not read to their end as far as we know
    };
    enum class Sent { yes, full, later };

    Result<void> open(Pipe& pipe);
    bool open_named(Pipe& pipe);
    Sent send(broker::Broker& broker, const std::string& name, const Pipe& pipe, Reader& reader);
    Sent send_all(broker::Broker& broker, const std::string& name, Pipe& pipe);

    NamedPipes names_;
    bool can_name_ = true;
    std::map<std::string, Pipe> pipes_;
    bool keeper_up_ = false;
    WorkerId keeper_{};
    int on_their_way_ = 0;
};

}  // namespace warder::daemon
