// What the daemon is told about lives, as they happen. Called from inside Worker::feed: a call may feed events to any
// worker (they are done after the present one), but must not add or change workers; Roster::remove() is allowed.
#pragma once

#include <string_view>

#include "sandbox/seen_call.h"
#include "supervise/lifecycle.h"
#include "sys/channel.h"
#include "sys/seccomp.h"

namespace warder::supervise {

class Worker;

class Observer {
public:
    virtual ~Observer() = default;

    // A program of this worker is about to be forked. Returns its end of the socket to its descriptor store, which becomes its
    // $WARDER_STORE; empty: it has no store. It is closed here before session_begins() is called.
    virtual Fd store_socket(Worker&) { return {}; }

    // A program of this worker is about to be forked whose filter tells a syscall monitor what it denies. Returns the socket on which its child
    // sends the listener; `filter` is what the syscall monitor answers by. Errors: there is no syscall monitor, so it is not started.
    virtual Result<Fd> syscall_monitor_socket(Worker&, const seccomp::Program& filter) {
        (void)filter;
        return failure(ENOSYS, "having a syscall monitor");
    }
    // What was denied to it in the present life, as far as its syscall monitor has said by now; null: nothing, or it has none.
    virtual const sandbox::SeenCalls* seen_calls(Worker&) { return nullptr; }

    // A program of this worker was forked and holds the other end of `ours`. Nothing was received from it yet, and SO_PASSCRED
    // was on before the fork. `who` is what SCM_CREDENTIALS will say: the pid as we see it, and the sandbox's ids. The channel
    // stays the worker's, and is good until session_ends() returns.
    virtual void session_begins(Worker& worker, Channel& ours, Credentials who) = 0;

    // The main process is reaped: its pid may soon be another's, so nothing more may be read from or sent to this session.
    // The channel is closed after this returns: take it out of the poller here.
    virtual void session_ends(Worker& worker) = 0;

    // `why` is a sentence without a full stop, for logs and the audit.
    virtual void state_changed(Worker& worker, State from, State to, std::string_view why) = 0;

    // STATUS= of sd_notify: the worker's own words, at most 256 bytes, control characters replaced.
    virtual void status_text(Worker& worker, std::string_view text) = 0;

    // Another process of the worker's said READY=1 (sd_notify), which is not taken from it; once in a life.
    virtual void ready_unheard(Worker&, pid_t from) { (void)from; }

    // The worker was removed from the roster and is about to be destroyed.
    virtual void removed(Worker&) {}
};

}  // namespace warder::supervise
