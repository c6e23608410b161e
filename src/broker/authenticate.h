// Who sent a datagram. The kernel's word on each one, held against the one process that may speak here; never what the
// sender says, and never what is said of the socket (SO_PEERCRED on a socketpair names its creator).
#pragma once

#include "broker/session.h"
#include "sys/channel.h"

namespace warder::broker {

enum class Sender {
    requester,   // the worker's main process, or under request_access = "all" a member of its cgroup
    relative,    // of this worker, but not one that may ask
    unknown,     // no credentials: nothing is known, nothing is answered
};

// The pid cannot be stale: the parent alone reaps that child, and has not done so while the session lives.
Sender identify_sender(const PrincipalSettings& settings, const Session& session, const Received& received);

bool same_sender(const Credentials& a, const Credentials& b);

}  // namespace warder::broker
