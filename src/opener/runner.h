// The parent's side of the runner: which commands of which worker run, and how many. It hands a command over and never waits;
// the runner answers the worker itself and tells by value how the command began and ended. A runner that dies takes its
// commands along, and the next command gets a new one.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "broker/dependencies.h"
#include "opener/runner_process.h"
#include "sys/channel.h"
#include "sys/poller.h"
#include "sys/privileges.h"

namespace warder::opener {

struct CommandBegun {
    WorkerId worker{};
    std::uint32_t generation = 0;      // of the session that asked
    RequestId request{};
    std::string_view grant_name;
    pid_t pid = -1;
    int error = 0;                     // why it did not begin
    bool answered = true;              // false: the worker was told nothing: it did not read, or the runner is gone
    std::size_t ends = 0;              // descriptors of its answer, if it began
    std::uint32_t use = 0;             // as the job had it
};

struct CommandEnded {
    WorkerId worker{};
    std::uint32_t generation = 0;
    std::string_view grant_name;
    pid_t pid = -1;
    bool by_signal = false;
    int value = 0;                     // exit code or signal
    bool timed_out = false;
    Duration ran{};
};

class RunnerObserver {
public:
    virtual ~RunnerObserver() = default;
    // Once for each command that was taken.
    virtual void command_begun(const CommandBegun& begun) = 0;
    // Once for each command that began without an error, after that.
    virtual void command_ended(const CommandEnded& ended) = 0;
};

struct RunnerSettings {
    std::string cgroup;                // ours, of cgroup v2: each command gets a group below it. Empty: none
    std::uint32_t most = 256;          // commands of all workers at once
    Duration begin_within = std::chrono::seconds(5);   // from the request to exec
};

class Runner : public broker::Runner {
public:
    // `observer` outlives the runner.
    Runner(Poller& poller, Privileges& privileges, RunnerObserver& observer, RunnerSettings settings = {});
    ~Runner() override;
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;

    // Known later than the rest: before start().
    void set_cgroup(std::string directory) { settings_.cgroup = std::move(directory); }

    // Forks the runner. take() does so too when there is none. Errors: socketpair(2), clone(2).
    Result<void> start();
    // Ends it, and every command.
    void stop();

    // Never waits. Errors: EDQUOT when as many of this worker's grant run as may; EAGAIN when the runner has too much to do or
    // could not be made; EINVAL for words that are none (no words, a NUL, a program that is no absolute path); E2BIG.
    Result<void> take(const broker::CommandJob& job) override;

    // The life that asked is over: its commands are killed.
    void session_ended(WorkerId worker) override;

    void handle(const PollEvent& event, Instant now);
    Instant next_deadline() const;
    void run_due(Instant now);
    void set_now(Instant now) { now_ = now; }

    struct Running {
        WorkerId worker{};
        std::string grant_name;
        pid_t pid = -1;                // -1: not begun yet
        Instant since{};
    };
    std::vector<Running> running() const;

    pid_t pid() const { return pid_; }   // -1: there is none

private:
    struct Job {
        WorkerId worker{};
        std::uint32_t generation = 0;
        RequestId request{};
        std::string grant_name;
        std::size_t ends = 0;
        std::uint32_t use = 0;
        pid_t pid = -1;
        Instant since{};
        Instant begin_by = Instant::never();
        bool begun = false;
        bool failed = false;           // it did not begin; the runner has yet to let go of it
        bool to_kill = false;          // and the runner has not been told
    };

    Result<void> check(const broker::CommandJob& job) const;
    Result<Bytes> encode(std::uint64_t id, const broker::CommandJob& job);
    std::size_t running_of(const broker::CommandJob& job) const;
    void hear();
    void on_report(const runner_wire::Report& report);
    void tell_to_kill(std::uint64_t id, Job& job);
    void lose();
    void sweep_groups();

    Poller& poller_;
    Privileges& privileges_;
    RunnerObserver& observer_;
    RunnerSettings settings_;
    Channel channel_;
    Fd pidfd_;
    pid_t pid_ = -1;
    std::uint32_t generation_ = 0;
    std::string groups_;               // of this runner's commands
    std::vector<std::string> spent_groups_;
    std::vector<Fd> abandoned_;        // pidfds of runners that were killed and are not reaped yet
    std::map<std::uint64_t, Job> jobs_;
    std::uint64_t next_job_ = 1;
    Instant now_{};
    Instant retry_at_ = Instant::never();
    std::array<std::byte, max_message> scratch_;
};

}  // namespace warder::opener
