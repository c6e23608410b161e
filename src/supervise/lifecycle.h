// The life of a worker as a pure state machine: step(state, event, rule, now) says what comes next and what is to be done,
// as data. It starts no process and reads no clock, so every life can be tested as a list of events.
//
// A worker is *stopped* until somebody wants it up. *Starting* has three parts that look the same from outside: the stub
// makes the room, the program is set up in it, and the program runs but has not said that it is ready. *Ready* is up.
// A death that the restart policy answers leads to *waiting*, until a moment. *Stopping* has a signal sent and a time
// after which everything is killed; it ends when the main process is reaped and its group is empty. *Failed* is at rest
// like stopped, but nobody asked for it: the start limit, a set-up failure under policy `never`, or an exit that policy
// does not answer. Only a person's start leaves failed.
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
    enum class Kind : std::uint8_t { none, code, signal, setup, timeout };
    Kind kind = Kind::none;
    int value = 0;     // exit code, signal number, or the stage of the set-up that failed
    int error = 0;     // set-up: the errno
};

struct Life {
    State state = State::stopped;
    Desired desired = Desired::down;
    bool restart_asked = false;      // stopping, and to be started again at once when stopped
    bool program_runs = false;       // starting: set-up is over, waiting for "ready"
    bool main_alive = false;         // a main process or stub of this life is not reaped yet
    bool killed = false;             // stopping: SIGKILL has been sent
    Instant deadline = Instant::never();   // of the present state: when to send Event::timer
    Instant since{};                 // when the present state began
    std::uint32_t restarts = 0;      // by policy, since a person's last start
    Duration next_delay{};           // 0: the first of the rule
    std::array<Instant, 64> starts{};      // the latest starts, a ring, for the start limit
    std::size_t starts_count = 0;
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
        exited,         // the main process was reaped
        group_empty,    // nothing of this life is left
        timer,          // `deadline` has come
        protocol_broken,  // the worker broke the protocol: its session is over
    };
    Kind kind{};
    Exit exit;
    double chance = 0.5;   // 0 to 1, for the jitter: randomness comes in as an argument
};

struct Action {
    enum class Kind : std::uint8_t {
        spawn,          // make the room and the process
        signal,         // `value` to the main process
        kill_all,       // cgroup.kill or the stub: SIGKILL to everything of this life
        set_timer,      // at life.deadline (never: disarm)
        announce,       // the state changed: log, audit, tell those who wait
        finish,         // the life is over: close its session, give back what it held
    };
    Kind kind{};
    int value = 0;
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

// Whether policy answers this exit with another start.
bool restarts_after(const Exit& exit, const Restart& rule);

}  // namespace warder::supervise
