// Broker: answers workers. It takes one datagram from a session, proves who sent it, lets the policy decide each request in
// it, performs what cannot block or hands the ask to an opener, and replies with the descriptors. It knows principals and
// sessions, never processes: who is started and stopped is not its business. Between receive and send nothing is allocated.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "audit/trail.h"
#include "broker/attention.h"
#include "broker/authenticate.h"
#include "broker/dependencies.h"
#include "broker/knowledge.h"
#include "broker/rotation.h"
#include "broker/session.h"
#include "broker/task.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/explain.h"
#include "protocol/codec.h"
#include "sys/poller.h"

namespace warder::broker {

// Everybody whom the broker needs; all outlive it.
struct Dependencies {
    Openers& openers;
    Runner& runner;
    Resolver& resolver;
    Workers& workers;
    Listener& listener;
};

// How a listener of a grant could not be had, or a file not be made: told to the operator at load.
struct Trouble {
    std::string worker;
    std::string grant;
    Error error;
};

class Broker {
public:
    Broker(Poller& poller, audit::Trail& audit, Privileges& privileges, Dependencies dependencies);

    // Knows a worker from here on, or knows it anew after a reload: directories are held, files with an owner made,
    // listeners opened. Listeners of grants that did not change are kept. What could not be had is told and tried again
    // when it is asked for.
    std::vector<Trouble> admit(PrincipalSettings settings, Instant now);
    // Makes listeners again whose path is gone or another's, as after a sweep of /run: each is told, with error 0 where it is there again.
    // The worker has the former one until it asks anew.
    std::vector<Trouble> bind_again();
    // Forgets a worker: its listeners are closed.
    void dismiss(WorkerId worker);

    // A life begins: `channel` stays the caller's and outlives the session. `cgroup_id` is that of this life's group, 0: none.
    Result<void> begin_session(WorkerId worker, const Channel& channel, Credentials who, std::uint64_t cgroup_id);
    // It is over. Listeners that its holder spoiled are made again.
    void end_session(WorkerId worker);

    // The poller says something about a session: one datagram is answered, so that a noisy worker gets one of each turn like
    // all others. The poller tells of the next at once, without a wake-up. An ask of many requests is only begun while others
    // speak too, and a session that took more than its share of the time pauses (attention.h).
    void handle(const PollEvent& event, Instant now);

    // What the loop may handle before it waits for events: that the session which was handled in the turn that began at `now` has
    // asked again (attention.h). Nothing while anything else is to be done.
    std::optional<PollEvent> next_likely(Instant now);

    // What is still to be done without waiting for anything: the rest of a wide ask, sessions whose pause is over. To be called
    // once in each turn.
    void go_on(Instant now);
    // How long the loop may wait before the next go_on: zero while a wide ask is under way, Duration::max() for ever.
    Duration patience() const;

    // An opener has answered (or its deadline has): records it.
    void job_done(WorkerId worker, std::uint32_t generation, std::span<const JobItem> items,
                  std::span<const JobResult> results, Instant now);
    // An opener has done it, and the worker did not take its answer: it is told, when it reads, how each request ended, with nothing
    // lent. Then job_done is called by the same caller.
    void job_unanswered(WorkerId worker, std::uint32_t generation, RequestId request, std::span<const JobItem> items,
                        std::span<const JobResult> results, Instant now);
    // Memory that may still be made for this worker (memory_account.h), and what an opener saw of what there was.
    MemoryLeft memory_left(WorkerId worker) const;
    void memory_looked_at(WorkerId worker, std::size_t count, const MemoryAccount::Places& there);
    // The deadline came first: the worker is told so, and then job_done is called by the same caller.
    void job_failed(WorkerId worker, std::uint32_t generation, RequestId request, std::span<const JobItem> items,
                    Reason reason, Instant now);

    // A command was started, or could not be. The worker knows it from the runner, unless that is gone.
    struct Begun {
        RequestId request{};
        std::string_view grant;
        int error = 0;
        bool answered = true;
        std::size_t ends = 0;      // descriptors that its answer has, if it began
        std::uint32_t use = 0;     // as CommandJob had it
    };
    void command_begun(WorkerId worker, std::uint32_t generation, const Begun& begun, Instant now);

    // A command that had begun is over: the worker is told, when its socket has room. A session that is over is not.
    struct Ended {
        std::string_view grant;
        std::int32_t pid = -1;
        std::uint8_t code = 0;   // exit code or signal
        bool by_signal = false;
        bool timed_out = false;
    };
    void command_ended(WorkerId worker, std::uint32_t generation, const Ended& ended, Instant now);

    // The resolver has just begun: what is still asked for is asked of it.
    void resolver_began(Instant now);

    // Notices when secrets are rotated, from here on. Errors: inotify_init1(2), epoll_ctl(2).
    Result<void> watch_rotations();
    // The poller says that secrets changed: each worker that was lent one is told, with the new one, by an opener.
    void handle_rotations(Instant now);

    // Asks that wait for a name no longer than this, and news that a full socket had no room for.
    Instant next_deadline() const { return next_deadline_; }
    void run_due(Instant now);
    void set_request_deadline(Duration deadline) { request_deadline_ = deadline; }

    // What messages may have on their way beyond their workers' own quotas, all together: one wider than its worker's quota
    // passes when that worker has nothing else unread.
    void set_spare_in_flight(std::size_t descriptors) { spare_in_flight_ = descriptors; }

    // Tells a worker's session something: stop, reload, channel, with at most one descriptor, which stays the caller's.
    // Errors: ENOTCONN without a session; those of Channel::send.
    Result<void> send_event(WorkerId worker, protocol::Type type, const protocol::Event& event, int fd = -1);

    const Principal* principal(WorkerId worker) const;

private:
    // What answering one request needs; all of an ask's lie in arrays that are there already.
    struct Answering {
        policy::Request request;
        policy::Decision decision;
        Task task;
        Performed performed;
        int borrowed = -1;      // a kept listener
        bool settled = false;   // it needs nothing done: denied, or answered from what is here
        bool done = false;      // performed, and not to be performed again
        std::uint32_t taken = 0;   // a use of the grant, to be given back if it fails: of which counting (0: none)
        std::uint64_t awaits = 0;   // the question to the resolver without whose answer it cannot be done
        std::string_view text;
    };
    // What one ask needs while it is answered. What an ask of one request touches lies together: each page more is one more that
    // is not in the processor's tables after the worker ran.
    struct Batch {
        Texts texts;
        std::size_t count = 0;
        Bytes asked;   // the ask that is being answered, in incoming
        protocol::Requests requests;   // ... taken apart
        std::uint32_t charged = 0;     // of the worker's requests per second
        bool again = false;            // it was decided before, and had to wait
        Instant deadline;              // until which it waits for the resolver
        std::array<Answering, protocol::max_requests> work;
        std::array<std::byte, max_message> incoming;
    };
    struct SessionId {
        WorkerId worker{};
        std::uint32_t generation = 0;
        bool operator==(const SessionId&) const = default;
    };
    // An ask that is carried out in parts; it lies on `deferred_batch_`. All of it is decided, then all of it is performed, then it is
    // answered, then our copies of what was lent are closed and all of it is recorded.
    struct WideAsk {
        enum class Stage : std::uint8_t { deciding, performing, recording };
        SessionId session;
        RequestId id{};
        Credentials sender;
        Instant began;
        Stage stage = Stage::deciding;
        std::size_t next = 0;   // the first request that this is still to be done with
    };
    struct Paused {
        SessionId session;
        Instant until;
    };

    Principal* find(WorkerId worker);
    Principal* find(SessionId session);   // null when that session is over
    static SessionId session_id(const Principal& principal);
    bool answer(Principal& principal, Instant now);
    void take(Principal& principal, const Received& received, Instant now);
    void withdraw_what_changed(Principal& principal, const policy::GrantSet& next, Instant now);
    void take_requester(Principal& principal, const protocol::Message& message, Credentials sender, Instant now);
    void refuse_relative(Principal& principal, const protocol::Message& message, Credentials sender, Instant now);

    // broker.cc: what a session says.
    void greet(Principal& principal, const protocol::Message& message);
    void hang_up(Principal& principal);
    void hear_text(Principal& principal, const protocol::Message& message);
    void hear_found(Principal& principal, const protocol::Message& message, Instant now);

    // ask.cc: requests, from the decision to the reply.
    // `again`: it was kept, and waits for the resolver until then.
    void answer_ask(Principal& principal, const protocol::Message& message, Credentials sender, Instant now,
                    std::optional<Instant> again = std::nullopt);
    bool within_rate(Principal& principal, RequestId id, Credentials sender, Instant now);
    void refuse_wider_than_rate(Principal& principal, RequestId id, Credentials sender, Instant now);
    void decide_some(Principal& principal, std::size_t first, std::size_t last, Instant now);
    std::uint64_t awaited(std::size_t first, std::size_t last) const;
    void decide_one(Principal& principal, Answering& one, Instant now);
    bool take_use(Principal& principal, Answering& one, Instant now);
    void build_task(Principal& principal, Answering& one, Instant now);
    void prepare(Principal& principal, Answering& one, Instant now);
    void prepare_below(Principal& principal, Answering& one, Held& held, Instant now);
    void prepare_by_name(Principal& principal, Answering& one, Instant now);
    void look_up(const Principal& principal, Answering& one, Instant now);
    const Knowledge::Entry* knowledge_of(const Principal& principal, Answering& one, std::string_view key, Instant now);
    void watch_rotation(const Principal& principal, GrantId id);
    void pushed(Principal& principal, std::string_view grant, Instant now);
    void push_again(Instant now);
    void push_secret(Principal& principal, std::string_view grant, Instant now);
    void lend_listener(Principal& principal, Answering& one);
    void reach_worker(Principal& principal, Answering& one);
    void narrow(Principal& principal, Answering& one);
    bool perform_some(Principal& principal, std::size_t first, std::size_t last);
    void say_failures(const Principal& principal);
    void say_failure(const Principal& principal, Answering& one);
    bool room_in_flight(const Principal& principal, std::size_t fds);
    bool room_beyond_quotas(const Principal& principal, std::size_t fds);
    bool send_answer(Principal& principal, RequestId id, Bytes datagram, Credentials sender, Instant now);

    // deferred.cc: asks that are not answered at once: by an opener, by the runner, after the resolver, after the worker reads.
    void delegate(Principal& principal, RequestId id, Credentials sender, Instant now);
    void run(Principal& principal, RequestId id, Credentials sender, Instant now);
    void tell_later(Principal& principal, const Result<Bytes>& message);
    void tell_untold(Principal& principal, Instant now);
    void answer_with_failure(Principal& principal, RequestId id, Credentials sender, int error, Instant now,
                             std::string_view text = {});
    void await(Principal& principal, std::uint64_t query, Bytes datagram, Credentials sender, Instant now);
    void resume(std::uint64_t query, Instant now);
    void answer_those_of(const std::function<bool(const Awaiting&)>& chosen, Instant now);
    void answer_again(Principal& principal, const KeptAsk& ask, Instant now);
    void keep_first(Session& session, Bytes datagram, Credentials sender);
    bool take_first(Principal& principal, Instant now);
    void park(Principal& principal, Bytes datagram, Credentials sender);
    void unpark(Principal& principal, Instant now);
    void give_back_uses(Principal& principal);

    // turns.cc: whose turn it is.
    bool too_wide(const Principal& principal, Instant now) const;
    void begin_wide(Principal& principal, RequestId id, Credentials sender, Instant now);
    void postpone(Principal& principal, Credentials sender);
    void take_up_postponed(Instant now);
    void take_part(bool whole, Instant now);
    void decide_part(Principal& principal, std::size_t last, Instant now);
    void perform_part(Principal& principal, std::size_t last, Instant now);
    void record_part(Principal& principal, std::size_t last, Instant now);
    void finish_wide(WorkerId worker, Instant now);
    void abandon_wide(WorkerId worker);
    void charge(SessionId session, Instant began);
    bool is_flooding(const Principal& principal) const;
    void throttle(Principal& principal, Instant until, Instant now);
    void hold_back(Principal& principal, Credentials sender, Instant now);
    void rest_if_spent(Principal& principal, Instant now);
    void pause(Principal& principal, Instant until);
    void end_pauses(Instant now);
    void end_pause(Principal& principal);

    // record.cc: small things, and the audit.
    void settle(Answering& one, Reason reason, int error, std::string_view text);
    protocol::Outcome outcome_of(const Answering& one) const;
    void reply(Principal& principal, const Result<Bytes>& message);
    void violate(Principal& principal, std::string_view how);

    void record_all(Principal& principal, Credentials sender, Instant now);
    void dispose_of_unlinked(std::size_t first, std::size_t last);
    void close_lent(std::size_t first, std::size_t last);
    Result<void> open_again(const Principal& principal, const policy::Grant& grant, Held& held, Held fresh);
    void let_go(Held& held);
    void renew_listeners(Principal& principal);
    void conclude(Principal& principal, Credentials sender, std::size_t first, std::size_t last, Instant now);
    void record_request(const Principal& principal, Credentials sender, const Answering& one, std::int64_t wall, Instant now);
    void record_refused(const Principal& principal, Credentials sender, const Answering& first, Instant now);
    void fill_in(audit::Record& record, const Principal& principal, Credentials sender, const Answering& one, std::int64_t wall) const;
    void record_hold(const Principal& principal, const policy::Grant& grant, std::string_view what);

    Poller& poller_;
    audit::Trail& audit_;
    Privileges& privileges_;
    Dependencies dependencies_;
    std::unordered_map<std::uint32_t, std::unique_ptr<Principal>> principals_;

    Knowledge knowledge_;
    Rotations rotations_;
    Duration request_deadline_ = std::chrono::seconds(5);
    Instant next_deadline_ = Instant::never();
    std::size_t spare_in_flight_ = 1024;   // unless it is said

    Attention attention_;                // who speaks
    Attention patient_;                  // who of them waits for its answers, as far as was looked at
    BusyPoll busy_poll_;
    bool likely_ = false;               // the event that is handled next is one of next_likely()
    PollTag spoke_;                      // the session that was heard last
    Instant spoke_at_ = Instant::never();   // ... and in which turn
    Instant served_until_{};             // the moment when the last who was charged had been served
    std::optional<WideAsk> wide_;
    std::vector<SessionId> postponed_;   // wide asks that wait for their turn
    std::vector<Paused> paused_;

    // Working memory. Members, so that it is neither cleared nor allocated for each ask; the large last.
    std::unique_ptr<Batch> batch_ = std::make_unique<Batch>();
    std::unique_ptr<Batch> deferred_batch_;   // where a wide ask lies meanwhile; made with the second worker
    std::array<protocol::Outcome, protocol::max_requests> outcomes_;
    std::array<JobItem, protocol::max_requests> job_items_;
    policy::Filled words_;   // of a command
    std::array<std::byte, max_message> outgoing_;
};

}  // namespace warder::broker
