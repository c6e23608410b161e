// The C ABI over Client: connections, a worker's life, and what its descriptor store keeps. src/client/c_ask.cc has what is asked for.
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <string_view>

#include "client/c_call.h"
#include "client/client.h"
#include "warder/warder.h"

using warder::Reason;
using warder::client::Answer;
using warder::client::Client;
using warder::client::copy_text;
using warder::client::fail;
using warder::client::invalid;
using warder::client::RefusalTaker;
using warder::client::text_or_empty;
using warder::protocol::Type;

namespace {

constexpr std::size_t max_text = 4096;

int tell(warder_connection* connection, Type type, const char* text) {
    if (connection == nullptr) return invalid("no connection");
    const auto words = text_or_empty(text);
    if (words.size() > max_text) return fail(EMSGSIZE, Reason::system, "a text of more than 4096 bytes");
    RefusalTaker taker;
    if (const auto told = connection->client->tell(type, words, taker); !told) return taker.failed(told.error());
    return 0;
}

// ---- What the descriptor store keeps ----

// There is room for all: Client asks only then.
class FetchTaker : public RefusalTaker {
public:
    explicit FetchTaker(std::span<int> room) : room_(room) {}
    void take(std::size_t, Answer answer) override {
        count_ = std::min(answer.fds.size(), room_.size());
        for (std::size_t i = 0; i < count_; ++i) room_[i] = answer.fds[i].release();
    }
    std::size_t count() const { return count_; }

private:
    std::span<int> room_;
    std::size_t count_ = 0;
};

class TextTaker : public RefusalTaker {
public:
    TextTaker(char* room, std::size_t size) : room_(room), room_size_(size) {}
    void take(std::size_t, Answer answer) override { size_ = copy_text(room_, room_size_, answer.text); }
    std::size_t size() const { return size_; }

private:
    char* room_;
    std::size_t room_size_;
    std::size_t size_ = 0;
};

int ask_store(warder_connection& connection, Type type, std::string_view name, std::span<const int> fds, RefusalTaker& taker) {
    const auto asked = connection.client->ask_store(type, name, fds, taker);
    return asked ? 0 : taker.failed(asked.error());
}

// ---- Connections of this process, so that fork() can put them in order ----

struct Registry {
    std::mutex mutex;        // held over a fork, so never while anything is waited for
    std::mutex connecting;   // of $WARDER_SOCKET: two threads must not both say hello over it
    Client* first = nullptr;
    warder_connection* from_environment = nullptr;
};
constinit Registry registry;

void before_fork() { registry.mutex.lock(); }
void after_fork_in_parent() { registry.mutex.unlock(); }
void after_fork_in_child() {
    for (Client* client = registry.first; client != nullptr; client = client->next_in_registry) {
        client->after_fork_in_child();
    }
    new (&registry.connecting) std::mutex;   // its holder may be a thread that does not exist here
    registry.mutex.unlock();
}

int watch_forks() {
    static const int result = ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    return result;
}

void enter_registry(Client* client) {
    client->next_in_registry = registry.first;
    registry.first = client;
}

void leave_registry(const Client* client) {
    for (Client** at = &registry.first; *at != nullptr; at = &(*at)->next_in_registry) {
        if (*at != client) continue;
        *at = client->next_in_registry;
        return;
    }
}

// Says hello and waits for the answer, without the registry: whoever forks meanwhile does not wait. The child of such a fork has a
// copy that nobody knows, whose descriptors are close-on-exec.
warder_connection* connect_over(int fd) {
    if (watch_forks() != 0) return fail(ENOMEM, Reason::system, "connecting: no memory for a fork handler"), nullptr;
    std::unique_ptr<warder_connection> connection(new (std::nothrow) warder_connection);
    if (connection == nullptr) return fail(ENOMEM, Reason::system, "connecting: no memory"), nullptr;
    auto client = Client::connect(fd);
    if (!client) return fail(client.error()), nullptr;
    connection->client = std::move(*client);
    return connection.release();
}

// Another reference to the process's own connection, or NULL where there is none.
warder_connection* own_connection_again() {
    const std::lock_guard guard(registry.mutex);
    if (registry.from_environment != nullptr) ++registry.from_environment->references;
    return registry.from_environment;
}

warder_connection* enter(warder_connection* connection) {
    if (connection == nullptr) return nullptr;
    const std::lock_guard guard(registry.mutex);
    enter_registry(connection->client.get());
    if (connection->from_environment) registry.from_environment = connection;
    return connection;
}

std::optional<int> number_in(const char* text) {
    int value = -1;
    const char* end = text + std::strlen(text);
    const auto [at, error] = std::from_chars(text, end, value);
    return error == std::errc() && at == end && value >= 0 ? std::optional(value) : std::nullopt;
}

// What is wrong with it is said when it is asked for something: a worker that needs no store need not care.
void take_store_from_environment(Client& client) {
    const char* text = std::getenv(WARDER_STORE_VARIABLE);
    const auto fd = text != nullptr ? number_in(text) : std::nullopt;
    if (fd) (void)client.use_store(*fd);
}

int event_type(Type type) {
    switch (type) {
        case Type::stop: return WARDER_EVENT_STOP;
        case Type::reload: return WARDER_EVENT_RELOAD;
        case Type::channel: return WARDER_EVENT_CHANNEL;
        case Type::secret: return WARDER_EVENT_SECRET;
        case Type::lookup: return WARDER_EVENT_LOOKUP;
        case Type::ended: return WARDER_EVENT_ENDED;
        default: return WARDER_EVENT_REVOKED;
    }
}

}  // namespace

WARDER_EXPORT warder_connection* warder_connect(void) {
    const std::lock_guard guard(registry.connecting);
    if (auto* const known = own_connection_again()) return known;
    const char* text = std::getenv(WARDER_SOCKET_VARIABLE);
    if (text == nullptr) return fail(ENOENT, Reason::system, "no $WARDER_SOCKET: not started by warderd"), nullptr;
    const auto fd = number_in(text);
    if (!fd) return invalid("$WARDER_SOCKET is not the number of a descriptor"), nullptr;
    auto* connection = connect_over(*fd);
    if (connection == nullptr) return nullptr;
    connection->from_environment = true;
    take_store_from_environment(*connection->client);
    return enter(connection);
}

WARDER_EXPORT warder_connection* warder_connect_fd(int fd) { return enter(connect_over(fd)); }

WARDER_EXPORT void warder_close(warder_connection* connection) {
    if (connection == nullptr) return;
    const int kept = errno;
    {
        const std::lock_guard guard(registry.mutex);
        if (--connection->references > 0) return;
        if (connection->from_environment) registry.from_environment = nullptr;
        leave_registry(connection->client.get());
    }
    delete connection;
    errno = kept;
}

WARDER_EXPORT const char* warder_worker(const warder_connection* connection) {
    return connection != nullptr ? connection->client->worker() : "";
}

WARDER_EXPORT int warder_ready(warder_connection* connection, const char* text) {
    return tell(connection, Type::ready, text);
}

WARDER_EXPORT int warder_status(warder_connection* connection, const char* text) {
    return tell(connection, Type::status, text);
}

WARDER_EXPORT int warder_found(warder_connection* connection, uint64_t query, int error, const char* text) {
    if (connection == nullptr) return invalid("no connection");
    const auto told = connection->client->found({query, error, text == nullptr ? "" : text});
    return told ? 0 : fail(told.error());
}

WARDER_EXPORT int warder_next_event(warder_connection* connection, warder_event* event, int timeout_ms) {
    if (connection == nullptr || event == nullptr) return invalid("no connection or no room");
    auto next = connection->client->next_event(timeout_ms);
    if (!next) return fail(next.error());
    if (!*next) return 0;
    auto& taken = **next;
    *event = warder_event{};
    event->type = event_type(taken.type);
    event->fd = taken.fd ? taken.fd.release() : -1;
    event->value = taken.value;
    event->lost = taken.lost;
    copy_text(event->name, taken.name.view());
    return 1;
}

WARDER_EXPORT int warder_channel(warder_connection* connection, const char* grant, int timeout_ms) {
    if (connection == nullptr || grant == nullptr) return invalid("no connection, or no grant");
    auto end = connection->client->next_channel(grant, timeout_ms);
    if (!end) return fail(end.error());
    if (!*end) return fail(ETIMEDOUT, Reason::deadline, "no channel came in time");
    return (*end)->release();
}

WARDER_EXPORT int warder_wait(warder_connection* connection, const warder_process* process, warder_end* end, int timeout_ms) {
    if (connection == nullptr || process == nullptr || end == nullptr) return invalid("no connection, process or room");
    const auto ended = connection->client->end_of_command(process->pid, process->ends_dropped, timeout_ms);
    if (!ended) return fail(ended.error());
    if (!*ended) return fail(ETIMEDOUT, Reason::deadline, "the command has not ended yet");
    const std::uint64_t value = **ended;
    *end = warder_end{};
    end->value = static_cast<int>(value & warder::protocol::run_code);
    end->by_signal = (value & static_cast<std::uint64_t>(warder::protocol::RunStatus::by_signal)) != 0 ? 1 : 0;
    end->timed_out = (value & static_cast<std::uint64_t>(warder::protocol::RunStatus::timed_out)) != 0 ? 1 : 0;
    return 0;
}

WARDER_EXPORT int warder_use_store(warder_connection* connection, int fd) {
    if (connection == nullptr) return invalid("no connection");
    const auto taken = connection->client->use_store(fd);
    return taken ? 0 : fail(taken.error());
}

WARDER_EXPORT int warder_store_put(warder_connection* connection, const char* name, const int* fds, size_t count) {
    if (connection == nullptr || name == nullptr || fds == nullptr) return invalid("no connection, name or descriptors");
    if (count == 0 || count > WARDER_MAX_REQUESTS) return invalid("not 1 to 253 descriptors");
    RefusalTaker taker;
    return ask_store(*connection, Type::put, name, {fds, count}, taker);
}

WARDER_EXPORT int warder_store_fetch(warder_connection* connection, const char* name, int* fds, size_t room) {
    if (connection == nullptr || name == nullptr || (fds == nullptr && room > 0)) return invalid("no connection, name or room");
    FetchTaker taker({fds, room});
    const auto taken = connection->client->take_from_store(name, room, taker);
    return taken ? static_cast<int>(taker.count()) : taker.failed(taken.error());
}

WARDER_EXPORT ssize_t warder_store_list(warder_connection* connection, char* text, size_t size) {
    if (connection == nullptr || (text == nullptr && size > 0)) return invalid("no connection, or no room");
    TextTaker taker(text, size);
    if (ask_store(*connection, Type::stored, "", {}, taker) != 0) return -1;
    return static_cast<ssize_t>(taker.size());
}

WARDER_EXPORT int warder_fd(warder_connection* connection) {
    if (connection == nullptr) return invalid("no connection");
    const auto fd = connection->client->poll_fd();
    return fd ? *fd : fail(fd.error());
}

WARDER_EXPORT const char* warder_version(void) { return WARDER_LIBRARY_VERSION; }
