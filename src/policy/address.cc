#include "policy/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "policy/path.h"

namespace warder::policy {
namespace {

struct TransportName {
    Transport transport;
    std::string_view name;
};

constexpr std::array<TransportName, 7> transports{{
    {Transport::tcp, "tcp"},
    {Transport::udp, "udp"},
    {Transport::unix_stream, "unix"},
    {Transport::unix_dgram, "unix-dgram"},
    {Transport::unix_seqpacket, "unix-seqpacket"},
    {Transport::vsock, "vsock"},
    {Transport::vsock_seqpacket, "vsock-seqpacket"},
}};

// The bits of one address; names have none.
constexpr std::uint8_t width(Family family) {
    switch (family) {
        case Family::ipv6: return 128;
        case Family::ipv4:
        case Family::vsock: return 32;
        default: return 0;
    }
}

bool inet(Transport transport) { return transport == Transport::tcp || transport == Transport::udp; }
bool inet(Family family) { return family == Family::ipv4 || family == Family::ipv6; }
bool of_vsock(Transport transport) { return transport == Transport::vsock || transport == Transport::vsock_seqpacket; }
bool of_unix(Family family) { return family == Family::unix_path || family == Family::unix_abstract; }

constexpr std::uint32_t largest_port(Transport transport) {
    const bool wide = transport == Transport::vsock || transport == Transport::vsock_seqpacket;
    return wide ? 0xffffffffU : 65535U;
}

char lower(char one) { return one >= 'A' && one <= 'Z' ? static_cast<char>(one + ('a' - 'A')) : one; }

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](char one) { return lower(one); });
    return out;
}

bool same_host(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, [](char one) { return lower(one); }, [](char one) { return lower(one); });
}

bool same_name(Family family, std::string_view a, std::string_view b) {
    return family == Family::host ? same_host(a, b) : a == b;
}

bool take(std::string_view& text, char expected) {
    if (!text.starts_with(expected)) return false;
    text.remove_prefix(1);
    return true;
}

// Decimal digits off the front of `text`: no sign, no leading zero, at most `largest`.
std::optional<std::uint32_t> take_number(std::string_view& text, std::uint32_t largest) {
    std::uint64_t value = 0;
    std::size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
        value = value * 10 + static_cast<std::uint64_t>(text[digits++] - '0');
        if (value > largest) return std::nullopt;
    }
    if (digits == 0 || (digits > 1 && text.front() == '0')) return std::nullopt;
    text.remove_prefix(digits);
    return static_cast<std::uint32_t>(value);
}

// "tcp:" off the front of `text`.
std::optional<Transport> take_transport(std::string_view& text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    for (const auto& entry : transports) {
        if (entry.name != text.substr(0, colon)) continue;
        text.remove_prefix(colon + 1);
        return entry.transport;
    }
    return std::nullopt;
}

struct Host {
    Family family{};
    std::array<std::uint8_t, 16> ip{};
    bool any = false;        // written as '*'
    std::string_view name;   // of a host
};

// An IPv6 socket reaches an IPv4 host by these, past every grant that speaks of IPv4: they are not addresses here.
bool maps_ipv4(const std::array<std::uint8_t, 16>& ip) {
    constexpr std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::equal(prefix.begin(), prefix.end(), ip.begin());
}

std::optional<Host> parse_ip(std::string_view text, Family family) {
    char terminated[INET6_ADDRSTRLEN];
    if (text.size() >= sizeof terminated || text.find('\0') != std::string_view::npos) return std::nullopt;
    std::memcpy(terminated, text.data(), text.size());
    terminated[text.size()] = '\0';
    Host host{family, {}, false, {}};
    if (inet_pton(family == Family::ipv6 ? AF_INET6 : AF_INET, terminated, host.ip.data()) != 1) return std::nullopt;
    if (family == Family::ipv6 && maps_ipv4(host.ip)) return std::nullopt;
    return host;
}

bool clean_label(std::string_view label) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    return std::ranges::all_of(label, [](char one) {
        const char small = lower(one);
        return (small >= 'a' && small <= 'z') || (small >= '0' && small <= '9') || small == '-';
    });
}

// As inet_aton(3) reads one: decimal, octal or hexadecimal.
bool a_number(std::string_view label) {
    const bool hexadecimal = label.starts_with("0x") || label.starts_with("0X");
    return hexadecimal || std::ranges::all_of(label, [](char one) { return one >= '0' && one <= '9'; });
}

// "127.0.0.1", "*", "[::1]" or "db.example" off the front of `text`.
std::optional<Host> take_host(std::string_view& text) {
    if (take(text, '*')) return Host{Family::ipv4, {}, true, {}};
    const bool bracketed = take(text, '[');
    const auto end = bracketed ? text.find(']') : text.find_first_of(":/");
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view written = text.substr(0, end);
    text.remove_prefix(end + (bracketed ? 1 : 0));
    if (!bracketed && is_host_name(written)) return Host{Family::host, {}, false, written};
    return parse_ip(written, bracketed ? Family::ipv6 : Family::ipv4);
}

std::array<std::uint8_t, 16> as_ip(std::uint32_t context) {
    std::array<std::uint8_t, 16> ip{};
    std::memcpy(ip.data(), &context, sizeof context);
    return ip;
}

std::uint32_t as_context(const std::array<std::uint8_t, 16>& ip) {
    std::uint32_t context = 0;
    std::memcpy(&context, ip.data(), sizeof context);
    return context;
}

// "2" or "*". The number that stands for all is not written as a number.
std::optional<Host> take_context(std::string_view& text) {
    if (take(text, '*')) return Host{Family::vsock, as_ip(any_context), true, {}};
    const auto context = take_number(text, any_context - 1);
    if (!context) return std::nullopt;
    return Host{Family::vsock, as_ip(*context), false, {}};
}

std::optional<Host> take_place(Transport transport, std::string_view& text) {
    return of_vsock(transport) ? take_context(text) : take_host(text);
}

std::optional<Address> parse_place(Transport transport, std::string_view text) {
    const auto host = take_place(transport, text);
    if (!host || !take(text, ':')) return std::nullopt;
    const auto port = take_number(text, largest_port(transport));
    if (!port || !text.empty()) return std::nullopt;
    return Address{transport, host->family, host->ip, *port, host->name};
}

std::optional<Address> parse_unix(Transport transport, std::string_view text) {
    if (take(text, '@')) {
        const bool fits = text.size() <= max_unix_name && text.find('\0') == std::string_view::npos;
        return fits ? std::optional(Address{transport, Family::unix_abstract, {}, 0, text}) : std::nullopt;
    }
    if (text.size() > max_unix_name || !clean_absolute(text)) return std::nullopt;
    return Address{transport, Family::unix_path, {}, 0, text};
}

bool same_prefix(const std::array<std::uint8_t, 16>& a, const std::array<std::uint8_t, 16>& b, std::uint8_t bits) {
    const std::size_t whole = bits / 8;
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) return false;
    if (bits % 8 == 0) return true;
    const auto differing = static_cast<unsigned>(a[whole] ^ b[whole]);
    return differing >> (8 - bits % 8) == 0;
}

// The prefix and the ports of a pattern, behind its host. Bits below the prefix must be zero: "10.1.2.3/8" may be a
// typing error for a narrower grant, and is not quietly made a wider one.
std::optional<AddressPattern> parse_range(Transport transport, std::string_view text) {
    auto host = take_place(transport, text);
    if (!host) return std::nullopt;
    std::uint8_t bits = host->any ? 0 : width(host->family);
    if (host->any) host->ip = {};
    if (!host->any && inet(host->family) && take(text, '/')) {
        const auto written = take_number(text, width(host->family));
        if (!written) return std::nullopt;
        bits = static_cast<std::uint8_t>(*written);
    }
    if (masked(host->ip, bits) != host->ip || !take(text, ':')) return std::nullopt;
    const auto first = take_number(text, largest_port(transport));
    const auto last = first && take(text, '-') ? take_number(text, largest_port(transport)) : first;
    if (!first || !last || *last < *first || !text.empty()) return std::nullopt;
    return AddressPattern{transport, host->family, host->ip, bits, *first, *last, lower(host->name)};
}

FixedString<64> format_ip(Family family, const std::array<std::uint8_t, 16>& ip) {
    if (family == Family::vsock) {
        const std::uint32_t context = as_context(ip);
        return context == any_context ? FixedString<64>("*") : FixedString<64>().append_number(context);
    }
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(family == Family::ipv6 ? AF_INET6 : AF_INET, ip.data(), text, sizeof text);
    FixedString<64> out;
    if (family == Family::ipv6) return out.append('[').append(text).append(']');
    return out.append(text);
}

void append_lower(AddressText& out, std::string_view name) {
    for (const char one : name) out.append(lower(one));
}

}  // namespace

bool AddressPattern::single() const {
    if (of_unix(family)) return true;
    return prefix_bits == width(family) && port_first == port_last;
}

Address AddressPattern::address() const { return {transport, family, ip, port_first, name}; }

std::array<std::uint8_t, 16> masked(const std::array<std::uint8_t, 16>& ip, std::uint8_t bits) {
    std::array<std::uint8_t, 16> out{};
    const std::size_t whole = bits / 8;
    std::copy_n(ip.begin(), whole, out.begin());
    if (bits % 8 != 0) out[whole] = static_cast<std::uint8_t>(ip[whole] & (0xff << (8 - bits % 8)));
    return out;
}

std::optional<Address> parse_address(std::string_view text) {
    const auto transport = take_transport(text);
    if (!transport) return std::nullopt;
    const bool placed = inet(*transport) || of_vsock(*transport);
    return placed ? parse_place(*transport, text) : parse_unix(*transport, text);
}

std::optional<AddressPattern> parse_address_pattern(std::string_view text) {
    const auto transport = take_transport(text);
    if (!transport) return std::nullopt;
    if (inet(*transport) || of_vsock(*transport)) return parse_range(*transport, text);
    const auto address = parse_unix(*transport, text);
    const bool autobind = address && address->family == Family::unix_abstract && address->name.empty();
    return address && !autobind ? std::optional(exactly(*address)) : std::nullopt;
}

AddressPattern exactly(const Address& address) {
    AddressPattern pattern{address.transport, address.family, address.ip, width(address.family), address.port,
                           address.port,      std::string(address.name)};
    if (address.family == Family::host) pattern.name = lower(address.name);
    return pattern;
}

bool covers(const AddressPattern& pattern, const Address& address) {
    if (pattern.transport != address.transport || pattern.family != address.family) return false;
    if (!same_name(pattern.family, pattern.name, address.name)) return false;
    if (of_unix(pattern.family)) return true;
    return address.port >= pattern.port_first && address.port <= pattern.port_last &&
           same_prefix(pattern.ip, address.ip, pattern.prefix_bits);
}

bool covers(const AddressPattern& pattern, const AddressPattern& inner) {
    Address first = inner.address();
    if (inner.prefix_bits < pattern.prefix_bits || !covers(pattern, first)) return false;
    first.port = inner.port_last;
    return covers(pattern, first);
}

namespace {

using Ip = std::array<std::uint8_t, 16>;

struct Network {
    Ip ip;
    std::uint8_t bits;
};

bool in_any(std::span<const Network> networks, const Ip& ip) {
    return std::ranges::any_of(networks, [&](const Network& one) { return same_prefix(one.ip, ip, one.bits); });
}

// IANA's registry of special addresses: all that are not reached from everywhere.
constexpr Network special_ipv4[] = {
    {{0}, 8}, {{10}, 8}, {{100, 64}, 10}, {{127}, 8}, {{169, 254}, 16}, {{172, 16}, 12}, {{192, 0, 0}, 24}, {{192, 0, 2}, 24},
    {{192, 88, 99}, 24}, {{192, 168}, 16}, {{198, 18}, 15}, {{198, 51, 100}, 24}, {{203, 0, 113}, 24}, {{224}, 4}, {{240}, 4},
};

// The only ones that are given to hosts (RFC 4291), and what of them is not: protocols' own with Teredo, and two for documents.
constexpr Network unicast_ipv6{{0x20}, 3};
constexpr Network special_ipv6[] = {
    {{0x20, 0x01, 0x00}, 23}, {{0x20, 0x01, 0x0d, 0xb8}, 32}, {{0x3f, 0xff}, 20},
};

constexpr Network six_to_four{{0x20, 0x02}, 16};
constexpr Network nat64{{0x00, 0x64, 0xff, 0x9b}, 96};

bool is_private_ipv4(const Ip& ip) { return in_any(special_ipv4, ip); }

Ip ipv4_at(const Ip& ip, std::size_t offset) {
    Ip within{};
    std::copy_n(ip.begin() + static_cast<std::ptrdiff_t>(offset), 4, within.begin());
    return within;
}

bool is_isatap(const Ip& ip) { return (ip[8] & 0xfc) == 0 && ip[9] == 0 && ip[10] == 0x5e && ip[11] == 0xfe; }

bool is_private_ipv6(const Ip& ip) {
    if (same_prefix(nat64.ip, ip, nat64.bits)) return is_private_ipv4(ipv4_at(ip, 12));
    if (!same_prefix(unicast_ipv6.ip, ip, unicast_ipv6.bits) || in_any(special_ipv6, ip)) return true;
    if (same_prefix(six_to_four.ip, ip, six_to_four.bits) && is_private_ipv4(ipv4_at(ip, 2))) return true;
    return is_isatap(ip) && is_private_ipv4(ipv4_at(ip, 12));
}

}  // namespace

bool is_private(Family family, const std::array<std::uint8_t, 16>& ip) {
    return family == Family::ipv4 ? is_private_ipv4(ip) : family != Family::ipv6 || is_private_ipv6(ip);
}

bool is_host_name(std::string_view text) {
    if (text.empty() || text.size() > max_host_name) return false;
    while (true) {
        const std::string_view label = text.substr(0, text.find('.'));
        if (!clean_label(label)) return false;
        if (label.size() == text.size()) return !a_number(label);
        text.remove_prefix(label.size() + 1);
    }
}

AddressText format(const Address& address) {
    AddressText text(name_of(address.transport));
    text.append(':');
    if (address.family == Family::unix_abstract) return text.append('@').append(address.name);
    if (address.family == Family::unix_path) return text.append(address.name);
    if (address.family == Family::host) {
        append_lower(text, address.name);
    } else {
        text.append(format_ip(address.family, address.ip).view());
    }
    return text.append(':').append_number(address.port);
}

AddressText canonical(const AddressPattern& pattern) {
    if (of_unix(pattern.family)) return format(pattern.address());
    AddressText text(name_of(pattern.transport));
    text.append(':');
    if (pattern.family == Family::host) {
        text.append(pattern.name);
    } else if (pattern.family != Family::ipv6 && pattern.prefix_bits == 0) {
        text.append('*');
    } else {
        text.append(format_ip(pattern.family, pattern.ip).view());
        if (pattern.prefix_bits != width(pattern.family)) text.append('/').append_number(pattern.prefix_bits);
    }
    text.append(':').append_number(pattern.port_first);
    if (pattern.port_last != pattern.port_first) text.append('-').append_number(pattern.port_last);
    return text;
}

std::string format(const AddressPattern& pattern) { return std::string(canonical(pattern).view()); }

std::string_view name_of(Transport transport) { return transports[static_cast<std::size_t>(transport)].name; }

}  // namespace warder::policy
