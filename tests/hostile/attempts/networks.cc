// Networks, sockets of other workers, families of the kernel.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "attempt.h"

namespace attempts {
namespace {

// Whether this is the network of the host: each has a number of its own.
bool in_the_hosts(const Context& c, int fd) {
    constexpr int netns_cookie = 71;
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return ::getsockopt(fd, SOL_SOCKET, netns_cookie, &cookie, &size) == 0 && std::to_string(cookie) == c.text("network");
}

int made(const Context& c, int fd, int result) { return result == 0 && !in_the_hosts(c, fd) ? only_its_own : result; }

int connect_unix(const Context& c, const std::string& name, int type) {
    const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return errno;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    static_cast<void>(c);
    return done(::connect(fd, reinterpret_cast<const sockaddr*>(&address), size));
}

int abstract_stream(const Context& c) { return connect_unix(c, std::string(1, '\0') + c.text("user.name"), SOCK_STREAM); }
int abstract_datagram(const Context& c) { return connect_unix(c, std::string(1, '\0') + c.text("user.name") + ".d", SOCK_DGRAM); }
int unix_path(const Context& c) { return connect_unix(c, c.below("hidden/socket"), SOCK_STREAM); }

sockaddr_in loopback(long port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int connect_inet(const Context& c, int type, const char* key) {
    const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    const sockaddr_in address = loopback(c.number(key));
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
    return type == SOCK_STREAM ? 0 : made(c, fd, done(::send(fd, "x", 1, 0)));
}

int tcp_to_loopback(const Context& c) { return connect_inet(c, SOCK_STREAM, "user.tcp"); }
int udp_to_loopback(const Context& c) { return connect_inet(c, SOCK_DGRAM, "user.udp"); }

int bind_port(const Context& c, long port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    const sockaddr_in address = loopback(port);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
    return made(c, fd, done(::listen(fd, 1)));
}

int listen_anywhere(const Context& c) { return bind_port(c, 0); }
// The same attempt is made in other sandboxes at this moment: a port that is taken is no answer.
int bind_low(const Context& c) {
    int error = EADDRINUSE;
    for (long port = 907; error == EADDRINUSE && port < 1000; ++port) error = bind_port(c, port);
    return error;
}

int make_socket(const Context& c, int family, int type, int protocol) {
    const int fd = ::socket(family, type | SOCK_CLOEXEC, protocol);
    return fd < 0 ? errno : made(c, fd, 0);
}

int raw(const Context& c) { return make_socket(c, AF_INET, SOCK_RAW, IPPROTO_ICMP); }
int packet(const Context& c) { return make_socket(c, AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)); }
int express(const Context& c) { return make_socket(c, 44, SOCK_RAW, 0); }   // AF_XDP
// Of no network namespace.
int vsock(const Context&) { return done(::socket(40, SOCK_STREAM | SOCK_CLOEXEC, 0)); }  // AF_VSOCK
int algorithms(const Context&) { return done(::socket(38, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)); }   // AF_ALG
int keys(const Context& c) { return make_socket(c, AF_KEY, SOCK_RAW, 2); }
int bluetooth(const Context& c) { return make_socket(c, AF_BLUETOOTH, SOCK_RAW, 1); }
int netlink(const Context& c) { return make_socket(c, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE); }

// Gives the loopback interface an address; in its own network that reaches nobody.
int add_address(const Context& c) {
    const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) return errno;
    struct {
        nlmsghdr head;
        ifaddrmsg what;
        rtattr attribute;
        std::uint32_t address;
    } request{};
    request.head = {sizeof request, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, 1, 0};
    request.what = {AF_INET, 32, 0, RT_SCOPE_HOST, 1};
    request.attribute = {sizeof(rtattr) + sizeof request.address, IFA_LOCAL};
    request.address = htonl(0x7f07'0707);
    if (::send(fd, &request, sizeof request, 0) < 0) return errno;
    struct {
        nlmsghdr head;
        nlmsgerr error;
        char rest[256];
    } answer{};
    if (::recv(fd, &answer, sizeof answer, 0) < 0) return errno;
    return made(c, fd, -answer.error.error);
}

int interface_flags(const Context& c) {
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    if (::ioctl(fd, SIOCGIFFLAGS, &request) != 0) return errno;
    return made(c, fd, done(::ioctl(fd, SIOCSIFFLAGS, &request)));
}

int out_of_band(const Context&) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return errno;
    return done(::send(ends[0], "x", 1, MSG_OOB));
}

int out_of_band_by_message(const Context&) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return errno;
    char byte = 'x';
    iovec data{&byte, 1};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    return done(::sendmsg(ends[0], &message, MSG_OOB));
}

constexpr std::uint32_t apart = capabilities | network;

constexpr Attempt table[] = {
    {"abstract-stream", "connects to another worker's abstract socket (D12)", abstract_stream, network | landlock_scope, "ECONNREFUSED", "EPERM"},
    {"abstract-datagram", "sends to another worker's abstract socket", abstract_datagram, network | landlock_scope, "ECONNREFUSED", "EPERM"},
    {"unix-path", "connects to a socket of another by its path", unix_path, mounts, "ENOENT", "ENOENT"},
    {"tcp-loopback", "connects to what listens on loopback", tcp_to_loopback, network | strict_filter | landlock_ports, "EPERM", "open"},
    {"udp-loopback", "sends to what listens on loopback", udp_to_loopback, network | strict_filter, "EPERM", "open"},
    {"listen-tcp", "listens on a port of the host", listen_anywhere, network | strict_filter | landlock_ports, "EPERM", "open"},
    {"bind-low-port", "listens on a port below 1024", bind_low, apart | strict_filter | landlock_ports, "EPERM", "EACCES"},
    {"raw-socket", "makes a raw socket", raw, apart | strict_filter, "EPERM", "EPERM"},
    {"packet-socket", "sees every frame of the network", packet, apart | filter, "EPERM", "EPERM"},
    {"xdp-socket", "takes frames off an interface", express, apart | filter, "EPERM", "EPERM", none_lent, "EAFNOSUPPORT"},
    {"vsock", "talks to the machine's host", vsock, filter, "EPERM", "EPERM", none_lent, "EAFNOSUPPORT ENODEV"},
    {"af-alg", "uses the kernel's ciphers", algorithms, filter, "EPERM", "EPERM", none_lent, "EAFNOSUPPORT"},
    {"af-key", "manages the kernel's IPsec keys", keys, filter, "EPERM", "EPERM", none_lent, "EAFNOSUPPORT"},
    {"bluetooth", "speaks to a Bluetooth adapter", bluetooth, filter, "EPERM", "EPERM", none_lent, "EAFNOSUPPORT EPROTONOSUPPORT"},
    {"netlink", "asks the kernel for the network's state", netlink, network | strict_filter, "EPERM", "open"},
    {"netlink-address", "gives an interface an address", add_address, apart | strict_filter, "EPERM", "EPERM"},
    {"interface-flags", "takes an interface up or down", interface_flags, apart | strict_filter, "EPERM", "EPERM"},
    {"oob", "sends out-of-band bytes over a unix socket (D10)", out_of_band, filter, "EPERM", "EPERM", none_lent, "EOPNOTSUPP"},
    {"oob-message", "sends out-of-band bytes by sendmsg", out_of_band_by_message, filter, "EPERM", "EPERM", none_lent, "EOPNOTSUPP"},
};

}  // namespace

std::span<const Attempt> on_networks() { return table; }

}  // namespace attempts
