// The loop: what happens in a turn, and the news that modules have for each other. Getting ready is setup.cc.
#include "daemon/daemon.h"

#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/cgroups.h"
#include "daemon/describe.h"
#include "daemon/log.h"
#include "daemon/operators.h"
#include "daemon/reload.h"
#include "sys/path_walk.h"
#include "sys/poll_kind.h"

namespace warder::daemon {
namespace {

constexpr Duration audit_delay = std::chrono::milliseconds(200);
constexpr Duration retry_delay = std::chrono::milliseconds(20);

bool is(std::uint8_t kind, PollKind watch) { return kind == static_cast<std::uint8_t>(watch); }

}  // namespace

Daemon::~Daemon() = default;

int Daemon::run() {
    ::malloc_trim(0);   // reading configs and preparing sandboxes leaves holes, which every child's page tables would copy
    now_ = monotonic_now();
    started_ = now_;
    roster_->start_all(now_);
    service_.ready(std::to_string(members_.size()) + " workers");
    if (service_.watchdog_interval()) watchdog_due_ = now_ + *service_.watchdog_interval();
    while (!finished_) turn();
    end();
    log_info("stopped");
    return 0;
}

// Of what was only prepared too.
void Daemon::end() {
    if (control_) control_->close();
    inquiries_.stop();
    for (const auto& [name, member] : members_) broker_.dismiss(member.id);
    runner_.stop();
    descriptor_stores_.stop();
    syscall_monitors_.stop();
    pool_.stop();
    roster_.reset();   // its groups go before ours
    leave_cgroup(cgroup_);
}

void Daemon::turn() {
    const auto events = next_events();
    pool_.collect(now_);
    runner_.set_now(now_);
    if (!events) {
        log_error(describe(events.error()));
        return shut_down("the poller failed");
    }
    for (const auto& event : *events) dispatch(event);
    broker_.go_on(now_);
    if (shutting_down_) continue_shutdown();
    if (audit_behind_ || trail_.pressing()) tend_audit();
    count_turn();
}

// What the broker expects is looked at in the moment in which the turn before ended; the timer matters only where we wait.
Result<std::span<const PollEvent>> Daemon::next_events() {
    likely_ = broker_.next_likely(now_);
    if (likely_) {
        now_ = turn_ended_;
        return std::span<const PollEvent>(&*likely_, 1);
    }
    arm_timer();
    const auto events = poller_.wait(audit_behind_ ? Duration::zero() : broker_.patience());
    now_ = monotonic_now();
    return events;
}

void Daemon::count_turn() {
    turn_ended_ = monotonic_now();
    const Duration took = turn_ended_ - now_;
    ++turns_.count;
    if (took > std::chrono::milliseconds(5)) ++turns_.over_5ms;
    turns_.longest = std::max(turns_.longest, took);
}

void Daemon::dispatch(const PollEvent& event) {
    const std::uint8_t kind = event.tag.kind;
    // The broker takes the credentials that its next operation needs; all others act as root.
    if (is(kind, PollKind::session)) return broker_.handle(event, now_);
    privileges_.become_root();
    if (is_of_supervise(kind)) {
        roster_->handle(event, now_);
    } else if (is(kind, PollKind::opener) || is(kind, PollKind::opener_exit)) {
        pool_.handle(event, now_);
    } else if (is(kind, PollKind::rotation)) {
        broker_.handle_rotations(now_);
    } else if (is(kind, PollKind::runner) || is(kind, PollKind::runner_exit)) {
        runner_.handle(event, now_);
    } else if (is(kind, PollKind::descriptor_store) || is(kind, PollKind::descriptor_store_exit)) {
        descriptor_stores_.handle(event);
    } else if (is(kind, PollKind::syscall_monitor) || is(kind, PollKind::syscall_monitor_exit)) {
        syscall_monitors_.handle(event);
    } else if (is(kind, PollKind::joiner_exit)) {
        channels_.handle(event, now_);
    } else if (is_of_control(kind)) {
        if (control_) control_->handle(event, {now_, wall_clock_now()});
    } else if (is(kind, PollKind::inquiry) || is(kind, PollKind::inquiry_exit)) {
        inquiries_.handle(event);
    } else if (is(kind, PollKind::signals)) {
        while (const auto signal = signals_.take()) on_signal(*signal);
    } else if (is(kind, PollKind::timer)) {
        timer_.acknowledge();
        armed_ = Instant::never();
        run_due();
    }
}

void Daemon::run_due() {
    roster_->run_due(now_);
    pool_.run_due(now_);
    runner_.run_due(now_);
    channels_.run_due(now_);
    broker_.run_due(now_);
    inquiries_.run_due(now_);
    if (audit_due_ <= now_) tend_audit();
    if (keeper_due_ <= now_) tend_keeper();
    if (watchdog_due_ <= now_) {
        service_.watchdog();
        watchdog_due_ = now_ + *service_.watchdog_interval();
    }
}

Instant Daemon::next_deadline() const {
    return std::min({roster_->next_deadline(), pool_.next_deadline(), runner_.next_deadline(),
                     broker_.next_deadline(), channels_.next_deadline(), inquiries_.next_deadline(), audit_due_, keeper_due_, watchdog_due_});
}

// Set again only for something earlier: a timer that comes too early costs one turn, setting it each turn costs every turn.
void Daemon::arm_timer() {
    if (audit_due_ == Instant::never() && !trail_.empty()) audit_due_ = now_ + audit_delay;
    const Instant next = next_deadline();
    if (next >= armed_) return;
    armed_ = next;
    if (const auto set = timer_.set(next); !set) log_error(describe(set.error()));
}

// A little in each turn, so that nobody waits for what was recorded about others.
void Daemon::tend_audit() {
    using Outcome = audit::Sink::Outcome;
    if (trail_.next_telling() <= now_) trail_.tell_counts(now_);
    const Outcome events = event_sink_.drain_some(trail_.events());
    const Outcome common = sink_.drain_some(trail_.common());
    audit_behind_ = events == Outcome::more || common == Outcome::more;
    const bool full = events == Outcome::full || common == Outcome::full;
    audit_due_ = full ? now_ + audit_delay : trail_.next_telling();
}

void Daemon::write_out_audit() {
    trail_.tell_counts(now_);
    event_sink_.drain(trail_.events());
    sink_.drain(trail_.common());
}

void Daemon::tend_keeper() { keeper_due_ = pipes_.deliver(broker_) ? now_ + retry_delay : Instant::never(); }

void Daemon::on_signal(int signal) {
    if (signal != SIGHUP) return shut_down(signal == SIGINT ? "interrupted" : "told to stop");
    if (shutting_down_) return log_warning("not reloaded: stopping");
    service_.reloading(now_);
    bind_control_again();
    const auto report = reload(control::ReloadMode::apply);
    service_.ready(report.ok ? "reloaded" : "reload refused: the config has errors");
}

// A sweep of /run may have taken what no operator could ask for any more.
void Daemon::bind_control_again() {
    if (!control_) return;
    privileges_.become_root();
    (void)make_directories(config_.daemon.runtime_directory, 0755);
    const auto bound = control_->bind_again();
    if (!bound) log_error("control socket: " + describe(bound.error()));
    else if (*bound) log_warning("control socket: its name was gone or another's, and is bound again");
}

void Daemon::bind_listeners_again() {
    privileges_.become_root();
    for (const auto& one : broker_.bind_again()) {
        const std::string what = one.worker + ": grant " + one.grant + ": the path of its listener was gone";
        if (one.error.number == 0) log_warning(what + ", and is bound again; what the worker was lent stays the former one until it asks or starts anew");
        else log_error(what + ": " + describe(one.error));
    }
}

control::ReloadReport Daemon::reload(control::ReloadMode mode) {
    auto report = Reload(*this).run(mode);
    if (mode == control::ReloadMode::apply) bind_listeners_again();
    ::malloc_trim(0);
    return report;
}

// ---- Stopping: the workers first, then the log keeper, which has their last lines to write ----

void Daemon::shut_down(std::string_view why) {
    if (shutting_down_) return;
    shutting_down_ = true;
    log_info("stopping: " + std::string(why));
    service_.stopping();
    for (const auto& [name, member] : members_) {
        if (auto* worker = roster_->find(member.id)) worker->stop(now_);
    }
    if (resolver_) {
        if (auto* worker = roster_->find(resolver_->id)) worker->stop(now_);
    }
    continue_shutdown();
}

void Daemon::continue_shutdown() {
    const auto resting = [&](WorkerId id) {
        const auto* worker = roster_->find(id);
        return worker == nullptr || worker->at_rest();
    };
    const bool members_rest = std::ranges::all_of(members_, [&](const auto& entry) { return resting(entry.second.id); });
    if (!members_rest || (resolver_ && !resting(resolver_->id))) return;
    if (keeper_ && !keeper_stopping_) {
        keeper_stopping_ = true;
        write_out_audit();
        if (auto* worker = roster_->find(keeper_->id)) worker->stop(now_);
    }
    if (roster_->everything_stopped()) {
        write_out_audit();
        finished_ = true;
    }
}

// ---- News from lives ----

Fd Daemon::store_socket(supervise::Worker& worker) { return descriptor_stores_.socket_for(worker.id()); }

Result<Fd> Daemon::syscall_monitor_socket(supervise::Worker& worker, const seccomp::Program& filter) {
    return syscall_monitors_.socket_for(worker.id(), filter);
}

const sandbox::SeenCalls* Daemon::seen_calls(supervise::Worker& worker) { return syscall_monitors_.seen(worker.id()); }

void Daemon::session_begins(supervise::Worker& worker, Channel& ours, Credentials who) {
    const auto begun = broker_.begin_session(worker.id(), ours, who, worker.cgroup_id());
    if (!begun) log_error(worker.name() + ": no session: " + describe(begun.error()));
    descriptor_stores_.session_begins(worker.id(), who);
}

void Daemon::session_ends(supervise::Worker& worker) {
    if (is_keeper(worker.id())) pipes_.keeper_ended();
    renew_output(worker);
    if (is_resolver(worker.id())) resolver_up_ = false;
    broker_.end_session(worker.id());
    descriptor_stores_.session_ended(worker.id());
    syscall_monitors_.session_ended(worker.id());
    channels_.session_ended(worker.id());
}

void Daemon::state_changed(supervise::Worker& worker, supervise::State from, supervise::State to, std::string_view why) {
    if (to != supervise::State::ready && to != supervise::State::stopping) admit_awaited(worker.id());
    const std::string text =
        std::string(supervise::name_of(from)) + " -> " + std::string(supervise::name_of(to)) + ": " + std::string(why);
    const bool bad = to == supervise::State::failed || to == supervise::State::waiting;
    log(bad ? LogLevel::warning : LogLevel::info, worker.name() + ": " + text);
    record_state(worker, text);
    if (to == supervise::State::stopping) (void)broker_.send_event(worker.id(), protocol::Type::stop, {});
    if (control_) control_->worker_changed(worker.name(), {now_, wall_clock_now()});
}

// Its life under the former sandbox is over.
void Daemon::admit_awaited(WorkerId id) {
    auto awaited = awaited_.extract(id);
    if (!awaited.empty() && config_of(id) != nullptr) admit(id, std::move(awaited.mapped()));
}

void Daemon::record_state(const supervise::Worker& worker, std::string_view text) { record(worker, audit::Record::Kind::state, text); }

void Daemon::record(const supervise::Worker& worker, audit::Record::Kind kind, std::string_view text) {
    audit::Record record;
    record.kind = kind;
    record.wall_clock = wall_clock_now();
    record.pid = worker.pid() > 0 ? worker.pid() : 0;
    record.uid = worker.settings().plan.uid;
    record.worker.append(worker.name());
    record.text.append(text);
    trail_.tell(record, trail_.account_of(worker.name()), now_);
}

void Daemon::status_text(supervise::Worker& worker, std::string_view text) {
    log(LogLevel::debug, worker.name() + ": says: " + std::string(text));
}

void Daemon::ready_unheard(supervise::Worker& worker, pid_t from) {
    log_warning(worker.name() + ": READY=1 came from its process " + std::to_string(from) + " and is not taken: only its main process, " +
                std::to_string(worker.pid()) + ", is believed; let exec name the program itself (a shell: exec PROGRAM), or write ready = \"exec\"");
}

void Daemon::removed(supervise::Worker& worker) {
    if (control_) control_->worker_changed(worker.name(), {now_, wall_clock_now()});
    awaited_.erase(worker.id());
    broker_.dismiss(worker.id());
    descriptor_stores_.dismiss(worker.id());
    syscall_monitors_.dismiss(worker.id());
    channels_.dismiss(worker.id());
}

// Its output's end is the end of this run. What cannot be had now is the old pipe once more.
void Daemon::renew_output(supervise::Worker& worker) {
    const auto* config = config_of(worker.id());
    if (config == nullptr || !config_.daemon.log_keeper || is_keeper(worker.id())) return;
    auto next = pipes_.renew("log:" + worker.name());
    if (!next) return log_warning(worker.name() + ": its next run writes where this one did: " + describe(next.error()));
    worker.set_output(std::move(*next));
    tend_keeper();
}

// ---- News from sessions ----

void Daemon::said_hello(WorkerId id) { channels_.greeted(id, now_); }

void Daemon::said_ready(WorkerId id) {
    if (auto* worker = roster_->find(id)) {
        privileges_.become_root();
        worker->said_ready(supervise::ReadyBy::libwarder, now_);
    }
    if (is_resolver(id)) {
        resolver_up_ = true;
        broker_.resolver_began(now_);
    }
    if (!is_keeper(id)) return;
    pipes_.keeper_began(id);
    tend_keeper();
}

void Daemon::said_status(WorkerId id, std::string_view text) {
    if (auto* worker = roster_->find(id)) worker->said_status(text);
    if (!is_keeper(id)) return;
    note_losses(text);
    pipes_.keeper_took();
    tend_keeper();
}

// The keeper says when lines begin to be lost and when that is over; a directory that somebody took away is made again.
void Daemon::note_losses(std::string_view text) {
    const bool losing = text.starts_with("losing");
    if (losing) log_error(std::string(config::log_keeper_name) + ": " + std::string(text));
    else if (losing_lines_) log_info(std::string(config::log_keeper_name) + ": lines are written again");
    losing_lines_ = losing;
    const auto* keeper = losing && keeper_ ? roster_->find(keeper_->id) : nullptr;
    if (keeper == nullptr || ::access(config_.daemon.log_directory.c_str(), F_OK) == 0 || errno != ENOENT) return;
    privileges_.become_root();
    if (make_log_directory(keeper->snapshot().uid)) log_warning(config_.daemon.log_directory + " was gone, and is made again");
}

void Daemon::held_back(WorkerId id, Duration by) {
    if (auto* worker = roster_->find(id)) worker->was_held_back(by, now_);
}

void Daemon::broke_protocol(WorkerId id, std::string_view how) {
    auto* worker = roster_->find(id);
    if (worker == nullptr) return;
    privileges_.become_root();
    log_warning(worker->name() + ": broke the protocol: " + std::string(how));
    worker->protocol_broken(now_);
}

// ---- News from syscall monitors ----

const config::Worker* Daemon::config_of(WorkerId id) const {
    const auto found = std::ranges::find_if(members_, [id](const auto& entry) { return entry.second.id == id; });
    if (found != members_.end()) return &found->second.config;
    if (is_keeper(id)) return &keeper_->config;
    return is_resolver(id) ? &resolver_->config : nullptr;
}

// At most as many for a life as a syscall monitor tells calls apart.
void Daemon::call_denied(WorkerId id, const sandbox::SeenCall& call) {
    auto* worker = roster_->find(id);
    const auto* config = config_of(id);
    if (worker == nullptr || config == nullptr) return;
    const std::string text = sentence_of(describe_call(*config, worker->settings().plan.calls, call));
    log_warning(worker->name() + ": " + text);
    record(*worker, audit::Record::Kind::call, text);
}

void Daemon::fatal_call(WorkerId id) {
    if (auto* worker = roster_->find(id)) worker->made_fatal_call(now_);
}

void Daemon::syscall_monitor_lost(WorkerId id) {
    const auto* worker = roster_->find(id);
    if (worker == nullptr || worker->at_rest()) return;
    constexpr std::string_view text = "its syscall monitor ended: calls that its filter denies answer ENOSYS from here on, and are not seen";
    log_error(worker->name() + ": " + std::string(text));
    record(*worker, audit::Record::Kind::state, text);
}

// ---- What workers ask of each other, and of the resolver ----

Result<void> Daemon::look_up(std::uint64_t query, std::string_view key) {
    const auto* worker = resolver_ ? roster_->find(resolver_->id) : nullptr;
    if (worker == nullptr || worker->at_rest()) return failure(EAGAIN, "asking the resolver");
    if (!resolver_up_) return {};   // it is told all that is open when it is ready: Broker::resolver_began
    return broker_.send_event(resolver_->id, protocol::Type::lookup, {key, query, 0});
}

supervise::Worker* Daemon::worker_named(std::string_view name) {
    const auto found = members_.find(name);
    return found == members_.end() ? nullptr : roster_->find(found->second.id);
}

Result<void> Daemon::signal(std::string_view name, int signal) {
    const auto* worker = worker_named(name);
    if (worker == nullptr) return failure(ESRCH, "signalling a worker");
    return worker->send_signal(signal);
}

Result<void> Daemon::restart(std::string_view name) {
    auto* worker = worker_named(name);
    if (worker == nullptr || shutting_down_) return failure(ESRCH, "restarting a worker");
    worker->restart(now_);
    return {};
}

// ---- News from the runner ----

void Daemon::command_begun(const opener::CommandBegun& begun) {
    broker_.command_begun(begun.worker, begun.generation, {begun.request, begun.grant_name, begun.error, begun.answered, begun.ends, begun.use}, now_);
}

void Daemon::command_ended(const opener::CommandEnded& ended) {
    broker_.command_ended(ended.worker, ended.generation,
                          {ended.grant_name, ended.pid, static_cast<std::uint8_t>(ended.value), ended.by_signal, ended.timed_out}, now_);
    const auto* principal = broker_.principal(ended.worker);
    audit::Record* record = principal == nullptr ? nullptr : trail_.push(principal->account, now_);
    if (record == nullptr) return;
    *record = audit::Record{};
    record->kind = audit::Record::Kind::command;
    record->wall_clock = wall_clock_now();
    record->pid = ended.pid;
    record->worker.append(principal->settings.name);
    record->grant_name.append(ended.grant_name);
    record->text.append(ended.timed_out ? "killed at its timeout" : ended.by_signal ? "killed by signal " : "exited with ");
    if (!ended.timed_out) record->text.append_number(static_cast<std::uint64_t>(ended.value));
    record->text.append(" after ").append(format_duration(ended.ran));
}

}  // namespace warder::daemon
