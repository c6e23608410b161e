#include "client/client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "base/time.h"

namespace warder::client {
namespace {

using protocol::Type;

constexpr std::uint16_t kind_mask = 0xc000;
constexpr std::uint16_t event_kind = 0x4000;
constexpr int largest_errno = 4095;
constexpr int nap_ms = 5;   // while another thread or process has its turn

bool is_event(Type type) { return (static_cast<std::uint16_t>(type) & kind_mask) == event_kind; }

// Events of a later version are ignored.
bool known_event(Type type) { return is_event(type) && type >= Type::stop && type <= Type::revoked; }

void close_all(std::span<Fd> fds) {
    for (auto& fd : fds) fd.reset();
}

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
Result<bool> record_lock(int fd, short type, int command) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_len = 1;
    while (::fcntl(fd, command, &lock) != 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EACCES) return false;
        return failure("fcntl(F_SETLK)");
    }
    return true;
}

int milliseconds_left(Instant until) {
    if (until == Instant::never()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - monotonic_now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT32_MAX));
}

bool lends(std::uint16_t operation) {
    return operation != static_cast<std::uint16_t>(Operation::rename) &&
           operation != static_cast<std::uint16_t>(Operation::unlink);
}

// One descriptor for each success of an operation that lends, none for anything else.
bool plausible(const protocol::Outcome& outcome, std::uint16_t operation) {
    if (outcome.error < 0 || outcome.error > largest_errno) return false;
    return outcome.fds == (outcome.error == 0 && lends(operation) ? 1 : 0);
}

// The answer with the next descriptor, which leaves `fds`. The kernel drops those for which this process has no room, from
// the end.
Answer answer_from(const protocol::Outcome& outcome, std::span<Fd>& fds) {
    Answer answer{Fd(), outcome.error, outcome.reason, outcome.grant, outcome.value, outcome.text};
    if (outcome.fds == 0) return answer;
    if (fds.empty()) {
        answer.error = EMFILE;
        answer.reason = Reason::system;
        answer.why = "granted, but this process has no room for another descriptor";
        return answer;
    }
    answer.fd = std::move(fds.front());
    fds = fds.subspan(1);
    return answer;
}

}  // namespace

// One turn at the socket: this thread among the threads, this process among the processes. Given back when it goes.
class Client::Turn {
public:
    explicit Turn(Client& client) : client_(client), guard_(client.mutex_, std::defer_lock) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
        if (locked_) (void)record_lock(client_.process_lock_.get(), F_UNLCK, F_SETLK);
    }

    Result<void> wait() {
        guard_.lock();
        if (client_.process_lock_) locked_ = TRY(record_lock(client_.process_lock_.get(), F_WRLCK, F_SETLKW));
        return {};
    }

    // False if somebody else is having it.
    Result<bool> try_now() {
        if (!guard_.try_lock()) return false;
        if (!client_.process_lock_) return true;
        locked_ = TRY(record_lock(client_.process_lock_.get(), F_WRLCK, F_SETLK));
        return locked_;
    }

private:
    Client& client_;
    std::unique_lock<std::mutex> guard_;
    bool locked_ = false;
};

Result<std::unique_ptr<Client>> Client::connect(int socket) {
    TRY(must_be(socket, SO_DOMAIN, AF_UNIX));
    TRY(must_be(socket, SO_TYPE, SOCK_SEQPACKET));
    std::unique_ptr<Client> client(new (std::nothrow) Client);
    if (client == nullptr) return failure(ENOMEM, "connecting");
    client->channel_ = Channel(Fd(socket));
    if (const auto ready = client->set_up(); !ready) {
        client->give_back_socket();
        return Failure(ready.error());
    }
    return client;
}

Client::~Client() {
    if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
}

Result<void> Client::set_up() {
    TRY(close_on_exec(channel_.get()));
    owner_ = ::getpid();
    buffer_.reset(new (std::nothrow) std::byte[max_message]);
    if (buffer_ == nullptr) return failure(ENOMEM, "connecting");
    void* page = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return failure("mmap");
    shared_ = new (page) Shared{};
    TRY(events_.create(&shared_->pending));
    TRY(say_hello());
    if (requesters_ == protocol::Requesters::group) TRY(prepare_for_group());
    return {};
}

Result<void> Client::say_hello() {
    const RequestId id = next_id();
    TRY(send(TRY(protocol::encode_hello({buffer_.get(), max_message}, id, {}))));
    auto incoming = TRY(reply_to(id, Type::hello_reply));
    close_all(incoming.fds);
    if (incoming.message.type == Type::done) {
        const auto done = protocol::decode_done(incoming.message);
        return failure(done && done->error > 0 ? done->error : EPROTO, "saying hello");
    }
    const auto reply = protocol::decode_hello_reply(incoming.message);
    if (!reply) return failure(EPROTO, "saying hello");
    if (reply->error != 0) return failure(reply->error > 0 ? reply->error : EPROTO, "saying hello");
    if (reply->version != protocol::current_version || reply->requesters > protocol::Requesters::group) {
        return failure(EPROTO, "saying hello");
    }
    requesters_ = reply->requesters;
    worker_.append(reply->worker);
    return {};
}

Result<void> Client::prepare_for_group() {
    process_lock_ = Fd(::memfd_create("warder-turn", MFD_CLOEXEC));
    if (!process_lock_) return failure("memfd_create");
    return {};
}

Result<void> Client::ask(std::span<const protocol::Request> requests, Taker& taker) {
    TRY(check_usable());
    Turn turn(*this);
    TRY(turn.wait());
    const RequestId id = next_id();
    TRY(send(TRY(protocol::encode_ask({buffer_.get(), max_message}, id, requests))));
    auto incoming = TRY(reply_to(id, Type::answer));
    if (incoming.message.type == Type::answer) return take_answers(incoming, requests, taker);
    TRY(accepted_or_refused(incoming, taker));
    return break_off("answer without outcomes");   // a done refuses an ask whole; it cannot grant it
}

Result<void> Client::tell(Type type, std::string_view text, Taker& taker) {
    TRY(check_usable());
    Turn turn(*this);
    TRY(turn.wait());
    const RequestId id = next_id();
    TRY(send(TRY(protocol::encode_text({buffer_.get(), max_message}, type, id, text))));
    auto incoming = TRY(reply_to(id, Type::done));
    return accepted_or_refused(incoming, taker);
}

// Everything is looked at before anything is handed over: of a broken answer nothing is taken.
Result<void> Client::take_answers(Incoming& incoming, std::span<const protocol::Request> requests, Taker& taker) {
    const auto outcomes = protocol::decode_answer(incoming.message);
    if (!outcomes || outcomes->size() != requests.size()) return break_off("answer");
    std::size_t announced = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        if (!plausible(outcomes->at(i), requests[i].operation)) return break_off("outcome");
        announced += outcomes->at(i).fds;
    }
    const bool all_there = incoming.fds.size() == announced;
    const bool some_cut = incoming.truncated && incoming.fds.size() < announced;
    if (!all_there && !some_cut) return break_off("number of descriptors");
    std::span<Fd> fds = incoming.fds;
    for (std::size_t i = 0; i < requests.size(); ++i) taker.take(i, answer_from(outcomes->at(i), fds));
    return {};
}

Result<void> Client::accepted_or_refused(Incoming& incoming, Taker& taker) {
    close_all(incoming.fds);
    const auto done = protocol::decode_done(incoming.message);
    if (!done || done->error < 0 || done->error > largest_errno) return break_off("done");
    if (done->error == 0) return {};
    taker.refused(done->reason, done->text);
    return failure(done->error, "refused by warderd");
}

Result<std::optional<Event>> Client::next_event(int timeout_ms) {
    const Instant until =
        timeout_ms < 0 ? Instant::never() : monotonic_now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
        TRY(check_usable());
        if (auto event = events_.take()) return event;
        const auto looked = read_events();
        if (auto event = events_.take()) return event;
        if (!looked) return Failure(looked.error());
        const int left = milliseconds_left(until);
        if (left == 0) return std::nullopt;
        wait_for_event(left, *looked);
    }
}

// Takes what lies there without waiting. With somebody else at the socket it is theirs to read, and they will queue it.
Result<Client::Looked> Client::read_events() {
    Turn turn(*this);
    if (!TRY(turn.try_now())) return Looked::somebody_else_does;
    for (;;) {
        auto incoming = TRY(receive(MSG_DONTWAIT));
        if (!incoming) return Looked::all_taken;
        TRY(event_or_stale(*incoming));
    }
}

void Client::wait_for_event(int timeout_ms, Looked looked) const {
    pollfd fds[2] = {{events_.wake_fd(), POLLIN, 0}, {channel_.get(), POLLIN, 0}};
    if (looked == Looked::all_taken) {
        (void)::poll(fds, 2, timeout_ms);
    } else {
        (void)::poll(fds, 1, timeout_ms < 0 ? nap_ms : std::min(timeout_ms, nap_ms));
    }
}

Result<int> Client::poll_fd() {
    TRY(check_usable());
    const std::lock_guard guard(poll_mutex_);
    if (poll_) return poll_.get();
    Fd poll(::epoll_create1(EPOLL_CLOEXEC));
    if (!poll) return failure("epoll_create1");
    for (const int fd : {channel_.get(), events_.wake_fd()}) {
        epoll_event event{};
        event.events = EPOLLIN;
        if (::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &event) != 0) return failure("epoll_ctl");
    }
    poll_ = std::move(poll);
    return poll_.get();
}

// Locks may have been held by threads that do not exist here: they are made anew. What was queued is our parent's.
void Client::after_fork_in_child() {
    if (requesters_ != protocol::Requesters::group) return;
    new (&mutex_) std::mutex;
    new (&poll_mutex_) std::mutex;
    close_all(fds_);
    poll_.reset();
    events_.after_fork_in_child();
}

bool Client::may_use() const { return requesters_ == protocol::Requesters::group || ::getpid() == owner_; }

Result<void> Client::check_usable() const {
    if (!may_use()) return failure(EPERM, forked);
    if (broken_.load() != 0) return failure(broken_.load(), "the connection broke the protocol before");
    return {};
}

// Never 0, which is for events.
RequestId Client::next_id() {
    const std::uint32_t id = shared_->last_id.fetch_add(1) + 1;
    return id != 0 ? static_cast<RequestId>(id) : next_id();
}

Result<void> Client::send(Bytes message) {
    for (;;) {
        if (::send(channel_.get(), message.data(), message.size(), MSG_NOSIGNAL) >= 0) return {};
        if (errno == EINTR) continue;
        if (errno == EPIPE || errno == ENOTCONN) return failure(ECONNRESET, gone);
        if (errno != EAGAIN) return failure("send");
        wait_until_ready(channel_.get(), POLLOUT);
    }
}

// The reply to `id`, which is of type `expected` or a done. What else comes by meanwhile is queued or dropped.
Result<Client::Incoming> Client::reply_to(RequestId id, Type expected) {
    for (;;) {
        auto incoming = TRY(receive(0));
        if (!incoming) {
            wait_until_ready(channel_.get(), POLLIN);
            continue;
        }
        const auto& message = incoming->message;
        if (is_event(message.type) || message.id != id) {
            TRY(event_or_stale(*incoming));
            continue;
        }
        if (message.type == expected || message.type == Type::done) return *incoming;
        return break_off("type of the reply");
    }
}

// A reply that nobody waits for is the answer to a process that died between its question and here.
Result<void> Client::event_or_stale(Incoming& incoming) {
    if (known_event(incoming.message.type)) return queue_event(incoming);
    close_all(incoming.fds);
    return {};
}

Result<void> Client::queue_event(Incoming& incoming) {
    const auto decoded = protocol::decode_event(incoming.message);
    if (!decoded || incoming.message.id != RequestId::event || decoded->fds > 1) return break_off("event");
    if (incoming.fds.size() != decoded->fds && !incoming.truncated) return break_off("descriptors of an event");
    const Type type = incoming.message.type;
    if (type == Type::stop || type == Type::reload) {
        close_all(incoming.fds);
        events_.raise(type);
        return {};
    }
    Event event;
    event.type = type;
    event.name.append(decoded->name);
    event.value = decoded->value;
    if (!incoming.fds.empty()) event.fd = std::move(incoming.fds.front());
    events_.push(std::move(event));
    return {};
}

// Nothing where there is nothing without waiting. ECONNRESET comes once, before what is still queued: look again.
Result<std::optional<Client::Incoming>> Client::receive(int flags) {
    const MutableBytes buffer(buffer_.get(), max_message);
    auto taken = TRY(channel_.receive_with_fds(buffer, fds_, flags));
    if (taken.received.kind == Received::Kind::closed) {
        taken = TRY(channel_.receive_with_fds(buffer, fds_, MSG_DONTWAIT));
    }
    if (taken.received.kind == Received::Kind::closed) return failure(ECONNRESET, gone);
    if (taken.received.kind == Received::Kind::nothing) return std::nullopt;
    const auto message = protocol::decode(taken.received.bytes);
    if (!message) return break_off("message");
    return Incoming{*message, std::span(fds_).first(taken.fd_count), taken.received.truncated};
}

Failure Client::break_off(const char* doing) {
    close_all(fds_);
    broken_.store(EPROTO);
    return failure(EPROTO, doing);
}

}  // namespace warder::client
