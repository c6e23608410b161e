// What the running kernel can do for a sandbox, found by asking it, never by its version. For prepare(), which refuses what
// cannot be done, and for reports.
#pragma once

#include <string>
#include <vector>

namespace warder::sandbox {

struct KernelFeatures {
    bool seccomp = false;            // filters, and killing a process by one
    int landlock = 0;                // ABI; 0: none
    bool pass_rights = false;        // SO_PASSRIGHTS (6.16)
    bool pass_pidfd = false;         // SO_PASSPIDFD (6.5)
    bool mount_namespaces = false;
    bool pid_namespaces = false;
    bool ipc_namespaces = false;
    bool uts_namespaces = false;
    bool network_namespaces = false;
    bool mount_attributes = false;   // mount_setattr (5.12)
    bool close_range = false;        // 5.9
    bool clone_into_cgroup = false;  // 5.7
    bool pidfd_setns = false;        // 5.8: joining namespaces by pidfd
    bool memory_deny_write_execute = false;   // PR_SET_MDWE (6.3)
    bool keyrings = false;
    bool cgroup_namespaces = false;
    bool time_namespaces = false;
    bool user_namespaces = false;    // there may be one more
    bool overlays = false;           // overlay mounts over a tmpfs, which keeps what they note down
    bool user_notification = false;  // what a filter denies can be told to a listener (5.0), and nobody above us has one
    unsigned landlock_errata = 0;    // bits of what was mended since the ABI came (6.15 says so)
    std::string controllers;         // of cgroup v2, as cgroup.controllers has them: "cpu io memory pids"
};

KernelFeatures probe_kernel();

// One line for each, in the order above, for people and for JSON: what it is called, and whether it is there.
struct Feature {
    std::string name;
    bool present = false;
    std::string detail;   // "ABI 7", or empty
};
std::vector<Feature> list_features(const KernelFeatures& features);

}  // namespace warder::sandbox
