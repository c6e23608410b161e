#include "policy/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

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

constexpr std::uint8_t width(Family family) { return family == Family::ipv6 ? 128 : 32; }

bool inet(Transport transport) { return transport == Transport::tcp || transport == Transport::udp; }
bool inet(Family family) { return family == Family::ipv4 || family == Family::ipv6; }

bool take(std::string_view& text, char expected) {
    if (!text.starts_with(expected)) return false;
    text.remove_prefix(1);
    return true;
}

// Decimal digits off the front of `text`: no sign, no leading zero, at most `largest`.
std::optional<std::uint32_t> take_number(std::string_view& text, std::uint32_t largest) {
    std::uint32_t value = 0;
    std::size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
        value = value * 10 + static_cast<std::uint32_t>(text[digits++] - '0');
        if (value > largest) return std::nullopt;
    }
    if (digits == 0 || (digits > 1 && text.front() == '0')) return std::nullopt;
    text.remove_prefix(digits);
    return value;
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
    bool any = false;  // written as '*'
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
    Host host{family, {}, false};
    if (inet_pton(family == Family::ipv6 ? AF_INET6 : AF_INET, terminated, host.ip.data()) != 1) return std::nullopt;
    if (family == Family::ipv6 && maps_ipv4(host.ip)) return std::nullopt;
    return host;
}

// "127.0.0.1", "*" or "[::1]" off the front of `text`.
std::optional<Host> take_host(std::string_view& text) {
    if (take(text, '*')) return Host{Family::ipv4, {}, true};
    const bool bracketed = take(text, '[');
    const auto end = bracketed ? text.find(']') : text.find_first_of(":/");
    if (end == std::string_view::npos) return std::nullopt;
    const auto host = parse_ip(text.substr(0, end), bracketed ? Family::ipv6 : Family::ipv4);
    text.remove_prefix(end + (bracketed ? 1 : 0));
    return host;
}

std::optional<Address> parse_inet(Transport transport, std::string_view text) {
    const auto host = take_host(text);
    if (!host || !take(text, ':')) return std::nullopt;
    const auto port = take_number(text, 65535);
    if (!port || !text.empty()) return std::nullopt;
    return Address{transport, host->family, host->ip, *port, {}};
}

std::optional<Address> parse_unix(Transport transport, std::string_view text) {
    if (take(text, '@')) {
        const bool named = !text.empty() && text.size() <= max_unix_name && text.find('\0') == std::string_view::npos;
        return named ? std::optional(Address{transport, Family::unix_abstract, {}, 0, text}) : std::nullopt;
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
    const auto host = take_host(text);
    if (!host) return std::nullopt;
    std::uint8_t bits = host->any ? 0 : width(host->family);
    if (!host->any && take(text, '/')) {
        const auto written = take_number(text, width(host->family));
        if (!written) return std::nullopt;
        bits = static_cast<std::uint8_t>(*written);
    }
    if (masked(host->ip, bits) != host->ip || !take(text, ':')) return std::nullopt;
    const auto first = take_number(text, 65535);
    const auto last = first && take(text, '-') ? take_number(text, 65535) : first;
    if (!first || !last || *last < *first || !text.empty()) return std::nullopt;
    return AddressPattern{
        transport, host->family, host->ip, bits, *first, *last,
        {}};
}

FixedString<64> format_ip(Family family, const std::array<std::uint8_t, 16>& ip) {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(family == Family::ipv6 ? AF_INET6 : AF_INET, ip.data(), text, sizeof text);
    FixedString<64> out;
    if (family == Family::ipv6) return out.append('[').append(text).append(']');
    return out.append(text);
}

}  // namespace

bool AddressPattern::single() const {
    if (!inet(family)) return true;
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
    return inet(*transport) ? parse_inet(*transport, text) : parse_unix(*transport, text);
}

std::optional<AddressPattern> parse_address_pattern(std::string_view text) {
    const auto transport = take_transport(text);
    if (!transport) return std::nullopt;
    if (inet(*transport)) return parse_range(*transport, text);
    const auto address = parse_unix(*transport, text);
    return address ? std::optional(exactly(*address)) : std::nullopt;
}

AddressPattern exactly(const Address& address) {
    const std::uint8_t bits = inet(address.family) ? width(address.family) : std::uint8_t{0};
    return {address.transport, address.family, address.ip, bits, address.port, address.port, std::string(address.name)};
}

bool covers(const AddressPattern& pattern, const Address& address) {
    if (pattern.transport != address.transport || pattern.family != address.family) return false;
    if (!inet(pattern.family)) return pattern.name == address.name;
    return address.port >= pattern.port_first && address.port <= pattern.port_last &&
           same_prefix(pattern.ip, address.ip, pattern.prefix_bits);
}

FixedString<160> format(const Address& address) {
    FixedString<160> text(name_of(address.transport));
    text.append(':');
    if (address.family == Family::unix_abstract) return text.append('@').append(address.name);
    if (address.family == Family::unix_path) return text.append(address.name);
    return text.append(format_ip(address.family, address.ip).view()).append(':').append_number(address.port);
}

FixedString<160> canonical(const AddressPattern& pattern) {
    if (!inet(pattern.family)) return format(pattern.address());
    FixedString<160> text(name_of(pattern.transport));
    text.append(':');
    if (pattern.family == Family::ipv4 && pattern.prefix_bits == 0) {
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
