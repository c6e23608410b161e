// The inside of a VPN, without the network around it: gets a tun device by grant and plays every machine of the subnet
// behind it. Pings are answered; UDP datagrams go back to who sent them. It has no capability: warderd opened the
// device and made the interface, and gives the interface its address by two commands that vpn.toml names.
//
//     c++ -std=c++17 vpn_echo.cc -o /usr/local/bin/vpn-echo $(pkg-config --cflags --libs warder)
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>
#include <warder/warder.hpp>

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint8_t echo_request = 8;
constexpr std::uint8_t echo_reply = 0;

void swap_bytes(Bytes& packet, std::size_t one, std::size_t two, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) std::swap(packet[one + i], packet[two + i]);
}

// Where the IPv4 header ends; 0 for what is no whole IPv4 packet, or one part of several.
std::size_t header_size(const Bytes& packet) {
    if (packet.size() < 20 || packet[0] >> 4 != 4) return 0;
    const std::size_t size = (packet[0] & 0x0fU) * 4U;
    const std::size_t total = packet[2] * 256U + packet[3];
    const bool fragment = (packet[6] & 0x3fU) != 0 || packet[7] != 0;
    return size >= 20 && size <= packet.size() && total == packet.size() && !fragment ? size : 0;
}

// RFC 1624: the checksum after a word changed from `was` to `is`.
std::uint16_t new_checksum(std::uint16_t old, std::uint16_t was, std::uint16_t is) {
    std::uint32_t sum = (~old & 0xffffU) + (~was & 0xffffU) + is;
    sum = (sum & 0xffffU) + (sum >> 16);
    sum = (sum & 0xffffU) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

bool answer_ping(Bytes& packet, std::size_t at) {
    if (packet.size() < at + 8 || packet[at] != echo_request) return false;
    const auto code = packet[at + 1];
    const auto old = static_cast<std::uint16_t>(packet[at + 2] << 8 | packet[at + 3]);
    const auto sum = new_checksum(old, static_cast<std::uint16_t>(echo_request << 8 | code),
                                  static_cast<std::uint16_t>(echo_reply << 8 | code));
    packet[at] = echo_reply;
    packet[at + 2] = static_cast<std::uint8_t>(sum >> 8);
    packet[at + 3] = static_cast<std::uint8_t>(sum & 0xffU);
    return true;
}

bool answer_datagram(Bytes& packet, std::size_t at) {
    if (packet.size() < at + 8) return false;
    swap_bytes(packet, at, at + 2, 2);   // the ports
    return true;
}

// Turns a packet into its answer; false if it gets none. Swapping changes no checksum: they are sums.
bool turn_around(Bytes& packet) {
    const std::size_t at = header_size(packet);
    if (at == 0) return false;
    bool answered = false;
    if (packet[9] == IPPROTO_ICMP) answered = answer_ping(packet, at);
    if (packet[9] == IPPROTO_UDP) answered = answer_datagram(packet, at);
    if (answered) swap_bytes(packet, 12, 16, 4);   // the addresses
    return answered;
}

std::string read_all(int pipe) {
    std::string all;
    std::array<char, 512> part{};
    for (;;) {
        const ssize_t size = ::read(pipe, part.data(), part.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return all;
        all.append(part.data(), static_cast<std::size_t>(size));
    }
}

// Runs the command of a grant to its end. ip(8) says nothing unless it fails.
void run(warder::Connection& parent, const char* grant) {
    const auto process = parent.run(grant);
    const std::string complaint = read_all(process.err.get());
    pollfd ended{process.pidfd.get(), POLLIN, 0};
    while (::poll(&ended, 1, -1) < 0 && errno == EINTR) continue;
    if (!complaint.empty()) throw std::runtime_error(std::string(grant) + ": " + complaint);
}

void serve(int tun) {
    Bytes packet;
    for (;;) {
        packet.resize(65535);
        const ssize_t size = ::read(tun, packet.data(), packet.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) throw std::system_error(errno, std::generic_category(), "reading a packet");
        packet.resize(static_cast<std::size_t>(size));
        // A packet that cannot be sent is lost, as packets are.
        if (turn_around(packet) && ::write(tun, packet.data(), packet.size()) < 0) std::perror("vpn-echo: write");
    }
}

}  // namespace

int main() {
    try {
        auto parent = warder::Connection::from_environment();
        const auto tun = parent.device("tun");
        run(parent, "address");
        run(parent, "up");
        parent.ready("answering");
        serve(tun.get());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "vpn-echo: %s\n", error.what());
        return 1;
    }
}
