// Asks that are not answered at once: an opener has them, the runner, or they wait for the resolver's answer or for a worker
// that does not read. The ask is kept as it came and answered anew, so that there is one way from a request to its reply.
#include <algorithm>
#include <utility>

#include "broker/broker.h"
#include "broker/request_of.h"
#include "broker/sentence.h"
#include "sys/poll_kind.h"

namespace warder::broker {
namespace {

constexpr Duration retelling = std::chrono::milliseconds(50);   // until a socket that was full is looked at again

// Descriptors that the answer has at most.
std::size_t lent_by(std::span<const JobItem> items) {
    return static_cast<std::size_t>(std::ranges::count_if(items, [](const JobItem& item) {
        if (is_push(item.task)) return false;
        return item.settled ? item.lend >= 0 : lends_one(item.task.operation);
    }));
}

// Descriptors that its answer has: its pipes, and its pidfd.
std::size_t ends_of(const policy::Command& command) {
    return 1U + (command.in ? 1U : 0U) + (command.out ? 1U : 0U) + (command.err ? 1U : 0U);
}

}  // namespace

void Broker::delegate(Principal& principal, RequestId id, Credentials sender, Instant now) {
    say_failures(principal);
    for (std::size_t i = 0; i < batch_->count; ++i) {
        Answering& one = batch_->work[i];
        JobItem& item = job_items_[i];
        item.settled = one.settled || one.done;
        // What failed here is over, and its use not used.
        const bool failed = item.settled && one.performed.reason != Reason::ok;
        if (const auto use = failed ? std::exchange(one.taken, 0) : 0; use != 0) principal.session->allowances.give_back(one.decision.grant, use);
        item.use = item.settled ? 0 : one.taken;
        item.outcome = outcome_of(one);
        item.lend = one.borrowed >= 0 ? one.borrowed : one.performed.fd.get();
        item.task = one.task;
        item.task.operation = one.request.operation;
        item.grant = one.decision.grant;
        const policy::Grant* grant = item.grant == GrantId::none ? nullptr : &principal.settings.grants.at(item.grant);
        item.grant_name = grant == nullptr ? std::string_view() : std::string_view(grant->name);
        item.shown = shown_target(principal, one.request, item.grant);
    }
    Session& session = *principal.session;
    const auto items = std::span(job_items_).first(batch_->count);
    Job job{principal.settings.id, session.generation, id, &principal.settings.identity, session.channel->get(), items};
    if (!room_in_flight(principal, lent_by(items))) {
        return answer_with_failure(principal, id, sender, EDQUOT, now, in_flight_sentence);
    }
    Result<void> taken = failure(EDQUOT, "outstanding requests");
    if (session.unanswered() < principal.settings.max_pending_requests) taken = dependencies_.openers.take(job);
    if (!taken) return answer_with_failure(principal, id, sender, taken.error().number, now);
    ++session.outstanding;
    session.promised += lent_by(items);
    for (auto& one : std::span(batch_->work).first(batch_->count)) one.performed.fd.reset();   // theirs now
}

// A command is asked for alone, and the runner answers.
void Broker::run(Principal& principal, RequestId id, Credentials sender, Instant now) {
    Answering& one = batch_->work[0];
    Session& session = *principal.session;
    const policy::Grant& grant = principal.settings.grants.at(one.decision.grant);
    policy::fill(grant.command, one.request.target, words_);
    const std::size_t ends = ends_of(grant.command);
    if (!room_in_flight(principal, ends)) return answer_with_failure(principal, id, sender, EDQUOT, now, in_flight_sentence);
    CommandJob job{principal.settings.id, session.generation, id, session.channel->get(), one.decision.grant, grant.name,
                   &grant.command, std::span(words_.words).first(words_.count), ends, one.taken};
    Result<void> taken = failure(EDQUOT, "outstanding requests");
    if (session.unanswered() < principal.settings.max_pending_requests) taken = dependencies_.runner.take(job);
    if (!taken) return answer_with_failure(principal, id, sender, taken.error().number, now);
    ++session.outstanding;
    session.promised += ends;
}

void Broker::command_begun(WorkerId worker, std::uint32_t generation, const Begun& begun, Instant now) {
    Principal* principal = find(worker);
    if (principal == nullptr || !principal->session || principal->session->generation != generation) return;
    Session& session = *principal->session;
    if (session.outstanding > 0) --session.outstanding;
    session.promised -= std::min(session.promised, begun.ends);
    if (begun.error == 0) session.in_flight.sent(begun.ends);
    batch_->count = 1;
    batch_->texts.clear();
    Answering& one = batch_->work[0];
    one = Answering{};
    one.request.operation = Operation::run;
    one.decision.grant = principal->settings.grants.named(begun.grant).value_or(GrantId::none);
    one.taken = one.decision.grant != GrantId::none ? begun.use : 0;
    one.performed.error = begun.error;
    one.performed.reason = begun.error == 0 ? Reason::ok : Reason::system;
    if (!begun.answered) {
        say_failure(*principal, one);
        const protocol::Outcome outcome = outcome_of(one);
        tell_later(*principal, protocol::encode_answer(outgoing_, begun.request, std::span(&outcome, 1)));
        tell_untold(*principal, now);
    }
    record_all(*principal, principal->session->who, now);
}

void Broker::command_ended(WorkerId worker, std::uint32_t generation, const Ended& ended, Instant now) {
    Principal* principal = find(worker);
    if (principal == nullptr || !principal->session || principal->session->generation != generation) return;
    std::uint64_t value = ended.code | static_cast<std::uint64_t>(ended.pid) << 32;
    if (ended.by_signal) value |= static_cast<std::uint64_t>(protocol::RunStatus::by_signal);
    if (ended.timed_out) value |= static_cast<std::uint64_t>(protocol::RunStatus::timed_out);
    tell_later(*principal, protocol::encode_event(outgoing_, protocol::Type::ended, {ended.grant, value, 0}));
    tell_untold(*principal, now);
}

void Broker::tell_later(Principal& principal, const Result<Bytes>& message) {
    if (message) principal.session->untold.emplace_back(message->begin(), message->end());
}

// Later when its socket is full: a worker that only waits for this asks nothing meanwhile, so the clock brings it again.
void Broker::tell_untold(Principal& principal, Instant now) {
    auto& untold = principal.session->untold;
    std::size_t told = 0;
    while (told < untold.size()) {
        const auto sent = principal.session->channel->send(untold[told]);
        if (!sent && sent.error().number == EAGAIN) {
            next_deadline_ = std::min(next_deadline_, now + retelling);
            break;
        }
        ++told;
    }
    untold.erase(untold.begin(), untold.begin() + static_cast<std::ptrdiff_t>(told));
}

// Everything that was allowed fails for one reason: nothing could be sent, or nobody may take it.
void Broker::answer_with_failure(Principal& principal, RequestId id, Credentials sender, int error, Instant now,
                                 std::string_view text) {
    const Reason reason = error == EDQUOT ? Reason::too_many : error == EAGAIN ? Reason::unavailable : Reason::system;
    for (std::size_t i = 0; i < batch_->count; ++i) {
        Answering& one = batch_->work[i];
        if (one.performed.reason == Reason::ok) {
            settle(one, reason, error, text);
            if (text.empty()) say_failure(principal, one);
        }
        outcomes_[i] = outcome_of(one);
    }
    const auto message = protocol::encode_answer(outgoing_, id, std::span(outcomes_).first(batch_->count));
    if (!message) return violate(principal, "a reply that does not fit");
    const auto sent = principal.session->channel->send(*message);
    // It may have hundreds of answers unread, and yet read: those that lend are many and large.
    if (!sent && sent.error().number == EAGAIN) return park(principal, batch_->asked, sender);
    record_all(principal, sender, now);
}

MemoryLeft Broker::memory_left(WorkerId worker) const {
    const Principal* of = principal(worker);
    return of == nullptr ? MemoryLeft{} : of->memory.left(of->settings.max_lent_memory);
}

void Broker::memory_looked_at(WorkerId worker, std::size_t count, const MemoryAccount::Places& there) {
    if (Principal* of = find(worker)) of->memory.looked_at(count, there);
}

void Broker::job_done(WorkerId worker, std::uint32_t generation, std::span<const JobItem> items,
                      std::span<const JobResult> results, Instant now) {
    Principal* principal = find(worker);
    if (principal == nullptr) return;
    for (const auto& result : results) {
        if (result.memory > 0) principal->memory.made({result.inode, result.generation, result.memory});
    }
    if (!principal->session || principal->session->generation != generation) return;
    if (principal->session->outstanding > 0) --principal->session->outstanding;
    principal->session->promised -= std::min(principal->session->promised, lent_by(items));
    batch_->count = std::min({items.size(), results.size(), batch_->work.size()});
    std::size_t sent = 0;
    for (std::size_t i = 0; i < batch_->count; ++i) {
        Answering& one = batch_->work[i];
        one = Answering{};
        one.request.operation = items[i].task.operation;
        one.request.target = items[i].shown;
        one.request.second = items[i].task.second;
        if (results[i].reason == Reason::ok && lends_one(one.request.operation)) ++sent;
        // By name: a reload since then has given the grants other numbers, or taken this one away.
        one.decision.grant = principal->settings.grants.named(items[i].grant_name).value_or(GrantId::none);
        one.taken = one.decision.grant != GrantId::none ? items[i].use : 0;
        one.performed.reason = results[i].reason;
        one.performed.error = results[i].error;
        one.performed.device = results[i].device;
        one.performed.inode = results[i].inode;
    }
    if (sent > 0) principal->session->in_flight.sent(sent);   // in one message
    record_all(*principal, principal->session->who, now);
    if (items.size() == 1 && is_push(items[0].task)) pushed(*principal, items[0].grant_name, now);
}

// Whoever says so is in the middle of something, and takes the next job when the clock brings it.
void Broker::pushed(Principal& principal, std::string_view grant, Instant now) {
    auto& pushing = principal.session->pushing;
    const auto done = std::ranges::find(pushing, grant, &Pushing::grant);
    if (done == pushing.end()) return;
    done->over = true;
    if (!done->again) pushing.erase(done);
    else next_deadline_ = std::min(next_deadline_, now);
}

void Broker::push_again(Instant now) {
    std::vector<std::pair<SessionId, std::string>> secrets;
    for (const auto& [id, principal] : principals_) {
        if (!principal->session) continue;
        std::erase_if(principal->session->pushing, [&](const Pushing& one) {
            if (one.over) secrets.emplace_back(session_id(*principal), one.grant);
            return one.over;
        });
    }
    for (const auto& [session, grant] : secrets) {
        if (Principal* principal = find(session)) push_secret(*principal, grant, now);
    }
}

void Broker::job_failed(WorkerId worker, std::uint32_t generation, RequestId request, std::span<const JobItem> items,
                        Reason reason, Instant now) {
    Principal* principal = find(worker);
    if (principal == nullptr || !principal->session || principal->session->generation != generation) return;
    if (items.size() == 1 && is_push(items[0].task)) return;   // nobody asked
    batch_->count = std::min(items.size(), batch_->work.size());
    batch_->texts.clear();
    for (std::size_t i = 0; i < batch_->count; ++i) {
        Answering& one = batch_->work[i];
        one = Answering{};
        one.decision.grant = items[i].grant;
        if (items[i].settled && items[i].lend < 0) {
            outcomes_[i] = items[i].outcome;
            continue;
        }
        const auto sentence = failure_sentence(items[i].grant_name, items[i].task.operation, items[i].shown, reason,
                                               errno_of(reason));
        settle(one, reason, errno_of(reason), batch_->texts.keep(sentence.view()));
        outcomes_[i] = outcome_of(one);
    }
    tell_later(*principal, protocol::encode_answer(outgoing_, request, std::span(outcomes_).first(batch_->count)));
    tell_untold(*principal, now);
}

void Broker::job_unanswered(WorkerId worker, std::uint32_t generation, RequestId request, std::span<const JobItem> items,
                            std::span<const JobResult> results, Instant now) {
    Principal* principal = find(worker);
    if (principal == nullptr || !principal->session || principal->session->generation != generation) return;
    if (items.size() == 1 && is_push(items[0].task)) return;   // nobody asked
    batch_->count = std::min({items.size(), results.size(), batch_->work.size()});
    batch_->texts.clear();
    for (std::size_t i = 0; i < batch_->count; ++i) {
        protocol::Outcome& outcome = outcomes_[i];
        outcome = items[i].settled ? items[i].outcome : protocol::Outcome{};
        outcome.fds = 0;
        outcome.reason = results[i].reason;
        outcome.error = results[i].error;
        outcome.grant = items[i].grant;
        if (items[i].settled && items[i].lend < 0) continue;
        if (results[i].reason == Reason::ok) continue;
        outcome.text = batch_->texts.keep(failure_sentence(items[i].grant_name, items[i].task.operation, items[i].shown,
                                                          results[i].reason, results[i].error).view());
    }
    tell_later(*principal, protocol::encode_answer(outgoing_, request, std::span(outcomes_).first(batch_->count)));
    tell_untold(*principal, now);
}

// ---- The resolver ----

void Broker::await(Principal& principal, std::uint64_t query, Bytes datagram, Credentials sender, Instant now) {
    Session& session = *principal.session;
    if (session.unanswered() >= principal.settings.max_pending_requests) {
        const auto message = protocol::decode(datagram);
        return answer_with_failure(principal, message->id, sender, EDQUOT, now);
    }
    give_back_uses(principal);
    ++session.outstanding;
    session.awaiting.push_back({query, {{datagram.begin(), datagram.end()}, sender, batch_->deadline}});
    next_deadline_ = std::min(next_deadline_, batch_->deadline);
}

// Everybody who waited for the answer is answered anew; an ask that needs another name waits again.
void Broker::resume(std::uint64_t query, Instant now) {
    answer_those_of([query](const Awaiting& one) { return one.query == query; }, now);
}

void Broker::resolver_began(Instant) {
    knowledge_.for_each_open([&](std::uint64_t query, std::string_view key) { (void)dependencies_.resolver.look_up(query, key); });
}

// Asks whose time is over are answered without what they waited for; the question stays open for others, and for its own worker
// as one of so many.
void Broker::run_due(Instant now) {
    if (next_deadline_ > now) return;
    next_deadline_ = Instant::never();
    for (const auto& [id, principal] : principals_) {
        if (!principal->session) continue;
        tell_untold(*principal, now);
        for (const auto& one : principal->session->awaiting) {
            if (one.ask.deadline > now) next_deadline_ = std::min(next_deadline_, one.ask.deadline);
        }
    }
    push_again(now);
    answer_those_of([now](const Awaiting& one) { return one.ask.deadline <= now; }, now);
}

// Whose worker does not read, or has an ask that waits for its turn, is taken behind that.
void Broker::answer_those_of(const std::function<bool(const Awaiting&)>& chosen, Instant now) {
    std::vector<std::pair<SessionId, KeptAsk>> asks;
    for (const auto& [id, principal] : principals_) {
        if (!principal->session) continue;
        std::erase_if(principal->session->awaiting, [&](Awaiting& one) {
            if (!chosen(one)) return false;
            asks.emplace_back(session_id(*principal), std::move(one.ask));
            return true;
        });
    }
    for (auto& [session, ask] : asks) {
        Principal* principal = find(session);
        if (principal == nullptr) continue;
        if (principal->session->outstanding > 0) --principal->session->outstanding;
        if (principal->session->clogged) {
            principal->session->parked.push_back(std::move(ask));
        } else {
            answer_again(*principal, ask, now);
        }
    }
}

void Broker::answer_again(Principal& principal, const KeptAsk& ask, Instant now) {
    finish_wide(principal.settings.id, now);
    if (!principal.session) return;
    std::copy(ask.datagram.begin(), ask.datagram.end(), batch_->incoming.begin());
    const auto message = protocol::decode(Bytes(batch_->incoming).first(ask.datagram.size()));
    if (!message) return violate(principal, message.error().doing);
    answer_ask(principal, *message, ask.sender, now, ask.deadline);
}

// What was decided is decided again later: until then nothing of it is used.
void Broker::give_back_uses(Principal& principal) {
    for (auto& one : std::span(batch_->work).first(batch_->count)) {
        if (const auto use = std::exchange(one.taken, 0); use != 0) principal.session->allowances.give_back(one.decision.grant, use);
    }
    principal.session->requests.give_back(std::exchange(batch_->charged, 0));
}

// ---- Secrets that are rotated ----

Result<void> Broker::watch_rotations() {
    TRY(rotations_.open());
    return poller_.watch(rotations_.get(), {static_cast<std::uint8_t>(PollKind::rotation), 0, 0});
}

// What cannot be watched is still there when it is asked for.
void Broker::watch_rotation(const Principal& principal, GrantId id) {
    const Held& held = principal.held[number(id)];
    if (!held.directory || !held.local) return;
    (void)rotations_.watch(held.directory.get(), {principal.settings.id, principal.settings.grants.at(id).name, held.leaf});
}

void Broker::handle_rotations(Instant now) {
    rotations_.take([&](const Rotations::Secret& secret) {
        Principal* principal = find(secret.worker);
        if (principal != nullptr && principal->session) push_secret(*principal, secret.grant, now);
    });
}

// Only to a worker that has asked for it in this life, and whose grant still allows it.
void Broker::push_secret(Principal& principal, std::string_view grant, Instant now) {
    const auto id = principal.grants().named(grant);
    Session& session = *principal.session;
    if (!id || session.allowances.used(*id) == 0 || !principal.grants().at(*id).rights.has(Operation::secret)) return;
    // One at a time, and once more when it has changed meanwhile: who may write a secret does not fill the openers' queue.
    const auto under_way = std::ranges::find(session.pushing, grant, &Pushing::grant);
    if (under_way != session.pushing.end()) {
        under_way->again = true;
        return;
    }
    finish_wide(principal.settings.id, now);
    if (!principal.session) return;
    batch_->count = 1;
    Answering& one = batch_->work[0];
    one = Answering{};
    one.request.operation = Operation::secret;
    one.request.grant = grant;
    one.decision.grant = *id;
    prepare(principal, one, now);
    if (one.settled) one.task.prefix = principal.held[number(*id)].directory_path;   // gone: the opener finds it absent
    one.task.argument = ++principal.rotations;
    JobItem& item = job_items_[0];
    item = JobItem{};
    item.task = one.task;
    item.grant = *id;
    item.grant_name = principal.grants().at(*id).name;
    item.shown = principal.held[number(*id)].shown;
    const Job job{principal.settings.id, session.generation, RequestId{0}, &principal.settings.identity, session.channel->get(),
                  std::span(job_items_).first(1)};
    if (dependencies_.openers.take(job)) {
        ++session.outstanding;
        session.pushing.push_back({.grant = std::string(grant)});
    } else {
        record_hold(principal, principal.grants().at(*id), "its secret changed, and the worker could not be told");
    }
}

// ---- A worker that does not read ----

// The ask that is being answered is the next one.
void Broker::keep_first(Session& session, Bytes datagram, Credentials sender) {
    session.clogged = true;
    session.parked.push_front({{datagram.begin(), datagram.end()}, sender, batch_->deadline});
}

// Its ask is kept and its socket watched for room only, so that it costs no turn until it reads.
void Broker::park(Principal& principal, Bytes datagram, Credentials sender) {
    give_back_uses(principal);
    keep_first(*principal.session, datagram, sender);
    if (principal.session->resting || principal.session->closed) return;
    if (!poller_.change_to_write(principal.session->channel->get(), tag_of(principal))) violate(principal, "it cannot be watched");
}

// There is room in its socket. One ask in a turn; while there are more it stays watched for room.
void Broker::unpark(Principal& principal, Instant now) {
    if (take_first(principal, now)) return;
    if (!principal.session || principal.session->clogged || principal.session->resting) return;
    if (!poller_.change_to_read(principal.session->channel->get(), tag_of(principal))) violate(principal, "it cannot be watched");
}

// Answers the first of what is kept. True: there are more.
bool Broker::take_first(Principal& principal, Instant now) {
    Session& session = *principal.session;
    session.clogged = false;
    if (session.parked.empty()) return false;
    const KeptAsk ask = std::move(session.parked.front());
    session.parked.pop_front();
    answer_again(principal, ask, now);
    if (!principal.session || principal.session->clogged || principal.session->parked.empty()) return false;
    principal.session->clogged = true;
    return true;
}

}  // namespace warder::broker
