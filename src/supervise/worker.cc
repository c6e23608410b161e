#include "supervise/worker.h"

#include <csignal>

#include <algorithm>
#include <utility>

#include "sys/files.h"
#include "sys/path_walk.h"

namespace warder::supervise {
namespace {

constexpr std::size_t deaths_kept = 8;
constexpr int notifications_per_turn = 8;
constexpr Duration look_interval = 50ms;
constexpr Duration spare_delay = 200ms;   // not while everybody is being started
constexpr std::string_view notify_variable = "NOTIFY_SOCKET=";

// A generation as a tag keeps it.
constexpr std::uint32_t tag_generation(std::uint32_t life) { return life & 0x00ffffffU; }

bool is_permanent(PollKind what) { return what == PollKind::notify || what == PollKind::group || what == PollKind::spare_sandbox; }

void set_variable(std::vector<std::string>& environment, std::string_view name, std::string_view value) {
    std::erase_if(environment, [name](const std::string& one) { return one.starts_with(name); });
    environment.push_back(std::string(name).append(value));
}

void show_in_sandbox(std::vector<sandbox::Bind>& binds, const std::string& source, std::string_view target) {
    std::erase_if(binds, [target](const sandbox::Bind& one) { return one.target == target; });
    binds.push_back({.source = source, .target = std::string(target)});
}

}  // namespace

std::string in_words(const sandbox::Unfit& unfit, const Error& error) {
    if (unfit.item.empty()) return describe(error);
    return unfit.item + (unfit.item.starts_with('/') ? " " : ": ") + unfit.why;   // "/srv/x is absent"
}

std::shared_ptr<const sandbox::Prepared> Worker::prepared_of(const std::shared_ptr<const Sandbox>& sandbox) {
    return {sandbox, sandbox->prepared.get()};
}

// --- what is made once -------------------------------------------------------------------------------------------

Worker::Worker(WorkerId id, WorkerSettings settings, Fd output, Dependencies& dependencies)
    : id_(id), settings_(std::move(settings)), dependencies_(dependencies), output_(Output(std::move(output))),
      spare_(dependencies.poller, dependencies.spare_sandboxes, tag(PollKind::spare_sandbox)) {}

std::unique_ptr<Worker> Worker::create(WorkerId id, WorkerSettings settings, Fd output, Dependencies& dependencies, std::string& why) {
    std::unique_ptr<Worker> worker(new Worker(id, std::move(settings), std::move(output), dependencies));
    if (!worker->renew_sandbox()) why = worker->problem_;
    worker->problem_.clear();
    return worker;
}

Worker::~Worker() {
    kill_all();
    dependencies_.deadlines.set(id_, Instant::never());
    for (const int fd : {stub_.pidfd(), main_.pidfd(), stub_status_.get(), main_status_.get()}) unwatch(fd);
    if (notify_) unwatch(notify_->get());
    if (group_) unwatch(group_->events());
}

Result<void> Worker::prepare(const WorkerSettings& settings, sandbox::Unfit& unfit) {
    TRY(prepare_group(settings, unfit));
    const sandbox::Plan& plan = settings.plan;
    const bool notifies = settings.rule.ready == ReadyBy::notify;
    if (notifies) TRY(prepare_notify(plan));
    const std::string controllers = group_ ? dependencies_.controllers : std::string();
    auto prepared = TRY(sandbox::prepare(notifies ? plan_with_notify(settings) : plan, unfit, {}, controllers));
    const sandbox::Plan& carried_out = sandbox::plan_of(*prepared);
    const bool ahead = sandbox::may_be_made_ahead(*prepared);
    next_sandbox_ = std::make_shared<const Sandbox>(Sandbox{std::move(prepared), plan.uid, plan.gid, settings.pass_pidfds,
                                                   plan.calls.may_send_descriptors, carried_out.calls.enabled,
                                                   carried_out.calls.monitored, ahead});
    return {};
}

// What holds all processes of a run together is its pid namespace or its group: a stop that leaves some of them beside the next run
// would be none.
Result<void> Worker::prepare_group(const WorkerSettings& settings, sandbox::Unfit& unfit) {
    const bool for_requests = settings.group == GroupWish::required;
    const bool required = for_requests || !settings.plan.pid_namespace;
    if (group_ || (settings.group == GroupWish::none && !required)) return {};
    if (dependencies_.cgroup_directory.empty()) {
        if (!required) return {};
        unfit = for_requests ? sandbox::Unfit{"request_access", "\"all\" needs a cgroup, and warderd has none"}
                             : sandbox::Unfit{"pid_namespace", std::string(sandbox::needs_group_to_end)};
        return failure(ENOTSUP, "a cgroup of its own");
    }
    auto group = Group::create(dependencies_.cgroup_directory, settings.name);
    if (!group) return required ? Failure(group.error()) : Result<void>();
    TRY(watch_group(*group));
    group_ = std::move(*group);
    return {};
}

// Only changes wake us: cgroup.events is always readable.
Result<void> Worker::watch_group(const Group& group) {
    return dependencies_.poller.watch_hangup(group.events(), tag(PollKind::group));
}

Result<void> Worker::prepare_notify(const sandbox::Plan& plan) {
    if (!notify_) TRY(make_notify());
    return notify_->give_to(plan.uid, plan.gid);
}

Result<void> Worker::make_notify() {
    const std::string directory = dependencies_.runtime_directory + "/notify";
    TRY(make_directories(directory, 0711));
    NotifySocket socket = TRY(NotifySocket::create(directory + "/" + settings_.name));
    TRY(dependencies_.poller.watch(socket.get(), tag(PollKind::notify)));
    notify_ = std::move(socket);
    return {};
}

// Its path may have been swept away, and its mode is the worker's to change, to whom it belongs.
Result<void> Worker::restore_notify() {
    if (!notify_ || !next_sandbox_) return {};
    if (!notify_->has_its_path()) {
        unwatch(notify_->get());
        notify_.reset();
        TRY(make_notify());
    }
    return notify_->give_to(next_sandbox_->uid, next_sandbox_->gid);
}

// In a sandbox with a root of its own the socket is shown under a name that is the same for all.
sandbox::Plan Worker::plan_with_notify(const WorkerSettings& settings) const {
    sandbox::Plan plan = settings.plan;
    const bool own_root = plan.root != sandbox::Root::host;
    if (own_root) show_in_sandbox(plan.binds, notify_->path(), notify_target);
    set_variable(plan.environment, notify_variable, own_root ? notify_target : std::string_view(notify_->path()));
    return plan;
}

Result<void> Worker::change(WorkerSettings settings, sandbox::Unfit& unfit) {
    if (settings.name != settings_.name) return failure(EINVAL, "changing the name of a worker");
    if (!settings.fault.empty()) {
        settings_ = std::move(settings);
        unfit_ = true;
        next_sandbox_.reset();
        spare_.put_away();
        return {};
    }
    if (const auto prepared = prepare(settings, unfit); !prepared) {
        if (notify_) (void)notify_->give_to(settings_.plan.uid, settings_.plan.gid);
        return prepared;
    }
    settings_ = std::move(settings);
    unfit_ = false;
    if (!spare_.gone() && !spare_.is_for(prepared_of(next_sandbox_))) {
        spare_again_ = true;
        spare_.put_away();
    }
    return {};
}

// A program or a bind that was replaced on the host: the next life shall have the new one.
Result<void> Worker::renew_sandbox() {
    const auto theirs = std::exchange(theirs_, sandbox::Theirs::left_alone);
    if (!settings_.fault.empty()) return unfit_for(settings_.fault);
    if (next_sandbox_ && !sandbox::stale(*next_sandbox_->prepared, theirs)) return {};
    sandbox::Unfit unfit;
    const auto prepared = prepare(settings_, unfit);
    if (prepared) return {};
    problem_ = in_words(unfit, prepared.error());
    // One that ran before lacks something for a moment, as while its package is upgraded.
    unfit_ = !next_sandbox_ && !unfit.item.empty() && prepared.error().number != ETIMEDOUT;
    return prepared;
}

Result<void> Worker::unfit_for(const std::string& why) {
    problem_ = why;
    unfit_ = true;
    return failure(ENOTSUP, "preparing a sandbox");
}

// --- the machine -------------------------------------------------------------------------------------------------

void Worker::feed(const Event& event, Instant now) {
    pending_.push_back({event, now});
    if (running_) return;
    running_ = true;
    while (!pending_.empty()) {
        const Pending next = pending_.front();
        pending_.pop_front();
        run(next.event, next.now);
    }
    running_ = false;
}

void Worker::run(const Event& event, Instant now) {
    if (event.kind == Event::Kind::exited) record_death(now);
    Event with_chance = event;
    with_chance.chance = std::uniform_real_distribution<double>(0.0, 1.0)(dependencies_.random);
    const State before = life_.state;
    const Step next = step(life_, with_chance, settings_.rule, now);
    life_ = next.life;
    for (std::size_t i = 0; i < next.actions.count; ++i) carry_out(next.actions.list[i], before, now);
    if (event.kind == Event::Kind::program_runs) plan_spare(now, spare_delay);
}

void Worker::carry_out(const Action& action, State before, Instant now) {
    switch (action.kind) {
        case Action::Kind::spawn: return spawn(now);
        case Action::Kind::signal: return signal_main(action.value);
        case Action::Kind::kill_all: kill_all(); return tell_what_is_gone(now);
        case Action::Kind::set_timer: return arm(now);
        case Action::Kind::announce: return announce(before, now);
        case Action::Kind::finish: return end_session();
    }
}

void Worker::announce(State before, Instant now) {
    if (life_.state == State::ready) ready_at_ = now;
    if (life_.state == State::waiting) plan_spare(now, Duration::zero());
    if (at_rest()) spare_.put_away();
    why_ = why_in_words(life_, settings_.rule, end_in_words());
    dependencies_.observer.state_changed(*this, before, life_.state, why_);
}

// A failure of ours to spawn is told in more words than its errno.
std::string Worker::end_in_words() const {
    const Exit::Kind kind = life_.last_exit.kind;
    if (kind == Exit::Kind::setup && !problem_.empty()) return "set-up failed: " + problem_;
    if (kind == Exit::Kind::sandbox || kind == Exit::Kind::unfit) return in_words(life_.last_exit) + ": " + problem_;
    const bool tells = kind == Exit::Kind::setup || kind == Exit::Kind::signal || kind == Exit::Kind::code;
    const bool evident = tells && !evidence_.empty();
    return in_words(life_.last_exit) + (evident ? ": " + evidence_ : "");
}

void Worker::said_ready(ReadyBy by, Instant now) {
    if (by != settings_.rule.ready) return;
    feed({Event::Kind::said_ready, {}, 0}, now);
}

// Only what is said over its socket comes late by that.
void Worker::was_held_back(Duration by, Instant now) {
    const bool waited_for = life_.state == State::starting && life_.program_runs && settings_.rule.ready == ReadyBy::libwarder;
    if (!waited_for || life_.deadline == Instant::never()) return;
    life_.deadline = life_.deadline + by;
    arm(now);
}

void Worker::said_status(std::string_view text) {
    status_text_ = printable_status(text);
    dependencies_.observer.status_text(*this, status_text_.view());
}

// --- a life begins -----------------------------------------------------------------------------------------------

void Worker::spawn(Instant now) {
    ++life_number_;
    main_may_come_ = true;
    exited_told_ = false;
    empty_told_ = false;
    kill_again_ = false;
    started_ = now;
    ready_at_ = Instant::never();
    watchdog_at_ = Instant::never();
    spare_at_ = Instant::never();
    reaped_ = {};
    reaped_pid_ = -1;
    proof_.reset();
    failed_at_ = sandbox::Stage::none;
    problem_.clear();
    unfit_ = false;
    evidence_.clear();
    status_text_.clear();
    if (notify_) notify_->drain();
    if (const auto begun = begin(); !begun) spawn_failed(begun.error(), now);
    arm(now);
}

Result<void> Worker::begin() {
    TRY(restore_notify());
    TRY(renew_sandbox());
    failed_at_ = sandbox::Stage::cgroup;
    TRY(renew_group());
    TRY(limit_group());
    failed_at_ = sandbox::Stage::none;
    const auto memory = look_at_memory(group_ ? group_->path() : std::string());
    oom_kills_before_ = memory ? memory->kills : 0;
    sandbox_ = next_sandbox_;
    return sandbox::needs_stub(*sandbox_->prepared) ? begin_stub() : begin_main();
}

Result<void> Worker::renew_group() {
    if (!group_ || !group_->spent()) return {};
    unwatch(group_->events());
    TRY(group_->renew());
    if (!watch_group(*group_)) poller_failed_ = true;
    return {};
}

// A limit that cannot be set is a life that does not begin.
Result<void> Worker::limit_group() {
    std::string which;
    const auto limited = group_ ? group_->limit(sandbox::plan_of(*next_sandbox_->prepared).group_limits, which) : Result<void>();
    if (!limited) problem_ = "limit " + which + " cannot be set: " + describe(limited.error());
    return limited;
}

sandbox::Descriptors Worker::descriptors(int broker, int store, int syscall_monitor, int output) const {
    return {.broker = broker, .store = store, .output = output, .error = -1, .output_is_named = output_.is_named(), .syscall_monitor = syscall_monitor,
            .cgroup = group_ ? group_->directory() : -1};
}

Result<sandbox::Spawned> Worker::noted(Result<sandbox::Spawned> spawned) {
    if (!spawned) failed_at_ = sandbox::stage_of(spawned.error(), descriptors(-1, -1, -1, -1));
    return spawned;
}

// The stub gets no end of the channel: nobody but the program asks. One that was made ahead may stand already.
Result<void> Worker::begin_stub() {
    if (auto spare = spare_.take(prepared_of(sandbox_))) {
        stub_ = std::move(spare->stub);
        stub_status_ = std::move(spare->status);
    } else {
        sandbox::Spawned spawned = TRY(sandbox::spawn_stub(*sandbox_->prepared));
        stub_ = Child(spawned.pid, std::move(spawned.pidfd));
        stub_status_ = std::move(spawned.status);
    }
    watch(stub_.pidfd(), PollKind::stub_exit);
    if (!stub_status_) return begin_main();
    watch(stub_status_.get(), PollKind::stub_status);
    return {};
}

Result<void> Worker::begin_main() {
    ChannelPair pair = TRY(make_session());
    Fd store = dependencies_.observer.store_socket(*this);
    Fd syscall_monitor;
    if (sandbox_->monitored) syscall_monitor = TRY(dependencies_.observer.syscall_monitor_socket(*this, sandbox::filter_of(*sandbox_->prepared)));
    const int inside = stub_ ? stub_.pidfd() : -1;
    const auto& plan = sandbox::plan_of(*sandbox_->prepared);
    if (!plan.terminal.empty()) terminal_ = BorrowedTerminal::look_at(plan.terminal, sandbox_->uid);
    const Fd output = output_.for_next_run();
    given_ = descriptors(pair.theirs.get(), store.get(), syscall_monitor.get(), output ? output.get() : output_.number());
    sandbox::Spawned spawned = TRY(noted(sandbox::spawn_worker(*sandbox_->prepared, given_, inside)));
    // Before its descriptor store is told whom to serve: what it gives back can never lie in our hands.
    store.reset();
    main_may_come_ = false;
    main_ = Child(spawned.pid, std::move(spawned.pidfd));
    main_status_ = std::move(spawned.status);
    session_ = std::move(pair.ours);
    watch(main_.pidfd(), PollKind::main_exit);
    watch(main_status_.get(), PollKind::main_status);
    dependencies_.observer.session_begins(*this, session_, {main_.pid(), sandbox_->uid, sandbox_->gid});
    return {};
}

// All options are set before anybody can hold the other end. A kernel that cannot refuse descriptors is tolerated only
// under a filter, which then denies sendmsg(2): a worker that may send descriptors elsewhere needs the kernel's refusal here.
Result<ChannelPair> Worker::make_session() const {
    ChannelPair pair = TRY(make_channel_pair());
    if (sandbox_->pass_pidfds) TRY(pair.ours.pass_pidfd());
    const auto refused = pair.ours.refuse_descriptors();
    const bool tolerated =
        !refused && refused.error().number == ENOPROTOOPT && sandbox_->filtered && !sandbox_->may_send_descriptors;
    if (!refused && !tolerated) return Failure(refused.error());
    return pair;
}

// Looked for when a life has ended, and only where the end is one that a sandbox can bring about.
std::string Worker::evidence_for(const Exit& exit, std::string_view object) {
    Suspects suspects{.worker = settings_.name, .origin = settings_.origin, .plan = &settings_.plan, .program = {}, .object = object, .memory = {}};
    if (sandbox_ && sandbox_->monitored) suspects.calls = dependencies_.observer.seen_calls(*this);
    if (exit.kind == Exit::Kind::setup) suspects.program = look_at_program(settings_.plan);
    if (exit.kind == Exit::Kind::signal || exit.kind == Exit::Kind::code) suspects.memory = look_at_memory(group_ ? group_->path() : std::string());
    if (suspects.memory) suspects.memory->kills -= std::min(suspects.memory->kills, oom_kills_before_);
    return evidence_in_words(exit, suspects);
}

void Worker::setup_failed(sandbox::SetupFailure failed, Instant now) {
    main_may_come_ = false;
    const Exit exit{unfit_ ? Exit::Kind::unfit : Exit::Kind::setup, static_cast<int>(failed.stage), failed.error};
    if (evidence_.empty() && failed.stage != sandbox::Stage::none) evidence_ = evidence_for(exit, failed.object);
    feed({Event::Kind::setup_failed, exit, 0}, now);
    tell_what_is_gone(now);
}

void Worker::spawn_failed(const Error& error, Instant now) {
    if (problem_.empty()) problem_ = describe(error);
    setup_failed({failed_at_, error.number}, now);
}

// --- a life ends -------------------------------------------------------------------------------------------------

// A stopped process could not heed the signal, so it is woken too.
void Worker::signal_main(int signal) {
    if (!main_) return;
    (void)main_.send(signal);
    (void)main_.send(SIGCONT);
}

Result<void> Worker::send_signal(int signal) const {
    if (!main_) return failure(ESRCH, "signalling a worker");
    return main_.send(signal);
}

// Each of these is enough where it exists: the cgroup holds everything, the stub's end is the end of its namespace.
// ESRCH says that it is done already. What could not be done is tried again until the life is over.
void Worker::kill_all() {
    main_may_come_ = false;
    kill_again_ = group_ && !group_->kill();
    if (main_) (void)main_.send(SIGKILL);
    if (stub_) (void)stub_.send(SIGKILL);
}

void Worker::made_fatal_call(Instant now) {
    if (!main_) return;
    kill_all();
    tell_what_is_gone(now);
}

void Worker::end_session() {
    if (!session_) return;
    dependencies_.observer.session_ends(*this);
    session_.close();
}

// Every life ends with one "exited" and then one "group empty", whatever of it came to be.
void Worker::tell_what_is_gone(Instant now) {
    if (main_ || main_may_come_) return;
    if (!exited_told_) {
        exited_told_ = true;
        feed({Event::Kind::exited, {}, 0}, now);
    }
    if (empty_told_ || stub_ || (group_ && group_->populated())) return;
    empty_told_ = true;
    terminal_.reset();
    poller_failed_ = false;
    kill_again_ = false;
    feed({Event::Kind::group_empty, {}, 0}, now);
}

// What the kernel says, and before it what the machine knows of the cause: not ready in time, say. After a set-up that failed
// the kernel's word adds nothing.
void Worker::record_death(Instant now) {
    Exit exit = reaped_.exit;
    exit.before_ready = life_.state == State::starting;
    const bool other_cause = life_.end_known && life_.last_exit != exit;
    const bool kernel_adds = reaped_pid_ != -1 && life_.last_exit.kind != Exit::Kind::setup;
    std::string words = other_cause ? end_in_words() : in_words(exit);
    const bool tells = exit.kind == Exit::Kind::signal || exit.kind == Exit::Kind::code;
    if (!other_cause && tells && !evidence_.empty()) words += ": " + evidence_;
    if (other_cause && kernel_adds) words += "; " + in_words(exit);
    const bool asked = life_.state == State::stopping && life_.cause == Cause::asked;
    if (asked && life_.program_runs && life_.killed) words += ": it did not stop in time";
    if (reaped_.core) words += " (core dumped)";
    if (deaths_.size() == deaths_kept) deaths_.erase(deaths_.begin());
    deaths_.push_back({exit, std::move(words), life_number_, reaped_pid_, started_, now, wall_clock_now(), reaped_.user_time,
                       reaped_.system_time, reaped_.core, reaped_.largest_memory});
}

// --- events of the poller ----------------------------------------------------------------------------------------

void Worker::handle(const PollEvent& event, Instant now) {
    const auto what = static_cast<PollKind>(event.tag.kind);
    if (!is_permanent(what) && event.tag.generation != tag_generation(life_number_)) return;
    switch (what) {
        case PollKind::stub_status: return on_stub_status(now);
        case PollKind::main_status: return on_main_status(now);
        case PollKind::main_exit: return on_main_exit(now);
        case PollKind::stub_exit: return on_stub_exit(now);
        case PollKind::notify: return on_notify(now);
        case PollKind::group: return on_group(now);
        case PollKind::spare_sandbox: return on_spare(now);
        default: return;
    }
}

std::optional<sandbox::SetupFailure> Worker::finished_status(Fd& status, std::optional<sandbox::Proof>* proof) {
    if (!status) return std::nullopt;
    const auto said = sandbox::read_status(status.get(), proof);
    if (!said) return std::nullopt;
    unwatch(status.get());
    status.reset();
    return said;
}

void Worker::on_stub_status(Instant now) {
    const auto said = finished_status(stub_status_);
    if (!said) return;
    if (said->stage != sandbox::Stage::none) return setup_failed(*said, now);
    if (!main_may_come_) return;
    if (const auto begun = begin_main(); !begun) spawn_failed(begun.error(), now);
    arm(now);
}

void Worker::on_main_status(Instant now) {
    const auto said = finished_status(main_status_, &proof_);
    if (!said) return;
    if (said->stage != sandbox::Stage::none) return setup_failed(*said, now);
    // A child that is killed in its set-up closes the pipe without a word too: its end will be told.
    if (!main_.has_executed()) return;
    if (sandbox_is_as_planned(now)) feed({Event::Kind::program_runs, {}, 0}, now);
}

// Looked at before anybody hears that the program runs. One that has ended by now is not judged.
bool Worker::sandbox_is_as_planned(Instant now) {
    const auto expected = sandbox::expected_of(*sandbox_->prepared, given_, group_ ? group_->path() : std::string());
    receipt_ = sandbox::take_receipt(expected, main_.pid(), proof_);
    const auto* differs = sandbox::mismatch(receipt_);
    if (differs == nullptr) return true;
    problem_ = sandbox::in_words(*differs);
    feed({Event::Kind::sandbox_differs, {}, 0}, now);
    return false;
}

sandbox::Receipt Worker::planned() const {
    if (!next_sandbox_) return {};
    sandbox::Descriptors descriptors;
    descriptors.broker = sandbox::worker_socket;
    descriptors.output_is_named = output_.is_named();
    return sandbox::compare(sandbox::expected_of(*next_sandbox_->prepared, descriptors, group_ ? group_->path() : std::string()), {});
}

// The status pipe is read first: it knows why.
void Worker::on_main_exit(Instant now) {
    if (!main_ || !main_.ended()) return;
    on_main_status(now);
    unwatch(main_.pidfd());
    const pid_t pid = main_.pid();
    const auto reaped = main_.reap();
    if (!reaped) return;
    reaped_ = *reaped;
    reaped_pid_ = pid;
    exited_told_ = true;
    if (evidence_.empty()) evidence_ = evidence_for(reaped->exit);
    feed({Event::Kind::exited, reaped->exit, 0}, now);
    tell_what_is_gone(now);
}

// A stub that dies while nothing else has failed takes its main along, or the sandbox in which it was to be made.
void Worker::on_stub_exit(Instant now) {
    if (!stub_ || !stub_.ended()) return;
    if (const auto said = finished_status(stub_status_); said && said->stage != sandbox::Stage::none) {
        setup_failed(*said, now);
    }
    unwatch(stub_.pidfd());
    const auto reaped = stub_.reap();
    if (!reaped) return;
    if (main_may_come_) {
        problem_ = "the stub: " + in_words(reaped->exit);
        setup_failed({sandbox::Stage::namespaces, ECHILD}, now);
    }
    tell_what_is_gone(now);
}

// Reading the file is what makes it quiet again.
void Worker::on_group(Instant now) {
    (void)group_->populated();
    tell_what_is_gone(now);
}

// A program that speaks was started: its status pipe is read first.
void Worker::on_notify(Instant now) {
    on_main_status(now);
    int budget = notifications_per_turn;
    while (const auto said = notify_->receive_from(pid(), budget)) take(*said, now);
    if (const auto other = notify_->take_unheard()) dependencies_.observer.ready_unheard(*this, *other);
}

void Worker::take(const Notification& said, Instant now) {
    if (said.watchdog) watchdog_at_ = now;
    if (said.has_status) said_status(said.status.view());
    if (said.ready) said_ready(ReadyBy::notify, now);
}

// --- the spare sandbox of the next life -----------------------------------------------------------------------------------

bool Worker::wants_spare() const {
    const bool runs = life_.program_runs && (life_.state == State::starting || life_.state == State::ready);
    const bool comes_back = settings_.rule.restart.policy != RestartPolicy::never && life_.desired == Desired::up;
    return comes_back && next_sandbox_ && next_sandbox_->ahead && (runs || life_.state == State::waiting);
}

void Worker::plan_spare(Instant now, Duration delay) {
    if (!wants_spare()) return;
    if (!spare_.gone()) {
        spare_again_ = !spare_.is_for(prepared_of(next_sandbox_));
    } else if (spare_.reserve()) {
        spare_at_ = std::min(spare_at_, now + delay);
        arm(now);
    }
}

void Worker::tend_spare(Instant now) {
    if (now < spare_at_) return;
    spare_at_ = Instant::never();
    if (!spare_.gone()) spare_.look();
    else if (wants_spare()) spare_.make(prepared_of(next_sandbox_));
    if (!spare_.gone() && !spare_.watched()) spare_at_ = now + look_interval;
}

// One that died is not made again before the next life: whatever ended it may end the next one too.
void Worker::on_spare(Instant now) {
    spare_.look();
    if (spare_.gone() && std::exchange(spare_again_, false)) plan_spare(now, spare_delay);
}

// --- the poller and the clock ------------------------------------------------------------------------------------

PollTag Worker::tag(PollKind what) const {
    const std::uint32_t generation = is_permanent(what) ? 0 : tag_generation(life_number_);
    return {static_cast<std::uint8_t>(what), number(id_), generation};
}

// Out of memory or of watches: the life goes on, and is looked at by the clock.
void Worker::watch(int fd, PollKind what) {
    if (!dependencies_.poller.watch(fd, tag(what))) poller_failed_ = true;
}

void Worker::unwatch(int fd) {
    if (fd >= 0) dependencies_.poller.forget(fd);
}

void Worker::arm(Instant now) {
    const bool looks = (poller_failed_ || kill_again_) && !empty_told_;
    dependencies_.deadlines.set(id_, std::min({life_.deadline, spare_at_, looks ? now + look_interval : Instant::never()}));
}

// What has happened by now counts before what is late: when the loop itself was held up, that is not the program's fault.
void Worker::wake(Instant now) {
    if (kill_again_) kill_all();
    if (poller_failed_) look_at_everything(now);
    tend_spare(now);
    if (life_.state == State::starting) look_at_setup(now);
    if (now >= life_.deadline) feed({Event::Kind::timer, {}, 0}, now);
    arm(now);
}

void Worker::look_at_setup(Instant now) {
    on_stub_status(now);
    on_main_status(now);
    if (notify_) on_notify(now);
}

void Worker::look_at_everything(Instant now) {
    look_at_setup(now);
    on_main_exit(now);
    on_stub_exit(now);
    tell_what_is_gone(now);
}

// --- what operators see ------------------------------------------------------------------------------------------

Snapshot Worker::snapshot() const {
    Snapshot seen;
    seen.id = id_;
    seen.name = settings_.name;
    seen.state = life_.state;
    seen.desired = life_.desired;
    seen.why = why_;
    seen.since = life_.since;
    seen.pid = pid();
    seen.stub = stub_ ? stub_.pid() : -1;
    seen.spare_sandbox = spare_.waiting_pid();
    seen.uid = settings_.plan.uid;
    seen.gid = settings_.plan.gid;
    seen.life = life_number_;
    seen.restarts = life_.restarts;
    if (life_.group_alive) seen.started = started_;
    if (life_.state == State::ready) seen.ready_at = ready_at_;
    if (life_.state == State::waiting) seen.next_start = life_.deadline;
    if (!deaths_.empty()) seen.last_exit = deaths_.back().words;
    seen.deaths = deaths_;
    seen.status = status_text_.view();
    seen.watchdog_at = watchdog_at_;
    if (group_) seen.cgroup = group_->path();
    return seen;
}

}  // namespace warder::supervise
