#include "sandbox/requirements.h"

#include <algorithm>
#include <array>

#include "sandbox/group_limits.h"

namespace warder::sandbox {
namespace {

struct Requirement {
    std::string_view name;
    std::string_view since;
    std::string_view why;       // beside the release; empty: nothing more to say
    std::string_view instead;
    bool (*wanted)(const Plan&);
    bool (*present)(const KernelFeatures&);
    void (*leave_out)(Plan&);
};

using Kernel = KernelFeatures;

bool joins_by_pidfd(const Kernel& kernel) { return kernel.pid_namespaces && kernel.pidfd_setns; }

// What a controller is needed for, and where it comes from.
constexpr std::string_view of_controllers = "Linux 4.5, cgroup v2";
constexpr std::string_view not_given = "or warderd's group is not given it: Delegate=yes in its unit, no cgroup_disable= on the boot line";

bool limits_by(const Plan& plan, std::string_view controller) {
    return std::ranges::any_of(plan.group_limits, [&](const auto& limit) { return controller_of(limit) == controller; });
}

void unlimit_by(Plan& plan, std::string_view controller) {
    std::erase_if(plan.group_limits, [&](const auto& limit) { return controller_of(limit) == controller; });
}

// Without Landlock's ports no socket is to be connected beside lent ones.
void leave_neither(Plan& plan) {
    if (connects_beside_listeners(plan.calls)) plan.calls.beside_listeners = BesideListeners::neither;
}

constexpr std::array requirements = std::to_array<Requirement>({
    {"close_range", "Linux 5.9", "every start needs it", "use a newer kernel", [](const Plan&) { return true; },
     [](const Kernel& k) { return k.close_range; }, nullptr},
    {"seccomp", "Linux 3.17, killing a process by it 4.14", "", "profile = \"unconfined\", or optional_features = [\"seccomp\"]",
     [](const Plan& p) { return p.calls.enabled; }, [](const Kernel& k) { return k.seccomp; }, [](Plan& p) { p.calls.enabled = p.calls.monitored = false; }},
    {"landlock", "Linux 5.13", "or it is not among the lsm= of the boot line", "profile = \"unconfined\", or optional_features = [\"landlock\"]",
     [](const Plan& p) { return p.landlock; }, [](const Kernel& k) { return k.landlock > 0; }, [](Plan& p) { p.landlock = false, leave_neither(p); }},
    {"landlock_tcp", "Linux 6.7, Landlock ABI 4", "", "no tcp_bind, tcp_connect and beside_listeners = \"connect\", or optional_features = [\"landlock_tcp\"]",
     [](const Plan& p) { return p.landlock && (p.tcp_bind.restricted || p.tcp_connect.restricted || connects_beside_listeners(p.calls)); },
     [](const Kernel& k) { return k.landlock >= 4; },
     [](Plan& p) { p.tcp_bind = p.tcp_connect = {}, leave_neither(p); }},
    {"landlock_scope", "Linux 6.12, Landlock ABI 6", "", "optional_features = [\"landlock_scope\"]",
     // Namespaces of its own keep it as well from what the scopes are about.
     [](const Plan& p) {
         const bool by_namespaces = p.pid_namespace && p.network == Network::none;
         return p.landlock && (p.scope_signals || p.scope_abstract_sockets) && !by_namespaces;
     },
     [](const Kernel& k) { return k.landlock >= 6; }, [](Plan& p) { p.scope_signals = p.scope_abstract_sockets = false; }},
    {"mount_namespace", "Linux 5.12 (mount_setattr)", "", "profile = \"unconfined\"", [](const Plan& p) { return p.mount_namespace; },
     [](const Kernel& k) { return k.mount_namespaces && k.mount_attributes; }, nullptr},
    {"pid_namespace", "Linux 5.8 (joining it by a pidfd)", "", "profile = \"unconfined\", or optional_features = [\"pid_namespace\"]",
     [](const Plan& p) { return p.pid_namespace; }, joins_by_pidfd, [](Plan& p) { p.pid_namespace = false; }},
    {"ipc_namespace", "Linux 2.6.19", "CONFIG_IPC_NS", "profile = \"unconfined\", or optional_features = [\"ipc_namespace\"]",
     [](const Plan& p) { return p.ipc_namespace; }, [](const Kernel& k) { return k.ipc_namespaces; },
     [](Plan& p) { p.ipc_namespace = false; }},
    {"uts_namespace", "Linux 2.6.19", "CONFIG_UTS_NS", "profile = \"unconfined\", or optional_features = [\"uts_namespace\"]",
     [](const Plan& p) { return p.uts_namespace; }, [](const Kernel& k) { return k.uts_namespaces; },
     [](Plan& p) { p.uts_namespace = false; }},
    {"network_namespace", "Linux 2.6.29", "CONFIG_NET_NS", "network = \"host\"", [](const Plan& p) { return p.network != Network::host; },
     [](const Kernel& k) { return k.network_namespaces; }, nullptr},
    {"cgroup_namespace", "Linux 4.6", "CONFIG_CGROUPS", "cgroup_namespace = false, or optional_features = [\"cgroup_namespace\"]",
     [](const Plan& p) { return p.cgroup_namespace; }, [](const Kernel& k) { return k.cgroup_namespaces; },
     [](Plan& p) { p.cgroup_namespace = false; }},
    {"time_namespace", "Linux 5.6", "CONFIG_TIME_NS", "no time_offsets, or optional_features = [\"time_namespace\"]",
     [](const Plan& p) { return p.time_namespace; }, [](const Kernel& k) { return k.time_namespaces; },
     [](Plan& p) { p.time_namespace = false; }},
    {"memory_deny_write_execute", "Linux 6.3 (PR_SET_MDWE)", "",
     "memory_deny_write_execute = false, or optional_features = [\"memory_deny_write_execute\"]",
     [](const Plan& p) { return p.memory_deny_write_execute; }, [](const Kernel& k) { return k.memory_deny_write_execute; },
     [](Plan& p) { p.memory_deny_write_execute = false; }},
    {"memory_controller", of_controllers, not_given, "no memory_max, memory_high and memory_swap_max in limits, or optional_features = [\"memory_controller\"]",
     [](const Plan& p) { return limits_by(p, "memory"); }, [](const Kernel& k) { return names_controller(k.controllers, "memory"); },
     [](Plan& p) { unlimit_by(p, "memory"); }},
    {"cpu_controller", of_controllers, not_given, "no cpu_max and cpu_weight in limits, or optional_features = [\"cpu_controller\"]",
     [](const Plan& p) { return limits_by(p, "cpu"); }, [](const Kernel& k) { return names_controller(k.controllers, "cpu"); },
     [](Plan& p) { unlimit_by(p, "cpu"); }},
    {"io_controller", of_controllers, not_given, "no io_max and io_weight in limits, or optional_features = [\"io_controller\"]",
     [](const Plan& p) { return limits_by(p, "io"); }, [](const Kernel& k) { return names_controller(k.controllers, "io"); },
     [](Plan& p) { unlimit_by(p, "io"); }},
    {"pids_controller", of_controllers, not_given, "no pids_max in limits, or optional_features = [\"pids_controller\"]",
     [](const Plan& p) { return limits_by(p, "pids"); }, [](const Kernel& k) { return names_controller(k.controllers, "pids"); },
     [](Plan& p) { unlimit_by(p, "pids"); }},
    {"evidence", "Linux 5.0 (seccomp user notification)", "or a filter that warderd is under has the one listener that there may be",
     "evidence = \"errno\", or optional_features = [\"evidence\"]", [](const Plan& p) { return p.calls.enabled && p.calls.monitored; },
     [](const Kernel& k) { return k.user_notification; }, [](Plan& p) { p.calls.monitored = false; }},
    {"overlays", "Linux 5.8, and tmpfs with extended attributes", "CONFIG_OVERLAY_FS, CONFIG_TMPFS_XATTR", "bind, or memory_directories",
     [](const Plan& p) { return !p.overlays.empty(); }, [](const Kernel& k) { return k.overlays; }, nullptr},
    {"user_namespaces", "Linux 3.8", "CONFIG_USER_NS, or the sysctl user.max_user_namespaces is used up or 0",
     "user_namespace = \"none\", or optional_features = [\"user_namespaces\"]", [](const Plan& p) { return p.user_namespace; },
     [](const Kernel& k) { return k.user_namespaces; },
     // Capabilities that were to count in it alone must not count outside.
     [](Plan& p) { p.user_namespace = false, p.capabilities = 0; }},
});

static_assert(requirements.size() == kernel_items.size());

std::string sentence_of(const Requirement& requirement) {
    std::string text = "the kernel lacks it (it came with " + std::string(requirement.since);
    if (!requirement.why.empty()) text += "; " + std::string(requirement.why);
    return text + ")";
}

bool prefers(const Plan& plan, const Requirement& requirement) {
    return requirement.leave_out != nullptr && std::ranges::find(plan.preferred, requirement.name) != plan.preferred.end();
}

bool lacks(const Requirement& requirement, const Plan& plan, const Kernel& kernel) {
    return requirement.wanted(plan) && !requirement.present(kernel);
}

}  // namespace

std::vector<Lack> lacks_of(const Plan& plan, const KernelFeatures& kernel) {
    std::vector<Lack> found;
    for (const auto& one : requirements) {
        if (!lacks(one, plan, kernel)) continue;
        found.push_back({std::string(one.name), sentence_of(one), std::string(one.instead), prefers(plan, one)});
    }
    return found;
}

Plan without_lacking(Plan plan, const KernelFeatures& kernel) {
    for (const auto& one : requirements) {
        if (prefers(plan, one) && lacks(one, plan, kernel)) one.leave_out(plan);
    }
    return plan;
}

std::vector<KernelItem> kernel_items_of(const KernelFeatures& kernel) {
    std::vector<KernelItem> items;
    for (const auto& one : requirements) items.push_back({one.name, one.present(kernel), one.since, one.instead});
    return items;
}

}  // namespace warder::sandbox
