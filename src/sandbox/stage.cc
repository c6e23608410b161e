#include "sandbox/stage.h"

namespace warder::sandbox {
namespace {

struct StageEntry {
    int exit_status = 1;   // systemd.exec(5), "Process Exit Codes"
    std::string_view name = "unknown";
};

StageEntry entry_of(Stage stage) {
    switch (stage) {
        case Stage::none: return {0, "none"};
        case Stage::descriptors: return {202, "descriptors"};
        case Stage::namespaces: return {226, "namespaces"};
        case Stage::network: return {225, "network"};
        case Stage::mounts: return {226, "mounts"};
        case Stage::directory: return {200, "directory"};
        case Stage::limits: return {205, "limits"};
        case Stage::nice: return {201, "nice"};
        case Stage::oom_score: return {206, "oom_score"};
        case Stage::group: return {216, "group"};
        case Stage::user: return {217, "user"};
        case Stage::capabilities: return {218, "capabilities"};
        case Stage::parent_death: return {220, "parent_death"};
        case Stage::no_new_privileges: return {227, "no_new_privileges"};
        case Stage::landlock: return {243, "landlock"};
        case Stage::seccomp: return {228, "seccomp"};
        case Stage::exec: return {203, "exec"};
        case Stage::cgroup: return {219, "cgroup"};
        case Stage::session: return {220, "session"};
        case Stage::standard_input: return {208, "standard_input"};
        case Stage::uts: return {226, "uts"};
        case Stage::io_priority: return {211, "io_priority"};
        case Stage::scheduling: return {214, "scheduling"};
        case Stage::affinity: return {215, "affinity"};
        case Stage::secure_bits: return {213, "secure_bits"};
        case Stage::personality: return {230, "personality"};
        case Stage::keyring: return {237, "keyring"};
        case Stage::memory: return {204, "memory"};
        case Stage::evidence: return {228, "evidence"};
    }
    return {};
}

}  // namespace

int exit_status_of(Stage stage) { return entry_of(stage).exit_status; }

std::string_view name_of(Stage stage) { return entry_of(stage).name; }

}  // namespace warder::sandbox
