#include "daemon/custodians.h"

#include <csignal>
#include <utility>

#include "broker/watch.h"
#include "daemon/log.h"
#include "sys/process.h"

namespace warder::daemon {
namespace {

// Several grants of this kind are one store.
std::uint32_t most_of(const std::vector<policy::Grant>& grants) {
    std::uint32_t most = 0;
    for (const auto& grant : grants) {
        if (grant.kind == policy::Kind::store) most += grant.most;
    }
    return most;
}

constexpr std::string_view taken_away = "grants that may have lent what it kept were taken away";

}  // namespace

void Custodians::admit(WorkerId id, const std::string& name, uid_t uid, gid_t gid, const std::vector<policy::Grant>& grants) {
    const std::uint32_t most = most_of(grants);
    if (most == 0) return dismiss(id);
    Place& place = places_[number(id)];
    const bool another_user = place.custodian && (place.uid != uid || place.gid != gid);
    place.name = name;
    if (another_user) renew(place, "its worker is another user now");
    place.uid = uid;
    place.gid = gid;
    if (place.custodian && place.store.most != most) place.custodian->limit(most);
    place.store.most = most;
    if (const auto started = start(id, place); !started) log_error(name + ": its custodian: " + describe(started.error()));
}

Result<void> Custodians::start(WorkerId id, Place& place) {
    if (place.custodian) return {};
    place.custodian = TRY(opener::Custodian::spawn(privileges_, place.uid, place.gid, place.store.most));
    ++place.generation;
    const auto tag = [&](broker::Watch watch) { return PollTag{static_cast<std::uint8_t>(watch), number(id), place.generation}; };
    TRY(poller_.watch(place.custodian->socket(), tag(broker::Watch::custodian)));
    return poller_.watch(place.custodian->pidfd(), tag(broker::Watch::custodian_exit));
}

void Custodians::dismiss(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return;
    if (found->second.custodian) end(found->second);
    places_.erase(found);
}

void Custodians::empty(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return;
    found->second.spent = true;
    if (!found->second.reached) renew(found->second, taken_away);
}

// Another custodian, with nothing, is started for the next life.
void Custodians::renew(Place& place, std::string_view why) {
    place.spent = false;
    if (!place.custodian) return;
    FixedString<160> text("its store is emptied, since ");
    text.append(why).append("; descriptors: ").append_number(place.store.kept.total);
    log_info(place.name + ": " + std::string(text.view()));
    record(place, audit::Record::Kind::state, text.view());
    end(place);
    place.store.kept = {};
    place.reached = false;
}

// One that hangs in what it closes is held until it has ended, so that it is reaped; its pidfd stays watched.
void Custodians::end(Place& place) {
    poller_.forget(place.custodian->socket());
    (void)send_signal(place.custodian->pidfd(), SIGKILL);
    leaving_.push_back(std::move(place.custodian));
    sweep();
}

void Custodians::sweep() {
    std::erase_if(leaving_, [&](const auto& custodian) {
        if (!custodian->ended()) return false;
        poller_.forget(custodian->pidfd());
        return true;
    });
}

void Custodians::stop() {
    for (auto& [id, place] : places_) {
        if (place.custodian) end(place);
    }
    places_.clear();
    for (const auto& custodian : leaving_) poller_.forget(custodian->pidfd());
    leaving_.clear();
}

// ---- Lives ----

Fd Custodians::socket_for(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return {};
    Place& place = found->second;
    place.reached = false;
    if (const auto started = start(id, place); !started) {
        log_error(place.name + ": its custodian: " + describe(started.error()));
        return {};
    }
    auto end = place.custodian->adopt();
    if (!end) {
        log_error(place.name + ": no store in this life: " + describe(end.error()));
        return {};
    }
    place.reached = true;
    return std::move(*end);
}

void Custodians::session_begins(WorkerId id, Credentials who) {
    const auto found = places_.find(number(id));
    if (found == places_.end() || !found->second.reached || !found->second.custodian) return;
    if (const auto begun = found->second.custodian->begins(who); !begun) {
        log_error(found->second.name + ": no store in this life: " + describe(begun.error()));
    }
}

void Custodians::session_ended(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end() || !found->second.custodian) return;
    found->second.reached = false;
    found->second.custodian->over();
    if (found->second.spent) renew(found->second, taken_away);
}

// ---- News ----

void Custodians::handle(const PollEvent& event) {
    sweep();
    const auto found = places_.find(event.tag.id);
    if (found == places_.end()) return;
    Place& place = found->second;
    if (!place.custodian || event.tag.generation != (place.generation & 0xffffffU)) return;
    const WorkerId id{event.tag.id};
    if (event.tag.kind == static_cast<std::uint8_t>(broker::Watch::custodian_exit)) return lose(place);
    if (event.readable) return hear(id, place);
    poller_.forget(place.custodian->socket());   // closed: its end is told by its pidfd
}

void Custodians::hear(WorkerId id, Place& place) {
    const auto news = place.custodian->hear();
    if (news == opener::Custodian::News::nothing) {
        // Nothing, though it is readable: it is closed.
        return poller_.forget(place.custodian->socket());
    }
    if (news == opener::Custodian::News::changed) place.store.kept = place.custodian->kept();
    if (news != opener::Custodian::News::violated || !place.reached || !place.custodian->violated_now()) return;
    const char* const how = place.custodian->violation();
    record(place, audit::Record::Kind::violation, how);
    listener_.broke_protocol(id, how);
}

// The worker keeps its life; its socket is dead, and its next life finds an empty store.
void Custodians::lose(Place& place) {
    FixedString<128> text("its custodian ended: what it kept is lost, descriptors: ");
    text.append_number(place.store.kept.total);
    log_error(place.name + ": " + std::string(text.view()));
    record(place, audit::Record::Kind::state, text.view());
    end(place);
    place.store.kept = {};
    place.reached = false;
}

void Custodians::record(const Place& place, audit::Record::Kind kind, std::string_view text) {
    audit::Record record;
    record.kind = kind;
    if (kind == audit::Record::Kind::violation) {
        record.reason = Reason::protocol;
        record.error = EPROTO;
    }
    record.wall_clock = wall_clock_now();
    record.uid = place.uid;
    record.worker.append(place.name);
    record.text.append(text);
    audit_.tell(record, audit_.account_of(place.name), monotonic_now());
}

const Custodians::Store* Custodians::store_of(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return nullptr;
    found->second.store.pid = found->second.custodian ? found->second.custodian->pid() : -1;
    return &found->second.store;
}

}  // namespace warder::daemon
