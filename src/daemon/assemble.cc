#include "daemon/assemble.h"

#include <algorithm>

#include "config/check.h"

namespace warder::daemon {
namespace {

bool is_inet(const policy::Grant& grant) {
    const bool socket = grant.kind == policy::Kind::listener || grant.kind == policy::Kind::peer;
    const auto transport = grant.address.transport;
    return socket && (transport == policy::Transport::tcp || transport == policy::Transport::udp);
}

bool is_datagram(const policy::Grant& grant) {
    const bool socket = grant.kind == policy::Kind::listener || grant.kind == policy::Kind::peer;
    const auto transport = grant.address.transport;
    return socket && (transport == policy::Transport::udp || transport == policy::Transport::unix_dgram);
}

// What a lent socket could still be turned into is closed by the cell: seccomp cannot see whose descriptor a call names, so
// whole calls go (section 5 of the design).
void close_lent_sockets(sandbox::Calls& calls, const std::vector<policy::Grant>& grants) {
    calls.inet_sockets_lent = calls.inet_sockets_lent || std::ranges::any_of(grants, is_inet);
    calls.datagram_sockets_lent = calls.datagram_sockets_lent || std::ranges::any_of(grants, is_datagram);
}

Identity identity_of(uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
    Identity identity{.uid = uid, .gid = gid};
    identity.group_count = std::min(groups.size(), identity.groups.size());
    std::copy_n(groups.begin(), identity.group_count, identity.groups.begin());
    return identity;
}

}  // namespace

Assembled assemble(const config::Worker& worker, uid_t uid, gid_t gid) {
    const bool group = worker.requesters == config::Requesters::group;
    Assembled made;
    made.life.name = worker.name;
    made.life.plan = worker.cell;
    made.life.plan.uid = uid;
    made.life.plan.gid = gid;
    close_lent_sockets(made.life.plan.calls, worker.grants);
    made.life.rule = worker.rule;
    made.life.group = group ? supervise::GroupWish::required : supervise::GroupWish::preferred;
    made.life.pass_pidfds = group;
    made.principal.name = worker.name;
    made.principal.grants = policy::GrantSet(worker.name, worker.grants);
    made.principal.identity = identity_of(uid, gid, worker.cell.groups);
    made.principal.requesters = group ? protocol::Requesters::group : protocol::Requesters::main;
    made.principal.max_outstanding = worker.max_outstanding;
    return made;
}

config::Worker log_keeper(const config::Daemon& daemon, const std::string& program) {
    config::Worker keeper;
    keeper.name = config::log_keeper_name;
    keeper.cell.program = program;
    keeper.cell.arguments = {program};
    keeper.cell.user = keeper.name;
    keeper.rule.ready = supervise::ReadyBy::channel;
    keeper.rule.restart.limit = 0;
    policy::Grant logs;
    logs.name = "logs";
    logs.kind = policy::Kind::tree;
    logs.rights = {Operation::create, Operation::write, Operation::append, Operation::rename, Operation::unlink};
    logs.path = daemon.log_directory;
    logs.mode = 0640;
    logs.origin = "warderd itself";
    keeper.grants.push_back(std::move(logs));
    keeper.fingerprint = config::fingerprint_of(keeper);
    return keeper;
}

}  // namespace warder::daemon
