// What lent sockets take away from a worker's filter, and what sending descriptors needs of it.
#include "config/config.h"

namespace warder::config {
namespace {

using policy::Family;
using policy::Grant;
using policy::Kind;
using policy::Transport;

bool addressed(const Grant& grant) { return grant.kind == Kind::listener || grant.kind == Kind::peer; }

bool of_unix(Family family) { return family == Family::unix_path || family == Family::unix_abstract; }

// A connected or bound socket of these could be connected elsewhere; bind(2) gives a packet socket another protocol.
bool could_lead_elsewhere(const Grant& grant) {
    if (addressed(grant)) return !of_unix(grant.address.family);
    return grant.kind == Kind::raw || grant.kind == Kind::packet || grant.kind == Kind::netlink;
}

// Raw and packet sockets are not among these: what they send to is no part of their grant.
bool datagram(const Grant& grant) {
    const auto transport = grant.address.transport;
    return addressed(grant) && (transport == Transport::udp || transport == Transport::unix_dgram);
}

}  // namespace

bool sends_descriptors(const Grant& grant) {
    return grant.kind == Kind::store || (grant.kind == Kind::channel && grant.carries_fds);
}

void narrow_calls(const std::vector<Grant>& grants, sandbox::Calls& calls) {
    for (const Grant& grant : grants) {
        if (could_lead_elsewhere(grant)) calls.inet_sockets_lent = true;
        if (datagram(grant)) calls.datagram_sockets_lent = true;
        if (grant.kind == Kind::device) calls.devices_lent = true;
        if (sends_descriptors(grant)) calls.may_send_descriptors = true;
    }
}

}  // namespace warder::config
