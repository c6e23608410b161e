// The session: who may speak, what kind of message it is, and what ends it. What an ask leads to is ask.cc.
#include "broker/broker.h"

#include <algorithm>
#include <utility>

#include "broker/request_of.h"
#include "sys/poll_kind.h"

namespace warder::broker {
Broker::Broker(Poller& poller, audit::Trail& audit, Privileges& privileges, Dependencies dependencies)
    : poller_(poller), audit_(audit), privileges_(privileges), dependencies_(dependencies) {}

Principal* Broker::find(WorkerId worker) {
    const auto found = principals_.find(number(worker));
    return found == principals_.end() ? nullptr : found->second.get();
}

const Principal* Broker::principal(WorkerId worker) const {
    const auto found = principals_.find(number(worker));
    return found == principals_.end() ? nullptr : found->second.get();
}

Principal* Broker::find(SessionId session) {
    Principal* principal = find(session.worker);
    const bool same = principal != nullptr && principal->session && principal->session->generation == session.generation;
    return same ? principal : nullptr;
}

Broker::SessionId Broker::session_id(const Principal& principal) {
    return {principal.settings.id, principal.session->generation};
}

// ---- The session of a life ----

Result<void> Broker::begin_session(WorkerId worker, const Channel& channel, Credentials who, std::uint64_t cgroup_id) {
    Principal* principal = find(worker);
    if (principal == nullptr) return failure(ENOENT, "beginning a session");
    renew_listeners(*principal);
    for (auto& held : principal->held) held.touched = false;
    Session session;
    session.channel = &channel;
    session.who = who;
    session.cgroup_id = cgroup_id;
    session.generation = ++principal->generations;
    session.allowances = Allowances(principal->settings.grants);
    session.requests = Rate(principal->settings.max_request_rate);
    principal->session.emplace(std::move(session));
    return poller_.watch(channel.get(), tag_of(*principal));
}

void Broker::handle(const PollEvent& event, Instant now) {
    const bool likely = std::exchange(likely_, false);
    if (!likely) busy_poll_.looked_around(now);
    Principal* principal = find(static_cast<WorkerId>(event.tag.id));
    if (principal == nullptr || !principal->session) return;
    if (event.tag.generation != (principal->session->generation & 0xffffffU)) return;
    if (principal->session->resting) return;   // this event is older
    if (event.writable && principal->session->clogged) unpark(*principal, now);
    else if (event.hung_up && principal->session->clogged) return hang_up(*principal);
    if (!principal->session || principal->session->resting || principal->session->clogged || (!event.readable && !event.hung_up)) return;
    const SessionId session = session_id(*principal);
    if (wide_ && wide_->session == session) return;   // one ask at a time
    attention_.hear(session.worker, now);
    if (answer(*principal, now)) {
        spoke_ = event.tag;
        spoke_at_ = now;
        if (likely) busy_poll_.was_right();
    } else if (likely) {
        busy_poll_.was_in_vain();
    }
    if (attention_.others_speak(session.worker, now)) charge(session, now);
    if (principal->session) rest_if_spent(*principal, now);
}

// It has shut its end down in both directions, with answers unread that nobody will take from there any more. Its life goes on
// without requests. Left among the watched, its socket would wake us for ever.
void Broker::hang_up(Principal& principal) {
    Session& session = *principal.session;
    session.closed = true;
    poller_.forget(session.channel->get());
}

// False when nothing had been said.
bool Broker::answer(Principal& principal, Instant now) {
    const auto received = principal.session->channel->receive(batch_->incoming);
    if (!received) {
        violate(principal, "its socket failed");
        return false;
    }
    if (received->kind == Received::Kind::message) take(principal, *received, now);
    // The worker closed its end, perhaps for good; its life goes on without requests.
    if (received->kind == Received::Kind::closed) hang_up(principal);
    return received->kind == Received::Kind::message;
}

void Broker::take(Principal& principal, const Received& received, Instant now) {
    const Sender sender = identify_sender(principal.settings, *principal.session, received);
    if (sender == Sender::unknown) return violate(principal, "a message without credentials");
    const auto message = protocol::decode(received.bytes);
    if (sender == Sender::relative) {
        if (message) refuse_relative(principal, *message, received.sender, now);
        return;
    }
    if (received.stray_fds > 0) return violate(principal, "it sent descriptors, and has no right to");
    if (received.truncated) return violate(principal, "a message longer than 64 KiB");
    if (!message) return violate(principal, message.error().doing);
    take_requester(principal, *message, received.sender, now);
}

void Broker::take_requester(Principal& principal, const protocol::Message& message, Credentials sender, Instant now) {
    const bool greeted = principal.session->greeted;
    if (message.id == RequestId::event) return violate(principal, "a message with id 0, which is that of events");
    // Requests are counted one by one, when they are decided.
    if (message.type != protocol::Type::ask) principal.session->requests.owe(1, now);
    if (message.type == protocol::Type::hello) return greet(principal, message);
    if (!greeted) return violate(principal, "the first message was not hello");
    switch (message.type) {
        case protocol::Type::ask: return answer_ask(principal, message, sender, now);
        case protocol::Type::ready:
        case protocol::Type::status: return hear_text(principal, message);
        case protocol::Type::found: return hear_found(principal, message, now);
        default: return violate(principal, "a message of a type that workers do not send");
    }
}

// A child of the worker, or somebody it gave its socket to. It is told no; the worker is not punished for it, but that they ask
// counts as asking.
void Broker::refuse_relative(Principal& principal, const protocol::Message& message, Credentials sender, Instant now) {
    const auto requests = protocol::decode_ask(message);
    const std::string_view text =
        "only this worker's main process may ask (request_access = \"main\"); request_access = \"all\" would allow its descendants";
    principal.session->requests.owe(requests ? static_cast<std::uint32_t>(requests->size()) : 1, now);
    if (message.type != protocol::Type::ask || !requests) {
        return reply(principal, protocol::encode_done(outgoing_, message.id, {EPERM, Reason::not_requester, text}));
    }
    batch_->count = requests->size();
    for (std::size_t i = 0; i < batch_->count; ++i) {
        Answering& one = batch_->work[i];
        one = Answering{};
        one.request = request_of(requests->at(i));
        settle(one, Reason::not_requester, EPERM, i == 0 ? text : std::string_view());
        outcomes_[i] = outcome_of(one);
        record_request(principal, sender, one, wall_clock_now(), now);
    }
    principal.denied += batch_->count;
    reply(principal, protocol::encode_answer(outgoing_, message.id, std::span(outcomes_).first(batch_->count)));
}

void Broker::greet(Principal& principal, const protocol::Message& message) {
    const auto hello = protocol::decode_hello(message);
    if (!hello) return violate(principal, hello.error().doing);
    protocol::HelloReply answer;
    const bool common = hello->version_min <= protocol::current_version && hello->version_max >= protocol::current_version;
    if (!common) answer.error = EPROTONOSUPPORT;
    answer.max_message = max_message;
    answer.requesters = principal.settings.requesters;
    answer.worker = principal.settings.name;
    const bool first = common && !principal.session->greeted;
    principal.session->greeted = common;
    reply(principal, protocol::encode_hello_reply(outgoing_, message.id, answer));
    if (first && principal.session) dependencies_.listener.said_hello(principal.settings.id);
}

// Only the resolver is asked, so only the resolver answers.
void Broker::hear_found(Principal& principal, const protocol::Message& message, Instant now) {
    if (!principal.settings.resolves) return violate(principal, "a message of a type that workers do not send");
    const auto found = protocol::decode_found(message);
    if (!found) return violate(principal, found.error().doing);
    const std::uint64_t query = found->query;
    if (knowledge_.learn(query, found->error, found->text, now)) resume(query, now);
}

void Broker::hear_text(Principal& principal, const protocol::Message& message) {
    const auto text = protocol::decode_text(message);
    if (!text) return violate(principal, text.error().doing);
    reply(principal, protocol::encode_done(outgoing_, message.id, {}));
    if (!principal.session) return;
    const WorkerId worker = principal.settings.id;
    const bool ready = message.type == protocol::Type::ready;
    if (ready) principal.session->ready = true;
    if (!text->empty()) dependencies_.listener.said_status(worker, *text);
    if (ready) dependencies_.listener.said_ready(worker);
}

void Broker::reply(Principal& principal, const Result<Bytes>& message) {
    if (!message) return violate(principal, "a reply that does not fit");
    const auto sent = principal.session->channel->send(*message);
    // A short reply finds no room only when the worker has left hundreds unread; EPIPE is its own business.
    if (!sent && sent.error().number == EAGAIN) violate(principal, "it does not read its replies");
}

void Broker::violate(Principal& principal, std::string_view how) {
    audit::Record record;
    record.kind = audit::Record::Kind::violation;
    record.reason = Reason::protocol;
    record.error = EPROTO;
    record.wall_clock = wall_clock_now();
    record.pid = principal.session->who.pid;
    record.uid = principal.session->who.uid;
    record.worker.append(principal.settings.name);
    record.text.append(how);
    audit_.tell(record, principal.account, monotonic_now());
    const WorkerId worker = principal.settings.id;
    abandon_wide(worker);
    poller_.forget(principal.session->channel->get());
    principal.session.reset();
    dependencies_.listener.broke_protocol(worker, how);
}

}  // namespace warder::broker
