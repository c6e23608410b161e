// Options of sockets, by name: which of them a worker may set while sockets are lent to it. The filter sees an option as two
// numbers and never whose socket it is, so what is not in this table as harmless is refused for all of them. One table for the
// filter, for `allow_socket_options`, for what `why` proposes, and for the documents. Values only.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace warder::socket_options {

// Sockets that a grant lends, by what options they take.
enum LentSocket : std::uint32_t {
    lent_unix = 1U << 0,
    lent_ipv4 = 1U << 1,
    lent_ipv6 = 1U << 2,
    lent_tcp = 1U << 3,
    lent_udp = 1U << 4,
    lent_vsock = 1U << 5,
    lent_raw = 1U << 6,
    lent_packet = 1U << 7,
    lent_netlink = 1U << 8,
    lent_anything = (1U << 9) - 1,
};

struct Level {
    std::string_view name;      // "IPPROTO_TCP"
    std::uint32_t number = 0;
    std::uint32_t takers = 0;   // of LentSocket: sockets of others answer that there is no such protocol
};

// What the kernel tells of an option afterwards. What it does not tell cannot be put back: such a listener is made anew.
enum class Readback : std::uint8_t { told, hidden };

struct Option {
    std::string_view name;           // as the headers of the C library or of the kernel have it
    std::uint32_t level = 0;
    std::uint32_t number = 0;
    bool harmless = false;           // may be set while sockets are lent; otherwise `allow_socket_options` names it
    std::string_view about;          // why it is harmless, or what it does
    std::string_view capability{};     // one of these the kernel wants for it: "net_admin", "net_admin net_raw"; empty: none
    Readback readback = Readback::told;
};

std::span<const Level> levels();
const Level* find_level(std::uint32_t number);

// In order of level and number.
std::span<const Option> all();
const Option* find(std::string_view name);
const Option* find(std::uint32_t level, std::uint32_t number);

// Whether options of this level are held by the table while sockets of these kinds are lent. Every socket has those of SOL_SOCKET;
// with unix sockets alone no lent socket has any other.
bool is_held(const Level& level, std::uint32_t lent);

}  // namespace warder::socket_options
