#include "supervise/lifecycle.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <tuple>
#include <vector>

using namespace warder;
using namespace warder::supervise;

namespace {

using Kind = Event::Kind;
using Do = Action::Kind;

Exit code(int value) { return {Exit::Kind::code, value}; }
Exit by_signal(int value) { return {Exit::Kind::signal, value}; }
Exit setup(int stage, int error) { return {Exit::Kind::setup, stage, error}; }

// A life told as a list of events.
struct Story {
    Rule rule;
    Life life;
    Instant now{1'000'000'000'000};
    Actions did;

    Story& on(Kind kind, Exit exit = {}, double chance = 0.5) {
        Step next = step(life, {kind, exit, chance}, rule, now);
        life = next.life;
        did = next.actions;
        return *this;
    }
    Story& after(Duration time) {
        now = now + time;
        return *this;
    }
    // The main process ends and everything else of the life with it.
    Story& dies(Exit exit) { return on(Kind::exited, exit).on(Kind::group_empty); }
    Story& at_deadline() {
        now = life.deadline;
        return on(Kind::timer);
    }
    Duration wait() const { return life.deadline - now; }

    bool does(Do what) const {
        for (std::size_t i = 0; i < did.count; ++i) {
            if (did.list[i].kind == what) return true;
        }
        return false;
    }
    int signal_sent() const {
        for (std::size_t i = 0; i < did.count; ++i) {
            if (did.list[i].kind == Do::signal) return did.list[i].value;
        }
        return 0;
    }
};

Story ready_story() {
    Story story;
    story.rule.restart.jitter = 0;
    story.on(Kind::start).on(Kind::program_runs);
    return story;
}

}  // namespace

// --- up ----------------------------------------------------------------------------------------------------------

TEST_CASE("a start spawns, and a program that runs is ready when its rule is exec") {
    Story story;
    story.on(Kind::start);
    CHECK(story.life.state == State::starting);
    CHECK(story.life.cause == Cause::asked);
    CHECK(story.does(Do::spawn));
    CHECK(story.does(Do::announce));
    CHECK(story.wait() == story.rule.setup_timeout);
    story.on(Kind::program_runs);
    CHECK(story.life.state == State::ready);
    CHECK(story.life.deadline == Instant::never());
    CHECK(story.does(Do::set_timer));
}

TEST_CASE("a worker that says when it is ready is starting until it says so") {
    Story story;
    story.rule.ready = ReadyBy::notify;
    story.on(Kind::start).on(Kind::program_runs);
    CHECK(story.life.state == State::starting);
    CHECK(story.wait() == story.rule.ready_timeout);
    CHECK_FALSE(story.does(Do::announce));
    story.after(5s).on(Kind::said_ready);
    CHECK(story.life.state == State::ready);
    CHECK(story.life.cause == Cause::said_ready);
}

TEST_CASE("ready may be said before the closing of the status pipe was seen") {
    Story story;
    story.rule.ready = ReadyBy::libwarder;
    story.on(Kind::start).on(Kind::said_ready);
    CHECK(story.life.state == State::ready);
    story.on(Kind::program_runs);
    CHECK(story.life.state == State::ready);
    CHECK(story.did.count == 0);
}

TEST_CASE("a worker whose rule is exec is not made ready by its words") {
    Story story;
    story.on(Kind::start).on(Kind::said_ready);
    CHECK(story.life.state == State::starting);
}

TEST_CASE("a start of what is up changes nothing") {
    Story story = ready_story();
    story.on(Kind::start);
    CHECK(story.life.state == State::ready);
    CHECK(story.did.count == 0);
}

// --- restart by policy -------------------------------------------------------------------------------------------

TEST_CASE("a crash closes the session, kills the rest, waits for the delay and starts again") {
    Story story = ready_story();
    story.after(1s).on(Kind::exited, by_signal(SIGSEGV));
    CHECK(story.life.state == State::stopping);
    CHECK(story.does(Do::finish));
    CHECK(story.does(Do::kill_all));
    CHECK(story.life.deadline == Instant::never());
    story.on(Kind::group_empty);
    CHECK(story.life.state == State::waiting);
    CHECK(story.life.last_exit == by_signal(SIGSEGV));
    CHECK(story.wait() == 100ms);
    story.at_deadline();
    CHECK(story.life.state == State::starting);
    CHECK(story.life.cause == Cause::policy);
    CHECK(story.life.restarts == 1);
    CHECK(story.does(Do::spawn));
}

TEST_CASE("each wait doubles, up to the cap, and the jitter comes from chance") {
    Story story = ready_story();
    story.rule.restart.cap = 300ms;
    story.rule.restart.jitter = 0.5;
    story.on(Kind::exited, code(1)).on(Kind::group_empty, {}, 0.0);
    CHECK(story.wait() == 50ms);
    story.at_deadline().on(Kind::program_runs).on(Kind::exited, code(1)).on(Kind::group_empty, {}, 0.5);
    CHECK(story.wait() == 200ms);
    story.at_deadline().on(Kind::program_runs).on(Kind::exited, code(1)).on(Kind::group_empty, {}, 1.0);
    CHECK(story.wait() == 300ms);
}

TEST_CASE("a worker that was healthy for long enough waits the first delay again") {
    Story story = ready_story();
    story.dies(code(1));
    story.at_deadline().on(Kind::program_runs).dies(code(1));
    CHECK(story.wait() == 200ms);
    story.at_deadline().on(Kind::program_runs).after(story.rule.restart.reset_after - 1ns).dies(code(1));
    CHECK(story.wait() == 400ms);
    story.at_deadline().on(Kind::program_runs).after(story.rule.restart.reset_after).dies(code(1));
    CHECK(story.wait() == 100ms);
}

TEST_CASE("time spent starting does not count as healthy") {
    Story story;
    story.rule.restart.jitter = 0;
    story.rule.ready = ReadyBy::notify;
    story.on(Kind::start).on(Kind::program_runs).after(50s).dies(code(1));
    story.at_deadline().on(Kind::program_runs).after(50s).dies(code(1));
    CHECK(story.wait() == 200ms);
}

TEST_CASE("on_failure leaves a good exit alone: stopped, and nobody wants it up") {
    Story story = ready_story();
    story.rule.restart.policy = RestartPolicy::on_failure;
    story.dies(code(0));
    CHECK(story.life.state == State::stopped);
    CHECK(story.life.cause == Cause::finished);
    CHECK(story.life.desired == Desired::down);
}

TEST_CASE("on_failure answers a bad exit code, a signal, and a code that only others call success") {
    for (const Exit& exit : {code(1), by_signal(SIGTERM), code(75)}) {
        Story story = ready_story();
        story.rule.restart.policy = RestartPolicy::on_failure;
        story.rule.restart.success = {0, 3};
        story.dies(exit);
        CHECK(story.life.state == State::waiting);
    }
}

TEST_CASE("exit codes in the success list are no failures") {
    Story story = ready_story();
    story.rule.restart.policy = RestartPolicy::on_failure;
    story.rule.restart.success = {0, 3};
    story.dies(code(3));
    CHECK(story.life.state == State::stopped);
}

TEST_CASE("always answers a good exit too") {
    Story story = ready_story();
    story.dies(code(0));
    CHECK(story.life.state == State::waiting);
}

TEST_CASE("never leaves a crash failed, and still wanted up") {
    Story story = ready_story();
    story.rule.restart.policy = RestartPolicy::never;
    story.dies(by_signal(SIGKILL));
    CHECK(story.life.state == State::failed);
    CHECK(story.life.cause == Cause::not_answered);
    CHECK(story.life.desired == Desired::up);
}

TEST_CASE("an exit code of zero before ready is a failure") {
    Story story;
    story.rule.ready = ReadyBy::notify;
    story.rule.restart.policy = RestartPolicy::on_failure;
    story.on(Kind::start).on(Kind::program_runs).dies(code(0));
    CHECK(story.life.state == State::waiting);
    CHECK(story.life.last_exit.before_ready);
}

// --- set-up and time ---------------------------------------------------------------------------------------------

TEST_CASE("a set-up that fails counts as a failure with its stage and errno, whatever exit number follows") {
    Story story;
    story.rule.restart.policy = RestartPolicy::on_failure;
    story.on(Kind::start).on(Kind::setup_failed, setup(4, ENOENT));
    CHECK(story.life.state == State::stopping);
    CHECK(story.does(Do::kill_all));
    story.dies(code(226));
    CHECK(story.life.state == State::waiting);
    CHECK(story.life.last_exit == setup(4, ENOENT));
}

TEST_CASE("a set-up that fails under policy never is failed") {
    Story story;
    story.rule.restart.policy = RestartPolicy::never;
    story.on(Kind::start).on(Kind::setup_failed, setup(16, EACCES)).dies(code(203));
    CHECK(story.life.state == State::failed);
    CHECK(story.life.last_exit == setup(16, EACCES));
}

TEST_CASE("a set-up that takes too long is killed at once") {
    Story story;
    story.on(Kind::start).at_deadline();
    CHECK(story.life.state == State::stopping);
    CHECK(story.does(Do::kill_all));
    CHECK_FALSE(story.does(Do::signal));
    story.dies(by_signal(SIGKILL));
    CHECK(story.life.state == State::waiting);
    CHECK(story.life.last_exit.kind == Exit::Kind::setup_timeout);
}

TEST_CASE("a program that is not ready in time is asked to stop, then killed, and it was a failure") {
    Story story;
    story.rule.ready = ReadyBy::notify;
    story.rule.restart.policy = RestartPolicy::on_failure;
    story.on(Kind::start).on(Kind::program_runs).at_deadline();
    CHECK(story.life.state == State::stopping);
    CHECK(story.signal_sent() == SIGTERM);
    CHECK(story.wait() == story.rule.stop.timeout);
    story.at_deadline();
    CHECK(story.does(Do::kill_all));
    story.dies(by_signal(SIGKILL));
    CHECK(story.life.state == State::waiting);
    CHECK(story.life.last_exit.kind == Exit::Kind::timeout);
}

TEST_CASE("a program that was not ready in time and then exits well was still not ready in time") {
    Story story;
    story.rule.ready = ReadyBy::notify;
    story.rule.restart.policy = RestartPolicy::on_failure;
    story.on(Kind::start).on(Kind::program_runs).at_deadline().dies(code(0));
    CHECK(story.life.state == State::waiting);
    CHECK(story.life.last_exit.kind == Exit::Kind::timeout);
}

TEST_CASE("a timer that comes early does nothing") {
    Story story;
    story.on(Kind::start).after(story.rule.setup_timeout - 1ns).on(Kind::timer);
    CHECK(story.life.state == State::starting);
    CHECK(story.did.count == 0);
}

// --- the start limit ---------------------------------------------------------------------------------------------

TEST_CASE("one start more than the limit within the window is not made: failed, and the cause says why") {
    Story story = ready_story();
    story.rule.restart.limit = 3;
    story.rule.restart.window = 60s;
    story.dies(code(1)).at_deadline().on(Kind::program_runs);
    story.dies(code(1)).at_deadline().on(Kind::program_runs);
    story.dies(code(1));
    CHECK(story.life.state == State::failed);
    CHECK(story.life.cause == Cause::start_limit);
    CHECK(story.life.restarts == 2);
    CHECK(story.life.last_exit == code(1));
}

TEST_CASE("starts that are older than the window do not count") {
    Story story = ready_story();
    story.rule.restart.limit = 3;
    story.rule.restart.window = 60s;
    for (int life = 0; life < 200; ++life) {
        story.after(30s).dies(code(1));
        REQUIRE(story.life.state == State::waiting);
        story.at_deadline().on(Kind::program_runs);
    }
}

TEST_CASE("a limit of zero is no limit") {
    Story story = ready_story();
    story.rule.restart.limit = 0;
    story.rule.restart.cap = 1ms;
    for (int life = 0; life < 200; ++life) {
        story.dies(code(1));
        REQUIRE(story.life.state == State::waiting);
        story.at_deadline().on(Kind::program_runs);
    }
}

TEST_CASE("a limit beyond what is counted acts as the most that is counted") {
    Story story = ready_story();
    story.rule.restart.limit = 1000;
    story.rule.restart.cap = 1ms;
    for (std::size_t life = 1; life < max_counted_starts; ++life) {
        story.dies(code(1));
        REQUIRE(story.life.state == State::waiting);
        story.at_deadline().on(Kind::program_runs);
    }
    story.dies(code(1));
    CHECK(story.life.state == State::failed);
}

TEST_CASE("a start by hand bypasses the limit and begins a new count") {
    Story story = ready_story();
    story.rule.restart.limit = 2;
    story.dies(code(1)).at_deadline().on(Kind::program_runs).dies(code(1));
    REQUIRE(story.life.state == State::failed);
    story.on(Kind::start);
    CHECK(story.life.state == State::starting);
    CHECK(story.life.restarts == 0);
    story.on(Kind::program_runs).dies(code(1));
    CHECK(story.life.state == State::waiting);
    CHECK(story.wait() == 100ms);
}

// --- down --------------------------------------------------------------------------------------------------------

TEST_CASE("a stop sends the signal, and the end of the group is the end") {
    Story story = ready_story();
    story.rule.stop.signal = SIGQUIT;
    story.on(Kind::stop);
    CHECK(story.life.state == State::stopping);
    CHECK(story.life.cause == Cause::asked);
    CHECK(story.signal_sent() == SIGQUIT);
    CHECK(story.wait() == story.rule.stop.timeout);
    story.on(Kind::exited, code(0));
    CHECK(story.life.state == State::stopping);
    CHECK(story.does(Do::kill_all));
    CHECK(story.does(Do::finish));
    story.on(Kind::group_empty);
    CHECK(story.life.state == State::stopped);
}

TEST_CASE("a stop is announced before the signal is sent, so that who handles the signal finds the event") {
    Story story = ready_story();
    story.on(Kind::stop);
    std::size_t announced = story.did.count;
    std::size_t signalled = story.did.count;
    for (std::size_t i = story.did.count; i-- > 0;) {
        if (story.did.list[i].kind == Do::announce) announced = i;
        if (story.did.list[i].kind == Do::signal) signalled = i;
    }
    REQUIRE(signalled < story.did.count);
    CHECK(announced < signalled);
}

TEST_CASE("a program that does not heed the signal is killed when the time is over") {
    Story story = ready_story();
    story.on(Kind::stop).at_deadline();
    CHECK(story.life.state == State::stopping);
    CHECK(story.does(Do::kill_all));
    CHECK(story.life.deadline == Instant::never());
    story.dies(by_signal(SIGKILL));
    CHECK(story.life.state == State::stopped);
}

TEST_CASE("a stop during set-up kills: there is no program yet that could heed a signal") {
    Story story;
    story.on(Kind::start).on(Kind::stop);
    CHECK(story.does(Do::kill_all));
    CHECK_FALSE(story.does(Do::signal));
    story.dies(by_signal(SIGKILL));
    CHECK(story.life.state == State::stopped);
}

TEST_CASE("a stop of a program that is not ready yet sends the signal") {
    Story story;
    story.rule.ready = ReadyBy::notify;
    story.on(Kind::start).on(Kind::program_runs).on(Kind::stop);
    CHECK(story.signal_sent() == SIGTERM);
}

TEST_CASE("a stop while waiting stops at once and disarms the timer") {
    Story story = ready_story();
    story.dies(code(1)).on(Kind::stop);
    CHECK(story.life.state == State::stopped);
    CHECK(story.life.deadline == Instant::never());
    CHECK(story.does(Do::set_timer));
    story.after(1h).on(Kind::timer);
    CHECK(story.life.state == State::stopped);
    CHECK(story.did.count == 0);
}

TEST_CASE("a second stop does not lengthen the time") {
    Story story = ready_story();
    story.on(Kind::stop);
    const Instant deadline = story.life.deadline;
    story.after(1s).on(Kind::stop);
    CHECK(story.life.deadline == deadline);
    CHECK(story.did.count == 0);
}

TEST_CASE("a stop of what failed makes it stopped") {
    Story story = ready_story();
    story.rule.restart.policy = RestartPolicy::never;
    story.dies(code(1)).on(Kind::stop);
    CHECK(story.life.state == State::stopped);
    CHECK(story.life.desired == Desired::down);
}

TEST_CASE("a worker that crashes while it is being stopped is stopped, not started again") {
    Story story = ready_story();
    story.on(Kind::stop).dies(by_signal(SIGSEGV));
    CHECK(story.life.state == State::stopped);
    CHECK(story.life.last_exit == by_signal(SIGSEGV));
}

TEST_CASE("a stop while the remains of a crash are killed wins over the policy") {
    Story story = ready_story();
    story.on(Kind::exited, by_signal(SIGSEGV)).on(Kind::stop).on(Kind::group_empty);
    CHECK(story.life.state == State::stopped);
}

// --- restart and start while something else goes on ---------------------------------------------------------------

TEST_CASE("a restart stops, and starts at once when the group is empty") {
    Story story = ready_story();
    story.on(Kind::restart);
    CHECK(story.life.state == State::stopping);
    CHECK(story.signal_sent() == SIGTERM);
    story.on(Kind::exited, code(0));
    CHECK_FALSE(story.does(Do::spawn));
    story.on(Kind::group_empty);
    CHECK(story.life.state == State::starting);
    CHECK(story.life.cause == Cause::asked);
    CHECK(story.does(Do::spawn));
    CHECK_FALSE(story.life.restart_asked);
}

TEST_CASE("a restart of what is at rest or waits is a start") {
    Story story;
    story.on(Kind::restart);
    CHECK(story.life.state == State::starting);
    story.on(Kind::program_runs).dies(code(1)).on(Kind::restart);
    CHECK(story.life.state == State::starting);
    CHECK(story.life.restarts == 0);
}

TEST_CASE("a restart while stopping starts again when stopped") {
    Story story = ready_story();
    story.on(Kind::stop).on(Kind::restart).dies(code(0));
    CHECK(story.life.state == State::starting);
}

TEST_CASE("a start while stopping starts again when stopped, and never beside the old life") {
    Story story = ready_story();
    story.on(Kind::stop).on(Kind::start);
    CHECK(story.life.state == State::stopping);
    CHECK_FALSE(story.does(Do::spawn));
    story.dies(code(0));
    CHECK(story.life.state == State::starting);
}

TEST_CASE("a stop after a start while stopping takes the start back") {
    Story story = ready_story();
    story.on(Kind::stop).on(Kind::start).on(Kind::stop).dies(code(0));
    CHECK(story.life.state == State::stopped);
}

TEST_CASE("a start while waiting starts at once") {
    Story story = ready_story();
    story.dies(code(1)).on(Kind::start);
    CHECK(story.life.state == State::starting);
    CHECK(story.life.cause == Cause::asked);
}

TEST_CASE("a start while the remains of a crash are killed does not wait for the delay") {
    Story story = ready_story();
    story.on(Kind::exited, code(1)).on(Kind::start).on(Kind::group_empty);
    CHECK(story.life.state == State::starting);
}

// --- a worker that breaks the protocol ------------------------------------------------------------------------------

TEST_CASE("a sandbox that is not as planned ends its life before it was ready, and no policy starts it again") {
    for (const auto policy : {RestartPolicy::always, RestartPolicy::on_failure, RestartPolicy::never}) {
        Story story;
        story.rule.restart.policy = policy;
        story.on(Kind::start).on(Kind::sandbox_differs);
        CHECK(story.life.state == State::stopping);
        CHECK(story.does(Do::kill_all));
        story.dies(by_signal(9));
        CHECK(story.life.state == State::failed);
        CHECK(story.life.last_exit.kind == Exit::Kind::sandbox);
        story.on(Kind::start);
        CHECK(story.life.state == State::starting);
    }
}

TEST_CASE("a worker that breaks the protocol is killed at once, and policy answers") {
    Story story = ready_story();
    story.on(Kind::protocol_broken);
    CHECK(story.does(Do::kill_all));
    CHECK_FALSE(story.does(Do::signal));
    story.dies(by_signal(SIGKILL));
    CHECK(story.life.state == State::waiting);
    CHECK(story.life.last_exit.kind == Exit::Kind::protocol);
}

TEST_CASE("a worker that breaks the protocol while stopping is not given the rest of its time") {
    Story story = ready_story();
    story.on(Kind::stop).on(Kind::protocol_broken);
    CHECK(story.does(Do::kill_all));
    CHECK(story.life.deadline == Instant::never());
    story.dies(by_signal(SIGKILL));
    CHECK(story.life.state == State::stopped);
}

TEST_CASE("names of states and events are words") {
    CHECK(name_of(State::waiting) == "waiting");
    CHECK(name_of(Kind::group_empty) == "group empty");
}

// --- the walk ----------------------------------------------------------------------------------------------------

// Every event, at its time and out of time, in every life that can be reached; states that differ only in how long ago
// something was are one. Beside the machine walks a plain account of what really is: how many mains live, and how many
// spawns, finishes and ends of the group were told.
namespace {

struct World {
    Life life;
    Instant now{1'000'000'000'000};
    int mains = 0;      // spawned and not reaped
    int groups = 0;     // spawned and not told empty
    int sessions = 0;   // spawned and not finished
    std::string road;   // how we came here, for the message of a failure
};

// What makes two lives the same for what can happen next.
using Key = std::tuple<State, Desired, Cause, bool, bool, bool, bool, bool, bool, std::int64_t, std::int64_t, std::size_t,
                       std::tuple<Exit::Kind, int, bool>, bool>;

Key key_of(const World& world, const Rule& rule) {
    const Life& life = world.life;
    const std::int64_t left =
        life.deadline == Instant::never() ? -1 : std::max<std::int64_t>((life.deadline - world.now).count(), 0);
    const std::size_t starts = std::min<std::size_t>(life.starts_count, rule.restart.limit);
    const bool healthy = world.now - life.since >= rule.restart.reset_after;
    return {life.state, life.desired, life.cause, life.restart_asked, life.program_runs, life.main_alive, life.group_alive,
            life.killed, life.end_known, left, life.next_delay.count(), starts,
            {life.last_exit.kind, life.last_exit.value, life.last_exit.before_ready}, healthy};
}

bool has(const Actions& actions, Do what) {
    for (std::size_t i = 0; i < actions.count; ++i) {
        if (actions.list[i].kind == what) return true;
    }
    return false;
}

int count_of(const Actions& actions, Do what) {
    int count = 0;
    for (std::size_t i = 0; i < actions.count; ++i) count += actions.list[i].kind == what ? 1 : 0;
    return count;
}

struct Invariant {
    const char* words;
    bool (*holds)(const World& before, const Step& step, const World& after);
};

bool is_rest(State state) { return state == State::stopped || state == State::failed; }

const Invariant invariants[] = {
    {"there are never two live mains", [](auto&, auto&, auto& after) { return after.mains == 0 || after.mains == 1; }},
    {"nothing is spawned while the main of the life before is alive",
     [](const World& before, const Step& step, const World&) {
         return !has(step.actions, Do::spawn) || before.mains == 0;
     }},
    {"nothing is spawned before the group of the life before is empty",
     [](auto&, auto&, auto& after) { return after.groups == 0 || after.groups == 1; }},
    {"each spawn is finished exactly once, when its main is gone",
     [](auto&, auto&, auto& after) { return after.sessions == after.mains; }},
    {"main_alive says whether a main is alive",
     [](auto&, auto&, const World& after) { return after.life.main_alive == (after.mains == 1); }},
    {"group_alive says whether the group is not empty",
     [](auto&, auto&, const World& after) { return after.life.group_alive == (after.groups == 1); }},
    {"starting and ready have a main",
     [](auto&, auto&, const World& after) {
         const bool up = after.life.state == State::starting || after.life.state == State::ready;
         return !up || after.mains == 1;
     }},
    {"stopped, failed and waiting have nothing alive",
     [](auto&, auto&, const World& after) {
         const bool down = is_rest(after.life.state) || after.life.state == State::waiting;
         return !down || (after.mains == 0 && after.groups == 0);
     }},
    {"stopping has something alive",
     [](auto&, auto&, const World& after) { return after.life.state != State::stopping || after.groups == 1; }},
    {"states at rest have no deadline",
     [](auto&, auto&, const World& after) {
         return !is_rest(after.life.state) || after.life.deadline == Instant::never();
     }},
    {"ready has no deadline",
     [](auto&, auto&, const World& after) {
         return after.life.state != State::ready || after.life.deadline == Instant::never();
     }},
    {"waiting and starting have a deadline",
     [](auto&, auto&, const World& after) {
         const bool timed = after.life.state == State::waiting || after.life.state == State::starting;
         return !timed || after.life.deadline != Instant::never();
     }},
    {"stopping has a deadline, or all was killed already",
     [](auto&, auto&, const World& after) {
         return after.life.state != State::stopping ||
                (after.life.deadline == Instant::never()) == after.life.killed;
     }},
    {"what waits or is up is wanted up",
     [](auto&, auto&, const World& after) {
         const State state = after.life.state;
         return state == State::stopping || is_rest(state) || after.life.desired == Desired::up;
     }},
    {"what is stopped is wanted down",
     [](auto&, auto&, const World& after) {
         return after.life.state != State::stopped || after.life.desired == Desired::down;
     }},
    {"a restart is only owed while stopping, to a worker that is wanted up",
     [](auto&, auto&, const World& after) {
         return !after.life.restart_asked ||
                (after.life.state == State::stopping && after.life.desired == Desired::up);
     }},
    {"a change of state is announced once, and nothing else is",
     [](const World& before, const Step& step, const World& after) {
         return count_of(step.actions, Do::announce) == (before.life.state == after.life.state ? 0 : 1);
     }},
    {"a change of the deadline sets the timer",
     [](const World& before, const Step& step, const World& after) {
         return before.life.deadline == after.life.deadline || has(step.actions, Do::set_timer);
     }},
    {"a signal goes only to a main that is alive",
     [](const World&, const Step& step, const World& after) {
         return !has(step.actions, Do::signal) || after.mains == 1;
     }},
    {"only starting runs a program that is not ready",
     [](auto&, auto&, const World& after) { return after.life.state != State::ready || after.life.program_runs; }},
    {"the waits stay within the cap",
     [](auto&, auto&, const World& after) { return after.life.next_delay <= Duration(400ms); }},
    {"no step fills the list of actions to the brim",
     [](auto&, const Step& step, auto&) { return step.actions.count < step.actions.list.size(); }},
    {"since is now when the state changed, and as before when not",
     [](const World& before, const Step&, const World& after) {
         return before.life.state == after.life.state ? after.life.since == before.life.since
                                                      : after.life.since == after.now;
     }},
};

const char* broken_invariant(const World& before, const Step& step, const World& after) {
    for (const Invariant& one : invariants) {
        if (!one.holds(before, step, after)) return one.words;
    }
    return nullptr;
}

World take_step(const World& world, const Event& event, const Rule& rule, Step& did) {
    did = step(world.life, event, rule, world.now);
    World after = world;
    after.life = did.life;
    // Told when it was so: an "exited" without a main, or a "group empty" beside one, is a mistake that must change nothing.
    if (event.kind == Kind::exited && world.mains > 0) --after.mains;
    if (event.kind == Kind::group_empty && world.mains == 0 && world.groups > 0) --after.groups;
    after.mains += count_of(did.actions, Do::spawn);
    after.groups += count_of(did.actions, Do::spawn);
    after.sessions += count_of(did.actions, Do::spawn) - count_of(did.actions, Do::finish);
    return after;
}

std::vector<Event> all_events() {
    std::vector<Event> events;
    for (const Kind kind : {Kind::start, Kind::stop, Kind::restart, Kind::program_runs, Kind::said_ready,
                            Kind::group_empty, Kind::timer, Kind::protocol_broken, Kind::sandbox_differs}) {
        events.push_back({kind, {}, 0.5});
    }
    events.push_back({Kind::setup_failed, setup(4, ENOENT), 0.5});
    for (const Exit& exit : {code(0), code(1), by_signal(SIGKILL), Exit{}}) events.push_back({Kind::exited, exit, 0.5});
    return events;
}

Rule small_rule(ReadyBy ready, RestartPolicy policy) {
    Rule rule;
    rule.ready = ready;
    rule.restart.policy = policy;
    rule.restart.limit = 3;
    rule.restart.cap = 400ms;
    rule.restart.jitter = 0;
    return rule;
}

// From here on nothing but death happens: does a stop end in stopped?
bool stop_leads_to_stopped(World world, const Rule& rule, bool heeds_signals) {
    Step did;
    world = take_step(world, {Kind::stop, {}, 0.5}, rule, did);
    if (!heeds_signals && world.life.deadline != Instant::never()) {
        world.now = world.life.deadline;
        world = take_step(world, {Kind::timer, {}, 0.5}, rule, did);
        if (!world.life.killed) return false;
    }
    if (world.mains > 0) world = take_step(world, {Kind::exited, by_signal(SIGKILL), 0.5}, rule, did);
    if (world.groups > 0) world = take_step(world, {Kind::group_empty, {}, 0.5}, rule, did);
    return world.life.state == State::stopped && world.mains == 0 && world.groups == 0 && world.sessions == 0;
}

// A start by hand must get every life up, wherever it is, once what is dying has died.
bool start_leads_to_a_spawn(World world, const Rule& rule) {
    Step did;
    world = take_step(world, {Kind::start, {}, 0.5}, rule, did);
    if (world.life.state == State::stopping && world.mains > 0) {
        world = take_step(world, {Kind::exited, code(0), 0.5}, rule, did);
    }
    if (world.life.state == State::stopping) world = take_step(world, {Kind::group_empty, {}, 0.5}, rule, did);
    return world.mains == 1;
}

struct Walk {
    Rule rule;
    std::map<Key, World> seen;
    std::vector<World> frontier;
    int steps = 0;
    std::string broken;

    void reach(const World& world) {
        if (seen.emplace(key_of(world, rule), world).second) frontier.push_back(world);
    }

    void try_event(const World& from, const Event& event, const char* when) {
        Step did;
        World after = take_step(from, event, rule, did);
        after.road += std::string(name_of(event.kind)) + when;
        ++steps;
        if (const char* words = broken_invariant(from, did, after); words != nullptr && broken.empty()) {
            broken = std::string(words) + " | " + after.road;
        }
        reach(after);
    }

    void check_ends(const World& world) {
        if (!stop_leads_to_stopped(world, rule, true)) broken = "stop, heeded, leads to stopped | " + world.road;
        if (!stop_leads_to_stopped(world, rule, false)) broken = "stop, not heeded, leads to stopped | " + world.road;
        if (!start_leads_to_a_spawn(world, rule)) broken = "start leads to a spawn | " + world.road;
    }

    void visit(const World& world) {
        check_ends(world);
        World later = world;
        later.now = world.life.deadline == Instant::never() ? world.now + rule.restart.reset_after : world.life.deadline;
        for (const Event& event : all_events()) {
            try_event(world, event, "; ");
            try_event(later, event, " (later); ");
        }
    }

    void go() {
        reach(World{});
        while (!frontier.empty() && broken.empty()) {
            const World next = frontier.back();
            frontier.pop_back();
            visit(next);
        }
    }
};

}  // namespace

TEST_CASE("whatever happens in whatever state, what must hold holds") {
    for (const ReadyBy ready : {ReadyBy::exec, ReadyBy::libwarder, ReadyBy::notify}) {
        for (const RestartPolicy policy : {RestartPolicy::never, RestartPolicy::on_failure, RestartPolicy::always}) {
            Walk walk{small_rule(ready, policy), {}, {}, 0, {}};
            walk.go();
            CHECK_MESSAGE(walk.broken.empty(), walk.broken);
            std::map<State, int> states;
            for (const auto& [key, world] : walk.seen) ++states[world.life.state];
            INFO("lives: ", walk.seen.size(), ", steps: ", walk.steps);
            CHECK(walk.seen.size() > 100);
            CHECK(states.count(State::waiting) == (policy == RestartPolicy::never ? 0 : 1));
            for (const State state : {State::stopped, State::starting, State::ready, State::stopping, State::failed}) {
                CHECK_MESSAGE(states[state] > 0, name_of(state));
            }
        }
    }
}
