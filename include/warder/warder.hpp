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

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>
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

// What a file is.
struct File {
    warder_file raw{};
    bool is_directory() const noexcept { return S_ISDIR(raw.mode); }
    bool is_regular() const noexcept { return S_ISREG(raw.mode); }
    std::uint64_t size() const noexcept { return raw.size; }
    mode_t permissions() const noexcept { return raw.mode & 07777; }
};

// A name in a directory; types are 'f', 'd', 'l', 'p', 's', 'b', 'c' and '?'.
struct Entry {
    char type = '?';
    std::string name;
};

// A command that runs; an end that its grant does not lend is empty.
struct Process {
    Descriptor in;      // write to it
    Descriptor out;     // read from it
    Descriptor err;
    Descriptor pidfd;   // readable when it has ended
    std::int64_t pid = 0;
    std::uint64_t ends_dropped = 0;   // for wait()
};

// How a command ended.
struct End {
    int value = 0;            // its exit code or the signal's number
    bool by_signal = false;
    bool timed_out = false;   // killed at its grant's timeout
};

// What is kept of a grant; each as it is where it is not set.
struct Narrowing {
    std::uint64_t operations = ~std::uint64_t{0};   // WARDER_BIT(WARDER_READ) | ...
    std::string target;
    std::string names;
    std::uint32_t uses = 0;
};

// A name in the store and how many descriptors it has.
struct Stored {
    std::string name;
    std::size_t count = 0;
};

struct Event {
    enum class Type {
        stop = WARDER_EVENT_STOP,
        reload = WARDER_EVENT_RELOAD,
        channel = WARDER_EVENT_CHANNEL,
        secret = WARDER_EVENT_SECRET,
        revoked = WARDER_EVENT_REVOKED,
        lookup = WARDER_EVENT_LOOKUP,
        ended = WARDER_EVENT_ENDED,
    };
    Type type{};
    std::string name;
    std::uint64_t value = 0;
    std::uint32_t lost = 0;
    Descriptor descriptor;
};

// One of many requests; the operations and flags are those of warder.h (WARDER_READ, WARDER_TRUNCATED, ...).
struct Request {
    int operation = WARDER_READ;
    std::string grant;
    std::string target;
    std::string second;
    int flags = 0;
    mode_t mode = 0;
    std::uint64_t argument = 0;
    std::size_t data_room = 0;   // bytes of data that are wanted, at most
};

struct Answer {
    Descriptor descriptor;
    int error = 0;   // 0 or an errno
    int reason = WARDER_REASON_OK;
    std::string why;
    std::string data;
    std::uint64_t value = 0;
    std::vector<Descriptor> more;   // run: those after the first
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

    // Paths below the tree `grant`, or with an empty grant absolute ones. An empty path is the grant's own.
    File stat(const std::string& grant, const std::string& path = {}) {
        File file;
        done(warder_stat(handle_, text(grant), text(path), &file.raw));
        return file;
    }
    // Nothing where it is not there; what else goes wrong is thrown.
    std::optional<File> try_stat(const std::string& grant, const std::string& path = {}) {
        File file;
        if (warder_stat(handle_, text(grant), text(path), &file.raw) == 0) return file;
        if (errno == ENOENT) return std::nullopt;
        raise();
    }
    // Whether the worker's own credentials may (R_OK, W_OK, X_OK). Throws where the grant does not let it ask.
    bool access(const std::string& grant, const std::string& path, int mode) {
        if (warder_access(handle_, text(grant), text(path), mode) == 0) return true;
        if (errno == EACCES && warder_last_reason() == WARDER_REASON_SYSTEM) return false;
        raise();
    }
    std::string readlink(const std::string& grant, const std::string& path) {
        return filled([&](char* room, std::size_t size) { return warder_readlink(handle_, text(grant), text(path), room, size); });
    }
    std::vector<Entry> list(const std::string& grant, const std::string& path = {}) {
        const std::string all = contents(lent(warder_list(handle_, text(grant), text(path))));
        std::vector<Entry> entries;
        warder_entry entry;
        std::size_t offset = 0;
        while (done(warder_next_entry(all.data(), all.size(), &offset, &entry)) == 1) {
            entries.push_back({entry.type, std::string(entry.name, entry.length)});
        }
        return entries;
    }
    void rename(const std::string& grant, const std::string& from, const std::string& to) {
        done(warder_rename(handle_, text(grant), text(from), text(to)));
    }
    void unlink(const std::string& grant, const std::string& path) { done(warder_unlink(handle_, text(grant), text(path))); }
    void mkdir(const std::string& grant, const std::string& path, mode_t mode = 0) {
        done(warder_mkdir(handle_, text(grant), text(path), mode));
    }
    void rmdir(const std::string& grant, const std::string& path) { done(warder_rmdir(handle_, text(grant), text(path))); }
    void link(const std::string& grant, const std::string& from, const std::string& to) {
        done(warder_link(handle_, text(grant), text(from), text(to)));
    }
    // `path` becomes a symlink with the text `words`.
    void symlink(const std::string& grant, const std::string& path, const std::string& words) {
        done(warder_symlink(handle_, text(grant), text(path), text(words)));
    }
    void chmod(const std::string& grant, const std::string& path, mode_t mode) {
        done(warder_chmod(handle_, text(grant), text(path), mode));
    }
    void truncate(const std::string& grant, const std::string& path, std::uint64_t size) {
        done(warder_truncate(handle_, text(grant), text(path), size));
    }
    // An inotify descriptor; events 0 are all.
    Descriptor watch(const std::string& grant, const std::string& path = {}, std::uint32_t events = 0, int flags = 0) {
        return lent(warder_watch(handle_, text(grant), text(path), events, flags));
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

    // To the nth address, from 0 on, of an address by name.
    Descriptor dial_nth(const std::string& grant, const std::string& address, unsigned nth, int flags = 0) {
        return lent(warder_dial_nth(handle_, text(grant), text(address), nth, flags));
    }
    // By grant, or with an empty one the worker's only one of that kind.
    Descriptor raw(const std::string& grant, int flags = 0) { return lent(warder_raw(handle_, text(grant), flags)); }
    Descriptor packet(const std::string& grant, int flags = 0) { return lent(warder_packet(handle_, text(grant), flags)); }
    Descriptor netlink(const std::string& grant, int flags = 0) { return lent(warder_netlink(handle_, text(grant), flags)); }
    Descriptor syslog(const std::string& grant = {}, int flags = 0) { return lent(warder_syslog(handle_, text(grant), flags)); }
    Descriptor device(const std::string& grant, const std::string& path = {}, int flags = 0) {
        return lent(warder_device(handle_, text(grant), text(path), flags));
    }

    // The bytes of a secret.
    std::string secret(const std::string& grant) { return contents(secret_file(grant)); }
    // The sealed memfd that holds them.
    Descriptor secret_file(const std::string& grant) { return lent(warder_secret(handle_, text(grant))); }
    std::optional<Descriptor> try_secret_file(const std::string& grant) {
        if (has_nul(grant)) return refused();
        return perhaps(warder_secret(handle_, text(grant)));
    }

    // What the name services say: "user:web", "gid:4", "host:db.example", "service:http/tcp".
    std::string lookup(const std::string& grant, const std::string& key) {
        return filled([&](char* room, std::size_t size) { return warder_lookup(handle_, text(grant), text(key), room, size); });
    }
    std::string sysctl(const std::string& grant, const std::string& key) {
        return filled([&](char* room, std::size_t size) { return warder_sysctl_get(handle_, text(grant), text(key), room, size); });
    }
    void set_sysctl(const std::string& grant, const std::string& key, const std::string& value) {
        done(warder_sysctl_set(handle_, text(grant), text(key), given(value)));
    }

    // Runs the grant's command with a value for each of its placeholders.
    Process run(const std::string& grant, const std::vector<std::string>& values = {}) {
        std::vector<const char*> list;
        for (const auto& value : values) list.push_back(given(value));
        list.push_back(nullptr);
        warder_process raw;
        done(warder_run(handle_, text(grant), list.data(), &raw));
        return {Descriptor(raw.in), Descriptor(raw.out), Descriptor(raw.err), Descriptor(raw.pidfd), raw.pid, raw.ends_dropped};
    }
    // To the worker that the grant names, or with an empty grant to that `worker`.
    void signal(const std::string& grant, int number, const std::string& worker = {}) {
        done(warder_signal(handle_, text(grant), text(worker), number));
    }
    void restart(const std::string& grant, const std::string& worker = {}) {
        done(warder_restart(handle_, text(grant), text(worker)));
    }
    // Makes one of the worker's own grants smaller for the rest of its life.
    void narrow(const std::string& grant, const Narrowing& kept) {
        const warder_narrowing raw{kept.operations, text(kept.target), text(kept.names), kept.uses, 0};
        done(warder_narrow(handle_, text(grant), &raw));
    }
    void give_up(const std::string& grant) { done(warder_narrow(handle_, text(grant), nullptr)); }

    // Many at once: one answer for each request, in their order. Throws only if nothing was answered.
    std::vector<Answer> ask(const std::vector<Request>& requests) {
        std::vector<warder_request> raw;
        std::vector<warder_result> results(requests.size());
        std::vector<Answer> answers(requests.size());
        for (std::size_t i = 0; i < requests.size(); ++i) {
            answers[i].data.resize(requests[i].data_room);
            answers[i].more.resize(std::size(warder_result{}.more_fds));   // room for all before there is one to own
            raw.push_back(raw_request(requests[i], answers[i].data));
        }
        done(warder_open_many(handle_, raw.data(), results.data(), raw.size()));
        for (std::size_t i = 0; i < results.size(); ++i) take(results[i], answers[i]);
        for (std::size_t i = 0; i < results.size(); ++i) answers[i].why = results[i].why;
        return answers;
    }

    void ready(const std::string& words = {}) { done(warder_ready(handle_, text(words))); }
    void status(const std::string& words) { done(warder_status(handle_, text(words))); }

    // The next event, or nothing when the time is over. A negative time waits for ever. Here as below times are in whole milliseconds,
    // at most 24 days.
    std::optional<Event> next_event(std::chrono::milliseconds timeout = std::chrono::milliseconds(-1)) {
        warder_event raw;
        if (done(warder_next_event(handle_, &raw, in_int(timeout))) == 0) return std::nullopt;
        return Event{static_cast<Event::Type>(raw.type), raw.name, raw.value, raw.lost, Descriptor(raw.fd)};
    }

    // How a command ended, or nothing when the time is over first. Each end is told once; other events stay.
    std::optional<End> wait(const Process& process, std::chrono::milliseconds timeout = std::chrono::milliseconds(-1)) {
        warder_process of{};
        of.pid = process.pid;
        of.ends_dropped = process.ends_dropped;
        warder_end end;
        const int waited = warder_wait(handle_, &of, &end, in_int(timeout));
        if (waited < 0 && errno == ETIMEDOUT) return std::nullopt;
        done(waited);
        return End{end.value, end.by_signal != 0, end.timed_out != 0};
    }

    // The newest end of a channel, or nothing when the time is over. Other events stay.
    std::optional<Descriptor> channel(const std::string& grant,
                                      std::chrono::milliseconds timeout = std::chrono::milliseconds(-1)) {
        const int end = warder_channel(handle_, text(grant), in_int(timeout));
        if (end < 0 && errno == ETIMEDOUT) return std::nullopt;
        return lent(end);
    }

    // Descriptors that are kept over this worker's restarts.
    void store(const std::string& name, const std::vector<int>& descriptors) {
        done(warder_store_put(handle_, given(name), descriptors.data(), descriptors.size()));
    }
    std::vector<Descriptor> fetch(const std::string& name) {
        std::vector<Descriptor> all(WARDER_MAX_REQUESTS);
        int numbers[WARDER_MAX_REQUESTS];
        const auto count = static_cast<std::size_t>(done(warder_store_fetch(handle_, given(name), numbers, all.size())));
        for (std::size_t i = 0; i < count; ++i) all[i].reset(numbers[i]);
        all.resize(count);
        return all;
    }
    std::vector<Stored> stored() {
        const std::string lines =
            filled([&](char* room, std::size_t size) { return warder_store_list(handle_, room, size); });
        std::vector<Stored> all;
        for (std::size_t at = 0; at < lines.size();) {
            const std::size_t end = std::min(lines.find('\n', at), lines.size());
            const std::size_t space = lines.rfind(' ', end);
            if (space == std::string::npos || space < at) throw RequestError(EPROTO, "a list of the store that is none", 18);
            all.push_back({lines.substr(at, space - at), std::strtoul(lines.c_str() + space, nullptr, 10)});
            at = end + 1;
        }
        return all;
    }
    // The socket to the descriptor store, for a connection that was made by over(); it is the connection's if this does not throw.
    void use_store(int fd) { done(warder_use_store(handle_, fd)); }

    // The resolver's answer to an event of type lookup.
    void found(std::uint64_t query, int error, const std::string& words = {}) {
        done(warder_found(handle_, query, error, text(words)));
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

    // As the C functions take them: a time that is longer than an int holds, 24 days, is cut to it.
    static int in_int(std::chrono::milliseconds time) noexcept {
        constexpr std::chrono::milliseconds::rep longest = std::numeric_limits<int>::max();
        return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(time.count(), -1, longest));
    }

    static bool has_nul(const std::string& words) noexcept { return words.find('\0') != std::string::npos; }
    // NULL for an empty text.
    static const char* text(const std::string& words) {
        if (has_nul(words)) throw RequestError(EINVAL, "a NUL in a name", WARDER_REASON_BAD_PATH);
        return words.empty() ? nullptr : words.c_str();
    }

    // As text(), but an empty text is one.
    static const char* given(const std::string& words) {
        (void)text(words);
        return words.c_str();
    }
    // What a function of convention 4 fills.
    template <typename Fill>
    static std::string filled(Fill fill) {
        std::string all(256, '\0');
        for (;;) {
            const auto size = fill(all.data(), all.size());
            if (size < 0) raise();
            const bool whole = static_cast<std::size_t>(size) < all.size();
            all.resize(static_cast<std::size_t>(size) + (whole ? 0 : 1));
            if (whole) return all;
        }
    }

    static void take(const warder_result& result, Answer& answer) noexcept {
        answer.descriptor.reset(result.fd);
        std::size_t count = 0;
        for (const int fd : result.more_fds) {
            if (fd >= 0) answer.more[count++].reset(fd);
        }
        while (answer.more.size() > count) answer.more.pop_back();
        answer.error = result.error;
        answer.reason = result.reason;
        answer.value = result.value;
        answer.data.erase(std::min(result.data_size, answer.data.size()));
    }

    static warder_request raw_request(const Request& request, std::string& data) {
        warder_request raw{};
        raw.operation = static_cast<std::uint16_t>(request.operation);
        raw.flags = static_cast<std::uint16_t>(request.flags);
        raw.mode = static_cast<std::uint32_t>(request.mode);
        raw.grant = text(request.grant);
        raw.target = text(request.target);
        raw.second = text(request.second);
        raw.argument = request.argument;
        raw.data = data.empty() ? nullptr : data.data();
        raw.data_room = data.size();
        return raw;
    }
    static std::string contents(const Descriptor& file) {
        std::string all;
        char piece[4096];
        for (;;) {
            const ssize_t got = ::pread(file.get(), piece, sizeof piece, static_cast<off_t>(all.size()));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) throw std::system_error(errno, std::generic_category(), "reading what was lent");
            if (got == 0) return all;
            all.append(piece, static_cast<std::size_t>(got));
        }
    }

    warder_connection* handle_;
};

}  // namespace warder

#endif
