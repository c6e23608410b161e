// The parent's side of the openers: which one is busy with what, what waits, and until when. A worker has at most one job
// with an opener at a time, so that one that hangs takes one opener and no more; its others wait behind it.
//
// Openers are shared by time. Who took much of it lately is served after those who took little, and never by the last opener that
// is idle: that one is for the others. Where all of them have been busy for longer than a slice and somebody waits, one more is
// made, up to a number, so that long jobs share the processors and not the openers.
//
// The socket of an opener outlives it: what it had not read when it died is read by its successor.
#pragma once

#include <sys/types.h>

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "broker/broker.h"
#include "broker/dependencies.h"
#include "opener/board.h"
#include "opener/job.h"
#include "sys/channel.h"
#include "sys/poller.h"

namespace warder::opener {

struct PoolSettings {
    std::uint32_t openers = 2;                     // from the start
    std::uint32_t more = 6;                        // that are made when all of them take long
    Duration slice = std::chrono::milliseconds(20);   // of a job; longer is long
    Duration deadline = std::chrono::seconds(5);   // of a request, from when it was taken
    std::size_t max_waiting = 4096;                // jobs of all workers
};

class Pool : public broker::Openers {
public:
    Pool(Poller& poller, Privileges& privileges, PoolSettings settings);
    ~Pool() override;
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // Forks the openers. `broker` is told how jobs end, and outlives the pool's last event. Errors: socketpair(2), clone(2).
    Result<void> start(broker::Broker& broker);

    // Ends the openers; they are reaped if they end in time. Nothing is taken any more.
    void stop();

    Result<void> take(const broker::Job& job) override;
    void withdraw(WorkerId worker, const std::function<bool(std::string_view)>& same, Instant now) override;
    void dispose(Fd fd) override;

    // Looks at how jobs ended: to be called at the beginning of each turn, before anything else happens in it. Deadlines of jobs
    // that are taken in this turn go by `now`.
    void collect(Instant now);
    void handle(const PollEvent& event, Instant now);
    Instant next_deadline() const;
    // Abandons openers whose job is past its deadline, and answers what has waited too long.
    void run_due(Instant now);

private:
    struct Slot {
        Channel channel;
        Channel theirs;                    // the opener's end, for its successor
        Board board;
        Fd pidfd;                          // empty: there is no opener, and one is to be made
        std::uint32_t generation = 0;
        bool busy = false;                 // until its job is over
        bool told = false;                 // how the job ended: it is not over only because something is not closed
        std::uint64_t job_id = 0;
        WorkerId worker{};
        Instant since{};
        Instant deadline = Instant::never();
        Instant look = Instant::never();   // when its board is looked at if there is no turn before
        std::vector<std::byte> bytes;      // of the job, to know what an answer is about
    };

    struct Waiting {
        std::vector<std::byte> bytes;
        std::vector<Fd> fds;
        Instant deadline;
    };

    // What a worker took of the openers' time lately.
    struct Charge {
        Duration debt{};
        Instant at{};
    };

    Result<void> spawn(Slot& slot);
    Slot* idle_slot(WorkerId worker);
    Slot* one_more();
    bool has_job(WorkerId worker) const;
    bool all_take_long() const;
    Duration debt_of(WorkerId worker) const;
    void charge(WorkerId worker, Duration spent);
    Result<void> send(Slot& slot, WorkerId worker, Instant deadline, Bytes bytes, std::span<const int> fds);
    Result<void> enqueue(WorkerId worker, Instant deadline, Bytes bytes, const JobFds& fds);
    std::deque<Waiting>* next_waiting(WorkerId& worker);
    void dispatch_waiting();
    void dispatch_condemned();
    Result<void> hand_over(Slot& slot, int condemned);
    bool anybody_waits() const { return waiting_count_ > 0 || !condemned_.empty(); }
    void await(Slot& slot);
    bool look_at(Slot& slot, Instant now);
    void tell(Slot& slot, Instant now);
    void set_idle(Slot& slot);
    void reap_abandoned();
    enum class Gone : std::uint8_t { dead, hangs };
    void replace(Slot& slot, Gone how, Instant now);
    bool by_what_changed(const Waiting& job, const std::function<bool(std::string_view)>& same);
    void fail(Bytes bytes, Reason reason, Instant now);
    void fail_overdue(Instant now);

    Poller& poller_;
    Privileges& privileges_;
    PoolSettings settings_;
    broker::Broker* broker_ = nullptr;
    std::vector<Slot> slots_;     // with room for all that may be made
    std::map<WorkerId, std::deque<Waiting>> waiting_;   // no worker without one that waits
    std::size_t waiting_count_ = 0;
    std::map<WorkerId, Charge> charges_;                // of those that took more than a little
    std::deque<Fd> condemned_;    // to be closed, by one opener at a time
    std::vector<Fd> abandoned_;   // pidfds of openers that were killed and are not reaped yet
    std::uint64_t next_job_ = 1;
    Instant now_{};
    std::array<std::byte, max_job> scratch_;
    std::array<std::byte, Board::room> report_;
    std::array<broker::JobItem, protocol::max_requests> items_;
    std::array<broker::JobResult, protocol::max_requests> results_;
};

}  // namespace warder::opener
