#include "supervise/lifecycle.h"

#include <algorithm>

#include "supervise/backoff.h"

namespace warder::supervise {
namespace {

using Do = Action::Kind;

// One step in the making.
struct Turn {
    Life life;
    Actions actions;
    const Event& event;
    const Rule& rule;
    Instant now;
};

bool was_healthy(const Turn& turn) {
    return turn.life.state == State::ready && turn.now - turn.life.since >= turn.rule.restart.reset_after;
}

void enter(Turn& turn, State state, Cause cause, Instant deadline) {
    if (was_healthy(turn)) turn.life.next_delay = {};
    turn.life.state = state;
    turn.life.cause = cause;
    turn.life.since = turn.now;
    turn.life.deadline = deadline;
    turn.actions.add(Do::set_timer);
    turn.actions.add(Do::announce);
}

void change_deadline(Turn& turn, Instant deadline) {
    turn.life.deadline = deadline;
    turn.actions.add(Do::set_timer);
}

// --- beginning ---------------------------------------------------------------------------------------------------

void spawn(Turn& turn, Cause cause) {
    Life& life = turn.life;
    life.main_alive = true;
    life.group_alive = true;
    life.program_runs = false;
    life.restart_asked = false;
    life.killed = false;
    life.end_known = false;
    life.starts[life.starts_count++ % max_counted_starts] = turn.now;
    enter(turn, State::starting, cause, turn.now + turn.rule.setup_timeout);
    turn.actions.add(Do::spawn);
}

// A person's start: what was before counts no more, neither for the start limit nor for the delay.
void spawn_anew(Turn& turn) {
    turn.life.starts_count = 0;
    turn.life.restarts = 0;
    turn.life.next_delay = {};
    spawn(turn, Cause::asked);
}

void become_ready(Turn& turn, Cause cause) {
    turn.life.program_runs = true;
    enter(turn, State::ready, cause, Instant::never());
}

// --- ending ------------------------------------------------------------------------------------------------------

void kill_everything(Turn& turn) {
    turn.life.killed = true;
    turn.actions.add(Do::kill_all);
}

// Announced first: whoever handles the signal finds the event of the protocol already there.
void signal_and_wait(Turn& turn, Cause cause) {
    enter(turn, State::stopping, cause, turn.now + turn.rule.stop.timeout);
    turn.actions.add(Do::signal, turn.rule.stop.signal);
}

void kill_and_wait(Turn& turn, Cause cause) {
    kill_everything(turn);
    enter(turn, State::stopping, cause, Instant::never());
}

// In set-up there is no program yet that could heed a signal.
void stop_as_asked(Turn& turn) {
    const bool in_setup = turn.life.state == State::starting && !turn.life.program_runs;
    if (in_setup) return kill_and_wait(turn, Cause::asked);
    signal_and_wait(turn, Cause::asked);
}

void note_end(Turn& turn, const Exit& exit) {
    if (turn.life.end_known) return;
    turn.life.last_exit = exit;
    turn.life.end_known = true;
}

void end_at_once(Turn& turn, const Exit& exit) {
    note_end(turn, exit);
    kill_and_wait(turn, Cause::ended);
}

void stop_waiting_for_it(Turn& turn) {
    if (!turn.life.killed) kill_everything(turn);
    change_deadline(turn, Instant::never());
}

// --- after the end -----------------------------------------------------------------------------------------------

// Whether a start at `at` would be one more than the limit allows within the window.
bool is_one_too_many(const Life& life, const Restart& rule, Instant at) {
    const std::size_t limit = std::min<std::size_t>(rule.limit, max_counted_starts);
    if (limit == 0 || life.starts_count < limit) return false;
    return at - life.starts[(life.starts_count - limit) % max_counted_starts] < rule.window;
}

// The limit is looked at now rather than when the wait is over: the time of the next start is known.
void wait_or_give_up(Turn& turn) {
    const Restart& rule = turn.rule.restart;
    const Duration delay = next_delay(rule, turn.life.next_delay);
    const Instant at = turn.now + with_jitter(rule, delay, turn.event.chance);
    if (is_one_too_many(turn.life, rule, at)) return enter(turn, State::failed, Cause::start_limit, Instant::never());
    turn.life.next_delay = delay;
    enter(turn, State::waiting, Cause::policy, at);
}

void rest(Turn& turn, State state, Cause cause) {
    if (state == State::stopped) turn.life.desired = Desired::down;
    enter(turn, state, cause, Instant::never());
}

void settle(Turn& turn) {
    const Life& life = turn.life;
    if (life.restart_asked) return spawn_anew(turn);
    if (life.desired == Desired::down) return rest(turn, State::stopped, Cause::asked);
    if (restarts_after(life.last_exit, turn.rule.restart)) return wait_or_give_up(turn);
    if (is_failure(life.last_exit, turn.rule.restart)) return rest(turn, State::failed, Cause::not_answered);
    rest(turn, State::stopped, Cause::finished);
}

// --- events ------------------------------------------------------------------------------------------------------

void on_start(Turn& turn) {
    turn.life.desired = Desired::up;
    switch (turn.life.state) {
        case State::stopped:
        case State::failed:
        case State::waiting: return spawn_anew(turn);
        case State::stopping: turn.life.restart_asked = true; return;
        case State::starting:
        case State::ready: return;
    }
}

void on_stop(Turn& turn) {
    turn.life.desired = Desired::down;
    turn.life.restart_asked = false;
    switch (turn.life.state) {
        case State::failed:
        case State::waiting: return rest(turn, State::stopped, Cause::asked);
        case State::starting:
        case State::ready: return stop_as_asked(turn);
        case State::stopped:
        case State::stopping: return;
    }
}

void on_restart(Turn& turn) {
    const bool up = turn.life.state == State::starting || turn.life.state == State::ready;
    if (!up) return on_start(turn);
    turn.life.desired = Desired::up;
    turn.life.restart_asked = true;
    stop_as_asked(turn);
}

void on_program_runs(Turn& turn) {
    if (turn.life.state != State::starting || turn.life.program_runs) return;
    if (turn.rule.ready == ReadyBy::exec) return become_ready(turn, Cause::program_runs);
    turn.life.program_runs = true;
    change_deadline(turn, turn.now + turn.rule.ready_timeout);
}

// A program that says so runs, even if the closing of its status pipe was not seen yet.
void on_said_ready(Turn& turn) {
    if (turn.life.state != State::starting || turn.rule.ready == ReadyBy::exec) return;
    become_ready(turn, Cause::said_ready);
}

void on_setup_failed(Turn& turn) {
    if (turn.life.state != State::starting) return;
    const bool unfit = turn.event.exit.kind == Exit::Kind::unfit;
    end_at_once(turn, {unfit ? Exit::Kind::unfit : Exit::Kind::setup, turn.event.exit.value, turn.event.exit.error});
}

void on_exited(Turn& turn) {
    if (!turn.life.main_alive) return;
    turn.life.main_alive = false;
    turn.actions.add(Do::finish);
    Exit exit = turn.event.exit;
    exit.before_ready = turn.life.state == State::starting;
    if (turn.life.state != State::stopping) return end_at_once(turn, exit);
    note_end(turn, exit);
    stop_waiting_for_it(turn);
}

void on_group_empty(Turn& turn) {
    if (turn.life.main_alive || !turn.life.group_alive) return;
    turn.life.group_alive = false;
    settle(turn);
}

// A program that is late may be saving its work: it is asked to stop before it is killed.
void on_late(Turn& turn) {
    if (!turn.life.program_runs) return end_at_once(turn, {Exit::Kind::setup_timeout});
    note_end(turn, {Exit::Kind::timeout});
    signal_and_wait(turn, Cause::ended);
}

void on_timer(Turn& turn) {
    if (turn.now < turn.life.deadline) return;
    switch (turn.life.state) {
        case State::waiting: ++turn.life.restarts; return spawn(turn, Cause::policy);
        case State::starting: return on_late(turn);
        case State::stopping: return stop_waiting_for_it(turn);
        case State::stopped:
        case State::failed:
        case State::ready: return;
    }
}

void on_protocol_broken(Turn& turn) {
    switch (turn.life.state) {
        case State::starting:
        case State::ready: return end_at_once(turn, {Exit::Kind::protocol});
        case State::stopping: return turn.life.killed ? void() : stop_waiting_for_it(turn);
        case State::stopped:
        case State::waiting:
        case State::failed: return;
    }
}

// Before anybody is told that it is ready, so it is starting as a rule.
void on_sandbox_differs(Turn& turn) {
    if (turn.life.state == State::starting || turn.life.state == State::ready) end_at_once(turn, {Exit::Kind::sandbox});
}

void dispatch(Turn& turn) {
    switch (turn.event.kind) {
        case Event::Kind::start: return on_start(turn);
        case Event::Kind::stop: return on_stop(turn);
        case Event::Kind::restart: return on_restart(turn);
        case Event::Kind::program_runs: return on_program_runs(turn);
        case Event::Kind::setup_failed: return on_setup_failed(turn);
        case Event::Kind::said_ready: return on_said_ready(turn);
        case Event::Kind::exited: return on_exited(turn);
        case Event::Kind::group_empty: return on_group_empty(turn);
        case Event::Kind::timer: return on_timer(turn);
        case Event::Kind::protocol_broken: return on_protocol_broken(turn);
        case Event::Kind::sandbox_differs: return on_sandbox_differs(turn);
    }
}

}  // namespace

Step step(const Life& life, const Event& event, const Rule& rule, Instant now) {
    Turn turn{life, {}, event, rule, now};
    dispatch(turn);
    return {turn.life, turn.actions};
}

bool is_failure(const Exit& exit, const Restart& rule) {
    if (exit.before_ready) return true;
    if (exit.kind == Exit::Kind::none) return false;
    if (exit.kind != Exit::Kind::code) return true;
    return std::find(rule.success.begin(), rule.success.end(), exit.value) == rule.success.end();
}

// A sandbox that was not made as planned would be no better the next time, and what a machine never had does not come by itself: a
// person has to look.
bool restarts_after(const Exit& exit, const Restart& rule) {
    if (exit.kind == Exit::Kind::sandbox || exit.kind == Exit::Kind::unfit) return false;
    switch (rule.policy) {
        case RestartPolicy::never: return false;
        case RestartPolicy::on_failure: return is_failure(exit, rule);
        case RestartPolicy::always: return true;
    }
    return false;
}

std::string_view name_of(State state) {
    switch (state) {
        case State::stopped: return "stopped";
        case State::waiting: return "waiting";
        case State::starting: return "starting";
        case State::ready: return "ready";
        case State::stopping: return "stopping";
        case State::failed: return "failed";
    }
    return "unknown";
}

std::string_view name_of(Event::Kind kind) {
    switch (kind) {
        case Event::Kind::start: return "start";
        case Event::Kind::stop: return "stop";
        case Event::Kind::restart: return "restart";
        case Event::Kind::program_runs: return "program runs";
        case Event::Kind::setup_failed: return "set-up failed";
        case Event::Kind::said_ready: return "said ready";
        case Event::Kind::exited: return "exited";
        case Event::Kind::group_empty: return "group empty";
        case Event::Kind::timer: return "timer";
        case Event::Kind::protocol_broken: return "protocol broken";
        case Event::Kind::sandbox_differs: return "sandbox differs";
    }
    return "unknown";
}

}  // namespace warder::supervise
