#include "daemon/witnesses.h"

#include <csignal>
#include <utility>

#include "broker/watch.h"
#include "sys/process.h"

namespace warder::daemon {

Result<void> Witnesses::start(WorkerId id, Place& place) {
    if (place.witness) return {};
    privileges_.become_root();
    place.witness = TRY(sandbox::Witness::spawn());
    ++place.generation;
    const auto tag = [&](broker::Watch watch) { return PollTag{static_cast<std::uint8_t>(watch), number(id), place.generation}; };
    TRY(poller_.watch(place.witness->socket(), tag(broker::Watch::witness)));
    return poller_.watch(place.witness->pidfd(), tag(broker::Watch::witness_exit));
}

// One that could not be watched, or does not take its orders, is ended: the next life gets another.
Result<Fd> Witnesses::socket_for(WorkerId id, const seccomp::Program& filter) {
    Place& place = places_[number(id)];
    auto socket = start(id, place) ? place.witness->adopt(filter) : Result<Fd>(failure(EAGAIN, "starting a witness"));
    if (!socket) {
        if (place.witness) end(place);
        return socket;
    }
    place.lost = place.fatal_told = false;
    place.told = 0;
    return socket;
}

void Witnesses::session_ended(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found != places_.end() && found->second.witness) found->second.witness->over();
}

void Witnesses::dismiss(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return;
    if (found->second.witness) end(found->second);
    places_.erase(found);
}

void Witnesses::end(Place& place) {
    poller_.forget(place.witness->socket());
    (void)send_signal(place.witness->pidfd(), SIGKILL);
    leaving_.push_back(std::move(place.witness));
    sweep();
}

void Witnesses::sweep() {
    std::erase_if(leaving_, [&](const auto& witness) {
        if (!witness->ended()) return false;
        poller_.forget(witness->pidfd());
        return true;
    });
}

void Witnesses::stop() {
    for (auto& [id, place] : places_) {
        if (place.witness) end(place);
    }
    places_.clear();
    for (const auto& witness : leaving_) poller_.forget(witness->pidfd());
    leaving_.clear();
}

// ---- News ----

void Witnesses::handle(const PollEvent& event) {
    sweep();
    const auto found = places_.find(event.tag.id);
    if (found == places_.end()) return;
    Place& place = found->second;
    if (!place.witness || event.tag.generation != (place.generation & 0xffffffU)) return;
    const WorkerId id{event.tag.id};
    if (event.tag.kind == static_cast<std::uint8_t>(broker::Watch::witness_exit)) return lose(id, place);
    if (event.readable) hear(id, place);
    if (event.hung_up && place.witness) poller_.forget(place.witness->socket());   // its end is told by its pidfd
}

// One a turn: there are at most ten a second, and one more for each call that is new.
void Witnesses::hear(WorkerId id, Place& place) {
    if (place.witness->hear()) tell(id, place);
}

void Witnesses::tell(WorkerId id, Place& place) {
    const sandbox::SeenCalls& seen = place.witness->seen();
    while (place.told < seen.list.size()) listener_.call_denied(id, seen.list[place.told++]);
    if (!seen.killed || place.fatal_told) return;
    place.fatal_told = true;
    listener_.fatal_call(id);
}

void Witnesses::lose(WorkerId id, Place& place) {
    for (int waiting = 0; waiting < 8 && place.witness->hear(); ++waiting) tell(id, place);
    place.latest = place.witness->seen();
    place.lost = true;
    end(place);
    listener_.witness_lost(id);
}

const sandbox::SeenCalls* Witnesses::seen(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end() || !found->second.witness) return nullptr;
    Place& place = found->second;
    for (int waiting = 0; waiting < 128 && place.witness->hear(); ++waiting) {
        // What is fatal need not be told any more: the life is over by now.
        place.fatal_told = place.fatal_told || place.witness->seen().killed;
        tell(id, place);
    }
    return place.witness->seen_now() ? &place.witness->seen() : nullptr;
}

const sandbox::SeenCalls* Witnesses::latest(WorkerId id) const {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return nullptr;
    return found->second.witness ? &found->second.witness->seen() : &found->second.latest;
}

bool Witnesses::saw_now(WorkerId id) const {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return false;
    return found->second.witness ? found->second.witness->seen_now() : found->second.lost;
}

pid_t Witnesses::pid_of(WorkerId id) const {
    const auto found = places_.find(number(id));
    return found != places_.end() && found->second.witness ? found->second.witness->pid() : -1;
}

bool Witnesses::lost(WorkerId id) const {
    const auto found = places_.find(number(id));
    return found != places_.end() && found->second.lost;
}

}  // namespace warder::daemon
