#include "sys/socket_options.h"

#include <algorithm>

namespace warder::socket_options {
namespace {

constexpr std::uint32_t sol_socket = 1, ip = 0, ipv6 = 41, tcp = 6, udp = 17, vsock = 40, icmpv6 = 58, raw = 255, packet = 263, netlink = 270;

constexpr Level all_levels[] = {
    {"SOL_SOCKET", sol_socket, lent_anything},
    {"IPPROTO_IP", ip, lent_ipv4 | lent_ipv6},
    {"IPPROTO_IPV6", ipv6, lent_ipv6},
    {"IPPROTO_TCP", tcp, lent_tcp},
    {"IPPROTO_UDP", udp, lent_udp},
    {"AF_VSOCK", vsock, lent_vsock},
    {"IPPROTO_ICMPV6", icmpv6, lent_raw},
    {"SOL_RAW", raw, lent_raw},
    {"SOL_PACKET", packet, lent_packet},
    {"SOL_NETLINK", netlink, lent_netlink},
};

constexpr bool yes = true;
constexpr bool no = false;
constexpr auto hidden = Readback::hidden;

// Numbers as both ABIs have them (asm-generic/socket.h). Never lists what is only read.
constexpr Option table[] = {
    {"IP_TOS", ip, 1, yes, "a mark of its own packets"},
    {"IP_TTL", ip, 2, no, "how many routers its packets pass"},
    {"IP_HDRINCL", ip, 3, no, "a raw socket writes the header itself, with any protocol and sender"},
    {"IP_OPTIONS", ip, 4, no, "a header with a route to elsewhere"},
    {"IP_ROUTER_ALERT", ip, 5, no, "a raw socket takes what is routed by the host", "", hidden},
    {"IP_RECVOPTS", ip, 6, yes, "more is told of what is received"},
    {"IP_RETOPTS", ip, 7, no, "the way back is told, to be sent along"},
    {"IP_PKTINFO", ip, 8, no, "where a datagram came in is told, and where one leaves is chosen"},
    {"IP_MTU_DISCOVER", ip, 10, no, "whether its packets may be cut"},
    {"IP_RECVERR", ip, 11, yes, "more is told of what went wrong"},
    {"IP_RECVTTL", ip, 12, yes, "more is told of what is received"},
    {"IP_RECVTOS", ip, 13, yes, "more is told of what is received"},
    {"IP_FREEBIND", ip, 15, no, "an address that the host has not"},
    {"IP_IPSEC_POLICY", ip, 16, no, "how its packets are encrypted", "net_admin", hidden},
    {"IP_XFRM_POLICY", ip, 17, no, "how its packets are encrypted", "net_admin", hidden},
    {"IP_PASSSEC", ip, 18, no, "the security label of what is received"},
    {"IP_TRANSPARENT", ip, 19, no, "addresses of others", "net_admin net_raw"},
    {"IP_RECVORIGDSTADDR", ip, 20, yes, "more is told of what is received"},
    {"IP_MINTTL", ip, 21, no, "drops what came through routers"},
    {"IP_NODEFRAG", ip, 22, no, "pieces are not put together"},
    {"IP_CHECKSUM", ip, 23, no, "the sum of what is received"},
    {"IP_BIND_ADDRESS_NO_PORT", ip, 24, no, "how a port is chosen"},
    {"IP_RECVFRAGSIZE", ip, 25, yes, "more is told of what is received"},
    {"IP_RECVERR_RFC4884", ip, 26, yes, "more is told of what went wrong"},
    {"IP_MULTICAST_IF", ip, 32, no, "the interface that its datagrams leave by"},
    {"IP_MULTICAST_TTL", ip, 33, no, "how many routers its datagrams pass"},
    {"IP_MULTICAST_LOOP", ip, 34, no, "its own datagrams come back"},
    {"IP_ADD_MEMBERSHIP", ip, 35, no, "the host joins a group", "", hidden},
    {"IP_DROP_MEMBERSHIP", ip, 36, no, "the host leaves a group", "", hidden},
    {"IP_UNBLOCK_SOURCE", ip, 37, no, "who is heard in a group", "", hidden},
    {"IP_BLOCK_SOURCE", ip, 38, no, "who is heard in a group", "", hidden},
    {"IP_ADD_SOURCE_MEMBERSHIP", ip, 39, no, "the host joins a group", "", hidden},
    {"IP_DROP_SOURCE_MEMBERSHIP", ip, 40, no, "the host leaves a group", "", hidden},
    {"IP_MSFILTER", ip, 41, no, "who is heard in a group", "", hidden},
    {"MCAST_JOIN_GROUP", ip, 42, no, "the host joins a group", "", hidden},
    {"MCAST_BLOCK_SOURCE", ip, 43, no, "who is heard in a group", "", hidden},
    {"MCAST_UNBLOCK_SOURCE", ip, 44, no, "who is heard in a group", "", hidden},
    {"MCAST_LEAVE_GROUP", ip, 45, no, "the host leaves a group", "", hidden},
    {"MCAST_JOIN_SOURCE_GROUP", ip, 46, no, "the host joins a group", "", hidden},
    {"MCAST_LEAVE_SOURCE_GROUP", ip, 47, no, "the host leaves a group", "", hidden},
    {"MCAST_MSFILTER", ip, 48, no, "who is heard in a group", "", hidden},
    {"IP_MULTICAST_ALL", ip, 49, no, "groups that others of the host joined"},
    {"IP_UNICAST_IF", ip, 50, no, "the interface that its packets leave by"},
    {"IP_LOCAL_PORT_RANGE", ip, 51, no, "which ports are chosen"},

    {"SO_DEBUG", sol_socket, 1, no, "the kernel records more", "net_admin"},
    {"SO_REUSEADDR", sol_socket, 2, yes, "only bind(2) looks at it, and that is done"},
    {"SO_DONTROUTE", sol_socket, 5, no, "its packets pass no router"},
    {"SO_BROADCAST", sol_socket, 6, yes, "only connect(2) and addresses look at it, and both are warderd's to choose"},
    {"SO_SNDBUF", sol_socket, 7, yes, "room of its own, as far as the host lets it"},
    {"SO_RCVBUF", sol_socket, 8, yes, "room of its own, as far as the host lets it"},
    {"SO_KEEPALIVE", sol_socket, 9, yes, "empty packets to the same peer"},
    {"SO_OOBINLINE", sol_socket, 10, yes, "how it reads"},
    {"SO_NO_CHECK", sol_socket, 11, no, "datagrams without a sum"},
    {"SO_PRIORITY", sol_socket, 12, no, "the queue that its packets wait in"},
    {"SO_LINGER", sol_socket, 13, yes, "how its close goes"},
    {"SO_BSDCOMPAT", sol_socket, 14, no, "nothing any more"},
    {"SO_REUSEPORT", sol_socket, 15, yes, "another socket of the same uid may take the port, and bind(2) is denied"},
    {"SO_PASSCRED", sol_socket, 16, yes, "who sends is told"},
    {"SO_RCVLOWAT", sol_socket, 18, yes, "when it is woken"},
    {"SO_RCVTIMEO_OLD", sol_socket, 20, yes, "how long it waits"},
    {"SO_SNDTIMEO_OLD", sol_socket, 21, yes, "how long it waits"},
    {"SO_BINDTODEVICE", sol_socket, 25, no, "the interface that its packets leave by, and come in by"},
    {"SO_ATTACH_FILTER", sol_socket, 26, no, "a program drops what is received"},
    {"SO_DETACH_FILTER", sol_socket, 27, no, "takes the program away"},
    {"SO_TIMESTAMP_OLD", sol_socket, 29, no, "when it was received is told"},
    {"SO_SNDBUFFORCE", sol_socket, 32, no, "more room than the host lets it", "net_admin"},
    {"SO_RCVBUFFORCE", sol_socket, 33, no, "more room than the host lets it", "net_admin"},
    {"SO_PASSSEC", sol_socket, 34, yes, "who sends is told"},
    {"SO_TIMESTAMPNS_OLD", sol_socket, 35, no, "when it was received is told"},
    {"SO_MARK", sol_socket, 36, no, "the mark that routes are chosen by", "net_admin net_raw"},
    {"SO_TIMESTAMPING_OLD", sol_socket, 37, no, "when it was sent and received is told"},
    {"SO_RXQ_OVFL", sol_socket, 40, yes, "how much was dropped is told"},
    {"SO_WIFI_STATUS", sol_socket, 41, no, "what became of a frame is told"},
    {"SO_PEEK_OFF", sol_socket, 42, no, "where a look begins"},
    {"SO_NOFCS", sol_socket, 43, no, "frames without a sum"},
    {"SO_LOCK_FILTER", sol_socket, 44, no, "its filter stays"},
    {"SO_SELECT_ERR_QUEUE", sol_socket, 45, no, "when it is woken"},
    {"SO_BUSY_POLL", sol_socket, 46, no, "the kernel spins for it", "net_admin"},
    {"SO_MAX_PACING_RATE", sol_socket, 47, no, "how fast it sends"},
    {"SO_INCOMING_CPU", sol_socket, 49, no, "who of those that share a port is asked"},
    {"SO_ATTACH_BPF", sol_socket, 50, no, "a program drops what is received", "", hidden},
    {"SO_ATTACH_REUSEPORT_CBPF", sol_socket, 51, no, "a program chooses who of those that share a port is asked", "", hidden},
    {"SO_ATTACH_REUSEPORT_EBPF", sol_socket, 52, no, "a program chooses who of those that share a port is asked", "", hidden},
    {"SO_CNX_ADVICE", sol_socket, 53, no, "its route is looked for anew"},
    {"SO_ZEROCOPY", sol_socket, 60, no, "what it sends is not copied"},
    {"SO_TXTIME", sol_socket, 61, no, "when a packet leaves"},
    {"SO_BINDTOIFINDEX", sol_socket, 62, no, "the interface that its packets leave by, and come in by"},
    {"SO_TIMESTAMP_NEW", sol_socket, 63, no, "when it was received is told"},
    {"SO_TIMESTAMPNS_NEW", sol_socket, 64, no, "when it was received is told"},
    {"SO_TIMESTAMPING_NEW", sol_socket, 65, no, "when it was sent and received is told"},
    {"SO_RCVTIMEO_NEW", sol_socket, 66, yes, "how long it waits"},
    {"SO_SNDTIMEO_NEW", sol_socket, 67, yes, "how long it waits"},
    {"SO_DETACH_REUSEPORT_BPF", sol_socket, 68, no, "takes the program away", "", hidden},
    {"SO_PREFER_BUSY_POLL", sol_socket, 69, no, "the kernel spins for it", "net_admin"},
    {"SO_BUSY_POLL_BUDGET", sol_socket, 70, no, "the kernel spins for it", "net_admin"},
    {"SO_BUF_LOCK", sol_socket, 72, no, "whether its room grows by itself"},
    {"SO_RESERVE_MEM", sol_socket, 73, no, "memory is set aside"},
    {"SO_TXREHASH", sol_socket, 74, no, "whether its way changes when packets are lost"},
    {"SO_RCVMARK", sol_socket, 75, no, "a mark of what is received", "net_admin net_raw"},
    {"SO_PASSPIDFD", sol_socket, 76, yes, "who sends is told"},
    {"SO_RCVPRIORITY", sol_socket, 82, no, "the priority of what is received"},

    {"TCP_NODELAY", tcp, 1, yes, "when it sends"},
    {"TCP_MAXSEG", tcp, 2, no, "how large its segments are"},
    {"TCP_CORK", tcp, 3, yes, "when it sends"},
    {"TCP_KEEPIDLE", tcp, 4, yes, "when an empty packet goes to the same peer"},
    {"TCP_KEEPINTVL", tcp, 5, yes, "when an empty packet goes to the same peer"},
    {"TCP_KEEPCNT", tcp, 6, yes, "when its peer is given up"},
    {"TCP_SYNCNT", tcp, 7, no, "how often connecting is tried"},
    {"TCP_LINGER2", tcp, 8, no, "how long the end of a connection is waited for"},
    {"TCP_DEFER_ACCEPT", tcp, 9, yes, "when a connection is told of"},
    {"TCP_WINDOW_CLAMP", tcp, 10, no, "how much may be on its way"},
    {"TCP_QUICKACK", tcp, 12, yes, "when it answers"},
    {"TCP_CONGESTION", tcp, 13, no, "how it shares the network with others"},
    {"TCP_MD5SIG", tcp, 14, no, "refuses what is not signed", "", hidden},
    {"TCP_THIN_LINEAR_TIMEOUTS", tcp, 16, no, "how often it tries again"},
    {"TCP_THIN_DUPACK", tcp, 17, no, "how often it tries again"},
    {"TCP_USER_TIMEOUT", tcp, 18, yes, "when its peer is given up"},
    {"TCP_REPAIR", tcp, 19, no, "its state is written by hand", "net_admin", hidden},
    {"TCP_REPAIR_QUEUE", tcp, 20, no, "its state is written by hand", "net_admin", hidden},
    {"TCP_QUEUE_SEQ", tcp, 21, no, "its state is written by hand", "net_admin", hidden},
    {"TCP_REPAIR_OPTIONS", tcp, 22, no, "its state is written by hand", "net_admin", hidden},
    {"TCP_FASTOPEN", tcp, 23, yes, "data in the first packet of who connects"},
    {"TCP_TIMESTAMP", tcp, 24, no, "its state is written by hand", "net_admin", hidden},
    {"TCP_NOTSENT_LOWAT", tcp, 25, yes, "when it is woken"},
    {"TCP_SAVE_SYN", tcp, 27, no, "the first packet of who connects is told"},
    {"TCP_REPAIR_WINDOW", tcp, 29, no, "its state is written by hand", "net_admin", hidden},
    {"TCP_FASTOPEN_CONNECT", tcp, 30, no, "connects by sending"},
    {"TCP_ULP", tcp, 31, no, "another protocol takes the socket over"},
    {"TCP_MD5SIG_EXT", tcp, 32, no, "refuses what is not signed", "", hidden},
    {"TCP_FASTOPEN_KEY", tcp, 33, no, "the key of its cookies"},
    {"TCP_FASTOPEN_NO_COOKIE", tcp, 34, no, "data in the first packet of whoever connects"},
    {"TCP_INQ", tcp, 36, no, "how much waits is told"},
    {"TCP_TX_DELAY", tcp, 37, no, "when its packets leave"},
    {"TCP_AO_ADD_KEY", tcp, 38, no, "refuses what is not signed", "", hidden},
    {"TCP_AO_DEL_KEY", tcp, 39, no, "refuses what is not signed", "", hidden},
    {"TCP_AO_INFO", tcp, 40, no, "refuses what is not signed", "", hidden},
    {"TCP_AO_REPAIR", tcp, 42, no, "its state is written by hand", "net_admin", hidden},
    {"TCP_RTO_MAX_MS", tcp, 44, no, "how often it tries again"},
    {"TCP_RTO_MIN_US", tcp, 45, no, "how often it tries again"},
    {"TCP_DELACK_MAX_US", tcp, 46, no, "when it answers"},

    {"UDP_CORK", udp, 1, no, "when it sends"},
    {"UDP_ENCAP", udp, 100, no, "the kernel takes its datagrams for IPsec"},
    {"UDP_NO_CHECK6_TX", udp, 101, no, "datagrams without a sum"},
    {"UDP_NO_CHECK6_RX", udp, 102, no, "datagrams without a sum are taken"},
    {"UDP_SEGMENT", udp, 103, no, "several datagrams by one call"},
    {"UDP_GRO", udp, 104, no, "several datagrams at once"},

    {"SO_VM_SOCKETS_BUFFER_SIZE", vsock, 0, yes, "room of its own"},
    {"SO_VM_SOCKETS_BUFFER_MIN_SIZE", vsock, 1, yes, "room of its own"},
    {"SO_VM_SOCKETS_BUFFER_MAX_SIZE", vsock, 2, yes, "room of its own"},
    {"SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD", vsock, 6, yes, "how long it waits"},
    {"SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW", vsock, 8, yes, "how long it waits"},

    {"IPV6_ADDRFORM", ipv6, 1, no, "makes it a socket of IPv4"},
    {"IPV6_2292PKTINFO", ipv6, 2, no, "where a datagram came in is told"},
    {"IPV6_2292HOPOPTS", ipv6, 3, no, "headers of what is received are told"},
    {"IPV6_2292DSTOPTS", ipv6, 4, no, "headers of what is received are told"},
    {"IPV6_2292RTHDR", ipv6, 5, no, "headers of what is received are told"},
    {"IPV6_2292PKTOPTIONS", ipv6, 6, no, "headers, and with them a route to elsewhere", "", hidden},
    {"IPV6_CHECKSUM", ipv6, 7, no, "a raw socket's sums"},
    {"IPV6_2292HOPLIMIT", ipv6, 8, no, "how far a datagram came is told"},
    {"IPV6_FLOWINFO", ipv6, 11, no, "the label of what is received is told"},
    {"IPV6_UNICAST_HOPS", ipv6, 16, no, "how many routers its packets pass"},
    {"IPV6_MULTICAST_IF", ipv6, 17, no, "the interface that its datagrams leave by"},
    {"IPV6_MULTICAST_HOPS", ipv6, 18, no, "how many routers its datagrams pass"},
    {"IPV6_MULTICAST_LOOP", ipv6, 19, no, "its own datagrams come back"},
    {"IPV6_ADD_MEMBERSHIP", ipv6, 20, no, "the host joins a group", "", hidden},
    {"IPV6_DROP_MEMBERSHIP", ipv6, 21, no, "the host leaves a group", "", hidden},
    {"IPV6_ROUTER_ALERT", ipv6, 22, no, "a raw socket takes what is routed by the host", "", hidden},
    {"IPV6_MTU_DISCOVER", ipv6, 23, no, "whether its packets may be cut"},
    {"IPV6_MTU", ipv6, 24, no, "how large its packets are", "", hidden},
    {"IPV6_RECVERR", ipv6, 25, yes, "more is told of what went wrong"},
    {"IPV6_V6ONLY", ipv6, 26, yes, "only bind(2) looks at it, and that is done"},
    {"IPV6_JOIN_ANYCAST", ipv6, 27, no, "the host answers for an address", "", hidden},
    {"IPV6_LEAVE_ANYCAST", ipv6, 28, no, "the host answers for an address no more", "", hidden},
    {"IPV6_MULTICAST_ALL", ipv6, 29, no, "groups that others of the host joined"},
    {"IPV6_ROUTER_ALERT_ISOLATE", ipv6, 30, no, "a raw socket takes what is routed by the host"},
    {"IPV6_RECVERR_RFC4884", ipv6, 31, yes, "more is told of what went wrong"},
    {"IPV6_FLOWLABEL_MGR", ipv6, 32, no, "labels of the host's are taken", "", hidden},
    {"IPV6_FLOWINFO_SEND", ipv6, 33, no, "the label of its packets"},
    {"IPV6_IPSEC_POLICY", ipv6, 34, no, "how its packets are encrypted", "net_admin", hidden},
    {"IPV6_XFRM_POLICY", ipv6, 35, no, "how its packets are encrypted", "net_admin", hidden},
    {"IPV6_HDRINCL", ipv6, 36, no, "a raw socket writes the header itself, with any protocol and sender"},
    {"IPV6_RECVPKTINFO", ipv6, 49, yes, "more is told of what is received"},
    {"IPV6_PKTINFO", ipv6, 50, no, "the address and interface that its packets leave by"},
    {"IPV6_RECVHOPLIMIT", ipv6, 51, yes, "more is told of what is received"},
    {"IPV6_RECVHOPOPTS", ipv6, 53, yes, "more is told of what is received"},
    {"IPV6_HOPOPTS", ipv6, 54, no, "a header that every router reads"},
    {"IPV6_RTHDRDSTOPTS", ipv6, 55, no, "a header for stops on the way"},
    {"IPV6_RECVRTHDR", ipv6, 56, yes, "more is told of what is received"},
    {"IPV6_RTHDR", ipv6, 57, no, "a header with a route to elsewhere"},
    {"IPV6_RECVDSTOPTS", ipv6, 58, yes, "more is told of what is received"},
    {"IPV6_DSTOPTS", ipv6, 59, no, "a header for the other end"},
    {"IPV6_RECVPATHMTU", ipv6, 60, yes, "more is told of what went wrong"},
    {"IPV6_DONTFRAG", ipv6, 62, no, "whether its packets may be cut"},
    {"IPV6_RECVTCLASS", ipv6, 66, yes, "more is told of what is received"},
    {"IPV6_TCLASS", ipv6, 67, yes, "a mark of its own packets"},
    {"IPV6_AUTOFLOWLABEL", ipv6, 70, no, "the label of its packets"},
    {"IPV6_ADDR_PREFERENCES", ipv6, 72, no, "which of the host's addresses it has"},
    {"IPV6_MINHOPCOUNT", ipv6, 73, no, "drops what came through routers"},
    {"IPV6_RECVORIGDSTADDR", ipv6, 74, yes, "more is told of what is received"},
    {"IPV6_TRANSPARENT", ipv6, 75, no, "addresses of others", "net_admin net_raw"},
    {"IPV6_UNICAST_IF", ipv6, 76, no, "the interface that its packets leave by"},
    {"IPV6_RECVFRAGSIZE", ipv6, 77, yes, "more is told of what is received"},
    {"IPV6_FREEBIND", ipv6, 78, no, "an address that the host has not"},

    {"ICMPV6_FILTER", icmpv6, 1, yes, "what a raw socket receives"},
    {"ICMP_FILTER", raw, 1, yes, "what a raw socket receives"},

    {"PACKET_ADD_MEMBERSHIP", packet, 1, no, "the interface takes what is for others", "", hidden},
    {"PACKET_DROP_MEMBERSHIP", packet, 2, no, "the interface takes what is for others no more", "", hidden},
    {"PACKET_RX_RING", packet, 5, no, "memory that it shares with the kernel", "", hidden},
    {"PACKET_COPY_THRESH", packet, 7, no, "what is copied"},
    {"PACKET_AUXDATA", packet, 8, yes, "more is told of what is received"},
    {"PACKET_VERSION", packet, 10, no, "memory that it shares with the kernel"},
    {"PACKET_RESERVE", packet, 12, no, "memory that it shares with the kernel"},
    {"PACKET_TX_RING", packet, 13, no, "memory that it shares with the kernel", "", hidden},
    {"PACKET_LOSS", packet, 14, no, "what becomes of bad frames"},
    {"PACKET_VNET_HDR", packet, 15, no, "frames have a header more"},
    {"PACKET_TX_TIMESTAMP", packet, 16, no, "when a frame left is told", "", hidden},
    {"PACKET_TIMESTAMP", packet, 17, no, "when a frame came is told"},
    {"PACKET_FANOUT", packet, 18, no, "frames are shared with others"},
    {"PACKET_TX_HAS_OFF", packet, 19, no, "where a frame begins"},
    {"PACKET_QDISC_BYPASS", packet, 20, no, "frames wait in no queue"},
    {"PACKET_FANOUT_DATA", packet, 22, no, "a program shares frames with others", "", hidden},
    {"PACKET_IGNORE_OUTGOING", packet, 23, yes, "what it receives"},
    {"PACKET_VNET_HDR_SZ", packet, 24, no, "frames have a header more"},

    {"NETLINK_ADD_MEMBERSHIP", netlink, 1, yes, "what the kernel tells it without a question; some groups want a capability", "", hidden},
    {"NETLINK_DROP_MEMBERSHIP", netlink, 2, yes, "what the kernel tells it", "", hidden},
    {"NETLINK_PKTINFO", netlink, 3, yes, "more is told of what is received"},
    {"NETLINK_BROADCAST_ERROR", netlink, 4, yes, "whether it is told that something was lost"},
    {"NETLINK_NO_ENOBUFS", netlink, 5, yes, "whether it is told that something was lost"},
    {"NETLINK_LISTEN_ALL_NSID", netlink, 8, no, "what happens in other networks is told", "net_broadcast"},
    {"NETLINK_CAP_ACK", netlink, 10, yes, "how it is answered"},
    {"NETLINK_EXT_ACK", netlink, 11, yes, "how it is answered"},
    {"NETLINK_GET_STRICT_CHK", netlink, 12, yes, "how its questions are read"},
};

}  // namespace

std::span<const Level> levels() { return all_levels; }

const Level* find_level(std::uint32_t number) {
    const auto* found = std::ranges::find(all_levels, number, &Level::number);
    return found == std::end(all_levels) ? nullptr : found;
}

std::span<const Option> all() { return table; }

namespace {

// What the C library calls these without an ending, on both ABIs.
std::string_view spelled_out(std::string_view name) {
    constexpr std::string_view older[] = {"SO_RCVTIMEO", "SO_SNDTIMEO", "SO_TIMESTAMP", "SO_TIMESTAMPNS", "SO_TIMESTAMPING",
                                          "SO_VM_SOCKETS_CONNECT_TIMEOUT"};
    constexpr std::string_view longer[] = {"SO_RCVTIMEO_OLD", "SO_SNDTIMEO_OLD", "SO_TIMESTAMP_OLD", "SO_TIMESTAMPNS_OLD", "SO_TIMESTAMPING_OLD",
                                           "SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD"};
    const auto* found = std::ranges::find(older, name);
    return found == std::end(older) ? name : longer[found - std::begin(older)];
}

}  // namespace

const Option* find(std::string_view name) {
    const auto* found = std::ranges::find(table, spelled_out(name), &Option::name);
    return found == std::end(table) ? nullptr : found;
}

const Option* find(std::uint32_t level, std::uint32_t number) {
    const auto* found = std::ranges::find_if(table, [&](const Option& one) { return one.level == level && one.number == number; });
    return found == std::end(table) ? nullptr : found;
}

bool is_held(const Level& level, std::uint32_t lent) {
    return (lent & level.takers) != 0 || (lent & ~static_cast<std::uint32_t>(lent_unix)) != 0;
}

}  // namespace warder::socket_options
