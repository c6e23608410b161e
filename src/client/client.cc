#include "client/client.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <new>
#include <utility>

#include "base/time.h"

namespace warder::client {
namespace {

using protocol::Type;

constexpr std::uint16_t kind_mask = 0xc000;
constexpr std::uint16_t event_kind = 0x4000;
constexpr int largest_errno = 4095;
constexpr int look_again_ms = 250;   // while another process has its turn: one that is killed in it rings no bell

constexpr const char* no_store = "no store: $WARDER_STORE is not set";

bool is_event(Type type) { return (static_cast<std::uint16_t>(type) & kind_mask) == event_kind; }

// Events of a later version are ignored.
bool known_event(Type type) { return is_event(type) && type >= Type::stop && type <= Type::ended; }

int milliseconds_left(Instant until) {
    if (until == Instant::never()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - monotonic_now()).count();
    return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT32_MAX));
}

// How many descriptors a success may bring. An operation of a later version: none or one.
bool fitting(const protocol::Outcome& outcome, Operation operation) {
    if (operation == Operation::run) return outcome.fds == std::popcount(outcome.value & protocol::run_ends);
    if (!known(operation)) return outcome.fds <= 1;
    return outcome.fds == (lends_one(operation) ? 1 : 0);
}

bool plausible(const protocol::Outcome& outcome, std::uint16_t operation) {
    if (outcome.error < 0 || outcome.error > largest_errno) return false;
    return outcome.error == 0 ? fitting(outcome, static_cast<Operation>(operation)) : outcome.fds == 0;
}

// The answer with the next descriptors, which leave `fds`. The kernel drops those for which this process has no room, from
// the end.
Answer answer_from(const protocol::Outcome& outcome, std::span<Fd>& fds) {
    Answer answer{{}, outcome.error, outcome.reason, outcome.grant, outcome.value, outcome.text};
    if (fds.size() < outcome.fds) {
        answer.error = EMFILE;
        answer.reason = Reason::system;
        answer.text = "granted, but this process has no room for another descriptor";
        fds = {};
        return answer;
    }
    answer.fds = fds.first(outcome.fds);
    fds = fds.subspan(outcome.fds);
    return answer;
}

// Lines "NAME COUNT".
std::size_t count_in(std::string_view lines, std::string_view name) {
    while (!lines.empty()) {
        const std::string_view line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(line.size() + 1, lines.size()));
        if (line.size() <= name.size() || !line.starts_with(name) || line[name.size()] != ' ') continue;
        std::size_t count = 0;
        std::from_chars(line.data() + name.size() + 1, line.data() + line.size(), count);
        return count;
    }
    return 0;
}

// The kernel drops the descriptors for which a process has no room. Another thread may still use up what is free here.
Result<void> have_room_for(std::size_t count) {
    std::array<Fd, protocol::max_requests> tried;
    for (std::size_t i = 0; i < std::min(count, tried.size()); ++i) {
        tried[i] = Fd(::eventfd(0, EFD_CLOEXEC));
        if (!tried[i]) return failure(errno, "taking from the store: this process has no room for all, so none was taken");
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<Client>> Client::connect(int socket) {
    std::unique_ptr<Client> client(new (std::nothrow) Client);
    if (client == nullptr) return failure(ENOMEM, "connecting");
    if (const auto ready = client->set_up(socket); !ready) {
        client->give_back_socket();
        return Failure(ready.error());
    }
    return client;
}

Client::~Client() {
    if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
}

Result<void> Client::set_up(int socket) {
    TRY(line_.create(socket));
    owner_.set();
    void* page = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return failure("mmap");
    shared_ = new (page) Shared{};
    TRY(events_.create(&shared_->pending, &shared_->ends));
    TRY(bell_.create(&shared_->waiting));
    line_.ring(&bell_);
    TRY(say_hello());
    if (requesters_ == protocol::Requesters::group) TRY(prepare_for_group());
    return {};
}

Result<void> Client::say_hello() {
    const RequestId id = next_id();
    TRY(line_.send(TRY(protocol::encode_hello(line_.room(), id, {}))));
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
    line_.share(process_lock_.get(), 0);
    return {};
}

Result<void> Client::ask(std::span<const protocol::Request> requests, Taker& taker) {
    TRY(check_usable(line_));
    Line::Turn turn(line_);
    TRY(turn.wait());
    const RequestId id = next_id();
    TRY(line_.send(TRY(protocol::encode_ask(line_.room(), id, requests))));
    auto incoming = TRY(reply_to(id, Type::answer));
    if (incoming.message.type == Type::answer) return take_answers(incoming, requests, taker);
    TRY(accepted_or_refused(line_, incoming, taker));
    return line_.break_off("answer without outcomes");   // a done refuses an ask whole; it cannot grant it
}

Result<void> Client::tell(Type type, std::string_view text, Taker& taker) {
    TRY(check_usable(line_));
    Line::Turn turn(line_);
    TRY(turn.wait());
    const RequestId id = next_id();
    TRY(line_.send(TRY(protocol::encode_text(line_.room(), type, id, text))));
    auto incoming = TRY(reply_to(id, Type::done));
    return accepted_or_refused(line_, incoming, taker);
}

Result<void> Client::use_store(int socket) {
    if (!may_use()) return failure(EPERM, forked);
    const std::lock_guard guard(store_mutex_);
    if (store_ != nullptr) return failure(EBUSY, "a second store");
    std::unique_ptr<Line> line(new (std::nothrow) Line);
    if (line == nullptr) return failure(ENOMEM, "connecting");
    if (const auto made = line->create(socket); !made) {
        line->give_back();
        return made;
    }
    if (process_lock_) line->share(process_lock_.get(), 1);
    store_ = std::move(line);
    return {};
}

// Never replaced once it is there.
Line* Client::the_store() {
    const std::lock_guard guard(store_mutex_);
    return store_.get();
}

Result<void> Client::ask_store(Type type, std::string_view name, std::span<const int> fds, Taker& taker) {
    Line* const store = the_store();
    if (store == nullptr) return failure(ENOENT, no_store);
    TRY(check_usable(*store));
    Line::Turn turn(*store);
    TRY(turn.wait());
    return exchange_with_store(*store, type, name, fds, taker);
}

// Asks first how many there are. Nobody can change that meanwhile, since it is our turn.
Result<void> Client::take_from_store(std::string_view name, std::size_t room, Taker& taker) {
    Line* const store = the_store();
    if (store == nullptr) return failure(ENOENT, no_store);
    TRY(check_usable(*store));
    Line::Turn turn(*store);
    TRY(turn.wait());
    const auto count = TRY(count_in_store(*store, next_id(), name));
    if (count > room) return failure(ERANGE, "taking from the store: there are more descriptors than room, so none was taken");
    TRY(have_room_for(count));
    return exchange_with_store(*store, Type::fetch, name, {}, taker);
}

// In a turn.
Result<void> Client::exchange_with_store(Line& store, Type type, std::string_view name, std::span<const int> fds, Taker& taker) {
    const RequestId id = next_id();
    TRY(store.send(TRY(protocol::encode_text(store.room(), type, id, name)), fds));
    auto incoming = TRY(reply_of_store(store, id));
    const auto done = protocol::decode_done(incoming.message);
    if (!done || done->error != 0 || type != Type::fetch) {
        TRY(accepted_or_refused(store, incoming, taker));
    } else if (incoming.truncated) {
        close_all(incoming.fds);
        return failure(EMFILE, "taking from the store");
    }
    taker.take(0, Answer{incoming.fds, 0, Reason::ok, GrantId::none, 0, done->text});
    close_all(incoming.fds);
    return {};
}

// 0 for a name that is not there, which the store itself tells better.
Result<std::size_t> Client::count_in_store(Line& store, RequestId id, std::string_view name) {
    TRY(store.send(TRY(protocol::encode_text(store.room(), Type::stored, id, ""))));
    auto incoming = TRY(reply_of_store(store, id));
    close_all(incoming.fds);
    const auto done = protocol::decode_done(incoming.message);
    if (!done) return store.break_off("done");
    return count_in(done->text, name);
}

// What answers somebody who died waiting is dropped.
Result<Incoming> Client::reply_of_store(Line& store, RequestId id) {
    for (;;) {
        auto incoming = TRY(store.receive(0));
        if (!incoming) {
            store.wait_until_readable();
        } else if (incoming->message.id != id) {
            close_all(incoming->fds);
        } else if (incoming->message.type == Type::done) {
            return *incoming;
        } else {
            return store.break_off("type of the reply");
        }
    }
}

Result<void> Client::found(const protocol::Found& answer) {
    TRY(check_usable(line_));
    Line::Turn turn(line_);
    TRY(turn.wait());
    return line_.send(TRY(protocol::encode_found(line_.room(), next_id(), answer)));
}

// Everything is looked at before anything is handed over: of a broken answer nothing is taken.
Result<void> Client::take_answers(Incoming& incoming, std::span<const protocol::Request> requests, Taker& taker) {
    const auto outcomes = protocol::decode_answer(incoming.message);
    if (!outcomes || outcomes->size() != requests.size()) return line_.break_off("answer");
    std::size_t announced = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const auto outcome = outcomes->at(i);
        if (!plausible(outcome, requests[i].operation)) return line_.break_off("outcome");
        announced += outcome.fds;
    }
    const bool all_there = incoming.fds.size() == announced;
    const bool some_cut = incoming.truncated && incoming.fds.size() < announced;
    if (!all_there && !some_cut) return line_.break_off("number of descriptors");
    std::span<Fd> fds = incoming.fds;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const auto outcome = outcomes->at(i);
        if (requests[i].operation == static_cast<std::uint16_t>(Operation::run) && outcome.error == 0) {
            shared_->ends.forget(static_cast<std::int64_t>(outcome.value >> 32));   // an earlier command's that had this pid
        }
        taker.take(i, answer_from(outcome, fds));
    }
    close_all(incoming.fds);
    return {};
}

Result<void> Client::accepted_or_refused(Line& line, Incoming& incoming, Taker& taker) {
    close_all(incoming.fds);
    const auto done = protocol::decode_done(incoming.message);
    if (!done || done->error < 0 || done->error > largest_errno) return line.break_off("done");
    if (done->error == 0) return {};
    taker.refused(done->reason, done->text);
    return failure(done->error, "refused by warderd");
}

Result<std::optional<Event>> Client::next_event(int timeout_ms) {
    return wait_for([this] { return events_.take(); }, timeout_ms);
}

Result<std::optional<Fd>> Client::next_channel(std::string_view name, int timeout_ms) {
    auto event = TRY(wait_for([&] { return events_.take_channel(name); }, timeout_ms));
    if (!event) return std::nullopt;
    if (!event->fd) return failure(EMFILE, "the channel came when there was no room for its descriptor");
    return std::move(event->fd);
}

Result<std::optional<std::uint64_t>> Client::end_of_command(std::int64_t pid, std::uint64_t dropped, int timeout_ms) {
    const auto take = [&]() -> std::optional<CommandEnd> {
        if (auto end = shared_->ends.take(pid)) return end;
        if (shared_->ends.dropped() != dropped) return CommandEnd{};
        return std::nullopt;
    };
    const auto end = TRY(wait_for(take, timeout_ms));
    if (!end) return std::nullopt;
    if (end->value == 0) return failure(EOVERFLOW, "so many commands ended that nobody waited for that this one's end may be lost");
    return end->value;
}

// Whoever has nothing to wait for needs no waiter, which costs a few calls of the kernel.
template <typename Take>
auto Client::wait_for(Take take, int timeout_ms) -> Result<decltype(take())> {
    const Instant until =
        timeout_ms < 0 ? Instant::never() : monotonic_now() + std::chrono::milliseconds(timeout_ms);
    Looked looked{};
    if (auto found = TRY(look_for(take, looked, Line::Turn::AtEnd::tell)); found || timeout_ms == 0) return found;
    Waiter waiter(bell_);
    TRY(waiter.begin(line_.get()));
    for (;;) {
        if (auto found = TRY(look_for(take, looked, Line::Turn::AtEnd::quiet))) return found;
        const int left = milliseconds_left(until);
        if (left == 0) return std::nullopt;
        const bool may_be_killed = looked == Looked::somebody_else_does && requesters_ == protocol::Requesters::group;
        waiter.sleep(may_be_killed && (left < 0 || left > look_again_ms) ? look_again_ms : left);
    }
}

// What is queued comes first, then what lies in the socket; the end of the session only when both are taken.
template <typename Take>
auto Client::look_for(Take take, Looked& looked, Line::Turn::AtEnd at_end) -> Result<decltype(take())> {
    TRY(check_usable(line_));
    if (auto found = take()) return found;
    const auto read = read_events(at_end);
    if (auto found = take()) return found;
    if (!read) return Failure(read.error());
    looked = *read;
    return std::nullopt;
}

// Takes what lies there without waiting. With somebody else at the socket it is theirs to read: they will queue it and ring, or
// ring when their turn ends.
Result<Client::Looked> Client::read_events(Line::Turn::AtEnd at_end) {
    Line::Turn turn(line_, at_end);
    if (!TRY(turn.try_now())) {
        bell_.want_turn();
        if (!TRY(turn.try_now())) return Looked::somebody_else_does;
    }
    for (;;) {
        auto incoming = TRY(line_.receive(MSG_DONTWAIT));
        if (!incoming) return Looked::all_taken;
        TRY(event_or_stale(*incoming));
    }
}

Result<int> Client::poll_fd() {
    TRY(check_usable(line_));
    const std::lock_guard guard(poll_mutex_);
    if (poll_) return poll_.get();
    Fd poll(::epoll_create1(EPOLL_CLOEXEC));
    if (!poll) return failure("epoll_create1");
    for (const int fd : {line_.get(), events_.wake_fd()}) {
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
    line_.after_fork_in_child();
    new (&store_mutex_) std::mutex;
    if (store_ != nullptr) store_->after_fork_in_child();
    new (&poll_mutex_) std::mutex;
    poll_.reset();
    events_.after_fork_in_child();
}

bool Client::may_use() const { return requesters_ == protocol::Requesters::group || owner_.here(); }

Result<void> Client::check_usable(const Line& line) const {
    if (!may_use()) return failure(EPERM, forked);
    if (line.broken() != 0) return failure(line.broken(), "the connection broke the protocol before");
    return {};
}

// Never 0, which is for events.
RequestId Client::next_id() {
    const std::uint32_t id = shared_->last_id.fetch_add(1) + 1;
    return id != 0 ? static_cast<RequestId>(id) : next_id();
}

// The reply to `id`, which is of type `expected` or a done. What else comes by meanwhile is queued or dropped.
Result<Incoming> Client::reply_to(RequestId id, Type expected) {
    for (;;) {
        auto incoming = TRY(line_.receive(0));
        if (!incoming) {
            line_.wait_until_readable();
            continue;
        }
        const auto& message = incoming->message;
        if (is_event(message.type) || message.id != id) {
            TRY(event_or_stale(*incoming));
            continue;
        }
        if (message.type == expected || message.type == Type::done) return *incoming;
        return line_.break_off("type of the reply");
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
    if (!decoded || incoming.message.id != RequestId::event || decoded->fds > 1) return line_.break_off("event");
    if (incoming.fds.size() != decoded->fds && !incoming.truncated) return line_.break_off("descriptors of an event");
    const Type type = incoming.message.type;
    if (type == Type::stop || type == Type::reload) {
        close_all(incoming.fds);
        events_.raise(type);
        bell_.ring();
        return {};
    }
    if (type == Type::ended) {
        close_all(incoming.fds);
        events_.command_ended(decoded->value, decoded->name);
        bell_.ring();
        return {};
    }
    Event event;
    event.type = type;
    event.name.append(decoded->name);
    event.value = decoded->value;
    if (!incoming.fds.empty()) event.fd = std::move(incoming.fds.front());
    events_.push(std::move(event));
    bell_.ring();
    return {};
}

}  // namespace warder::client
