// Daemon: the loop, and the place where the modules meet. It owns them all, hands each event of the poller to the module that
// it concerns, and carries news between those that do not know each other: a life that begins is a session for the broker, a
// worker that says "ready" to the broker is an event in its life.
#pragma once

#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "audit/sink.h"
#include "audit/trail.h"
#include "broker/broker.h"
#include "config/config.h"
#include "config/parse.h"
#include "control/server.h"
#include "daemon/assemble.h"
#include "daemon/channels.h"
#include "daemon/descriptor_stores.h"
#include "daemon/inquiries.h"
#include "daemon/log_pipes.h"
#include "daemon/options.h"
#include "daemon/own_sandbox.h"
#include "daemon/service.h"
#include "daemon/signals.h"
#include "daemon/state_lock.h"
#include "daemon/syscall_monitors.h"
#include "daemon/uids.h"
#include "opener/pool.h"
#include "opener/runner.h"
#include "supervise/roster.h"

namespace warder::daemon {

class Operators;

// Kinds of poll tags that are the loop's own: 48 and on.
class Daemon : public supervise::Observer,
               public broker::Listener,
               public broker::Resolver,
               public broker::Workers,
               public SyscallMonitorListener,
               public opener::RunnerObserver {
public:
    // Everything up to the first start: directories, uids, sandboxes, listeners, the control socket. What went wrong has been
    // logged, in words.
    static std::unique_ptr<Daemon> create(Options options, config::Config config);
    ~Daemon() override;

    // Until everything has stopped. Returns the exit code.
    int run();

    // supervise::Observer
    Fd store_socket(supervise::Worker& worker) override;
    Result<Fd> syscall_monitor_socket(supervise::Worker& worker, const seccomp::Program& filter) override;
    const sandbox::SeenCalls* seen_calls(supervise::Worker& worker) override;
    void session_begins(supervise::Worker& worker, Channel& ours, Credentials who) override;
    void session_ends(supervise::Worker& worker) override;
    void state_changed(supervise::Worker& worker, supervise::State from, supervise::State to, std::string_view why) override;
    void status_text(supervise::Worker& worker, std::string_view text) override;
    void ready_unheard(supervise::Worker& worker, pid_t from) override;
    void removed(supervise::Worker& worker) override;

    // broker::Listener
    void said_hello(WorkerId worker) override;
    void said_ready(WorkerId worker) override;
    void said_status(WorkerId worker, std::string_view text) override;
    void held_back(WorkerId worker, Duration by) override;
    void broke_protocol(WorkerId worker, std::string_view how) override;

    // broker::Resolver
    Result<void> look_up(std::uint64_t query, std::string_view key) override;

    // broker::Workers
    Result<void> signal(std::string_view worker, int signal) override;
    Result<void> restart(std::string_view worker) override;

    // SyscallMonitorListener
    void call_denied(WorkerId worker, const sandbox::SeenCall& call) override;
    void fatal_call(WorkerId worker) override;
    void syscall_monitor_lost(WorkerId worker) override;

    // opener::RunnerObserver
    void command_begun(const opener::CommandBegun& begun) override;
    void command_ended(const opener::CommandEnded& ended) override;

    // How long turns took: the loop counts it itself, and `warderctl version` says it.
    struct Turns {
        std::uint64_t count = 0;
        std::uint64_t over_5ms = 0;
        Duration longest{};
    };
    const Turns& turns() const { return turns_; }

private:
    friend class Operators;
    friend class Reload;

    // A worker of the config, as it runs now.
    struct Member {
        config::Worker config;
        WorkerId id{};
        std::string fault;   // why it cannot be started as it is; it is held ready all the same, and was not admitted to the broker
    };

    Daemon(Options options, config::Config config, UidRegistry uids, StateLock lock, Poller poller, Timer timer, Signals signals);

    bool prepare();
    bool open_control();
    bool open_audit();
    Result<Fd> open_audit_file(std::string_view name);
    bool add_keeper();
    bool make_log_directory(uid_t keeper);
    // Of another control_group: who may operate, and who may read logs. Empty: done; otherwise why not.
    std::string let_in(const std::string& control_group);
    bool add_resolver();
    static bool wants_resolver(const config::Config& config);
    bool prepare_openers();
    bool has_what_it_requires(const std::string& controllers);
    bool put_on_sandbox();
    bool give_up_groups();
    std::optional<Member> take_out(const std::string& name);
    // Why it cannot run, in words, which are logged too; empty: it can. It is a member all the same, and fails when it is started; but
    // for a name that is taken.
    std::string add(const config::Worker& worker);
    static std::string complain(const config::Worker& worker, const std::string& why);
    void take_back(const std::string& name);
    bool cannot_run(const Member& member) const;
    // Looks once more whether it can: a person starts it.
    void look_again(const std::string& name);
    // `group` is the worker's own: it may open what it writes to by a name.
    Result<Fd> output_for(const config::Worker& worker, gid_t group);
    Assembled assembled(const config::Worker& worker);
    Result<Assembled> with_its_numbers(const config::Worker& worker);
    void join(const config::Worker& worker, WorkerId id, const std::string& fault);
    void admit(WorkerId id, broker::PrincipalSettings principal);
    void admit_awaited(WorkerId id);

    void turn();
    void dispatch(const PollEvent& event);
    void run_due();
    void arm_timer();
    Instant next_deadline() const;
    void tend_audit();
    void tend_keeper();
    void on_signal(int signal);
    control::ReloadReport reload(control::ReloadMode mode);
    void bind_control_again();
    void bind_listeners_again();
    void shut_down(std::string_view why);
    void continue_shutdown();
    bool is_keeper(WorkerId id) const { return keeper_ && id == keeper_->id; }
    bool is_resolver(WorkerId id) const { return resolver_ && id == resolver_->id; }
    supervise::Worker* worker_named(std::string_view name);
    Result<std::span<const PollEvent>> next_events();
    void count_turn();
    void end();
    void renew_output(supervise::Worker& worker);
    void note_losses(std::string_view text);
    void record_state(const supervise::Worker& worker, std::string_view text);
    void record(const supervise::Worker& worker, audit::Record::Kind kind, std::string_view text);
    void write_out_audit();
    const config::Worker* config_of(WorkerId id) const;

    Options options_;
    config::Config config_;
    UidRegistry uids_;
    StateLock lock_;
    Poller poller_;
    Timer timer_;
    Signals signals_;
    ServiceManager service_;
    Privileges privileges_;
    audit::Trail trail_{1024};
    audit::Sink sink_;
    audit::Sink event_sink_;
    Fd audit_out_;
    Fd events_out_;
    opener::Pool pool_;
    opener::Runner runner_;
    broker::Broker broker_;
    Channels channels_;
    DescriptorStores descriptor_stores_;
    SyscallMonitors syscall_monitors_;
    LogPipes pipes_;
    std::unique_ptr<supervise::Roster> roster_;
    std::map<std::string, Member, std::less<>> members_;
    std::vector<std::string> order_;             // of the config, for reports
    // Grants that came with a new sandbox, of workers whose life under the old one is not over: a filter that knows nothing of them
    // would not hold what they lend.
    std::map<WorkerId, broker::PrincipalSettings> awaited_;
    std::optional<Member> keeper_;
    std::optional<Member> resolver_;
    bool resolver_up_ = false;
    bool losing_lines_ = false;   // as the keeper said last
    Turns turns_;
    std::unique_ptr<Operators> operators_;
    std::optional<control::Server> control_;
    const pid_t pid_ = ::getpid();   // as its inquiries know it
    Inquiries inquiries_{poller_, [this](const control::Ticket& ticket, control::Reported reported) {
        if (control_) control_->answered(ticket, std::move(reported), {now_, wall_clock_now()});
    }};
    std::string cgroup_;
    OwnSandbox sandbox_;

    Instant now_{};
    Instant turn_ended_{};
    std::optional<PollEvent> likely_;   // of the turn that begins, where the broker knows without asking the poller
    Instant started_{};
    Instant armed_ = Instant::never();
    Instant audit_due_ = Instant::never();
    bool audit_behind_ = false;   // more is to be written than one turn does
    Instant keeper_due_ = Instant::never();
    Instant watchdog_due_ = Instant::never();
    bool shutting_down_ = false;
    bool keeper_stopping_ = false;
    bool finished_ = false;
};

}  // namespace warder::daemon
