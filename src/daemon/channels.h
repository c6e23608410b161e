// Channels between workers: which pairs the configs name, which of them both run now, and who has to get a new end. The two
// sides' grants make one channel; whenever either side is a new life both get new ends, and the old ones see end of file. The
// ends themselves are made elsewhere (opener/joiner.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "broker/broker.h"
#include "opener/joiner.h"
#include "policy/grant.h"
#include "sys/poller.h"
#include "sys/privileges.h"

namespace warder::daemon {

class Channels {
public:
    // `broker` knows the sockets of sessions, and outlives this.
    Channels(Poller& poller, Privileges& privileges, const broker::Broker& broker)
        : poller_(poller), privileges_(privileges), broker_(broker) {}
    ~Channels();
    Channels(const Channels&) = delete;
    Channels& operator=(const Channels&) = delete;

    // Knows a worker, or knows it anew after a reload. A channel whose two grants did not change stays as it is; what a worker
    // holds of one that is gone stays open until one of the two ends.
    void admit(WorkerId id, const std::string& name, const std::vector<policy::Grant>& grants, Instant now);
    void dismiss(WorkerId id);

    // It has said hello in its present life, so it listens to events.
    void greeted(WorkerId id, Instant now);
    void session_ended(WorkerId id);

    // Events of PollKind::joiner_exit.
    void handle(const PollEvent& event, Instant now);
    Instant next_deadline() const;
    void run_due(Instant now);

    // For reports.
    struct Shown {
        std::string worker;
        std::string grant;
        std::string peer;
        std::string peer_grant;
        bool joined = false;       // both present lives have their ends
        bool carries_fds = false;
        bool stream = false;
    };
    std::vector<Shown> shown() const;

private:
    struct Declared {
        std::string grant;
        std::string peer;
        bool stream = false;
        bool carries_fds = false;
        friend bool operator==(const Declared&, const Declared&) = default;
    };
    struct Member {
        std::string name;
        std::vector<Declared> channels;
        std::uint32_t life = 0;    // counts; the present one if `up`
        bool up = false;
    };
    struct Side {
        WorkerId id{};
        Declared declared;
        std::uint32_t joined_life = 0;   // that has an end, or is getting one
        friend bool operator==(const Side& a, const Side& b) { return a.id == b.id && a.declared == b.declared; }
    };
    struct Link {
        std::uint32_t number = 0;
        Side one;
        Side two;
        Fd joiner;                 // the pidfd of the one at work
        std::uint32_t attempt = 0;
        bool joined = false;
        Instant retry_at = Instant::never();
        unsigned in_vain = 0;      // attempts for the present two lives
    };

    void relink(Instant now);
    void add_links_of(WorkerId id, std::vector<Link>& links);
    void try_join(Link& link, Instant now);
    Result<void> begin_join(Link& link);
    void finish_join(Link& link, Instant now);
    void try_later(Link& link, Instant now, const std::string& why);
    void give_up(Link& link);
    void reap_abandoned();
    const Member* member_of(const Side& side) const;

    Poller& poller_;
    Privileges& privileges_;
    const broker::Broker& broker_;
    std::map<std::uint32_t, Member> members_;
    std::vector<Link> links_;
    std::uint32_t next_link_ = 1;
    std::vector<Fd> abandoned_;    // pidfds of joiners that are of no use any more
};

}  // namespace warder::daemon
