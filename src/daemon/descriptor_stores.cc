#include "daemon/descriptor_stores.h"

#include <csignal>
#include <utility>

#include "daemon/log.h"
#include "sys/poll_kind.h"
#include "sys/process.h"

namespace warder::daemon {
namespace {

// Several grants of this kind are one store.
std::uint32_t max_of(const std::vector<policy::Grant>& grants) {
    std::uint32_t most = 0;
    for (const auto& grant : grants) {
        if (grant.kind == policy::Kind::store) most += grant.most;
    }
    return most;
}

constexpr std::string_view taken_away = "grants that may have lent what it kept were taken away";

}  // namespace

void DescriptorStores::admit(WorkerId id, const std::string& name, uid_t uid, gid_t gid, const std::vector<policy::Grant>& grants) {
    const std::uint32_t most = max_of(grants);
    if (most == 0) return dismiss(id);
    Place& place = places_[number(id)];
    const bool another_user = place.descriptor_store && (place.uid != uid || place.gid != gid);
    place.name = name;
    if (another_user) renew(place, "its worker is another user now");
    place.uid = uid;
    place.gid = gid;
    if (place.descriptor_store && place.store.most != most) place.descriptor_store->limit(most);
    place.store.most = most;
    if (const auto started = start(id, place); !started) log_error(name + ": its descriptor store: " + describe(started.error()));
}

Result<void> DescriptorStores::start(WorkerId id, Place& place) {
    if (place.descriptor_store) return {};
    place.descriptor_store = TRY(opener::DescriptorStore::spawn(privileges_, place.uid, place.gid, place.store.most));
    ++place.generation;
    const auto tag = [&](PollKind watch) { return PollTag{static_cast<std::uint8_t>(watch), number(id), place.generation}; };
    TRY(poller_.watch(place.descriptor_store->socket(), tag(PollKind::descriptor_store)));
    return poller_.watch(place.descriptor_store->pidfd(), tag(PollKind::descriptor_store_exit));
}

void DescriptorStores::dismiss(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return;
    if (found->second.descriptor_store) end(found->second);
    places_.erase(found);
}

void DescriptorStores::empty(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return;
    found->second.spent = true;
    if (!found->second.reached) renew(found->second, taken_away);
}

// Another descriptor store, with nothing, is started for the next life.
void DescriptorStores::renew(Place& place, std::string_view why) {
    place.spent = false;
    if (!place.descriptor_store) return;
    FixedString<160> text("its store is emptied, since ");
    text.append(why).append("; descriptors: ").append_number(place.store.kept.total);
    log_info(place.name + ": " + std::string(text.view()));
    record(place, audit::Record::Kind::state, text.view());
    end(place);
    place.store.kept = {};
    place.reached = false;
}

// One that hangs in what it closes is held until it has ended, so that it is reaped; its pidfd stays watched.
void DescriptorStores::end(Place& place) {
    poller_.forget(place.descriptor_store->socket());
    (void)send_signal(place.descriptor_store->pidfd(), SIGKILL);
    leaving_.push_back(std::move(place.descriptor_store));
    sweep();
}

void DescriptorStores::sweep() {
    std::erase_if(leaving_, [&](const auto& descriptor_store) {
        if (!descriptor_store->ended()) return false;
        poller_.forget(descriptor_store->pidfd());
        return true;
    });
}

void DescriptorStores::stop() {
    for (auto& [id, place] : places_) {
        if (place.descriptor_store) end(place);
    }
    places_.clear();
    for (const auto& descriptor_store : leaving_) poller_.forget(descriptor_store->pidfd());
    leaving_.clear();
}

// ---- Lives ----

Fd DescriptorStores::socket_for(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return {};
    Place& place = found->second;
    place.reached = false;
    if (const auto started = start(id, place); !started) {
        log_error(place.name + ": its descriptor store: " + describe(started.error()));
        return {};
    }
    auto end = place.descriptor_store->adopt();
    if (!end) {
        log_error(place.name + ": no store in this life: " + describe(end.error()));
        return {};
    }
    place.reached = true;
    return std::move(*end);
}

void DescriptorStores::session_begins(WorkerId id, Credentials who) {
    const auto found = places_.find(number(id));
    if (found == places_.end() || !found->second.reached || !found->second.descriptor_store) return;
    if (const auto begun = found->second.descriptor_store->begins(who); !begun) {
        log_error(found->second.name + ": no store in this life: " + describe(begun.error()));
    }
}

void DescriptorStores::session_ended(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end() || !found->second.descriptor_store) return;
    found->second.reached = false;
    found->second.descriptor_store->over();
    if (found->second.spent) renew(found->second, taken_away);
}

// ---- News ----

void DescriptorStores::handle(const PollEvent& event) {
    sweep();
    const auto found = places_.find(event.tag.id);
    if (found == places_.end()) return;
    Place& place = found->second;
    if (!place.descriptor_store || event.tag.generation != (place.generation & 0xffffffU)) return;
    const WorkerId id{event.tag.id};
    if (event.tag.kind == static_cast<std::uint8_t>(PollKind::descriptor_store_exit)) return lose(place);
    if (event.readable) return hear(id, place);
    poller_.forget(place.descriptor_store->socket());   // closed: its end is told by its pidfd
}

void DescriptorStores::hear(WorkerId id, Place& place) {
    const auto news = place.descriptor_store->hear();
    if (news == opener::DescriptorStore::News::nothing) {
        // Nothing, though it is readable: it is closed.
        return poller_.forget(place.descriptor_store->socket());
    }
    if (news == opener::DescriptorStore::News::changed) place.store.kept = place.descriptor_store->kept();
    if (news != opener::DescriptorStore::News::violated || !place.reached || !place.descriptor_store->violated_now()) return;
    const char* const how = place.descriptor_store->violation();
    record(place, audit::Record::Kind::violation, how);
    listener_.broke_protocol(id, how);
}

// The worker keeps its life; its socket is dead, and its next life finds an empty store.
void DescriptorStores::lose(Place& place) {
    FixedString<128> text("its descriptor store ended: what it kept is lost, descriptors: ");
    text.append_number(place.store.kept.total);
    log_error(place.name + ": " + std::string(text.view()));
    record(place, audit::Record::Kind::state, text.view());
    end(place);
    place.store.kept = {};
    place.reached = false;
}

void DescriptorStores::record(const Place& place, audit::Record::Kind kind, std::string_view text) {
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

const DescriptorStores::Store* DescriptorStores::store_of(WorkerId id) {
    const auto found = places_.find(number(id));
    if (found == places_.end()) return nullptr;
    found->second.store.pid = found->second.descriptor_store ? found->second.descriptor_store->pid() : -1;
    return &found->second.store;
}

}  // namespace warder::daemon
