// Attention: who speaks, and how much of the loop's time each session may have of it. Nobody's requests may make anybody else
// wait: beside somebody who waits for its answers, a session that does not gets a sixteenth of the time, and pauses when it took
// more. Among its like, which take turns, it gets an equal part, and alone all.
#pragma once

#include <algorithm>

#include "base/ids.h"
#include "base/time.h"

namespace warder::broker {

// Remembers the last to speak, and the last before it who was somebody else.
class Attention {
public:
    static constexpr Duration memory = std::chrono::seconds(1);

    void hear(WorkerId worker, Instant now) {
        if (worker != latest_.worker) before_ = latest_;
        latest_ = {worker, now};
    }

    // Whether somebody else than `worker` has spoken lately.
    bool others_speak(WorkerId worker, Instant now) const {
        const Heard& other = latest_.worker == worker ? before_ : latest_;
        return other.at != Instant::never() && other.at + memory > now;
    }

private:
    struct Heard {
        WorkerId worker{};
        Instant at = Instant::never();
    };
    Heard latest_;
    Heard before_;
};

// One session's part: what it was served is paid for with fifteen times as much waiting.
class Share {
public:
    // What may be owed before a pause: short pauses cost more than they give.
    static constexpr Duration tolerance = std::chrono::microseconds(40);
    static constexpr int whole = 16;   // of which it has one
    // Asks that are not looked at after one was found to wait for its answers: looking is a system call.
    static constexpr unsigned trusted_batches = 16;

    // It was served from `began` to `ended`. Returns until when it must pause; `ended` or earlier: it need not.
    Instant charge(Instant began, Instant ended) {
        if (trusted_ > 0) {
            --trusted_;
            return ended;
        }
        paid_ = std::max(paid_, began) + whole * (ended - began);
        return paid_ - ended > tolerance ? paid_ : ended;
    }
    // Nobody had to wait for it after all.
    void forgive() { paid_ = Instant{}; }
    // Nor will anybody: it was seen to wait for its answers.
    void trust() {
        forgive();
        trusted_ = trusted_batches;
    }

private:
    Instant paid_{};         // when all that it was served is paid for
    unsigned trusted_ = 0;   // asks from now
};

// Whether it is worth looking for the next ask where the last one came from, before the kernel is asked who speaks. A worker on
// the same CPU has often asked again before we have gone on, and then the look saves a system call; in vain it is one more.
class BusyPoll {
public:
    // For so long others are not looked for: what they ask waits no longer than for a few asks.
    static constexpr Duration reach = std::chrono::microseconds(100);
    static constexpr unsigned longest_rest = 64;   // asks without a guess, after several in vain

    void looked_around(Instant now) { looked_around_ = now; }
    void was_right() { rest_ = 1; }
    void was_in_vain() {
        resting_ = rest_;
        rest_ = std::min(2 * rest_, longest_rest);
    }

    // After an ask that was heard at `now`.
    bool is_worth_it(Instant now) {
        if (resting_ > 0) {
            --resting_;
            return false;
        }
        return now - looked_around_ < reach;
    }

private:
    Instant looked_around_{};
    unsigned resting_ = 0;
    unsigned rest_ = 1;
};

}  // namespace warder::broker
