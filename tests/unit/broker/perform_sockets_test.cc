#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "broker/socket_name.h"
#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::broker;
using warder::test::in_namespaces;
using warder::test::Stand;

namespace {

int option_of(int socket, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(socket, SOL_SOCKET, option, &value, &size);
    return value;
}

template <typename Address>
Address name_of_socket(int socket) {
    Address address{};
    socklen_t size = sizeof address;
    ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
    return address;
}

Task of_protocol(Operation operation, std::uint32_t protocol) {
    Task task;
    task.operation = operation;
    task.protocol = protocol;
    return task;
}

Task connecting(const Stand& stand, std::string_view address) {
    Task task = stand.worker_task(Operation::connect, "socket");
    task.address = policy::parse_address(address).value();
    return task;
}

Fd listen_at(const Stand& stand, int type, int backlog = 8) {
    Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const SocketName name = unix_socket_name(stand.at("socket"), Abstract::no);
    REQUIRE(::bind(socket.get(), name.get(), name.size) == 0);
    REQUIRE((type == SOCK_DGRAM || ::listen(socket.get(), backlog) == 0));
    REQUIRE(::chmod(stand.at("socket").c_str(), 0666) == 0);
    return socket;
}

void bring_up(const char* interface) {
    ifreq wanted{};
    std::string_view(interface).copy(wanted.ifr_name, IFNAMSIZ - 1);
    Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ::ioctl(socket.get(), SIOCGIFFLAGS, &wanted);
    wanted.ifr_flags |= IFF_UP;
    ::ioctl(socket.get(), SIOCSIFFLAGS, &wanted);
}

}  // namespace

TEST_CASE("a raw socket is of the granted family and protocol, though the worker has no right to one") {
    NEEDS_ROOT();
    Stand stand;
    const auto icmp = stand.perform(of_protocol(Operation::raw, IPPROTO_ICMP));
    REQUIRE(icmp.reason == Reason::ok);
    CHECK(option_of(icmp.fd.get(), SO_TYPE) == SOCK_RAW);
    CHECK(option_of(icmp.fd.get(), SO_DOMAIN) == AF_INET);
    CHECK(option_of(icmp.fd.get(), SO_PROTOCOL) == IPPROTO_ICMP);
    CHECK((::fcntl(icmp.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(icmp.fd.get(), F_GETFL) & O_NONBLOCK) == 0);
    CHECK(icmp.inode != 0);
    Task task = of_protocol(Operation::raw, IPPROTO_ICMPV6);
    task.family = policy::Family::ipv6;
    task.flags = static_cast<std::uint16_t>(OpenFlag::nonblock);
    const auto icmp6 = stand.perform(task);
    REQUIRE(icmp6.reason == Reason::ok);
    CHECK(option_of(icmp6.fd.get(), SO_DOMAIN) == AF_INET6);
    CHECK((::fcntl(icmp6.fd.get(), F_GETFL) & O_NONBLOCK) != 0);
    task.protocol = 100'000;
    CHECK(stand.perform(task).error == EINVAL);
}

TEST_CASE("a packet socket hears its own protocol on its own interface and nothing that came before") {
    NEEDS_ROOT();
    const int line = in_namespaces(CLONE_NEWNET, [] {
        bring_up("lo");
        Stand stand;
        Task task = of_protocol(Operation::packet, ETH_P_IP);
        task.interface = "lo";
        HOLDS(stand.perform(task, Patience::never).reason == Reason::would_block);
        task.flags = static_cast<std::uint16_t>(OpenFlag::nonblock);
        const auto performed = stand.perform(task);
        HOLDS(performed.reason == Reason::ok);
        const auto name = name_of_socket<sockaddr_ll>(performed.fd.get());
        HOLDS(name.sll_protocol == htons(ETH_P_IP));
        HOLDS(name.sll_ifindex == static_cast<int>(::if_nametoindex("lo")));
        task.protocol = ETH_P_ARP;
        const auto deaf = stand.perform(task);
        HOLDS(deaf.reason == Reason::ok);
        Fd sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const auto to = socket_name(policy::parse_address("udp:127.0.0.1:9").value());
        HOLDS(::sendto(sender.get(), "x", 1, 0, to.get(), to.size) == 1);
        std::array<char, 256> frame;
        HOLDS(::recv(performed.fd.get(), frame.data(), frame.size(), 0) > 0);
        HOLDS(::recv(deaf.fd.get(), frame.data(), frame.size(), 0) < 0);
        task.interface = "absent0";
        HOLDS(stand.perform(task).error == ENODEV);
        task.interface = "a-name-that-no-interface-can-have";
        HOLDS(stand.perform(task).error == ENODEV);
        task.interface = {};
        const auto everywhere = stand.perform(task);
        HOLDS(everywhere.reason == Reason::ok);
        HOLDS(name_of_socket<sockaddr_ll>(everywhere.fd.get()).sll_ifindex == 0);
        return 0;
    });
    CHECK(line == 0);
}

TEST_CASE("a netlink socket is bound, and of the granted protocol") {
    NEEDS_ROOT();
    Stand stand;
    CHECK(stand.perform(of_protocol(Operation::netlink, NETLINK_ROUTE), Patience::never).reason == Reason::would_block);
    const auto performed = stand.perform(of_protocol(Operation::netlink, NETLINK_ROUTE));
    REQUIRE(performed.reason == Reason::ok);
    CHECK(option_of(performed.fd.get(), SO_PROTOCOL) == NETLINK_ROUTE);
    const auto name = name_of_socket<sockaddr_nl>(performed.fd.get());
    CHECK(name.nl_pid != 0);   // the kernel chose one
    CHECK(name.nl_groups == 0);
    CHECK(stand.perform(of_protocol(Operation::netlink, 200)).error == EPROTONOSUPPORT);
}

TEST_CASE("a log socket is connected to what the grant names") {
    NEEDS_ROOT();
    Stand stand("/dev/shm");
    const Fd log = listen_at(stand, SOCK_DGRAM);
    for (const auto patience : {Patience::never, Patience::until_deadline}) {
        const auto performed = stand.perform(stand.worker_task(Operation::syslog, "socket"), patience);
        REQUIRE(performed.reason == Reason::ok);
        CHECK(::send(performed.fd.get(), "<13>hello", 9, 0) == 9);
        char text[16];
        CHECK(::recv(log.get(), text, sizeof text, 0) == 9);
    }
    stand.write("file", "");
    CHECK(stand.perform(stand.worker_task(Operation::syslog, "file")).error == ECONNREFUSED);
    CHECK(stand.perform(stand.worker_task(Operation::syslog, "absent")).error == ENOENT);
    REQUIRE(::symlink("socket", stand.at("link").c_str()) == 0);
    CHECK(stand.perform(stand.worker_task(Operation::syslog, "link")).reason != Reason::ok);
    REQUIRE(::chmod(stand.at("socket").c_str(), 0600) == 0);
    CHECK(stand.perform(stand.worker_task(Operation::syslog, "socket")).error == EACCES);
}

TEST_CASE("a log of streams says EPROTOTYPE") {
    NEEDS_ROOT();
    Stand stand;
    const Fd log = listen_at(stand, SOCK_STREAM);
    CHECK(stand.perform(stand.worker_task(Operation::syslog, "socket")).error == EPROTOTYPE);
}

TEST_CASE("what a unix socket says to connect is told as it is") {
    NEEDS_ROOT();
    Stand stand;
    const std::string stream = "unix:" + stand.at("socket");
    const std::string packets = "unix-seqpacket:" + stand.at("socket");
    Fd listener = listen_at(stand, SOCK_STREAM, 0);
    CHECK(stand.perform(connecting(stand, packets)).error == EPROTOTYPE);
    std::vector<Performed> connected;
    int error = 0;
    for (int i = 0; i < 8 && error == 0; ++i) {
        connected.push_back(stand.perform(connecting(stand, stream)));
        error = connected.back().error;
    }
    CHECK(error == EAGAIN);   // its backlog is full: nobody waits
    REQUIRE(connected.front().reason == Reason::ok);
    CHECK(connected.front().value == 0);
    ucred peer{};
    socklen_t size = sizeof peer;
    Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(::getsockopt(accepted.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0);
    CHECK(peer.uid == warder::test::nobody.uid);   // T35
    listener.reset();
    CHECK(stand.perform(connecting(stand, stream)).error == ECONNREFUSED);
    Task host = connecting(stand, stream);
    host.address.family = policy::Family::host;
    CHECK(stand.perform(host).error == EAFNOSUPPORT);
}

// What was measured: a TCP socket with SO_LINGER took 2 s to close in three of four tries of a worker that was quicker than
// the one who lent it; a unix socket with such a one in its queue took as long whenever it could not be lent.
TEST_CASE("T37: no socket that takes as long to close as somebody likes is made by who may not wait") {
    NEEDS_ROOT();
    Stand stand("/dev/shm");
    const Fd listener = listen_at(stand, SOCK_STREAM);
    for (const std::string& address : {std::string("tcp:127.0.0.1:9"), std::string("tcp:[::1]:9"),
                                       std::string("udp:127.0.0.1:9"), std::string("unix:@warder-nobody"),
                                       "unix:" + stand.at("socket"), std::string("vsock:1:1")}) {
        CHECK(stand.perform(connecting(stand, address), Patience::never).reason == Reason::would_block);
    }
    CHECK(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC) < 0);
    CHECK(stand.perform(of_protocol(Operation::raw, IPPROTO_ICMP), Patience::never).reason == Reason::would_block);
}

TEST_CASE("a vsock connect says what the kernel says") {
    NEEDS_ROOT();
    Stand stand;
    const auto performed = stand.perform(connecting(stand, "vsock:1:1"));
    CHECK(performed.reason == (performed.fd ? Reason::ok : Reason::system));
    if (!performed.fd) CHECK(performed.error != 0);
}

TEST_CASE("a vsock address is context id and port in host order, and 0 lets the kernel choose") {
    const auto name = socket_name(policy::parse_address("vsock-seqpacket:2:1024").value());
    const auto& vm = reinterpret_cast<const sockaddr_vm&>(name.storage);
    CHECK(name.size == sizeof vm);
    CHECK(vm.svm_family == AF_VSOCK);
    CHECK(vm.svm_cid == 2);
    CHECK(vm.svm_port == 1024);
    const auto any = socket_name(policy::parse_address("vsock:*:0").value());
    CHECK(reinterpret_cast<const sockaddr_vm&>(any.storage).svm_cid == VMADDR_CID_ANY);
    CHECK(reinterpret_cast<const sockaddr_vm&>(any.storage).svm_port == VMADDR_PORT_ANY);
    CHECK(socket_type(policy::Transport::vsock_seqpacket) == SOCK_SEQPACKET);
    CHECK(socket_type(policy::Transport::vsock) == SOCK_STREAM);
    CHECK(socket_family(policy::Family::vsock) == AF_VSOCK);
}
