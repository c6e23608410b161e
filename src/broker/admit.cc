// The broker's slower half: knowing workers, holding what their grants name, keeping listeners over lives and reloads. Runs
// at load, at reload and between lives, never between receive and send.
#include <sys/socket.h>

#include <algorithm>
#include <tuple>

#include "broker/broker.h"
#include "sys/path_walk.h"

namespace warder::broker {
namespace {

bool same_listener(const policy::Grant& a, const policy::Grant& b) {
    return a.kind == policy::Kind::listener && b.kind == policy::Kind::listener &&
           policy::format(a.address) == policy::format(b.address) && a.backlog == b.backlog && a.as == b.as &&
           a.mode == b.mode && a.reuse_port == b.reuse_port && a.v6_only == b.v6_only;
}

// But for where it stands in the files.
bool same_grant(const policy::Grant& a, policy::Grant b) {
    b.origin = a.origin;
    return a == b;
}

// A listener that stays the same is carried over, so that a reload refuses nobody.
bool carry_over(Principal& before, const policy::Grant& grant, Held& held) {
    for (const auto& old : before.settings.grants.all()) {
        const auto index = static_cast<std::size_t>(&old - before.settings.grants.all().data());
        if (!same_listener(old, grant) || !before.held[index].listener) continue;
        held.listener = std::move(before.held[index].listener);
        held.bound = std::exchange(before.held[index].bound, {});
        held.untouched = std::move(before.held[index].untouched);
        held.touched = before.held[index].touched;
        held.shown = before.held[index].shown;   // an autobound name is the kernel's, and stays
        return true;
    }
    return false;
}

// Whether a worker has reason to look again at what it may have.
bool differ(const PrincipalSettings& before, const PrincipalSettings& after) {
    const auto limits = [](const PrincipalSettings& of) { return std::tuple(of.max_pending_requests, of.max_request_rate, of.max_in_flight); };
    return limits(before) != limits(after) ||
           !std::ranges::equal(before.grants.all(), after.grants.all(), [](const auto& a, const auto& b) { return same_grant(a, b); });
}

}  // namespace

std::vector<Trouble> Broker::admit(PrincipalSettings settings, Instant now) {
    auto& place = principals_[number(settings.id)];
    if (place == nullptr) place = std::make_unique<Principal>();
    Principal& principal = *place;
    if (principal.account == audit::own_account) principal.account = audit_.open(settings.name);
    finish_wide(settings.id, now);
    if (principals_.size() > 1 && deferred_batch_ == nullptr) deferred_batch_ = std::make_unique<Batch>();
    paused_.reserve(principals_.size());
    postponed_.reserve(principals_.size());
    std::vector<Trouble> troubles;
    std::vector<Held> held;
    const auto trouble = [&](const policy::Grant& grant, const Result<void>& result) {
        if (!result) troubles.push_back({settings.name, grant.name, result.error()});
    };
    const std::string mountinfo = mount_table();
    for (const auto& grant : settings.grants.all()) {
        trouble(grant, make_owned(grant, privileges_, settings.identity, mountinfo));
        held.push_back(hold(grant, privileges_, settings.identity, mountinfo));
        held.back().checked = now;
        if (grant.kind == policy::Kind::listener) carry_over(principal, grant, held.back());
    }
    for (auto& old : principal.held) let_go(old);
    for (std::size_t i = 0; i < held.size(); ++i) {
        const auto& grant = settings.grants.all()[i];
        if (grant.kind != policy::Kind::listener || held[i].listener) continue;
        trouble(grant, open_listener(held[i], grant, privileges_, settings.identity));
    }
    withdraw_what_changed(principal, settings.grants, now);
    std::vector<std::string> revoked;
    const bool changed = principal.session && differ(principal.settings, settings);
    if (principal.session) {
        for (const auto& old : principal.settings.grants.all()) {
            if (!settings.grants.named(old.name)) revoked.push_back(old.name);
        }
        Session& session = *principal.session;
        if (settings.max_request_rate != principal.settings.max_request_rate) session.requests = Rate(settings.max_request_rate);
        session.allowances = session.allowances.carried_over(principal.settings.grants, settings.grants);
        narrow_again(session, settings.grants);
        const auto& before = principal.settings.grants;
        principal.session->lent.renumber([&](GrantId id) {
            return settings.grants.named(before.at(id).name).value_or(GrantId::none);
        });
    }
    principal.settings = std::move(settings);
    principal.held = std::move(held);
    privileges_.become_root();
    rotations_.forget(principal.settings.id);
    for (const GrantId id : principal.settings.grants.of_kind(policy::Kind::secret)) watch_rotation(principal, id);
    for (const auto& name : revoked) (void)send_event(principal.settings.id, protocol::Type::revoked, {name, 0, 0});
    if (changed) (void)send_event(principal.settings.id, protocol::Type::reload, {});
    return troubles;
}

std::vector<Trouble> Broker::bind_again() {
    std::vector<Trouble> troubles;
    const std::string mountinfo = mount_table();
    for (const auto& [id, principal] : principals_) {
        for (std::size_t i = 0; i < principal->held.size(); ++i) {
            const auto& grant = principal->settings.grants.all()[i];
            Held& held = principal->held[i];
            if (grant.kind != policy::Kind::listener || !held.bound.directory) continue;
            Held fresh = hold(grant, privileges_, principal->settings.identity, mountinfo);
            const auto where = identify(held.bound.directory.get());
            const bool moved = fresh.directory && where && fresh.identity != *where;
            if (has_its_path(held) && !moved) continue;
            const auto opened = open_again(*principal, grant, held, std::move(fresh));
            troubles.push_back({principal->settings.name, grant.name, opened ? Error{} : opened.error()});
        }
    }
    privileges_.become_root();
    return troubles;
}

// Where its name leads by now; the former one is let go.
Result<void> Broker::open_again(const Principal& principal, const policy::Grant& grant, Held& held, Held fresh) {
    let_go(held);
    fresh.lent = held.lent;
    held = std::move(fresh);
    const auto opened = open_listener(held, grant, privileges_, principal.settings.identity);
    record_hold(principal, grant, opened ? "the path of its listener was gone: bound again" : "the path of its listener was gone, and could not be bound again");
    return opened;
}

// What waits to be done elsewhere was allowed by the grants as they were. While they still stand, so that what fails is told by them.
void Broker::withdraw_what_changed(Principal& principal, const policy::GrantSet& next, Instant now) {
    if (!principal.session) return;
    const auto& before = principal.settings.grants;
    dependencies_.openers.withdraw(principal.settings.id, [&](std::string_view name) {
        const auto old_id = before.named(name);
        const auto new_id = next.named(name);
        return old_id && new_id && same_grant(before.at(*old_id), next.at(*new_id));
    }, now);
}

void Broker::dismiss(WorkerId worker) {
    end_session(worker);
    Principal* principal = find(worker);
    if (principal == nullptr) return;
    for (auto& held : principal->held) let_go(held);
    rotations_.forget(worker);
    audit_.close(principal->account);
    principals_.erase(number(worker));
    privileges_.become_root();
}

// What lies in a unix listener's queue came from whoever could connect, and closing it may wait for them. The name of an abstract
// one is free a moment later.
void Broker::let_go(Held& held) {
    int domain = 0;
    socklen_t size = sizeof domain;
    const bool is_unix = ::getsockopt(held.listener.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
    if (is_unix) dependencies_.openers.dispose(std::move(held.listener));
    close_listener(held, privileges_);
}

void Broker::end_session(WorkerId worker) {
    Principal* principal = find(worker);
    if (principal == nullptr) return;
    dependencies_.runner.session_ended(worker);
    abandon_wide(worker);
    if (principal->session) {
        poller_.forget(principal->session->channel->get());
        principal->session.reset();
    }
    renew_listeners(*principal);
}

// Its holder had it in its hands, and it is one socket for us both. Looked at when the run is over, so that a closed port is open again
// at once, and before the next begins, because children of the former one may have lived on until then.
void Broker::renew_listeners(Principal& principal) {
    for (std::size_t i = 0; i < principal.held.size(); ++i) {
        const auto& grant = principal.settings.grants.all()[i];
        Held& held = principal.held[i];
        if (grant.kind != policy::Kind::listener || !held.listener) continue;
        if (!has_its_path(held)) {
            (void)open_again(principal, grant, held, hold(grant, privileges_, principal.settings.identity, mount_table()));
            continue;
        }
        if (!held.touched) continue;
        const auto hidden = principal.settings.sets_hidden_options ? HiddenOptions::possible : HiddenOptions::none;
        const Renewal renewal = renew(held, grant, privileges_, principal.settings.identity, hidden);
        if (renewal.outcome == Renewal::Outcome::as_new) continue;
        const std::string what = "its listener was changed by its holder (" + renewal.differences + "): ";
        if (renewal.outcome == Renewal::Outcome::put_back) {
            record_hold(principal, grant, what + "put back");
            continue;
        }
        let_go(held);
        const auto opened = open_listener(held, grant, privileges_, principal.settings.identity);
        record_hold(principal, grant, what + (opened ? "made again" : "could not be made again"));
    }
    privileges_.become_root();
}

Result<void> Broker::send_event(WorkerId worker, protocol::Type type, const protocol::Event& event, int fd) {
    const Principal* principal = find(worker);
    if (principal == nullptr || !principal->session) return failure(ENOTCONN, "sending an event");
    const Bytes message = TRY(protocol::encode_event(outgoing_, type, event));
    const auto fds = fd >= 0 ? std::span(&fd, 1) : std::span<const int>();
    return principal->session->channel->send(message, fds);
}

}  // namespace warder::broker
