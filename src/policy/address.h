// Addresses as text and as values. One grammar for config, requests and reports:
//
//     tcp:127.0.0.1:8080   tcp:[::1]:8080   udp:0.0.0.0:53   tcp:*:80 (every IPv4 address)
//     unix:/run/a.sock     unix:@name (abstract)              stream
//     unix-dgram:/run/a.sock    unix-seqpacket:@name
//     unix:@                    an abstract name that the kernel chooses (to listen only)
//     vsock:2:1024   vsock-seqpacket:*:1024      context id and port; every context id of this machine
//
// and by name, to connect only: tcp:db.example.org:5432. The resolver finds the addresses. A name is one of RFC 1123, whose
// last label is not a number: what inet_aton(3) would take for an address is none.
//
// and, in a grant to connect, ranges: tcp:10.0.0.0/8:443   tcp:[2001:db8::]/32:1024-2047   udp:*:53   vsock:*:1024-2047.
// IPv4 addresses mapped into IPv6 are not either, nor is a range with bits set below its prefix.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fixed_string.h"

namespace warder::policy {

enum class Transport : std::uint8_t { tcp, udp, unix_stream, unix_dgram, unix_seqpacket, vsock, vsock_seqpacket };
enum class Family : std::uint8_t { ipv4, ipv6, unix_path, unix_abstract, vsock, host };

// A single address. `name` (path, abstract name without its '@', or host name) points into the text that was parsed.
struct Address {
    Transport transport{};
    Family family{};
    std::array<std::uint8_t, 16> ip{};   // network order; IPv4, or the context id of vsock, in the first four
    std::uint32_t port = 0;
    std::string_view name;
};

// What a grant covers: one address, or all below a prefix and within a range of ports. Owns its name.
struct AddressPattern {
    Transport transport{};
    Family family{};
    std::array<std::uint8_t, 16> ip{};
    std::uint8_t prefix_bits = 0;         // 32 or 128 for one address; vsock: 32, or 0 for every context id
    std::uint32_t port_first = 0;
    std::uint32_t port_last = 0;
    std::string name;                     // a host's in lower case

    // One address (or host) and one port: what a listener must be.
    bool single() const;
    // The address of a single pattern; `name` points into this pattern.
    Address address() const;

    friend bool operator==(const AddressPattern&, const AddressPattern&) = default;
};

inline constexpr std::size_t max_unix_name = 107;   // bytes: sun_path less its NUL, unix(7)
inline constexpr std::size_t max_host_name = 253;   // bytes
inline constexpr std::uint32_t any_context = 0xffffffffU;   // "*" in an address of vsock

using AddressText = FixedString<272>;               // fits every address

// Errors: nullopt. Numbers are decimal without signs or leading zeroes; a port is 0 to 65535, of vsock any of 32 bits (0:
// the kernel chooses).
std::optional<Address> parse_address(std::string_view text);
std::optional<AddressPattern> parse_address_pattern(std::string_view text);

// The pattern that covers this address alone: what a listener's grant is made of ("tcp:*:80" there is the one address
// 0.0.0.0, while in parse_address_pattern it is every IPv4 host).
AddressPattern exactly(const Address& address);

// `ip` with all but its first `bits` cleared.
std::array<std::uint8_t, 16> masked(const std::array<std::uint8_t, 16>& ip, std::uint8_t bits);

// Whether `pattern` covers `address`, or all that `inner` covers. Host names are equal in any case of their letters.
bool covers(const AddressPattern& pattern, const Address& address);
bool covers(const AddressPattern& pattern, const AddressPattern& inner);

// Whether `ip` is of this machine, of a network of somebody's own, or of no single host at all: what a name that others decide must
// not lead to. What carries an IPv4 address within it (6to4, NAT64, ISATAP) is what that one is.
bool is_private(Family family, const std::array<std::uint8_t, 16>& ip);

// Whether `text` is a name of a host: labels of letters, digits and '-', the last of them not a number.
bool is_host_name(std::string_view text);

// The canonical text, as parse_address reads it.
AddressText format(const Address& address);
std::string format(const AddressPattern& pattern);
AddressText canonical(const AddressPattern& pattern);   // the same without a heap

std::string_view name_of(Transport transport);

}  // namespace warder::policy
