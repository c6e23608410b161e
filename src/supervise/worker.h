// Worker carries out what the state machine decides: it owns the processes of a life, their end of the channel, their
// cgroup and NOTIFY_SOCKET. It never waits: set-up, death and messages are events of the poller. It knows nothing of
// grants, requests or configs. It starts and kills with the caller's own credentials: call it as root.
//
// A life begins with the stub, where the plan has a pid namespace; when its status pipe closes the program follows, and when
// that one closes the program runs. While it runs, the spare sandbox of the next life is made (spare_sandbox.h), if there is a place for one:
// then that life begins with the program. It ends when the main process is reaped: its session ends in the same breath, before
// the pid can be another's, then everything else of the life is killed, and when stub and cgroup are gone too it is over.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/ids.h"
#include "sandbox/receipt.h"
#include "sandbox/spawn.h"
#include "supervise/child.h"
#include "supervise/deadlines.h"
#include "supervise/evidence.h"
#include "supervise/group.h"
#include "supervise/lifecycle.h"
#include "supervise/notify.h"
#include "supervise/observer.h"
#include "supervise/output.h"
#include "supervise/snapshot.h"
#include "supervise/spare_sandbox.h"
#include "supervise/terminal.h"
#include "sys/channel.h"
#include "sys/poll_kind.h"
#include "sys/poller.h"

namespace warder::supervise {

enum class GroupWish : std::uint8_t {
    none,        // stays in warderd's own cgroup; not where it has no pid namespace either
    preferred,   // its own where warderd has a delegated directory
    required,    // its own, or it is not added (ENOTSUP)
};

struct WorkerSettings {
    std::string name;
    sandbox::Plan plan;
    Rule rule;
    GroupWish group = GroupWish::preferred;
    bool pass_pidfds = false;   // SO_PASSPIDFD on our end of the channel: for request_access = "all"
    std::string origin;         // where its config stands, for sentences: "warder.toml:12"
    std::string fault;          // why this machine cannot run it, as far as the config could tell; empty: nothing is known
};

// What all workers share. Lives as long as the roster.
struct Dependencies {
    Poller& poller;
    Observer& observer;
    Deadlines deadlines;
    std::minstd_rand random;
    std::string runtime_directory;   // NOTIFY_SOCKETs are in its notify/
    std::string cgroup_directory;    // delegated to us, of cgroup v2; empty: none
    std::string controllers;         // that groups in it have: "cpu memory"
    SpareSandboxPlaces spare_sandboxes;
};

// "/opt/app: is to be shown in the sandbox, but does not exist"; the error where nothing of the plan was at fault.
std::string in_words(const sandbox::Unfit& unfit, const Error& error);

class Worker {
public:
    // Prepares the sandbox, the cgroup and the NOTIFY_SOCKET (which is added to the plan: a bind, and NOTIFY_SOCKET in the
    // environment). `output` becomes 1 and 2 of each life; empty: /dev/null. What cannot be prepared here and now is no error:
    // `why` then says what, and each start tries again. It fails at its first start for what this machine has not (its policy is
    // asked only where a server is silent or something has run out), so that one bad worker never keeps others from theirs.
    static std::unique_ptr<Worker> create(WorkerId id, WorkerSettings settings, Fd output, Dependencies& dependencies, std::string& why);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    // Kills what is left, without waiting for it: a worker should be at rest by now.
    ~Worker();

    WorkerId id() const { return id_; }
    const std::string& name() const { return settings_.name; }
    const WorkerSettings& settings() const { return settings_; }
    const Life& life() const { return life_; }
    State state() const { return life_.state; }
    bool at_rest() const { return life_.state == State::stopped || life_.state == State::failed; }
    // What it was to run with is not on this machine, and its policy does not try again: told at its last preparation or start.
    bool cannot_run() const { return unfit_; }
    // Nothing of it is left, a spare sandbox that nobody took included.
    bool gone() const { return at_rest() && spare_.gone(); }
    std::uint32_t life_number() const { return life_number_; }
    pid_t pid() const { return main_ ? main_.pid() : -1; }
    // Our end of the channel, while there is a session.
    Channel* session() { return session_ ? &session_ : nullptr; }
    std::uint64_t cgroup_id() const { return group_ ? group_->id() : 0; }   // 0: none
    Instant deadline() const { return life_.deadline; }
    Snapshot snapshot() const;
    // What the kernel applied of the present life's sandbox, or of the last one's; not taken before the first program runs.
    const sandbox::Receipt& receipt() const { return receipt_; }
    // What the next life's sandbox is to be.
    sandbox::Receipt planned() const;

    // Runs the state machine and carries out what it says. From inside an Observer's call the event is kept and done after
    // the present one.
    void feed(const Event& event, Instant now);

    void start(Instant now) { feed({.kind = Event::Kind::start, .exit = {}}, now); }
    void stop(Instant now) { feed({.kind = Event::Kind::stop, .exit = {}}, now); }
    void restart(Instant now) { feed({.kind = Event::Kind::restart, .exit = {}}, now); }
    // The next life looks at its sandbox's sources on NFS, FUSE and the like again, and waits a moment for their servers.
    void look_at_theirs() { theirs_ = sandbox::Theirs::asked; }
    // The worker said that it is ready, over the channel or NOTIFY_SOCKET; counts only if its rule asks for that one.
    void said_ready(ReadyBy by, Instant now);
    // Its own words about itself, over the channel; at most 256 bytes are kept, control characters replaced.
    void said_status(std::string_view text);
    // It was not heard for so long, by no fault of its own: it has so much longer to say that it is ready.
    void was_held_back(Duration by, Instant now);
    // Its session broke the protocol: everything of this life is killed, and the policy answers.
    void protocol_broken(Instant now) { feed({.kind = Event::Kind::protocol_broken, .exit = {}}, now); }

    // What the present life is shown by a bind and was replaced on the host since it began.
    std::vector<std::string> replaced_files() const {
        return sandbox_ ? sandbox::replaced_files(*sandbox_->prepared) : std::vector<std::string>();
    }

    // Its syscall monitor saw a call that its filter ends it for: everything of this life is killed.
    void made_fatal_call(Instant now);
    // Whether a syscall monitor sees what the present life is denied, or the next one where there is none yet.
    bool monitored() const { return next_sandbox_ && (sandbox_ ? sandbox_ : next_sandbox_)->monitored; }

    // A signal to the main process, for an operator. Errors: ESRCH when there is none.
    Result<void> send_signal(int signal) const;

    // New settings for the lives to come; the present one goes on under the old sandbox, but the new rule counts at once. The
    // name must be the same. Errors: those of sandbox::prepare(), with the old settings untouched; ENOTSUP where there is no
    // cgroup for whom one is needed. One that has a `fault` is not prepared, and fails when it is started.
    Result<void> change(WorkerSettings settings, sandbox::Unfit& unfit);

    // What 1 and 2 of the next lives are.
    void set_output(Fd output) { output_ = Output(std::move(output)); }

    // An event of the poller whose tag names this worker.
    void handle(const PollEvent& event, Instant now);

    // Its moment in Dependencies::deadlines has come.
    void wake(Instant now);

    // Inside feed() just now: must not be destroyed.
    bool busy() const { return running_; }

private:
    struct Pending {
        Event event;
        Instant now;
    };

    // A sandbox as prepared, with what a life needs to know of its plan. A life keeps the one that it began with.
    struct Sandbox {
        sandbox::PreparedSandbox prepared;
        uid_t uid = 0;
        gid_t gid = 0;
        bool pass_pidfds = false;
        bool may_send_descriptors = false;  // to its descriptor store or over a channel, never to us
        bool filtered = true;               // has a seccomp filter
        bool monitored = false;             // ... which tells a syscall monitor
        bool ahead = false;                 // its spare sandbox may be made
    };

    Worker(WorkerId id, WorkerSettings settings, Fd output, Dependencies& dependencies);
    static std::shared_ptr<const sandbox::Prepared> prepared_of(const std::shared_ptr<const Sandbox>& sandbox);

    // Everything that is made from settings; what is there already is kept.
    Result<void> prepare(const WorkerSettings& settings, sandbox::Unfit& unfit);
    Result<void> prepare_group(const WorkerSettings& settings, sandbox::Unfit& unfit);
    Result<void> prepare_notify(const sandbox::Plan& plan);
    Result<void> make_notify();
    Result<void> restore_notify();
    Result<void> renew_sandbox();
    Result<void> unfit_for(const std::string& why);
    sandbox::Plan plan_with_notify(const WorkerSettings& settings) const;

    void run(const Event& event, Instant now);
    void carry_out(const Action& action, State before, Instant now);
    void announce(State before, Instant now);
    std::string end_in_words() const;
    std::string evidence_for(const Exit& exit, std::string_view object = {});
    bool sandbox_is_as_planned(Instant now);

    void spawn(Instant now);
    Result<void> begin();
    Result<void> begin_stub();
    Result<void> begin_main();
    Result<ChannelPair> make_session() const;
    void setup_failed(sandbox::SetupFailure failure, Instant now);
    void spawn_failed(const Error& error, Instant now);
    Result<sandbox::Spawned> noted(Result<sandbox::Spawned> spawned);

    void signal_main(int signal);
    void kill_all();
    void end_session();

    void on_stub_status(Instant now);
    void on_main_status(Instant now);
    std::optional<sandbox::SetupFailure> finished_status(Fd& status, std::optional<sandbox::Proof>* proof = nullptr);
    void on_main_exit(Instant now);
    void on_stub_exit(Instant now);
    void on_group(Instant now);
    void on_spare(Instant now);
    void on_notify(Instant now);
    void take(const Notification& said, Instant now);
    void record_death(Instant now);
    void tell_what_is_gone(Instant now);
    bool wants_spare() const;
    void plan_spare(Instant now, Duration delay);
    void tend_spare(Instant now);
    void look_at_setup(Instant now);
    void look_at_everything(Instant now);

    PollTag tag(PollKind watch) const;
    void watch(int fd, PollKind what);
    void unwatch(int fd);
    void arm(Instant now);
    Result<void> renew_group();
    Result<void> limit_group();
    Result<void> watch_group(const Group& group);
    sandbox::Descriptors descriptors(int broker, int store, int syscall_monitor, int output) const;

    WorkerId id_;
    WorkerSettings settings_;
    Dependencies& dependencies_;
    Output output_;
    std::optional<BorrowedTerminal> terminal_;   // of the present life
    std::shared_ptr<const Sandbox> next_sandbox_;   // for the lives to come
    std::optional<Group> group_;
    std::optional<NotifySocket> notify_;
    SpareSandbox spare_;
    Instant spare_at_ = Instant::never();   // when it is to be made, or to be looked at
    sandbox::Theirs theirs_ = sandbox::Theirs::left_alone;
    bool spare_again_ = false;              // another one when this one is gone

    Life life_;
    std::string why_ = "not started yet";
    std::uint32_t life_number_ = 0;

    // The present life.
    std::shared_ptr<const Sandbox> sandbox_;
    Child stub_;
    Child main_;
    Fd stub_status_;
    Fd main_status_;
    Channel session_;
    bool main_may_come_ = false;     // its main process was not made yet, and nothing has failed
    bool exited_told_ = true;        // Event::exited
    bool empty_told_ = true;         // Event::group_empty
    bool kill_again_ = false;        // its group could not be killed, for want of a descriptor say
    bool poller_failed_ = false;     // something could not be watched: look at everything from time to time instead
    Instant started_ = Instant::never();
    Instant ready_at_ = Instant::never();
    Instant watchdog_at_ = Instant::never();
    Reaped reaped_;                  // how its main process ended
    pid_t reaped_pid_ = -1;          // -1: there was none
    std::optional<sandbox::Proof> proof_;   // what its child saw before exec
    sandbox::Descriptors given_;     // numbers that are only looked at for whether they are there
    sandbox::Receipt receipt_;
    sandbox::Stage failed_at_ = sandbox::Stage::none;   // of a beginning that failed before there was a child
    std::string problem_;            // of its set-up or its sandbox, in words
    bool unfit_ = false;             // ... which another start would not mend
    std::string evidence_;           // what is known of why its sandbox ended it
    std::uint64_t oom_kills_before_ = 0;   // in its group, when this life began
    FixedString<256> status_text_;

    std::vector<Death> deaths_;
    std::deque<Pending> pending_;
    bool running_ = false;
};

}  // namespace warder::supervise
