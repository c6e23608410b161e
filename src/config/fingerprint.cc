// The text that says whether two configs of a worker are the same. Where a thing stands in its file is not part of it: a
// comment added above a worker restarts nobody.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "config/config.h"

namespace warder::config {
namespace {

// Lines "key=value"; a newline in a value is written as "\n" and a backslash as "\\", so that no value can look like a key.
class Lines {
public:
    Lines& add(std::string_view key, std::string_view value) {
        text_ += key;
        text_ += '=';
        for (const char c : value) {
            if (c == '\\') text_ += "\\\\";
            else if (c == '\n') text_ += "\\n";
            else text_ += c;
        }
        text_ += '\n';
        return *this;
    }

    template <typename Number>
        requires std::is_arithmetic_v<Number>
    Lines& add(std::string_view key, Number value) {
        return add(key, std::string_view(std::to_string(value)));
    }

    template <typename Enum>
        requires std::is_enum_v<Enum>
    Lines& add(std::string_view key, Enum value) {
        return add(key, static_cast<unsigned>(value));
    }

    Lines& add(std::string_view key, Duration value) { return add(key, value.count()); }

    template <typename T>
    Lines& add(std::string_view key, const std::vector<T>& values) {
        add(std::string(key) + ".count", values.size());
        for (const T& value : values) add(key, value);
        return *this;
    }

    std::string take() { return std::move(text_); }

private:
    std::string text_;
};

void add_life(Lines& lines, const supervise::Rule& rule) {
    const supervise::Restart& restart = rule.restart;
    lines.add("ready", rule.ready).add("autostart", rule.autostart).add("setup_timeout", rule.setup_timeout);
    lines.add("ready_timeout", rule.ready_timeout).add("stop_signal", rule.stop.signal);
    lines.add("stop_timeout", rule.stop.timeout).add("restart.policy", restart.policy).add("restart.delay", restart.delay);
    lines.add("restart.factor", restart.factor).add("restart.cap", restart.cap).add("restart.jitter", restart.jitter);
    lines.add("restart.reset_after", restart.reset_after).add("restart.limit", restart.limit);
    lines.add("restart.window", restart.window).add("restart.success", restart.success);
}

void add_mounts(Lines& lines, const sandbox::Plan& sandbox) {
    lines.add("sandbox.mount_namespace", sandbox.mount_namespace).add("sandbox.root", sandbox.root);
    lines.add("sandbox.tmp_size", sandbox.tmp_size).add("sandbox.private_tmp", sandbox.private_tmp);
    lines.add("sandbox.tmp.noexec", sandbox.tmp_no_execute);
    for (const sandbox::Bind& bind : sandbox.binds) {
        lines.add("sandbox.bind_read_only.source", bind.source).add("sandbox.bind_read_only.target", bind.target);
        lines.add("sandbox.bind_read_only.writable", bind.writable).add("sandbox.bind_read_only.execute", bind.execute);
        lines.add("sandbox.bind_read_only.noexec", bind.no_execute);
    }
    for (const auto& one : sandbox.memory_directories) {
        lines.add("sandbox.tmpfs", one.target).add("sandbox.tmpfs", one.size);
        lines.add("sandbox.tmpfs", one.mode).add("sandbox.tmpfs", one.no_execute);
    }
    for (const auto& one : sandbox.overlays) {
        lines.add("sandbox.overlays", one.target).add("sandbox.overlays", one.lower).add("sandbox.overlays", one.size);
        lines.add("sandbox.overlays", one.mode).add("sandbox.overlays", one.no_execute);
    }
    for (const auto& own : sandbox.own_directories) {
        lines.add("sandbox.managed_directories", own.path).add("sandbox.managed_directories", own.variable).add("sandbox.managed_directories", own.no_execute);
        lines.add("sandbox.managed_directories", own.mode).add("sandbox.managed_directories", own.group).add("sandbox.managed_directories", own.gid);
    }
    for (const auto& one : sandbox.secret_files) lines.add("sandbox.secret_files", one.name).add("sandbox.secret_files", one.source);
    lines.add("sandbox.names", sandbox.names).add("sandbox.ptys", sandbox.ptys).add("sandbox.home", sandbox.home).add("sandbox.shell", sandbox.shell);
    lines.add("sandbox.devices", sandbox.devices).add("sandbox.proc", sandbox.proc);
    for (const sandbox::TextFile& file : sandbox.files) lines.add("sandbox.file", file.target).add("sandbox.text", file.text);
}

void add_calls(Lines& lines, const sandbox::Calls& calls) {
    lines.add("sandbox.calls", calls.enabled).add("sandbox.calls.inet_lent", calls.inet_sockets_lent);
    lines.add("sandbox.calls.datagram_lent", calls.datagram_sockets_lent);
    lines.add("sandbox.calls.lent", calls.lent_sockets).add("sandbox.calls.listen", sandbox::leaves_listen(calls));
    lines.add("sandbox.calls.connect", sandbox::leaves_connect(calls)).add("sandbox.beside_listeners", calls.beside_listeners);
    lines.add("sandbox.allow_socket_options", calls.socket_options);
    lines.add("sandbox.calls.may_send", calls.may_send_descriptors).add("sandbox.calls.network", calls.network);
    lines.add("sandbox.calls.namespaces", calls.namespaces).add("sandbox.lock_personality", calls.lock_personality);
    lines.add("sandbox.allow_calls", calls.allow).add("sandbox.calls.few_ioctls", calls.few_ioctls);
    lines.add("sandbox.allow_ioctls", calls.any_ioctl).add("sandbox.calls.devices_lent", calls.devices_lent);
    lines.add("sandbox.calls.named", calls.descriptors_have_names).add("sandbox.calls.shared_code", calls.no_code_in_shared_memory);
    for (const auto request : calls.allow_ioctls) lines.add("sandbox.allow_ioctls", request);
    lines.add("sandbox.restrict_suid_sgid", calls.restrict_suid_sgid);
    lines.add("sandbox.calls", calls.base).add("sandbox.kill_calls", calls.kill).add("sandbox.log_calls", calls.log);
    lines.add("sandbox.log_denied_calls", calls.log_denied).add("sandbox.evidence", calls.monitored);
    for (const auto& denied : calls.deny) lines.add("sandbox.deny_calls", denied.name).add("sandbox.deny_calls", denied.error);
    for (const auto& rule : calls.rules) {
        lines.add("sandbox.call_rules", rule.call).add("sandbox.call_rules", rule.argument).add("sandbox.call_rules", rule.value);
        lines.add("sandbox.call_rules", rule.mask).add("sandbox.call_rules", rule.differs).add("sandbox.call_rules", rule.error);
    }
}

void add_sandbox(Lines& lines, const sandbox::Plan& sandbox) {
    lines.add("sandbox.pid_namespace", sandbox.pid_namespace).add("sandbox.ipc_namespace", sandbox.ipc_namespace);
    lines.add("sandbox.uts_namespace", sandbox.uts_namespace).add("sandbox.network", sandbox.network);
    lines.add("sandbox.hostname", sandbox.hostname).add("sandbox.no_new_privileges", sandbox.no_new_privileges);
    lines.add("sandbox.landlock", sandbox.landlock).add("sandbox.capabilities", sandbox.capabilities);
    lines.add("sandbox.memory_deny_write_execute", sandbox.memory_deny_write_execute).add("sandbox.core_dumps", sandbox.core_dumps);
    lines.add("sandbox.dumpable", sandbox.dumpable);
    lines.add("sandbox.cgroup_namespace", sandbox.cgroup_namespace).add("sandbox.network", sandbox.network_path);
    lines.add("sandbox.time_offsets", sandbox.time_namespace).add("sandbox.time_offsets", sandbox.monotonic_offset);
    lines.add("sandbox.user_namespace", sandbox.user_namespace);
    for (const auto* map : {&sandbox.uid_map, &sandbox.gid_map}) {
        lines.add("sandbox.user_namespace", map->size());
        for (const auto& range : *map) {
            lines.add("sandbox.user_namespace", range.inside).add("sandbox.user_namespace", range.outside).add("sandbox.user_namespace", range.count);
        }
    }
    lines.add("sandbox.time_offsets", sandbox.boottime_offset).add("sandbox.scope_signals", sandbox.scope_signals);
    lines.add("sandbox.scope_abstract_sockets", sandbox.scope_abstract_sockets).add("sandbox.optional_features", sandbox.preferred);
    lines.add("sandbox.tcp_bind", sandbox.tcp_bind.restricted).add("sandbox.tcp_bind", sandbox.tcp_bind.allowed);
    lines.add("sandbox.tcp_connect", sandbox.tcp_connect.restricted).add("sandbox.tcp_connect", sandbox.tcp_connect.allowed);
    lines.add("sandbox.private_keyring", sandbox.private_keyring).add("sandbox.terminal", sandbox.terminal);
    add_mounts(lines, sandbox);
    add_calls(lines, sandbox.calls);
}

void add_process(Lines& lines, const sandbox::Plan& sandbox) {
    lines.add("program", sandbox.program).add("argument", sandbox.arguments).add("environment", sandbox.environment);
    lines.add("working_directory", sandbox.directory).add("umask", sandbox.umask).add("nice", sandbox.nice);
    lines.add("oom_score_adjust", sandbox.oom_score_adjust).add("cpus", sandbox.cpus);
    lines.add("io_priority", sandbox.io_priority.io_class).add("io_priority", sandbox.io_priority.level);
    lines.add("scheduling", sandbox.scheduling.scheduler).add("scheduling", sandbox.scheduling.priority);
    for (const sandbox::Limit& limit : sandbox.limits) {
        lines.add("limit", limit.resource).add("limit.soft", limit.soft).add("limit.hard", limit.hard);
    }
    for (const sandbox::GroupLimit& limit : sandbox.group_limits) {
        lines.add("limit.group", limit.file).add("limit.group", limit.value).add("limit.group", limit.device);
    }
}

void add_identity(Lines& lines, const Worker& worker) {
    lines.add("user", worker.user).add("group", worker.group).add("supplementary_groups", worker.supplementary_groups);
    // Numbers as resolved: a user that got another uid is another worker. Those from the range stay with their name.
    lines.add("uid", worker.sandbox.uid).add("gid", worker.sandbox.gid).add("groups", worker.sandbox.groups);
    lines.add("request_access", worker.requesters).add("door", worker.door).add("max_pending_requests", worker.max_pending_requests);
    lines.add("max_lent_memory", worker.max_lent_memory);
    lines.add("max_request_rate", worker.max_request_rate).add("max_fds_in_flight", worker.max_in_flight);
}

void add_command(Lines& lines, const policy::Command& command) {
    for (const policy::Word& word : command.words) {
        lines.add("grant.run.before", word.before).add("grant.run.placeholder", word.placeholder);
        lines.add("grant.run.text", word.text).add("grant.run.name", word.name);
    }
    lines.add("grant.run.user", command.user).add("grant.run.uid", command.uid).add("grant.run.gid", command.gid);
    lines.add("grant.run.stdin", command.in).add("grant.run.stdout", command.out).add("grant.run.stderr", command.err);
    lines.add("grant.run.timeout", command.timeout).add("grant.run.max_concurrent", command.max_concurrent);
}

void add_shape(Lines& lines, const policy::Shape& shape) {
    lines.add("grant.max_uses", shape.uses).add("grant.until_ready", shape.until_ready).add("grant.max_rate", shape.per_second);
}

void add_grant(Lines& lines, const policy::Grant& grant) {
    lines.add("grant", grant.name).add("grant.kind", grant.kind);
    for (const auto& entry : operation_names) {
        if (grant.rights.has(entry.operation)) lines.add("grant.right", entry.name);
    }
    lines.add("grant.path", grant.path).add("grant.open_as", grant.as).add("grant.owner", grant.owner);
    lines.add("grant.mode", grant.mode).add("grant.names", grant.names).add("grant.pin", grant.pin);
    lines.add("grant.cross_mounts", grant.cross_mounts).add("grant.backlog", grant.backlog);
    lines.add("grant.reuse_port", grant.reuse_port).add("grant.v6_only", grant.v6_only);
    lines.add("grant.private", grant.private_addresses);
    const bool socket = grant.kind == policy::Kind::listener || grant.kind == policy::Kind::peer;
    if (socket) lines.add("grant.address", format(grant.address));
    if (grant.kind == policy::Kind::raw) lines.add("grant.family", grant.address.family);
    lines.add("grant.protocol", grant.protocol).add("grant.interface", grant.interface).add("grant.peer", grant.peer);
    lines.add("grant.lookups", grant.lookups).add("grant.signals", grant.signals).add("grant.writes", grant.writes);
    lines.add("grant.fds", grant.carries_fds).add("grant.stream", grant.stream).add("grant.most", grant.most);
    if (grant.kind == policy::Kind::command) add_command(lines, grant.command);
    add_shape(lines, grant.shape);
}

}  // namespace

std::string fingerprint_of(const Worker& worker) {
    Lines lines;
    lines.add("name", worker.name);
    add_identity(lines, worker);
    add_process(lines, worker.sandbox);
    add_sandbox(lines, worker.sandbox);
    add_life(lines, worker.rule);
    lines.add("logging.max_size", worker.logging.max_size).add("logging.keep", worker.logging.keep);
    for (const policy::Grant& grant : worker.grants) add_grant(lines, grant);
    return lines.take();
}

namespace {

struct Written {
    std::string_view ours;   // a key, or with a dot at its end the beginning of keys
    std::string_view key;
};

// Where the two differ. What the filter of calls follows from stands by what it follows from.
constexpr std::array<Written, 24> written{{
    {"program", "exec"}, {"argument", "exec"}, {"limit", "limits"}, {"limit.", "limits"}, {"grant", "grants"}, {"grant.", "grants"},
    {"uid", "user"}, {"gid", "group"}, {"groups", "supplementary_groups"}, {"sandbox.bind_read_only.", "sandbox.bind_read_only"}, {"sandbox.file", "sandbox.files"},
    {"sandbox.text", "sandbox.files"}, {"sandbox.tmp.noexec", "sandbox.profile"}, {"sandbox.calls.inet_lent", "grants"},
    {"sandbox.calls.datagram_lent", "grants"}, {"sandbox.calls.lent", "grants"}, {"sandbox.calls.may_send", "grants"},
    {"sandbox.calls.devices_lent", "grants"}, {"sandbox.calls.listen", "sandbox.beside_listeners"}, {"sandbox.calls.connect", "sandbox.beside_listeners"},
    {"sandbox.calls.network", "sandbox.network"}, {"sandbox.calls.named", "sandbox.proc"}, {"sandbox.calls.namespaces", "sandbox.profile"},
    {"sandbox.calls.", "sandbox.profile"},
}};

std::string as_written(std::string key) {
    constexpr std::string_view count = ".count";
    if (key.ends_with(count)) key.resize(key.size() - count.size());
    for (const auto& one : written) {
        if (one.ours == key || (one.ours.ends_with('.') && key.starts_with(one.ours))) return std::string(one.key);
    }
    return key;
}

}  // namespace

std::vector<std::string> keys_as_written(const std::vector<std::string>& keys) {
    std::vector<std::string> all;
    for (const auto& key : keys) {
        std::string one = as_written(key);
        if (std::ranges::find(all, one) == all.end()) all.push_back(std::move(one));
    }
    return all;
}

}  // namespace warder::config
