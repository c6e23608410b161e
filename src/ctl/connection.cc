#include "ctl/connection.h"

#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstring>

#include "protocol/codec.h"

namespace warder::ctl {
namespace {

Result<void> wait_readable(int fd, int timeout_ms) {
    pollfd one{fd, POLLIN, 0};
    for (;;) {
        const int ready = ::poll(&one, 1, timeout_ms);
        if (ready > 0) return {};
        if (ready == 0) return failure(ETIMEDOUT, "waiting for warderd");
        if (errno != EINTR) return failure("poll");
    }
}

std::string group_of(const std::string& path) {
    struct stat found{};
    if (::stat(path.c_str(), &found) != 0 || found.st_gid == 0) return "";
    const group* entry = ::getgrgid(found.st_gid);
    return entry != nullptr ? entry->gr_name : "of gid " + std::to_string(found.st_gid);
}

std::string explain_permission(const std::string& path) {
    const std::string group = group_of(path);
    std::string text = "you are uid " + std::to_string(::geteuid()) + "; the control socket lets in root";
    if (group.empty()) return text + ": " + path;
    return text + " and members of group " + group + " (from their next login on): " + path;
}

}  // namespace

Result<Connection> Connection::open(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return failure(ENAMETOOLONG, "control socket path");
    std::memcpy(address.sun_path, path.data(), path.size());
    Channel channel(Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
    if (!channel) return failure("socket");
    // With this on our side too, every message carries our credentials, even one that is sent before warderd has accepted.
    TRY(channel.pass_credentials());
    if (::connect(channel.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return failure("connect");
    return Connection(std::move(channel));
}

Result<void> Connection::send(RequestId id, const protocol::Command& command) {
    std::array<std::byte, 16 * 1024> buffer;
    return channel_.send_waiting(TRY(protocol::encode_command(buffer, id, command)));
}

Result<Reply> Connection::receive(int timeout_ms) {
    static std::array<std::byte, max_message> buffer;
    Reply reply;
    for (;;) {
        TRY(wait_readable(channel_.get(), timeout_ms));
        const auto received = TRY(channel_.receive(buffer));
        if (received.kind == Received::Kind::closed) return failure(ECONNRESET, "warderd ended the conversation");
        if (received.kind == Received::Kind::nothing) continue;
        const auto message = TRY(protocol::decode(received.bytes));
        if (message.type != protocol::Type::report) return failure(EPROTO, "no report");
        const auto report = TRY(protocol::decode_report(message));
        // Parts of one report come one after the other, never between those of another.
        if (!reply.text.empty() && message.id != reply.id) return failure(EPROTO, "parts of two reports");
        reply.id = message.id;
        reply.error = report.error;
        reply.text += report.text;
        if (!report.more) return reply;
    }
}

std::string explain_no_connection(const std::string& path, const Error& error) {
    switch (error.number) {
        case ENOENT: return "no warderd is running: there is no " + path;
        case ECONNREFUSED: return "no warderd is running: nobody answers at " + path;
        case EACCES:
        case EPERM: return explain_permission(path);
        case ETIMEDOUT: return "warderd does not answer at " + path;
        case ECONNRESET:
        case EPIPE: return "warderd has ended the conversation: it may have stopped; see its log";
        default: return "no conversation with warderd at " + path + ": " + describe(error);
    }
}

}  // namespace warder::ctl
