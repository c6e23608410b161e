// The names of mechanisms, as lists and documents have them.
#include "attempt.h"

namespace attempts {
namespace {

struct Named {
    Mechanism mechanism;
    std::string_view name;
};

constexpr Named names[] = {
    {user, "user"},
    {capabilities, "capabilities"},
    {no_new_privileges, "no_new_privileges"},
    {mounts, "mounts"},
    {pids, "pids"},
    {network, "network"},
    {ipc, "ipc"},
    {uts, "uts"},
    {cgroups, "cgroups"},
    {filter, "filter"},
    {strict_filter, "strict_filter"},
    {landlock_files, "landlock_files"},
    {landlock_ports, "landlock_ports"},
    {landlock_scope, "landlock_scope"},
    {executable_memory, "executable_memory"},
    {keyring, "keyring"},
    {no_core, "no_core"},
    {daemon_filter, "daemon_filter"},
    {exec_seal, "exec_seal"},
    {seals, "seals"},
    {pass_rights, "pass_rights"},
};

}  // namespace

std::uint32_t mechanism_of(std::string_view name) {
    for (const auto& one : names) {
        if (one.name == name) return one.mechanism;
    }
    return 0;
}

std::string names_of(std::uint32_t mechanisms) {
    std::string list;
    for (const auto& one : names) {
        if ((mechanisms & one.mechanism) != 0) list.append(list.empty() ? "" : ",").append(one.name);
    }
    return list;
}

}  // namespace attempts
