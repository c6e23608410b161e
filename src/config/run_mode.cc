#include "config/run_mode.h"

#include <sys/resource.h>

#include <algorithm>

#include "config/check.h"
#include "config/complaints.h"
#include "config/config.h"
#include "sandbox/call_groups.h"

namespace warder::config {
namespace {

using policy::Kind;

constexpr std::uint32_t first_free_port = 1024;
constexpr const char* its_wall = "workers have one uid: this is what keeps them apart";

Problem at(const Marks& marks, const std::string& key, const std::string& otherwise, std::string what, std::string suggestion) {
    auto place = marks.find(key);
    if (place == marks.end()) place = marks.find(otherwise);
    if (place != marks.end()) return place->second.problem(Severity::error, std::move(what), std::move(suggestion));
    return {Severity::error, {}, std::move(what), std::move(suggestion), {}, 1, 1};
}

void check_daemon(const Config& config, std::vector<Problem>& problems) {
    const auto& marks = config.daemon.marks;
    const auto refuse = [&](const char* key, const char* what, const char* suggestion) {
        if (marks.contains(key)) problems.push_back(at(marks, key, key, std::string("[daemon] without root: ") + what, suggestion));
    };
    if (!config.daemon.control_group.empty()) refuse("control_group", "the control socket cannot be given to a group", "leave it out");
    refuse("uid_range", "no other uids can be had", "leave it out");
    refuse("reserve_capabilities", "outside of its user namespace warderd has no capability", "leave it out");
    for (const auto* missing : {&config.daemon.runtime_directory, &config.daemon.state_directory, &config.daemon.log_directory}) {
        if (!missing->empty()) continue;
        problems.push_back({Severity::error, {config.files.empty() ? std::string() : config.files.front(), 1, 1},
                            "[daemon] without root: neither HOME nor XDG_STATE_HOME says where warderd's directories are",
                            "set HOME, or write runtime_directory, state_directory and log_directory", {}, 1, 1});
        return;
    }
}

// Refuses what takes root. A class only to keep the worker and the list of problems at hand.
class Checker {
public:
    Checker(Worker& worker, const RunMode& run_mode, std::vector<Problem>& problems)
        : worker_(worker), run_mode_(run_mode), problems_(problems) {}

    void run() {
        check_identity();
        if (worker_.profile == "unconfined") {
            error("sandbox.profile", "profile = \"unconfined\" cannot be had", std::string(its_wall) + "; write profile = \"service\"");
        } else {
            check_walls();
            check_sandbox();
        }
        check_process();
        for (auto& grant : worker_.grants) check_grant(grant);
    }

private:
    void error(const std::string& key, const std::string& what, std::string suggestion) {
        problems_.push_back(at(worker_.marks, key, "worker", "worker " + quoted(worker_.name) + " without root: " + what, std::move(suggestion)));
    }

    void check_identity() {
        if (!worker_.user.empty()) error("user", "it cannot become another user", "leave out user");
        if (!worker_.group.empty()) error("group", "it cannot be put into another group", "leave out group");
        if (!worker_.supplementary_groups.empty()) error("supplementary_groups", "it cannot be put into other groups", "leave them out");
        if (worker_.requesters == Requesters::group) {
            error("request_access", "request_access = \"all\" cannot be had", "write request_access = \"main\"");
        }
    }

    // Between processes of one uid these are the walls: nothing does without them.
    void check_walls() {
        const auto& sandbox = worker_.sandbox;
        if (!sandbox.scope_signals) error("sandbox.scope_signals", "scope_signals = false cannot be had", its_wall);
        for (const auto* wall : {"pid_namespace", "landlock", "landlock_scope", "seccomp"}) {
            if (std::ranges::find(sandbox.preferred, wall) != sandbox.preferred.end()) {
                error("sandbox.optional_features", quoted(wall) + " is required", its_wall);
            }
        }
    }

    void check_sandbox() {
        const auto& sandbox = worker_.sandbox;
        if (sandbox.network == sandbox::Network::named) {
            error("sandbox.network", "a network namespace of the machine cannot be joined", "write network = \"none\" or \"host\"");
        }
        if (sandbox.user_namespace) error("sandbox.user_namespace", "it is in warderd's user namespace, and has no right there either", "leave it out");
        if (!sandbox.overlays.empty()) {
            error("sandbox.overlays", "an overlay cannot be had", "it takes rights over files that warderd gives up; write bind, or memory_directories");
        }
        if (sandbox.proc != sandbox::ProcView::hidden) error("sandbox.proc", "/proc cannot be mounted in a sandbox", "write proc = \"hidden\"");
        if (sandbox.capabilities != 0) {
            const bool trusted = worker_.marks.contains("sandbox.trusted_capabilities");
            error(trusted ? "sandbox.trusted_capabilities" : "sandbox.capabilities", "it can be given no capability", "leave them out");
        }
        check_keyrings();
        if (!sandbox.terminal.empty()) error("sandbox.terminal", "a terminal cannot be given to it", "leave terminal out");
    }

    // A uid has keyrings of its own in each user namespace, and here all workers have one uid.
    void check_keyrings() {
        const auto& calls = worker_.sandbox.calls;
        for (const auto* list : {&calls.base, &calls.allow, &calls.log}) {
            const bool reaches = std::ranges::any_of(*list, [](const auto& name) {
                const auto names = sandbox::calls_of(name);
                return std::ranges::any_of(names, [](const auto& call) { return call == "keyctl" || call == "add_key" || call == "request_key"; });
            });
            const char* key = list == &calls.base ? "sandbox.calls" : list == &calls.allow ? "sandbox.allow_calls" : "sandbox.log_calls";
            if (reaches) error(key, "keyrings cannot be had", "they belong to the uid, which all workers share");
        }
    }

    void check_process() {
        const auto& sandbox = worker_.sandbox;
        if (worker_.marks.contains("nice") && sandbox.nice < run_mode_.nice) {
            error("nice", "its niceness cannot be below warderd's own, " + std::to_string(run_mode_.nice), "write a higher one");
        }
        if (worker_.marks.contains("oom_score_adjust") && sandbox.oom_score_adjust < run_mode_.oom_score_adjust) {
            error("oom_score_adjust", "its oom score cannot be below warderd's own, " + std::to_string(run_mode_.oom_score_adjust),
                  "write a higher one");
        }
        const auto scheduler = sandbox.scheduling.scheduler;
        if (scheduler == sandbox::Scheduler::fifo || scheduler == sandbox::Scheduler::round_robin) {
            error("scheduling", "it cannot be scheduled in real time", "write other, batch or idle");
        }
        if (sandbox.io_priority.io_class == sandbox::IoClass::realtime) {
            error("io_priority", "it cannot have real-time io priority", "write best-effort or idle");
        }
        for (const auto& limit : sandbox.limits) check_limit(limit);
    }

    void check_limit(const sandbox::Limit& limit) {
        rlimit own{};
        if (::getrlimit(static_cast<__rlimit_resource>(limit.resource), &own) != 0 || limit.hard <= own.rlim_max) return;
        error("limits", "one of its limits is above warderd's own, " + std::to_string(own.rlim_max), "lower it, or raise warderd's");
    }

    void check_grant(policy::Grant& grant) {
        const auto refuse = [&](const std::string& what, const char* suggestion = "run warderd as root for it") {
            error("grants." + grant.name, "grant " + quoted(grant.name) + ": " + what, suggestion);
        };
        switch (grant.kind) {
            case Kind::raw:
            case Kind::packet: return refuse("raw and packet sockets cannot be lent");
            case Kind::device: return refuse("devices cannot be lent");
            case Kind::sysctl: return refuse("keys of the kernel cannot be lent");
            case Kind::listener: check_port(grant, refuse); break;
            case Kind::command: check_command(grant.command, refuse); break;
            default: break;
        }
        if (is_file(grant) && grant.as == policy::As::root) refuse("nothing can be done as root", "leave out open_as = \"root\"");
        if (is_file(grant) && grant.owner == policy::Owner::root) refuse("nothing can be given to root", "write owner = \"worker\"");
    }

    static bool on_a_network(const policy::Grant& grant) {
        return grant.address.family != policy::Family::unix_path && grant.address.family != policy::Family::unix_abstract;
    }

    // What has an `as` of its own in the file.
    static bool is_file(const policy::Grant& grant) {
        if (grant.kind == Kind::listener || grant.kind == Kind::peer) return !on_a_network(grant);
        return grant.kind == Kind::file || grant.kind == Kind::tree;
    }

    template <typename Refuse>
    void check_port(const policy::Grant& grant, const Refuse& refuse) {
        const auto port = grant.address.port_first;
        if (!on_a_network(grant) || port == 0 || port >= first_free_port) return;
        refuse("port " + std::to_string(port) + " cannot be listened on", "write one from 1024 on");
    }

    template <typename Refuse>
    void check_command(policy::Command& command, const Refuse& refuse) {
        if (!command.user.empty()) refuse("a command runs as warderd's own user", "leave out user");
        command.uid = run_mode_.uid;
        command.gid = run_mode_.gid;
    }

    Worker& worker_;
    const RunMode& run_mode_;
    std::vector<Problem>& problems_;
};

void take_own(Worker& worker, const RunMode& run_mode) {
    auto& sandbox = worker.sandbox;
    sandbox.without_root = true;
    sandbox.uid = run_mode.uid;
    sandbox.gid = run_mode.gid;
    if (!worker.marks.contains("nice")) sandbox.nice = run_mode.nice;
    if (!worker.marks.contains("oom_score_adjust")) sandbox.oom_score_adjust = run_mode.oom_score_adjust;
}

}  // namespace

Daemon initial_daemon(const RunMode& run_mode, const Places& places) {
    Daemon daemon;
    daemon.run_mode = run_mode;
    if (!run_mode.without_root) return daemon;
    daemon.runtime_directory = places.runtime;
    daemon.state_directory = places.state;
    daemon.cache_directory = places.cache;
    daemon.log_directory = places.state.empty() ? places.state : places.state + "/log";
    daemon.control_group.clear();
    return daemon;
}

void settle(Config& config, std::vector<Problem>& problems) {
    const RunMode& run_mode = config.daemon.run_mode;
    if (!run_mode.without_root) return;
    check_daemon(config, problems);
    for (auto& worker : config.workers) {
        Checker(worker, run_mode, problems).run();
        take_own(worker, run_mode);
    }
    sort_problems(problems, config.files);
}

std::vector<std::string> lacks_without_root(const RunMode& run_mode) {
    std::string groups;
    for (const gid_t gid : run_mode.groups) groups += " " + std::to_string(gid);
    std::vector<std::string> lacks = {
        "uid not separated: every worker, and warderd, is uid " + std::to_string(run_mode.uid) +
            "; pid namespaces, roots of their own, Landlock and seccomp are what keeps workers apart, and are not optional",
        "open_as = \"worker\" and open_as = \"root\" are the same: what is lent is what this user may open",
        "no ports below 1024, no raw sockets, devices, sysctls, other users, capabilities or real-time scheduling (refused by line)",
        "request_access = \"main\" only; limits of groups only where this user's cgroup is delegated",
        "warderd is protected from root and other users, not from the other processes of this user",
        "descriptors in flight are counted together with those of this user's other programs",
    };
    if (!groups.empty()) lacks.push_back("workers stay in this user's groups, as the user namespace shows them:" + groups);
    return lacks;
}

}  // namespace warder::config
