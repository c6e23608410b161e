#include "control/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <vector>

#include "control/command.h"
#include "protocol/codec.h"
#include "sys/channel.h"
#include "sys/poll_kind.h"

namespace warder::control {
namespace {

using protocol::Verb;

constexpr int backlog = 32;
constexpr int turns = 16;                        // connections or commands taken for one event: others want their turn too
constexpr std::size_t chunk = 32 * 1024;         // text of one report message
constexpr Duration pause = std::chrono::seconds(1);   // before the next accept when descriptors have run out

// A report on its way to one client.
struct Reply {
    RequestId id{};
    int error = 0;
    std::string text;
    std::size_t sent = 0;
};

// A command whose report waits until the worker's state is what was asked for.
struct Waiting {
    RequestId id{};
    Verb verb{};
    std::string worker;
};

struct Client {
    Channel channel;
    std::uint32_t generation = 0;   // of this place: another connection is another generation
    Peer peer;
    std::deque<Reply> queue;
    std::size_t queued = 0;         // bytes of text in the queue that are not sent
    bool writing = false;           // watched for room rather than for commands
    Instant deadline = Instant::never();
    std::vector<Waiting> waiting;
    std::size_t inquiries = 0;      // that are under way
    Instant last_used{};
};

enum class Settled : std::uint8_t { not_yet, done, failed };

Settled start_settled(const WorkerReport& worker) {
    using supervise::State;
    if (worker.state == State::ready) return Settled::done;
    if (worker.state == State::failed || worker.state == State::waiting) return Settled::failed;
    const bool given_up = worker.state == State::stopped && worker.desired == supervise::Desired::down;
    return given_up ? Settled::failed : Settled::not_yet;
}

Settled stop_settled(const WorkerReport& worker) {
    using supervise::State;
    if (worker.state == State::stopped || worker.state == State::failed) return Settled::done;
    const bool started_again = worker.state != State::stopping && worker.desired == supervise::Desired::up;
    return started_again ? Settled::failed : Settled::not_yet;
}

Settled settled(Verb verb, const WorkerReport& worker) {
    return verb == Verb::stop ? stop_settled(worker) : start_settled(worker);
}

// What to say of a worker that did not become what was asked for.
Refusal disappointment(Verb verb, const WorkerReport& worker, const Clock& clock) {
    if (verb == Verb::stop) return {EAGAIN, worker.name + " was started again before it had stopped"};
    std::string text = worker.name + " did not get ready";
    if (!worker.last_exit.empty()) text += ": " + worker.last_exit;
    if (worker.state == supervise::State::stopped) text += "; it was stopped again";
    if (worker.state == supervise::State::failed) text += "; it is not tried again";
    if (worker.state == supervise::State::waiting && worker.next_start != Instant::never()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(worker.next_start - clock.now);
        text += "; tried again in " + format_duration(std::max<Duration>(left, Duration::zero()));
    }
    return {EIO, text};
}

std::string in_words(const Peer& peer) {
    return "uid " + std::to_string(peer.uid) + " (pid " + std::to_string(peer.pid) + ")";
}

template <typename Found, typename ToJson>
Reported reported(Verb verb, const Answer<Found>& result, const ToJson& to_json) {
    if (!result) return {result.error().error, refusal_json(name_of(verb), result.error())};
    return {0, to_json(*result)};
}

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) return failure(ENAMETOOLONG, "control socket path");
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

Result<Fd> make_socket() {
    Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return failure("socket");
    return fd;
}

// Removes the socket of a warderd that is gone. One that answers, or that is busy, stays.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat found{};
    if (::lstat(path.c_str(), &found) != 0) return {};
    if (!S_ISSOCK(found.st_mode)) return failure(EEXIST, "control socket: something else has that name");
    const Fd probe = TRY(make_socket());
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED) {
        return failure(EADDRINUSE, "control socket: another warderd answers there");
    }
    if (::unlink(path.c_str()) != 0) return failure("unlink");
    return {};
}

// Nobody can connect between bind and chmod: the socket is born with no permission at all.
Result<void> bind_private(const Fd& fd, const ServerOptions& options, const sockaddr_un& address) {
    const mode_t before = ::umask(0777);
    const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = errno;
    ::umask(before);
    if (bound != 0) return failure(error, "bind");
    const mode_t mode = options.group != 0 ? 0660 : 0600;
    if (options.group != 0 && ::lchown(options.path.c_str(), static_cast<uid_t>(-1), options.group) != 0) {
        return failure("lchown");
    }
    if (::chmod(options.path.c_str(), mode) != 0) return failure("chmod");
    return {};
}

Result<Channel> make_listener(const ServerOptions& options) {
    const auto address = TRY(address_of(options.path));
    TRY(remove_stale(options.path, address));
    Channel listener(TRY(make_socket()));
    // What is set on the listener holds for messages that are sent before accept, too. Kernels before 6.16 know no refusal of
    // descriptors; there they are closed on receipt.
    TRY(listener.pass_credentials());
    static_cast<void>(listener.refuse_descriptors());
    TRY(bind_private(listener.fd(), options, address));
    if (::listen(listener.get(), backlog) != 0) return failure("listen");
    return listener;
}

}  // namespace

struct Server::State {
    State(ServerOptions given, Operator& theirs, Poller& watcher, Channel socket, Timer clock_timer)
        : options(std::move(given)), operators(theirs), poller(watcher), listener(std::move(socket)),
          timer(std::move(clock_timer)), places(max_clients) {}

    ServerOptions options;
    Operator& operators;
    Poller& poller;
    Channel listener;
    Timer timer;
    std::vector<Client> places;   // never grows: a reference to a client stays good
    std::uint32_t generations = 0;
    std::size_t connected = 0;
    Instant accept_again = Instant::never();   // set while the listener rests
    Instant armed = Instant::never();
    dev_t device = 0;
    ino_t inode = 0;
    std::array<std::byte, max_message> incoming;
    std::array<std::byte, chunk + 256> outgoing;

    PollTag tag_of(const Client& client) const {
        const auto place = static_cast<std::uint32_t>(&client - places.data());
        return {static_cast<std::uint8_t>(PollKind::control_client), place, client.generation};
    }

    bool owns_its_name() const;

    // Connections
    void accept_all(const Clock& clock);
    void welcome(Fd fd, const Clock& clock);
    Client* free_place();
    void rest_listener(const Clock& clock);
    void drop(Client& client);
    void drop_hostile(Client& client, std::string_view why);

    // Commands
    void client_event(const PollEvent& event, const Clock& clock);
    void read_from(Client& client, const Clock& clock);
    void take(Client& client, const Received& received, const Clock& clock);
    void answer_hello(Client& client, const protocol::Message& message);
    void obey(Client& client, RequestId id, const protocol::Command& command, const Clock& clock);
    void carry_out(Client& client, RequestId id, const Order& order, const Clock& clock);
    void change_life(Client& client, RequestId id, const Order& order, const Clock& clock);
    void reload(Client& client, RequestId id, const Order& order, const Clock& clock);
    void inquire(Client& client, RequestId id, Verb verb, const Report& report, const Clock& clock);
    void answered(const Ticket& ticket, Reported reported, const Clock& clock);

    // Reports
    void reply(Client& client, Reply reply, const Clock& clock);
    void refuse(Client& client, RequestId id, Verb verb, const Refusal& refusal, const Clock& clock);
    void report_life(Client& client, const Waiting& command, const Answer<WorkerReport>& worker, const Clock& clock);
    void flush(Client& client, const Clock& clock);
    bool send_next(Client& client);
    void watch_for(Client& client, bool writing);
    void worker_changed(std::string_view name, const Clock& clock);

    // Time
    void timer_event(const Clock& clock);
    void arm(const Clock& clock);
};

bool Server::State::owns_its_name() const {
    struct stat found{};
    return ::lstat(options.path.c_str(), &found) == 0 && found.st_dev == device && found.st_ino == inode;
}

// ---- connections

void Server::State::accept_all(const Clock& clock) {
    for (int turn = 0; turn < turns; ++turn) {
        Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd) {
            welcome(std::move(fd), clock);
            continue;
        }
        if (errno == EAGAIN) return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return rest_listener(clock);
    }
}

// Without descriptors the listener would wake us for ever; it is left alone for a moment.
void Server::State::rest_listener(const Clock& clock) {
    const PollTag tag{static_cast<std::uint8_t>(PollKind::control_listener), 0, 0};
    if (poller.change_to_hangup(listener.get(), tag)) accept_again = clock.now + pause;
}

void Server::State::welcome(Fd fd, const Clock& clock) {
    Channel channel(std::move(fd));
    // A kernel that does not hand the listener's settings down gets them here.
    static_cast<void>(channel.refuse_descriptors());
    auto peer = peer_of(channel.get());
    if (!peer || !channel.pass_credentials()) return;
    if (options.only_own_pid_namespace && !in_own_pid_namespace(channel.get(), *peer)) {
        return operators.note_refused("control connection of " + in_words(*peer) + " refused: it comes from another pid namespace");
    }
    Client* client = free_place();
    if (client == nullptr) return;
    generations = (generations + 1) & 0x00ffffffU;
    *client = Client{};
    client->generation = generations;
    client->peer = std::move(*peer);
    client->last_used = clock.now;
    client->channel = std::move(channel);
    ++connected;
    if (!poller.watch(client->channel.get(), tag_of(*client))) drop(*client);
}

// An empty place, or that of the connection that has been idle for longest: nobody keeps others out by doing nothing.
Client* Server::State::free_place() {
    Client* oldest = nullptr;
    for (auto& client : places) {
        if (!client.channel) return &client;
        const bool idle = client.queue.empty() && client.waiting.empty() && client.inquiries == 0;
        if (idle && (oldest == nullptr || client.last_used < oldest->last_used)) oldest = &client;
    }
    if (oldest != nullptr) drop(*oldest);
    return oldest;
}

void Server::State::drop(Client& client) {
    if (!client.channel) return;
    poller.forget(client.channel.get());
    client.channel.close();
    client.queue.clear();
    client.waiting.clear();
    client.queued = 0;
    client.deadline = Instant::never();
    --connected;
}

void Server::State::drop_hostile(Client& client, std::string_view why) {
    operators.note_refused("control connection of " + in_words(client.peer) + " ended: " + std::string(why));
    drop(client);
}

// ---- commands

void Server::State::client_event(const PollEvent& event, const Clock& clock) {
    if (event.tag.id >= places.size()) return;
    Client& client = places[event.tag.id];
    if (!client.channel || client.generation != event.tag.generation) return;
    client.last_used = clock.now;
    if (event.writable) flush(client, clock);
    if (event.readable && client.channel) read_from(client, clock);
    if (event.hung_up && !event.readable && client.channel) drop(client);
}

// One that has not read its reports is not read from: what it can make us remember is bounded.
void Server::State::read_from(Client& client, const Clock& clock) {
    const std::uint32_t generation = client.generation;
    for (int turn = 0; turn < turns && client.queue.empty(); ++turn) {
        auto received = client.channel.receive(incoming);
        if (!received || received->kind == Received::Kind::closed) return drop(client);
        if (received->kind == Received::Kind::nothing) return;
        take(client, *received, clock);
        if (!client.channel || client.generation != generation) return;
    }
}

void Server::State::take(Client& client, const Received& received, const Clock& clock) {
    if (!same_user(client.peer, received)) return drop_hostile(client, "a message of another user");
    if (received.truncated) return drop_hostile(client, "a message that is too long");
    if (received.stray_fds > 0) return drop_hostile(client, "a message with descriptors");
    const auto message = protocol::decode(received.bytes);
    if (!message) return drop_hostile(client, message.error().doing);
    if (message->type == protocol::Type::hello) return answer_hello(client, *message);
    if (message->type != protocol::Type::command) return drop_hostile(client, "a message that is no command");
    const auto command = protocol::decode_command(*message);
    if (!command) return drop_hostile(client, command.error().doing);
    obey(client, message->id, *command, clock);
}

void Server::State::answer_hello(Client& client, const protocol::Message& message) {
    const auto hello = protocol::decode_hello(message);
    if (!hello) return drop_hostile(client, hello.error().doing);
    protocol::HelloReply welcome;
    const bool common = hello->version_min <= protocol::current_version && hello->version_max >= protocol::current_version;
    welcome.error = common ? 0 : EPROTONOSUPPORT;
    welcome.max_message = max_message;
    const auto bytes = protocol::encode_hello_reply(outgoing, message.id, welcome);
    if (!bytes || !client.channel.send(*bytes)) drop(client);
}

void Server::State::obey(Client& client, RequestId id, const protocol::Command& command, const Clock& clock) {
    if (!may(options.access, client.peer, command.verb)) {
        const Refusal refusal{EACCES, explain_refusal(options.access, client.peer, command.verb)};
        operators.note_refused("refused: " + refusal.sentence);
        return refuse(client, id, command.verb, refusal, clock);
    }
    const auto order = understand(command);
    if (!order) return refuse(client, id, command.verb, order.error(), clock);
    if (scope_of(order->verb) == Scope::change) {
        const std::string what = order->signal == 0 ? "" : " " + std::string(command.argument);
        const std::string of = (order->worker.empty() ? "" : " " + order->worker) + what;
        operators.note(in_words(client.peer) + ": " + name_of(order->verb) + of);
    }
    carry_out(client, id, *order, clock);
}

void Server::State::carry_out(Client& client, RequestId id, const Order& order, const Clock& clock) {
    const auto say = [&](std::string text) { reply(client, Reply{id, 0, std::move(text), 0}, clock); };
    const auto answer = [&](const auto& result, auto&& to_json) {
        if (!result) return refuse(client, id, order.verb, result.error(), clock);
        say(to_json(*result));
    };
    switch (order.verb) {
        case Verb::status:
            if (order.worker.empty()) return say(status_json(operators.workers(), clock));
            return answer(operators.worker(order.worker), [&](const auto& one) { return status_json({one}, clock); });
        case Verb::list: return say(list_json(operators.workers()));
        case Verb::show:
            return answer(operators.show(order.worker), [&](const auto& shown) { return show_json(shown, clock); });
        case Verb::logs: return answer(operators.logs(order.worker), [](const auto& logs) { return logs_json(logs); });
        case Verb::grants:
            return answer(operators.grants(order.worker), [&](const auto& all) { return grants_json(order.worker, all); });
        case Verb::fds:
            return inquire(client, id, order.verb, [&, name = order.worker](const LetGo& let_go) {
                let_go();
                return reported(order.verb, operators.fds(name), [&](const auto& all) { return fds_json(name, all, clock); });
            }, clock);
        case Verb::why:
            return answer(operators.why(order.worker, order.question), [](const auto& why) { return why_json(why); });
        case Verb::security:
            return answer(operators.security(order.worker), [](const auto& all) { return security_json(all); });
        case Verb::sockets:
            return inquire(client, id, order.verb, [&](const LetGo& let_go) {
                return reported(order.verb, operators.sockets(order.worker, let_go), [](const auto& all) { return sockets_json(all); });
            }, clock);
        case Verb::store:
            return answer(operators.stores(order.worker), [&](const auto& all) { return stores_json(all, clock); });
        case Verb::check: return say(check_json(operators.check()));
        case Verb::version: return say(version_json(operators.version(), clock));
        case Verb::start:
        case Verb::stop:
        case Verb::restart: return change_life(client, id, order, clock);
        case Verb::reload: return reload(client, id, order, clock);
        case Verb::signal:
            return answer(operators.signal(order.worker, order.signal), [&](pid_t pid) { return signal_json(order.worker, order.signal, pid); });
        case Verb::forget: return answer(operators.forget(order.worker), [&](uid_t uid) { return forget_json(order.worker, uid); });
        case Verb::shutdown: {
            const auto begun = operators.shutdown();
            return begun ? say(shutdown_json()) : refuse(client, id, order.verb, begun.error(), clock);
        }
    }
}

void Server::State::inquire(Client& client, RequestId id, Verb verb, const Report& report, const Clock& clock) {
    const PollTag tag = tag_of(client);
    const Ticket ticket{tag.id, tag.generation, id, verb};
    ++client.inquiries;
    if (auto now = operators.inquire(ticket, report)) answered(ticket, std::move(*now), clock);
}

void Server::State::answered(const Ticket& ticket, Reported reported, const Clock& clock) {
    Client& client = places[ticket.place];
    if (!client.channel || client.generation != ticket.generation) return;
    --client.inquiries;
    reply(client, Reply{ticket.id, reported.error, std::move(reported.text), 0}, clock);
}

void Server::State::change_life(Client& client, RequestId id, const Order& order, const Clock& clock) {
    if (client.waiting.size() >= max_waiting) {
        return refuse(client, id, order.verb, {EDQUOT, "too many commands of this connection wait already"}, clock);
    }
    const std::uint32_t generation = client.generation;
    const auto begun = order.verb == Verb::start  ? operators.start(order.worker)
                       : order.verb == Verb::stop ? operators.stop(order.worker)
                                                  : operators.restart(order.worker);
    // The daemon may have told us of changes meanwhile, and one of them may have ended this very connection.
    if (!client.channel || client.generation != generation) return;
    if (!begun) return refuse(client, id, order.verb, begun.error(), clock);
    const auto worker = operators.worker(order.worker);
    if (!worker) return refuse(client, id, order.verb, worker.error(), clock);
    const Settled now = settled(order.verb, *worker);
    if (!order.wait) {
        const bool done = now == Settled::done;
        return reply(client, Reply{id, 0, life_json(name_of(order.verb), *worker, done, clock), 0}, clock);
    }
    const Waiting command{id, order.verb, order.worker};
    if (now != Settled::not_yet) return report_life(client, command, worker, clock);
    client.waiting.push_back(command);
}

void Server::State::reload(Client& client, RequestId id, const Order& order, const Clock& clock) {
    const std::uint32_t generation = client.generation;
    const auto result = operators.reload(order.reload);
    if (!client.channel || client.generation != generation) return;
    if (!result) return refuse(client, id, order.verb, result.error(), clock);
    reply(client, Reply{id, result->ok ? 0 : EINVAL, reload_json(*result), 0}, clock);
}

// ---- reports

void Server::State::reply(Client& client, Reply reply, const Clock& clock) {
    const bool first = client.queue.empty();
    // A single report may be of any size: it is the parent's own words. A queue of them may not.
    if (!first && client.queued + reply.text.size() > max_queued) return drop_hostile(client, "it does not read its reports");
    client.queued += reply.text.size();
    client.queue.push_back(std::move(reply));
    if (first) flush(client, clock);
}

void Server::State::refuse(Client& client, RequestId id, Verb verb, const Refusal& refusal, const Clock& clock) {
    reply(client, Reply{id, refusal.error, refusal_json(name_of(verb), refusal), 0}, clock);
}

void Server::State::report_life(Client& client, const Waiting& command, const Answer<WorkerReport>& worker,
                                const Clock& clock) {
    if (!worker) return refuse(client, command.id, command.verb, worker.error(), clock);
    const std::string verb = name_of(command.verb);
    if (settled(command.verb, *worker) == Settled::done) {
        return reply(client, Reply{command.id, 0, life_json(verb, *worker, true, clock), 0}, clock);
    }
    const Refusal refusal = disappointment(command.verb, *worker, clock);
    reply(client, Reply{command.id, refusal.error, failed_life_json(verb, refusal, *worker, clock), 0}, clock);
}

// Sends what goes; the rest waits for room, and for so long at most.
void Server::State::flush(Client& client, const Clock& clock) {
    bool progress = false;
    while (!client.queue.empty()) {
        if (!send_next(client)) {
            if (!client.channel) return;
            if (progress || client.deadline == Instant::never()) client.deadline = clock.now + patience;
            return watch_for(client, true);
        }
        progress = true;
    }
    client.deadline = Instant::never();
    watch_for(client, false);
}

// The next part of the first report. False: there is no room, or the client has gone and was dropped.
bool Server::State::send_next(Client& client) {
    Reply& reply = client.queue.front();
    const std::string_view left = std::string_view(reply.text).substr(reply.sent);
    const std::string_view part = left.substr(0, chunk);
    const bool more = part.size() < left.size();
    const auto bytes = protocol::encode_report(outgoing, reply.id, {reply.error, more, part});
    const auto sent = bytes ? client.channel.send(*bytes) : Result<void>(Failure(bytes.error()));
    if (!sent) {
        if (sent.error().number != EAGAIN) drop(client);
        return false;
    }
    reply.sent += part.size();
    client.queued -= part.size();
    if (!more) client.queue.pop_front();
    return true;
}

void Server::State::watch_for(Client& client, bool writing) {
    if (client.writing == writing) return;
    client.writing = writing;
    const int fd = client.channel.get();
    const auto changed = writing ? poller.change_to_write(fd, tag_of(client)) : poller.change_to_read(fd, tag_of(client));
    if (!changed) drop(client);
}

void Server::State::worker_changed(std::string_view name, const Clock& clock) {
    for (auto& client : places) {
        for (std::size_t i = 0; i < client.waiting.size();) {
            const Waiting command = client.waiting[i];
            const auto worker = command.worker == name ? operators.worker(name) : Answer<WorkerReport>(WorkerReport{});
            const bool over = command.worker == name && (!worker || settled(command.verb, *worker) != Settled::not_yet);
            if (!over) {
                ++i;
                continue;
            }
            client.waiting.erase(client.waiting.begin() + static_cast<std::ptrdiff_t>(i));
            report_life(client, command, worker, clock);   // may drop the client, which empties `waiting`
        }
    }
}

// ---- time

void Server::State::timer_event(const Clock& clock) {
    timer.acknowledge();
    armed = Instant::never();
    for (auto& client : places) {
        if (client.channel && client.deadline <= clock.now) drop_hostile(client, "it does not read its reports");
    }
    if (accept_again <= clock.now) {
        const PollTag tag{static_cast<std::uint8_t>(PollKind::control_listener), 0, 0};
        accept_again = poller.change_to_read(listener.get(), tag) ? Instant::never() : clock.now + pause;
    }
}

// Armed only while somebody is waited for: at rest there are no wake-ups.
void Server::State::arm(const Clock&) {
    Instant next = accept_again;
    for (const auto& client : places) next = std::min(next, client.deadline);
    if (next == armed) return;
    if (timer.set(next)) armed = next;
}

// ---- the public face

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::Server(Server&&) noexcept = default;
Server& Server::operator=(Server&&) noexcept = default;

Server::~Server() {
    if (!state_) return;
    for (auto& client : state_->places) state_->drop(client);
    if (state_->listener) state_->poller.forget(state_->listener.get());
    state_->poller.forget(state_->timer.get());
}

Result<Server> Server::create(ServerOptions options, Operator& operators, Poller& poller) {
    Channel listener = TRY(make_listener(options));
    Timer timer = TRY(Timer::create());
    struct stat made{};
    if (::lstat(options.path.c_str(), &made) != 0) return failure("lstat");
    TRY(poller.watch(listener.get(), {static_cast<std::uint8_t>(PollKind::control_listener), 0, 0}));
    TRY(poller.watch(timer.get(), {static_cast<std::uint8_t>(PollKind::control_timer), 0, 0}));
    auto state = std::make_unique<State>(std::move(options), operators, poller, std::move(listener), std::move(timer));
    state->device = made.st_dev;
    state->inode = made.st_ino;
    return Server(std::move(state));
}

void Server::handle(const PollEvent& event, const Clock& clock) {
    if (!state_->listener) return;
    switch (static_cast<PollKind>(event.tag.kind)) {
        case PollKind::control_listener: state_->accept_all(clock); break;
        case PollKind::control_client: state_->client_event(event, clock); break;
        case PollKind::control_timer: state_->timer_event(clock); break;
        default: break;
    }
    state_->arm(clock);
}

void Server::answered(const Ticket& ticket, Reported reported, const Clock& clock) {
    if (!state_->listener) return;
    state_->answered(ticket, std::move(reported), clock);
    state_->arm(clock);
}

void Server::worker_changed(std::string_view name, const Clock& clock) {
    state_->worker_changed(name, clock);
    state_->arm(clock);
}

void Server::set_access(Access access) { state_->options.access = std::move(access); }

Result<void> Server::set_group(gid_t group) {
    const std::string& path = state_->options.path;
    if (!state_->owns_its_name()) return failure(ESTALE, "the control socket's name");
    if (::lchown(path.c_str(), static_cast<uid_t>(-1), group) != 0) return failure("lchown");
    if (::chmod(path.c_str(), group != 0 ? 0660 : 0600) != 0) return failure("chmod");
    state_->options.group = group;
    return {};
}

// Somebody may have swept the directory, or put another's socket there. Who is connected stays.
Result<bool> Server::bind_again() {
    if (!state_->listener || state_->owns_its_name()) return false;
    Channel listener = TRY(make_listener(state_->options));
    struct stat made{};
    if (::lstat(state_->options.path.c_str(), &made) != 0) return failure("lstat");
    TRY(state_->poller.watch(listener.get(), {static_cast<std::uint8_t>(PollKind::control_listener), 0, 0}));
    state_->poller.forget(state_->listener.get());
    state_->listener = std::move(listener);
    state_->accept_again = Instant::never();
    state_->device = made.st_dev;
    state_->inode = made.st_ino;
    return true;
}

// The name is taken away only if it is still ours.
void Server::close() {
    if (!state_->listener) return;
    if (state_->owns_its_name()) ::unlink(state_->options.path.c_str());
    for (auto& client : state_->places) state_->drop(client);
    state_->poller.forget(state_->listener.get());
    state_->listener.close();
}

std::size_t Server::clients() const { return state_->connected; }

}  // namespace warder::control
