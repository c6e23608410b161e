// What the broker needs of others, as interfaces that the daemon fills: somewhere to send what could block, and somebody to
// tell what workers say of themselves.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "base/ids.h"
#include "base/time.h"
#include "broker/task.h"
#include "policy/grant.h"
#include "protocol/message.h"
#include "sys/fd.h"

namespace warder::broker {

// One request of an ask that goes to an opener. Either settled (denied, done already, or a kept listener to lend), or still to
// perform.
struct JobItem {
    bool settled = false;
    protocol::Outcome outcome;        // settled: as it is to be sent
    int lend = -1;                    // settled, and lends: a kept listener, or what was opened before; borrowed
    Task task;                        // otherwise
    GrantId grant = GrantId::none;
    std::string_view grant_name;      // for the sentence, if it fails
    std::string_view shown;           // the target as people are to read it
    std::uint32_t use = 0;            // the use of the grant that was taken for it: of which counting (allowance.h)
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
    std::uint32_t generation = 0;     // of memory that was made for the worker: with the inode its name (memory_account.h)
    std::uint32_t memory = 0;         // bytes of it
};

class Openers {
public:
    virtual ~Openers() = default;
    // Takes a job, to be done within the deadline for requests. Errors: EDQUOT when it would have to wait behind too many,
    // EMSGSIZE when it names more directories than one message can carry.
    virtual Result<void> take(const Job& job) = 0;
    // The worker's grants are others now: what waits for an opener by a grant that is not as it was is not done. `same` says of a
    // grant's name whether it is. How it ended comes back as Broker::job_failed and job_done.
    virtual void withdraw(WorkerId worker, const std::function<bool(std::string_view)>& same, Instant now) = 0;
    // Closes it. That may take as long as a stranger likes: in the queue of a unix socket may lie one whose close waits (socket(7),
    // SO_LINGER). Ours is closed before theirs, and ends no wait of its own.
    virtual void dispose(Fd fd) = 0;
};

// A command that was decided, its words whole. Everything in it is borrowed until take() returns.
struct CommandJob {
    WorkerId worker{};
    std::uint32_t generation = 0;
    RequestId request{};
    int channel = -1;                 // the worker's: the runner answers on it
    GrantId grant = GrantId::none;
    std::string_view grant_name;
    const policy::Command* command = nullptr;
    std::span<const std::string_view> words;
    std::size_t ends = 0;             // descriptors that the answer has
    std::uint32_t use = 0;            // the use of the grant that was taken for it: of which counting (allowance.h)
};

// Runs commands, outside this process. How each began comes back as Broker::command_begun.
class Runner {
public:
    virtual ~Runner() = default;
    // Errors: EDQUOT when as many of the grant run as may at once; EAGAIN when the runner cannot take it now.
    virtual Result<void> take(const CommandJob& job) = 0;
    // The worker's life is over, and its commands with it.
    virtual void session_ended(WorkerId worker) = 0;
};

// Looks names up, outside this process. What it found comes back as Broker::found.
class Resolver {
public:
    virtual ~Resolver() = default;
    // `key`: "host:db.example", "user:web", "uid:0", "group:...", "gid:...", "service:http/tcp".
    // One that is still starting is asked when it has begun (Broker::resolver_began).
    // Errors: EAGAIN when the resolver was stopped or failed for good, or has too much to do.
    virtual Result<void> look_up(std::uint64_t query, std::string_view key) = 0;
};

// Does things to other workers.
class Workers {
public:
    virtual ~Workers() = default;
    // Errors: ESRCH when it is not running.
    virtual Result<void> signal(std::string_view worker, int signal) = 0;
    virtual Result<void> restart(std::string_view worker) = 0;
};

class Listener {
public:
    virtual ~Listener() = default;
    virtual void said_hello(WorkerId worker) = 0;
    virtual void said_ready(WorkerId worker) = 0;
    virtual void said_status(WorkerId worker, std::string_view text) = 0;
    // It spent its requests per second and is not read for so long: what it says meanwhile is heard late by no fault of its own.
    virtual void held_back(WorkerId worker, Duration by) = 0;
    // The worker broke the protocol; its session is over.
    virtual void broke_protocol(WorkerId worker, std::string_view how) = 0;
};

}  // namespace warder::broker
