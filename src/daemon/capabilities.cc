#include "daemon/capabilities.h"

#include <linux/capability.h>

#include <algorithm>

namespace warder::daemon {
namespace {

constexpr std::size_t max_reasons = 4;
constexpr std::uint32_t first_free_port = 1024;

void add_always(Needs& needs) {
    for (const int capability : {CAP_SETUID, CAP_SETGID}) needs.add(capability, "each worker has ids of its own");
    needs.add(CAP_SETPCAP, "the bounding set of each sandbox is emptied");
    needs.add(CAP_KILL, "workers are other users' processes, and are stopped by signals");
    needs.add(CAP_SYS_PTRACE, "receipts read /proc of other users' processes, and their namespaces are joined");
    needs.add(CAP_DAC_READ_SEARCH, "what is granted and shown in sandboxes may lie in directories of others");
    needs.add(CAP_CHOWN, "sockets and directories are given to workers and operators");
    needs.add(CAP_FOWNER, "... and their modes are set then");
}

void add_keeper(Needs& needs) {
    needs.add(CAP_FSETID, "the log directory is its keeper's, and its group passes to the files");
    needs.add(CAP_DAC_OVERRIDE, "the log directory is its keeper's");
}

bool has_namespaces(const sandbox::Plan& sandbox) {
    return sandbox.mount_namespace || sandbox.pid_namespace || sandbox.ipc_namespace || sandbox.uts_namespace ||
           sandbox.network != sandbox::Network::host || sandbox.cgroup_namespace || sandbox.time_namespace || sandbox.user_namespace;
}

void add_namespaces(Needs& needs, const std::string& worker, const sandbox::Plan& sandbox) {
    if (has_namespaces(sandbox)) needs.add(CAP_SYS_ADMIN, worker + " has namespaces of its own");
    if (sandbox.mount_namespace) needs.add(CAP_SYS_CHROOT, worker + " has a root of its own");
    if (!sandbox.overlays.empty()) needs.add(CAP_DAC_OVERRIDE, worker + " has overlays: the kernel copies what is changed by the mounter's rights");
    const bool shared = std::ranges::any_of(sandbox.own_directories, [](const auto& own) { return !own.group.empty(); });
    if (shared) needs.add(CAP_FSETID, worker + " has a directory whose group passes to what is made in it");
    if (sandbox.time_namespace) needs.add(CAP_SYS_TIME, worker + " has clocks of its own");
}

// What is lower than warderd's own has to be lowered.
void add_priorities(Needs& needs, const std::string& worker, const sandbox::Plan& sandbox, const config::RunMode& own) {
    const auto lower_than = [&worker](const char* what, int than) {
        return worker + " has a lower " + what + " than warderd's own, " + std::to_string(than);
    };
    if (sandbox.oom_score_adjust < own.oom_score_adjust) needs.add(CAP_SYS_RESOURCE, lower_than("oom score", own.oom_score_adjust));
    if (sandbox.nice < own.nice) needs.add(CAP_SYS_NICE, lower_than("niceness", own.nice));
}

void add_sandbox(Needs& needs, const std::string& worker, const sandbox::Plan& sandbox) {
    add_namespaces(needs, worker, sandbox);
    if (!sandbox.limits.empty()) needs.add(CAP_SYS_RESOURCE, worker + " has limits, which may be higher than warderd's");
    const bool realtime = sandbox.io_priority.io_class == sandbox::IoClass::realtime ||
                          sandbox.scheduling.scheduler == sandbox::Scheduler::fifo ||
                          sandbox.scheduling.scheduler == sandbox::Scheduler::round_robin;
    if (realtime) needs.add(CAP_SYS_NICE, worker + " is scheduled in real time");
    if (!sandbox.terminal.empty()) needs.add(CAP_SYS_ADMIN, worker + " has a terminal, which may be another session's");
    for (int capability = 0; capability < 64; ++capability) {
        // In a user namespace of its own they are the kernel's to give.
        const bool kept = !sandbox.user_namespace && (sandbox.capabilities & capabilities::bit(capability)) != 0;
        if (kept) needs.add(capability, worker + " is given it");
    }
}

void add_port(Needs& needs, const std::string& who, const policy::AddressPattern& address) {
    const bool has_port = address.family != policy::Family::unix_path && address.family != policy::Family::unix_abstract;
    if (!has_port || address.port_first == 0 || address.port_first >= first_free_port) return;
    needs.add(CAP_NET_BIND_SERVICE, who + " listens on port " + std::to_string(address.port_first));
}

bool touches_files(const policy::Grant& grant) {
    return grant.kind == policy::Kind::file || grant.kind == policy::Kind::tree || grant.kind == policy::Kind::listener ||
           grant.kind == policy::Kind::peer || grant.kind == policy::Kind::secret || grant.kind == policy::Kind::device ||
           grant.kind == policy::Kind::sysctl || grant.kind == policy::Kind::syslog;
}

void add_grant(Needs& needs, const std::string& who, const policy::Grant& grant) {
    if (touches_files(grant)) needs.add(CAP_DAC_OVERRIDE, who + " is performed by root, or made for its owner");
    switch (grant.kind) {
        case policy::Kind::listener: return add_port(needs, who, grant.address);
        case policy::Kind::raw:
        case policy::Kind::packet: return needs.add(CAP_NET_RAW, who + " lends raw or packet sockets");
        case policy::Kind::netlink: return needs.add(CAP_NET_ADMIN, who + " lends netlink sockets");
        case policy::Kind::device:
            if (!grant.interface.empty()) needs.add(CAP_NET_ADMIN, who + " makes a network interface");
            return;
        case policy::Kind::file:
        case policy::Kind::tree:
        case policy::Kind::peer:
        case policy::Kind::secret:
        case policy::Kind::channel:
        case policy::Kind::lookup:
        case policy::Kind::sysctl:
        case policy::Kind::command:
        case policy::Kind::worker:
        case policy::Kind::syslog:
        case policy::Kind::store: return;
    }
}

void add_worker(Needs& needs, const config::Worker& worker, const config::RunMode& own) {
    const std::string name = "worker " + worker.name;
    add_sandbox(needs, name, worker.sandbox);
    add_priorities(needs, name, worker.sandbox, own);
    for (const auto& grant : worker.grants) add_grant(needs, name + ", grant " + grant.name, grant);
}

// Those of its user namespace. No right over files is among them: what this user may not open is not lent, and what it may is.
Needs needed_without_root(const config::Config& config) {
    Needs needs;
    needs.add(CAP_SETPCAP, "the bounding set of each sandbox is emptied");
    if (config.daemon.log_keeper) add_namespaces(needs, "the log keeper", sandbox::Plan{});
    for (const auto& worker : config.workers) add_namespaces(needs, "worker " + worker.name, worker.sandbox);
    return needs;
}

}  // namespace

void Needs::add(int capability, std::string reason) {
    const auto at = std::ranges::lower_bound(needs_, capability, {}, &Need::capability);
    if (at == needs_.end() || at->capability != capability) {
        needs_.insert(at, {capability, {std::move(reason)}});
    } else if (at->reasons.size() < max_reasons) {
        at->reasons.push_back(std::move(reason));
    }
}

capabilities::Set Needs::set() const {
    capabilities::Set set = 0;
    for (const auto& need : needs_) set |= capabilities::bit(need.capability);
    return set;
}

std::string Needs::reason_for(int capability) const {
    const auto found = std::ranges::find(needs_, capability, &Need::capability);
    return found == needs_.end() ? std::string() : found->reasons.front();
}

Needs needed_by(const config::Config& config) {
    if (config.daemon.run_mode.without_root) return needed_without_root(config);
    Needs needs;
    add_always(needs);
    if (config.daemon.log_keeper) {
        add_keeper(needs);
        add_sandbox(needs, "the log keeper", sandbox::Plan{});
        add_priorities(needs, "the log keeper", sandbox::Plan{}, config.daemon.run_mode);
    }
    for (const auto& worker : config.workers) add_worker(needs, worker, config.daemon.run_mode);
    for (int capability = 0; capability < 64; ++capability) {
        const bool reserved = (config.daemon.reserve_capabilities & capabilities::bit(capability)) != 0;
        if (reserved) needs.add(capability, "[daemon] reserve_capabilities");
    }
    return needs;
}

std::string needs_new_privileges(const config::Config& config) {
    for (const auto& worker : config.workers) {
        if (!worker.sandbox.no_new_privileges) return "worker " + worker.name + " may gain privileges by exec";
        for (const auto& grant : worker.grants) {
            if (grant.kind == policy::Kind::command) return "worker " + worker.name + ", grant " + grant.name + " runs a command, which may be set-uid";
        }
    }
    return {};
}

std::vector<std::string> restarts_for(const config::Config& config, capabilities::Set permitted, bool no_new_privileges) {
    const Needs needs = needed_by(config);
    std::vector<std::string> sentences;
    for (const auto& need : needs.list()) {
        if ((permitted & capabilities::bit(need.capability)) != 0) continue;
        sentences.push_back("restart warderd: needs " + capabilities::name_of(need.capability) + ", which it has given up (" +
                            need.reasons.front() + ")");
    }
    const std::string gains = no_new_privileges ? needs_new_privileges(config) : std::string();
    if (!gains.empty()) sentences.push_back("restart warderd: needs to be without no_new_privs (" + gains + ")");
    return sentences;
}

std::vector<control::CapabilityReport> capability_reports(const config::Config& config) {
    const Needs needs = needed_by(config);
    std::vector<control::CapabilityReport> reports;
    for (const auto& need : needs.list()) reports.push_back({capabilities::name_of(need.capability), need.reasons});
    return reports;
}

}  // namespace warder::daemon
