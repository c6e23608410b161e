#include "daemon/reload.h"

#include <algorithm>
#include <array>
#include <map>

#include "daemon/cgroups.h"
#include "daemon/describe.h"
#include "daemon/log.h"
#include "daemon/offline.h"

namespace warder::daemon {
namespace {

using Lines = std::multimap<std::string, std::string, std::less<>>;

// A fingerprint has a line "KEY=VALUE" for each thing. What follows a line "grant=NAME" is that grant's, and told under its name.
Lines lines_of(std::string_view fingerprint) {
    Lines lines;
    std::string grant;
    while (!fingerprint.empty()) {
        const std::size_t end = std::min(fingerprint.find('\n'), fingerprint.size());
        const std::string_view line = fingerprint.substr(0, end);
        const std::size_t equals = std::min(line.find('='), line.size());
        std::string key(line.substr(0, equals));
        if (key == "grant") grant = "grants." + std::string(line.substr(std::min(equals + 1, line.size())));
        if (key.starts_with("grant")) key = grant;
        lines.emplace(std::move(key), std::string(line));
        fingerprint.remove_prefix(std::min(end + 1, fingerprint.size()));
    }
    return lines;
}

const config::Worker* find(const config::Config& config, std::string_view name) {
    const auto found = std::ranges::find(config.workers, name, &config::Worker::name);
    return found == config.workers.end() ? nullptr : &*found;
}

// As compilers say it, but a line each; nobody reads more than a screen of them.
void log_problems(const std::vector<config::Problem>& problems) {
    constexpr std::size_t most = 30;
    for (std::size_t i = 0; i < problems.size() && i < most; ++i) {
        const auto& problem = problems[i];
        std::string text = problem.where.file;
        if (problem.where.line != 0) text += ":" + std::to_string(problem.where.line) + ":" + std::to_string(problem.where.column);
        text += (text.empty() ? "" : ": ") + problem.what;
        if (!problem.suggestion.empty()) text += " (" + problem.suggestion + ")";
        log(problem.severity == config::Severity::error ? LogLevel::error : LogLevel::warning, text);
    }
    if (problems.size() > most) log_warning("and " + std::to_string(problems.size() - most) + " more: warderctl check shows all");
}

// Grants and limits are looked at per request; everything else is part of the sandbox or the process.
bool is_live(std::string_view key) {
    return key.starts_with("grants.") || key == "max_pending_requests" ||
           key == "max_request_rate" || key == "max_fds_in_flight" || key == "max_lent_memory" || key.starts_with("restart") ||
           key.starts_with("stop_") || key == "ready_timeout" || key == "setup_timeout" || key.starts_with("logging") ||
           key == "autostart";
}

// The socket to its descriptor store is given to a program when it starts.
bool has_store(const config::Worker& worker) {
    return std::ranges::any_of(worker.grants, [](const auto& grant) { return grant.kind == policy::Kind::store; });
}

}  // namespace

std::vector<std::string> changed_keys(std::string_view before, std::string_view after) {
    const Lines old_lines = lines_of(before);
    const Lines new_lines = lines_of(after);
    std::vector<std::string> keys;
    const auto differs = [](const Lines& these, const Lines& others, const std::string& key) {
        std::vector<std::string> a;
        std::vector<std::string> b;
        for (auto [it, end] = these.equal_range(key); it != end; ++it) a.push_back(it->second);
        for (auto [it, end] = others.equal_range(key); it != end; ++it) b.push_back(it->second);
        return a != b;
    };
    for (const auto* lines : {&old_lines, &new_lines}) {
        for (const auto& [key, line] : *lines) {
            const bool known = std::ranges::find(keys, key) != keys.end();
            if (!known && differs(old_lines, new_lines, key)) keys.push_back(key);
        }
    }
    return keys;
}

control::ReloadReport Reload::run(control::ReloadMode mode) {
    Loaded loaded = load_and_resolve(daemon_.options_, config::Occasion::again);
    control::ReloadReport report;
    if (loaded.ok) report = compare(loaded.config);
    report.mode = mode;
    report.ok = loaded.ok;
    for (const auto& problem : loaded.problems) report.problems.push_back(report_of(problem));
    if (!loaded.ok) {
        if (mode == control::ReloadMode::apply) {
            log_problems(loaded.problems);
            log_warning("reload refused: the config has errors; everything is as it was");
        }
        return report;
    }
    refuse_what_was_given_up(loaded.config, report);
    if (report.ok) compare_daemon(loaded.config.daemon, report);
    if (!report.ok || mode == control::ReloadMode::plan) return report;
    log_problems(loaded.problems);
    add_what_looks_up(loaded.config, report);
    if (!report.ok) return report;
    daemon_.roster_->set_controllers(give_controllers(daemon_.cgroup_, loaded.config));
    for (auto& change : report.changes) change.failed = apply(loaded.config, change);
    const auto failed = report.failures();
    report.ok = failed == 0;
    daemon_.order_.clear();
    for (const auto& worker : loaded.config.workers) {
        if (daemon_.members_.contains(worker.name)) daemon_.order_.push_back(worker.name);
    }
    daemon_.service_.status(std::to_string(daemon_.members_.size()) + " workers");
    const auto done = std::ssize(report.changes) - failed;
    log_info("reloaded: " + std::to_string(done) + " workers changed" + (failed == 0 ? "" : ", " + std::to_string(failed) + " could not be"));
    return report;
}

// [daemon] is of the start, but for who may operate. Nobody is to believe that the rest of it counts already.
void Reload::compare_daemon(const config::Daemon& next, control::ReloadReport& report) {
    const config::Daemon& before = daemon_.config_.daemon;
    const std::array<std::pair<std::string_view, bool>, 13> of_the_start{{
        {"runtime_directory", next.runtime_directory != before.runtime_directory},
        {"state_directory", next.state_directory != before.state_directory},
        {"log_directory", next.log_directory != before.log_directory},
        {"control_socket", next.control_socket != before.control_socket},
        {"cgroup", next.cgroup != before.cgroup},
        {"uid_range", next.uid_first != before.uid_first || next.uid_last != before.uid_last},
        {"opener_processes", next.openers != before.openers},
        {"spare_sandboxes", next.spare_sandboxes != before.spare_sandboxes},
        {"request_timeout", next.request_timeout != before.request_timeout},
        {"log_keeper", next.log_keeper != before.log_keeper},
        {"logging", next.logging.max_size != before.logging.max_size || next.logging.keep != before.logging.keep},
        {"required_features", next.require != before.require},
        {"reserve_capabilities", next.reserve_capabilities != before.reserve_capabilities},
    }};
    for (const auto& [key, differs] : of_the_start) {
        if (!differs) continue;
        const std::string what = std::string(key) + " of [daemon] is another now: for warderd itself that counts from its next start";
        const auto mark = next.marks.find(key);
        const auto problem = mark == next.marks.end() ? config::Problem{.severity = config::Severity::warning, .where = {}, .what = what, .suggestion = {}, .line = {}}
                                                      : mark->second.problem(config::Severity::warning, what);
        report.problems.push_back(report_of(problem));
        if (report.mode == control::ReloadMode::apply) log_warning(what);
    }
    if (next.control_group == before.control_group) return;
    if (report.mode == control::ReloadMode::plan) {
        report.problems.push_back({control::Weight::warning, daemon_.options_.config, 0, 0, 1, "control_group of [daemon] would be taken over at once", {}, {}});
        return;
    }
    if (const auto failed = daemon_.let_in(next.control_group); !failed.empty()) {
        report.ok = false;
        report.problems.push_back({control::Weight::error, daemon_.options_.config, 0, 0, 1, "control_group of [daemon]: " + failed, {}, {}});
        return;
    }
    report.problems.push_back({control::Weight::warning, daemon_.options_.config, 0, 0, 1, "control_group of [daemon] is taken over", {}, {}});
}

// What was dropped at the start cannot come back: then nothing of the config is taken over.
void Reload::refuse_what_was_given_up(const config::Config& next, control::ReloadReport& report) const {
    for (const auto& sentence : daemon_.sandbox_.restarts_for(next)) {
        report.ok = false;
        report.problems.push_back({control::Weight::error, daemon_.options_.config, 0, 0, 1, sentence, {}, {}});
        if (report.mode == control::ReloadMode::apply) log_warning("reload refused: " + sentence);
    }
}

control::ReloadReport Reload::compare(const config::Config& next) const {
    control::ReloadReport report;
    for (const auto& [name, member] : daemon_.members_) {
        if (find(next, name) == nullptr) report.changes.push_back({name, control::ChangeKind::remove, {}, {}});
    }
    for (const auto& worker : next.workers) {
        const auto running = daemon_.members_.find(worker.name);
        if (running == daemon_.members_.end()) {
            report.changes.push_back({worker.name, control::ChangeKind::add, {}, {}});
            continue;
        }
        const auto& before = running->second.config;
        auto keys = changed_keys(fingerprint_of(before), fingerprint_of(worker));
        const auto replaced = what_was_replaced(worker);
        keys.insert(keys.end(), replaced.begin(), replaced.end());
        if (daemon_.cannot_run(running->second)) keys.emplace_back("what it could not run with");
        if (keys.empty()) continue;
        const auto kind = kind_of(before, worker, keys);
        report.changes.push_back({worker.name, kind, config::keys_as_written(keys), {}});
        if (kind == control::ChangeKind::live) report.changes.back().left = left_behind(before.grants, worker.grants);
    }
    return report;
}

// A file that is bound alone stays the one that it was when the life began, whatever its name means since.
std::vector<std::string> Reload::what_was_replaced(const config::Worker& worker) const {
    const supervise::Worker* running = daemon_.roster_->find(daemon_.members_.at(worker.name).id);
    std::vector<std::string> keys;
    if (running == nullptr || running->at_rest()) return keys;
    for (const auto& path : running->replaced_files()) {
        const auto bind = std::ranges::find(worker.sandbox.binds, path, &sandbox::Bind::source);
        if (bind == worker.sandbox.binds.end() || bind->execute) continue;
        keys.push_back((bind->writable ? "sandbox.bind_writable: " : "sandbox.bind: ") + path + " is another file now");
    }
    return keys;
}

// A change of grants alone is live, unless the sandbox must change with it: what a lent socket can still do is closed by the
// filter, and a filter cannot be changed on a running process.
control::ChangeKind Reload::kind_of(const config::Worker& before, const config::Worker& after,
                                    const std::vector<std::string>& keys) const {
    if (!std::ranges::all_of(keys, [](const auto& key) { return is_live(key); })) return control::ChangeKind::restart;
    const auto calls_before = assemble(before, before.sandbox.uid, before.sandbox.gid).life.plan.calls;
    const auto calls_after = assemble(after, after.sandbox.uid, after.sandbox.gid).life.plan.calls;
    const bool same_sandbox = sandbox::narrowed_alike(calls_before, calls_after) && has_store(before) == has_store(after);
    return same_sandbox ? control::ChangeKind::live : control::ChangeKind::restart;
}

std::string Reload::apply(const config::Config& next, const control::ChangeReport& change_report) {
    const auto& name = change_report.worker;
    if (change_report.kind == control::ChangeKind::remove) {
        daemon_.take_back(name);
        return {};
    }
    const config::Worker& worker = *find(next, name);
    if (change_report.kind != control::ChangeKind::add) return change(worker, change_report.kind);
    if (daemon_.roster_->is_leaving(name)) {
        return Daemon::complain(worker, "one of this name was removed and is still stopping; reload again when it has");
    }
    // Who asks for it is told at once why it cannot run, and asks again: only at a boot nobody does.
    if (auto failed = daemon_.add(worker); !failed.empty()) {
        daemon_.take_back(name);
        return failed;
    }
    daemon_.tend_keeper();
    if (worker.rule.autostart) daemon_.roster_->find(daemon_.members_.at(name).id)->start(daemon_.now_);
    return {};
}

std::string Reload::change(const config::Worker& worker, control::ChangeKind kind) {
    auto& member = daemon_.members_.at(worker.name);
    supervise::Worker* running = daemon_.roster_->find(member.id);
    if (running == nullptr) return daemon_.complain(worker, "it is gone");
    auto made = daemon_.assembled(worker);
    const std::string fault = made.life.fault;
    // One that runs goes on as it is.
    if (!fault.empty() && !running->at_rest()) return daemon_.complain(worker, fault);
    const bool could_not_run = daemon_.cannot_run(member);
    const bool less = takes_away(member.config.grants, worker.grants);
    sandbox::Unfit unfit;
    if (const auto changed = running->change(made.life, unfit); !changed) {
        return daemon_.complain(worker, supervise::in_words(unfit, changed.error()));
    }
    daemon_.join(worker, member.id, fault);
    refresh_log(worker, made.life.plan.gid);
    if (!fault.empty()) return daemon_.complain(worker, fault);
    if (less) daemon_.descriptor_stores_.empty(member.id);
    // What a life under the former sandbox would be lent is not closed by its filter: it waits for that life's end, and with it what
    // came since.
    const bool waits = !running->at_rest() && (kind == control::ChangeKind::restart || daemon_.awaited_.contains(member.id));
    if (waits) {
        daemon_.awaited_.insert_or_assign(member.id, std::move(made.principal));
    } else {
        daemon_.admit(member.id, std::move(made.principal));
    }
    const bool wanted_up = running->life().desired == supervise::Desired::up;
    const bool begins_again = could_not_run && running->state() == supervise::State::failed;
    if (kind == control::ChangeKind::restart && wanted_up && !running->at_rest()) running->restart(daemon_.now_);
    if (wanted_up && begins_again) running->start(daemon_.now_);
    return {};
}

// The keeper is told the limits of a log with its pipe.
void Reload::refresh_log(const config::Worker& worker, gid_t group) {
    const auto again = daemon_.output_for(worker, group);
    if (!again) log_error(worker.name + ": its log: " + describe(again.error()));
    daemon_.tend_keeper();
}

// Grants that name hosts, users and the like may be the first of their kind.
void Reload::add_what_looks_up(const config::Config& next, control::ReloadReport& report) {
    if (daemon_.resolver_ || !Daemon::wants_resolver(next)) return;
    if (daemon_.add_resolver()) {
        daemon_.tend_keeper();   // its log is new
        daemon_.roster_->find(daemon_.resolver_->id)->start(daemon_.now_);
        return;
    }
    report.ok = false;
    report.problems.push_back({control::Weight::error, daemon_.options_.config, 0, 0, 1,
                               "names cannot be looked up: the resolver could not be added; the log says why", {}, {}});
}

}  // namespace warder::daemon
