// Sockets that are made for a worker. None of them waits: a connect that cannot end at once is lent as it is
// connecting.
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "broker/perform.h"
#include "broker/socket_name.h"

namespace warder::broker {
namespace {

// A socket's path is looked up like any other, and connected to by its descriptor: connect(2) itself would follow
// links.
Tried<SocketName> find_socket(const Task& task, Patience patience, Fd& found) {
    auto opened = open_below(task, task.path, O_PATH | O_NOFOLLOW, patience);
    if (!opened) return Ended(std::move(opened.error()));
    struct stat about;
    auto gated = passed(task, opened->get(), about, Wanted::anything);
    if (gated.reason != Reason::ok) return Ended(std::move(gated));
    if (!S_ISSOCK(about.st_mode)) return Ended(failed(ECONNREFUSED));
    found = std::move(*opened);
    return unix_socket_name(own_path(found.get()).view(), Abstract::no);
}

// A unix socket whose backlog is full says EAGAIN, which is told as it is: nobody waits for it here.
Performed connect_as(const Task& task, int family, int type, const SocketName& name) {
    Fd socket(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return failed(errno);
    const bool connected = ::connect(socket.get(), name.get(), name.size) == 0;
    if (!connected && errno != EINPROGRESS) return failed(errno);
    return lent_as_asked(task, std::move(socket), connected ? 0U : 1U);
}

template <typename Address>
int bind_to(int socket, const Address& address) {
    return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// The number of an interface by its name; 0: there is none of that name.
unsigned interface_number(std::string_view name) {
    const FixedString<IFNAMSIZ - 1> text(name);
    return text.truncated() ? 0 : ::if_nametoindex(text.c_str());
}

}  // namespace

Performed connect_to(const Task& task, Patience patience) {
    const auto& address = task.address;
    const int family = socket_family(address.family);
    const int type = socket_type(address.transport);
    if (address.family != policy::Family::unix_path) return connect_as(task, family, type, socket_name(address));
    Fd found;
    auto name = find_socket(task, patience, found);
    return name ? connect_as(task, family, type, *name) : std::move(name.error());
}

Performed connect_to_log(const Task& task, Patience patience) {
    Fd found;
    auto name = find_socket(task, patience, found);
    return name ? connect_as(task, AF_UNIX, SOCK_DGRAM, *name) : std::move(name.error());
}

Performed lend_raw(const Task& task) {
    Fd socket(::socket(socket_family(task.family), SOCK_RAW | SOCK_CLOEXEC, static_cast<int>(task.protocol)));
    if (!socket) return failed(errno);
    return lent_as_asked(task, std::move(socket));
}

// Made for no protocol, so that nothing lies in its queue that came before it was bound to the granted one.
Performed lend_packet(const Task& task) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(static_cast<std::uint16_t>(task.protocol));
    if (!task.interface.empty()) {
        address.sll_ifindex = static_cast<int>(interface_number(task.interface));
        if (address.sll_ifindex == 0) return failed(ENODEV);
    }
    Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket) return failed(errno);
    if (bind_to(socket.get(), address) != 0) return failed(errno);
    return lent_as_asked(task, std::move(socket));
}

// Whatever its worker says over it counts by the worker's own capabilities, of which it has none (netlink(7)).
Performed lend_netlink(const Task& task) {
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, static_cast<int>(task.protocol)));
    if (!socket) return failed(errno);
    if (bind_to(socket.get(), address) != 0) return failed(errno);
    return lent_as_asked(task, std::move(socket));
}

}  // namespace warder::broker
