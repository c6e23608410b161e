// What lent sockets take away from a worker's filter, and what sending descriptors needs of it.
#include "config/config.h"
#include "sys/socket_options.h"

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

bool streams(const Grant& grant) { return grant.address.transport != Transport::udp && grant.address.transport != Transport::unix_dgram; }

// What TCP or vsock connects by it could be made a listener of.
bool connection(const Grant& grant) { return grant.kind == Kind::peer && !of_unix(grant.address.family) && streams(grant); }

bool listener(const Grant& grant) { return grant.kind == Kind::listener && !of_unix(grant.address.family) && streams(grant); }

std::uint32_t of_address(const policy::AddressPattern& address) {
    using enum Transport;
    std::uint32_t kinds = 0;
    switch (address.family) {
        case Family::ipv4: kinds = socket_options::lent_ipv4; break;
        case Family::ipv6: kinds = socket_options::lent_ipv6; break;
        case Family::host: kinds = socket_options::lent_ipv4 | socket_options::lent_ipv6; break;
        case Family::vsock: return socket_options::lent_vsock;
        case Family::unix_path:
        case Family::unix_abstract: return socket_options::lent_unix;
    }
    return kinds | (address.transport == udp ? socket_options::lent_udp : socket_options::lent_tcp);
}

// Kinds of the sockets that it lends; 0: it lends none.
std::uint32_t lent_by(const Grant& grant) {
    switch (grant.kind) {
        case Kind::listener:
        case Kind::peer: return of_address(grant.address);
        case Kind::raw: return socket_options::lent_raw | (grant.address.family == Family::ipv6 ? socket_options::lent_ipv6 : socket_options::lent_ipv4);
        case Kind::packet: return socket_options::lent_packet;
        case Kind::netlink: return socket_options::lent_netlink;
        case Kind::syslog: return socket_options::lent_unix;
        default: return 0;   // of a channel an end leads nowhere else, whatever is set
    }
}

}  // namespace

// What connect(2) can do nothing with that a port rule of Landlock would not hold: listeners of TCP, and unix sockets that are
// connected, or listen. The system's log is a datagram socket, and goes where it is connected to.
bool stays_where_it_is(const Grant& grant) {
    if (lent_by(grant) == 0 || grant.kind == Kind::channel) return true;
    if (!addressed(grant) || !streams(grant)) return false;
    return of_unix(grant.address.family) || (grant.kind == Kind::listener && grant.address.family != Family::vsock);
}

bool could_listen(const Grant& grant) { return connection(grant); }

bool sends_descriptors(const Grant& grant) {
    return grant.kind == Kind::store || (grant.kind == Kind::channel && grant.carries_fds);
}

void narrow_calls(const std::vector<Grant>& grants, sandbox::Calls& calls) {
    for (const Grant& grant : grants) {
        if (could_lead_elsewhere(grant)) calls.inet_sockets_lent = true;
        if (datagram(grant)) calls.datagram_sockets_lent = true;
        if (grant.kind == Kind::device) calls.devices_lent = true;
        if (listener(grant)) calls.listeners_lent = true;
        if (could_listen(grant)) calls.connections_lent = true;
        if (!stays_where_it_is(grant)) calls.only_listeners_lent = false;
        if (sends_descriptors(grant)) calls.may_send_descriptors = true;
        calls.lent_sockets |= lent_by(grant);
    }
}

}  // namespace warder::config
