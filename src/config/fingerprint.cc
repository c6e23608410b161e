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

void add_mounts(Lines& lines, const sandbox::Plan& cell) {
    lines.add("cell.mount_namespace", cell.mount_namespace).add("cell.root", cell.root);
    lines.add("cell.tmp_size", cell.tmp_size).add("cell.private_tmp", cell.private_tmp);
    lines.add("cell.tmp.noexec", cell.tmp_no_execute);
    for (const sandbox::Bind& bind : cell.binds) {
        lines.add("cell.bind.source", bind.source).add("cell.bind.target", bind.target);
        lines.add("cell.bind.writable", bind.writable).add("cell.bind.execute", bind.execute);
        lines.add("cell.bind.noexec", bind.no_execute);
    }
    for (const auto& one : cell.memory_directories) {
        lines.add("cell.memory_directories", one.target).add("cell.memory_directories", one.size);
        lines.add("cell.memory_directories", one.mode).add("cell.memory_directories", one.no_execute);
    }
    for (const auto& one : cell.overlays) {
        lines.add("cell.overlays", one.target).add("cell.overlays", one.lower).add("cell.overlays", one.size);
        lines.add("cell.overlays", one.mode).add("cell.overlays", one.no_execute);
    }
    for (const auto& own : cell.own_directories) {
        lines.add("cell.directories", own.path).add("cell.directories", own.variable).add("cell.directories", own.no_execute);
        lines.add("cell.directories", own.mode).add("cell.directories", own.group).add("cell.directories", own.gid);
    }
    for (const auto& one : cell.secret_files) lines.add("cell.secret_files", one.name).add("cell.secret_files", one.source);
    lines.add("cell.names", cell.names).add("cell.ptys", cell.ptys).add("cell.home", cell.home).add("cell.shell", cell.shell);
    lines.add("cell.devices", cell.devices).add("cell.proc", cell.proc);
    for (const sandbox::TextFile& file : cell.files) lines.add("cell.file", file.target).add("cell.text", file.text);
}

void add_calls(Lines& lines, const sandbox::Calls& calls) {
    lines.add("cell.calls", calls.enabled).add("cell.calls.inet_lent", calls.inet_sockets_lent);
    lines.add("cell.calls.datagram_lent", calls.datagram_sockets_lent);
    lines.add("cell.calls.lent", calls.lent_sockets).add("cell.calls.listen", sandbox::leaves_listen(calls));
    lines.add("cell.calls.connect", sandbox::leaves_connect(calls)).add("cell.beside_listeners", calls.beside_listeners);
    lines.add("cell.allow_socket_options", calls.socket_options);
    lines.add("cell.calls.may_send", calls.may_send_descriptors).add("cell.calls.network", calls.network);
    lines.add("cell.calls.namespaces", calls.namespaces).add("cell.lock_personality", calls.lock_personality);
    lines.add("cell.allow_calls", calls.allow).add("cell.calls.few_ioctls", calls.few_ioctls);
    lines.add("cell.allow_ioctls", calls.any_ioctl).add("cell.calls.devices_lent", calls.devices_lent);
    lines.add("cell.calls.named", calls.descriptors_have_names).add("cell.calls.shared_code", calls.no_code_in_shared_memory);
    for (const auto request : calls.allow_ioctls) lines.add("cell.allow_ioctls", request);
    lines.add("cell.restrict_suid_sgid", calls.restrict_suid_sgid);
    lines.add("cell.calls", calls.base).add("cell.kill_calls", calls.kill).add("cell.log_calls", calls.log);
    lines.add("cell.log_denied_calls", calls.log_denied).add("cell.evidence", calls.witnessed);
    for (const auto& denied : calls.deny) lines.add("cell.deny_calls", denied.name).add("cell.deny_calls", denied.error);
    for (const auto& rule : calls.rules) {
        lines.add("cell.call_rules", rule.call).add("cell.call_rules", rule.argument).add("cell.call_rules", rule.value);
        lines.add("cell.call_rules", rule.mask).add("cell.call_rules", rule.differs).add("cell.call_rules", rule.error);
    }
}

void add_cell(Lines& lines, const sandbox::Plan& cell) {
    lines.add("cell.pid_namespace", cell.pid_namespace).add("cell.ipc_namespace", cell.ipc_namespace);
    lines.add("cell.uts_namespace", cell.uts_namespace).add("cell.network", cell.network);
    lines.add("cell.hostname", cell.hostname).add("cell.no_new_privileges", cell.no_new_privileges);
    lines.add("cell.landlock", cell.landlock).add("cell.capabilities", cell.capabilities);
    lines.add("cell.refuse_executable_memory", cell.refuse_executable_memory).add("cell.core_dumps", cell.core_dumps);
    lines.add("cell.dumpable", cell.dumpable);
    lines.add("cell.cgroup_namespace", cell.cgroup_namespace).add("cell.network", cell.network_path);
    lines.add("cell.time_offsets", cell.time_namespace).add("cell.time_offsets", cell.monotonic_offset);
    lines.add("cell.user_namespace", cell.user_namespace);
    for (const auto* map : {&cell.uid_map, &cell.gid_map}) {
        lines.add("cell.user_namespace", map->size());
        for (const auto& range : *map) {
            lines.add("cell.user_namespace", range.inside).add("cell.user_namespace", range.outside).add("cell.user_namespace", range.count);
        }
    }
    lines.add("cell.time_offsets", cell.boottime_offset).add("cell.scope_signals", cell.scope_signals);
    lines.add("cell.scope_abstract_sockets", cell.scope_abstract_sockets).add("cell.preferred", cell.preferred);
    lines.add("cell.tcp_bind", cell.tcp_bind.restricted).add("cell.tcp_bind", cell.tcp_bind.allowed);
    lines.add("cell.tcp_connect", cell.tcp_connect.restricted).add("cell.tcp_connect", cell.tcp_connect.allowed);
    lines.add("cell.private_keyring", cell.private_keyring).add("cell.terminal", cell.terminal);
    add_mounts(lines, cell);
    add_calls(lines, cell.calls);
}

void add_process(Lines& lines, const sandbox::Plan& cell) {
    lines.add("program", cell.program).add("argument", cell.arguments).add("environment", cell.environment);
    lines.add("directory", cell.directory).add("umask", cell.umask).add("nice", cell.nice);
    lines.add("oom_score_adjust", cell.oom_score_adjust).add("cpus", cell.cpus);
    lines.add("io_priority", cell.io_priority.io_class).add("io_priority", cell.io_priority.level);
    lines.add("scheduling", cell.scheduling.scheduler).add("scheduling", cell.scheduling.priority);
    for (const sandbox::Limit& limit : cell.limits) {
        lines.add("limit", limit.resource).add("limit.soft", limit.soft).add("limit.hard", limit.hard);
    }
    for (const sandbox::GroupLimit& limit : cell.group_limits) {
        lines.add("limit.group", limit.file).add("limit.group", limit.value).add("limit.group", limit.device);
    }
}

void add_identity(Lines& lines, const Worker& worker) {
    lines.add("user", worker.user).add("group", worker.group).add("supplementary_groups", worker.supplementary_groups);
    // Numbers as resolved: a user that got another uid is another worker. Those from the range stay with their name.
    lines.add("uid", worker.cell.uid).add("gid", worker.cell.gid).add("groups", worker.cell.groups);
    lines.add("requesters", worker.requesters).add("door", worker.door).add("max_outstanding", worker.max_outstanding);
    lines.add("max_lent_memory", worker.max_lent_memory);
    lines.add("requests_per_second", worker.requests_per_second).add("descriptors_in_flight", worker.max_in_flight);
}

void add_command(Lines& lines, const policy::Command& command) {
    for (const policy::Word& word : command.words) {
        lines.add("grant.run.before", word.before).add("grant.run.hole", word.hole);
        lines.add("grant.run.text", word.text).add("grant.run.name", word.name);
    }
    lines.add("grant.run.user", command.user).add("grant.run.uid", command.uid).add("grant.run.gid", command.gid);
    lines.add("grant.run.stdin", command.in).add("grant.run.stdout", command.out).add("grant.run.stderr", command.err);
    lines.add("grant.run.timeout", command.timeout).add("grant.run.at_once", command.at_once);
}

void add_shape(Lines& lines, const policy::Shape& shape) {
    lines.add("grant.uses", shape.uses).add("grant.until_ready", shape.until_ready).add("grant.rate", shape.per_second);
}

void add_grant(Lines& lines, const policy::Grant& grant) {
    lines.add("grant", grant.name).add("grant.kind", grant.kind);
    for (const auto& entry : operation_names) {
        if (grant.rights.has(entry.operation)) lines.add("grant.right", entry.name);
    }
    lines.add("grant.path", grant.path).add("grant.as", grant.as).add("grant.owner", grant.owner);
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
    add_process(lines, worker.cell);
    add_cell(lines, worker.cell);
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
    {"uid", "user"}, {"gid", "group"}, {"groups", "supplementary_groups"}, {"cell.bind.", "cell.bind"}, {"cell.file", "cell.text_files"},
    {"cell.text", "cell.text_files"}, {"cell.tmp.noexec", "cell.profile"}, {"cell.calls.inet_lent", "grants"},
    {"cell.calls.datagram_lent", "grants"}, {"cell.calls.lent", "grants"}, {"cell.calls.may_send", "grants"},
    {"cell.calls.devices_lent", "grants"}, {"cell.calls.listen", "cell.beside_listeners"}, {"cell.calls.connect", "cell.beside_listeners"},
    {"cell.calls.network", "cell.network"}, {"cell.calls.named", "cell.proc"}, {"cell.calls.namespaces", "cell.profile"},
    {"cell.calls.", "cell.profile"},
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
