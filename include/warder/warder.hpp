// libwarder for C++17: a thin layer over warder.h, whose conventions hold here too (threads, fork, strings, errnos).
//
//  - A Connection and a Descriptor own what they hold, close it when they go, and can be moved but not copied.
//  - What fails throws warder::RequestError, a std::system_error with the errno, the parent's sentence and the reason.
//  - The try_ functions return an empty std::optional instead where the parent said no, and set errno; warder_why()
//    has the sentence. They throw only when the connection itself is of no more use (ECONNRESET, EPROTO) or may not be used here (EPERM).
//
// Names and paths are taken as C strings: a std::string with a NUL in it would be cut, so it is refused with EINVAL.
#ifndef WARDER_WARDER_HPP
#define WARDER_WARDER_HPP

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "warder.h"

namespace warder {

// An open descriptor, closed when it goes.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int number) noexcept : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        if (this != &other) reset(std::exchange(other.number_, -1));
        return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { reset(); }

    int get() const noexcept { return number_; }
    explicit operator bool() const noexcept { return number_ >= 0; }
    // Gives it away: the caller closes it.
    [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }
    void reset(int number = -1) noexcept {
        if (number_ >= 0) ::close(number_);
        number_ = number;
    }

private:
    int number_ = -1;
};

// A request that failed: code() is the errno, what() has the sentence, reason() one of WARDER_REASON_....
class RequestError : public std::system_error {
public:
    RequestError(int number, const std::string& sentence, int reason)
        : std::system_error(number, std::generic_category(), sentence), reason_(reason) {}
    int reason() const noexcept { return reason_; }

private:
    int reason_;
};

struct Event {
    enum class Type {
        stop = WARDER_EVENT_STOP,
        reload = WARDER_EVENT_RELOAD,
        channel = WARDER_EVENT_CHANNEL,
        secret = WARDER_EVENT_SECRET,
        revoked = WARDER_EVENT_REVOKED,
    };
    Type type{};
    std::string name;
    std::uint64_t value = 0;
    std::uint32_t lost = 0;
    Descriptor descriptor;
};

// One of many requests; the operations and flags are those of warder.h (WARDER_READ, WARDER_TRUNCATE, ...).
struct Request {
    int operation = WARDER_READ;
    std::string grant;
    std::string target;
    std::string second;
    int flags = 0;
    mode_t mode = 0;
};

struct Answer {
    Descriptor descriptor;
    int error = 0;   // 0 or an errno
    int reason = WARDER_REASON_OK;
    std::string why;
};

class Connection {
public:
    // Over $WARDER_SOCKET.
    static Connection from_environment() { return Connection(must(warder_connect())); }
    // Over a descriptor, which is the connection's if this does not throw.
    static Connection over(int fd) { return Connection(must(warder_connect_fd(fd))); }

    Connection(Connection&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Connection& operator=(Connection&& other) noexcept {
        if (this != &other) {
            warder_close(handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { warder_close(handle_); }

    warder_connection* handle() const noexcept { return handle_; }
    std::string worker() const { return warder_worker(handle_); }

    // A file below the tree `grant`, or with an empty path the file that it names. Flags as open(2).
    Descriptor open(const std::string& grant, const std::string& path = {}, int flags = O_RDONLY, mode_t mode = 0) {
        return lent(warder_open(handle_, text(grant), text(path), flags, mode));
    }
    std::optional<Descriptor> try_open(const std::string& grant, const std::string& path = {}, int flags = O_RDONLY,
                                       mode_t mode = 0) {
        if (has_nul(grant) || has_nul(path)) return refused();
        return perhaps(warder_open(handle_, text(grant), text(path), flags, mode));
    }

    Descriptor open_path(const std::string& path, int flags = O_RDONLY, mode_t mode = 0) {
        return lent(warder_open_path(handle_, text(path), flags, mode));
    }
    std::optional<Descriptor> try_open_path(const std::string& path, int flags = O_RDONLY, mode_t mode = 0) {
        if (has_nul(path)) return refused();
        return perhaps(warder_open_path(handle_, text(path), flags, mode));
    }

    // A socket of a grant, or with an empty grant of an address.
    Descriptor listen(const std::string& grant, const std::string& address = {}, int flags = 0) {
        return lent(warder_listen(handle_, text(grant), text(address), flags));
    }
    std::optional<Descriptor> try_listen(const std::string& grant, const std::string& address = {}, int flags = 0) {
        if (has_nul(grant) || has_nul(address)) return refused();
        return perhaps(warder_listen(handle_, text(grant), text(address), flags));
    }
    Descriptor dial(const std::string& grant, const std::string& address = {}, int flags = 0) {
        return lent(warder_dial(handle_, text(grant), text(address), flags));
    }
    std::optional<Descriptor> try_dial(const std::string& grant, const std::string& address = {}, int flags = 0) {
        if (has_nul(grant) || has_nul(address)) return refused();
        return perhaps(warder_dial(handle_, text(grant), text(address), flags));
    }

    // The bytes of a secret.
    std::string secret(const std::string& grant) { return contents(secret_file(grant)); }
    // The sealed memfd that holds them.
    Descriptor secret_file(const std::string& grant) { return lent(warder_secret(handle_, text(grant))); }
    std::optional<Descriptor> try_secret_file(const std::string& grant) {
        if (has_nul(grant)) return refused();
        return perhaps(warder_secret(handle_, text(grant)));
    }

    void rename(const std::string& grant, const std::string& from, const std::string& to) {
        done(warder_rename(handle_, text(grant), text(from), text(to)));
    }
    void unlink(const std::string& grant, const std::string& path) { done(warder_unlink(handle_, text(grant), text(path))); }

    // Many at once: one answer for each request, in their order. Throws only if nothing was answered.
    std::vector<Answer> ask(const std::vector<Request>& requests) {
        std::vector<warder_request> raw;
        for (const auto& request : requests) raw.push_back(raw_request(request));
        std::vector<warder_result> results(requests.size());
        std::vector<Answer> answers(requests.size());
        done(warder_open_many(handle_, raw.data(), results.data(), raw.size()));
        for (std::size_t i = 0; i < results.size(); ++i) {
            answers[i].descriptor.reset(results[i].fd);
            answers[i].error = results[i].error;
            answers[i].reason = results[i].reason;
        }
        for (std::size_t i = 0; i < results.size(); ++i) answers[i].why = results[i].why;
        return answers;
    }

    void ready(const std::string& words = {}) { done(warder_ready(handle_, text(words))); }
    void status(const std::string& words) { done(warder_status(handle_, text(words))); }

    // The next event, or nothing when the time is over. A negative time waits for ever.
    std::optional<Event> next_event(std::chrono::milliseconds timeout = std::chrono::milliseconds(-1)) {
        warder_event raw;
        if (done(warder_next_event(handle_, &raw, static_cast<int>(timeout.count()))) == 0) return std::nullopt;
        return Event{static_cast<Event::Type>(raw.type), raw.name, raw.value, raw.lost, Descriptor(raw.fd)};
    }

    // For poll and epoll: readable when next_event(0ms) may have something. The connection's own.
    int poll_descriptor() const { return done(warder_fd(handle_)); }

private:
    explicit Connection(warder_connection* handle) noexcept : handle_(handle) {}

    [[noreturn]] static void raise() {
        const int number = errno;
        throw RequestError(number, warder_why(), warder_last_reason());
    }
    static warder_connection* must(warder_connection* handle) {
        if (handle == nullptr) raise();
        return handle;
    }
    static int done(int result) {
        if (result < 0) raise();
        return result;
    }
    static Descriptor lent(int fd) { return Descriptor(done(fd)); }
    static std::optional<Descriptor> perhaps(int fd) {
        if (fd >= 0) return Descriptor(fd);
        const bool lost = errno == ECONNRESET || errno == EPROTO;
        const bool forked = warder_last_reason() == WARDER_REASON_NOT_REQUESTER;
        if (lost || forked) raise();
        return std::nullopt;
    }
    static std::optional<Descriptor> refused() {
        errno = EINVAL;
        return std::nullopt;
    }

    static bool has_nul(const std::string& words) noexcept { return words.find('\0') != std::string::npos; }
    // NULL for an empty text.
    static const char* text(const std::string& words) {
        if (has_nul(words)) throw RequestError(EINVAL, "a NUL in a name", WARDER_REASON_BAD_PATH);
        return words.empty() ? nullptr : words.c_str();
    }

    static warder_request raw_request(const Request& request) {
        warder_request raw{};
        raw.operation = static_cast<std::uint16_t>(request.operation);
        raw.flags = static_cast<std::uint16_t>(request.flags);
        raw.mode = static_cast<std::uint32_t>(request.mode);
        raw.grant = text(request.grant);
        raw.target = text(request.target);
        raw.second = text(request.second);
        return raw;
    }
    static std::string contents(const Descriptor& file) {
        std::string all;
        char piece[4096];
        for (;;) {
            const ssize_t got = ::pread(file.get(), piece, sizeof piece, static_cast<off_t>(all.size()));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) throw std::system_error(errno, std::generic_category(), "reading a secret");
            if (got == 0) return all;
            all.append(piece, static_cast<std::size_t>(got));
        }
    }

    warder_connection* handle_;
};

}  // namespace warder

#endif
