// A worker as the broker knows it. Principal: who it is and what it may have, over all its lives. Session: one life of it,
// with the socketpair of that life and what was lent over it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/ring.h"
#include "base/fixed_string.h"
#include "base/ids.h"
#include "base/time.h"
#include "broker/allowance.h"
#include "broker/attention.h"
#include "broker/hold.h"
#include "broker/memory_account.h"
#include "policy/grant.h"
#include "policy/request.h"
#include "protocol/message.h"
#include "sys/channel.h"
#include "sys/privileges.h"

namespace warder::broker {

// One thing that a worker was lent. What it is now stands in the worker's own descriptor table; this says by which grant
// and since when.
struct Lent {
    GrantId grant = GrantId::none;
    Operation operation{};
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    Instant since{};
    std::int64_t wall_clock = 0;
};

// The latest things lent in a life; the oldest entry gives way. It grows with what is lent, to a fixed number and no further, so that
// a worker cannot make it grow without end.
class LentTable {
public:
    static constexpr std::size_t capacity = 64;

    void note(const Lent& lent) {
        ++total_;
        for (const auto& entry : entries_) {
            if (entry.grant == lent.grant && entry.inode == lent.inode && entry.device == lent.device) return;
        }
        if (entries_.size() < capacity) {
            entries_.push_back(lent);
        } else {
            entries_[next_] = lent;
            next_ = (next_ + 1) % capacity;
        }
    }

    // After a reload grants have other numbers: `number_now` says which, or none, and what was lent by a grant that is gone is
    // not told any more.
    template <typename Function>
    void renumber(const Function& number_now) {
        for (auto& entry : entries_) entry.grant = number_now(entry.grant);
        std::erase_if(entries_, [](const Lent& entry) { return entry.grant == GrantId::none; });
        next_ = 0;
    }

    std::span<const Lent> entries() const { return entries_; }
    std::uint64_t total() const { return total_; }
    void clear() {
        entries_.clear();
        next_ = 0;
        total_ = 0;
    }

private:
    std::vector<Lent> entries_;
    std::size_t next_ = 0;
    std::uint64_t total_ = 0;
};

inline constexpr std::size_t max_session_narrowings = 64;

// A narrowing, with its texts.
struct Narrowing {
    std::string grant;
    std::string target;
    std::string second;
    std::uint64_t argument = 0;
    std::uint32_t mode = 0;
    std::uint32_t uses_left = 0;   // what `mode` came to when it was asked for

    bool is_of(const policy::Request& request) const {
        return request.grant == grant && request.target == target && request.second == second && request.argument == argument &&
               request.mode == mode;
    }
};

// An ask that could not be answered at once: kept as it came, and answered anew.
struct KeptAsk {
    std::vector<std::byte> datagram;
    Credentials sender;
    Instant deadline;   // until which it waits for the resolver
};

// ... before the resolver has answered a question.
struct Awaiting {
    std::uint64_t query = 0;
    KeptAsk ask;
};

// A secret that changed, on its way to the worker.
struct Pushing {
    std::string grant;
    bool again = false;   // it has changed once more since
    bool over = false;    // it was told: the change since is next
};

struct Session {
    // Asks whose answers are still to come, with those that wait for room in its socket.
    std::size_t unanswered() const { return outstanding + untold.size(); }

    const Channel* channel = nullptr;    // the worker's life owns it; it outlives the session
    Credentials who;                     // pid as the parent sees it, real uid and gid
    std::uint64_t cgroup_id = 0;         // inode of this life's cgroup directory; 0: none
    std::uint32_t generation = 0;
    bool greeted = false;                // hello was said
    bool clogged = false;                // nothing more is taken from it: it does not read its replies, or an ask of it waits
    bool resting = false;                // its socket is not watched until a moment that is known (turns.cc)
    bool closed = false;                 // the worker closed its end: there is nothing to watch any more
    std::uint32_t outstanding = 0;       // asks that an opener has or that wait for one
    bool ready = false;                  // it said so
    Share share;                         // of the loop's time
    std::size_t last_size = 0;           // bytes of its latest ask
    Allowances allowances;
    Rate requests;                       // of the worker's quota; whoever spent it is not read (turns.cc)
    InFlight in_flight;                  // descriptors sent and not yet received
    std::size_t promised = 0;            // descriptors that openers may be about to send
    std::unique_ptr<policy::GrantSet> narrowed;   // the worker's grants less what it gave up, under the same numbers
    std::vector<Narrowing> narrowings;   // ... to be done again after a reload
    std::vector<Awaiting> awaiting;      // asks that wait for the resolver
    std::vector<std::vector<std::byte>> untold;   // messages for which its socket had no room: that commands ended, and answers
                                         // that nobody else could give; no more than may run at once and be outstanding
    std::deque<KeptAsk> parked;          // asks whose replies did not fit into the socket, or whose turn it was not: answered
                                         // one after the other when it is
    std::vector<Pushing> pushing;        // one for each secret
    LentTable lent;
};

// Everything about a worker that the broker needs beforehand.
struct PrincipalSettings {
    WorkerId id{};
    std::string name;
    policy::GrantSet grants;
    Identity identity;                   // whose credentials operations are performed with
    protocol::Requesters requesters = protocol::Requesters::main;
    std::uint32_t max_pending_requests = 64;
    std::uint32_t max_request_rate = 0;   // 0: no bound
    std::uint32_t max_in_flight = 253;       // descriptors sent and not yet received
    std::uint64_t max_lent_memory = 64 << 20;   // bytes of lists and secrets that it holds
    bool resolves = false;                   // this is the resolver
    bool sets_hidden_options = false;        // it may set options of sockets that the kernel does not tell afterwards
};

struct Principal {
    // What decides now: the config's grants, or what the worker left of them.
    const policy::GrantSet& grants() const {
        return session && session->narrowed ? *session->narrowed : settings.grants;
    }

    PrincipalSettings settings;
    audit::Account account = audit::own_account;
    std::vector<Held> held;              // by grant
    std::optional<Session> session;
    MemoryAccount memory;                // of all its lives: what one left to somebody is there still
    std::uint32_t generations = 0;
    std::uint64_t rotations = 0;         // of its secrets: the generation of the last one pushed
    std::uint64_t allowed = 0;           // requests, since warderd started
    std::uint64_t denied = 0;            // by the policy
    std::uint64_t failed = 0;            // permitted, but not done
};

// Narrows grant `id` of the session by `request`; the first time it gets grants of its own, a copy of `grants`. Errors: those of
// policy::narrowed, and then nothing is touched.
Result<void> narrow_in(Session& session, const policy::GrantSet& grants, const policy::Request& request, GrantId id);

// Narrows the grants of a reload as the session's were. What cannot be narrowed so any more is given up whole.
void narrow_again(Session& session, const policy::GrantSet& grants);

}  // namespace warder::broker
