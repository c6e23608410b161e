// Who may do what over the control socket. Decided by numbers that the kernel vouches for; a peer's own words are never
// looked at (T12). Names of users and groups were resolved when the config was loaded.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "protocol/message.h"
#include "sys/channel.h"

namespace warder::control {

// Who connected: SO_PEERCRED and SO_PEERGROUPS, both as they were at connect(2), read once at accept. SCM_CREDENTIALS
// carries one gid and cannot carry a supplementary one, so groups are never taken from a message.
struct Peer {
    pid_t pid = 0;
    uid_t uid = 65534;
    std::vector<gid_t> groups;   // the effective gid and the supplementary ones
};

// Only for a connection accepted from a listener: on a socketpair SO_PEERCRED names its creator (T8).
Result<Peer> peer_of(int connection);

// Whether one message of this connection comes from the user that connected. A descriptor can be handed to another process,
// and the kernel names the sender of each message.
bool same_user(const Peer& peer, const Received& received);

// Whether the peer of a connection lives in this process's own pid namespace. One of a worker's does not, and where workers have
// the operator's uid that is what tells them apart. A peer that is gone is not known to: false.
bool in_own_pid_namespace(int connection, const Peer& peer);

enum class Scope : std::uint8_t { look, change };

// What a verb asks for; verbs that nobody knows count as change.
Scope scope_of(protocol::Verb verb);

// Who may use each scope. Whoever may change may look.
struct Access {
    std::vector<uid_t> users{0};
    std::vector<gid_t> look_groups;
    std::vector<gid_t> change_groups;
    std::string group_name;          // of the first group, for the sentence

    // Root, and the members of one group, may do everything.
    static Access root_and(gid_t group, std::string name);
    static Access root_only() { return {}; }
    // Without root: the user that warderd is.
    static Access only(uid_t user);
};

bool may(const Access& access, const Peer& peer, protocol::Verb verb);

// "uid 1000 may not stop: the control socket lets in root and members of group warder".
std::string explain_refusal(const Access& access, const Peer& peer, protocol::Verb verb);

}  // namespace warder::control
