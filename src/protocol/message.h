// What is said between warderd, workers and operators: protocol version 1, in numbers and structs. This page mirrors
// docs/protocol.md, and tests/vectors hold examples that every client agrees on. It knows nothing of sockets or policy.
//
// A message is one SEQPACKET datagram of at most 64 KiB: a header, a body of body_size bytes, then strings_size bytes of
// text that the body points into by (offset, length). Fields are fixed-width, in host byte order, without padding.
// Extension is by size, as in openat2(2): a body or item longer than known is accepted if the unknown part is zero, a
// shorter one is refused. Numbers are never reused and never renumbered.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/ids.h"
#include "base/operation.h"
#include "base/reason.h"

namespace warder::protocol {

inline constexpr std::uint32_t current_version = 1;
inline constexpr std::uint32_t max_requests = 253;   // in one ask: the kernel passes 253 descriptors (SCM_MAX_FD)

// Never renumber. Requests have the two top bits clear, replies have 0x8000 set, events (from warderd, unasked) 0x4000,
// and what goes over the control socket 0x2000.
enum class Type : std::uint16_t {
    hello = 0x0001,
    ask = 0x0002,      // 1 to 253 requests
    ready = 0x0003,    // the worker is ready; status text
    status = 0x0004,   // status text for people
    found = 0x0005,    // from the resolver only: what it found
    put = 0x0006,      // to a descriptor store: keep the descriptors that come with it, under a name
    fetch = 0x0007,    // ... give back those of a name; the reply carries them
    stored = 0x0008,   // ... say what is kept: lines "NAME COUNT"

    hello_reply = 0x8001,
    answer = 0x8002,   // one result for each request of the ask, in their order
    done = 0x8003,     // to ready and status, and from a descriptor store to everything

    stop = 0x4001,     // finish what you do, then exit
    reload = 0x4002,   // read your own configuration again
    channel = 0x4003,  // a descriptor comes with it: the new end of what `name` says
    secret = 0x4004,   // a secret was rotated: `name` is the grant, `value` its generation, a descriptor comes with it
    revoked = 0x4005,  // the grant `name` was taken away by a reload
    lookup = 0x4006,   // to the resolver only: look `name` up ("host:db.example"), and say found with `value`
    ended = 0x4007,    // the command that was run by the grant `name` is over: `value` says how, see RunStatus

    command = 0x2001,  // from an operator: a verb
    report = 0xa001,   // to an operator: JSON text, perhaps in several messages
};

struct Header {
    std::uint16_t type;
    std::uint16_t flags;         // none are defined: must be 0
    std::uint32_t id;            // chosen by the asking side, echoed in the reply; 0 in events
    std::uint32_t body_size;     // bytes
    std::uint32_t strings_size;  // bytes
};
static_assert(sizeof(Header) == 16);

// Where a text lies, counted from the start of the strings.
struct Span {
    std::uint32_t offset;
    std::uint32_t length;
};
static_assert(sizeof(Span) == 8);

namespace wire {   // bodies, exactly as they stand in a datagram

struct Hello {
    std::uint32_t version_min;
    std::uint32_t version_max;
    std::uint64_t features;   // none are defined in version 1: what the other side does not know is ignored
};
static_assert(sizeof(Hello) == 16);

struct HelloReply {
    std::int32_t error;         // 0, or EPROTONOSUPPORT: no common version
    std::uint32_t version;      // the one to speak
    std::uint64_t features;
    std::uint32_t max_message;  // bytes
    std::uint32_t max_requests; // in one ask
    std::uint32_t requesters;   // 0 main, 1 group
    std::uint32_t reserved;
    Span worker;                // the worker's name
};
static_assert(sizeof(HelloReply) == 40);

struct Items {   // opens the body of ask and answer; `count` items of `item_size` bytes follow
    std::uint16_t count;
    std::uint16_t item_size;
    std::uint32_t reserved;
};
static_assert(sizeof(Items) == 8);

struct Request {
    std::uint16_t operation;   // Operation
    std::uint16_t flags;       // OpenFlag bits
    std::uint32_t mode;        // create: permission bits, 0 for the grant's own
    Span grant;                // a grant's name, or empty: the target decides
    Span target;               // absolute path, path below the grant, or address; empty: what the grant itself names
    Span second;               // rename: the new name
    std::uint64_t argument;    // see base/operation.h; 0 for operations that take none
};
static_assert(sizeof(Request) == 40);

struct Outcome {
    std::int32_t error;     // 0 or an errno
    std::uint16_t reason;   // Reason
    std::uint16_t fds;      // how many of the descriptors that came along are this one's, in order: 0 or 1, a run up to 4
    std::uint32_t grant;    // the grant that decided, or 0xffffffff
    std::uint32_t reserved;
    Span text;              // for a denial, one plain sentence: what would allow it. Otherwise the operation's data
    // secret, list, readlink, sysctl_read: bytes. connect: 1 while still connecting. watch: the watch's number. run: RunEnd
    // bits, and from bit 32 on its pid as warderd knows it. Otherwise 0.
    std::uint64_t value;
};
static_assert(sizeof(Outcome) == 32);

// The data of a stat, in the text of its outcome.
struct Stat {
    std::uint64_t device;
    std::uint64_t inode;
    std::uint32_t mode;        // type and permission bits, as st_mode
    std::uint32_t links;
    std::uint32_t uid;
    std::uint32_t gid;
    std::uint64_t size;        // bytes
    std::uint64_t blocks;      // of 512 bytes
    std::int64_t modified;     // seconds since 1970
    std::int64_t changed;
    std::uint32_t modified_ns;
    std::uint32_t changed_ns;
};
static_assert(sizeof(Stat) == 72);

struct Found {
    std::uint64_t query;    // the `value` of the lookup event
    std::int32_t error;     // 0 or an errno; ENOENT: there is no such user, host, ...
    std::uint32_t reserved;
    Span text;              // lines: of a host its addresses, of others the line of passwd(5), group(5), services(5)
};
static_assert(sizeof(Found) == 24);

struct Text {   // ready, status; put, fetch: a name
    Span text;
};
static_assert(sizeof(Text) == 8);

struct Done {
    std::int32_t error;
    std::uint16_t reason;
    std::uint16_t reserved;
    Span text;
};
static_assert(sizeof(Done) == 16);

struct Event {   // stop, reload, channel, secret, revoked, lookup, ended
    Span name;
    std::uint64_t value;
    std::uint32_t fds;
    std::uint32_t reserved;
};
static_assert(sizeof(Event) == 24);

struct Command {
    std::uint16_t verb;   // Verb
    std::uint16_t flags;  // CommandFlag bits
    std::uint32_t number;
    Span worker;
    Span argument;
    Span second;
};
static_assert(sizeof(Command) == 32);

struct Report {
    std::int32_t error;     // 0 or an errno; then the text is a sentence in JSON: {"error": "..."}
    std::uint32_t more;     // 1 while another report with the same id follows
    Span text;              // UTF-8 JSON, cut anywhere: join the texts of all reports of one id
};
static_assert(sizeof(Report) == 16);

}  // namespace wire

// The same as values with their texts found. Texts point into the datagram: they live as long as its buffer.

struct Request {
    std::uint16_t operation = 0;   // as sent: may be unknown to us
    std::uint16_t flags = 0;
    std::uint32_t mode = 0;
    std::string_view grant;
    std::string_view target;
    std::string_view second;
    std::uint64_t argument = 0;
};

struct Outcome {
    std::int32_t error = 0;
    Reason reason = Reason::ok;
    std::uint16_t fds = 0;
    GrantId grant = GrantId::none;
    std::string_view text;
    std::uint64_t value = 0;
};

struct Hello {
    std::uint32_t version_min = current_version;
    std::uint32_t version_max = current_version;
    std::uint64_t features = 0;
};

enum class Requesters : std::uint32_t { main = 0, group = 1 };

struct HelloReply {
    std::int32_t error = 0;
    std::uint32_t version = current_version;
    std::uint64_t features = 0;
    std::uint32_t max_message = 0;
    std::uint32_t max_requests = protocol::max_requests;
    Requesters requesters = Requesters::main;
    std::string_view worker;
};

// Which descriptors a run lends, in this order: the lowest bits of its outcome's `value`. Never renumber.
enum class RunEnd : std::uint64_t {
    in = 1 << 0,        // the writing end of its standard input
    out = 1 << 1,       // the reading end of its standard output
    err = 1 << 2,       // ... of its standard error
    process = 1 << 3,   // a pidfd
};

inline constexpr std::uint64_t run_ends = 0xf;

// The `value` of ended: the exit code or the signal's number in bits 0 to 7, these bits, and from bit 32 on the pid that the
// answer to the run said. Never renumber.
enum class RunStatus : std::uint64_t {
    by_signal = 1 << 8,
    timed_out = 1 << 9,   // warderd killed it, at its grant's timeout
};

inline constexpr std::uint64_t run_code = 0xff;

struct Done {
    std::int32_t error = 0;
    Reason reason = Reason::ok;
    std::string_view text;
};

struct Event {
    std::string_view name;
    std::uint64_t value = 0;
    std::uint32_t fds = 0;
};

struct Found {
    std::uint64_t query = 0;
    std::int32_t error = 0;
    std::string_view text;
};

// What an operator may ask for. Never renumber.
enum class Verb : std::uint16_t {
    status = 1,    // workers' state; `worker` empty: all
    list = 2,      // names only
    show = 3,      // one worker's config, sandbox and life
    start = 4,
    stop = 5,
    restart = 6,
    reload = 7,    // read the config again
    logs = 8,      // where a worker's log files are; warderctl reads them itself
    grants = 9,
    fds = 10,
    why = 11,      // `argument`: operation, `second`: words with a NUL between each two, `number`: OpenFlag bits
    check = 12,    // the running config's warnings
    version = 13,
    shutdown = 14, // stop everything and exit
    sockets = 15,  // that warderd and workers hold; `worker` empty: all
    store = 16,    // what is kept for a worker over its lives; `worker` empty: all
    security = 17, // how much is open to a worker, counted from its receipt; `worker` empty: all
    signal = 18,   // `argument`: its name or number, to the main process of `worker`
    forget = 19,   // `worker`: a name that no worker of the config has; its uid is free for another
};

enum class CommandFlag : std::uint16_t {
    wait = 1 << 0,   // start, stop, restart: report when it is done rather than when it is begun
};

struct Command {
    Verb verb = Verb::status;
    std::uint16_t flags = 0;
    std::uint32_t number = 0;
    std::string_view worker;
    std::string_view argument;
    std::string_view second;
};

struct Report {
    std::int32_t error = 0;
    bool more = false;
    std::string_view text;
};

}  // namespace warder::protocol
