#include "control/access.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>

#include "control/command.h"
#include "sys/files.h"
#include "sys/kernel.h"
#include "sys/process.h"

namespace warder::control {
namespace {

// The kernel says ERANGE and how much room it wants when there are more groups than we thought.
Result<std::vector<gid_t>> supplementary_groups(int connection) {
    std::vector<gid_t> groups(64);
    socklen_t size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) {
        if (errno != ERANGE) return failure("getsockopt(SO_PEERGROUPS)");
        groups.resize(size / sizeof(gid_t));
        if (::getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) {
            return failure("getsockopt(SO_PEERGROUPS)");
        }
    }
    groups.resize(size / sizeof(gid_t));
    return groups;
}

bool any_of(const std::vector<gid_t>& wanted, const std::vector<gid_t>& held) {
    return std::any_of(wanted.begin(), wanted.end(),
                       [&](gid_t gid) { return std::find(held.begin(), held.end(), gid) != held.end(); });
}

}  // namespace

Result<Peer> peer_of(int connection) {
    ucred raw{};
    socklen_t size = sizeof raw;
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &raw, &size) != 0) return failure("getsockopt(SO_PEERCRED)");
    Peer peer{raw.pid, raw.uid, TRY(supplementary_groups(connection))};
    peer.groups.push_back(raw.gid);
    return peer;
}

bool same_user(const Peer& peer, const Received& received) {
    return received.authenticated && received.sender.pid > 0 && received.sender.uid == peer.uid;
}

// The pidfd's own word names the process in each pid namespace that it is in, from ours downwards. Before 6.5 the pid that the
// kernel gave at connect(2) is looked up; a process that ended since may have left its number to another of this user's.
bool in_own_pid_namespace(int connection, const Peer& peer) {
    int number = -1;
    socklen_t size = sizeof number;
    if (::getsockopt(connection, SOL_SOCKET, kernel::so_peerpidfd, &number, &size) != 0) {
        if (errno != ENOPROTOOPT || peer.pid <= 0) return false;
        auto opened = open_pidfd(peer.pid);
        if (!opened) return false;
        number = opened->release();
    }
    const Fd pidfd(number);
    const auto info = read_file("/proc/self/fdinfo/" + std::to_string(pidfd.get()), 4096);
    if (!info) return false;
    const auto at = info->find("\nNSpid:\t");
    if (at == info->npos) return false;
    const std::string numbers = info->substr(at + 8, info->find('\n', at + 1) - at - 8);
    return std::atoi(numbers.c_str()) > 0 && numbers.find('\t', 1) == numbers.npos;
}

Scope scope_of(protocol::Verb verb) {
    switch (verb) {
        case protocol::Verb::status:
        case protocol::Verb::list:
        case protocol::Verb::show:
        case protocol::Verb::logs:
        case protocol::Verb::grants:
        case protocol::Verb::fds:
        case protocol::Verb::why:
        case protocol::Verb::sockets:
        case protocol::Verb::store:
        case protocol::Verb::security:
        case protocol::Verb::check:
        case protocol::Verb::version: return Scope::look;
        case protocol::Verb::start:
        case protocol::Verb::stop:
        case protocol::Verb::restart:
        case protocol::Verb::reload:
        case protocol::Verb::signal:
        case protocol::Verb::forget:
        case protocol::Verb::shutdown: return Scope::change;
    }
    return Scope::change;
}

Access Access::root_and(gid_t group, std::string name) {
    Access access;
    access.look_groups = {group};
    access.change_groups = {group};
    access.group_name = std::move(name);
    return access;
}

Access Access::only(uid_t user) {
    Access access;
    access.users = {user};
    return access;
}

bool may(const Access& access, const Peer& peer, protocol::Verb verb) {
    if (std::find(access.users.begin(), access.users.end(), peer.uid) != access.users.end()) return true;
    if (any_of(access.change_groups, peer.groups)) return true;
    return scope_of(verb) == Scope::look && any_of(access.look_groups, peer.groups);
}

std::string explain_refusal(const Access& access, const Peer& peer, protocol::Verb verb) {
    std::string text = "uid " + std::to_string(peer.uid) + " may not " + name_of(verb) + ": the control socket lets in " +
                       (access.users == std::vector<uid_t>{0} ? "root" : "uid " + std::to_string(access.users.front()));
    if (!access.group_name.empty()) text += " and members of group " + access.group_name;
    return text;
}

}  // namespace warder::control
