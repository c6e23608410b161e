// The C ABI over Client. This is the edge: here errors become errno and sentences, and nothing of C++ passes.
#include <fcntl.h>
#include <pthread.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>

#include "base/operation.h"
#include "base/reason.h"
#include "client/client.h"
#include "warder/warder.h"

using warder::Error;
using warder::Fd;
using warder::FixedString;
using warder::OpenFlag;
using warder::Operation;
using warder::Reason;
using warder::Result;
using warder::client::Answer;
using warder::client::Client;
using warder::client::Taker;
using warder::protocol::Request;
using warder::protocol::Type;

#define WARDER_EXPORT extern "C" __attribute__((visibility("default")))

struct warder_connection {
    std::unique_ptr<Client> client;
    unsigned references = 1;
    bool from_environment = false;
};

namespace {

constexpr std::size_t max_path = 4095;
constexpr std::size_t max_text = 4096;

// The last failure of each thread. Plain memory: thread-local constructors have no place in a C library.
struct LastFailure {
    int reason;
    char why[512];
};
constinit thread_local LastFailure last_failure{};

// Cuts what does not fit; always ends with a NUL.
template <std::size_t Size>
void copy_text(char (&room)[Size], std::string_view text) {
    const std::size_t taken = text.size() < Size ? text.size() : Size - 1;
    if (taken > 0) std::memcpy(room, text.data(), taken);
    room[taken] = '\0';
}

void remember(Reason reason, std::string_view sentence) {
    last_failure.reason = static_cast<int>(reason);
    copy_text(last_failure.why, sentence);
}

int fail(int number, Reason reason, std::string_view sentence) {
    remember(reason, sentence);
    errno = number;
    return -1;
}

const char* words_for(int number) {
    const char* words = strerrordesc_np(number);
    return words != nullptr ? words : "unknown error";
}

Reason reason_of(const Error& error) {
    if (error.number == EPERM) return Reason::not_requester;
    return error.number == EPROTO ? Reason::protocol : Reason::system;
}

int fail(const Error& error) {
    const FixedString<500> sentence = FixedString<500>(error.doing).append(": ").append(words_for(error.number));
    return fail(error.number, reason_of(error), sentence.view());
}

int invalid(std::string_view sentence) { return fail(EINVAL, Reason::bad_flags, sentence); }

std::string_view text_or_empty(const char* text) { return text != nullptr ? std::string_view(text) : std::string_view(); }

// "read site css/a.css: No such file or directory", where the parent sent no sentence of its own.
FixedString<500> sentence_for(const Request& request, const Answer& answer) {
    if (!answer.why.empty()) return FixedString<500>(answer.why);
    FixedString<500> sentence(name_of(static_cast<Operation>(request.operation)));
    for (const auto part : {request.grant, request.target}) {
        if (!part.empty()) sentence.append(' ').append(part.substr(0, 200));
    }
    return sentence.append(": ").append(words_for(answer.error));
}

// A refusal of the whole message has its sentence remembered; the errno comes as the call's own error.
class RefusalTaker : public Taker {
public:
    void take(std::size_t, Answer) override {}
    void refused(Reason reason, std::string_view why) override {
        refused_ = true;
        remember(reason, why);
    }
    int failed(const Error& error) const {
        if (!refused_) return fail(error);
        errno = error.number;
        return -1;
    }

private:
    bool refused_ = false;
};

class OneTaker : public RefusalTaker {
public:
    explicit OneTaker(const Request& request) : request_(request) {}
    void take(std::size_t, Answer answer) override {
        error_ = answer.error;
        if (error_ != 0) remember(answer.reason, sentence_for(request_, answer).view());
        fd_ = std::move(answer.fd);
    }
    // The descriptor; 0 for an operation that lends none; -1 with errno.
    int result() {
        if (error_ == 0) return fd_ ? fd_.release() : 0;
        errno = error_;
        return -1;
    }

private:
    const Request& request_;
    int error_ = 0;
    Fd fd_;
};

class ManyTaker : public RefusalTaker {
public:
    ManyTaker(const Request* requests, warder_result* results) : requests_(requests), results_(results) {}
    void take(std::size_t index, Answer answer) override {
        warder_result& result = results_[index];
        result = warder_result{};
        result.fd = answer.fd ? answer.fd.release() : -1;
        result.error = answer.error;
        result.reason = static_cast<int>(answer.reason);
        result.grant = number(answer.grant);
        result.value = answer.value;
        if (answer.error == 0) {
            ++succeeded_;
            return;
        }
        copy_text(result.why, sentence_for(requests_[index], answer).view());
    }
    int succeeded() const { return succeeded_; }

private:
    const Request* requests_;
    warder_result* results_;
    int succeeded_ = 0;
};

int ask_one(warder_connection* connection, const Request& request) {
    if (connection == nullptr) return invalid("no connection");
    if (request.target.size() > max_path || request.second.size() > max_path) {
        return fail(ENAMETOOLONG, Reason::bad_path, "a path of more than 4095 bytes");
    }
    OneTaker taker(request);
    if (const auto asked = connection->client->ask({&request, 1}, taker); !asked) return taker.failed(asked.error());
    return taker.result();
}

Request make_request(Operation operation, const char* grant, const char* target) {
    Request request;
    request.operation = static_cast<std::uint16_t>(operation);
    request.grant = text_or_empty(grant);
    request.target = text_or_empty(target);
    return request;
}

struct Way {
    Operation operation{};
    std::uint16_t flags = 0;
};

constexpr std::uint16_t bit(OpenFlag flag) { return static_cast<std::uint16_t>(flag); }

std::optional<Operation> operation_for(int flags) {
    const bool append = (flags & O_APPEND) != 0;
    const bool changing = (flags & (O_CREAT | O_EXCL | O_TRUNC)) != 0;
    switch (flags & O_ACCMODE) {
        case O_RDONLY: return append || changing ? std::nullopt : std::optional(Operation::read);
        case O_WRONLY:
            if (append) return changing ? std::nullopt : std::optional(Operation::append);
            [[fallthrough]];
        case O_RDWR:
            if (append || ((flags & O_EXCL) != 0 && (flags & O_CREAT) == 0)) return std::nullopt;
            return (flags & O_CREAT) != 0 ? Operation::create : Operation::write;
        default: return std::nullopt;
    }
}

// What open(2)'s flags ask for, or nothing if no grant is about that.
std::optional<Way> way_for(int flags) {
    constexpr int known = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW |
                          O_LARGEFILE;
    if ((flags & ~known) != 0) return std::nullopt;
    const auto operation = operation_for(flags);
    if (!operation) return std::nullopt;
    Way way{*operation, 0};
    if ((flags & O_ACCMODE) == O_RDWR) way.flags |= bit(OpenFlag::read_too);
    if ((flags & O_TRUNC) != 0) way.flags |= bit(OpenFlag::truncate);
    if ((flags & O_EXCL) != 0) way.flags |= bit(OpenFlag::exclusive);
    if ((flags & O_NONBLOCK) != 0) way.flags |= bit(OpenFlag::nonblock);
    return way;
}

int ask_for_socket(warder_connection* connection, Operation operation, const char* grant, const char* address, int flags) {
    if ((flags & ~WARDER_NONBLOCK) != 0) return invalid("a socket takes no flag but WARDER_NONBLOCK");
    if (grant == nullptr && address == nullptr) return invalid("neither a grant nor an address");
    Request request = make_request(operation, grant, address);
    request.flags = static_cast<std::uint16_t>(flags);
    return ask_one(connection, request);
}

int tell(warder_connection* connection, Type type, const char* text) {
    if (connection == nullptr) return invalid("no connection");
    const auto words = text_or_empty(text);
    if (words.size() > max_text) return fail(EMSGSIZE, Reason::system, "a text of more than 4096 bytes");
    RefusalTaker taker;
    if (const auto told = connection->client->tell(type, words, taker); !told) return taker.failed(told.error());
    return 0;
}

// ---- Connections of this process, so that fork() can put them in order ----

struct Registry {
    std::mutex mutex;
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

// With the registry locked.
warder_connection* connect_over(int fd) {
    if (watch_forks() != 0) return fail(ENOMEM, Reason::system, "connecting: no memory for a fork handler"), nullptr;
    auto client = Client::connect(fd);
    if (!client) return fail(client.error()), nullptr;
    auto* connection = new (std::nothrow) warder_connection;
    if (connection == nullptr) {
        (*client)->give_back_socket();
        return fail(ENOMEM, Reason::system, "connecting: no memory"), nullptr;
    }
    connection->client = std::move(*client);
    enter_registry(connection->client.get());
    return connection;
}

std::optional<int> number_in(const char* text) {
    int value = -1;
    const char* end = text + std::strlen(text);
    const auto [at, error] = std::from_chars(text, end, value);
    return error == std::errc() && at == end && value >= 0 ? std::optional(value) : std::nullopt;
}

int event_type(Type type) {
    switch (type) {
        case Type::stop: return WARDER_EVENT_STOP;
        case Type::reload: return WARDER_EVENT_RELOAD;
        case Type::channel: return WARDER_EVENT_CHANNEL;
        case Type::secret: return WARDER_EVENT_SECRET;
        default: return WARDER_EVENT_REVOKED;
    }
}

Request request_from(const warder_request& raw) {
    return {raw.operation, raw.flags, raw.mode, text_or_empty(raw.grant), text_or_empty(raw.target),
            text_or_empty(raw.second), 0};
}

}  // namespace

WARDER_EXPORT warder_connection* warder_connect(void) {
    const std::lock_guard guard(registry.mutex);
    if (registry.from_environment != nullptr) {
        ++registry.from_environment->references;
        return registry.from_environment;
    }
    const char* text = std::getenv(WARDER_SOCKET_VARIABLE);
    if (text == nullptr) return fail(ENOENT, Reason::system, "no $WARDER_SOCKET: not started by warderd"), nullptr;
    const auto fd = number_in(text);
    if (!fd) return invalid("$WARDER_SOCKET is not the number of a descriptor"), nullptr;
    auto* connection = connect_over(*fd);
    if (connection != nullptr) connection->from_environment = true;
    registry.from_environment = connection;
    return connection;
}

WARDER_EXPORT warder_connection* warder_connect_fd(int fd) {
    const std::lock_guard guard(registry.mutex);
    return connect_over(fd);
}

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

WARDER_EXPORT const char* warder_worker(const warder_connection* connection) { return connection->client->worker(); }

WARDER_EXPORT int warder_open(warder_connection* connection, const char* grant, const char* path, int flags, mode_t mode) {
    const auto way = way_for(flags);
    if (!way) return invalid("flags of open that no grant is about");
    if (grant == nullptr && path == nullptr) return invalid("neither a grant nor a path");
    Request request = make_request(way->operation, grant, path);
    request.flags = way->flags;
    request.mode = way->operation == Operation::create ? mode : 0;
    return ask_one(connection, request);
}

WARDER_EXPORT int warder_open_path(warder_connection* connection, const char* path, int flags, mode_t mode) {
    return warder_open(connection, nullptr, path, flags, mode);
}

WARDER_EXPORT int warder_listen(warder_connection* connection, const char* grant, const char* address, int flags) {
    return ask_for_socket(connection, Operation::listen, grant, address, flags);
}

WARDER_EXPORT int warder_dial(warder_connection* connection, const char* grant, const char* address, int flags) {
    return ask_for_socket(connection, Operation::connect, grant, address, flags);
}

WARDER_EXPORT int warder_secret(warder_connection* connection, const char* grant) {
    if (grant == nullptr) return invalid("a secret is asked for by its grant");
    return ask_one(connection, make_request(Operation::secret, grant, nullptr));
}

WARDER_EXPORT int warder_rename(warder_connection* connection, const char* grant, const char* from, const char* to) {
    if (from == nullptr || to == nullptr) return invalid("a rename takes two names");
    Request request = make_request(Operation::rename, grant, from);
    request.second = to;
    return ask_one(connection, request);
}

WARDER_EXPORT int warder_unlink(warder_connection* connection, const char* grant, const char* path) {
    if (grant == nullptr && path == nullptr) return invalid("neither a grant nor a path");
    return ask_one(connection, make_request(Operation::unlink, grant, path));
}

WARDER_EXPORT int warder_open_many(warder_connection* connection, const warder_request* requests, warder_result* results,
                                   size_t count) {
    if (connection == nullptr || requests == nullptr || results == nullptr) return invalid("no connection or no room");
    if (count == 0 || count > WARDER_MAX_REQUESTS) return invalid("not 1 to 253 requests");
    Request list[WARDER_MAX_REQUESTS];
    for (std::size_t i = 0; i < count; ++i) {
        if (requests[i].reserved != 0) return invalid("a reserved field is set");
        list[i] = request_from(requests[i]);
    }
    ManyTaker taker(list, results);
    if (const auto asked = connection->client->ask({list, count}, taker); !asked) return taker.failed(asked.error());
    return taker.succeeded();
}

WARDER_EXPORT const char* warder_why(void) { return last_failure.why; }

WARDER_EXPORT int warder_last_reason(void) { return last_failure.reason; }

WARDER_EXPORT const char* warder_reason_name(int reason) {
    if (reason < 0 || reason > UINT16_MAX) return "unknown";
    return name_of(static_cast<Reason>(reason)).data();   // a view of a literal: it ends with a NUL
}

WARDER_EXPORT int warder_ready(warder_connection* connection, const char* text) {
    return tell(connection, Type::ready, text);
}

WARDER_EXPORT int warder_status(warder_connection* connection, const char* text) {
    return tell(connection, Type::status, text);
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

WARDER_EXPORT int warder_fd(warder_connection* connection) {
    if (connection == nullptr) return invalid("no connection");
    const auto fd = connection->client->poll_fd();
    return fd ? *fd : fail(fd.error());
}

WARDER_EXPORT const char* warder_version(void) { return WARDER_LIBRARY_VERSION; }
