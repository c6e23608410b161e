#include "daemon/syscall_monitors.h"

#include <csignal>
#include <utility>

#include "sys/poll_kind.h"
#include "sys/process.h"

namespace warder::daemon {

Result<void> SyscallMonitors::start(WorkerId id, Place& place) {
    if (place.syscall_monitor) return {};
    privileges_.become_root();
    place.syscall_monitor = TRY(sandbox::SyscallMonitor::spawn());
    ++place.generation;
    const auto tag = [&](PollKind watch) { return PollTag{static_cast<std::uint8_t>(watch), number(id), place.generation}; };
    TRY(poller_.watch(place.syscall_monitor->socket(), tag(PollKind::syscall_monitor)));
    return poller_.watch(place.syscall_monitor->pidfd(), tag(PollKind::syscall_monitor_exit));
}

// One that could not be watched, or does not take its orders, is ended: the next life gets another.
Result<Fd> SyscallMonitors::socket_for(WorkerId id, const seccomp::Program& filter) {
    Place& place = places_[number(id)];
    auto socket = start(id, place) ? place.syscall_monitor->adopt(filter) : Result<Fd>(failure(EAGAIN, "starting a syscall monitor"));
    if (!socket) {
        if (place.syscall_monitor) end(place);
        return socket;
    }
    place.lost = place.fatal_told = false;
    place.told = 0;
    return socket;
}

void SyscallMonitors::session_ended(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found != places_.end() && found->second.syscall_monitor) found->second.syscall_monitor->over();
}

void SyscallMonitors::dismiss(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return;
    if (found->second.syscall_monitor) end(found->second);
    places_.erase(found);
}

void SyscallMonitors::end(Place& place) {
    poller_.forget(place.syscall_monitor->socket());
    (void)send_signal(place.syscall_monitor->pidfd(), SIGKILL);
    leaving_.push_back(std::move(place.syscall_monitor));
    sweep();
}

void SyscallMonitors::sweep() {
    std::erase_if(leaving_, [&](const auto& syscall_monitor) {
        if (!syscall_monitor->ended()) return false;
        poller_.forget(syscall_monitor->pidfd());
        return true;
    });
}

void SyscallMonitors::stop() {
    for (auto& [id, place] : places_) {
        if (place.syscall_monitor) end(place);
    }
    places_.clear();
    for (const auto& syscall_monitor : leaving_) poller_.forget(syscall_monitor->pidfd());
    leaving_.clear();
}

// ---- News ----

void SyscallMonitors::handle(const PollEvent& event) {
    sweep();
    const auto found = places_.find(event.tag.id);
    if (found == places_.end()) return;
    Place& place = found->second;
    if (!place.syscall_monitor || event.tag.generation != (place.generation & 0xffffffU)) return;
    const WorkerId id{event.tag.id};
    if (event.tag.kind == static_cast<std::uint8_t>(PollKind::syscall_monitor_exit)) return lose(id, place);
    if (event.readable) hear(id, place);
    if (event.hung_up && place.syscall_monitor) poller_.forget(place.syscall_monitor->socket());   // its end is told by its pidfd
}

// One a turn: there are at most ten a second, and one more for each call that is new.
void SyscallMonitors::hear(WorkerId id, Place& place) {
    if (place.syscall_monitor->hear()) tell(id, place);
}

void SyscallMonitors::tell(WorkerId id, Place& place) {
    const sandbox::SeenCalls& seen = place.syscall_monitor->seen();
    while (place.told < seen.list.size()) listener_.call_denied(id, seen.list[place.told++]);
    if (!seen.killed || place.fatal_told) return;
    place.fatal_told = true;
    listener_.fatal_call(id);
}

void SyscallMonitors::lose(WorkerId id, Place& place) {
    for (int waiting = 0; waiting < 8 && place.syscall_monitor->hear(); ++waiting) tell(id, place);
    place.latest = place.syscall_monitor->seen();
    place.lost = true;
    end(place);
    listener_.syscall_monitor_lost(id);
}

const sandbox::SeenCalls* SyscallMonitors::seen(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end() || !found->second.syscall_monitor) return nullptr;
    Place& place = found->second;
    for (int waiting = 0; waiting < 128 && place.syscall_monitor->hear(); ++waiting) {
        // What is fatal need not be told any more: the life is over by now.
        place.fatal_told = place.fatal_told || place.syscall_monitor->seen().killed;
        tell(id, place);
    }
    return place.syscall_monitor->seen_now() ? &place.syscall_monitor->seen() : nullptr;
}

const sandbox::SeenCalls* SyscallMonitors::latest(WorkerId id) const {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return nullptr;
    return found->second.syscall_monitor ? &found->second.syscall_monitor->seen() : &found->second.latest;
}

bool SyscallMonitors::saw_now(WorkerId id) const {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return false;
    return found->second.syscall_monitor ? found->second.syscall_monitor->seen_now() : found->second.lost;
}

pid_t SyscallMonitors::pid_of(WorkerId id) const {
    const auto found = places_.find(number(id));
    return found != places_.end() && found->second.syscall_monitor ? found->second.syscall_monitor->pid() : -1;
}

bool SyscallMonitors::lost(WorkerId id) const {
    const auto found = places_.find(number(id));
    return found != places_.end() && found->second.lost;
}

}  // namespace warder::daemon
