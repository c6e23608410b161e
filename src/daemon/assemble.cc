#include "daemon/assemble.h"

#include <unistd.h>

#include <algorithm>

#include "config/check.h"
#include "sys/socket_options.h"

namespace warder::daemon {
namespace {

constexpr std::uint32_t in_flight_of_ours = 64;   // descriptors, for the workers that warderd brings along

Identity identity_of(uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
    Identity identity{.uid = uid, .gid = gid};
    identity.group_count = std::min(groups.size(), identity.groups.size());
    std::copy_n(groups.begin(), identity.group_count, identity.groups.begin());
    return identity;
}

// As profile strict has it; an older kernel does not keep our own helpers from running.
void make_strict(sandbox::Plan& plan) {
    plan.calls.base = {"@strict-service"};
    plan.core_dumps = false;
    plan.memory_deny_write_execute = true;
    plan.preferred = {"memory_deny_write_execute"};
}

}  // namespace

Assembled assemble(const config::Worker& worker, uid_t uid, gid_t gid) {
    const bool group = worker.requesters == config::Requesters::group;
    Assembled made;
    made.life.name = worker.name;
    made.life.plan = worker.sandbox;
    made.life.plan.uid = uid;
    made.life.plan.gid = gid;
    config::narrow_calls(worker.grants, made.life.plan.calls);
    made.life.rule = worker.rule;
    made.life.group = group ? supervise::GroupWish::required : supervise::GroupWish::preferred;
    made.life.pass_pidfds = group;
    if (!worker.where.file.empty()) made.life.origin = worker.where.file + ":" + std::to_string(worker.where.line);
    made.principal.name = worker.name;
    made.principal.grants = policy::GrantSet(worker.name, worker.grants);
    made.principal.identity = identity_of(uid, gid, worker.sandbox.groups);
    made.principal.requesters = group ? protocol::Requesters::group : protocol::Requesters::main;
    made.principal.max_pending_requests = worker.max_pending_requests;
    made.principal.max_request_rate = worker.max_request_rate;
    made.principal.max_in_flight = worker.max_in_flight;
    made.principal.sets_hidden_options = std::ranges::any_of(made.life.plan.calls.socket_options, [](const auto& name) {
        const auto* option = socket_options::find(name);
        return option != nullptr && option->readback == socket_options::Readback::hidden;
    });
    made.principal.max_lent_memory = worker.max_lent_memory;
    made.principal.resolves = worker.name == config::resolver_name;
    return made;
}

// For what warderd brings along, which no file names, as well.
Assembled assemble_without_root(const config::Worker& worker, const config::RunMode& run_mode) {
    Assembled made = assemble(worker, run_mode.uid, run_mode.gid);
    auto& plan = made.life.plan;
    plan.without_root = true;
    plan.groups = run_mode.groups;
    plan.nice = std::max(plan.nice, run_mode.nice);
    plan.oom_score_adjust = std::max(plan.oom_score_adjust, run_mode.oom_score_adjust);
    return made;
}

config::Worker log_keeper(const config::Daemon& daemon, const std::string& program) {
    config::Worker keeper;
    keeper.name = config::log_keeper_name;
    keeper.sandbox.program = program;
    keeper.sandbox.arguments = {program};
    keeper.sandbox.user = keeper.name;
    make_strict(keeper.sandbox);
    keeper.rule.ready = supervise::ReadyBy::libwarder;
    keeper.rule.restart.limit = 0;
    policy::Grant logs;
    logs.name = "logs";
    logs.kind = policy::Kind::tree;
    logs.rights = {Operation::create, Operation::write, Operation::append, Operation::rename, Operation::unlink,
                   Operation::watch};
    logs.path = daemon.log_directory;
    logs.mode = 0640;
    logs.origin = "warderd itself";
    keeper.grants.push_back(std::move(logs));
    keeper.max_in_flight = in_flight_of_ours;
    return keeper;
}

// It sees the host's network and what the C library's name services read, and nothing else; what it says of a name is data.
config::Worker resolver(const std::string& program) {
    config::Worker worker;
    worker.name = config::resolver_name;
    worker.sandbox.program = program;
    worker.sandbox.arguments = {program};
    worker.sandbox.user = worker.name;
    make_strict(worker.sandbox);
    worker.sandbox.network = sandbox::Network::host;
    worker.sandbox.calls.network = true;
    // Directories, since the files in them are replaced while we run. Not there: that service is not in use.
    for (const auto* path : {"/etc", "/run/systemd/resolve", "/run/nscd", "/run/dbus", "/var/lib/sss/pipes", "/var/lib/extrausers"}) {
        if (::access(path, F_OK) == 0) worker.sandbox.binds.push_back({path, path, false, false});
    }
    worker.rule.ready = supervise::ReadyBy::libwarder;
    worker.rule.restart.limit = 0;
    worker.max_in_flight = in_flight_of_ours;
    return worker;
}

}  // namespace warder::daemon
