// The syscall monitors of all workers with evidence = "full": started with the first life that wants one, handed each life's filter, ended when
// the worker is dismissed. When one dies, what its worker is denied answers ENOSYS from then on, and the next life gets another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "sandbox/syscall_monitor.h"
#include "sys/poller.h"
#include "sys/privileges.h"

namespace warder::daemon {

// What a syscall monitor saw, as it comes. Called from inside SyscallMonitors::handle and seen(): must not admit or dismiss anybody.
class SyscallMonitorListener {
public:
    virtual ~SyscallMonitorListener() = default;
    // A call that was not denied in this life before.
    virtual void call_denied(WorkerId worker, const sandbox::SeenCall& call) = 0;
    // One that the filter ends the worker for: it waits until that is done.
    virtual void fatal_call(WorkerId worker) = 0;
    virtual void syscall_monitor_lost(WorkerId worker) = 0;
};

class SyscallMonitors {
public:
    SyscallMonitors(Poller& poller, Privileges& privileges, SyscallMonitorListener& listener)
        : poller_(poller), privileges_(privileges), listener_(listener) {}
    ~SyscallMonitors() { stop(); }
    SyscallMonitors(const SyscallMonitors&) = delete;
    SyscallMonitors& operator=(const SyscallMonitors&) = delete;

    // What the child of the life that is about to begin is given. Errors: clone(2), socketpair(2), poller.
    Result<Fd> socket_for(WorkerId id, const seccomp::Program& filter);
    void session_ended(WorkerId id);
    void dismiss(WorkerId id);

    // Events of PollKind::syscall_monitor and syscall_monitor_exit.
    void handle(const PollEvent& event);

    // Ends them all.
    void stop();

    // What was seen in the present life, with what lies in its socket by now; null: nothing, or there is no syscall monitor.
    const sandbox::SeenCalls* seen(WorkerId id);
    // What was seen in the latest life in which anything was, and whether that is the present one; null: never.
    const sandbox::SeenCalls* latest(WorkerId id) const;
    bool saw_now(WorkerId id) const;
    pid_t pid_of(WorkerId id) const;
    // Whether the present life has lost its syscall monitor.
    bool lost(WorkerId id) const;

private:
    struct Place {
        std::uint32_t generation = 0;
        bool lost = false;
        bool fatal_told = false;      // of the present life
        std::size_t told = 0;         // calls of the present life that the listener has heard of
        sandbox::SeenCalls latest;    // of a syscall monitor that is no more
        std::unique_ptr<sandbox::SyscallMonitor> syscall_monitor;
    };

    Result<void> start(WorkerId id, Place& place);
    void end(Place& place);
    void hear(WorkerId id, Place& place);
    void tell(WorkerId id, Place& place);
    void lose(WorkerId id, Place& place);
    void sweep();

    Poller& poller_;
    Privileges& privileges_;
    SyscallMonitorListener& listener_;
    std::map<std::uint32_t, Place> places_;
    std::vector<std::unique_ptr<sandbox::SyscallMonitor>> leaving_;   // killed, and not reaped yet
};

}  // namespace warder::daemon
