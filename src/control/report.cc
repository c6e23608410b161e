#include "control/report.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace warder::control {
namespace {

std::string_view word_of(Held held) {
    switch (held) {
        case Held::unneeded: return "unneeded";
        case Held::held: return "held";
        case Held::absent: return "absent";
        case Held::lost: return "lost";
    }
    return "unknown";
}

std::string_view word_of(Evidence evidence) {
    switch (evidence) {
        case Evidence::none: return "none";
        case Evidence::read: return "read";
        case Evidence::proved: return "proved";
    }
    return "unknown";
}

std::string_view word_of(ChangeKind kind) {
    switch (kind) {
        case ChangeKind::add: return "add";
        case ChangeKind::remove: return "remove";
        case ChangeKind::restart: return "restart";
        case ChangeKind::live: return "live";
    }
    return "unknown";
}

std::string_view word_of(policy::As as) { return as == policy::As::root ? "root" : "worker"; }

void put_owner(JsonWriter& json, policy::Owner owner) {
    json.key("owner");
    switch (owner) {
        case policy::Owner::unset: json.null(); return;
        case policy::Owner::worker: json.string("worker"); return;
        case policy::Owner::root: json.string("root"); return;
    }
    json.null();
}

std::int64_t milliseconds(Duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

template <typename Number>
void put_optional(JsonWriter& json, std::string_view name, const std::optional<Number>& value) {
    json.key(name);
    value ? json.number(*value) : json.null();
}

void put_text_or_null(JsonWriter& json, std::string_view name, const std::string& text) {
    json.key(name);
    text.empty() ? json.null() : json.string(text);
}

void put_strings(JsonWriter& json, std::string_view name, const std::vector<std::string>& list) {
    json.key(name).begin_array();
    for (const auto& text : list) json.string(text);
    json.end_array();
}

// A moment of the past: {"at": "...", "ms_ago": n}. One of the future has "ms_ahead". Null for one that never was or will be.
void put_moment(JsonWriter& json, std::string_view name, Instant at, const Clock& clock) {
    json.key(name);
    if (at == Instant::never() || at == Instant{}) {
        json.null();
        return;
    }
    const Duration ahead = at - clock.now;
    json.begin_object().member("at", format_wall_clock(clock.wall + ahead.count()));
    if (ahead > Duration::zero()) {
        json.member("ms_ahead", milliseconds(ahead));
    } else {
        json.member("ms_ago", milliseconds(-ahead));
    }
    json.end_object();
}

void put_time(JsonWriter& json, std::string_view name, std::int64_t wall, const Clock& clock) {
    json.key(name).begin_object().member("at", format_wall_clock(wall));
    json.member("ms_ago", std::max<std::int64_t>((clock.wall - wall) / 1'000'000, 0)).end_object();
}

void put_denied_calls(JsonWriter& json, const WorkerReport& worker, const Clock& clock) {
    put_text_or_null(json, "evidence", worker.evidence);
    json.key("syscall_monitor");
    worker.syscall_monitor > 0 ? json.number(worker.syscall_monitor) : json.null();
    json.key("denied_calls").begin_array();
    for (const auto& call : worker.denied_calls) {
        json.begin_object().member("call", call.call).member("words", call.words);
        json.member("answer", call.error == 0 ? "killed" : errno_name(call.error)).member("count", call.count);
        put_time(json, "first", call.first, clock);
        put_time(json, "last", call.last, clock);
        json.member("pid", call.pid).member("section", call.section);
        put_text_or_null(json, "origin", call.origin);
        put_text_or_null(json, "key", call.key);
        json.member("change", call.change).end_object();
    }
    json.end_array().member("other_denied_calls", worker.other_calls);
}

void put_worker(JsonWriter& json, const WorkerReport& worker, const Clock& clock) {
    json.begin_object();
    json.member("name", worker.name).member("id", number(worker.id));
    json.member("state", supervise::name_of(worker.state));
    json.member("wanted", worker.desired == supervise::Desired::up ? "up" : "down");
    put_moment(json, "since", worker.since, clock);
    json.key("pid");
    worker.pid > 0 ? json.number(worker.pid) : json.null();
    put_text_or_null(json, "user", worker.user);
    json.member("uid", worker.uid).member("gid", worker.gid).member("restarts", worker.restarts);
    put_text_or_null(json, "last_exit", worker.last_exit);
    put_moment(json, "next_start", worker.next_start, clock);
    put_text_or_null(json, "status", worker.status);
    json.member("allowed", worker.allowed).member("denied", worker.denied).member("failed", worker.failed).member("fds", worker.fds);
    put_text_or_null(json, "cgroup", worker.cgroup);
    put_optional(json, "memory", worker.memory);
    json.key("cpu_ms");
    worker.cpu ? json.number(milliseconds(*worker.cpu)) : json.null();
    put_optional(json, "tasks", worker.tasks);
    put_denied_calls(json, worker, clock);
    json.member("helper", worker.helper).end_object();
}

void put_limit(JsonWriter& json, std::string_view name, std::uint32_t limit) {
    json.key(name);
    limit == 0 ? json.null() : json.number(limit);
}

void put_shape(JsonWriter& json, const policy::Shape& shape) {
    json.key("limits").begin_object();
    put_limit(json, "max_uses", shape.uses);
    put_text_or_null(json, "until", shape.until_ready ? "ready" : "");
    put_limit(json, "max_rate", shape.per_second);
    json.end_object();
}

void put_grant(JsonWriter& json, const GrantReport& grant) {
    json.begin_object();
    json.member("id", number(grant.id)).member("name", grant.name).member("kind", policy::name_of(grant.kind));
    json.key("rights").begin_array();
    for (const auto& entry : operation_names) {
        if (grant.rights.has(entry.operation)) json.string(entry.name);
    }
    json.end_array();
    json.member("target", grant.target).member("as", word_of(grant.as));
    put_owner(json, grant.owner);
    put_strings(json, "names", grant.names);
    put_text_or_null(json, "origin", grant.origin);
    json.member("uses", grant.uses).member("held", word_of(grant.held));
    put_shape(json, grant.shape);
    json.member("narrowed", grant.narrowed);
    put_strings(json, "details", grant.details);
    json.end_object();
}

void put_grants(JsonWriter& json, const std::vector<GrantReport>& grants) {
    json.key("grants").begin_array();
    for (const auto& grant : grants) put_grant(json, grant);
    json.end_array();
}

template <typename Number>
void put_number_or_null(JsonWriter& json, std::string_view name, Number number, bool known) {
    json.key(name);
    known ? json.number(number) : json.null();
}

void put_socket(JsonWriter& json, const SocketReport& socket) {
    json.begin_object().member("protocol", socket.protocol);
    put_text_or_null(json, "state", socket.state);
    put_number_or_null(json, "recv_queue", socket.receive_queue, socket.queues);
    put_number_or_null(json, "send_queue", socket.send_queue, socket.queues);
    put_text_or_null(json, "local", socket.local);
    put_text_or_null(json, "peer", socket.peer);
    json.member("inode", socket.inode);
    put_number_or_null(json, "peer_inode", socket.peer_inode, socket.peer_inode != 0);
    put_number_or_null(json, "peer_pid", socket.peer_pid, socket.peer_pid > 0);
    put_text_or_null(json, "peer_worker", socket.peer_worker);
    json.member("holder", socket.kept ? "warderd" : "worker");
    put_text_or_null(json, "worker", socket.worker);
    json.member("pid", socket.pid).member("fd", socket.fd);
    put_text_or_null(json, "grant", socket.grant);
    json.end_object();
}

void put_store(JsonWriter& json, const StoreReport& store, const Clock& clock) {
    json.begin_object().member("worker", store.worker).member("most", store.most).member("total", store.total);
    json.member("names", store.names);
    put_number_or_null(json, "descriptor_store", store.descriptor_store, store.descriptor_store > 0);
    json.member("refused", store.refused).member("strays", store.strays).key("kept").begin_array();
    for (const auto& kept : store.kept) {
        json.begin_object().member("name", kept.name).member("count", kept.count).key("since").begin_object();
        json.member("at", format_wall_clock(kept.since));
        json.member("ms_ago", std::max<std::int64_t>((clock.wall - kept.since) / 1'000'000, 0)).end_object().end_object();
    }
    json.end_array().end_object();
}

void put_problems(JsonWriter& json, const std::vector<ProblemReport>& problems) {
    json.key("problems").begin_array();
    for (const auto& problem : problems) {
        json.begin_object().member("weight", problem.weight == Weight::error ? "error" : "warning");
        put_text_or_null(json, "file", problem.file);
        json.member("line", problem.line).member("column", problem.column).member("length", problem.length);
        json.member("what", problem.what);
        put_text_or_null(json, "suggestion", problem.suggestion);
        put_text_or_null(json, "text", problem.text);
        json.end_object();
    }
    json.end_array();
}

void put_sandbox(JsonWriter& json, const std::vector<SandboxItem>& sandbox) {
    json.key("sandbox").begin_array();
    for (const auto& item : sandbox) {
        json.begin_object().member("name", item.name).member("wanted", item.wanted);
        put_text_or_null(json, "effective", item.effective);
        json.member("evidence", word_of(item.evidence)).member("matches", item.matches).end_object();
    }
    json.end_array();
}

// One report: the envelope, and what `fill` puts into it.
template <typename Fill>
std::string report(std::string_view verb, Fill fill) {
    std::string text;
    JsonWriter json(text);
    json.begin_object().member("warder", report_version).member("verb", verb);
    fill(json);
    json.end_object();
    return text;
}

void put_refusal(JsonWriter& json, const Refusal& refusal) {
    json.member("error", refusal.sentence).member("errno", errno_name(refusal.error));
}

Refusal refusal_of(const ReloadReport& reload) {
    const auto failed = reload.failures();
    if (failed == 0) return {EINVAL, "the configuration has errors: nothing was changed"};
    return {EIO, std::to_string(failed) + " of " + std::to_string(reload.changes.size()) + " changes could not be carried out: those workers are as they were"};
}

}  // namespace

Clock Clock::read() { return {monotonic_now(), wall_clock_now()}; }

std::string status_json(const std::vector<WorkerReport>& workers, const Clock& clock) {
    return report("status", [&](JsonWriter& json) {
        json.key("workers").begin_array();
        for (const auto& worker : workers) put_worker(json, worker, clock);
        json.end_array();
    });
}

std::string list_json(const std::vector<WorkerReport>& workers) {
    return report("list", [&](JsonWriter& json) {
        json.key("workers").begin_array();
        for (const auto& worker : workers) {
            if (!worker.helper) json.string(worker.name);
        }
        json.end_array();
    });
}

std::string show_json(const ShowReport& show, const Clock& clock) {
    return report("show", [&](JsonWriter& json) {
        json.key("worker");
        put_worker(json, show.worker, clock);
        put_text_or_null(json, "origin", show.origin);
        put_strings(json, "program", show.program);
        json.member("request_access", show.requesters).member("ready", show.ready);
        json.member("restart", show.restart).member("stop", show.stop);
        put_sandbox(json, show.sandbox);
        put_strings(json, "open", show.open);
        put_grants(json, show.grants);
    });
}

namespace {

void put_lacks(JsonWriter& json, const std::vector<KernelLack>& lacks) {
    json.key("lacks").begin_array();
    for (const auto& lack : lacks) {
        json.begin_object().member("worker", lack.worker).member("item", lack.item).member("why", lack.why);
        json.member("instead", lack.instead).member("preferred", lack.preferred).end_object();
    }
    json.end_array();
}

}  // namespace

std::string sandbox_plan_json(const SandboxPlanReport& sandbox) {
    return report("sandbox", [&](JsonWriter& json) {
        json.member("worker", sandbox.worker).member("profile", sandbox.profile).key("plan").begin_array();
        for (const auto& line : sandbox.plan) {
            json.begin_object().member("key", line.key).member("value", line.value).member("origin", line.origin).end_object();
        }
        json.end_array();
        put_lacks(json, sandbox.lacks);
    });
}

std::string kernel_json(const KernelReport& kernel) {
    return report("kernel", [&](JsonWriter& json) {
        json.member("ok", kernel.ok).key("items").begin_array();
        for (const auto& item : kernel.items) {
            json.begin_object().member("name", item.name).member("present", item.present).member("since", item.since).end_object();
        }
        json.end_array();
        put_lacks(json, kernel.lacks);
    });
}

std::string life_json(std::string_view verb, const WorkerReport& worker, bool done, const Clock& clock) {
    return report(verb, [&](JsonWriter& json) {
        json.member("done", done).key("worker");
        put_worker(json, worker, clock);
    });
}

std::string failed_life_json(std::string_view verb, const Refusal& refusal, const WorkerReport& worker, const Clock& clock) {
    return report(verb, [&](JsonWriter& json) {
        put_refusal(json, refusal);
        json.key("worker");
        put_worker(json, worker, clock);
    });
}

std::string reload_json(const ReloadReport& reload) {
    return report("reload", [&](JsonWriter& json) {
        json.member("mode", reload.mode == ReloadMode::plan ? "plan" : "apply").member("ok", reload.ok);
        if (!reload.ok) put_refusal(json, refusal_of(reload));
        json.key("changes").begin_array();
        for (const auto& change : reload.changes) {
            json.begin_object().member("worker", change.worker).member("kind", word_of(change.kind));
            put_strings(json, "keys", change.keys);
            put_strings(json, "left", change.left);
            if (!change.failed.empty()) json.member("failed", change.failed);
            json.end_object();
        }
        json.end_array();
        put_problems(json, reload.problems);
    });
}

std::string logs_json(const LogsReport& logs) {
    return report("logs", [&](JsonWriter& json) {
        put_text_or_null(json, "directory", logs.directory);
        json.key("files").begin_array();
        for (const auto& file : logs.files) {
            json.begin_object().member("worker", file.worker).member("file", file.file).end_object();
        }
        json.end_array();
        put_text_or_null(json, "audit", logs.audit);
        put_text_or_null(json, "elsewhere", logs.elsewhere);
    });
}

std::string grants_json(std::string_view worker, const std::vector<GrantReport>& grants) {
    return report("grants", [&](JsonWriter& json) {
        json.member("worker", worker);
        put_grants(json, grants);
    });
}

std::string fds_json(std::string_view worker, const std::vector<FdReport>& fds, const Clock& clock) {
    return report("fds", [&](JsonWriter& json) {
        json.member("worker", worker).key("fds").begin_array();
        for (const auto& fd : fds) {
            json.begin_object();
            put_optional(json, "number", fd.number);
            json.member("grant", fd.grant).member("operation", warder::name_of(fd.operation)).member("target", fd.target);
            put_moment(json, "since", fd.since, clock);
            json.key("open");
            fd.open ? json.boolean(*fd.open) : json.null();
            json.end_object();
        }
        json.end_array();
    });
}

std::string sockets_json(const SocketsReport& sockets) {
    return report("sockets", [&](JsonWriter& json) {
        json.member("complete", sockets.complete).key("sockets").begin_array();
        for (const auto& socket : sockets.sockets) put_socket(json, socket);
        json.end_array();
    });
}

std::string stores_json(const std::vector<StoreReport>& stores, const Clock& clock) {
    return report("store", [&](JsonWriter& json) {
        json.key("stores").begin_array();
        for (const auto& store : stores) put_store(json, store, clock);
        json.end_array();
    });
}

std::string security_json(const std::vector<SecurityReport>& reports) {
    return report("security", [&](JsonWriter& json) {
        json.key("workers").begin_array();
        for (const auto& one : reports) {
            json.begin_object().member("worker", one.worker).member("seen", one.seen).member("exposure_tenths", one.exposure_tenths);
            json.key("items").begin_array();
            for (const auto& item : one.items) {
                json.begin_object().member("item", item.item).member("weight", item.weight).member("confined", item.confined);
                json.member("raise", item.raise).end_object();
            }
            json.end_array().end_object();
        }
        json.end_array();
    });
}

std::string why_json(const WhyReport& why) {
    return report("why", [&](JsonWriter& json) {
        json.member("worker", why.worker).member("operation", why.operation).member("target", why.target);
        json.member("verdict", why.allowed ? "allow" : "deny").member("reason", warder::name_of(why.reason));
        put_text_or_null(json, "grant", why.grant);
        put_text_or_null(json, "origin", why.origin);
        json.member("sentence", why.sentence);
    });
}

std::string check_json(const CheckReport& check) {
    return report("check", [&](JsonWriter& json) {
        json.member("ok", check.ok());
        put_strings(json, "files", check.files);
        put_strings(json, "workers", check.workers);
        put_problems(json, check.problems);
        json.key("capabilities").begin_array();
        for (const auto& capability : check.capabilities) json.string(capability.name);
        json.end_array().key("needs").begin_array();
        for (const auto& capability : check.capabilities) {
            json.begin_object().member("capability", capability.name);
            put_strings(json, "for", capability.reasons);
            json.end_object();
        }
        json.end_array();
        json.key("protections").begin_array();
        for (const auto& protection : check.protections) {
            json.begin_object().member("name", protection.name).member("on", protection.on);
            put_text_or_null(json, "note", protection.note);
            json.end_object();
        }
        json.end_array();
    });
}

std::string version_json(const VersionReport& version, const Clock& clock) {
    return report("version", [&](JsonWriter& json) {
        json.member("version", version.version).member("protocol", version.protocol).member("pid", version.pid);
        put_moment(json, "since", version.since, clock);
        put_text_or_null(json, "config", version.config);
        json.key("loop").begin_object().member("turns", version.turns).member("over_5ms", version.turns_over_5ms);
        json.member("longest_us", std::chrono::duration_cast<std::chrono::microseconds>(version.longest_turn).count());
        json.end_object();
    });
}

std::string shutdown_json() {
    return report("shutdown", [](JsonWriter&) {});
}

std::string signal_json(std::string_view worker, int signal, pid_t pid) {
    return report("signal", [&](JsonWriter& json) {
        json.member("worker", worker);
        json.member("signal", signal);
        json.member("pid", pid);
    });
}

std::string forget_json(std::string_view name, uid_t uid) {
    return report("forget", [&](JsonWriter& json) {
        json.member("name", name);
        json.member("uid", uid);
    });
}

std::string refusal_json(std::string_view verb, const Refusal& refusal) {
    return report(verb, [&](JsonWriter& json) { put_refusal(json, refusal); });
}

}  // namespace warder::control
