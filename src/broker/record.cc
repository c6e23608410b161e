// What became of requests: how an outcome is put, what is remembered of it, and the audit.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "broker/broker.h"
#include "broker/request_of.h"

namespace warder::broker {

void Broker::settle(Answering& one, Reason reason, int error, std::string_view text) {
    one.settled = true;
    one.borrowed = -1;
    one.performed.fd.reset();
    one.performed.reason = reason;
    one.performed.error = error;
    one.text = text;
}

protocol::Outcome Broker::outcome_of(const Answering& one) const {
    protocol::Outcome outcome;
    outcome.error = one.performed.error;
    outcome.reason = one.performed.reason;
    outcome.grant = one.decision.grant;
    outcome.text = one.performed.reason == Reason::ok ? one.performed.data : one.text;
    outcome.value = one.performed.value;
    outcome.fds = one.borrowed >= 0 || one.performed.fd ? 1 : 0;
    return outcome;
}

void Broker::record_all(Principal& principal, Credentials sender, Instant now) {
    conclude(principal, sender, 0, batch_->count, now);
}

// Our copies of what was lent. Opened one after the other they mostly have numbers in a row, and a row is one call.
void Broker::close_lent(std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last;) {
        const int from = batch_->work[i++].performed.fd.release();
        if (from < 0) continue;
        int to = from;
        while (i < last && batch_->work[i].performed.fd.get() == to + 1) to = batch_->work[i++].performed.fd.release();
        if (to == from) {
            ::close(from);
        } else {
            ::close_range(static_cast<unsigned>(from), static_cast<unsigned>(to), 0);
        }
    }
}

// By now a worker may have closed its copies and unlinked the files, and who closes a file last waits for its blocks to be freed.
// Only large ones are looked at: a look at each would cost a tenth of opening it in a wide ask.
void Broker::dispose_of_unlinked(std::size_t first, std::size_t last) {
    for (auto& one : std::span(batch_->work).subspan(first, last - first)) {
        if (!one.performed.large || !one.performed.fd) continue;
        struct stat about;
        if (::fstat(one.performed.fd.get(), &about) == 0 && about.st_nlink == 0) dependencies_.openers.dispose(std::move(one.performed.fd));
    }
}

// The last that is done with requests: our copy of what was lent is closed, and what became of them is remembered.
void Broker::conclude(Principal& principal, Credentials sender, std::size_t first, std::size_t last, Instant now) {
    const std::int64_t wall = wall_clock_now();
    dispose_of_unlinked(first, last);
    close_lent(first, last);
    for (auto& one : std::span(batch_->work).subspan(first, last - first)) {
        record_request(principal, sender, one, wall, now);
        const bool allowed = one.performed.reason == Reason::ok;
        ++(allowed ? principal.allowed : failed_beyond_policy(one.performed.reason) ? principal.failed : principal.denied);
        if (!allowed && one.taken != 0) principal.session->allowances.give_back(one.decision.grant, one.taken);
        if (!allowed || one.decision.grant == GrantId::none) continue;
        ++principal.held[number(one.decision.grant)].lent;
        if (one.performed.inode != 0) {
            principal.session->lent.note({one.decision.grant, one.request.operation, one.performed.device,
                                          one.performed.inode, now, wall});
        }
    }
}

void Broker::record_request(const Principal& principal, Credentials sender, const Answering& one, std::int64_t wall, Instant now) {
    const bool refused = one.performed.reason != Reason::ok;
    audit::Record* record = refused ? audit_.push_refused(principal.account, 1, now) : audit_.push(principal.account, now);
    if (record == nullptr) return;
    record->kind = audit::Record::Kind::request;
    fill_in(*record, principal, sender, one, wall);
}

// All of an ask, for one reason.
void Broker::record_refused(const Principal& principal, Credentials sender, const Answering& first, Instant now) {
    audit::Record* record = audit_.push_refused(principal.account, static_cast<std::uint32_t>(batch_->count), now);
    if (record == nullptr) return;
    record->kind = audit::Record::Kind::refusals;
    fill_in(*record, principal, sender, first, wall_clock_now());
}

void Broker::fill_in(audit::Record& record, const Principal& principal, Credentials sender, const Answering& one, std::int64_t wall) const {
    const policy::Grant* grant =
        one.decision.grant == GrantId::none ? nullptr : &principal.settings.grants.at(one.decision.grant);
    record.operation = one.request.operation;
    record.reason = one.performed.reason;
    record.error = one.performed.error;
    record.grant = one.decision.grant;
    record.wall_clock = wall;
    record.pid = sender.pid;
    record.uid = sender.uid;
    record.worker.clear();
    record.worker.append(principal.settings.name);
    record.grant_name.clear();
    if (grant != nullptr) record.grant_name.append(grant->name);
    record.text.clear();
    record.text.append(shown_target(principal, one.request, one.decision.grant));
    if (!one.request.second.empty()) record.text.append(" to ").append(one.request.second);
}

// A worker may be who brings it about, by renaming what it may rename.
void Broker::record_hold(const Principal& principal, const policy::Grant& grant, std::string_view what) {
    audit::Record* record = audit_.push(principal.account, monotonic_now());
    if (record == nullptr) return;
    *record = audit::Record{};
    record->kind = audit::Record::Kind::hold;
    record->wall_clock = wall_clock_now();
    record->worker.append(principal.settings.name);
    record->grant_name.append(grant.name);
    record->text.append(what);
}

}  // namespace warder::broker
