// An ask, from the decision to the reply: what each request of it may, what carries it out, and the one message that answers.
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>

#include "broker/broker.h"
#include "broker/request_of.h"
#include "broker/sentence.h"
#include "policy/narrow.h"

namespace warder::broker {
namespace {

using policy::Kind;

std::uint32_t default_mode(const policy::Grant& grant, const policy::Request& request) {
    if (request.mode != 0) return request.mode;
    switch (request.operation) {
        case Operation::create: return grant.mode != 0 ? grant.mode & 0666U : 0640U;
        case Operation::mkdir: return grant.mode != 0 ? grant.mode | ((grant.mode & 0444U) >> 2) : 0750U;
        default: return 0;
    }
}

// Done once and not again: the ask of such a request holds nothing else, and is never answered anew.
bool acts_at_once(Operation operation) { return operation == Operation::signal || operation == Operation::restart; }
bool stands_alone(Operation operation) { return acts_at_once(operation) || operation == Operation::run; }


}  // namespace

void Broker::answer_ask(Principal& principal, const protocol::Message& message, Credentials sender, Instant now,
                        std::optional<Instant> again) {
    const auto requests = protocol::decode_ask(message);
    if (!requests) return violate(principal, requests.error().doing);
    const std::size_t whole = sizeof(protocol::Header) + message.body.size() + message.strings.size();
    const Bytes datagram = Bytes(batch_->incoming).first(whole);
    batch_->asked = datagram;
    batch_->requests = *requests;
    batch_->count = requests->size();
    principal.session->last_size = datagram.size();
    batch_->deadline = again ? *again : now + request_deadline_;
    batch_->again = again.has_value();
    if (!within_rate(principal, message.id, sender, now)) return;
    if (too_wide(principal, now)) return begin_wide(principal, message.id, sender, now);
    batch_->texts.clear();
    decide_some(principal, 0, batch_->count, now);
    if (const auto query = awaited(0, batch_->count); query != 0) return await(principal, query, datagram, sender, now);
    const Answering& first = batch_->work[0];
    if (first.request.operation == Operation::run && !first.settled) return run(principal, message.id, sender, now);
    if (!perform_some(principal, 0, batch_->count)) return delegate(principal, message.id, sender, now);
    say_failures(principal);
    if (send_answer(principal, message.id, datagram, sender, now)) record_all(principal, sender, now);
}

// False: it is kept until the worker's requests per second have room for it, or refused because they never will.
bool Broker::within_rate(Principal& principal, RequestId id, Credentials sender, Instant now) {
    Rate& rate = principal.session->requests;
    batch_->charged = static_cast<std::uint32_t>(batch_->count);
    if (rate.take(batch_->charged, now)) return true;
    if (rate.can_hold(batch_->charged)) {
        hold_back(principal, sender, now);
    } else {
        refuse_wider_than_rate(principal, id, sender, now);
    }
    return false;
}

// At once, and for what a full second of requests costs: asking so is no way to ask more often. Of them all one record is made.
void Broker::refuse_wider_than_rate(Principal& principal, RequestId id, Credentials sender, Instant now) {
    principal.session->requests.owe(batch_->charged, now);
    batch_->charged = 0;   // which is not given back
    const std::string_view text = "more requests at once than the worker's max_request_rate: ask for fewer in one message, or raise it in its table";
    for (std::size_t i = 0; i < batch_->count; ++i) {
        Answering& one = batch_->work[i];
        one = Answering{};
        one.request = request_of(batch_->requests.at(i));
        settle(one, Reason::too_many, EDQUOT, i == 0 ? text : std::string_view());
        outcomes_[i] = outcome_of(one);
    }
    const auto message = protocol::encode_answer(outgoing_, id, std::span(outcomes_).first(batch_->count));
    if (!message) return violate(principal, "a reply that does not fit");
    const auto sent = principal.session->channel->send(*message);
    if (!sent && sent.error().number == EAGAIN) return park(principal, batch_->asked, sender);
    record_refused(principal, sender, batch_->work[0], now);
    principal.denied += batch_->count;
}

// The question to the resolver that one of them waits for, or 0.
std::uint64_t Broker::awaited(std::size_t first, std::size_t last) const {
    for (const auto& one : std::span(batch_->work).subspan(first, last - first)) {
        if (one.awaits != 0) return one.awaits;
    }
    return 0;
}

void Broker::decide_some(Principal& principal, std::size_t first, std::size_t last, Instant now) {
    for (std::size_t i = first; i < last; ++i) {
        Answering& one = batch_->work[i];
        one.request = request_of(batch_->requests.at(i));
        one.decision = {};
        one.performed = Performed{};
        one.borrowed = -1;
        one.settled = one.done = false;
        one.taken = 0;
        one.awaits = 0;
        one.text = {};
        if (batch_->count > 1 && stands_alone(one.request.operation)) {
            settle(one, Reason::bad_argument, EINVAL, "run, signal and restart are asked for alone in their message");
        } else {
            decide_one(principal, one, now);
        }
    }
}

void Broker::decide_one(Principal& principal, Answering& one, Instant now) {
    const auto& grants = principal.grants();
    one.decision = policy::decide(grants, one.request);
    if (one.decision.verdict == policy::Verdict::deny) {
        const auto sentence = policy::explain(grants, one.request, one.decision);
        return settle(one, one.decision.reason, errno_of(one.decision.reason), batch_->texts.keep(sentence.view()));
    }
    if (one.request.operation == Operation::narrow) return narrow(principal, one);
    if (take_use(principal, one, now)) build_task(principal, one, now);
}

// The policy allows it; the grant's shape has the last word.
bool Broker::take_use(Principal& principal, Answering& one, Instant now) {
    Session& session = *principal.session;
    const auto& grants = principal.grants();
    const Reason reason = session.allowances.take(grants.at(one.decision.grant), one.decision.grant, session.ready, now);
    if (reason == Reason::ok) {
        one.taken = session.allowances.count_of(one.decision.grant);
        return true;
    }
    one.decision.verdict = policy::Verdict::deny;
    one.decision.reason = reason;
    const auto sentence = policy::explain(grants, one.request, one.decision);
    settle(one, reason, errno_of(reason), batch_->texts.keep(sentence.view()));
    return false;
}

void Broker::build_task(Principal& principal, Answering& one, Instant now) {
    switch (one.request.operation) {
        case Operation::listen: return lend_listener(principal, one);
        case Operation::lookup: return look_up(principal, one, now);
        case Operation::signal:
        case Operation::restart: return reach_worker(principal, one);
        case Operation::run: return;   // its own way: run()
        case Operation::connect:
            if (one.decision.address.family == policy::Family::host) return prepare_by_name(principal, one, now);
            [[fallthrough]];
        default: return prepare(principal, one, now);
    }
}

// Fills in the task: what is held for the grant that allowed it, and whose credentials count.
void Broker::prepare(Principal& principal, Answering& one, Instant now) {
    const policy::Grant& grant = principal.grants().at(one.decision.grant);
    Held& held = principal.held[number(one.decision.grant)];
    Task& task = one.task;
    task = Task{};
    task.operation = one.request.operation;
    task.flags = one.request.flags;
    task.mode = default_mode(grant, one.request);
    task.as = done_by_root(grant.kind) ? policy::As::root : grant.as;
    task.owned = grant.owner == policy::Owner::worker;
    if (task.owned) {
        task.owner = principal.settings.identity.uid;
        task.owner_group = principal.settings.identity.gid;
    }
    task.cross_mounts = grant.cross_mounts;
    task.path = grant.kind == Kind::tree ? one.decision.remainder : std::string_view(held.leaf);
    if (grant.kind == Kind::sysctl) task.path = one.request.target;
    task.second = policy::takes_words(one.request.operation) ? one.request.second : one.decision.second;
    task.argument = one.request.argument;
    task.address = one.decision.address;
    task.family = grant.address.family;
    task.protocol = grant.protocol;
    // Of the config's, which stay where they are: an ask may narrow a grant behind a request that is already prepared by it. No
    // narrowing gives another name (covers() in policy/address.h).
    const policy::Grant& lasting = principal.settings.grants.at(one.decision.grant);
    task.interface = lasting.interface;
    if (one.request.target.empty() && !task.address.name.empty()) task.address.name = lasting.address.name;
    task.writes = grant.writes;
    if (!held.directory_path.empty()) prepare_below(principal, one, held, now);
}

// What is named by a path is done below the directory that is held for it.
void Broker::prepare_below(Principal& principal, Answering& one, Held& held, Instant now) {
    const policy::Grant& grant = principal.grants().at(one.decision.grant);
    const Recheck seen = recheck(held, grant, privileges_, principal.settings.identity, now);
    if (seen == Recheck::changed) {
        record_hold(principal, grant, "its directory is another one now: held anew");
        if (grant.kind == Kind::secret) watch_rotation(principal, one.decision.grant);
    }
    if (grant.kind != Kind::tree && grant.kind != Kind::sysctl) one.task.path = held.leaf;   // which may be another one now
    if (held.elsewhere) one.task.making = making_of(grant);
    const bool may_be_made = one.task.making != Making::nothing;
    const bool found = seen == Recheck::same || seen == Recheck::changed;
    if (seen == Recheck::foreign) return settle(one, Reason::foreign_owner, errno_of(Reason::foreign_owner), {});
    if (seen == Recheck::closed) return settle(one, Reason::system, EACCES, {});
    if (seen == Recheck::gone && !may_be_made) return settle(one, Reason::system, ENOENT, {});
    if (may_be_made) one.task.making_mode = making_mode(grant);
    if (may_be_made || !found) one.task.prefix = held.directory_path;
    if (!found) return;
    if (held.kernel_view) return settle(one, Reason::refused_filesystem, EACCES, {});
    one.task.directory = held.directory.get();
    one.task.local = held.local;
    one.task.overlay = held.overlay;
}

// A connection by name goes to an address that the resolver found for that name, and to no other.
void Broker::prepare_by_name(Principal& principal, Answering& one, Instant now) {
    FixedString<Knowledge::max_key> key("host:");
    key.append(one.decision.address.name);
    const auto* known = knowledge_of(principal, one, key.view(), now);
    if (known == nullptr) return;
    if (known->error != 0) return settle(one, Reason::system, known->error, {});
    const Reach reach = principal.grants().at(one.decision.grant).private_addresses ? Reach::anywhere : Reach::in_public;
    const auto address = address_in(known->data, one.request.argument, one.decision.address, reach);
    if (!address && one.request.argument == 0 && address_in(known->data, 0, one.decision.address)) {
        return settle(one, Reason::private_address, EACCES,
                      "the name leads to this machine or a private network only, and who answers for it could lead it anywhere: private = true allows that");
    }
    if (!address) return settle(one, Reason::system, EADDRNOTAVAIL, "the name has no address of that number");
    one.decision.address = *address;
    prepare(principal, one, now);
}

void Broker::look_up(const Principal& principal, Answering& one, Instant now) {
    const auto* known = knowledge_of(principal, one, one.request.target, now);
    if (known == nullptr) return;
    if (known->error != 0) return settle(one, Reason::system, known->error, {});
    const auto kept = batch_->texts.keep(known->data);
    if (kept.size() != known->data.size()) return settle(one, Reason::system, EMSGSIZE, "no room for it in this reply: ask for less at once");
    settle(one, Reason::ok, 0, {});
    one.performed.data = kept;
}

// Null when nothing is known yet: then the ask waits, or `one` is settled because its time is over or nobody can be asked.
const Knowledge::Entry* Broker::knowledge_of(const Principal& principal, Answering& one, std::string_view key, Instant now) {
    const auto* known = knowledge_.find(key, now);
    if (known != nullptr && known->known) return known;
    if (batch_->deadline <= now) {
        settle(one, Reason::system, ETIMEDOUT, {});
        return nullptr;
    }
    // A worker with as many open questions as it may have waits for one of them, and is decided anew then.
    one.awaits = known != nullptr ? known->query : knowledge_.one_too_many_of(principal.settings.id);
    if (one.awaits != 0) return nullptr;
    one.awaits = knowledge_.asked(key, principal.settings.id, now);
    if (one.awaits != 0 && dependencies_.resolver.look_up(one.awaits, key)) return nullptr;
    knowledge_.forget(one.awaits);
    one.awaits = 0;
    settle(one, Reason::unavailable, EAGAIN, "the resolver cannot be asked now");
    return nullptr;
}

void Broker::lend_listener(Principal& principal, Answering& one) {
    const policy::Grant& grant = principal.settings.grants.at(one.decision.grant);
    Held& held = principal.held[number(one.decision.grant)];
    if (!held.listener) {
        const auto opened = open_listener(held, grant, privileges_, principal.settings.identity);
        if (!opened) return settle(one, Reason::system, opened.error().number, {});
    }
    const int flags = has(one.request.flags, OpenFlag::nonblock) ? O_NONBLOCK : 0;
    struct stat about;
    if (::fcntl(held.listener.get(), F_SETFL, flags) != 0 || ::fstat(held.listener.get(), &about) != 0) {
        return settle(one, Reason::listener_lost, EIO, {});
    }
    held.touched = true;
    one.borrowed = held.listener.get();
    one.performed.device = about.st_dev;
    one.performed.inode = about.st_ino;
    one.settled = true;
}

// Something is done to another worker, by who runs the workers.
void Broker::reach_worker(Principal& principal, Answering& one) {
    const policy::Grant& grant = principal.grants().at(one.decision.grant);
    privileges_.become_root();
    const auto done = one.request.operation == Operation::signal
                          ? dependencies_.workers.signal(grant.peer, static_cast<int>(one.request.argument))
                          : dependencies_.workers.restart(grant.peer);
    if (!done) return settle(one, Reason::system, done.error().number, {});
    settle(one, Reason::ok, 0, {});
}

// The worker's own grant is made smaller for the rest of this life. Rare, so it may take memory.
void Broker::narrow(Principal& principal, Answering& one) {
    Session& session = *principal.session;
    const auto id = one.decision.grant;
    // An ask that had to wait is decided anew: what it gave up is given up.
    if (batch_->again && std::ranges::any_of(session.narrowings, [&](const auto& done) { return done.is_of(one.request); })) {
        return settle(one, Reason::ok, 0, {});
    }
    Result<void> result = failure(EDQUOT, "narrowing");
    if (session.narrowings.size() < max_session_narrowings) result = narrow_in(session, principal.grants(), one.request, id);
    if (!result) {
        const int error = result.error().number;
        return settle(one, error == EDQUOT ? Reason::too_many : Reason::bad_argument, error,
                      "a grant is narrowed to what lies within it, and not without end");
    }
    const std::uint32_t left = one.request.mode == 0 ? 0 : session.narrowed->at(id).shape.uses;
    session.narrowings.push_back({std::string(one.request.grant), std::string(one.request.target),
                                  std::string(one.request.second), one.request.argument, one.request.mode, left});
    settle(one, Reason::ok, 0, {});
}

// False at the first that cannot be done here: an opener does that one and the rest. What was done is not done again.
bool Broker::perform_some(Principal& principal, std::size_t first, std::size_t last) {
    for (auto& one : std::span(batch_->work).subspan(first, last - first)) {
        if (one.settled) continue;
        one.performed = perform(one.task, Patience::never, privileges_, principal.settings.identity, batch_->texts);
        one.done = one.performed.reason != Reason::would_block;
        if (one.done) continue;
        one.performed = Performed{};
        return false;
    }
    return true;
}
void Broker::say_failures(const Principal& principal) {
    for (auto& one : std::span(batch_->work).first(batch_->count)) {
        if (one.performed.reason != Reason::ok && one.text.empty()) say_failure(principal, one);
    }
}

void Broker::say_failure(const Principal& principal, Answering& one) {
    if (one.decision.grant == GrantId::none) return;
    const auto& grant = principal.grants().at(one.decision.grant);
    const auto shown = shown_target(principal, one.request, one.decision.grant);
    const auto sentence =
        failure_sentence(grant.name, one.request.operation, shown, one.performed.reason, one.performed.error);
    one.text = batch_->texts.keep(sentence.view());
}

namespace {

// The kernel is asked only when our own count, which knows nothing of what was received since, says too many.
std::size_t in_flight_of(Session& session, std::size_t enough) {
    if (session.in_flight.bound() + session.promised <= enough) return session.in_flight.bound() + session.promised;
    int unread = 0;
    if (::ioctl(session.channel->get(), SIOCOUTQ, &unread) == 0 && unread >= 0) {
        session.in_flight.unread(static_cast<std::size_t>(unread));
    }
    return session.in_flight.bound() + session.promised;
}

}  // namespace

// What was sent and not received is in the kernel's hands, charged to root.
bool Broker::room_in_flight(const Principal& principal, std::size_t fds) {
    const std::size_t most = principal.settings.max_in_flight;
    if (fds == 0) return true;
    const std::size_t already = in_flight_of(*find(principal.settings.id)->session, most - std::min(most, fds));
    if (already + fds <= most) return true;
    // A message that is wider than the quota is never within it.
    return already == 0 && room_beyond_quotas(principal, fds - most);
}

// What others have beyond their quotas and this one would have.
bool Broker::room_beyond_quotas(const Principal& principal, std::size_t fds) {
    std::size_t beyond = fds;
    for (const auto& [id, other] : principals_) {
        if (!other->session || other->settings.id == principal.settings.id) continue;
        const std::size_t most = other->settings.max_in_flight;
        const std::size_t now = in_flight_of(*other->session, most);
        if (now > most) beyond += now - most;
    }
    return beyond <= spare_in_flight_;
}

// True when it is out: what was lent is still to be closed, and everything to be recorded.
bool Broker::send_answer(Principal& principal, RequestId id, Bytes datagram, Credentials sender, Instant now) {
    WARDER_UNINITIALIZED std::array<int, protocol::max_requests> fds;
    std::size_t fd_count = 0;
    for (std::size_t i = 0; i < batch_->count; ++i) {
        Answering& one = batch_->work[i];
        outcomes_[i] = outcome_of(one);
        if (outcomes_[i].fds == 1) fds[fd_count++] = one.borrowed >= 0 ? one.borrowed : one.performed.fd.get();
    }
    Session& session = *principal.session;
    if (!room_in_flight(principal, fd_count)) {
        answer_with_failure(principal, id, sender, EDQUOT, now, in_flight_sentence);
        return false;
    }
    const auto message = protocol::encode_answer(outgoing_, id, std::span(outcomes_).first(batch_->count));
    if (!message || acts_at_once(batch_->work[0].request.operation)) {
        reply(principal, message);
        return principal.session.has_value();
    }
    const auto sent = session.channel->send(*message, std::span(fds).first(fd_count));
    if (sent) {
        if (fd_count > 0) session.in_flight.sent(fd_count);
        return true;
    }
    for (auto& one : std::span(batch_->work).first(batch_->count)) one.performed.fd.reset();
    const int error = sent.error().number;
    if (error == EPIPE || error == ECONNRESET) return true;
    // The socket is full: the worker must read first, and then its ask is answered anew.
    if (error == EAGAIN) {
        park(principal, datagram, sender);
    } else {
        answer_with_failure(principal, id, sender, error, now);
    }
    return false;
}

}  // namespace warder::broker
