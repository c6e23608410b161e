#include "broker/broker.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "broker/sentence.h"
#include "broker/watch.h"

namespace warder::broker {
namespace {

constexpr std::uint8_t kind_of(Watch watch) { return static_cast<std::uint8_t>(watch); }

PollTag session_tag(const Principal& principal) {
    return {kind_of(Watch::session), number(principal.settings.id), principal.session->generation};
}

policy::Request policy_request(const protocol::Request& request) {
    return {static_cast<Operation>(request.operation), request.flags,  request.mode,
            request.grant,                             request.target, request.second, request.argument};
}

std::uint32_t default_mode(const policy::Grant& grant, const policy::Request& request) {
    if (request.mode != 0) return request.mode;
    return grant.mode != 0 ? grant.mode & 0666U : 0640U;
}

// The target as people are to read it: what was asked for, or what the grant itself names.
std::string_view shown_target(const Principal& principal, const policy::Request& request, GrantId grant) {
    if (!request.target.empty() || grant == GrantId::none) return request.target;
    return principal.held[number(grant)].shown;
}

}  // namespace

Broker::Broker(Poller& poller, audit::Ring& audit, Privileges& privileges, Openers& openers, Listener& listener)
    : poller_(poller), audit_(audit), privileges_(privileges), openers_(openers), listener_(listener) {}

Principal* Broker::find(WorkerId worker) {
    const auto found = principals_.find(number(worker));
    return found == principals_.end() ? nullptr : found->second.get();
}

const Principal* Broker::principal(WorkerId worker) const {
    const auto found = principals_.find(number(worker));
    return found == principals_.end() ? nullptr : found->second.get();
}

// ---- The session of a life ----

Result<void> Broker::begin_session(WorkerId worker, const Channel& channel, Credentials who, std::uint64_t cgroup_id) {
    Principal* principal = find(worker);
    if (principal == nullptr) return failure(ENOENT, "beginning a session");
    Session session;
    session.channel = &channel;
    session.who = who;
    session.cgroup_id = cgroup_id;
    session.generation = ++principal->generations;
    principal->session.emplace(std::move(session));
    return poller_.watch(channel.get(), session_tag(*principal));
}

void Broker::handle(const PollEvent& event, Instant now) {
    Principal* principal = find(static_cast<WorkerId>(event.tag.id));
    if (principal == nullptr || !principal->session) return;
    if (event.tag.generation != (principal->session->generation & 0xffffffU)) return;
    if (event.writable && principal->session->clogged) unpark(*principal, now);
    if (!event.readable && !event.hung_up) return;
    if (principal->session && !principal->session->clogged) answer(*principal, now);
}

void Broker::answer(Principal& principal, Instant now) {
    const auto received = principal.session->channel->receive(incoming_);
    if (!received) return violate(principal, "its socket failed");
    if (received->kind == Received::Kind::message) return take(principal, *received, now);
    // The worker closed its end, perhaps for good; its life goes on without requests.
    if (received->kind == Received::Kind::closed) poller_.forget(principal.session->channel->get());
}

void Broker::take(Principal& principal, const Received& received, Instant now) {
    const Sender sender = identify_sender(principal.settings, *principal.session, received);
    if (sender == Sender::unknown) return violate(principal, "a message without credentials");
    const auto message = protocol::decode(received.bytes);
    if (sender == Sender::relative) {
        if (message) refuse_relative(principal, *message, received.sender);
        return;
    }
    if (received.stray_fds > 0) return violate(principal, "it sent descriptors, and has no right to");
    if (received.truncated) return violate(principal, "a message longer than 64 KiB");
    if (!message) return violate(principal, message.error().doing);
    take_requester(principal, *message, received.sender, now);
}

void Broker::take_requester(Principal& principal, const protocol::Message& message, Credentials sender, Instant now) {
    const bool greeted = principal.session->greeted;
    if (message.type == protocol::Type::hello) return greet(principal, message);
    if (!greeted) return violate(principal, "the first message was not hello");
    switch (message.type) {
        case protocol::Type::ask: return answer_ask(principal, message, sender, now);
        case protocol::Type::ready:
        case protocol::Type::status: return hear_text(principal, message);
        default: return violate(principal, "a message of a type that workers do not send");
    }
}

// A child of the worker, or somebody it gave its socket to. It is told no; the worker is not punished for it.
void Broker::refuse_relative(Principal& principal, const protocol::Message& message, Credentials sender) {
    const auto requests = protocol::decode_ask(message);
    const std::string_view text =
        "only this worker's main process may ask (requesters = \"main\"); requesters = \"group\" would allow its descendants";
    if (message.type != protocol::Type::ask || !requests) {
        return reply(principal, protocol::encode_done(outgoing_, message.id, {EPERM, Reason::not_requester, text}));
    }
    count_ = requests->size();
    for (std::size_t i = 0; i < count_; ++i) {
        Answering& one = work_[i];
        one = Answering{};
        one.request = policy_request(requests->at(i));
        settle(one, Reason::not_requester, EPERM, i == 0 ? text : std::string_view());
        outcomes_[i] = outcome_of(one);
        record_request(principal, sender, one);
    }
    principal.denied += count_;
    reply(principal, protocol::encode_answer(outgoing_, message.id, std::span(outcomes_).first(count_)));
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
    principal.session->greeted = common;
    reply(principal, protocol::encode_hello_reply(outgoing_, message.id, answer));
}

void Broker::hear_text(Principal& principal, const protocol::Message& message) {
    const auto text = protocol::decode_text(message);
    if (!text) return violate(principal, text.error().doing);
    reply(principal, protocol::encode_done(outgoing_, message.id, {}));
    if (!principal.session) return;
    const WorkerId worker = principal.settings.id;
    if (!text->empty()) listener_.said_status(worker, *text);
    if (message.type == protocol::Type::ready) listener_.said_ready(worker);
}

void Broker::reply(Principal& principal, const Result<Bytes>& message) {
    if (!message) return violate(principal, "a reply that does not fit");
    const auto sent = principal.session->channel->send(*message);
    // A short reply finds no room only when the worker has left hundreds unread; EPIPE is its own business.
    if (!sent && sent.error().number == EAGAIN) violate(principal, "it does not read its replies");
}

void Broker::violate(Principal& principal, std::string_view how) {
    if (audit::Record* record = audit_.push()) {
        *record = audit::Record{};
        record->kind = audit::Record::Kind::violation;
        record->reason = Reason::protocol;
        record->error = EPROTO;
        record->wall_clock = wall_clock_now();
        record->pid = principal.session->who.pid;
        record->uid = principal.session->who.uid;
        record->worker.append(principal.settings.name);
        record->text.append(how);
    }
    const WorkerId worker = principal.settings.id;
    poller_.forget(principal.session->channel->get());
    principal.session.reset();
    listener_.broke_protocol(worker, how);
}

// ---- An ask ----

void Broker::answer_ask(Principal& principal, const protocol::Message& message, Credentials sender, Instant now) {
    const auto requests = protocol::decode_ask(message);
    if (!requests) return violate(principal, requests.error().doing);
    decide_all(principal, *requests, now);
    if (!perform_all(principal)) return delegate(principal, message.id, sender);
    const std::size_t whole = sizeof(protocol::Header) + message.body.size() + message.strings.size();
    send_answer(principal, message.id, Bytes(incoming_).first(whole), sender, now);
}

void Broker::decide_all(Principal& principal, const protocol::Requests& requests, Instant now) {
    count_ = requests.size();
    texts_.clear();
    for (std::size_t i = 0; i < count_; ++i) {
        const protocol::Request request = requests.at(i);
        Answering& one = work_[i];
        one.request = policy_request(request);
        one.performed = Performed{};
        one.borrowed = -1;
        one.settled = false;
        one.text = {};
        if (request.argument != 0) {
            one.decision = {};
            settle(one, Reason::bad_flags, EINVAL, "the argument of a request must be 0 in version 1");
        } else {
            decide_one(principal, one, now);
        }
    }
}

void Broker::decide_one(Principal& principal, Answering& one, Instant now) {
    const auto& grants = principal.settings.grants;
    one.decision = policy::decide(grants, one.request);
    if (one.decision.verdict == policy::Verdict::deny) {
        const auto sentence = policy::explain(grants, one.request, one.decision);
        return settle(one, one.decision.reason, errno_of(one.decision.reason), texts_.keep(sentence.view()));
    }
    if (one.request.operation == Operation::listen) return lend_listener(principal, one);
    aim(principal, one, now);
}

// Fills in the task: what is held for the grant that allowed it, and whose credentials count.
void Broker::aim(Principal& principal, Answering& one, Instant now) {
    const policy::Grant& grant = principal.settings.grants.at(one.decision.grant);
    Held& held = principal.held[number(one.decision.grant)];
    Task& task = one.task;
    task = Task{};
    task.operation = one.request.operation;
    task.flags = one.request.flags;
    task.mode = default_mode(grant, one.request);
    task.as = grant.kind == policy::Kind::secret ? policy::As::root : grant.as;
    task.owned = grant.owner == policy::Owner::worker;
    if (task.owned) {
        task.owner = principal.settings.identity.uid;
        task.owner_group = principal.settings.identity.gid;
    }
    task.cross_mounts = grant.cross_mounts;
    task.path = grant.kind == policy::Kind::tree ? one.decision.remainder : std::string_view(held.leaf);
    task.second = one.decision.second;
    task.address = one.decision.address;
    if (held.directory_path.empty()) return;   // an address of the network: nothing is held

    const Recheck seen = recheck(held, grant, privileges_, now);
    if (seen == Recheck::changed) record_hold(principal, grant, "its directory is another one now: held anew");
    if (seen == Recheck::gone) return settle(one, Reason::system, ENOENT, {});
    if (seen == Recheck::unknown) {
        task.prefix = held.directory_path;
        return;
    }
    if (held.kernel_view) return settle(one, Reason::refused_filesystem, EACCES, {});
    task.directory = held.directory.get();
    task.local = held.local;
    task.overlay = held.overlay;
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
    one.borrowed = held.listener.get();
    one.performed.device = about.st_dev;
    one.performed.inode = about.st_ino;
    one.settled = true;
}

// False when at least one of them cannot be done here: then none is kept, and an opener does them all.
bool Broker::perform_all(Principal& principal) {
    for (auto& one : std::span(work_).first(count_)) {
        if (one.settled) continue;
        one.performed = perform(one.task, Patience::never, privileges_, principal.settings.identity, texts_);
        if (one.performed.reason != Reason::would_block) continue;
        for (auto& done : std::span(work_).first(count_)) done.performed.fd.reset();
        return false;
    }
    for (auto& one : std::span(work_).first(count_)) {
        if (one.settled && one.text.empty() && one.performed.reason == Reason::ok) continue;
        if (one.performed.reason == Reason::ok || !one.text.empty()) continue;
        const auto& grant = principal.settings.grants.at(one.decision.grant);
        one.text = texts_.keep(failure_sentence(grant.name, one.request.operation, shown_target(principal, one.request, one.decision.grant),
                                              one.performed.reason, one.performed.error).view());
    }
    return true;
}

void Broker::send_answer(Principal& principal, RequestId id, Bytes datagram, Credentials sender, Instant now) {
    WARDER_UNINITIALIZED std::array<int, protocol::max_requests> fds;
    std::size_t fd_count = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        Answering& one = work_[i];
        outcomes_[i] = outcome_of(one);
        if (outcomes_[i].fds == 1) fds[fd_count++] = one.borrowed >= 0 ? one.borrowed : one.performed.fd.get();
    }
    const auto message = protocol::encode_answer(outgoing_, id, std::span(outcomes_).first(count_));
    if (!message) return violate(principal, "a reply that does not fit");
    const auto sent = principal.session->channel->send(*message, std::span(fds).first(fd_count));
    for (auto& one : std::span(work_).first(count_)) one.performed.fd.reset();
    if (sent) return record_all(principal, sender, now);
    // The socket is full: the worker must read first, and then its ask is answered anew.
    if (sent.error().number == EAGAIN) return park(principal, datagram, sender);
    if (sent.error().number == EPIPE || sent.error().number == ECONNRESET) return record_all(principal, sender, now);
    answer_with_failure(principal, id, sender, sent.error().number);
}

// ---- What cannot be done here ----

void Broker::delegate(Principal& principal, RequestId id, Credentials sender) {
    for (std::size_t i = 0; i < count_; ++i) {
        const Answering& one = work_[i];
        JobItem& item = job_items_[i];
        item.settled = one.settled;
        item.outcome = outcome_of(one);
        item.listener = one.borrowed;
        item.task = one.task;
        item.task.operation = one.request.operation;
        item.grant = one.decision.grant;
        const policy::Grant* grant = item.grant == GrantId::none ? nullptr : &principal.settings.grants.at(item.grant);
        item.grant_name = grant == nullptr ? std::string_view() : std::string_view(grant->name);
        item.shown = shown_target(principal, one.request, item.grant);
    }
    Session& session = *principal.session;
    Job job{principal.settings.id, session.generation, id, &principal.settings.identity, session.channel->get(),
            std::span(job_items_).first(count_)};
    Result<void> taken = failure(EDQUOT, "outstanding requests");
    if (session.outstanding < principal.settings.max_outstanding) taken = openers_.take(job);
    if (taken) {
        ++session.outstanding;
        return;
    }
    answer_with_failure(principal, id, sender, taken.error().number);
}

// Everything that was allowed fails for one reason: nothing could be sent, or no opener may take it.
void Broker::answer_with_failure(Principal& principal, RequestId id, Credentials sender, int error) {
    const Reason reason = error == EDQUOT ? Reason::too_many : Reason::system;
    for (std::size_t i = 0; i < count_; ++i) {
        Answering& one = work_[i];
        const bool denied = one.settled && one.borrowed < 0;
        if (!denied) settle(one, reason, error, {});
        outcomes_[i] = outcome_of(one);
    }
    reply(principal, protocol::encode_answer(outgoing_, id, std::span(outcomes_).first(count_)));
    if (principal.session) record_all(principal, sender, Instant{});
}

void Broker::job_done(WorkerId worker, std::uint32_t generation, std::span<const JobItem> items,
                      std::span<const JobResult> results, Instant now) {
    Principal* principal = find(worker);
    if (principal == nullptr || !principal->session || principal->session->generation != generation) return;
    if (principal->session->outstanding > 0) --principal->session->outstanding;
    count_ = std::min({items.size(), results.size(), work_.size()});
    for (std::size_t i = 0; i < count_; ++i) {
        Answering& one = work_[i];
        one = Answering{};
        one.request.operation = items[i].task.operation;
        one.request.target = items[i].shown;
        one.request.second = items[i].task.second;
        // By name: a reload since then has given the grants other numbers, or taken this one away.
        one.decision.grant = principal->settings.grants.named(items[i].grant_name).value_or(GrantId::none);
        one.performed.reason = results[i].reason;
        one.performed.error = results[i].error;
        one.performed.device = results[i].device;
        one.performed.inode = results[i].inode;
    }
    record_all(*principal, principal->session->who, now);
}

void Broker::job_failed(WorkerId worker, std::uint32_t generation, RequestId request, std::span<const JobItem> items,
                        Reason reason) {
    Principal* principal = find(worker);
    if (principal == nullptr || !principal->session || principal->session->generation != generation) return;
    count_ = std::min(items.size(), work_.size());
    texts_.clear();
    for (std::size_t i = 0; i < count_; ++i) {
        Answering& one = work_[i];
        one = Answering{};
        one.decision.grant = items[i].grant;
        if (items[i].settled && items[i].listener < 0) {
            outcomes_[i] = items[i].outcome;
            continue;
        }
        const auto sentence = failure_sentence(items[i].grant_name, items[i].task.operation, items[i].shown, reason,
                                               errno_of(reason));
        settle(one, reason, errno_of(reason), texts_.keep(sentence.view()));
        outcomes_[i] = outcome_of(one);
    }
    reply(*principal, protocol::encode_answer(outgoing_, request, std::span(outcomes_).first(count_)));
}

// ---- A worker that does not read ----

// Its ask is kept and its socket watched for room only, so that it costs no turn until it reads.
void Broker::park(Principal& principal, Bytes datagram, Credentials sender) {
    Session& session = *principal.session;
    session.clogged = true;
    session.parked.assign(datagram.begin(), datagram.end());
    session.parked_sender = sender;
    if (!poller_.change_to_write(session.channel->get(), session_tag(principal))) violate(principal, "it cannot be watched");
}

void Broker::unpark(Principal& principal, Instant now) {
    Session& session = *principal.session;
    session.clogged = false;
    std::copy(session.parked.begin(), session.parked.end(), incoming_.begin());
    const Bytes datagram = Bytes(incoming_).first(session.parked.size());
    session.parked.clear();
    const auto message = protocol::decode(datagram);
    if (!message) return violate(principal, message.error().doing);
    answer_ask(principal, *message, session.parked_sender, now);
    if (!principal.session || principal.session->clogged) return;
    session.parked.shrink_to_fit();
    if (!poller_.change_to_read(session.channel->get(), session_tag(principal))) violate(principal, "it cannot be watched");
}

// ---- Small things ----

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
    outcome.text = one.text;
    outcome.value = one.performed.value;
    outcome.fds = one.borrowed >= 0 || one.performed.fd ? 1 : 0;
    return outcome;
}

void Broker::record_all(Principal& principal, Credentials sender, Instant now) {
    const std::int64_t wall = wall_clock_now();
    for (const auto& one : std::span(work_).first(count_)) {
        record_request(principal, sender, one);
        const bool allowed = one.performed.reason == Reason::ok;
        ++(allowed ? principal.allowed : principal.denied);
        if (!allowed || one.decision.grant == GrantId::none) continue;
        ++principal.held[number(one.decision.grant)].lent;
        if (one.performed.inode != 0) {
            principal.session->lent.note({one.decision.grant, one.request.operation, one.performed.device,
                                          one.performed.inode, now, wall});
        }
    }
}

void Broker::record_request(const Principal& principal, Credentials sender, const Answering& one) {
    audit::Record* record = audit_.push();
    if (record == nullptr) return;
    const policy::Grant* grant =
        one.decision.grant == GrantId::none ? nullptr : &principal.settings.grants.at(one.decision.grant);
    record->kind = audit::Record::Kind::request;
    record->operation = one.request.operation;
    record->reason = one.performed.reason;
    record->error = one.performed.error;
    record->grant = one.decision.grant;
    record->wall_clock = wall_clock_now();
    record->pid = sender.pid;
    record->uid = sender.uid;
    record->worker.clear();
    record->worker.append(principal.settings.name);
    record->grant_name.clear();
    if (grant != nullptr) record->grant_name.append(grant->name);
    record->text.clear();
    record->text.append(shown_target(principal, one.request, one.decision.grant));
    if (!one.request.second.empty()) record->text.append(" to ").append(one.request.second);
}

void Broker::record_hold(const Principal& principal, const policy::Grant& grant, std::string_view what) {
    audit::Record* record = audit_.push();
    if (record == nullptr) return;
    *record = audit::Record{};
    record->kind = audit::Record::Kind::hold;
    record->wall_clock = wall_clock_now();
    record->worker.append(principal.settings.name);
    record->grant_name.append(grant.name);
    record->text.append(what);
}

}  // namespace warder::broker
