// Line: one SEQPACKET socket to warderd or to a descriptor store, and whose turn it is to talk over it. It sends and receives whole
// messages with their descriptors. It knows nothing of what they ask.
//
// A turn lasts from question to reply: this thread among the threads by a mutex and, where processes share the socket, this
// process among the processes by a POSIX record lock on one byte of a memfd, which the kernel frees when its holder dies.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/error.h"
#include "client/waiter.h"
#include "protocol/codec.h"
#include "protocol/message.h"
#include "sys/channel.h"
#include "sys/fd.h"

namespace warder::client {

// One datagram and the descriptors that came with it. Bytes point into the line's buffer: they live until the next receive.
struct Incoming {
    protocol::Message message;
    std::span<Fd> fds;
    bool truncated = false;   // this process had no room for all of them
};

class Line {
public:
    class Turn;

    // Looks `socket` over, which is the line's even on failure: see give_back(). Makes it close-on-exec. Errors: EBADF,
    // ENOTSOCK, EPROTOTYPE (not a SEQPACKET unix socket), ENOMEM.
    Result<void> create(int socket);
    // The socket is its old owner's again.
    void give_back() { (void)channel_.take().release(); }
    int get() const { return channel_.get(); }

    // From now on a turn is among processes too. `lock` is the caller's and outlives the line.
    void share(int lock, off_t byte) {
        lock_ = lock;
        byte_ = byte;
    }

    // From now on the end of a turn is told to who wanted it. `bell` is the caller's and outlives the line.
    void ring(const Bell* bell) { bell_ = bell; }

    // Room for a message to send. In a turn only, as all below.
    MutableBytes room() { return {buffer_.get(), max_message}; }
    // Waits for room in the socket. By send(2) where there are no descriptors, which every sandbox allows. Errors: ECONNRESET, and
    // those of sendmsg(2).
    Result<void> send(Bytes message, std::span<const int> fds = {});
    // Nothing where there is nothing without waiting. ECONNRESET comes once, before what is still queued: it looks again.
    // Errors: ECONNRESET, EPROTO.
    Result<std::optional<Incoming>> receive(int flags);
    // The reply that is sought is not there yet.
    void wait_until_readable() const;

    // The line is of no more use. Closes what came last.
    Failure break_off(const char* doing);
    int broken() const { return broken_.load(); }

    // Locks may have been held by threads that do not exist here: they are made anew.
    void after_fork_in_child();

private:
    Channel channel_;
    int lock_ = -1;
    off_t byte_ = 0;
    const Bell* bell_ = nullptr;
    std::mutex mutex_;
    std::atomic<int> broken_ = 0;   // the errno of every later call
    std::unique_ptr<std::byte[]> buffer_;
    std::array<Fd, protocol::max_requests> fds_;
};

// Given back when it goes. A quiet one is that of a waiter, who looks again by itself and tells others when it goes.
class Line::Turn {
public:
    enum class AtEnd { tell, quiet };
    explicit Turn(Line& line, AtEnd at_end = AtEnd::tell) : line_(line), at_end_(at_end), guard_(line.mutex_, std::defer_lock) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();

    Result<void> wait();
    // False if somebody else is having it.
    Result<bool> try_now();

private:
    Line& line_;
    AtEnd at_end_;
    std::unique_lock<std::mutex> guard_;
    bool locked_ = false;   // among the processes, too
};

void close_all(std::span<Fd> fds);

}  // namespace warder::client
