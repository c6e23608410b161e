// Mechanisms in words, as lists and documents have them.
#include "attempt.h"

namespace attempts {
namespace {

struct Named {
    Mechanism mechanism;
    std::string_view name;
    std::string_view what;
};

constexpr Named names[] = {
    {user, "user", "a uid of its own, without capabilities (listed where capabilities alone do not stop it)"},
    {capabilities, "capabilities", "none in any set"},
    {no_new_privileges, "no_new_privileges", "no_new_privs"},
    {mounts, "mounts", "a tree of its own, binds nosuid and nodev, no /proc"},
    {pids, "pids", "a pid namespace"},
    {network, "network", "a network namespace with nothing in it (`strict`)"},
    {ipc, "ipc", "an ipc namespace"},
    {uts, "uts", "a uts namespace"},
    {cgroups, "cgroups", "a cgroup namespace"},
    {filter, "filter", "seccomp, as `service` has it"},
    {strict_filter, "strict_filter", "seccomp, as `strict` has it"},
    {landlock_files, "landlock_files", "Landlock: files"},
    {landlock_ports, "landlock_ports", "Landlock: TCP ports (`strict`)"},
    {landlock_scope, "landlock_scope", "Landlock: signals and abstract sockets"},
    {executable_memory, "executable_memory", "memory that was writable never becomes executable (`strict`)"},
    {keyring, "keyring", "a session keyring of its own"},
    {no_core, "no_core", "no core dumps"},
    {daemon_filter, "daemon_filter", "the calls that warderd denies itself and all that it starts"},
    {exec_seal, "exec_seal", "MFD_NOEXEC_SEAL of a secret"},
    {seals, "seals", "a secret is sealed against writing"},
    {pass_rights, "pass_rights", "SO_PASSRIGHTS is 0 on warderd's end"},
};

}  // namespace

std::uint32_t mechanism_of(std::string_view name) {
    for (const auto& one : names) {
        if (one.name == name) return one.mechanism;
    }
    return 0;
}

std::string legend() {
    std::string lines;
    for (const auto& one : names) lines.append(one.name).append("\t").append(one.what).append("\n");
    return lines;
}

std::string names_of(std::uint32_t mechanisms) {
    std::string list;
    for (const auto& one : names) {
        if ((mechanisms & one.mechanism) != 0) list.append(list.empty() ? "" : ",").append(one.name);
    }
    return list;
}

}  // namespace attempts
