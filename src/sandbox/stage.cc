#include "sandbox/stage.h"

#include <array>

namespace warder::sandbox {
namespace {

struct StageEntry {
    Stage stage;
    int exit_status;   // systemd.exec(5), "Process Exit Codes"
    std::string_view name;
};

constexpr std::array<StageEntry, 30> stages{{
    {Stage::none, 0, "none"},
    {Stage::descriptors, 202, "descriptors"},
    {Stage::namespaces, 226, "namespaces"},
    {Stage::network, 225, "network"},
    {Stage::mounts, 226, "mounts"},
    {Stage::directory, 200, "directory"},
    {Stage::limits, 205, "limits"},
    {Stage::nice, 201, "nice"},
    {Stage::oom_score, 206, "oom_score"},
    {Stage::group, 216, "group"},
    {Stage::user, 217, "user"},
    {Stage::capabilities, 218, "capabilities"},
    {Stage::parent_death, 220, "parent_death"},
    {Stage::no_new_privileges, 227, "no_new_privileges"},
    {Stage::landlock, 243, "landlock"},
    {Stage::seccomp, 228, "seccomp"},
    {Stage::exec, 203, "exec"},
    {Stage::cgroup, 219, "cgroup"},
    {Stage::session, 220, "session"},
    {Stage::standard_input, 208, "standard_input"},
    {Stage::uts, 226, "uts"},
    {Stage::deadline, 1, "deadline"},
    {Stage::io_priority, 211, "io_priority"},
    {Stage::scheduling, 214, "scheduling"},
    {Stage::affinity, 215, "affinity"},
    {Stage::secure_bits, 213, "secure_bits"},
    {Stage::personality, 230, "personality"},
    {Stage::keyring, 237, "keyring"},
    {Stage::memory, 204, "memory"},
    {Stage::evidence, 228, "evidence"},
}};

const StageEntry* find(Stage stage) {
    for (const auto& entry : stages) {
        if (entry.stage == stage) return &entry;
    }
    return nullptr;
}

}  // namespace

int exit_status_of(Stage stage) {
    const StageEntry* entry = find(stage);
    return entry ? entry->exit_status : 1;
}

std::string_view name_of(Stage stage) {
    const StageEntry* entry = find(stage);
    return entry ? entry->name : "unknown";
}

}  // namespace warder::sandbox
