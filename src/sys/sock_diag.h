// What the kernel says of the sockets of this network namespace: NETLINK_SOCK_DIAG, as ss(8) asks it. Decoding is pure. A
// socket is known by its inode, which is also what a link below /proc/PID/fd names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

namespace warder {

enum class SocketKind : std::uint8_t {
    unknown, tcp, udp, raw, unix_stream, unix_dgram, unix_seqpacket, vsock, vsock_seqpacket, packet, netlink,
};

// "tcp", "unix-stream"; "socket" where nothing more is known.
std::string_view name_of(SocketKind kind);

struct SocketFacts {
    std::uint64_t inode = 0;
    SocketKind kind = SocketKind::unknown;
    std::uint8_t state = 0;          // as linux/tcp_states.h numbers them; 0: it has none
    std::uint32_t receive_queue = 0; // bytes that were not read; of a listener connections that were not accepted
    std::uint32_t send_queue = 0;    // bytes that were not taken; of a listener how many connections may wait
    bool queues = false;             // whether the two are known
    std::string local;               // "127.0.0.1:80", "[::1]:80", "/run/a.sock", "@name"; empty: it has none
    std::string peer;
    std::uint64_t peer_inode = 0;    // unix: the socket at the other end
};

inline constexpr std::uint8_t socket_listens = 10;   // TCP_LISTEN

// "listen", "established", "unconnected"; empty for 0.
std::string_view socket_state_name(std::uint8_t state);

// One table of the kernel.
struct SocketTable {
    std::uint8_t family = 0;     // AF_INET, AF_UNIX, ...
    std::uint8_t protocol = 0;   // of AF_INET and AF_INET6: IPPROTO_TCP, ...
};

// One message of a dump of `table`, without its netlink header. Nothing for what is too short or of another family, and for what
// is no socket any more (TIME_WAIT).
std::optional<SocketFacts> decode_socket(const SocketTable& table, Bytes message);

// The lines of /proc/PID/net/unix: the unix sockets of another process's network namespace, without queues and peers.
std::vector<SocketFacts> decode_proc_unix(std::string_view text);

// What the kernel tells of one socket that its holder has changed, and no option does.
struct SocketCondition {
    std::uint8_t shut_down = 0;   // as the kernel has it: 1 for reading, 2 for sending
    std::uint32_t backlog = 0;    // of a listener
    bool operator==(const SocketCondition&) const = default;
};

// Of a TCP, UDP or unix socket of this network namespace. Never waits. Errors: ENOTSUP of another kind; ENOENT where the kernel has
// no such table, or does not find it; as each().
Result<SocketCondition> condition_of(int fd);

class SocketTables {
public:
    // Finds out which tables this kernel has. Asking for one may make the kernel load a module and wait for it, so this is done
    // once, before anybody could be kept waiting; those that are absent are not asked for again.
    static SocketTables probe();

    // Tells of each socket until `take` says false or `most` were looked at; never waits. False: there were more. Errors:
    // socket(2), sendto(2), recv(2).
    Result<bool> each(const std::function<bool(SocketFacts)>& take, std::size_t most) const;

    const std::vector<SocketTable>& present() const { return tables_; }

private:
    std::vector<SocketTable> tables_;
};

}  // namespace warder
