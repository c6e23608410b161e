// A listener that its holder has changed, kind by kind: what is put back is as new, and what cannot be is seen (T40).
#include "broker/untouched.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>

#include "broker/hold.h"
#include "unit/broker/bench.h"

using namespace warder;
using namespace warder::broker;
using warder::test::listener_grant;
using warder::test::somebody;

namespace {

using Outcome = Renewal::Outcome;

const char* const every_kind[] = {
    "tcp:127.0.0.1:0", "tcp:[::1]:0", "udp:127.0.0.1:0", "udp:[::1]:0", "unix:@warder-untouched-s", "unix-dgram:@warder-untouched-d",
    "unix-seqpacket:@warder-untouched-q",
};

struct Kept {
    policy::Grant grant;
    Privileges privileges;
    Held held;
    explicit Kept(const std::string& address) : grant(listener_grant("lent", address)) {
        grant.as = policy::As::root;
        held = hold(grant, privileges, somebody);
        REQUIRE(open_listener(held, grant, privileges, somebody));
    }
    ~Kept() { privileges.become_root(); }
    int fd() const { return held.listener.get(); }
    Renewal renewed() { return renew(held, grant, privileges, somebody, HiddenOptions::none); }
};

// What becomes of it after `spoil`; and that a second look finds it as new where it was put back.
Renewal after(const std::string& address, const std::function<bool(int)>& spoil) {
    Kept lent(address);
    REQUIRE(spoil(lent.fd()));
    const Renewal renewal = lent.renewed();
    if (renewal.outcome == Outcome::put_back) CHECK(lent.renewed().outcome == Outcome::as_new);
    return renewal;
}

template <typename Value>
std::function<bool(int)> setting(int level, int option, Value value) {
    return [=](int fd) { return ::setsockopt(fd, level, option, &value, sizeof value) == 0; };
}

void check_put_back(const std::string& address, const std::function<bool(int)>& spoil, const std::string& named) {
    const Renewal renewal = after(address, spoil);
    CAPTURE(address);
    CAPTURE(renewal.differences);
    CHECK(renewal.outcome == Outcome::put_back);
    CHECK(renewal.differences.find(named) != std::string::npos);
}

void check_spoiled(const std::string& address, const std::function<bool(int)>& spoil, const std::string& named) {
    const Renewal renewal = after(address, spoil);
    CAPTURE(address);
    CAPTURE(renewal.differences);
    CHECK(renewal.outcome == Outcome::spoiled);
    CHECK(renewal.differences.find(named) != std::string::npos);
}

}  // namespace

TEST_CASE("T40: a listener that nobody changed is as new, whatever came in meanwhile") {
    for (const char* address : every_kind) {
        CAPTURE(address);
        Kept lent(address);
        const Renewal renewal = lent.renewed();
        CAPTURE(renewal.differences);
        CHECK(renewal.outcome == Outcome::as_new);
    }
    Kept tcp("tcp:127.0.0.1:0");
    sockaddr_in name{};
    socklen_t size = sizeof name;
    REQUIRE(::getsockname(tcp.fd(), reinterpret_cast<sockaddr*>(&name), &size) == 0);
    const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&name), size) == 0);
    CHECK(tcp.renewed().outcome == Outcome::as_new);
    Fd accepted(::accept4(tcp.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(accepted);
    CHECK(tcp.renewed().outcome == Outcome::as_new);
}

TEST_CASE("T40: what servers set on any listener is put back") {
    for (const char* address : every_kind) {
        check_put_back(address, setting(SOL_SOCKET, SO_KEEPALIVE, 1), "SO_KEEPALIVE");
        check_put_back(address, setting(SOL_SOCKET, SO_LINGER, linger{1, 0}), "SO_LINGER");
        check_put_back(address, setting(SOL_SOCKET, SO_LINGER, linger{1, 17}), "SO_LINGER");
        check_put_back(address, [](int fd) { return setting(SOL_SOCKET, SO_LINGER, linger{1, 17})(fd) && setting(SOL_SOCKET, SO_LINGER, linger{0, 0})(fd); }, "SO_LINGER");
        check_put_back(address, setting(SOL_SOCKET, SO_RCVTIMEO, timeval{0, 20'000}), "SO_RCVTIMEO");
        check_put_back(address, setting(SOL_SOCKET, SO_SNDTIMEO, timeval{3, 0}), "SO_SNDTIMEO");
        check_put_back(address, setting(SOL_SOCKET, SO_RCVBUF, 3000), "SO_RCVBUF");
        check_put_back(address, setting(SOL_SOCKET, SO_SNDBUF, 30'000), "SO_SNDBUF");
    }
    check_put_back("unix-dgram:@warder-untouched-d", setting(SOL_SOCKET, SO_PASSCRED, 1), "SO_PASSCRED");
    check_put_back("unix:@warder-untouched-s", setting(SOL_SOCKET, SO_PASSCRED, 1), "SO_PASSCRED");
}

TEST_CASE("T40: what servers set on an inet listener is put back") {
    for (const char* address : {"tcp:127.0.0.1:0", "tcp:[::1]:0"}) {
        for (const int option : {TCP_NODELAY, TCP_CORK, TCP_DEFER_ACCEPT, TCP_FASTOPEN, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT}) {
            CAPTURE(option);
            check_put_back(address, setting(IPPROTO_TCP, option, 3), "TCP_");
        }
        check_put_back(address, setting(IPPROTO_TCP, TCP_QUICKACK, 0), "TCP_QUICKACK");
    }
    check_put_back("tcp:127.0.0.1:0", setting(IPPROTO_IP, IP_TOS, 0x10), "IP_TOS");
    check_put_back("udp:127.0.0.1:0", setting(IPPROTO_IP, IP_RECVTOS, 1), "IP_RECVTOS");
    check_put_back("tcp:[::1]:0", setting(IPPROTO_IPV6, IPV6_TCLASS, 0x10), "IPV6_TCLASS");
    check_put_back("udp:[::1]:0", setting(IPPROTO_IPV6, IPV6_RECVRTHDR, 1), "IPV6_RECVRTHDR");
}

TEST_CASE("T40: flags, owner, signal and the backlog are put back") {
    for (const char* address : every_kind) {
        check_put_back(address, [](int fd) { return ::fcntl(fd, F_SETFL, O_ASYNC) == 0; }, "status flags");
        check_put_back(address, [](int fd) { return ::fcntl(fd, F_SETOWN, ::getpid()) == 0; }, "F_SETOWN");
        check_put_back(address, [](int fd) { return ::fcntl(fd, F_SETSIG, SIGUSR1) == 0; }, "F_SETSIG");
        // Who is lent it says that, each time.
        CHECK(after(address, [](int fd) { return ::fcntl(fd, F_SETFL, O_NONBLOCK) == 0; }).outcome == Outcome::as_new);
    }
    for (const char* address : {"tcp:127.0.0.1:0", "tcp:[::1]:0", "unix:@warder-untouched-s", "unix-seqpacket:@warder-untouched-q"}) {
        check_put_back(address, [](int fd) { return ::listen(fd, 1) == 0; }, "its backlog");
    }
}

TEST_CASE("T40: a listener that was shut down in any way is spoiled") {
    for (const char* address : every_kind) {
        const bool stream = std::string_view(address).starts_with("tcp");
        for (const int how : {SHUT_RD, SHUT_WR, SHUT_RDWR}) {
            CAPTURE(how);
            if (stream && how == SHUT_WR) continue;   // does nothing to one that listens
            // Sockets that are not connected answer ENOTCONN, and are shut down all the same.
            check_spoiled(address, [how](int fd) { return ::shutdown(fd, how) == 0 || errno == ENOTCONN; }, stream ? "" : "shut down");
        }
    }
    // It looks as before in each option, and those that it accepts cannot send.
    for (const char* address : {"tcp:127.0.0.1:0", "tcp:[::1]:0"}) {
        check_spoiled(address, [](int fd) {
            return ::shutdown(fd, SHUT_RDWR) == 0 && ::shutdown(fd, SHUT_WR) != 0 && errno == ENOTCONN && ::listen(fd, 511) == 0;
        }, "");
    }
}

TEST_CASE("T40: what only a named option changes makes the listener anew, and so do routes, filters and interfaces") {
    check_spoiled("tcp:127.0.0.1:0", setting(SOL_SOCKET, SO_MAX_PACING_RATE, 1000U), "SO_MAX_PACING_RATE");
    check_spoiled("unix:@warder-untouched-s", setting(SOL_SOCKET, SO_PEEK_OFF, 3), "SO_PEEK_OFF");
    check_spoiled("tcp:127.0.0.1:0", setting(SOL_SOCKET, SO_DONTROUTE, 1), "SO_DONTROUTE");
    check_spoiled("udp:127.0.0.1:0", setting(SOL_SOCKET, SO_INCOMING_CPU, 0), "SO_INCOMING_CPU");
    check_spoiled("tcp:127.0.0.1:0", setting(IPPROTO_IP, IP_TTL, 1), "IP_TTL");
    check_spoiled("tcp:127.0.0.1:0", setting(IPPROTO_IP, IP_OPTIONS, 0x01010101), "IP_OPTIONS");
    check_spoiled("tcp:127.0.0.1:0", setting(IPPROTO_TCP, TCP_MAXSEG, 500), "TCP_MAXSEG");
    check_spoiled("udp:127.0.0.1:0", setting(IPPROTO_UDP, 100, 2), "UDP_ENCAP");
    check_spoiled("udp:127.0.0.1:0", setting(IPPROTO_UDP, 1, 1), "UDP_CORK");
    check_spoiled("tcp:[::1]:0", setting(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1), "IPV6_UNICAST_HOPS");
    struct Segments {
        std::uint8_t next = 0, length = 4, type = 4, left = 1, last = 1, flags = 0;
        std::uint16_t tag = 0;
        in6_addr segments[2] = {IN6ADDR_LOOPBACK_INIT, IN6ADDR_LOOPBACK_INIT};
    };
    check_spoiled("tcp:[::1]:0", setting(IPPROTO_IPV6, IPV6_RTHDR, Segments{}), "IPV6_RTHDR");
}

TEST_CASE("T40: where options that the kernel does not tell may have been set the listener is made anew") {
    Kept lent("tcp:127.0.0.1:0");
    CHECK(renew(lent.held, lent.grant, lent.privileges, somebody, HiddenOptions::possible).outcome == Outcome::spoiled);
}

TEST_CASE("a socket that shares its port is found among the others when it is asked for its condition") {
    for (int i = 0; i < 4; ++i) {
        auto grant = listener_grant("shared", "udp:127.0.0.1:47391");
        grant.reuse_port = true;
        Privileges privileges;
        Held held = hold(grant, privileges, somebody);
        Held other = hold(grant, privileges, somebody);
        REQUIRE(open_listener(held, grant, privileges, somebody));
        REQUIRE(open_listener(other, grant, privileges, somebody));
        CHECK(renew(held, grant, privileges, somebody, HiddenOptions::none).outcome == Outcome::as_new);
        CHECK(renew(other, grant, privileges, somebody, HiddenOptions::none).outcome == Outcome::as_new);
        ::shutdown(other.listener.get(), SHUT_WR);
        CHECK(renew(held, grant, privileges, somebody, HiddenOptions::none).outcome == Outcome::as_new);
        CHECK(renew(other, grant, privileges, somebody, HiddenOptions::none).outcome == Outcome::spoiled);
    }
}
