#include "daemon/operators.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "daemon/describe.h"
#include "daemon/log.h"
#include "daemon/offline.h"
#include "daemon/reload.h"
#include "daemon/version.h"
#include "daemon/worker_fds.h"
#include "sys/files.h"

namespace warder::daemon {
namespace {

// A number that is the whole of a small file of the kernel's.
std::optional<std::uint64_t> number_in(const std::string& path) {
    const auto text = read_file(path, 4096);
    std::uint64_t value = 0;
    if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{}) return std::nullopt;
    return value;
}

control::Held held_state(const policy::Grant& grant, const broker::Held& held) {
    if (grant.kind == policy::Kind::listener) return held.listener ? control::Held::held : control::Held::lost;
    if (held.directory_path.empty()) return control::Held::unneeded;
    return held.directory ? control::Held::held : control::Held::absent;
}

control::GrantReport grant_report(const policy::Grant& grant, GrantId id, const broker::Held* held) {
    control::GrantReport report;
    report.id = id;
    report.name = grant.name;
    report.kind = grant.kind;
    report.rights = grant.rights;
    report.target = grant_target(grant);
    report.as = grant.as;
    report.owner = grant.owner;
    report.names = grant.names;
    report.origin = grant.origin;
    report.shape = grant.shape;
    report.narrowed = grant.narrowed;
    if (held != nullptr) {
        report.uses = held->lent;
        report.held = held_state(grant, *held);
    }
    return report;
}

}  // namespace

control::Answer<const Daemon::Member*> Operators::member(std::string_view name) const {
    if (daemon_.keeper_ && name == daemon_.keeper_->config.name) return &*daemon_.keeper_;
    if (daemon_.resolver_ && name == daemon_.resolver_->config.name) return &*daemon_.resolver_;
    const auto found = daemon_.members_.find(name);
    if (found != daemon_.members_.end()) return &found->second;
    std::vector<std::string_view> known;
    for (const auto& [worker, member] : daemon_.members_) known.push_back(worker);
    const std::string_view near = config::nearest(name, known);
    std::string sentence = "no worker \"" + std::string(name) + "\"";
    if (!near.empty()) sentence += "; did you mean \"" + std::string(near) + "\"?";
    return control::Refused({ENOENT, sentence});
}

control::Answer<supervise::Worker*> Operators::running(std::string_view name) const {
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    if (auto* worker = daemon_.roster_->find((*found)->id)) return worker;
    return control::Refused({ENOENT, "worker \"" + std::string(name) + "\" is gone"});
}

control::WorkerReport Operators::report(const Daemon::Member& member) const {
    control::WorkerReport report;
    report.name = member.config.name;
    report.id = member.id;
    report.user = member.config.user;
    if (const auto* worker = daemon_.roster_->find(member.id)) {
        const supervise::Snapshot seen = worker->snapshot();
        report.state = seen.state;
        report.desired = seen.desired;
        report.since = seen.since;
        report.pid = seen.pid > 0 ? seen.pid : 0;
        report.uid = seen.uid;
        report.gid = seen.gid;
        report.restarts = seen.restarts;
        report.last_exit = seen.last_exit;
        report.next_start = seen.next_start;
        report.status = seen.status;
        report.cgroup = seen.cgroup;
    }
    if (const auto* principal = daemon_.broker_.principal(member.id)) {
        report.allowed = principal->allowed;
        report.denied = principal->denied;
        if (principal->session) report.fds = static_cast<std::uint32_t>(principal->session->lent.total());
    }
    add_group_use(report);
    return report;
}

// Only where the controllers are there; their files are the kernel's own and never wait.
void Operators::add_group_use(control::WorkerReport& report) const {
    if (report.cgroup.empty()) return;
    report.memory = number_in(report.cgroup + "/memory.current");
    report.tasks = number_in(report.cgroup + "/pids.current");
    const auto text = read_file(report.cgroup + "/cpu.stat", 4096);
    constexpr std::string_view head = "usage_usec ";
    std::int64_t microseconds = 0;
    if (!text || !text->starts_with(head)) return;
    if (std::from_chars(text->data() + head.size(), text->data() + text->size(), microseconds).ec == std::errc{}) {
        report.cpu = std::chrono::microseconds(microseconds);
    }
}

std::vector<control::WorkerReport> Operators::workers() const {
    std::vector<control::WorkerReport> reports;
    for (const auto& name : daemon_.order_) {
        if (const auto found = daemon_.members_.find(name); found != daemon_.members_.end()) {
            reports.push_back(report(found->second));
        }
    }
    return reports;
}

control::Answer<control::WorkerReport> Operators::worker(std::string_view name) const {
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    return report(**found);
}

control::Answer<control::ShowReport> Operators::show(std::string_view name) const {
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    const Daemon::Member& shown = **found;
    auto list = grants(name);
    if (!list) return control::Refused(list.error());
    const auto* worker = daemon_.roster_->find(shown.id);
    control::ShowReport show = describe_worker(shown.config, worker == nullptr ? nullptr : &worker->settings());
    show.worker = report(shown);
    show.grants = std::move(*list);
    if (worker != nullptr && worker->pid() > 0) compare_with_process(show.cell, worker->pid(), worker->settings().plan);
    return show;
}

control::Answer<std::vector<control::GrantReport>> Operators::grants(std::string_view name) const {
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    const auto* principal = daemon_.broker_.principal((*found)->id);
    std::vector<control::GrantReport> reports;
    if (principal == nullptr) return reports;
    for (std::uint32_t i = 0; i < principal->held.size(); ++i) {
        const auto id = static_cast<GrantId>(i);
        reports.push_back(grant_report(principal->settings.grants.at(id), id, &principal->held[i]));
    }
    return reports;
}

control::Answer<std::vector<control::FdReport>> Operators::fds(std::string_view name) const {
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    const auto* principal = daemon_.broker_.principal((*found)->id);
    if (principal == nullptr || !principal->session) return std::vector<control::FdReport>();
    return worker_fds(*principal);
}

control::Answer<control::WhyReport> Operators::why(std::string_view name, Operation operation, std::string_view target) const {
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    const auto* principal = daemon_.broker_.principal((*found)->id);
    if (principal == nullptr) return control::Refused({ENOENT, "worker \"" + std::string(name) + "\" is gone"});
    return why_report(principal->settings.grants, operation, target);
}

control::Answer<control::LogsReport> Operators::logs(std::string_view name) const {
    control::LogsReport report;
    const bool keeper = daemon_.config_.daemon.log_keeper;
    report.audit = "audit.jsonl";
    report.directory = daemon_.config_.daemon.log_directory;
    if (!keeper) report.elsewhere = "standard error of warderd";
    if (!name.empty()) {
        const auto found = member(name);
        if (!found) return control::Refused(found.error());
        if (keeper) report.files.push_back({std::string(name), std::string(name) + ".log"});
        return report;
    }
    for (const auto& worker : daemon_.order_) {
        if (keeper) report.files.push_back({worker, worker + ".log"});
    }
    return report;
}

control::CheckReport Operators::check() const {
    const Loaded loaded = load_and_resolve(daemon_.options_.config);
    control::CheckReport report;
    report.files = loaded.config.files;
    for (const auto& worker : loaded.config.workers) report.workers.push_back(worker.name);
    for (const auto& problem : loaded.problems) report.problems.push_back(report_of(problem));
    report.protections = protections();
    return report;
}

control::VersionReport Operators::version() const {
    return {daemon::version, protocol::current_version, ::getpid(), daemon_.started_, daemon_.options_.config};
}

control::Answer<void> Operators::start(std::string_view name) {
    const auto worker = running(name);
    if (!worker) return control::Refused(worker.error());
    if (daemon_.shutting_down_) return control::Refused({ECANCELED, "warderd is stopping"});
    (*worker)->start(daemon_.now_);
    return {};
}

control::Answer<void> Operators::stop(std::string_view name) {
    const auto worker = running(name);
    if (!worker) return control::Refused(worker.error());
    (*worker)->stop(daemon_.now_);
    return {};
}

control::Answer<void> Operators::restart(std::string_view name) {
    const auto worker = running(name);
    if (!worker) return control::Refused(worker.error());
    if (daemon_.shutting_down_) return control::Refused({ECANCELED, "warderd is stopping"});
    (*worker)->restart(daemon_.now_);
    return {};
}

control::Answer<control::ReloadReport> Operators::reload(control::ReloadMode mode) {
    if (daemon_.shutting_down_) return control::Refused({ECANCELED, "warderd is stopping"});
    return Reload(daemon_).run(mode);
}

control::Answer<void> Operators::shutdown() {
    daemon_.shut_down("asked by an operator");
    return {};
}

// Who changed what is the first question after a surprise: it stands in the log and in the audit.
void Operators::note(std::string_view line) {
    log_info("control: " + std::string(line));
    audit::Record* record = daemon_.ring_.push();
    if (record == nullptr) return;
    *record = audit::Record{};
    record->kind = audit::Record::Kind::control;
    record->wall_clock = wall_clock_now();
    record->text.append(line);
}

}  // namespace warder::daemon
