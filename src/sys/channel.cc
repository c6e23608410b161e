#include "sys/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "sys/kernel.h"

namespace warder {
namespace {

// Room for credentials, a pidfd and the most descriptors that the kernel passes. A buffer for one descriptor would accept
// two without a word (CVE-2014-3635), so the room is for all of them and each is looked at.
constexpr std::size_t control_room =
    CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int) * kernel::scm_max_fd);

struct ControlBuffer {
    alignas(cmsghdr) std::array<std::byte, control_room> bytes;
};

// The kernel writes well-formed headers; the lengths are still compared with what is there.
std::size_t payload_of(const cmsghdr& header) {
    return header.cmsg_len < CMSG_LEN(0) ? 0 : header.cmsg_len - CMSG_LEN(0);
}

int fd_at(const cmsghdr& header, std::size_t index) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(&header) + index * sizeof(int), sizeof number);
    return number;
}

void take_credentials(const cmsghdr& header, Received& received) {
    ucred raw{};
    if (payload_of(header) != sizeof raw || received.authenticated) {
        received.truncated = true;
        return;
    }
    std::memcpy(&raw, CMSG_DATA(&header), sizeof raw);
    received.sender = {raw.pid, raw.uid, raw.gid};
    received.authenticated = raw.pid > 0;
}

// A negative number stands where the kernel could not make the descriptor (out of fds): that is not a proof of anything.
void take_pidfd(const cmsghdr& header, Received& received) {
    if (payload_of(header) != sizeof(int)) return;
    received.pidfd = Fd(fd_at(header, 0) >= 0 ? fd_at(header, 0) : -1);
}

// Every descriptor goes to `keep` while there is room; the rest are closed here and counted.
std::size_t take_descriptors(const cmsghdr& header, std::span<Fd> keep, std::size_t kept, Received& received) {
    const std::size_t count = payload_of(header) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
        Fd fd(fd_at(header, i));
        if (kept < keep.size()) {
            keep[kept++] = std::move(fd);
        } else {
            ++received.stray_fds;
        }
    }
    return kept;
}

std::size_t take_control(msghdr& message, std::span<Fd> keep, Received& received) {
    std::size_t kept = 0;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET) continue;
        if (header->cmsg_type == SCM_CREDENTIALS) take_credentials(*header, received);
        if (header->cmsg_type == kernel::scm_pidfd) take_pidfd(*header, received);
        if (header->cmsg_type == SCM_RIGHTS) kept = take_descriptors(*header, keep, kept, received);
    }
    return kept;
}

// A datagram of zero bytes and end of file both read as 0: only POLLHUP tells them apart.
bool peer_is_gone(int fd) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, 0) == 1 && (one.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace

Result<void> Channel::pass_credentials() const {
    const int on = 1;
    if (::setsockopt(fd_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return failure("setsockopt(SO_PASSCRED)");
    return {};
}

Result<void> Channel::pass_pidfd() const {
    const int on = 1;
    if (::setsockopt(fd_.get(), SOL_SOCKET, kernel::so_passpidfd, &on, sizeof on) != 0) {
        return failure("setsockopt(SO_PASSPIDFD)");
    }
    return {};
}

Result<void> Channel::refuse_descriptors() const {
    const int off = 0;
    if (::setsockopt(fd_.get(), SOL_SOCKET, kernel::so_passrights, &off, sizeof off) != 0) {
        return failure("setsockopt(SO_PASSRIGHTS)");
    }
    return {};
}

Result<Channel::WithFds> Channel::receive_with_fds(MutableBytes buffer, std::span<Fd> fds, int flags) const {
    WARDER_UNINITIALIZED ControlBuffer control;
    iovec part{buffer.data(), buffer.size()};
    msghdr message;
    std::memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();

    ssize_t size = -1;
    do {
        size = ::recvmsg(fd_.get(), &message, flags | MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);

    WithFds result;
    Received& received = result.received;
    if (size < 0) {
        if (errno == EAGAIN) return result;
        if (errno != ECONNRESET) return failure("recvmsg");
        received.kind = Received::Kind::closed;
        return result;
    }
    result.fd_count = take_control(message, fds, received);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) received.truncated = true;
    if (size == 0 && !received.authenticated && result.fd_count == 0 && peer_is_gone(fd_.get())) {
        received.kind = Received::Kind::closed;
        return result;
    }
    received.kind = Received::Kind::message;
    received.bytes = buffer.first(static_cast<std::size_t>(size) < buffer.size() ? static_cast<std::size_t>(size) : buffer.size());
    return result;
}

Result<Received> Channel::receive_with(MutableBytes buffer, int flags) const {
    auto result = receive_with_fds(buffer, {}, flags);
    if (!result) return Failure(result.error());
    return std::move(result->received);
}

Result<Received> Channel::receive(MutableBytes buffer) const { return receive_with(buffer, MSG_DONTWAIT); }
Result<Received> Channel::receive_waiting(MutableBytes buffer) const { return receive_with(buffer, 0); }

Result<void> Channel::send_with(Bytes message, std::span<const int> fds, int flags) const {
    if (fds.size() > kernel::scm_max_fd) return failure(EMSGSIZE, "sendmsg");
    WARDER_UNINITIALIZED ControlBuffer control;
    iovec part{const_cast<std::byte*>(message.data()), message.size()};
    msghdr header;
    std::memset(&header, 0, sizeof header);
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = control.bytes.data();
        header.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
    }
    ssize_t sent = -1;
    do {
        sent = ::sendmsg(fd_.get(), &header, flags | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return failure("sendmsg");
    return {};
}

Result<void> Channel::send(Bytes message, std::span<const int> fds) const { return send_with(message, fds, MSG_DONTWAIT); }
Result<void> Channel::send_waiting(Bytes message, std::span<const int> fds) const { return send_with(message, fds, 0); }

Result<ChannelPair> make_channel_pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return failure("socketpair");
    ChannelPair pair{Channel(Fd(ends[0])), Channel(Fd(ends[1]))};
    TRY(pair.ours.pass_credentials());
    return pair;
}

}  // namespace warder
