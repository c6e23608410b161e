// The descriptor stores of all workers that have a store: started with their worker's admission, handed a new socket for each of its
// lives, ended when it is dismissed. What one of them keeps is lost when it dies; its worker is told by an empty store in its
// next life, and operators by a record.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "audit/trail.h"
#include "base/ids.h"
#include "broker/dependencies.h"
#include "opener/descriptor_store.h"
#include "policy/grant.h"
#include "sys/channel.h"
#include "sys/poller.h"
#include "sys/privileges.h"

namespace warder::daemon {

class DescriptorStores {
public:
    // `listener` hears of workers that break the protocol of their store.
    DescriptorStores(Poller& poller, Privileges& privileges, audit::Trail& audit, broker::Listener& listener)
        : poller_(poller), privileges_(privileges), audit_(audit), listener_(listener) {}
    ~DescriptorStores() { stop(); }
    DescriptorStores(const DescriptorStores&) = delete;
    DescriptorStores& operator=(const DescriptorStores&) = delete;

    // Knows a worker, or knows it anew after a reload: what was kept stays, unless it has no store any more.
    void admit(WorkerId id, const std::string& name, uid_t uid, gid_t gid, const std::vector<policy::Grant>& grants);
    void dismiss(WorkerId id);
    // Grants that may have lent what is kept were taken away: with the present life it ends too.
    void empty(WorkerId id);

    // The worker's end for the life that is about to begin; empty if it has no store, or none that could be reached.
    Fd socket_for(WorkerId id);
    void session_begins(WorkerId id, Credentials who);
    void session_ended(WorkerId id);

    // Events of PollKind::descriptor_store and descriptor_store_exit.
    void handle(const PollEvent& event);

    // Ends them all.
    void stop();

    // What is kept for a worker; null: it has no store.
    struct Store {
        std::uint32_t most = 0;
        pid_t pid = -1;               // of its descriptor store; -1: it will be started with the next life
        opener::Kept kept;
    };
    const Store* store_of(WorkerId id);

private:
    struct Place {
        std::string name;
        uid_t uid = 65534;
        gid_t gid = 65534;
        std::uint32_t generation = 0;
        bool reached = false;         // the present life has a socket
        bool spent = false;           // what is kept is for no other life
        std::unique_ptr<opener::DescriptorStore> descriptor_store;
        Store store;
    };

    Result<void> start(WorkerId id, Place& place);
    void end(Place& place);
    void hear(WorkerId id, Place& place);
    void lose(Place& place);
    void renew(Place& place, std::string_view why);
    void sweep();
    void record(const Place& place, audit::Record::Kind kind, std::string_view text);

    Poller& poller_;
    Privileges& privileges_;
    audit::Trail& audit_;
    broker::Listener& listener_;
    std::map<std::uint32_t, Place> places_;
    std::vector<std::unique_ptr<opener::DescriptorStore>> leaving_;   // killed, and held up by what they keep
};

}  // namespace warder::daemon
