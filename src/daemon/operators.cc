#include "daemon/operators.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "control/command.h"
#include "control/question.h"
#include "control/report.h"
#include "daemon/capabilities.h"
#include "daemon/describe.h"
#include "daemon/log.h"
#include "daemon/offline.h"
#include "daemon/version.h"
#include "daemon/worker_fds.h"
#include "sandbox/score.h"
#include "sys/files.h"

namespace warder::daemon {
namespace {

constexpr std::string_view warderd_name = "warderd";

// A number that is the whole of a small file of the kernel's.
std::optional<std::uint64_t> number_in(const std::string& path) {
    const auto text = read_file(path, 4096);
    std::uint64_t value = 0;
    if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{}) return std::nullopt;
    return value;
}

// A small list; of a group with more processes than fit nobody is told.
std::vector<pid_t> processes_in(const std::string& cgroup) {
    std::vector<pid_t> processes;
    const auto text = read_file(cgroup + "/cgroup.procs", 64 * 1024);
    const std::string_view all = text ? std::string_view(*text) : std::string_view{};
    for (std::size_t at = 0; at < all.size(); at = std::min(all.find('\n', at), all.size()) + 1) {
        pid_t pid = 0;
        if (std::from_chars(all.data() + at, all.data() + all.size(), pid).ec == std::errc{} && pid > 0) processes.push_back(pid);
    }
    return processes;
}

control::Held held_state(const policy::Grant& grant, const broker::Held& held) {
    if (grant.kind == policy::Kind::listener) return held.listener ? control::Held::held : control::Held::lost;
    if (held.directory_path.empty()) return control::Held::unneeded;
    return held.directory ? control::Held::held : control::Held::absent;
}

std::vector<std::string> signals_of(const policy::Grant& grant) {
    std::vector<std::string> names;
    for (int signal = 1; signal < 64; ++signal) {
        if ((grant.signals >> signal & 1) == 0) continue;
        const char* name = ::sigabbrev_np(signal);
        names.push_back(name != nullptr ? name : std::to_string(signal));
    }
    return names;
}

// What else a kind has, that neither its operations nor its target say.
std::vector<std::string> details_of(const policy::Grant& grant) {
    switch (grant.kind) {
        case policy::Kind::worker: return signals_of(grant);
        case policy::Kind::device: return {grant.writes ? "read and write" : "read"};
        case policy::Kind::channel: {
            std::vector<std::string> details{grant.stream ? "stream" : "seqpacket"};
            if (grant.carries_fds) details.emplace_back("carries descriptors");
            return details;
        }
        case policy::Kind::command:
            return {"as " + (grant.command.user.empty() ? std::string("root") : grant.command.user),
                    "at most " + format_duration(grant.command.timeout), std::to_string(grant.command.max_concurrent) + " at once"};
        default: return {};
    }
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
    report.details = details_of(grant);
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
    report.helper = daemon_.is_keeper(member.id) || daemon_.is_resolver(member.id);
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
        report.failed = principal->failed;
        if (principal->session) report.fds = static_cast<std::uint32_t>(principal->session->lent.total());
    }
    add_group_use(report);
    add_denied_calls(report, member);
    return report;
}

void Operators::add_denied_calls(control::WorkerReport& report, const Daemon::Member& member) const {
    const auto* worker = daemon_.roster_->find(member.id);
    if (worker == nullptr) return;
    const auto& calls = worker->settings().plan.calls;
    const bool lost = worker->monitored() && !worker->at_rest() && daemon_.syscall_monitors_.lost(member.id);
    report.evidence = !calls.enabled ? "off" : !worker->monitored() ? "errno" : lost ? "lost" : "full";
    report.syscall_monitor = std::max(daemon_.syscall_monitors_.pid_of(member.id), pid_t{0});
    const auto* seen = daemon_.syscall_monitors_.latest(member.id);
    // A life that is well is not told what an earlier one was denied: the config may be another by now.
    const bool past = worker->state() == supervise::State::ready && !daemon_.syscall_monitors_.saw_now(member.id);
    if (seen == nullptr || past) return;
    for (const auto& call : seen->list) report.denied_calls.push_back(describe_call(member.config, calls, call));
    report.other_calls = seen->others;
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
    for (const auto* member : all_members()) reports.push_back(report(*member));
    return reports;
}

control::Answer<control::WorkerReport> Operators::worker(std::string_view name) const {
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    return report(**found);
}

// What operators see of warderd itself: its own sandbox.
control::ShowReport Operators::show_warderd() const {
    control::ShowReport show;
    show.worker.name = warderd_name;
    show.worker.state = supervise::State::ready;
    show.worker.desired = supervise::Desired::up;
    show.worker.since = daemon_.started_;
    show.worker.pid = ::getpid();
    show.worker.uid = ::getuid();
    show.worker.gid = ::getgid();
    show.worker.cgroup = daemon_.cgroup_;
    show.origin = daemon_.options_.config;
    show.sandbox = daemon_.sandbox_.receipt(daemon_.cgroup_);
    return show;
}

control::Answer<control::ShowReport> Operators::show(std::string_view name) const {
    if (name == warderd_name) return show_warderd();
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    const Daemon::Member& shown = **found;
    auto list = grants(name);
    if (!list) return control::Refused(list.error());
    const auto* worker = daemon_.roster_->find(shown.id);
    control::ShowReport show = describe_worker(shown.config, worker == nullptr ? nullptr : &worker->settings());
    show.worker = report(shown);
    show.grants = std::move(*list);
    if (worker != nullptr) show.sandbox = sandbox_items(worker->receipt().taken ? worker->receipt() : worker->planned());
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
        reports.push_back(grant_report(principal->grants().at(id), id, &principal->held[i]));
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

control::Answer<control::WhyReport> Operators::why(std::string_view name, const control::Question& question) const {
    const auto found = member(name);
    if (!found) return control::Refused(found.error());
    const auto* principal = daemon_.broker_.principal((*found)->id);
    if (principal == nullptr) return control::Refused({ENOENT, "worker \"" + std::string(name) + "\" is gone"});
    return control::answer_question(principal->grants(), question);
}

std::vector<const Daemon::Member*> Operators::all_members() const {
    std::vector<const Daemon::Member*> all;
    for (const auto& name : daemon_.order_) {
        if (const auto found = daemon_.members_.find(name); found != daemon_.members_.end()) all.push_back(&found->second);
    }
    if (daemon_.keeper_) all.push_back(&*daemon_.keeper_);
    if (daemon_.resolver_) all.push_back(&*daemon_.resolver_);
    return all;
}

SocketHolder Operators::socket_holder(const Daemon::Member& member) const {
    SocketHolder holder{member.config.name, daemon_.broker_.principal(member.id), {}};
    const auto* worker = daemon_.roster_->find(member.id);
    if (worker == nullptr) return holder;
    const supervise::Snapshot seen = worker->snapshot();
    if (!seen.cgroup.empty()) holder.processes = processes_in(seen.cgroup);
    const bool listed = std::ranges::find(holder.processes, seen.pid) != holder.processes.end();
    if (seen.pid > 0 && !listed) holder.processes.push_back(seen.pid);
    return holder;
}

control::Answer<control::SocketsReport> Operators::sockets(std::string_view name, const control::LetGo& let_go) const {
    if (!name.empty()) {
        if (const auto found = member(name); !found) return control::Refused(found.error());
    }
    // The other ends are looked for everywhere, whoever is asked about.
    SocketGathering gathering(socket_tables_, daemon_.pid_);
    let_go();
    std::vector<SocketHolder> holders;
    for (const auto* one : all_members()) holders.push_back(socket_holder(*one));
    return gathering.report(holders, name);
}

std::optional<control::StoreReport> Operators::store_of(const Daemon::Member& member) const {
    const auto* store = daemon_.descriptor_stores_.store_of(member.id);
    if (store == nullptr) return std::nullopt;
    control::StoreReport report;
    report.worker = member.config.name;
    report.most = store->most;
    report.total = store->kept.total;
    report.names = store->kept.name_count;
    report.descriptor_store = store->pid > 0 ? store->pid : 0;
    report.refused = store->kept.refused;
    report.strays = store->kept.strays;
    for (const auto& kept : store->kept.names) report.kept.push_back({kept.name, kept.count, kept.since});
    return report;
}

control::Answer<std::vector<control::StoreReport>> Operators::stores(std::string_view name) const {
    std::vector<const Daemon::Member*> asked = all_members();
    if (!name.empty()) {
        const auto found = member(name);
        if (!found) return control::Refused(found.error());
        asked = {*found};
    }
    std::vector<control::StoreReport> reports;
    for (const auto* one : asked) {
        if (auto store = store_of(*one)) reports.push_back(std::move(*store));
    }
    return reports;
}

control::SecurityReport Operators::security_of(const Daemon::Member& member) const {
    const auto* worker = daemon_.roster_->find(member.id);
    const sandbox::Receipt none;
    const sandbox::Receipt& receipt = worker == nullptr ? none : worker->receipt();
    const sandbox::Score score = sandbox::score_of(receipt);
    control::SecurityReport report{member.config.name, receipt.taken, score.exposure_tenths(), {}};
    for (const auto& item : score.items) {
        const bool of_mode = daemon_.config_.daemon.run_mode.without_root && item.weight.item == "uid";
        const std::string_view raise = of_mode ? "run warderd as root, not with --user: a number of its own is given" : item.weight.raise;
        report.items.push_back({std::string(item.weight.item), item.weight.weight, item.confined, std::string(raise)});
    }
    return report;
}

control::Answer<std::vector<control::SecurityReport>> Operators::security(std::string_view name) const {
    std::vector<const Daemon::Member*> asked = all_members();
    if (!name.empty()) {
        const auto found = member(name);
        if (!found) return control::Refused(found.error());
        asked = {*found};
    }
    std::vector<control::SecurityReport> reports;
    for (const auto* one : asked) reports.push_back(security_of(*one));
    return reports;
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
    const Loaded loaded = load_and_resolve(daemon_.options_, config::Occasion::again);
    control::CheckReport report;
    report.files = loaded.config.files;
    for (const auto& worker : loaded.config.workers) report.workers.push_back(worker.name);
    for (const auto& problem : loaded.problems) report.problems.push_back(report_of(problem));
    report.protections = protections();
    report.capabilities = capability_reports(loaded.config);
    return report;
}

control::VersionReport Operators::version() const {
    const Daemon::Turns& turns = daemon_.turns();
    return {daemon::version,       protocol::current_version, ::getpid(),     daemon_.started_,
            daemon_.options_.config, turns.count,             turns.over_5ms, turns.longest};
}

control::Answer<void> Operators::start(std::string_view name) {
    const auto worker = running(name);
    if (!worker) return control::Refused(worker.error());
    if (daemon_.shutting_down_) return control::Refused({ECANCELED, "warderd is stopping"});
    daemon_.look_again((*worker)->name());
    (*worker)->look_at_theirs();
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
    daemon_.look_again((*worker)->name());
    (*worker)->look_at_theirs();
    (*worker)->restart(daemon_.now_);
    return {};
}

control::Answer<control::ReloadReport> Operators::reload(control::ReloadMode mode) {
    if (daemon_.shutting_down_) return control::Refused({ECANCELED, "warderd is stopping"});
    return daemon_.reload(mode);
}

control::Answer<pid_t> Operators::signal(std::string_view name, int signal) {
    const auto worker = running(name);
    if (!worker) return control::Refused(worker.error());
    const pid_t pid = (*worker)->pid();
    if (const auto sent = (*worker)->send_signal(signal); !sent) {
        const bool none = sent.error().number == ESRCH;
        return control::Refused({sent.error().number, none ? std::string(name) + " has no process now" : describe(sent.error())});
    }
    return pid;
}

control::Answer<uid_t> Operators::forget(std::string_view name) {
    const std::string known(name);
    const auto& all = daemon_.uids_.all();
    const bool ours = (daemon_.keeper_ && name == config::log_keeper_name) || (daemon_.resolver_ && name == config::resolver_name);
    if (ours || daemon_.members_.contains(name) || daemon_.roster_->is_leaving(name)) {
        return control::Refused({EBUSY, "worker \"" + known + "\" is still there; a name is forgotten when no worker of the config has it"});
    }
    if (!all.contains(known)) {
        std::vector<std::string_view> names;
        for (const auto& [one, uid] : all) names.push_back(one);
        const std::string_view near = config::nearest(name, names);
        return control::Refused({ENOENT, "no uid was given to \"" + known + "\"" + (near.empty() ? "" : "; did you mean \"" + std::string(near) + "\"?")});
    }
    const auto uid = daemon_.uids_.forget(known);
    if (!uid) return control::Refused({uid.error().number, describe(uid.error())});
    return *uid;
}

control::Answer<void> Operators::shutdown() {
    daemon_.shut_down("asked by an operator");
    return {};
}

// In a process of its own; without one (too many of them, no memory) it is refused.
std::optional<control::Reported> Operators::inquire(const control::Ticket& ticket, const control::Report& report) {
    const auto begun = daemon_.inquiries_.begin(ticket, report, daemon_.now_);
    if (begun) return std::nullopt;
    const int error = begun.error().number;
    const control::Refusal refusal{error, error == EAGAIN ? "others are being answered such a question: ask again in a moment"
                                                          : describe(begun.error())};
    return control::Reported{error, control::refusal_json(control::name_of(ticket.verb), refusal)};
}

// Who changed what is the first question after a surprise: it stands in the log and in the audit.
void Operators::note(std::string_view line) {
    log_info("control: " + std::string(line));
    audit::Record record;
    record.kind = audit::Record::Kind::control;
    record.wall_clock = wall_clock_now();
    record.text.append(line);
    daemon_.trail_.tell(record, audit::own_account, daemon_.now_);
}

void Operators::note_refused(std::string_view line) {
    constexpr Duration each = std::chrono::seconds(1);
    constexpr Duration ahead = std::chrono::seconds(60);
    if (!refusals_.take(each, ahead, daemon_.now_)) {
        ++refusals_counted_;
        return;
    }
    if (const auto more = std::exchange(refusals_counted_, 0); more > 0) {
        note(std::to_string(more) + " more refusals and ended connections were only counted");
    }
    note(line);
}

}  // namespace warder::daemon
