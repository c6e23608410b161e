// What an operator may see and do, as values and one interface. The control module decodes commands, asks through Operator
// and writes what comes back; the daemon implements it. Nothing here knows of sockets or of JSON.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/operation.h"
#include "base/reason.h"
#include "base/time.h"
#include "policy/grant.h"
#include "protocol/message.h"
#include "supervise/lifecycle.h"

namespace warder::control {

// Why something is not answered: an errno for programs, a sentence for people.
struct Refusal {
    int error = 0;          // ENOENT: no such worker; EINVAL: makes no sense; others as they come
    std::string sentence;   // "no worker \"wbe\"; did you mean \"web\"?"
    friend bool operator==(const Refusal&, const Refusal&) = default;
};

template <typename T>
using Answer = std::expected<T, Refusal>;
using Refused = std::unexpected<Refusal>;

// A system call that a worker's filter denied it, as its syscall monitor saw it.
struct DeniedCallReport {
    std::string call;                         // "ptrace"
    std::string words;                        // with what of its arguments is known: "ptrace(0, 0)"
    int error = 0;                            // what it was answered; 0: the worker was ended for it
    std::uint64_t count = 0;
    std::int64_t first = 0;                   // nanoseconds since 1970
    std::int64_t last = 0;
    pid_t pid = 0;                            // who made it last
    std::string section;                      // "[worker.web.sandbox]"
    std::string origin;                       // "warder.toml:12": the key, its section or its worker
    std::string key;                          // what decides; empty: no key allows it
    std::string change;                       // the smallest that would allow it, or why none does
};

// One worker's life, for status.
struct WorkerReport {
    std::string name;
    WorkerId id{};
    supervise::State state = supervise::State::stopped;
    supervise::Desired desired = supervise::Desired::down;
    Instant since{};                          // when the present state began; Instant{}: it has had no other
    pid_t pid = 0;                            // as the host sees it; 0: no process
    std::string user;                         // its name where it has one
    uid_t uid = 65534;
    gid_t gid = 65534;
    std::uint32_t restarts = 0;               // by policy, since a person's last start
    std::string last_exit;                    // "exit code 1", "signal 9 (KILL)"; empty: never ended
    Instant next_start = Instant::never();    // waiting: when it is started again
    std::string status;                       // what the worker says of itself
    std::uint64_t allowed = 0;                // requests since warderd knows it
    std::uint64_t denied = 0;                 // by the policy
    std::uint64_t failed = 0;                 // permitted, and then the kernel or another process refused
    std::uint32_t fds = 0;                    // descriptors lent in this life
    std::string cgroup;                       // its directory, or empty
    std::optional<std::uint64_t> memory;      // bytes in use by its group, where the kernel counts them
    std::optional<Duration> cpu;              // processor time of its group
    std::optional<std::uint64_t> tasks;       // processes and threads in its group
    std::string evidence;                     // of denied calls: "off" (no filter), "errno", "full", "lost" (its syscall monitor ended)
    pid_t syscall_monitor = 0;                        // the process that sees them; 0: none
    std::vector<DeniedCallReport> denied_calls;   // in this life; before it is ready, in the last one that had any
    std::uint64_t other_calls = 0;            // ... beyond those that are told apart
    bool helper = false;                      // one of warderd's own: it keeps the logs, or resolves names
};

enum class Held : std::uint8_t {
    unneeded,   // nothing is kept between requests (connect)
    held,       // the directory, or the listener, is held
    absent,     // what the grant names is not there; tried again at each request
    lost,       // a listener that could not be made again
};

struct GrantReport {
    GrantId id{};
    std::string name;
    policy::Kind kind{};
    Operations rights;
    std::string target;               // path, or address as text
    policy::As as = policy::As::worker;
    policy::Owner owner = policy::Owner::unset;
    std::vector<std::string> names;   // tree: patterns for the last component; empty: every name
    std::string origin;               // "warder.toml:12"
    std::uint64_t uses = 0;           // requests that it allowed
    Held held = Held::unneeded;
    policy::Shape shape;              // how often and how long it may be used
    bool narrowed = false;            // the worker made it smaller itself
    std::vector<std::string> details; // what else its kind has: "HUP", "stream", "carries descriptors", "as nobody"
};

// A descriptor that was lent in this life. Numbers are the worker's own: known only where its table can be read.
struct FdReport {
    std::optional<int> number;
    std::string grant;
    Operation operation{};
    std::string target;                // path, or address as text
    Instant since{};
    std::optional<bool> open;          // unknown where the worker's table cannot be read
};

// A socket, and who holds it. One that several processes hold is reported for each of them.
struct SocketReport {
    std::string protocol;              // "tcp", "unix-stream"; "socket": nobody can tell
    bool queues = false;               // whether the two queues are known
    std::string state;                 // "listen", "established"; empty: it has none
    std::uint32_t receive_queue = 0;   // as sys/sock_diag.h has them
    std::uint32_t send_queue = 0;
    std::string local;
    std::string peer;
    std::uint64_t inode = 0;
    std::uint64_t peer_inode = 0;      // unix: the other end; 0: none, or nobody can tell
    pid_t peer_pid = 0;                // who holds that, where it is one of us
    std::string peer_worker;           // ... and which worker that belongs to; empty: warderd
    std::string worker;                // whose it is: its holder, or for whom warderd holds it; empty: warderd's own
    bool kept = false;                 // warderd holds it
    pid_t pid = 0;
    int fd = -1;
    std::string grant;                 // empty: none
};

struct SocketsReport {
    std::vector<SocketReport> sockets;
    bool complete = true;              // false: there were too many to look at them all
};

// What is kept for a worker over its lives.
struct KeptReport {
    std::string name;
    std::uint32_t count = 0;           // descriptors
    std::int64_t since = 0;            // nanoseconds since 1970
};

struct StoreReport {
    std::string worker;
    std::uint32_t most = 0;            // descriptors that may be kept at once
    std::uint32_t total = 0;           // ... that are
    std::uint32_t names = 0;           // may be more than are listed
    pid_t descriptor_store = 0;               // the process that keeps them; 0: none runs
    std::uint64_t refused = 0;         // messages that it answered with an error
    std::uint64_t strays = 0;          // descriptors that came along where none may
    std::vector<KeptReport> kept;
};

// What `why` is asked: see control/question.h.
struct Question {
    Operation operation{};
    std::vector<std::string> words;    // a target, and what the operation takes beside it
    std::uint16_t flags = 0;           // OpenFlag bits
};

struct WhyReport {
    bool allowed = false;
    Reason reason = Reason::not_granted;
    std::string worker;
    std::string operation;
    std::string target;
    std::string grant;      // that decided, or came nearest; empty: none
    std::string origin;     // of that grant
    std::string sentence;   // policy::explain
};

enum class Weight : std::uint8_t { error, warning };

struct ProblemReport {
    Weight weight = Weight::error;
    std::string file;             // empty: not about a place
    std::uint32_t line = 0;       // from 1; 0: none
    std::uint32_t column = 0;
    std::uint32_t length = 1;     // columns that the caret underlines
    std::string what;
    std::string suggestion;       // or empty
    std::string text;             // the line itself, or empty
};

// A protection of the kernel or of a mode: on, or off and why.
struct Protection {
    std::string name;
    bool on = false;
    std::string note;
};

// Why the parent keeps a capability for a config.
struct CapabilityReport {
    std::string name;                  // "CAP_SETUID"
    std::vector<std::string> reasons;  // the first few
};

// How much is open to a worker, counted from what its receipt has seen.
struct SecurityItem {
    std::string item;
    unsigned weight = 0;
    bool confined = false;
    std::string raise;                 // what would close it
};

struct SecurityReport {
    std::string worker;
    bool seen = false;                 // it runs or ran, and its receipt was taken
    unsigned exposure_tenths = 100;    // 0: nothing is open; 100: all is
    std::vector<SecurityItem> items;   // the heaviest first
};

struct CheckReport {
    std::vector<std::string> files;
    std::vector<std::string> workers;
    std::vector<ProblemReport> problems;
    std::vector<CapabilityReport> capabilities;   // what the parent keeps for this config
    std::vector<Protection> protections;
    bool ok() const {
        for (const auto& problem : problems) {
            if (problem.weight == Weight::error) return false;
        }
        return true;
    }
};

// How something about a sandbox is known (section 7 of the design).
enum class Evidence : std::uint8_t { none, read, proved };

struct SandboxItem {
    std::string name;        // "capabilities", "network namespace"
    std::string wanted;
    std::string effective;   // empty: not running, or nobody can tell
    Evidence evidence = Evidence::none;
    bool matches = true;
};

// The whole plan of a sandbox after defaults, each item with where it comes from.
struct PlanLine {
    std::string key;         // as in the config: "sandbox.network", "nice"
    std::string value;
    std::string origin;      // "warder.toml:12", "profile strict", "default", "grants"
};

struct KernelLack {
    std::string worker;      // or "[daemon] require"
    std::string item;
    std::string why;
    std::string instead;
    bool preferred = false;
};

struct SandboxPlanReport {
    std::string worker;
    std::string profile;
    std::vector<PlanLine> plan;
    std::vector<KernelLack> lacks;
};

struct KernelReport {
    struct Item {
        std::string name;
        bool present = false;
        std::string since;
    };
    std::vector<Item> items;
    std::vector<KernelLack> lacks;
    bool ok = true;          // everything that is required is there
};

struct ShowReport {
    WorkerReport worker;
    std::string origin;                  // "warder.toml:4"
    std::vector<std::string> program;    // argv
    std::string requesters;              // "main", "group"
    std::string ready;                   // "exec", "libwarder", "notify"
    std::string restart;                 // "always, after 100ms × 2 up to 30s, at most 10 in 1min"
    std::string stop;                    // "TERM, KILL after 10s"
    std::vector<SandboxItem> sandbox;
    std::vector<std::string> open;       // what stays possible, in sentences: section 5 of the design
    std::vector<GrantReport> grants;
};

struct LogFile {
    std::string worker;
    std::string file;        // in the directory: "web.log"; rotated ones are "web.log.1" and on
};

struct LogsReport {
    std::string directory;             // empty: there are no files, `elsewhere` says where the lines go
    std::vector<LogFile> files;
    std::string audit;                 // its file in the directory, or empty
    std::string elsewhere;             // "standard error of warderd"
};

enum class ReloadMode : std::uint8_t { plan, apply };
enum class ChangeKind : std::uint8_t { add, remove, restart, live };

struct ChangeReport {
    std::string worker;
    ChangeKind kind{};
    std::vector<std::string> keys;     // what differs: "grants.site", "command"; empty: not told apart
    std::vector<std::string> left;     // sentences: what the worker keeps although its grant goes
    std::string failed = {};           // why it could not be carried out: the worker is as it was
};

struct ReloadReport {
    ReloadMode mode = ReloadMode::apply;
    bool ok = true;                          // false: `problems` say why nothing was changed, or changes why they failed
    std::vector<ChangeReport> changes;       // workers that stay as they are are left out
    std::vector<ProblemReport> problems;

    auto failures() const { return std::ranges::count_if(changes, [](const auto& change) { return !change.failed.empty(); }); }
};

struct VersionReport {
    std::string version;
    std::uint32_t protocol = 1;
    pid_t pid = 0;
    Instant since{};
    std::string config;                // the path that was given
    std::uint64_t turns = 0;           // of its loop
    std::uint64_t turns_over_5ms = 0;
    Duration longest_turn{};
};

// A report of any size that is asked for by one connection's message, and where it is to go.
struct Ticket {
    std::uint32_t place = 0;        // of the connection
    std::uint32_t generation = 0;
    RequestId id{};
    protocol::Verb verb{};
};
struct Reported {
    int error = 0;
    std::string text;
};
// Makes a report; perhaps in a process of its own, which lets go of all that is warderd's when it calls what it is given.
using LetGo = std::function<void()>;
using Report = std::function<Reported(const LetGo&)>;

// The daemon, as operators see it. Names come from operators and may be anything: an unknown one is refused with ENOENT
// and a sentence that names the nearest. Nothing here waits: start, stop and restart begin something, and the daemon calls
// Server::worker_changed at each change of state that follows.
class Operator {
public:
    virtual ~Operator() = default;

    // Every worker, in the order of the config, and then warderd's own helpers.
    virtual std::vector<WorkerReport> workers() const = 0;
    virtual Answer<WorkerReport> worker(std::string_view name) const = 0;
    virtual Answer<ShowReport> show(std::string_view name) const = 0;
    virtual Answer<std::vector<GrantReport>> grants(std::string_view name) const = 0;
    virtual Answer<std::vector<FdReport>> fds(std::string_view name) const = 0;
    virtual Answer<WhyReport> why(std::string_view name, const Question& question) const = 0;
    // An empty name: of warderd and every worker, and the stores of all. Of warderd's descriptors nothing is needed once `let_go` is
    // called.
    virtual Answer<SocketsReport> sockets(std::string_view name, const LetGo& let_go) const = 0;
    virtual Answer<std::vector<StoreReport>> stores(std::string_view name) const = 0;
    // An empty name: every worker.
    virtual Answer<std::vector<SecurityReport>> security(std::string_view name) const = 0;
    // An empty name: every worker and the audit.
    virtual Answer<LogsReport> logs(std::string_view name) const = 0;
    virtual CheckReport check() const = 0;
    virtual VersionReport version() const = 0;

    virtual Answer<void> start(std::string_view name) = 0;
    virtual Answer<void> stop(std::string_view name) = 0;
    virtual Answer<void> restart(std::string_view name) = 0;
    virtual Answer<ReloadReport> reload(ReloadMode mode) = 0;
    // To its main process. Returns that one's pid. ESRCH: it has none now.
    virtual Answer<pid_t> signal(std::string_view name, int signal) = 0;
    // Takes back the uid of a name that no worker of the config has, and returns it. EBUSY: one has it.
    virtual Answer<uid_t> forget(std::string_view name) = 0;
    // Stops everything and ends; begun, not done, when this returns.
    virtual Answer<void> shutdown() = 0;

    // Has a report made whose size is for workers to choose. Nothing: it will be brought to Server::answered.
    virtual std::optional<Reported> inquire(const Ticket& ticket, const Report& report) {
        static_cast<void>(ticket);
        return report([] {});
    }

    // A line for the daemon's log: who changed what ("uid 1000 (pid 4242): stop web"), or whose connection was ended and why.
    virtual void note(std::string_view line) { static_cast<void>(line); }
    // The same of what was not done. Whoever may connect brings it about as often as it likes, so it is no more than counted then.
    virtual void note_refused(std::string_view line) { note(line); }
};

}  // namespace warder::control
