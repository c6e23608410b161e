// From policy addresses to what bind(2) and connect(2) take.
#pragma once

#include <sys/socket.h>

#include <string_view>

#include "policy/address.h"

namespace warder::broker {

struct SocketName {
    sockaddr_storage storage;
    socklen_t size = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

enum class Abstract { no, yes };

// For IPv4, IPv6, vsock and abstract names; a path is looked up below its held directory first, a host by the resolver.
SocketName socket_name(const policy::Address& address);
SocketName unix_socket_name(std::string_view name, Abstract abstract);

// AF_UNSPEC, which socket(2) refuses, for a name that was not resolved.
int socket_family(policy::Family family);
int socket_type(policy::Transport transport);

}  // namespace warder::broker
