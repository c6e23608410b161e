// Roster: every worker, by id and by name. It hands the poller's events and the due deadlines to whom they concern; a turn
// costs nothing for workers that have neither. Ids are never given twice.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "supervise/worker.h"

namespace warder::supervise {

struct RosterSettings {
    std::string runtime_directory = "/run/warder";
    std::string cgroup_directory;   // delegated to us, of cgroup v2; empty: workers get no cgroup of their own
    std::string controllers{};      // that groups in it have, as cgroup.subtree_control names them
    std::uint32_t spare_sandboxes = 0;  // at most so many spare sandboxes stand at the same time
    std::uint32_t seed = 0;         // for the jitter; 0: from the kernel
};

class Roster {
public:
    // `poller` and `observer` outlive the roster.
    Roster(RosterSettings settings, Poller& poller, Observer& observer);
    ~Roster();
    Roster(const Roster&) = delete;
    Roster& operator=(const Roster&) = delete;

    // Prepares a worker; it does not start. `output` and `why` as in Worker::create(). Errors: EEXIST for a name that is taken,
    // EBUSY for one of a worker that is_leaving().
    Result<WorkerId> add(WorkerSettings settings, Fd output, std::string& why);

    // Stops it; when it is stopped it is gone. It is not found by its name any more, which is free when it is gone.
    void remove(WorkerId id, Instant now);
    // Whether one of this name was removed and has not ended yet.
    bool is_leaving(std::string_view name) const;

    // What groups have from now on: for workers that are added or changed later.
    void set_controllers(std::string controllers) { dependencies_.controllers = std::move(controllers); }

    Worker* find(WorkerId id);
    Worker* find(std::string_view name);   // not those that are being removed

    // Starts those with autostart. All at once: nobody waits for anybody.
    void start_all(Instant now);
    // Stops all, side by side.
    void stop_all(Instant now);

    // An event of the poller. False: its kind is not ours (16 and above).
    bool handle(const PollEvent& event, Instant now);

    // When run_due() must be called next; never: not until something else happens. For the daemon's one timer.
    Instant next_deadline() const { return dependencies_.deadlines.next(); }

    // Wakes those who are due, one at least, for two milliseconds in one turn: next_deadline() then stays in the past.
    void run_due(Instant now);

    // Whether every worker, those that are being removed too, is at rest, stopped or failed, and has left nothing behind.
    bool everything_stopped() const;

    std::size_t size() const { return workers_.size(); }

    // All that are not being removed, by name.
    std::vector<Worker*> by_name() const;

    // What operators see of all, by name.
    std::vector<Snapshot> snapshots() const;

private:
    // While it lives, workers that are gone stay in memory: somebody further up the stack may still be with them.
    class Turn {
    public:
        explicit Turn(Roster& roster) : roster_(roster) { ++roster_.turns_; }
        ~Turn() { if (--roster_.turns_ == 0) roster_.sweep(); }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;

    private:
        Roster& roster_;
    };

    void sweep();
    bool is_gone(WorkerId id);

    Dependencies dependencies_;
    int turns_ = 0;
    std::uint32_t next_id_ = 1;
    std::map<std::uint32_t, std::unique_ptr<Worker>> workers_;
    std::map<std::string, WorkerId, std::less<>> names_;
    std::vector<WorkerId> leaving_;
};

}  // namespace warder::supervise
