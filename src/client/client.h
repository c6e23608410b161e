// Client: the worker's side of the protocol. It knows how to ask and how to match a reply with its question while other
// threads, and under `requesters = "group"` other processes, do the same over the same socket. It decides nothing.
//
// A round trip holds mutex_ from send to reply, so the next message is its own reply, an event (queued), or the late reply
// to somebody who died waiting (dropped, its descriptors closed). In group mode a POSIX record lock on a memfd does the
// same between processes: the kernel gives it free when its holder dies. Ids come from a page shared with the children, so
// that no two processes use the same.
//
// Requests go out by send(2), never sendmsg(2): a cell with lent datagram sockets denies that (docs/design.md).
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"
#include "base/fixed_string.h"
#include "client/event_queue.h"
#include "protocol/codec.h"
#include "protocol/message.h"
#include "sys/channel.h"
#include "sys/fd.h"

namespace warder::client {

// What became of one request. `why` lives until take() returns.
struct Answer {
    Fd fd;
    int error = 0;
    Reason reason = Reason::ok;
    GrantId grant = GrantId::none;
    std::uint64_t value = 0;
    std::string_view why;
};

// Takes answers while the datagram that brought them is still there, so that nothing is copied that nobody wants.
class Taker {
public:
    virtual void take(std::size_t index, Answer answer) = 0;
    // The parent refused the message as a whole; the call that sent it fails with the errno.
    virtual void refused(Reason reason, std::string_view why) = 0;

protected:
    ~Taker() = default;
};

class Client {
public:
    // Says hello over `socket`, which is the client's only on success. Errors: EPROTONOSUPPORT, EPROTO, ECONNRESET, EBADF,
    // ENOTSOCK, EPROTOTYPE (not a SEQPACKET unix socket), EPERM (not a requester), ENOMEM.
    static Result<std::unique_ptr<Client>> connect(int socket);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Sends 1 to 253 requests; the taker gets one answer for each, in their order, or on failure none. Errors: EMSGSIZE, EPERM,
    // EPROTO, ECONNRESET, and what the parent says of the message as a whole.
    Result<void> ask(std::span<const protocol::Request> requests, Taker& taker);

    // ready or status. Errors: as ask.
    Result<void> tell(protocol::Type type, std::string_view text, Taker& taker);

    // The next event, or nothing when `timeout_ms` is over (negative: for ever). Errors: EPERM, EPROTO, ECONNRESET.
    Result<std::optional<Event>> next_event(int timeout_ms);

    // A descriptor that polls readable when next_event may have something. Errors: EPERM, EMFILE, ENFILE, ENOMEM.
    Result<int> poll_fd();

    // The worker's name.
    const char* worker() const { return worker_.c_str(); }

    // Leaves the descriptor of connect() open when this goes.
    void give_back_socket() { (void)channel_.take().release(); }

    // For pthread_atfork: makes the copy in a new child consistent, whatever other threads of its parent were doing.
    void after_fork_in_child();

    Client* next_in_registry = nullptr;

private:
    // In memory shared with the children that are forked later.
    struct Shared {
        std::atomic<std::uint32_t> last_id;
        PendingSignals pending;
    };

    // One datagram and the descriptors that came with it. Bytes point into buffer_.
    struct Incoming {
        protocol::Message message;
        std::span<Fd> fds;
        bool truncated = false;
    };

    class Turn;
    enum class Looked { all_taken, somebody_else_does };

    static constexpr const char* forked = "asking from a forked process (requesters = \"main\")";
    static constexpr const char* gone = "the session with warderd is over";

    Client() = default;
    Result<void> set_up();
    Result<void> say_hello();
    Result<void> prepare_for_group();

    bool may_use() const;
    Result<void> check_usable() const;
    RequestId next_id();

    Result<void> send(Bytes message);
    Result<Incoming> reply_to(RequestId id, protocol::Type expected);
    Result<std::optional<Incoming>> receive(int flags);
    Result<void> event_or_stale(Incoming& incoming);
    Result<void> queue_event(Incoming& incoming);
    Result<void> take_answers(Incoming& incoming, std::span<const protocol::Request> requests, Taker& taker);
    Result<void> accepted_or_refused(Incoming& incoming, Taker& taker);
    Result<Looked> read_events();
    void wait_for_event(int timeout_ms, Looked looked) const;
    Failure break_off(const char* doing);

    Channel channel_;
    pid_t owner_ = 0;
    protocol::Requesters requesters_ = protocol::Requesters::main;
    FixedString<255> worker_;
    Shared* shared_ = nullptr;
    Fd process_lock_;   // group mode: the memfd whose record lock is a turn

    std::mutex mutex_;   // a turn: the socket, buffer_ and fds_
    std::atomic<int> broken_ = 0;   // the errno of every later call, once it is of no more use
    std::unique_ptr<std::byte[]> buffer_;
    std::array<Fd, protocol::max_requests> fds_;

    EventQueue events_;
    std::mutex poll_mutex_;
    Fd poll_;   // epoll over the socket and the queue, made when it is asked for
};

}  // namespace warder::client
