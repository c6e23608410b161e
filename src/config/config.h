// Config: what the TOML files say, as values with defaults filled in and names resolved. Who uses it need not know TOML.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/run_mode.h"
#include "policy/grant.h"
#include "sandbox/plan.h"
#include "supervise/rule.h"

namespace warder::config {

// Where something stands in a file. Lines and columns count from 1; 0 is "nowhere".
struct Position {
    std::string file;
    std::uint32_t line = 0;
    std::uint32_t column = 0;
};

enum class Requesters : std::uint8_t { main, group };

// How a program that knows nothing of Warder reaches it: python by the package's warder.monkey, which is told the grants.
enum class Door : std::uint8_t { none, python };
enum class Severity : std::uint8_t { error, warning };

// A complaint with its place, its line of text and what to do.
struct Problem {
    Severity severity = Severity::error;
    Position where;
    std::string what;         // "unknown key \"lisen\" in a grant"
    std::string suggestion;   // "did you mean \"listen\"?", or empty
    std::string line;         // the line of the file itself; of a very long one the part around the place
    std::uint32_t length = 1; // how many columns the caret underlines
    std::uint32_t line_from = 1;   // the column at which `line` begins: more than 1 if its start was cut off
};

// A value's place, kept so that what is found wrong later (no such user, no such program) can be shown in its file too.
struct Mark {
    Position where;
    std::string line;
    std::uint32_t length = 1;
    std::uint32_t line_from = 1;

    Problem problem(Severity severity, std::string what, std::string suggestion = {}) const {
        return {severity, where, std::move(what), std::move(suggestion), line, length, line_from};
    }
};
// By key: "exec", "user", "supplementary_groups", "grants.http", "sandbox.bind_read_only", and entry_key("sandbox.bind_read_only", "/srv").
using Marks = std::map<std::string, Mark, std::less<>>;

// The key under which the place of a list's entry stands that has this text in it.
inline std::string entry_key(std::string_view key, std::string_view text) { return std::string(key).append("\n").append(text); }

// ... of the first of these keys that has such an entry; otherwise `otherwise`.
inline std::string place_of_entry(const Marks& marks, std::initializer_list<std::string_view> keys, std::string_view text, std::string_view otherwise) {
    for (const std::string_view key : keys) {
        if (std::string entry = entry_key(key, text); marks.contains(entry)) return entry;
    }
    return std::string(otherwise);
}

// warderd starts the log keeper and the resolver under these names; no worker of a file may have them, nor the other two.
inline constexpr std::string_view log_keeper_name = "log-keeper";
inline constexpr std::string_view resolver_name = "resolver";
inline constexpr std::array<std::string_view, 4> reserved_names = {log_keeper_name, resolver_name, "warderd", "all"};

struct Logging {
    std::uint64_t max_size = 10ULL << 20;   // bytes of one file before it is rotated
    std::uint32_t keep = 5;                 // rotated files kept beside the present one
};

struct Daemon {
    std::string runtime_directory = "/run/warder";
    std::string state_directory = "/var/lib/warder";
    std::string log_directory = "/var/log/warder";
    std::string cache_directory = "/var/cache/warder";   // of workers; no key of its own
    std::string control_socket;             // empty: runtime_directory/control.sock
    std::string control_group = "warder";   // members may use the control socket, beside root
    std::string cgroup = "auto";            // "auto", "none", or a directory of cgroup v2 that is ours
    // Of workers without a named user: above what systemd gives out below 65536 (DynamicUser=), below the first subordinate ids
    // (100000) and its containers' (524288).
    uid_t uid_first = 70000;
    uid_t uid_last = 89999;
    std::uint32_t openers = 2;
    std::uint32_t spare_sandboxes = 32;         // of next lives, of all workers together
    Duration request_timeout = std::chrono::seconds(5);
    Logging logging;
    std::vector<std::string> require;       // of sandbox::kernel_items: without them nothing is started
    bool log_keeper = true;                 // false: workers write to warderd's own standard error
    std::uint64_t reserve_capabilities = 0; // bit by number: kept by warderd although nothing in the config needs them
    RunMode run_mode;                      // no file says it: how warderd was started
    Marks marks;
};

struct Worker {
    std::string name;
    Position where;
    std::string user;                       // empty: from the range
    std::string group;                      // empty: the user's own
    std::vector<std::string> supplementary_groups;
    Requesters requesters = Requesters::main;
    Door door = Door::none;
    supervise::Rule rule;
    // uid, gid and groups are set by resolve(); with an empty `user` they stay for who gives numbers out of the range.
    // `user` in it is the named user, or the worker's name.
    sandbox::Plan sandbox;
    std::string profile = "strict";         // that the sandbox differs from; "user" where that is without root
    // Why this machine cannot run it as it is now: resolve() says it. Others run all the same. Empty: nothing is known.
    std::string fault;
    std::vector<policy::Grant> grants;
    Logging logging;
    std::uint32_t max_pending_requests = 64;     // requests being done at once
    std::uint32_t max_request_rate = 50'000;   // with as many in one burst
    std::uint64_t max_lent_memory = 64ULL << 20;  // bytes of lists and secrets that it holds
    std::uint32_t max_in_flight = 0;        // descriptors sent and not yet received; 0: its share, which resolve() gives it
    Marks marks;
};

// The text of everything that makes two configs of a worker equal, a line a key; after resolve(), with what was resolved. Equal
// texts: a reload leaves the worker alone. Not in it: where it stands in its file.
std::string fingerprint_of(const Worker& worker);

// Keys of fingerprint_of() as the file has them, each once: "exec" for "program" and "argument", "grants" for what is of one.
std::vector<std::string> keys_as_written(const std::vector<std::string>& keys);

// What a lent socket could still be turned into is closed by the sandbox: seccomp cannot see whose descriptor a call names, so
// whole calls go. Only adds to `calls`.
void narrow_calls(const std::vector<policy::Grant>& grants, sandbox::Calls& calls);

// The worker's own grants as JSON, for $WARDER_GRANTS: names, kinds, rights, and what each is about. Call when kinds are decided.
std::string told_grants(const std::vector<policy::Grant>& grants);

// Whether connect(2) can do nothing with what this grant lends that Landlock's ports would not hold; and whether listen(2) could
// make a listener of it.
bool stays_where_it_is(const policy::Grant& grant);
bool could_listen(const policy::Grant& grant);

// Whether a worker with this grant may send descriptors: to its descriptor store, or over a channel.
bool sends_descriptors(const policy::Grant& grant);

// [[expect]]: a request and what is to become of it, compared by `check`.
struct Expectation {
    std::string worker;
    Operation operation{};
    std::uint16_t flags = 0;
    std::uint32_t mode = 0;
    std::string grant;
    std::string target;
    std::string second;
    std::uint64_t argument = 0;
    bool allowed = false;                   // verdict = "allow" or "deny"
    std::string by;                         // grant that is to allow it; empty: whichever
    Mark mark;
};

struct Config {
    Daemon daemon;
    std::vector<Worker> workers;
    std::vector<Expectation> expectations;
    std::vector<std::string> files;         // in the order in which they were read
};

}  // namespace warder::config
