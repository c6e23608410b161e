#include "broker/socket_name.h"

#include <netinet/in.h>
#include <sys/un.h>

#include <linux/vm_sockets.h>

#include <cstddef>
#include <cstring>

namespace warder::broker {
namespace {

SocketName ip_name(const policy::Address& address) {
    SocketName name;
    std::memset(&name.storage, 0, sizeof name.storage);
    if (address.family == policy::Family::ipv4) {
        auto& in = reinterpret_cast<sockaddr_in&>(name.storage);
        in.sin_family = AF_INET;
        in.sin_port = htons(static_cast<std::uint16_t>(address.port));
        std::memcpy(&in.sin_addr, address.ip.data(), 4);
        name.size = sizeof in;
        return name;
    }
    auto& in6 = reinterpret_cast<sockaddr_in6&>(name.storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(static_cast<std::uint16_t>(address.port));
    std::memcpy(&in6.sin6_addr, address.ip.data(), 16);
    name.size = sizeof in6;
    return name;
}

// Context id and port are in host order (vsock(7)); port 0 is for the kernel to choose, as it is for TCP.
SocketName vsock_name(const policy::Address& address) {
    SocketName name;
    std::memset(&name.storage, 0, sizeof name.storage);
    auto& vm = reinterpret_cast<sockaddr_vm&>(name.storage);
    vm.svm_family = AF_VSOCK;
    vm.svm_port = address.port == 0 ? VMADDR_PORT_ANY : address.port;
    std::memcpy(&vm.svm_cid, address.ip.data(), sizeof vm.svm_cid);
    name.size = sizeof vm;
    return name;
}

}  // namespace

// An abstract name has a NUL before it and none behind; a path the other way round (unix(7)). An abstract name of no
// bytes is for the kernel to choose: it is asked with a family alone.
SocketName unix_socket_name(std::string_view text, Abstract abstract) {
    SocketName name;
    std::memset(&name.storage, 0, sizeof name.storage);
    auto& un = reinterpret_cast<sockaddr_un&>(name.storage);
    un.sun_family = AF_UNIX;
    const std::size_t size = text.size() < sizeof un.sun_path ? text.size() : sizeof un.sun_path - 1;
    std::memcpy(un.sun_path + (abstract == Abstract::yes ? 1 : 0), text.data(), size);
    name.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size + 1);
    if (abstract == Abstract::yes && text.empty()) name.size = offsetof(sockaddr_un, sun_path);
    return name;
}

SocketName socket_name(const policy::Address& address) {
    if (address.family == policy::Family::unix_abstract) return unix_socket_name(address.name, Abstract::yes);
    if (address.family == policy::Family::unix_path) return unix_socket_name(address.name, Abstract::no);
    if (address.family == policy::Family::vsock) return vsock_name(address);
    return ip_name(address);
}

int socket_family(policy::Family family) {
    switch (family) {
        case policy::Family::ipv4: return AF_INET;
        case policy::Family::ipv6: return AF_INET6;
        case policy::Family::unix_path:
        case policy::Family::unix_abstract: return AF_UNIX;
        case policy::Family::vsock: return AF_VSOCK;
        default: return AF_UNSPEC;   // a name: what it stands for has a family, it has none
    }
}

int socket_type(policy::Transport transport) {
    switch (transport) {
        case policy::Transport::udp:
        case policy::Transport::unix_dgram: return SOCK_DGRAM;
        case policy::Transport::unix_seqpacket:
        case policy::Transport::vsock_seqpacket: return SOCK_SEQPACKET;
        default: return SOCK_STREAM;
    }
}

}  // namespace warder::broker
