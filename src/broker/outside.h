// What the broker needs of others, as interfaces that the daemon fills: somewhere to send what could block, and somebody to
// tell what workers say of themselves.
#pragma once

#include <span>
#include <string_view>

#include "base/ids.h"
#include "base/time.h"
#include "broker/task.h"
#include "protocol/message.h"

namespace warder::broker {

// One request of an ask that goes to an opener. Either settled (denied, or a kept listener to lend), or still to perform.
struct JobItem {
    bool settled = false;
    protocol::Outcome outcome;        // settled: as it is to be sent
    int listener = -1;                // settled, allowed to listen: what to lend; borrowed
    Task task;                        // otherwise
    GrantId grant = GrantId::none;
    std::string_view grant_name;      // for the sentence, if it fails
    std::string_view shown;           // the target as people are to read it
};

// An ask with at least one request that could block. Everything in it is borrowed until take() returns.
struct Job {
    WorkerId worker{};
    std::uint32_t generation = 0;     // of the session: a reply to a life that is over goes nowhere
    RequestId request{};
    const Identity* identity = nullptr;
    int channel = -1;                 // the worker's: the opener answers on it
    std::span<const JobItem> items;
};

// How one request of a job ended, as the opener says by value.
struct JobResult {
    Reason reason = Reason::ok;
    std::int32_t error = 0;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
};

class Openers {
public:
    virtual ~Openers() = default;
    // Takes a job, to be done within the deadline for requests. Errors: EDQUOT when it would have to wait behind too many,
    // EMSGSIZE when it names more directories than one message can carry.
    virtual Result<void> take(const Job& job) = 0;
};

class Listener {
public:
    virtual ~Listener() = default;
    virtual void said_ready(WorkerId worker) = 0;
    virtual void said_status(WorkerId worker, std::string_view text) = 0;
    // The worker broke the protocol; its session is over.
    virtual void broke_protocol(WorkerId worker, std::string_view how) = 0;
};

}  // namespace warder::broker
