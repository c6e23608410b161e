#include "daemon/sandbox_plan.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/time.h"
#include "sandbox/id_map.h"
#include "sandbox/requirements.h"
#include "sys/capabilities.h"

namespace warder::daemon {
namespace {

using sandbox::Plan;

std::string in_words(bool value) { return value ? "true" : "false"; }
std::string in_words(const std::string& value) { return value.empty() ? "none" : value; }

template <typename Values, typename ToText>
std::string joined(const Values& values, ToText to_text) {
    std::string text;
    for (const auto& value : values) text += (text.empty() ? "" : ", ") + to_text(value);
    return text.empty() ? "none" : text;
}

std::string joined(const std::vector<std::string>& values) {
    return joined(values, [](const std::string& value) { return value; });
}

std::string octal(mode_t mode) {
    char text[16];
    std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode));
    return text;
}

std::string root_in_words(sandbox::Root root) {
    switch (root) {
        case sandbox::Root::minimal: return "minimal";
        case sandbox::Root::system: return "system";
        case sandbox::Root::host: return "host";
    }
    return "unknown";
}

std::string network_in_words(const Plan& plan) {
    if (plan.network == sandbox::Network::named) return plan.network_path;
    return plan.network == sandbox::Network::none ? "none" : "host";
}

std::string bind_in_words(const sandbox::Bind& bind) {
    std::string text = bind.source == bind.target ? bind.target : bind.source + " at " + bind.target;
    if (bind.writable) text += " (writable)";
    if (bind.execute) text += " (execute)";
    if (bind.no_execute) text += " (noexec)";
    return text;
}

std::string overlay_in_words(const sandbox::Overlay& one) {
    return one.target + " over " + joined(one.lower) + " with " + format_size(one.size) + " to write" + (one.no_execute ? "" : " (execute)");
}

std::string scheduler_in_words(const sandbox::Scheduling& scheduling) {
    const std::string level = ":" + std::to_string(scheduling.priority);
    switch (scheduling.scheduler) {
        case sandbox::Scheduler::other: return "other";
        case sandbox::Scheduler::batch: return "batch";
        case sandbox::Scheduler::idle: return "idle";
        case sandbox::Scheduler::fifo: return "fifo" + level;
        case sandbox::Scheduler::round_robin: return "rr" + level;
    }
    return "unknown";
}

std::string io_in_words(const sandbox::IoPriority& priority) {
    const std::string level = ":" + std::to_string(priority.level);
    switch (priority.io_class) {
        case sandbox::IoClass::by_nice: return "by-nice";
        case sandbox::IoClass::realtime: return "realtime" + level;
        case sandbox::IoClass::best_effort: return "best-effort" + level;
        case sandbox::IoClass::idle: return "idle";
    }
    return "unknown";
}

std::string ports_in_words(const sandbox::Ports& ports) {
    if (!ports.restricted) return "any";
    return joined(ports.allowed, [](std::uint16_t port) { return std::to_string(port); });
}

std::string errno_in_words(int number) {
    const char* name = ::strerrorname_np(number);
    return name == nullptr ? std::to_string(number) : name;
}

std::string rule_in_words(const sandbox::CallRule& rule) {
    return rule.call + " with argument " + std::to_string(rule.argument) + (rule.differs ? " other than " : " equal to ") +
           std::to_string(rule.value) + ": " + errno_in_words(rule.error);
}

std::string limit_value(rlim_t value) { return value == RLIM_INFINITY ? "unlimited" : std::to_string(value); }

std::string limit_in_words(const sandbox::Limit& limit) {
    return std::to_string(limit.resource) + "=" + limit_value(limit.soft) + ":" + limit_value(limit.hard);
}

// Collects lines, and finds for each where its key stands in the files.
class Lines {
public:
    explicit Lines(const config::Worker& worker) : worker_(worker) {}

    void process(const std::string& key, std::string value) { add(key, key, std::move(value), "default"); }
    void sandbox(const std::string& key, std::string value) {
        add("sandbox." + key, "sandbox." + key, std::move(value), "profile " + worker_.profile);
    }
    // What several keys make up together: the first that is written is its origin.
    void sandbox(const std::string& key, std::initializer_list<const char*> keys, std::string value) {
        const char* written = nullptr;
        for (const char* one : keys) {
            if (written == nullptr && worker_.marks.contains(std::string("sandbox.") + one)) written = one;
        }
        add("sandbox." + key, written == nullptr ? "" : std::string("sandbox.") + written, std::move(value), "profile " + worker_.profile);
    }
    void group_limit(const sandbox::GroupLimit& limit) {
        std::string key = "limits." + limit.file;
        std::replace(key.begin() + static_cast<std::ptrdiff_t>(std::string_view("limits.").size()), key.end(), '.', '_');
        add(key, key, limit.device.empty() ? limit.value : limit.device + " " + limit.value, "default");
    }
    std::vector<control::PlanLine> take() { return std::move(lines_); }

private:
    void add(std::string key, const std::string& mark, std::string value, std::string otherwise) {
        const auto found = worker_.marks.find(mark);
        if (found != worker_.marks.end()) otherwise = found->second.where.file + ":" + std::to_string(found->second.where.line);
        lines_.push_back({std::move(key), std::move(value), std::move(otherwise)});
    }

    const config::Worker& worker_;
    std::vector<control::PlanLine> lines_;
};

void add_process(Lines& lines, const config::Worker& worker) {
    const Plan& plan = worker.sandbox;
    lines.process("exec", joined(plan.arguments));
    lines.process("environment", joined(plan.environment));
    lines.process("working_directory", plan.directory);
    lines.process("user", worker.user.empty() ? "one of its own" : worker.user);
    lines.process("group", worker.group.empty() ? "the user's" : worker.group);
    lines.process("supplementary_groups", joined(worker.supplementary_groups));
    lines.process("umask", octal(plan.umask));
    lines.process("nice", std::to_string(plan.nice));
    lines.process("io_priority", io_in_words(plan.io_priority));
    lines.process("scheduling", scheduler_in_words(plan.scheduling));
    lines.process("cpus", plan.cpus.empty() ? "those of warderd" : joined(plan.cpus, [](unsigned cpu) { return std::to_string(cpu); }));
    lines.process("oom_score_adjust", std::to_string(plan.oom_score_adjust));
    lines.process("limits", joined(plan.limits, limit_in_words));
    for (const auto& limit : plan.group_limits) lines.group_limit(limit);
}

std::string own_directory_in_words(const sandbox::OwnDirectory& own) {
    std::string text = own.path + (own.no_execute ? " (noexec)" : "");
    if (own.mode != 0700 || !own.group.empty()) text += " (" + octal(own.mode) + (own.group.empty() ? "" : ", group " + own.group) + ")";
    return text;
}

void add_mounts(Lines& lines, const Plan& plan) {
    lines.sandbox("root", root_in_words(plan.root));
    lines.sandbox("bind_read_only", {"bind_read_only", "bind_writable", "exec_paths"}, joined(plan.binds, bind_in_words));
    lines.sandbox("files", joined(plan.files, [](const sandbox::TextFile& file) { return file.target; }));
    lines.sandbox("tmpfs", joined(plan.memory_directories, [](const sandbox::MemoryDirectory& one) {
                   return one.target + " of " + format_size(one.size) + (one.no_execute ? "" : " (execute)");
               }));
    lines.sandbox("overlays", joined(plan.overlays, overlay_in_words));
    lines.sandbox("managed_directories", joined(plan.own_directories, own_directory_in_words));
    lines.sandbox("secret_files", joined(plan.secret_files, [](const sandbox::SecretFile& one) { return one.name + " from " + one.source; }));
    lines.sandbox("devices", plan.mount_namespace ? joined(plan.devices) : "the host's");
    lines.sandbox("proc", !plan.mount_namespace ? "the host's" : plan.proc == sandbox::ProcView::hidden ? "hidden" : "processes");
    if (plan.mount_namespace) {
        lines.sandbox("names", plan.names == sandbox::Names::host ? "host" : "files");
        lines.sandbox("ptys", in_words(plan.ptys));
        lines.sandbox("home", plan.home);
        lines.sandbox("shell", plan.shell);
    }
    lines.sandbox("tmp_size", plan.private_tmp ? format_size(plan.tmp_size) + (plan.tmp_no_execute ? " (noexec)" : "") : "the host's /tmp");
}

std::string user_namespace_in_words(const Plan& plan) {
    if (!plan.user_namespace) return "none";
    const std::vector<sandbox::IdRange> self{{sandbox::own_id, sandbox::own_id, 1}};
    const std::vector<sandbox::IdRange> root{{0, sandbox::own_id, 1}};
    if (plan.uid_map == self && plan.gid_map == self) return "self";
    if (plan.uid_map == root && plan.gid_map == root) return "root";
    return "uid_map " + sandbox::in_words(plan.uid_map) + ", gid_map " + sandbox::in_words(plan.gid_map);
}

void add_namespaces(Lines& lines, const Plan& plan) {
    lines.sandbox("network", network_in_words(plan));
    lines.sandbox("pid_namespace", in_words(plan.pid_namespace));
    lines.sandbox("ipc_namespace", in_words(plan.ipc_namespace));
    lines.sandbox("uts_namespace", in_words(plan.uts_namespace));
    lines.sandbox("cgroup_namespace", in_words(plan.cgroup_namespace));
    lines.sandbox("user_namespace", user_namespace_in_words(plan));
    lines.sandbox("hostname", plan.hostname.empty() ? plan.user : plan.hostname);
    const std::string offsets = "monotonic " + std::to_string(plan.monotonic_offset) + "s, boottime " + std::to_string(plan.boottime_offset) + "s";
    lines.sandbox("time_offsets", plan.time_namespace ? offsets : "none");
}

void add_rights(Lines& lines, const Plan& plan) {
    lines.sandbox("capabilities", {"capabilities", "trusted_capabilities"}, capabilities::in_words(plan.capabilities));
    lines.sandbox("no_new_privileges", in_words(plan.no_new_privileges));
    lines.sandbox("restrict_suid_sgid", in_words(plan.calls.enabled && plan.calls.restrict_suid_sgid));
    lines.sandbox("memory_deny_write_execute", in_words(plan.memory_deny_write_execute));
    lines.sandbox("core_dumps", in_words(plan.core_dumps));
    lines.sandbox("dumpable", in_words(plan.dumpable));
    lines.sandbox("private_keyring", in_words(plan.private_keyring));
    lines.sandbox("terminal", in_words(plan.terminal));
    lines.sandbox("landlock", in_words(plan.landlock));
    if (!plan.landlock) return;
    lines.sandbox("scope_signals", in_words(plan.scope_signals));
    lines.sandbox("scope_abstract_sockets", in_words(plan.scope_abstract_sockets));
    const bool empty = plan.network == sandbox::Network::none;
    lines.sandbox("tcp_bind", empty ? "none" : ports_in_words(plan.tcp_bind));
    lines.sandbox("tcp_connect", empty ? "none" : ports_in_words(plan.tcp_connect));
}

std::string ioctl_in_words(std::uint32_t request) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%x", request);
    return text;
}

void add_calls(Lines& lines, const sandbox::Calls& calls) {
    lines.sandbox("seccomp", in_words(calls.enabled));
    if (!calls.enabled) return;
    lines.sandbox("calls", joined(calls.base));
    lines.sandbox("allow_calls", joined(calls.allow));
    lines.sandbox("deny_calls", joined(calls.deny, [](const sandbox::DeniedCall& one) { return one.name + ":" + errno_in_words(one.error); }));
    lines.sandbox("kill_calls", joined(calls.kill));
    lines.sandbox("log_calls", joined(calls.log));
    lines.sandbox("call_rules", joined(calls.rules, rule_in_words));
    lines.sandbox("log_denied_calls", in_words(calls.log_denied));
    const bool all = !calls.few_ioctls || calls.any_ioctl;
    lines.sandbox("allow_ioctls", all ? "all" : joined(calls.allow_ioctls, ioctl_in_words) + (calls.devices_lent ? ", and those of devices" : ""));
    lines.sandbox("lock_personality", in_words(calls.lock_personality));
    if (sandbox::lends_what_leads_elsewhere(calls)) {
        const bool listens = sandbox::leaves_listen(calls);
        lines.sandbox("beside_listeners", listens ? "listen" : sandbox::leaves_connect(calls) ? "connect" : "neither");
    }
    if (calls.lent_sockets != 0) lines.sandbox("allow_socket_options", joined(calls.socket_options));
    lines.sandbox("evidence", calls.monitored ? "full" : "errno");
}

std::vector<control::KernelLack> lacks_of(const config::Worker& worker, const sandbox::KernelFeatures& kernel) {
    std::vector<control::KernelLack> lacks;
    for (const auto& lack : sandbox::lacks_of(worker.sandbox, kernel)) {
        lacks.push_back({worker.name, lack.item, lack.why, lack.instead, lack.preferred});
    }
    return lacks;
}

}  // namespace

control::SandboxPlanReport describe_sandbox(const config::Worker& worker, const sandbox::KernelFeatures& kernel) {
    Lines lines(worker);
    add_process(lines, worker);
    add_mounts(lines, worker.sandbox);
    add_namespaces(lines, worker.sandbox);
    add_rights(lines, worker.sandbox);
    add_calls(lines, worker.sandbox.calls);
    lines.sandbox("preferred", joined(worker.sandbox.preferred));
    return {worker.name, worker.profile, lines.take(), lacks_of(worker, kernel)};
}

control::KernelReport describe_kernel(const config::Config& config, const sandbox::KernelFeatures& kernel) {
    control::KernelReport report;
    for (const auto& item : sandbox::kernel_items_of(kernel)) {
        report.items.push_back({std::string(item.name), item.present, std::string(item.since)});
        for (const auto& wanted : config.daemon.require) {
            if (wanted != item.name || item.present) continue;
            report.lacks.push_back({"[daemon] require", wanted, "the kernel lacks it (it came with " + std::string(item.since) + ")",
                                    "take it out of require", false});
        }
    }
    for (const auto& worker : config.workers) {
        for (auto& lack : lacks_of(worker, kernel)) report.lacks.push_back(std::move(lack));
    }
    for (const auto& lack : report.lacks) report.ok = report.ok && lack.preferred;
    return report;
}

std::vector<std::string> missing_of_daemon(const config::Daemon& daemon, const sandbox::KernelFeatures& kernel) {
    config::Config alone;
    alone.daemon = daemon;
    std::vector<std::string> sentences;
    for (const auto& lack : describe_kernel(alone, kernel).lacks) {
        sentences.push_back("[daemon] require names \"" + lack.item + "\": " + lack.why);
    }
    return sentences;
}

}  // namespace warder::daemon
