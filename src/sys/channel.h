// Channel: one end of an AF_UNIX SOCK_SEQPACKET socket, the only road between warderd, its workers and its operators.
// It sends and receives whole datagrams with the kernel's word on who sent them. It knows nothing of what they say.
//
// Descriptors only go out. A descriptor that comes in is closed before receive() returns and reported as `stray_fds`;
// where the kernel can (6.16), refuse_descriptors() makes it never come in, because even closing a foreign descriptor can
// block (a lingering socket, a FUSE file).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

#include "base/bytes.h"
#include "base/error.h"
#include "sys/fd.h"

namespace warder {

// The largest datagram either side sends or accepts, in bytes.
inline constexpr std::size_t max_message = 64 * 1024;

// What SCM_CREDENTIALS said. The kernel fills it in when the message is sent, if SO_PASSCRED was on by then.
struct Credentials {
    pid_t pid = 0;
    uid_t uid = 65534;
    gid_t gid = 65534;
    friend bool operator==(const Credentials&, const Credentials&) = default;
};

struct Received {
    enum class Kind {
        message,   // one datagram, whole, perhaps of zero bytes
        nothing,   // the queue is empty for now
        closed,    // the other side is gone: end of file, decided by POLLHUP, never by a zero length
    };
    Kind kind = Kind::nothing;
    Bytes bytes;                  // into the caller's buffer
    Credentials sender;           // pid 0 unless the kernel vouched
    bool authenticated = false;   // SCM_CREDENTIALS was there, once, whole
    bool truncated = false;       // the datagram or its control part was larger than the buffers
    int stray_fds = 0;            // descriptors that came along and were closed
    Fd pidfd;                     // the sender's, where pass_pidfd() is on; empty when the kernel could not make one
};

class Channel {
public:
    Channel() = default;
    explicit Channel(Fd fd) : fd_(std::move(fd)) {}

    int get() const { return fd_.get(); }
    const Fd& fd() const { return fd_; }
    Fd take() { return std::move(fd_); }
    explicit operator bool() const { return static_cast<bool>(fd_); }
    void close() { fd_.reset(); }

    // SO_PASSCRED. Must be on before the peer can send: what is queued earlier carries pid 0 (unix(7)).
    Result<void> pass_credentials() const;

    // SO_PASSPIDFD (6.5). Errors: ENOPROTOOPT on an older kernel.
    Result<void> pass_pidfd() const;

    // SO_PASSRIGHTS = 0 (6.16): the peer's sendmsg with descriptors gets EPERM. What is queued already is not dropped, so
    // it is set before the peer exists. Errors: ENOPROTOOPT on an older kernel.
    Result<void> refuse_descriptors() const;

    // Takes one datagram into `buffer` without waiting. Every descriptor that came with it is closed, but for the kernel's
    // own pidfd. Errors: those of recvmsg(2) that are not EAGAIN, EINTR or ECONNRESET.
    Result<Received> receive(MutableBytes buffer) const;

    // Takes one datagram, waiting for it. For clients and helpers that have nothing else to do.
    Result<Received> receive_waiting(MutableBytes buffer) const;

    // Takes one datagram and hands over the descriptors that came with it: only where the peer is trusted (client, opener).
    // `fds` gets at most its size; those beyond are closed and counted as stray. Waits unless `flags` has MSG_DONTWAIT.
    struct WithFds {
        Received received;
        std::size_t fd_count = 0;
    };
    Result<WithFds> receive_with_fds(MutableBytes buffer, std::span<Fd> fds, int flags) const;

    // Sends one datagram made of `parts` with `fds` (at most 253), whole or not at all, without waiting and without SIGPIPE.
    // The descriptors stay the caller's. Errors: EAGAIN (the peer does not read), EPIPE, ETOOMANYREFS, EMSGSIZE, ENOBUFS.
    Result<void> send(Bytes message, std::span<const int> fds = {}) const;

    // The same, waiting for room.
    Result<void> send_waiting(Bytes message, std::span<const int> fds = {}) const;

private:
    Result<Received> receive_with(MutableBytes buffer, int flags) const;
    Result<void> send_with(Bytes message, std::span<const int> fds, int flags) const;

    Fd fd_;
};

struct ChannelPair {
    Channel ours;    // non-blocking by MSG_DONTWAIT; credentials on
    Channel theirs;
};

// A SEQPACKET pair, both ends close-on-exec, SO_PASSCRED set on ours before anybody can hold theirs.
Result<ChannelPair> make_channel_pair();

}  // namespace warder
