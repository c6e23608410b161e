// Client: the worker's side of the protocol. It knows how to ask and how to match a reply with its question while other
// threads, and under `request_access = "all"` other processes, do the same over the same socket. It decides nothing.
//
// A round trip is one turn at the line (client/line.h), so the next message is its own reply, an event (queued), or the late
// reply to somebody who died waiting (dropped, its descriptors closed). Ids come from a page shared with the children, so
// that no two processes use the same. The descriptor store, who keeps descriptors for the worker, has a line of its own: when it
// hangs, nobody waits but who asked it.
//
// Requests go out by send(2), never sendmsg(2): a sandbox with lent datagram sockets denies that (docs/design.md). Only what is
// given to the descriptor store is sent with sendmsg.
#pragma once

#include <sys/types.h>

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
#include "client/end_table.h"
#include "client/event_queue.h"
#include "client/fork_mark.h"
#include "client/line.h"
#include "client/waiter.h"
#include "protocol/codec.h"
#include "protocol/message.h"
#include "sys/fd.h"

namespace warder::client {

// What became of one request. Texts live until take() returns.
struct Answer {
    std::span<Fd> fds;       // to be moved out; those that stay are closed
    int error = 0;
    Reason reason = Reason::ok;
    GrantId grant = GrantId::none;
    std::uint64_t value = 0;
    std::string_view text;   // for a failure, why; otherwise the operation's data
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

    // The resolver's answer to a lookup event; nobody replies to it. Errors: EMSGSIZE, EPERM, ECONNRESET.
    Result<void> found(const protocol::Found& answer);

    // The next event, or nothing when `timeout_ms` is over (negative: for ever). Errors: EPERM, EPROTO, ECONNRESET.
    Result<std::optional<Event>> next_event(int timeout_ms);

    // The newest descriptor that a channel event of the grant `name` brought, waiting for one as next_event does. Other events
    // stay queued. Errors: as next_event; EMFILE when it came while there was no room for it.
    Result<std::optional<Fd>> next_channel(std::string_view name, int timeout_ms);

    // How the command with this pid ended, waiting for it as next_event does; the value of the event. Other events stay queued.
    // `dropped` is what ends_dropped() was when it began. Errors: as next_event; EOVERFLOW: its end may have been dropped.
    Result<std::optional<std::uint64_t>> end_of_command(std::int64_t pid, std::uint64_t dropped, int timeout_ms);
    std::uint64_t ends_dropped() const { return shared_->ends.dropped(); }

    // Talks to the descriptor store over `socket`, which is the client's only on success. Errors: EBUSY (there is one already), and as
    // connect().
    Result<void> use_store(int socket);

    // put or stored. The taker gets one answer. Errors: ENOENT (no descriptor store), EMSGSIZE, those of sendmsg(2), and as ask.
    Result<void> ask_store(protocol::Type type, std::string_view name, std::span<const int> fds, Taker& taker);

    // Takes what is kept under a name, all of it or nothing. Errors: ERANGE (more than `room`), EMFILE (more than this process
    // has room for), both with nothing taken; and as ask_store.
    Result<void> take_from_store(std::string_view name, std::size_t room, Taker& taker);

    // A descriptor that polls readable when next_event may have something. Errors: EPERM, EMFILE, ENFILE, ENOMEM.
    Result<int> poll_fd();

    // The worker's name.
    const char* worker() const { return worker_.c_str(); }

    // Leaves the descriptor of connect() open when this goes.
    void give_back_socket() { line_.give_back(); }

    // For pthread_atfork: makes the copy in a new child consistent, whatever other threads of its parent were doing.
    void after_fork_in_child();

    Client* next_in_registry = nullptr;

private:
    // In memory shared with the children that are forked later.
    struct Shared {
        std::atomic<std::uint32_t> last_id;
        PendingSignals pending;
        WaitCounts waiting;
        EndTable ends;
    };

    enum class Looked { all_taken, somebody_else_does };

    static constexpr const char* forked = "asking from a forked process (request_access = \"main\")";

    Client() = default;
    Result<void> set_up(int socket);
    Result<void> say_hello();
    Result<void> prepare_for_group();

    bool may_use() const;
    Result<void> check_usable(const Line& line) const;
    RequestId next_id();

    Result<Incoming> reply_to(RequestId id, protocol::Type expected);
    Line* the_store();
    static Result<Incoming> reply_of_store(Line& store, RequestId id);
    Result<void> event_or_stale(Incoming& incoming);
    Result<void> queue_event(Incoming& incoming);
    Result<void> take_answers(Incoming& incoming, std::span<const protocol::Request> requests, Taker& taker);
    Result<void> accepted_or_refused(Line& line, Incoming& incoming, Taker& taker);
    // What `take` finds among the events, or nothing when the time is over.
    template <typename Take>
    auto wait_for(Take take, int timeout_ms) -> Result<decltype(take())>;
    template <typename Take>
    auto look_for(Take take, Looked& looked, Line::Turn::AtEnd at_end) -> Result<decltype(take())>;
    Result<Looked> read_events(Line::Turn::AtEnd at_end);

    Result<void> exchange_with_store(Line& store, protocol::Type type, std::string_view name, std::span<const int> fds, Taker& taker);
    static Result<std::size_t> count_in_store(Line& store, RequestId id, std::string_view name);

    ForkMark owner_;
    protocol::Requesters requesters_ = protocol::Requesters::main;
    FixedString<255> worker_;
    Shared* shared_ = nullptr;
    Fd process_lock_;   // group mode: the memfd whose record locks are turns
    Bell bell_;
    Line line_;
    std::mutex store_mutex_;          // store_ being made
    std::unique_ptr<Line> store_;

    EventQueue events_;
    std::mutex poll_mutex_;
    Fd poll_;   // epoll over the socket and the queue, made when it is asked for
};

}  // namespace warder::client
