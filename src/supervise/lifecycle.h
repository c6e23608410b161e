// The life of a worker as a pure state machine: step(state, event, rule, now) says what comes next and what is to be done,
// as data. It starts no process and reads no clock, so every life can be tested as a list of events.
//
// A worker is *stopped* until somebody wants it up. *Starting* has three parts that look the same from outside: the stub
// makes the sandbox, the program is set up in it, and the program runs but has not said that it is ready. *Ready* is up.
// Every life ends by *stopping*, asked or not: asked, a signal is sent and there is a time after which everything is killed;
// when the main process died by itself, could not be set up, was not ready in time or broke the protocol, what is left of
// it is killed. Stopping ends when the main process is reaped and its group is empty. Then: started again at once if a
// person asked for it; stopped if nobody wants it up; *waiting*, until a moment, if the restart policy answers this death;
// stopped if it ended well and policy does not answer; else *failed*. Failed is at rest like stopped, but nobody asked for
// it: the start limit, or a failure that policy does not answer. Only a person's start leaves failed, or a stop, which
// makes it stopped.
//
// Each `spawn` is answered by exactly one `exited` and, after it, one `group_empty`, also when nothing could be spawned.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/time.h"
#include "supervise/rule.h"

namespace warder::supervise {

enum class State : std::uint8_t { stopped, waiting, starting, ready, stopping, failed };
enum class Desired : std::uint8_t { down, up };

// How a main process ended.
struct Exit {
    enum class Kind : std::uint8_t {
        none,            // there was no main process
        code,
        signal,
        setup,           // its set-up failed
        timeout,         // it was not ready in time
        setup_timeout,   // its set-up took too long
        protocol,        // it broke the protocol
        sandbox,            // its sandbox was not what was planned: never answered by another start
        unfit,           // this machine has not what it takes, and never had: likewise
    };
    Kind kind = Kind::none;
    int value = 0;     // exit code, signal number, or the stage of the set-up that failed
    int error = 0;     // set-up: the errno
    bool before_ready = false;   // it ended by itself before it was ready: a failure whatever the exit code
    friend bool operator==(const Exit&, const Exit&) = default;
};

// Why a life is in its present state. With last_exit it makes the sentence that operators read.
enum class Cause : std::uint8_t {
    none,           // the beginning
    asked,          // a person, autostart, or warderd's own end
    policy,         // starting, waiting: the restart policy
    program_runs,   // ready
    said_ready,     // ready
    ended,          // stopping: see last_exit
    finished,       // stopped: it ended well, and policy does not answer that
    start_limit,    // failed: too many starts within the window
    not_answered,   // failed: policy does not answer a failure
};

// The most starts that a start limit can count.
inline constexpr std::size_t max_counted_starts = 64;

struct Life {
    State state = State::stopped;
    Desired desired = Desired::down;
    Cause cause = Cause::none;
    bool restart_asked = false;      // stopping, and to be started again at once when stopped
    bool program_runs = false;       // starting: set-up is over, waiting for "ready"
    bool main_alive = false;         // since `spawn`, until `exited`
    bool group_alive = false;        // since `spawn`, until `group_empty`
    bool killed = false;             // stopping: SIGKILL has been sent
    bool end_known = false;          // stopping: last_exit says why this life ends; what comes later changes it no more
    Instant deadline = Instant::never();   // of the present state: when to send Event::timer
    Instant since{};                 // when the present state began
    std::uint32_t restarts = 0;      // by policy, since a person's last start
    Duration next_delay{};           // the wait before the last restart, without jitter; 0: none yet
    std::array<Instant, max_counted_starts> starts{};   // the latest starts, a ring, for the start limit
    std::size_t starts_count = 0;    // since a person's last start
    Exit last_exit;
};

struct Event {
    enum class Kind : std::uint8_t {
        start,          // a person, or autostart
        stop,
        restart,
        program_runs,   // the status pipe closed: set-up is done
        setup_failed,   // `exit` says stage and errno; the process is about to be reaped
        said_ready,     // over the channel or NOTIFY_SOCKET
        exited,         // the main process was reaped, or there will be none
        group_empty,    // nothing of this life is left
        timer,          // `deadline` has come
        protocol_broken,  // the worker broke the protocol: its session is over
        sandbox_differs,   // the receipt of its sandbox is not as the plan
    };
    Kind kind{};
    Exit exit{};
    double chance = 0.5;   // 0 to 1, for the jitter: randomness comes in as an argument
};

struct Action {
    enum class Kind : std::uint8_t {
        spawn,          // make the sandbox and the process
        signal,         // `value` to the main process
        kill_all,       // cgroup.kill or the stub: SIGKILL to everything of this life
        set_timer,      // at life.deadline (never: disarm)
        announce,       // the state changed: log, audit, tell those who wait
        finish,         // the main process is no more: close its session, give back what it held
    };
    Kind kind{};
    int value = 0;
    friend bool operator==(const Action&, const Action&) = default;
};

// What to do, in order. At most this many for any step.
struct Actions {
    std::array<Action, 6> list{};
    std::size_t count = 0;
    void add(Action::Kind kind, int value = 0) {
        list[count++] = {kind, value};
    }
};

struct Step {
    Life life;
    Actions actions;
};

Step step(const Life& life, const Event& event, const Rule& rule, Instant now);

std::string_view name_of(State state);
std::string_view name_of(Event::Kind kind);

// Whether this end counts as a failure.
bool is_failure(const Exit& exit, const Restart& rule);

// Whether policy answers this exit with another start.
bool restarts_after(const Exit& exit, const Restart& rule);

}  // namespace warder::supervise
