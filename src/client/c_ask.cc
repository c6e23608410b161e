// The C ABI over Client: everything that a worker asks for.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>

#include "client/c_call.h"
#include "protocol/message.h"

using warder::Fd;
using warder::FixedString;
using warder::OpenFlag;
using warder::Operation;
using warder::Reason;
using warder::client::Answer;
using warder::client::ask_one;
using warder::client::copy_text;
using warder::client::fail;
using warder::client::invalid;
using warder::client::last_failure;
using warder::client::make_request;
using warder::client::OneTaker;
using warder::client::RefusalTaker;
using warder::client::sentence_for;
using warder::client::text_or_empty;
using warder::protocol::Request;

namespace wire = warder::protocol::wire;

namespace {

// ---- What an answer brings ----

class FdTaker : public OneTaker {
public:
    using OneTaker::OneTaker;
    [[nodiscard]] int release() { return fd_.release(); }

private:
    void granted(Answer& answer) override {
        if (!answer.fds.empty()) fd_ = std::move(answer.fds.front());
    }
    Fd fd_;
};

class DataTaker : public OneTaker {
public:
    DataTaker(const Request& request, char* room, std::size_t size) : OneTaker(request), room_(room), room_size_(size) {}
    // Of the data, whatever there was room for.
    ssize_t size() const { return static_cast<ssize_t>(size_); }

private:
    void granted(Answer& answer) override { size_ = copy_text(room_, room_size_, answer.text); }
    char* room_;
    std::size_t room_size_;
    std::size_t size_ = 0;
};

class StatTaker : public OneTaker {
public:
    StatTaker(const Request& request, wire::Stat& into) : OneTaker(request), into_(into) {}
    bool whole() const { return whole_; }

private:
    void granted(Answer& answer) override {
        whole_ = answer.text.size() >= sizeof into_;   // longer: a later version's
        if (whole_) std::memcpy(&into_, answer.text.data(), sizeof into_);
    }
    wire::Stat& into_;
    bool whole_ = false;
};

class RunTaker : public OneTaker {
public:
    RunTaker(const Request& request, warder_process& into) : OneTaker(request), into_(into) {}

private:
    // Client has seen that there are as many as the value has ends.
    void granted(Answer& answer) override {
        const std::uint64_t dropped = into_.ends_dropped;
        into_ = warder_process{-1, -1, -1, -1, static_cast<std::int64_t>(answer.value >> 32), dropped, {}};
        std::size_t next = 0;
        std::uint64_t end = 1;
        for (int* const place : {&into_.in, &into_.out, &into_.err, &into_.pidfd}) {
            if ((answer.value & end) != 0) *place = answer.fds[next++].release();
            end <<= 1;
        }
    }
    warder_process& into_;
};

class ManyTaker : public RefusalTaker {
public:
    ManyTaker(const Request* requests, const warder_request* rooms, warder_result* results)
        : requests_(requests), rooms_(rooms), results_(results) {}
    void take(std::size_t index, Answer answer) override {
        warder_result& result = results_[index];
        result = warder_result{};
        result.error = answer.error;
        result.reason = static_cast<int>(answer.reason);
        result.grant = number(answer.grant);
        result.value = answer.value;
        take_fds(answer, result);
        if (answer.error != 0) {
            copy_text(result.why, sentence_for(requests_[index], answer).view());
            return;
        }
        result.data_size = answer.text.size();
        const auto& room = rooms_[index];
        if (room.data != nullptr) std::memcpy(room.data, answer.text.data(), std::min(answer.text.size(), room.data_room));
        ++succeeded_;
    }
    int succeeded() const { return succeeded_; }

private:
    static void take_fds(Answer& answer, warder_result& result) {
        const auto take = [&answer](std::size_t i) { return i < answer.fds.size() ? answer.fds[i].release() : -1; };
        result.fd = take(0);
        for (std::size_t i = 0; i < std::size(result.more_fds); ++i) result.more_fds[i] = take(i + 1);
    }
    const Request* requests_;
    const warder_request* rooms_;
    warder_result* results_;
    int succeeded_ = 0;
};

int lent(warder_connection* connection, const Request& request) {
    FdTaker taker(request);
    return ask_one(connection, request, taker) == 0 ? taker.release() : -1;
}

int done(warder_connection* connection, const Request& request) {
    OneTaker taker(request);
    return ask_one(connection, request, taker);
}

ssize_t data(warder_connection* connection, const Request& request, char* room, std::size_t size) {
    if (room == nullptr && size > 0) return invalid("no room for the text");
    DataTaker taker(request, room, size);
    return ask_one(connection, request, taker) == 0 ? taker.size() : -1;
}

// ---- What is asked for ----

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

bool names_nothing(const char* grant, const char* target) { return grant == nullptr && target == nullptr; }

// A descriptor that takes no flag but one.
int lent_with(warder_connection* connection, Request request, int flags) {
    if ((flags & ~WARDER_NONBLOCK) != 0) return invalid("no flag but WARDER_NONBLOCK is taken here");
    request.flags = static_cast<std::uint16_t>(flags);
    return lent(connection, request);
}

int socket_at(warder_connection* connection, Operation operation, const char* grant, const char* address, unsigned nth,
              int flags) {
    if (names_nothing(grant, address)) return invalid("neither a grant nor an address");
    Request request = make_request(operation, grant, address);
    request.argument = nth;
    return lent_with(connection, request, flags);
}

// One path, with permission bits.
int changed(warder_connection* connection, Operation operation, const char* grant, const char* path, mode_t mode) {
    if (names_nothing(grant, path)) return invalid("neither a grant nor a path");
    Request request = make_request(operation, grant, path);
    request.mode = mode;
    return done(connection, request);
}

// A path and a text that goes with it.
int changed(warder_connection* connection, Operation operation, const char* grant, const char* path, const char* second) {
    if (path == nullptr || second == nullptr) return invalid("two texts are needed");
    Request request = make_request(operation, grant, path);
    request.second = second;
    return done(connection, request);
}

// One value a line.
constexpr std::size_t max_values = 16 * 1024;
int join(const char* const* values, FixedString<max_values>& lines) {
    for (std::size_t i = 0; values != nullptr && values[i] != nullptr; ++i) {
        if (std::strchr(values[i], '\n') != nullptr) return invalid("a value with a line break");
        if (i > 0) lines.append('\n');
        lines.append(values[i]);
    }
    return lines.truncated() ? fail(E2BIG, Reason::bad_argument, "values of more than 16 KiB together") : 0;
}

Request request_from(const warder_request& raw) {
    return {raw.operation, raw.flags, raw.mode, text_or_empty(raw.grant), text_or_empty(raw.target),
            text_or_empty(raw.second), raw.argument};
}

// The header's numbers are the protocol's.
constexpr bool same(int number, Operation operation) { return number == static_cast<int>(operation); }
static_assert(same(WARDER_READ, Operation::read) && same(WARDER_UNLINK, Operation::unlink));
static_assert(same(WARDER_STAT, Operation::stat) && same(WARDER_WATCH, Operation::watch));
static_assert(same(WARDER_RAW, Operation::raw) && same(WARDER_SYSCTL_WRITE, Operation::sysctl_write));
static_assert(same(WARDER_RUN, Operation::run) && same(WARDER_NARROW, Operation::narrow));
static_assert(WARDER_NARROW == warder::last_operation);
static_assert(WARDER_REASON_UNAVAILABLE == static_cast<int>(Reason::unavailable));
static_assert(WARDER_REASON_PRIVATE_ADDRESS == static_cast<int>(Reason::private_address));
static_assert(sizeof(warder_result::more_fds) / sizeof(int) + 1 == warder::max_lent_by_run);

}  // namespace

// ---- Files ----

WARDER_EXPORT int warder_open(warder_connection* connection, const char* grant, const char* path, int flags, mode_t mode) {
    const auto way = way_for(flags);
    if (!way) return invalid("flags of open that no grant is about");
    if (names_nothing(grant, path)) return invalid("neither a grant nor a path");
    Request request = make_request(way->operation, grant, path);
    request.flags = way->flags;
    request.mode = way->operation == Operation::create ? mode : 0;
    return lent(connection, request);
}

WARDER_EXPORT int warder_open_path(warder_connection* connection, const char* path, int flags, mode_t mode) {
    return warder_open(connection, nullptr, path, flags, mode);
}

WARDER_EXPORT int warder_stat(warder_connection* connection, const char* grant, const char* path, warder_file* about) {
    if (names_nothing(grant, path) || about == nullptr) return invalid("neither a grant nor a path, or no room");
    const Request request = make_request(Operation::stat, grant, path);
    wire::Stat raw{};
    StatTaker taker(request, raw);
    if (ask_one(connection, request, taker) != 0) return -1;
    if (!taker.whole()) return fail(EPROTO, Reason::protocol, "a stat of too few bytes");
    *about = {raw.device, raw.inode, raw.mode,     raw.links,   raw.uid,         raw.gid,        raw.size,
              raw.blocks, raw.modified, raw.changed, raw.modified_ns, raw.changed_ns, {}};
    return 0;
}

WARDER_EXPORT int warder_access(warder_connection* connection, const char* grant, const char* path, int mode) {
    if (mode < 1 || mode > 7) return invalid("access is R_OK, W_OK or X_OK, or several of them");
    return changed(connection, Operation::access, grant, path, static_cast<mode_t>(mode));
}

WARDER_EXPORT ssize_t warder_readlink(warder_connection* connection, const char* grant, const char* path, char* text, size_t size) {
    if (names_nothing(grant, path)) return invalid("neither a grant nor a path");
    return data(connection, make_request(Operation::readlink, grant, path), text, size);
}

WARDER_EXPORT int warder_list(warder_connection* connection, const char* grant, const char* path) {
    if (names_nothing(grant, path)) return invalid("neither a grant nor a path");
    return lent(connection, make_request(Operation::list, grant, path));
}

WARDER_EXPORT int warder_next_entry(const char* list, size_t size, size_t* offset, warder_entry* entry) {
    if (list == nullptr || offset == nullptr || entry == nullptr) return invalid("no list, or no room");
    if (*offset >= size) return 0;
    const char* const at = list + *offset;
    const void* const end = std::memchr(at, '\0', size - *offset);
    const auto length = end != nullptr ? static_cast<std::size_t>(static_cast<const char*>(end) - at) : 0;
    if (length < 2) return fail(EPROTO, Reason::protocol, "a list of names that is none");
    *entry = {at + 1, length - 1, at[0]};
    *offset += length + 1;
    return 1;
}

WARDER_EXPORT int warder_rename(warder_connection* connection, const char* grant, const char* from, const char* to) {
    return changed(connection, Operation::rename, grant, from, to);
}

WARDER_EXPORT int warder_unlink(warder_connection* connection, const char* grant, const char* path) {
    return changed(connection, Operation::unlink, grant, path, mode_t{0});
}

WARDER_EXPORT int warder_mkdir(warder_connection* connection, const char* grant, const char* path, mode_t mode) {
    return changed(connection, Operation::mkdir, grant, path, mode);
}

WARDER_EXPORT int warder_rmdir(warder_connection* connection, const char* grant, const char* path) {
    return changed(connection, Operation::rmdir, grant, path, mode_t{0});
}

WARDER_EXPORT int warder_link(warder_connection* connection, const char* grant, const char* from, const char* to) {
    return changed(connection, Operation::link, grant, from, to);
}

WARDER_EXPORT int warder_symlink(warder_connection* connection, const char* grant, const char* path, const char* text) {
    return changed(connection, Operation::symlink, grant, path, text);
}

WARDER_EXPORT int warder_chmod(warder_connection* connection, const char* grant, const char* path, mode_t mode) {
    return changed(connection, Operation::chmod, grant, path, mode);
}

WARDER_EXPORT int warder_truncate(warder_connection* connection, const char* grant, const char* path, uint64_t size) {
    if (names_nothing(grant, path)) return invalid("neither a grant nor a path");
    Request request = make_request(Operation::truncate, grant, path);
    request.argument = size;
    return done(connection, request);
}

WARDER_EXPORT int warder_watch(warder_connection* connection, const char* grant, const char* path, uint32_t events, int flags) {
    if (names_nothing(grant, path)) return invalid("neither a grant nor a path");
    Request request = make_request(Operation::watch, grant, path);
    request.argument = events;
    return lent_with(connection, request, flags);
}

// ---- Sockets, devices and secrets ----

WARDER_EXPORT int warder_listen(warder_connection* connection, const char* grant, const char* address, int flags) {
    return socket_at(connection, Operation::listen, grant, address, 0, flags);
}

WARDER_EXPORT int warder_dial(warder_connection* connection, const char* grant, const char* address, int flags) {
    return socket_at(connection, Operation::connect, grant, address, 0, flags);
}

WARDER_EXPORT int warder_dial_nth(warder_connection* connection, const char* grant, const char* address, unsigned nth, int flags) {
    return socket_at(connection, Operation::connect, grant, address, nth, flags);
}

WARDER_EXPORT int warder_raw(warder_connection* connection, const char* grant, int flags) {
    return lent_with(connection, make_request(Operation::raw, grant, nullptr), flags);
}

WARDER_EXPORT int warder_packet(warder_connection* connection, const char* grant, int flags) {
    return lent_with(connection, make_request(Operation::packet, grant, nullptr), flags);
}

WARDER_EXPORT int warder_netlink(warder_connection* connection, const char* grant, int flags) {
    return lent_with(connection, make_request(Operation::netlink, grant, nullptr), flags);
}

WARDER_EXPORT int warder_syslog(warder_connection* connection, const char* grant, int flags) {
    return lent_with(connection, make_request(Operation::syslog, grant, nullptr), flags);
}

WARDER_EXPORT int warder_device(warder_connection* connection, const char* grant, const char* path, int flags) {
    if (names_nothing(grant, path)) return invalid("neither a grant nor a path");
    return lent_with(connection, make_request(Operation::device, grant, path), flags);
}

WARDER_EXPORT int warder_secret(warder_connection* connection, const char* grant) {
    if (grant == nullptr) return invalid("a secret is asked for by its grant");
    return lent(connection, make_request(Operation::secret, grant, nullptr));
}

// ---- Names, keys, commands and other workers ----

WARDER_EXPORT ssize_t warder_lookup(warder_connection* connection, const char* grant, const char* key, char* text, size_t size) {
    if (key == nullptr) return invalid("nothing to look up");
    return data(connection, make_request(Operation::lookup, grant, key), text, size);
}

WARDER_EXPORT ssize_t warder_sysctl_get(warder_connection* connection, const char* grant, const char* key, char* text, size_t size) {
    if (key == nullptr) return invalid("no key");
    return data(connection, make_request(Operation::sysctl_read, grant, key), text, size);
}

WARDER_EXPORT int warder_sysctl_set(warder_connection* connection, const char* grant, const char* key, const char* value) {
    return changed(connection, Operation::sysctl_write, grant, key, value);
}

WARDER_EXPORT int warder_run(warder_connection* connection, const char* grant, const char* const* values, warder_process* process) {
    if (process == nullptr) return invalid("no room for the process");
    FixedString<max_values> lines;
    if (join(values, lines) != 0) return -1;
    Request request = make_request(Operation::run, grant, nullptr);
    request.target = lines.view();
    if (connection != nullptr) process->ends_dropped = connection->client->ends_dropped();
    RunTaker taker(request, *process);
    return ask_one(connection, request, taker);
}

WARDER_EXPORT int warder_signal(warder_connection* connection, const char* grant, const char* worker, int signal) {
    if (names_nothing(grant, worker) || signal < 1) return invalid("neither a grant nor a worker, or no signal");
    Request request = make_request(Operation::signal, grant, worker);
    request.argument = static_cast<std::uint64_t>(signal);
    return done(connection, request);
}

WARDER_EXPORT int warder_restart(warder_connection* connection, const char* grant, const char* worker) {
    if (names_nothing(grant, worker)) return invalid("neither a grant nor a worker");
    return done(connection, make_request(Operation::restart, grant, worker));
}

WARDER_EXPORT int warder_narrow(warder_connection* connection, const char* grant, const warder_narrowing* kept) {
    if (grant == nullptr) return invalid("a grant is narrowed by its name");
    if (kept != nullptr && kept->reserved != 0) return invalid("a reserved field is set");
    Request request = make_request(Operation::narrow, grant, kept != nullptr ? kept->target : nullptr);
    if (kept != nullptr) {
        request.argument = kept->operations;
        request.second = text_or_empty(kept->names);
        request.mode = kept->uses;
    }
    return done(connection, request);
}

// ---- Many at once ----

WARDER_EXPORT int warder_open_many(warder_connection* connection, const warder_request* requests, warder_result* results,
                                   size_t count) {
    if (connection == nullptr || requests == nullptr || results == nullptr) return invalid("no connection or no room");
    if (count == 0 || count > WARDER_MAX_REQUESTS) return invalid("not 1 to 253 requests");
    std::array<Request, WARDER_MAX_REQUESTS> list;
    std::transform(requests, requests + count, list.begin(), request_from);
    ManyTaker taker(list.data(), requests, results);
    const auto asked = connection->client->ask({list.data(), count}, taker);
    return asked ? taker.succeeded() : taker.failed(asked.error());
}

// ---- Why ----

WARDER_EXPORT const char* warder_why(void) { return last_failure().why; }

WARDER_EXPORT int warder_last_reason(void) { return last_failure().reason; }

WARDER_EXPORT const char* warder_reason_name(int reason) {
    if (reason < 0 || reason > UINT16_MAX) return "unknown";
    return name_of(static_cast<Reason>(reason)).data();   // a view of a literal: it ends with a NUL
}
