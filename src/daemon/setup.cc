// Getting ready: everything between the config and the first start, in its order. Each step that fails says why, in words,
// and ends the start: a daemon that half stands is worse than one that does not.
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "config/check.h"
#include "daemon/cgroups.h"
#include "daemon/daemon.h"
#include "daemon/find_program.h"
#include "daemon/log.h"
#include "daemon/operators.h"
#include "daemon/reload.h"
#include "daemon/sandbox_plan.h"
#include "sys/files.h"
#include "sys/path_walk.h"

namespace warder::daemon {
namespace {

constexpr std::uint64_t bytes_of_record = 300;   // in the audit's files, about

// Puts the error in words, and the step with it.
bool said(std::string_view step, const Result<void>& result) {
    if (result) return true;
    log_error(std::string(step) + ": " + describe(result.error()));
    return false;
}

constexpr uid_t nobody = 65534;

opener::PoolSettings pool_settings(const config::Daemon& daemon) {
    return {.openers = daemon.openers, .deadline = daemon.request_timeout};
}

Result<void> make_private_directory(const std::string& path, mode_t mode) {
    const Fd made = TRY(made_directory_as_root(path, 0755));
    if (::chmod(own_path(made.get()).c_str(), mode) != 0) return failure("chmod");
    return {};
}

gid_t control_gid(const std::string& name) {
    const group* found = name.empty() ? nullptr : ::getgrnam(name.c_str());
    return found == nullptr ? 0 : found->gr_gid;
}

// Descriptors for what is held, lent and watched: as many as the limit allows (the hard limit is the administrator's).
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

// What the kernel bears of descriptors on their way is the limit as well: half is the workers' own, a quarter for wide messages.
std::size_t spare_in_flight() {
    rlimit limit{};
    return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur / 4) : 0;
}

std::optional<StateLock> lock_state(const std::string& directory) {
    pid_t owner = 0;
    auto lock = StateLock::take(directory, owner);
    if (lock) return std::move(*lock);
    if (lock.error().number == EBUSY) {
        const std::string who = owner > 0 ? "warderd with pid " + std::to_string(owner) : std::string("warderd");
        log_error(directory + ": another " + who + " has this state directory; each needs one of its own ([daemon] state_directory)");
    } else {
        said(directory + "/lock", Failure(lock.error()));
    }
    return std::nullopt;
}

}  // namespace

Daemon::Daemon(Options options, config::Config config, UidRegistry uids, StateLock lock, Poller poller, Timer timer, Signals signals)
    : options_(std::move(options)),
      config_(std::move(config)),
      uids_(std::move(uids)),
      lock_(std::move(lock)),
      poller_(std::move(poller)),
      timer_(std::move(timer)),
      signals_(std::move(signals)),
      service_(ServiceManager::from_environment()),
      pool_(poller_, privileges_, pool_settings(config_.daemon)),
      runner_(poller_, privileges_, *this),
      broker_(poller_, trail_, privileges_, {pool_, runner_, *this, *this, *this}),
      channels_(poller_, privileges_, broker_),
      descriptor_stores_(poller_, privileges_, trail_, *this),
      syscall_monitors_(poller_, privileges_, *this) {}

std::unique_ptr<Daemon> Daemon::create(Options options, config::Config config) {
    OwnSandbox::close_memory_and_descriptors();   // it will read secrets
    raise_descriptor_limit();
    ::umask(0077);
    const auto& paths = config.daemon;
    if (!said("making " + paths.runtime_directory, make_private_directory(paths.runtime_directory, 0755))) return nullptr;
    if (!said("making " + paths.state_directory, make_private_directory(paths.state_directory, 0755))) return nullptr;
    auto signals = Signals::create();
    auto poller = Poller::create();
    auto timer = Timer::create();
    auto lock = lock_state(paths.state_directory);
    if (!lock) return nullptr;
    std::string fault;
    const std::string record = paths.state_directory + "/uids";
    auto uids = UidRegistry::load(record, paths.uid_first, paths.uid_last, fault);
    if (!uids && !fault.empty()) log_error(record + ": the record of workers' uids: " + fault);
    else if (!uids) said(record, Failure(uids.error()));
    if (!signals || !poller || !timer || !uids) return nullptr;
    std::unique_ptr<Daemon> daemon(new Daemon(std::move(options), std::move(config), std::move(*uids), std::move(*lock), std::move(*poller),
                                              std::move(*timer), std::move(*signals)));
    if (daemon->prepare()) return daemon;
    daemon->end();
    return nullptr;
}

bool Daemon::prepare() {
    now_ = monotonic_now();
    broker_.set_spare_in_flight(spare_in_flight());
    if (!give_up_groups()) return false;
    const PollTag timer_tag{static_cast<std::uint8_t>(PollKind::timer), 0, 0};
    const PollTag signals_tag{static_cast<std::uint8_t>(PollKind::signals), 0, 0};
    if (!said("watching", poller_.watch(timer_.get(), timer_tag))) return false;
    if (!said("watching", poller_.watch(signals_.get(), signals_tag))) return false;
    if (!put_on_sandbox()) return false;
    // Before the openers, which are to be in our group too; they are forked while this process holds nothing of any worker.
    cgroup_ = take_cgroup(config_.daemon.cgroup);
    const std::string controllers = give_controllers(cgroup_, config_);
    if (!has_what_it_requires(controllers)) return false;
    if (!prepare_openers()) return false;
    roster_ = std::make_unique<supervise::Roster>(
        supervise::RosterSettings{.runtime_directory = config_.daemon.runtime_directory, .cgroup_directory = cgroup_,
                                  .controllers = controllers, .spare_sandboxes = config_.daemon.spare_sandboxes, .seed = 0},
        poller_, *this);
    operators_ = std::make_unique<Operators>(*this);
    if (!open_control()) return false;
    if (config_.daemon.log_keeper && !add_keeper()) return false;
    if (config_.daemon.log_keeper && !said("naming workers' output", pipes_.name_in(config_.daemon.runtime_directory + "/output"))) return false;
    if (!open_audit()) return false;
    if (wants_resolver(config_)) (void)add_resolver();
    for (const auto& worker : config_.workers) (void)add(worker);   // one that cannot run keeps no other from it
    config_.workers = {};   // each is a member now
    if (const auto warning = uids_.shortage(); !warning.empty() && !config_.daemon.run_mode.without_root) log_warning(warning);
    return true;
}

// Without root there is nobody else's credentials to take, and no groups can be given up: what that leaves open is said.
bool Daemon::give_up_groups() {
    const auto& run_mode = config_.daemon.run_mode;
    if (run_mode.without_root) {
        for (const auto& lack : config::lacks_without_root(run_mode)) log_warning("without root: " + lack);
        return true;
    }
    if (::setgroups(0, nullptr) != 0) return said("leaving supplementary groups", failure("setgroups"));
    return said("self-test", Privileges::self_test(privileges_, config_.daemon.runtime_directory.c_str()));
}

// Of controllers those count that workers can have.
bool Daemon::has_what_it_requires(const std::string& controllers) {
    sandbox::KernelFeatures kernel = sandbox::probe_kernel();
    kernel.controllers = controllers;
    const auto missing = missing_of_daemon(config_.daemon, kernel);
    for (const auto& sentence : missing) log_error(sentence);
    return missing.empty();
}

// Before anything is forked: what is below is under it too.
bool Daemon::put_on_sandbox() {
    auto sandbox = OwnSandbox::put_on(config_);
    if (!sandbox) return said("its own sandbox", Failure(sandbox.error()));
    for (const auto& sentence : sandbox->missing()) log_warning(sentence);
    sandbox_ = std::move(*sandbox);
    return true;
}

bool Daemon::prepare_openers() {
    if (!said("starting openers", pool_.start(broker_))) return false;
    if (!said("watching secrets", broker_.watch_rotations())) return false;
    broker_.set_request_deadline(config_.daemon.request_timeout);
    runner_.set_cgroup(cgroup_);
    const auto runs = [](const config::Worker& worker) {
        return std::ranges::any_of(worker.grants, [](const auto& grant) { return grant.kind == policy::Kind::command; });
    };
    return std::ranges::none_of(config_.workers, runs) || said("starting the runner", runner_.start());
}

// Names are only looked up where some grant needs it: otherwise nothing here ever touches the network.
bool Daemon::wants_resolver(const config::Config& config) {
    const auto by_name = [](const policy::Grant& grant) {
        return grant.kind == policy::Kind::lookup ||
               (grant.kind == policy::Kind::peer && grant.address.family == policy::Family::host);
    };
    return std::ranges::any_of(config.workers, [&](const auto& worker) { return std::ranges::any_of(worker.grants, by_name); });
}

bool Daemon::add_resolver() {
    const std::string program = find_program("helpers/warder-resolver", WARDER_LIBEXECDIR "/warder-resolver");
    const bool runs = add(resolver(program)).empty();
    if (members_.contains(config::resolver_name)) resolver_ = take_out(std::string(config::resolver_name));
    return runs;
}

// Out of the members of the config: what is ours is not theirs to list and stop.
std::optional<Daemon::Member> Daemon::take_out(const std::string& name) {
    Member member = std::move(members_.extract(name).mapped());
    std::erase(order_, name);
    return member;
}

bool Daemon::open_control() {
    const auto& daemon = config_.daemon;
    control::ServerOptions options;
    options.path = daemon.control_socket.empty() ? daemon.runtime_directory + "/control.sock" : daemon.control_socket;
    options.group = control_gid(daemon.control_group);
    options.access = options.group == 0 ? control::Access::root_only()
                                        : control::Access::root_and(options.group, daemon.control_group);
    if (daemon.run_mode.without_root) {
        options.access = control::Access::only(daemon.run_mode.uid);
        options.only_own_pid_namespace = true;
    }
    if (options.group == 0 && !daemon.control_group.empty() && daemon.control_group != "root") {
        log_warning("no group \"" + daemon.control_group + "\": only root may use warderctl");
    }
    auto server = control::Server::create(options, *operators_, poller_);
    if (!server) return said("control socket " + options.path, Failure(server.error()));
    control_ = std::move(*server);
    return true;
}

std::string Daemon::let_in(const std::string& control_group) {
    if (config_.daemon.run_mode.without_root || !control_) return {};
    const gid_t group = control_gid(control_group);
    if (group == 0 && !control_group.empty() && control_group != "root") {
        log_warning("no group \"" + control_group + "\": only root may use warderctl");
    }
    // What it may do before what it can reach: nobody is let in for a moment.
    control_->set_access(group == 0 ? control::Access::root_only() : control::Access::root_and(group, control_group));
    if (const auto set = control_->set_group(group); !set) return describe(set.error());
    config_.daemon.control_group = control_group;
    const auto* keeper = keeper_ ? roster_->find(keeper_->id) : nullptr;
    if (keeper != nullptr && !make_log_directory(keeper->snapshot().uid)) return "the log directory could not be given to its group";
    log_info("control_group is \"" + control_group + "\" now");
    return {};
}

// Lines go to the keeper's pipes; without a keeper into the files themselves, which nobody rotates.
bool Daemon::open_audit() {
    const bool keeper = config_.daemon.log_keeper;
    auto common = open_audit_file("audit");
    if (!common) return said("audit", Failure(common.error()));
    auto events = open_audit_file("events");
    if (!events) return said("audit", Failure(events.error()));
    audit_out_ = std::move(*common);
    events_out_ = std::move(*events);
    sink_ = audit::Sink(audit_out_.get(), keeper ? audit::Sink::Asides::are_marked : audit::Sink::Asides::are_like_others);
    event_sink_ = audit::Sink(events_out_.get());
    const auto& limits = config_.daemon.logging;
    if (keeper) trail_.set_capacity_of_files(limits.max_size * (limits.keep + 1) / bytes_of_record);
    return true;
}

Result<Fd> Daemon::open_audit_file(std::string_view name) {
    if (config_.daemon.log_keeper) {
        Fd writer = TRY(pipes_.writer(std::string(name), config_.daemon.logging));
        if (::fcntl(writer.get(), F_SETFL, O_NONBLOCK) != 0) return failure("fcntl");
        return writer;
    }
    const Fd directory = TRY(made_directory_as_root(config_.daemon.log_directory, 0755));
    const std::string file_name = std::string(name) + ".jsonl";
    Fd file(::openat(directory.get(), file_name.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640));
    if (!file) return failure("opening its file in log_directory");
    return file;
}

// The log directory is the keeper's to write and the operators' group's to read: the directory's group passes to the files
// (setgid), and others see nothing.
bool Daemon::make_log_directory(uid_t keeper) {
    const auto& run_mode = config_.daemon.run_mode;
    const gid_t gid = run_mode.without_root ? run_mode.gid : control_gid(config_.daemon.control_group);
    const std::string& directory = config_.daemon.log_directory;
    const auto made = made_directory_as_root(directory, 0755);
    if (!made) return said("making " + directory, Failure(made.error()));
    const bool given = ::fchownat(made->get(), "", keeper, gid, AT_EMPTY_PATH) == 0 && ::chmod(own_path(made->get()).c_str(), 02750) == 0;
    return given || said(directory, failure("chown"));
}

bool Daemon::add_keeper() {
    const std::string program = find_program("helpers/warder-log-keeper", WARDER_LIBEXECDIR "/warder-log-keeper");
    config::Worker keeper = log_keeper(config_.daemon, program);
    const auto& run_mode = config_.daemon.run_mode;
    const auto uid = run_mode.without_root ? Result<uid_t>(run_mode.uid) : uids_.number_of(keeper.name);
    if (!uid) return said(keeper.name, Failure(uid.error()));
    if (!make_log_directory(*uid)) return false;
    if (!add(keeper).empty()) return false;
    keeper_ = take_out(keeper.name);
    return true;
}

// With nobody's numbers where it has none: then it is never started.
Assembled Daemon::assembled(const config::Worker& worker) {
    auto made = with_its_numbers(worker);
    if (!made) {
        const std::string fault = describe(made.error());
        made = assemble(worker, nobody, nobody);
        made->life.fault = fault;
    }
    if (!worker.fault.empty()) made->life.fault = worker.fault;
    return std::move(*made);
}

Result<Assembled> Daemon::with_its_numbers(const config::Worker& worker) {
    const auto& run_mode = config_.daemon.run_mode;
    if (run_mode.without_root) return assemble_without_root(worker, run_mode);
    if (!worker.user.empty()) return assemble(worker, worker.sandbox.uid, worker.sandbox.gid);
    const uid_t uid = TRY(uids_.number_of(worker.name));
    return assemble(worker, uid, worker.group.empty() ? static_cast<gid_t>(uid) : worker.sandbox.gid);
}

// The keeper's own words, and those of everybody when there is no keeper, go where ours go.
Result<Fd> Daemon::output_for(const config::Worker& worker, gid_t group) {
    if (!config_.daemon.log_keeper || worker.name == config::log_keeper_name) return duplicate_of(STDERR_FILENO);
    return pipes_.writer("log:" + worker.name, worker.logging, group);
}

std::string Daemon::add(const config::Worker& worker) {
    auto made = assembled(worker);
    auto output = output_for(worker, made.life.plan.gid);
    if (!output && made.life.fault.empty()) made.life.fault = "its log: " + describe(output.error());
    std::string why;
    const auto id = roster_->add(made.life, output ? std::move(*output) : Fd(), why);
    if (!id) return complain(worker, describe(id.error()));
    join(worker, *id, made.life.fault);
    if (made.life.fault.empty()) admit(*id, std::move(made.principal));
    if (why.empty() || cannot_run(members_.at(worker.name))) return why.empty() ? why : complain(worker, why);
    log_warning(worker.name + ": " + why + "; each start tries again");
    return {};
}

std::string Daemon::complain(const config::Worker& worker, const std::string& why) {
    log_error(worker.name + ": it cannot run: " + why);
    return why;
}

void Daemon::take_back(const std::string& name) {
    const auto member = members_.find(name);
    if (member == members_.end()) return;
    roster_->remove(member->second.id, now_);
    members_.erase(member);
    pipes_.forget("log:" + name);
}

bool Daemon::cannot_run(const Member& member) const {
    const auto* worker = roster_->find(member.id);
    return !member.fault.empty() || (worker != nullptr && worker->cannot_run());
}

void Daemon::look_again(const std::string& name) {
    const auto member = members_.find(name);
    if (member == members_.end() || member->second.fault.empty()) return;
    config::Config one;
    one.daemon = config_.daemon;
    one.workers = {member->second.config};
    std::vector<config::Problem> ignored;   // what is still wrong is told by the start
    config::resolve(one, ignored, config::host_lookup());
    config::settle(one, ignored);
    if (!config::any_error(ignored)) (void)Reload(*this).change(one.workers.front(), control::ChangeKind::restart);
}

void Daemon::join(const config::Worker& worker, WorkerId id, const std::string& fault) {
    members_[worker.name] = {worker, id, fault};
    if (std::ranges::find(order_, worker.name) == order_.end()) order_.push_back(worker.name);
}

// What its member's config says, to those who answer it.
void Daemon::admit(WorkerId id, broker::PrincipalSettings principal) {
    const config::Worker& worker = *config_of(id);
    principal.id = id;
    descriptor_stores_.admit(id, worker.name, principal.identity.uid, principal.identity.gid, worker.grants);
    for (const auto& trouble : broker_.admit(std::move(principal), now_)) {
        log_error(trouble.worker + ": grant " + trouble.grant + ": " + describe(trouble.error));
    }
    channels_.admit(id, worker.name, worker.grants, now_);
}

}  // namespace warder::daemon
