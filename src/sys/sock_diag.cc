#include "sys/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/netlink_diag.h>
#include <linux/packet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <linux/vm_sockets_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "sys/fd.h"

namespace warder {
namespace {

constexpr std::uint8_t time_wait = 6;       // TCP_TIME_WAIT: nobody's socket any more
constexpr std::uint8_t unconnected = 7;     // TCP_CLOSE
constexpr std::uint8_t new_request = 12;    // TCP_NEW_SYN_RECV: a listener's, not a socket yet
constexpr std::size_t piece = 32 * 1024;    // bytes: what the kernel puts into one datagram of a dump

constexpr std::array<SocketTable, 10> all_tables{{
    {AF_UNIX, 0},
    {AF_INET, IPPROTO_TCP},
    {AF_INET6, IPPROTO_TCP},
    {AF_INET, IPPROTO_UDP},
    {AF_INET6, IPPROTO_UDP},
    {AF_INET, IPPROTO_RAW},
    {AF_INET6, IPPROTO_RAW},
    {AF_PACKET, 0},
    {AF_NETLINK, 0},
    {AF_VSOCK, 0},
}};

// ---- Requests ----

struct InetQuestion {
    nlmsghdr header{};
    inet_diag_req_v2 about{};
};
struct UnixQuestion {
    nlmsghdr header{};
    unix_diag_req about{};
};
struct PacketQuestion {
    nlmsghdr header{};
    packet_diag_req about{};
};
struct NetlinkQuestion {
    nlmsghdr header{};
    netlink_diag_req about{};
};
struct VsockQuestion {
    nlmsghdr header{};
    vsock_diag_req about{};
};

template <typename Question>
Result<void> send_question(int fd, Question question, std::uint16_t also = NLM_F_DUMP) {
    question.header.nlmsg_len = sizeof question;
    question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | also);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    const auto* address = reinterpret_cast<const sockaddr*>(&kernel);
    if (::sendto(fd, &question, sizeof question, MSG_DONTWAIT, address, sizeof kernel) < 0) return failure("sendto");
    return {};
}

Result<void> ask_inet(int fd, const SocketTable& table) {
    InetQuestion question;
    question.about.sdiag_family = table.family;
    question.about.sdiag_protocol = table.protocol;
    question.about.idiag_states = ~((1U << time_wait) | (1U << new_request));
    return send_question(fd, question);
}

Result<void> ask_unix(int fd) {
    UnixQuestion question;
    question.about.sdiag_family = AF_UNIX;
    question.about.udiag_states = ~0U;
    question.about.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN;
    return send_question(fd, question);
}

Result<void> ask_packet(int fd) {
    PacketQuestion question;
    question.about.sdiag_family = AF_PACKET;
    question.about.pdiag_show = PACKET_SHOW_INFO;
    return send_question(fd, question);
}

Result<void> ask_netlink(int fd) {
    NetlinkQuestion question;
    question.about.sdiag_family = AF_NETLINK;
    question.about.sdiag_protocol = NDIAG_PROTO_ALL;
    return send_question(fd, question);
}

Result<void> ask_vsock(int fd) {
    VsockQuestion question;
    question.about.sdiag_family = AF_VSOCK;
    question.about.vdiag_states = ~0U;
    return send_question(fd, question);
}

Result<void> ask_for(int fd, const SocketTable& table) {
    switch (table.family) {
        case AF_UNIX: return ask_unix(fd);
        case AF_PACKET: return ask_packet(fd);
        case AF_NETLINK: return ask_netlink(fd);
        case AF_VSOCK: return ask_vsock(fd);
        default: return ask_inet(fd, table);
    }
}

// ---- Answers ----

// The attribute `type` behind the fixed part, or nothing.
std::optional<Bytes> attribute(Bytes attributes, std::uint16_t type) {
    Reader reader(attributes);
    for (;;) {
        const auto head = reader.take<rtattr>();
        if (!reader.ok() || head.rta_len < sizeof head) return std::nullopt;
        const Bytes value = reader.take_bytes(head.rta_len - sizeof head);
        if (!reader.ok()) return std::nullopt;
        if (head.rta_type == type) return value;
        const std::size_t padding = RTA_ALIGN(head.rta_len) - head.rta_len;
        reader.take_bytes(std::min(padding, reader.left().size()));
    }
}

template <typename Number>
Number number_in(Bytes attributes, std::uint16_t type, std::size_t at) {
    Number value{};
    const auto found = attribute(attributes, type);
    if (found && found->size() >= at + sizeof value) std::memcpy(&value, found->data() + at, sizeof value);
    return value;
}

std::string with_port(std::uint8_t family, const std::uint32_t* address, std::uint16_t port) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (::inet_ntop(family, address, text.data(), text.size()) == nullptr) return {};
    const std::string host = family == AF_INET6 ? "[" + std::string(text.data()) + "]" : std::string(text.data());
    return host + ":" + std::to_string(ntohs(port));
}

std::optional<SocketFacts> decode_inet(const SocketTable& table, Bytes message) {
    Reader reader(message);
    const auto raw = reader.take<inet_diag_msg>();
    if (!reader.ok() || raw.idiag_family != table.family || raw.idiag_state == time_wait || raw.idiag_inode == 0) {
        return std::nullopt;
    }
    SocketFacts facts;
    facts.inode = raw.idiag_inode;
    facts.kind = table.protocol == IPPROTO_TCP   ? SocketKind::tcp
                 : table.protocol == IPPROTO_UDP ? SocketKind::udp
                                                 : SocketKind::raw;
    facts.state = raw.idiag_state;
    facts.receive_queue = raw.idiag_rqueue;
    facts.send_queue = raw.idiag_wqueue;
    facts.queues = true;
    facts.local = with_port(raw.idiag_family, raw.id.idiag_src, raw.id.idiag_sport);
    // A raw socket has its protocol where others have a port, and no port of a peer.
    const bool has_peer = raw.id.idiag_dport != 0 || (facts.kind == SocketKind::raw && raw.idiag_state != unconnected);
    if (has_peer) facts.peer = with_port(raw.idiag_family, raw.id.idiag_dst, raw.id.idiag_dport);
    return facts;
}

// A path, or '@' and an abstract name, whose NULs are shown as ss(8) does.
std::string unix_name(Bytes name) {
    std::string text(text_of(name));
    if (!text.starts_with('\0')) return text.substr(0, text.find('\0'));
    std::replace(text.begin(), text.end(), '\0', '@');
    return text;
}

SocketKind unix_kind(int type) {
    if (type == SOCK_STREAM) return SocketKind::unix_stream;
    return type == SOCK_DGRAM ? SocketKind::unix_dgram : SocketKind::unix_seqpacket;
}

std::optional<SocketFacts> decode_unix(Bytes message) {
    Reader reader(message);
    const auto raw = reader.take<unix_diag_msg>();
    if (!reader.ok() || raw.udiag_family != AF_UNIX) return std::nullopt;
    const Bytes attributes = reader.left();
    SocketFacts facts;
    facts.inode = raw.udiag_ino;
    facts.kind = unix_kind(raw.udiag_type);
    facts.state = raw.udiag_state;
    if (const auto name = attribute(attributes, UNIX_DIAG_NAME)) facts.local = unix_name(*name);
    facts.peer_inode = number_in<std::uint32_t>(attributes, UNIX_DIAG_PEER, 0);
    facts.receive_queue = number_in<std::uint32_t>(attributes, UNIX_DIAG_RQLEN, offsetof(unix_diag_rqlen, udiag_rqueue));
    facts.send_queue = number_in<std::uint32_t>(attributes, UNIX_DIAG_RQLEN, offsetof(unix_diag_rqlen, udiag_wqueue));
    facts.queues = attribute(attributes, UNIX_DIAG_RQLEN).has_value();
    return facts;
}

std::string interface_name(std::uint32_t number) {
    std::array<char, IF_NAMESIZE> name{};
    if (number == 0) return "*";
    return ::if_indextoname(number, name.data()) != nullptr ? std::string(name.data()) : "if" + std::to_string(number);
}

std::optional<SocketFacts> decode_packet(Bytes message) {
    Reader reader(message);
    const auto raw = reader.take<packet_diag_msg>();
    if (!reader.ok() || raw.pdiag_family != AF_PACKET) return std::nullopt;
    std::array<char, 8> protocol{};
    std::to_chars(protocol.data(), protocol.data() + protocol.size() - 1, raw.pdiag_num, 16);
    const auto interface = number_in<std::uint32_t>(reader.left(), PACKET_DIAG_INFO, offsetof(packet_diag_info, pdi_index));
    SocketFacts facts;
    facts.inode = raw.pdiag_ino;
    facts.kind = SocketKind::packet;
    facts.local = "0x" + std::string(protocol.data()) + ":" + interface_name(interface);
    return facts;
}

std::optional<SocketFacts> decode_netlink(Bytes message) {
    Reader reader(message);
    const auto raw = reader.take<netlink_diag_msg>();
    if (!reader.ok() || raw.ndiag_family != AF_NETLINK || raw.ndiag_ino == 0) return std::nullopt;
    SocketFacts facts;
    facts.inode = raw.ndiag_ino;
    facts.kind = SocketKind::netlink;
    facts.local = std::to_string(raw.ndiag_protocol) + ":" + std::to_string(raw.ndiag_portid);
    return facts;
}

std::string vsock_address(std::uint32_t context, std::uint32_t port) {
    return (context == ~0U ? "*" : std::to_string(context)) + ":" + (port == ~0U ? "*" : std::to_string(port));
}

std::optional<SocketFacts> decode_vsock(Bytes message) {
    Reader reader(message);
    const auto raw = reader.take<vsock_diag_msg>();
    if (!reader.ok() || raw.vdiag_family != AF_VSOCK) return std::nullopt;
    SocketFacts facts;
    facts.inode = raw.vdiag_ino;
    facts.kind = raw.vdiag_type == SOCK_SEQPACKET ? SocketKind::vsock_seqpacket : SocketKind::vsock;
    facts.state = raw.vdiag_state;
    facts.local = vsock_address(raw.vdiag_src_cid, raw.vdiag_src_port);
    const bool has_peer = raw.vdiag_state != socket_listens && raw.vdiag_state != unconnected;
    if (has_peer) facts.peer = vsock_address(raw.vdiag_dst_cid, raw.vdiag_dst_port);
    return facts;
}

// ---- A dump ----

enum class Piece { more, over, stopped };

// How far one dump has come, and who hears of it.
struct Listening {
    const SocketTable& table;
    const std::function<bool(SocketFacts)>& take;
    std::size_t& left;
};

// One datagram of a dump. An error here is the kernel's "no such table".
Result<Piece> take_piece(Bytes bytes, const Listening& to) {
    Reader reader(bytes);
    while (!reader.left().empty()) {
        const auto head = reader.take<nlmsghdr>();
        if (!reader.ok() || head.nlmsg_len < sizeof head) return failure(EBADMSG, "socket tables");
        const Bytes body = reader.take_bytes(head.nlmsg_len - sizeof head);
        if (!reader.ok()) return failure(EBADMSG, "socket tables");
        reader.take_bytes(std::min<std::size_t>(NLMSG_ALIGN(head.nlmsg_len) - head.nlmsg_len, reader.left().size()));
        if (head.nlmsg_type == NLMSG_DONE) return Piece::over;
        if (head.nlmsg_type == NLMSG_ERROR) return failure(-Reader(body).take<int>(), "socket tables");
        if (to.left == 0) return Piece::stopped;
        --to.left;
        auto facts = decode_socket(to.table, body);
        if (facts && !to.take(std::move(*facts))) return Piece::stopped;
    }
    return Piece::more;
}

Result<Fd> open_diag() {
    Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
    if (!fd) return failure("socket(NETLINK_SOCK_DIAG)");
    return fd;
}

// The kernel writes the first piece while it is asked, and each next one while the last is read: there is nothing to wait for.
Result<Piece> dump(const Listening& to) {
    const Fd fd = TRY(open_diag());
    TRY(ask_for(fd.get(), to.table));
    std::vector<std::byte> buffer(piece);
    for (;;) {
        const ssize_t size = ::recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
        if (size < 0) return failure("recv(NETLINK_SOCK_DIAG)");
        if (static_cast<std::size_t>(size) > buffer.size()) return failure(EMSGSIZE, "recv(NETLINK_SOCK_DIAG)");
        const Piece taken = TRY(take_piece(Bytes(buffer).first(static_cast<std::size_t>(size)), to));
        if (taken != Piece::more) return taken;
    }
}

// ---- One socket ----

struct Shape {
    int family = 0;
    int protocol = 0;
    std::uint64_t cookie = 0;
    std::uint32_t inode = 0;
};

template <typename Value>
Result<Value> option_of(int fd, int option) {
    Value value{};
    socklen_t size = sizeof value;
    if (::getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) return failure("getsockopt");
    return value;
}

Result<Shape> shape_of(int fd) {
    struct stat about;
    if (::fstat(fd, &about) != 0) return failure("fstat");
    return Shape{.family = TRY(option_of<int>(fd, SO_DOMAIN)), .protocol = TRY(option_of<int>(fd, SO_PROTOCOL)),
                 .cookie = TRY(option_of<std::uint64_t>(fd, SO_COOKIE)), .inode = static_cast<std::uint32_t>(about.st_ino)};
}

void put_cookie(std::uint32_t (&into)[2], std::uint64_t cookie) {
    into[0] = static_cast<std::uint32_t>(cookie);
    into[1] = static_cast<std::uint32_t>(cookie >> 32);
}

// By its address, or all of its port.
Result<void> ask_for_one_inet(int diag, int fd, const Shape& shape, std::uint16_t also) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return failure("getsockname");
    InetQuestion question;
    question.about.sdiag_family = static_cast<std::uint8_t>(shape.family);
    question.about.sdiag_protocol = static_cast<std::uint8_t>(shape.protocol);
    question.about.idiag_states = ~((1U << time_wait) | (1U << new_request));
    auto& id = question.about.id;
    if (shape.family == AF_INET) {
        const auto& of4 = reinterpret_cast<const sockaddr_in&>(name);
        id.idiag_sport = of4.sin_port;
        std::memcpy(id.idiag_src, &of4.sin_addr, sizeof of4.sin_addr);
    } else {
        const auto& of6 = reinterpret_cast<const sockaddr_in6&>(name);
        id.idiag_sport = of6.sin6_port;
        id.idiag_if = of6.sin6_scope_id;
        std::memcpy(id.idiag_src, &of6.sin6_addr, sizeof of6.sin6_addr);
    }
    put_cookie(id.idiag_cookie, shape.cookie);
    return send_question(diag, question, also);
}

Result<void> ask_for_one_unix(int diag, const Shape& shape) {
    UnixQuestion question;
    question.about.sdiag_family = AF_UNIX;
    question.about.udiag_ino = shape.inode;
    question.about.udiag_show = UDIAG_SHOW_RQLEN;
    put_cookie(question.about.udiag_cookie, shape.cookie);
    return send_question(diag, question, 0);
}

SocketCondition condition_in(Bytes attributes, std::uint16_t shutdown, bool listens, std::uint32_t backlog) {
    SocketCondition condition;
    condition.shut_down = number_in<std::uint8_t>(attributes, shutdown, 0);
    if (listens) condition.backlog = backlog;
    return condition;
}

// Nothing of another socket.
std::optional<SocketCondition> decode_condition(const Shape& shape, Bytes message) {
    Reader reader(message);
    if (shape.family == AF_UNIX) {
        const auto raw = reader.take<unix_diag_msg>();
        if (!reader.ok() || raw.udiag_ino != shape.inode) return std::nullopt;
        const auto backlog = number_in<std::uint32_t>(reader.left(), UNIX_DIAG_RQLEN, offsetof(unix_diag_rqlen, udiag_wqueue));
        return condition_in(reader.left(), UNIX_DIAG_SHUTDOWN, raw.udiag_state == socket_listens, backlog);
    }
    const auto raw = reader.take<inet_diag_msg>();
    if (!reader.ok() || raw.idiag_inode != shape.inode) return std::nullopt;
    return condition_in(reader.left(), INET_DIAG_SHUTDOWN, raw.idiag_state == socket_listens, raw.idiag_wqueue);
}

// The messages of one answer, until the one that is meant. ENOENT: it is not among them, and no more will come.
Result<std::optional<SocketCondition>> find_in(const Shape& shape, Bytes bytes) {
    Reader reader(bytes);
    while (!reader.left().empty()) {
        const auto head = reader.take<nlmsghdr>();
        if (!reader.ok() || head.nlmsg_len < sizeof head) return failure(EBADMSG, "socket tables");
        const Bytes body = reader.take_bytes(head.nlmsg_len - sizeof head);
        if (!reader.ok()) return failure(EBADMSG, "socket tables");
        reader.take_bytes(std::min<std::size_t>(NLMSG_ALIGN(head.nlmsg_len) - head.nlmsg_len, reader.left().size()));
        if (head.nlmsg_type == NLMSG_DONE) return failure(ENOENT, "socket tables");
        if (head.nlmsg_type == NLMSG_ERROR) return failure(-Reader(body).take<int>(), "socket tables");
        if (const auto found = decode_condition(shape, body)) return found;
    }
    return std::optional<SocketCondition>();
}

Result<SocketCondition> hear_of_one(int diag, const Shape& shape) {
    std::vector<std::byte> buffer(piece);
    for (;;) {
        const ssize_t size = ::recv(diag, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0) return failure("recv(NETLINK_SOCK_DIAG)");
        const auto found = TRY(find_in(shape, Bytes(buffer).first(static_cast<std::size_t>(size))));
        if (found) return *found;
    }
}

// ---- /proc/PID/net/unix ----

std::string_view next_word(std::string_view& line) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(word.size());
    return word;
}

template <typename Number>
bool parse(std::string_view word, int base, Number& into) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), into, base);
    return error == std::errc{} && end == word.data() + word.size();
}

// "Num RefCount Protocol Flags Type St Inode Path": St counts as socket(2)'s states, 3 is connected.
std::optional<SocketFacts> decode_proc_line(std::string_view line) {
    constexpr std::uint32_t accepts = 0x10000;   // __SO_ACCEPTCON
    for (int i = 0; i < 3; ++i) next_word(line);
    std::uint32_t flags = 0;
    std::uint32_t type = 0;
    std::uint32_t state = 0;
    SocketFacts facts;
    if (!parse(next_word(line), 16, flags) || !parse(next_word(line), 16, type) || !parse(next_word(line), 16, state)) {
        return std::nullopt;
    }
    if (!parse(next_word(line), 10, facts.inode)) return std::nullopt;
    facts.kind = unix_kind(static_cast<int>(type));
    facts.state = (flags & accepts) != 0 ? socket_listens : state == 3 ? std::uint8_t{1} : unconnected;
    if (!line.empty()) facts.local = line.substr(1);
    return facts;
}

}  // namespace

std::string_view name_of(SocketKind kind) {
    switch (kind) {
        case SocketKind::unknown: return "socket";
        case SocketKind::tcp: return "tcp";
        case SocketKind::udp: return "udp";
        case SocketKind::raw: return "raw";
        case SocketKind::unix_stream: return "unix-stream";
        case SocketKind::unix_dgram: return "unix-dgram";
        case SocketKind::unix_seqpacket: return "unix-seqpacket";
        case SocketKind::vsock: return "vsock";
        case SocketKind::vsock_seqpacket: return "vsock-seqpacket";
        case SocketKind::packet: return "packet";
        case SocketKind::netlink: return "netlink";
    }
    return "socket";
}

std::string_view socket_state_name(std::uint8_t state) {
    constexpr std::array<std::string_view, 13> names{
        "",            "established", "syn-sent", "syn-received", "fin-wait-1", "fin-wait-2",   "time-wait",
        "unconnected", "close-wait",  "last-ack", "listen",       "closing",    "syn-received",
    };
    return state < names.size() ? names[state] : std::string_view{};
}

std::optional<SocketFacts> decode_socket(const SocketTable& table, Bytes message) {
    switch (table.family) {
        case AF_INET:
        case AF_INET6: return decode_inet(table, message);
        case AF_UNIX: return decode_unix(message);
        case AF_PACKET: return decode_packet(message);
        case AF_NETLINK: return decode_netlink(message);
        case AF_VSOCK: return decode_vsock(message);
        default: return std::nullopt;
    }
}

std::vector<SocketFacts> decode_proc_unix(std::string_view text) {
    std::vector<SocketFacts> sockets;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) break;   // a line that was cut
        if (auto facts = decode_proc_line(text.substr(0, end))) sockets.push_back(std::move(*facts));
        text.remove_prefix(end + 1);
    }
    return sockets;
}

Result<SocketCondition> condition_of(int fd) {
    const Shape shape = TRY(shape_of(fd));
    const bool of_inet = shape.family == AF_INET || shape.family == AF_INET6;
    if (!of_inet && shape.family != AF_UNIX) return failure(ENOTSUP, "socket tables");
    const Fd diag = TRY(open_diag());
    TRY(of_inet ? ask_for_one_inet(diag.get(), fd, shape, 0) : ask_for_one_unix(diag.get(), shape));
    auto found = hear_of_one(diag.get(), shape);
    if (found || !of_inet) return found;
    // Where several share an address the kernel names any of them: then all of the port are gone through.
    TRY(ask_for_one_inet(diag.get(), fd, shape, NLM_F_DUMP));
    return hear_of_one(diag.get(), shape);
}

SocketTables SocketTables::probe() {
    SocketTables found;
    const std::function<bool(SocketFacts)> nothing = [](const SocketFacts&) { return false; };
    for (const auto& table : all_tables) {
        std::size_t left = 1;
        if (dump({table, nothing, left})) found.tables_.push_back(table);
    }
    return found;
}

Result<bool> SocketTables::each(const std::function<bool(SocketFacts)>& take, std::size_t most) const {
    bool wanted = true;
    const std::function<bool(SocketFacts)> ask = [&](SocketFacts facts) { return wanted = take(std::move(facts)); };
    std::size_t left = most;
    for (const auto& table : tables_) {
        const Piece end = TRY(dump({table, ask, left}));
        if (end == Piece::stopped) return !wanted;
    }
    return true;
}

}  // namespace warder
