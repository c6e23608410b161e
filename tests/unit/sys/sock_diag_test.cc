#include "sys/sock_diag.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>

#include "sys/fd.h"
#include "sys/files.h"

using namespace warder;

namespace {

std::uint64_t inode_of(int fd) {
    struct stat about {};
    REQUIRE(::fstat(fd, &about) == 0);
    return about.st_ino;
}

std::optional<SocketFacts> find(const SocketTables& tables, std::uint64_t inode) {
    std::optional<SocketFacts> found;
    const auto complete = tables.each(
        [&](SocketFacts facts) {
            if (facts.inode == inode) found = std::move(facts);
            return !found;
        },
        1'000'000);
    REQUIRE(complete);
    CHECK(*complete);
    return found;
}

Fd bound(int family, int type, const sockaddr* address, socklen_t size) {
    Fd socket(::socket(family, type | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(socket.get(), address, size) == 0);
    return socket;
}

Fd bound_to_loopback(int type) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return bound(AF_INET, type, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

std::string port_of(int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return std::to_string(ntohs(address.sin_port));
}

struct Text {
    std::array<std::byte, 512> bytes{};
    Writer writer{bytes};
    void attribute(std::uint16_t type, std::string_view value) {
        const rtattr head{static_cast<std::uint16_t>(sizeof head + value.size()), type};
        writer.put(head);
        writer.put_bytes(bytes_of(value));
        for (std::size_t i = head.rta_len; i < RTA_ALIGN(head.rta_len); ++i) writer.put(std::uint8_t{0});
    }
};

constexpr SocketTable unix_table{AF_UNIX, 0};
constexpr SocketTable tcp_table{AF_INET, IPPROTO_TCP};

}  // namespace

TEST_CASE("sock_diag: a listener on loopback is found by its inode, with its address and backlog") {
    const auto tables = SocketTables::probe();
    const Fd socket = bound_to_loopback(SOCK_STREAM);
    REQUIRE(::listen(socket.get(), 7) == 0);
    const auto facts = find(tables, inode_of(socket.get()));
    REQUIRE(facts);
    CHECK(facts->kind == SocketKind::tcp);
    CHECK(facts->state == socket_listens);
    CHECK(facts->local == "127.0.0.1:" + port_of(socket.get()));
    CHECK(facts->peer.empty());
    CHECK(facts->send_queue == 7);
}

TEST_CASE("sock_diag: bytes that were not read are in the queue of a datagram socket") {
    const auto tables = SocketTables::probe();
    const Fd socket = bound_to_loopback(SOCK_DGRAM);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    REQUIRE(::sendto(socket.get(), "hello", 5, 0, reinterpret_cast<sockaddr*>(&address), size) == 5);
    const auto facts = find(tables, inode_of(socket.get()));
    REQUIRE(facts);
    CHECK(facts->kind == SocketKind::udp);
    CHECK(facts->state == 7);
    CHECK(facts->receive_queue >= 5);   // with what the kernel keeps beside them
}

TEST_CASE("sock_diag: the two ends of a socketpair name each other") {
    const auto tables = SocketTables::probe();
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    const Fd one(ends[0]);
    const Fd other(ends[1]);
    const auto facts = find(tables, inode_of(one.get()));
    REQUIRE(facts);
    CHECK(facts->kind == SocketKind::unix_seqpacket);
    CHECK(socket_state_name(facts->state) == "established");
    CHECK(facts->peer_inode == inode_of(other.get()));
    CHECK(facts->local.empty());
}

TEST_CASE("sock_diag: an abstract name begins with @") {
    const auto tables = SocketTables::probe();
    const std::string name = "warder-test-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    const Fd socket = bound(AF_UNIX, SOCK_STREAM, reinterpret_cast<const sockaddr*>(&address), size);
    REQUIRE(::listen(socket.get(), 3) == 0);
    const auto facts = find(tables, inode_of(socket.get()));
    REQUIRE(facts);
    CHECK(facts->local == "@" + name);
    CHECK(facts->state == socket_listens);
    CHECK(facts->send_queue == 3);
}

TEST_CASE("sock_diag: a netlink socket is found with its protocol where the kernel lists them") {
    const auto tables = SocketTables::probe();
    bool listed = false;
    for (const auto& table : tables.present()) listed = listed || table.family == AF_NETLINK;
    const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const auto facts = find(tables, inode_of(socket.get()));
    CHECK(facts.has_value() == listed);
    if (facts) CHECK(facts->local.starts_with("0:"));
}

TEST_CASE("sock_diag: looking ends when enough were looked at, and says that there are more") {
    const auto tables = SocketTables::probe();
    const Fd one = bound_to_loopback(SOCK_STREAM);
    const Fd other = bound_to_loopback(SOCK_DGRAM);
    std::size_t seen = 0;
    const auto complete = tables.each([&](const SocketFacts&) { return ++seen > 0; }, 1);
    REQUIRE(complete);
    CHECK_FALSE(*complete);
    CHECK(seen == 1);
    const auto stopped = tables.each([](const SocketFacts&) { return false; }, 1000);
    REQUIRE(stopped);
    CHECK(*stopped);   // whoever wants no more has all that was wanted
}

TEST_CASE("sock_diag: what is cut, of another family or over already is no socket") {
    inet_diag_msg raw{};
    raw.idiag_family = AF_INET;
    raw.idiag_state = 1;
    raw.idiag_inode = 77;
    const Bytes whole = std::as_bytes(std::span(&raw, 1));
    CHECK(decode_socket(tcp_table, whole)->inode == 77);
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(decode_socket(tcp_table, whole.first(size)));
    CHECK_FALSE(decode_socket({AF_INET6, IPPROTO_TCP}, whole));
    CHECK_FALSE(decode_socket({AF_APPLETALK, 0}, whole));
    raw.idiag_state = 6;
    CHECK_FALSE(decode_socket(tcp_table, whole));
}

TEST_CASE("sock_diag: attributes that claim more than there is are as if they were not there") {
    Text text;
    unix_diag_msg raw{};
    raw.udiag_family = AF_UNIX;
    raw.udiag_type = SOCK_DGRAM;
    raw.udiag_ino = 5;
    text.writer.put(raw);
    text.attribute(UNIX_DIAG_NAME, "/run/a");
    const Bytes good = text.writer.written();
    CHECK(decode_socket(unix_table, good)->local == "/run/a");
    for (std::size_t size = sizeof raw; size < sizeof raw + sizeof(rtattr) + 6; ++size) {
        const auto facts = decode_socket(unix_table, good.first(size));
        REQUIRE(facts);
        CHECK(facts->local.empty());
    }
    for (const std::uint16_t length : {std::uint16_t{0}, std::uint16_t{3}, std::uint16_t{0xffff}}) {
        Text odd;
        odd.writer.put(raw);
        odd.writer.put(rtattr{length, UNIX_DIAG_NAME});
        CHECK(decode_socket(unix_table, odd.writer.written())->local.empty());
    }
}

TEST_CASE("sock_diag: NULs in an abstract name are shown as @, and a path ends at its NUL") {
    unix_diag_msg raw{};
    raw.udiag_family = AF_UNIX;
    for (const auto& [name, shown] : std::map<std::string, std::string>{
             {std::string("\0a\0b", 4), "@a@b"}, {std::string("/run/a\0", 7), "/run/a"}}) {
        Text text;
        text.writer.put(raw);
        text.attribute(UNIX_DIAG_NAME, name);
        CHECK(decode_socket(unix_table, text.writer.written())->local == shown);
    }
}

TEST_CASE("sock_diag: /proc/PID/net/unix tells of sockets, lines that are cut or odd tell nothing") {
    const auto sockets = decode_proc_unix(
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 23456 /run/a b.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0005 03 23457\n"
        "0000000000000000: 00000002 00000000 00000000 0002 01 23458 @x@\n"
        "0000000000000000: 0000");
    REQUIRE(sockets.size() == 3);
    CHECK(sockets[0].inode == 23456);
    CHECK(sockets[0].state == socket_listens);
    CHECK(sockets[0].kind == SocketKind::unix_stream);
    CHECK(sockets[0].local == "/run/a b.sock");
    CHECK(sockets[1].kind == SocketKind::unix_seqpacket);
    CHECK(socket_state_name(sockets[1].state) == "established");
    CHECK(sockets[1].local.empty());
    CHECK(sockets[2].kind == SocketKind::unix_dgram);
    CHECK(socket_state_name(sockets[2].state) == "unconnected");
    CHECK(sockets[2].local == "@x@");
}

TEST_CASE("sock_diag: our own /proc/self/net/unix has a socketpair of ours") {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const Fd one(ends[0]);
    const Fd other(ends[1]);
    const auto text = read_file("/proc/self/net/unix", 16 << 20);
    REQUIRE(text);
    bool found = false;
    for (const auto& facts : decode_proc_unix(*text)) found = found || facts.inode == inode_of(one.get());
    CHECK(found);
}

TEST_CASE("sock_diag: kinds and states have names") {
    CHECK(name_of(SocketKind::unix_stream) == "unix-stream");
    CHECK(name_of(SocketKind::unknown) == "socket");
    CHECK(socket_state_name(10) == "listen");
    CHECK(socket_state_name(0).empty());
    CHECK(socket_state_name(200).empty());
}
