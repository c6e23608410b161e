// Grants on sockets: to listen on, to connect, of one protocol, to the log.
#include <algorithm>

#include "config/grant_reader.h"
#include "policy/path.h"

namespace warder::config {
namespace {

using policy::AddressPattern;
using policy::Family;
using policy::Grant;
using policy::Kind;
using policy::Transport;

constexpr std::array<Choice<policy::As>, 2> as_choices{{
    {"worker", policy::As::worker},
    {"root", policy::As::root},
}};

constexpr std::array<Choice<policy::Owner>, 2> owner_choices{{
    {"worker", policy::Owner::worker},
    {"root", policy::Owner::root},
}};

constexpr std::array<Choice<Family>, 2> family_choices{{
    {"ipv4", Family::ipv4},
    {"ipv6", Family::ipv6},
}};

constexpr std::uint32_t icmp_of_ipv6 = 58;

// As /etc/protocols has them. 255 is no protocol: through it any header could be sent.
constexpr std::array<NamedNumber, 14> ip_protocols{{
    {"icmp", 1},   {"igmp", 2}, {"ipip", 4}, {"tcp", 6},   {"udp", 17},   {"gre", 47},   {"esp", 50},
    {"ah", 51},    {"icmpv6", icmp_of_ipv6}, {"ospf", 89}, {"pim", 103}, {"vrrp", 112}, {"sctp", 132}, {"udplite", 136},
}};

// linux/if_ether.h
constexpr std::array<NamedNumber, 8> ethertypes{{
    {"all", 0x0003},
    {"ip", 0x0800},
    {"arp", 0x0806},
    {"vlan", 0x8100},
    {"ipv6", 0x86dd},
    {"eapol", 0x888e},
    {"lldp", 0x88cc},
    {"ptp", 0x88f7},
}};

// linux/netlink.h
constexpr std::array<NamedNumber, 13> netlink_protocols{{
    {"route", 0},      {"usersock", 2},   {"sock-diag", 4},  {"nflog", 5},           {"xfrm", 6},
    {"selinux", 7},    {"iscsi", 8},      {"audit", 9},      {"fib-lookup", 10},     {"connector", 11},
    {"netfilter", 12}, {"kobject-uevent", 15}, {"generic", 16},
}};

bool inet(const AddressPattern& address) { return address.family == Family::ipv4 || address.family == Family::ipv6; }

bool of_unix(const AddressPattern& address) {
    return address.family == Family::unix_path || address.family == Family::unix_abstract;
}

bool datagram(Transport transport) { return transport == Transport::udp || transport == Transport::unix_dgram; }

// Whether it is what somebody may have meant: "tcp" in "tcp:8080" is a name of a host too, but hardly that.
bool plausible(std::string_view text) {
    const auto pattern = policy::parse_address_pattern(text);
    return pattern && (pattern->family != Family::host || pattern->name.find('.') != std::string::npos);
}

bool is_name(const std::string& text) {
    const auto pattern = policy::parse_address_pattern(text);
    return pattern && pattern->family == Family::host;
}

// "127.0.0.1:80", "8080", "/run/a.sock", "localhost:80", "tpc:...": the address that was perhaps meant.
std::string address_meant(std::string text, Operation operation) {
    constexpr std::string_view local = "localhost";
    if (const auto at = text.find(local); at != std::string::npos) text.replace(at, local.size(), "127.0.0.1");
    const std::string scheme = text.substr(0, text.find(':'));
    const std::string rest = text.substr(std::min(text.size(), scheme.size() + 1));
    const std::string_view near = nearest(
        scheme, {"tcp", "udp", "unix", "unix-dgram", "unix-seqpacket", "vsock", "vsock-seqpacket"});
    const std::string candidates[] = {
        text,
        "tcp:" + text,
        "tcp:*" + text,
        "tcp:*" + rest,
        "tcp:127.0.0.1:" + text,
        "tcp:127.0.0.1:" + rest,
        "unix:" + text,
        std::string(near) + ":" + rest,
    };
    for (const std::string& candidate : candidates) {
        const bool by_name = is_name(candidate);
        if (plausible(candidate) && !(by_name && operation == Operation::listen)) return candidate;
    }
    return {};
}

std::string address_suggestion(const std::string& text, Operation operation) {
    const std::string meant = address_meant(text, operation);
    if (!meant.empty()) return "did you mean " + quoted(meant) + "?";
    return "write it like \"tcp:127.0.0.1:8080\", \"tcp:[::1]:8080\" or \"unix:/run/a.sock\"";
}

// What of an address of a unix socket is wrong, where that is its length.
std::string fault_of_unix_name(const std::string& text) {
    const std::size_t colon = text.find(':');
    const std::string scheme = text.substr(0, colon);
    if (colon == std::string::npos || (scheme != "unix" && scheme != "unix-dgram" && scheme != "unix-seqpacket")) return {};
    const std::size_t size = text.size() - colon - 1;
    if (size <= policy::max_unix_name) return {};
    return "the path of a unix socket has at most " + std::to_string(policy::max_unix_name) + " bytes, and this one has " + std::to_string(size);
}

void refuse_address(GrantDraft& draft) {
    if (const auto fault = fault_of_unix_name(draft.target.text); !fault.empty()) return draft.refuse(fault, "put it where the way to it is shorter, such as below /run");
    draft.refuse(quoted(draft.target.text) + " is not an address", address_suggestion(draft.target.text, draft.operation));
}

bool refuse_listener(GrantDraft& draft) {
    if (is_name(draft.target.text)) {
        draft.refuse("a listener has an address, and this is a name",
                     address_suggestion(draft.target.text, draft.operation));
    } else if (policy::parse_address_pattern(draft.target.text)) {
        draft.refuse("a listener has one address and one port, and this is a range");
    } else {
        refuse_address(draft);
    }
    return false;
}

void take_listener_options(GrantDraft& draft) {
    Section& section = draft.section;
    Grant& grant = draft.grant;
    if (inet(grant.address)) section.flag("reuse_port", grant.reuse_port);
    if (of_unix(grant.address)) {
        section.choice("open_as", grant.as, as_choices);
    } else {
        grant.as = policy::As::root;
    }
    if (grant.address.family == Family::ipv6) section.flag("v6_only", grant.v6_only);
    if (grant.address.family == Family::unix_path) {
        section.choice("owner", grant.owner, owner_choices);
        section.mode("mode", grant.mode);
    }
    if (!datagram(grant.address.transport)) section.number("backlog", grant.backlog, 1, 65535);
}

void begin(GrantDraft& draft, Kind kind, Operation right) {
    draft.grant.kind = kind;
    draft.grant.rights = {right};
    draft.grant.as = policy::As::root;
}

}  // namespace

bool read_listener(GrantDraft& draft) {
    draft.grant.kind = Kind::listener;
    draft.grant.rights = {Operation::listen};
    if (!draft.is_text()) return false;
    const auto address = policy::parse_address(draft.target.text);
    if (!address || address->family == Family::host) return refuse_listener(draft);
    draft.grant.address = policy::exactly(*address);
    take_listener_options(draft);
    return true;
}

bool read_peer(GrantDraft& draft) {
    draft.grant.kind = Kind::peer;
    draft.grant.rights = {Operation::connect};
    if (!draft.is_text()) return false;
    const auto address = policy::parse_address_pattern(draft.target.text);
    if (!address && policy::parse_address(draft.target.text)) {
        draft.refuse(quoted(draft.target.text) + " is for listening: there is nothing to connect to");
        return false;
    }
    if (!address) return refuse_address(draft), false;
    draft.grant.address = *address;
    if (address->family == Family::host) draft.section.flag("private", draft.grant.private_addresses);
    if (of_unix(*address)) draft.section.choice("open_as", draft.grant.as, as_choices);
    return true;
}

bool read_raw(GrantDraft& draft) {
    begin(draft, Kind::raw, Operation::raw);
    const auto protocol = named_number(draft, ip_protocols, 1, 254);
    if (!protocol) return false;
    draft.grant.protocol = *protocol;
    draft.grant.address.family = *protocol == icmp_of_ipv6 ? Family::ipv6 : Family::ipv4;
    draft.section.choice("family", draft.grant.address.family, family_choices);
    return true;
}

bool read_packet(GrantDraft& draft) {
    begin(draft, Kind::packet, Operation::packet);
    const auto protocol = named_number(draft, ethertypes, 1, 0xffff);
    if (!protocol) return false;
    draft.grant.protocol = *protocol;
    take_interface(draft);
    return true;
}

bool read_netlink(GrantDraft& draft) {
    begin(draft, Kind::netlink, Operation::netlink);
    const auto protocol = named_number(draft, netlink_protocols, 0, 31);
    if (protocol) draft.grant.protocol = *protocol;
    return protocol.has_value();
}

bool read_syslog(GrantDraft& draft) {
    draft.grant.kind = Kind::syslog;
    draft.grant.rights = {Operation::syslog};
    draft.grant.path = "/dev/log";
    if (draft.target.kind == Node::Kind::boolean && draft.target.boolean) {
        draft.section.choice("open_as", draft.grant.as, as_choices);
        return true;
    }
    if (draft.target.kind != Node::Kind::text) {
        draft.section.refuse_kind(draft.target, "syslog", "true or a path", "write true for \"/dev/log\"");
        return false;
    }
    if (!check_path(draft.target, "syslog", draft.complaints())) return false;
    if (draft.target.text.size() > policy::max_unix_name) {
        draft.refuse("path of \"syslog\" is too long for a unix socket: at most 107 bytes");
        return false;
    }
    draft.grant.path = draft.target.text;
    draft.section.choice("open_as", draft.grant.as, as_choices);
    return true;
}

}  // namespace warder::config
