// Attempts: what a hostile program tries from inside a sandbox, one function each, with the mechanisms known to stop it and what is to
// come of it under `strict` and under `service`. The program runs its own table: `attempts run` prints a line for each, `attempts
// list` the table. Nothing here harms the machine where it succeeds: what is changed is set to what it was, what is opened is
// only opened, and what could be destroyed belongs to victims that were started for it.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace attempts {

// What is known to stop an attempt.
enum Mechanism : std::uint32_t {
    user = 1U << 0,               // a uid of its own, without capabilities, where no capabilities alone would not do
    capabilities = 1U << 1,       // none, even of uid 0
    no_new_privileges = 1U << 2,
    mounts = 1U << 3,             // a tree of its own, its binds nosuid and nodev; no /proc
    pids = 1U << 4,
    network = 1U << 5,            // of its own and empty: `strict` alone
    ipc = 1U << 6,
    uts = 1U << 7,
    cgroups = 1U << 8,
    filter = 1U << 9,             // seccomp, as `service` has it
    strict_filter = 1U << 10,     // seccomp, as `strict` has it, where that of `service` does not
    landlock_files = 1U << 11,
    landlock_ports = 1U << 12,    // `strict` alone
    landlock_scope = 1U << 13,
    executable_memory = 1U << 14, // memory_deny_write_execute: `strict` alone
    keyring = 1U << 15,
    no_core = 1U << 16,
    descriptors = 1U << 17,       // all but the listed are closed
    daemon_filter = 1U << 18,     // the list of calls that warderd denies to itself and all that it starts
    exec_seal = 1U << 19,         // of a secret
    seals = 1U << 20,             // of a secret
    pass_rights = 1U << 21,       // SO_PASSRIGHTS is 0 on warderd's end
};

// "landlock_files" and back; 0: there is no such mechanism.
std::uint32_t mechanism_of(std::string_view name);
std::string names_of(std::uint32_t mechanisms);   // with commas
std::string legend();                             // a line for each: its name, and what it is


// What was lent, by grants of a daemon or by the test.
enum Lent : int { readable, appendable, writable, secret, terminal, stream, directory, listener, connected, datagram, datagram6, lent_kinds };
inline constexpr int none_lent = -1;

// An attempt's answer: 0 it succeeded, otherwise an errno, or this: it did succeed, but reached only what is the program's own.
inline constexpr int only_its_own = -1;

// What the program is told of the world around: "user.pid" and so on, and what it was lent.
struct Context {
    std::map<std::string, std::string> told;
    int lent[lent_kinds];

    std::string text(const std::string& key) const {
        const auto found = told.find(key);
        return found == told.end() ? std::string("/nothing-was-told") : found->second;
    }
    long number(const std::string& key) const { return std::strtol(text(key).c_str(), nullptr, 0); }
    std::string below(const char* path) const { return text("dir") + "/" + path; }
    // In the directory that is the program's own, and by a name that no other sandbox uses.
    std::string own(const char* name) const { return below("tmp/") + name + (told.contains("sandbox") ? "." + text("sandbox") : ""); }
};

using Function = int (*)(const Context&);

// With lent inet sockets the filter is another one: these run in workers of their own.
enum class Group : std::uint8_t { plain, sockets };

struct Attempt {
    const char* name;
    const char* what;
    Function function;
    std::uint32_t stopped_by;
    const char* strict;              // "EPERM", "SIGSYS", "its own", "not lent"; "open": it succeeds, and that is declared
    const char* service;
    int needs = none_lent;
    const char* absent = "";         // with all mechanisms removed: what it answers where the kernel or the machine has no such thing, or refuses it
    Group group = Group::plain;
};

std::span<const Attempt> on_files();
std::span<const Attempt> on_the_kernel();
std::span<const Attempt> on_processes();
std::span<const Attempt> on_networks();
std::span<const Attempt> on_what_is_lent();

// ---- Pieces ----

inline int done(long result) { return result < 0 ? errno : 0; }

// Beyond the check of rights a call with nothing to do answers with one of these.
inline int past_the_check(long result, int beyond, int other = 0) {
    if (result >= 0 || errno == beyond || (other != 0 && errno == other)) return 0;
    return errno;
}

// Where there is no sandbox, what follows is to happen in namespaces that end with the attempt. Denied in a sandbox: that is all the same.
void step_aside(int namespaces);

// Runs another program to its end: its exit status, or a negative errno of exec.
int run(const std::string& program, const std::string& argument);

// An ordinary user, whoever this is. False: it could not be.
bool become_ordinary();

// A file of its own under the directory that is the program's own.
int own_file(const Context& context, const char* name, int flags, mode_t mode = 0600);

// Copies this program.
bool copy_itself(const Context& context, int into);

// ---- Parts of the program ----

// Takes what a test lends, all at once.
void take_descriptors(int socket, int (&lent)[lent_kinds]);

// Asks warderd for what the grants lend.
void ask_for_descriptors(int broker, int (&lent)[lent_kinds], int& out);

// Stands still until it is killed: what others try to reach.
int be_a_victim(const Context& context);

}  // namespace attempts
