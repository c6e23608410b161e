#include "client/line.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>

namespace warder::client {
namespace {

constexpr const char* gone = "the session with warderd is over";

Result<void> must_be(int socket, int option, int wanted) {
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(socket, SOL_SOCKET, option, &value, &size) != 0) return failure("getsockopt");
    if (value != wanted) return failure(EPROTOTYPE, "the descriptor is not a SOCK_SEQPACKET unix socket");
    return {};
}

Result<void> close_on_exec(int fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0) return failure("fcntl(F_SETFD)");
    return {};
}

void wait_until_ready(int fd, short events) {
    pollfd one{fd, events, 0};
    (void)::poll(&one, 1, -1);
}

// Whether the lock was taken (or given back); false only where `command` does not wait.
Result<bool> record_lock(int fd, off_t byte, short type, int command) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    while (::fcntl(fd, command, &lock) != 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EACCES) return false;
        return failure("fcntl(F_SETLK)");
    }
    return true;
}

Result<void> sent(int result) {
    if (result == 0) return {};
    if (result == EPIPE || result == ENOTCONN) return failure(ECONNRESET, gone);
    return failure(result, "send");
}

}  // namespace

void close_all(std::span<Fd> fds) {
    for (auto& fd : fds) fd.reset();
}

Result<void> Line::create(int socket) {
    channel_ = Channel(Fd(socket));
    TRY(must_be(socket, SO_DOMAIN, AF_UNIX));
    TRY(must_be(socket, SO_TYPE, SOCK_SEQPACKET));
    buffer_.reset(new (std::nothrow) std::byte[max_message]);
    if (buffer_ == nullptr) return failure(ENOMEM, "connecting");
    return close_on_exec(socket);
}

Result<void> Line::send(Bytes message, std::span<const int> fds) {
    for (;;) {
        int result = 0;
        if (fds.empty()) {
            if (::send(channel_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) result = errno;
        } else if (const auto done = channel_.send_waiting(message, fds); !done) {
            result = done.error().number;
        }
        if (result == EINTR) continue;
        if (result != EAGAIN) return sent(result);
        wait_until_ready(channel_.get(), POLLOUT);
    }
}

void Line::wait_until_readable() const { wait_until_ready(channel_.get(), POLLIN); }

Result<std::optional<Incoming>> Line::receive(int flags) {
    auto taken = TRY(channel_.receive_with_fds(room(), fds_, flags));
    if (taken.received.kind == Received::Kind::closed) {
        taken = TRY(channel_.receive_with_fds(room(), fds_, MSG_DONTWAIT));
    }
    if (taken.received.kind == Received::Kind::closed) return failure(ECONNRESET, gone);
    if (taken.received.kind == Received::Kind::nothing) return std::nullopt;
    const auto message = protocol::decode(taken.received.bytes);
    if (!message) return break_off("message");
    return Incoming{*message, std::span(fds_).first(taken.fd_count), taken.received.truncated};
}

Failure Line::break_off(const char* doing) {
    close_all(fds_);
    broken_.store(EPROTO);
    return failure(EPROTO, doing);
}

void Line::after_fork_in_child() {
    new (&mutex_) std::mutex;
    close_all(fds_);
}

Line::Turn::~Turn() {
    const bool had_it = guard_.owns_lock() && (line_.lock_ < 0 || locked_);
    if (locked_) (void)record_lock(line_.lock_, line_.byte_, F_UNLCK, F_SETLK);
    if (guard_.owns_lock()) guard_.unlock();
    if (had_it && at_end_ == AtEnd::tell && line_.bell_ != nullptr) line_.bell_->turn_ended();
}

Result<void> Line::Turn::wait() {
    guard_.lock();
    if (line_.lock_ >= 0) locked_ = TRY(record_lock(line_.lock_, line_.byte_, F_WRLCK, F_SETLKW));
    return {};
}

Result<bool> Line::Turn::try_now() {
    if (!guard_.owns_lock() && !guard_.try_lock()) return false;
    if (line_.lock_ < 0) return true;
    locked_ = TRY(record_lock(line_.lock_, line_.byte_, F_WRLCK, F_SETLK));
    return locked_;
}

}  // namespace warder::client
