// Stages of setting up a sandbox, in their order. A failure is one of these and an errno, sent down the status pipe and told
// once more by the exit number that systemd.exec(5) gives to that stage.
#pragma once

#include <cstdint>
#include <string_view>

namespace warder::sandbox {

// Never renumber: the number goes down the status pipe and into the audit.
enum class Stage : std::uint8_t {
    none = 0,
    descriptors = 1,      // 202 FDS
    namespaces = 2,       // 226 NAMESPACE
    network = 3,          // 225 NETWORK
    mounts = 4,           // 226 NAMESPACE
    directory = 5,        // 200 CHDIR
    limits = 6,           // 205 LIMITS
    nice = 7,             // 201 NICE
    oom_score = 8,        // 206 OOM_ADJUST
    group = 9,            // 216 GROUP
    user = 10,            // 217 USER
    capabilities = 11,    // 218 CAPABILITIES
    parent_death = 12,    // 220 (warder's own use: the parent is gone)
    no_new_privileges = 13, // 227 NO_NEW_PRIVILEGES
    landlock = 14,        // 243 (warder's own use)
    seccomp = 15,         // 228 SECCOMP
    exec = 16,            // 203 EXEC
    cgroup = 17,          // 219 CGROUP: its group cannot be made ready, or does not take it; found by the parent, before there is a child
    session = 18,         // 220 SETSID
    standard_input = 19,  // 208 STDIN
    uts = 20,             // 226 NAMESPACE: the hostname
    // 21 was set-up that took too long, which ends the child by a signal and is no stage.
    io_priority = 22,     // 211 IOPRIO
    scheduling = 23,      // 214 SETSCHEDULER
    affinity = 24,        // 215 CPUAFFINITY
    secure_bits = 25,     // 213 SECUREBITS
    personality = 26,     // 230 PERSONALITY
    keyring = 27,         // 237 KEYRING
    memory = 28,          // 204 MEMORY: no memory that is writable and executable
    evidence = 29,        // 228 SECCOMP: whoever is to see what its filter denies
};

// What the child sends down the status pipe when a stage fails. Exec closes the pipe with nothing in it.
struct SetupFailure {
    Stage stage = Stage::none;
    std::int32_t error = 0;
    char object[240]{};   // what it was about: the path, the limit, the id; NUL-terminated, cut where it is longer
};

int exit_status_of(Stage stage);
std::string_view name_of(Stage stage);

}  // namespace warder::sandbox
