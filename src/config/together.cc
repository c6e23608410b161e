// What only shows when all workers are known. Pure.
#include <algorithm>
#include <map>
#include <tuple>

#include "config/check.h"
#include "config/sections.h"

namespace warder::config {
namespace {

using policy::AddressPattern;
using policy::Family;
using policy::Grant;
using policy::Kind;

struct Listener {
    const Worker* worker;
    const Grant* grant;
};

bool inet(const AddressPattern& address) { return address.family == Family::ipv4 || address.family == Family::ipv6; }

bool any_address(const AddressPattern& address) {
    return std::all_of(address.ip.begin(), address.ip.end(), [](std::uint8_t byte) { return byte == 0; });
}

// Listeners that could clash have the same key.
std::string key_of(const AddressPattern& address) {
    if (inet(address)) return std::string(name_of(address.transport)) + ":" + std::to_string(address.port_first);
    if (address.family == Family::vsock) return "vsock:" + std::to_string(address.port_first);   // one space for both types
    // A path has room for one socket of whatever type; abstract names are apart by type.
    if (address.family == Family::unix_path) return address.name;
    return std::string(name_of(address.transport)) + ":@" + address.name;
}

// An IPv6 listener on every address that is not v6_only takes the port from IPv4 too.
bool takes_ipv4(const Grant& grant) {
    return grant.address.family == Family::ipv6 && !grant.v6_only && any_address(grant.address);
}

bool any_context(const AddressPattern& address) {
    return std::all_of(address.ip.begin(), address.ip.begin() + 4, [](std::uint8_t byte) { return byte == 0xff; });
}

bool clash(const Grant& a, const Grant& b) {
    if (a.address.family == Family::vsock) {
        return a.address.ip == b.address.ip || any_context(a.address) || any_context(b.address);
    }
    if (!inet(a.address)) return true;
    if (a.reuse_port && b.reuse_port) return false;
    if (a.address.family != b.address.family) return takes_ipv4(a) || takes_ipv4(b);
    return a.address.ip == b.address.ip || any_address(a.address) || any_address(b.address);
}

std::string place_of(const Mark& mark) { return mark.where.file + ":" + std::to_string(mark.where.line); }

const Mark& mark_of(const Listener& listener) { return listener.worker->marks.find("grants." + listener.grant->name)->second; }

Problem taken_already(const Listener& first, const Listener& second) {
    const std::string what = quoted(format(second.grant->address)) + " is taken already by grant " +
                             quoted(first.grant->name) + " of worker " + quoted(first.worker->name) + " at " +
                             place_of(mark_of(first));
    const bool shareable = inet(second.grant->address);
    return mark_of(second).problem(Severity::error, what, shareable ? "both may say reuse_port = true, to share it" : "");
}

bool chosen_by_kernel(const AddressPattern& address) {
    if (address.family == Family::unix_abstract) return address.name.empty();
    return address.family != Family::unix_path && address.port_first == 0;
}

void check_listeners(const Config& config, std::vector<Problem>& problems) {
    std::map<std::string, std::vector<Listener>> by_key;
    for (const Worker& worker : config.workers) {
        for (const Grant& grant : worker.grants) {
            if (grant.kind != Kind::listener || chosen_by_kernel(grant.address)) continue;
            auto& others = by_key[key_of(grant.address)];
            const Listener here{&worker, &grant};
            const auto first = std::find_if(others.begin(), others.end(),
                                            [&](const Listener& other) { return clash(*other.grant, grant); });
            if (first != others.end()) {
                problems.push_back(taken_already(*first, here));
            } else {
                others.push_back(here);
            }
        }
    }
}

void check_uid_range(const Config& config, std::vector<Problem>& problems) {
    const std::uint64_t room = std::uint64_t{config.daemon.uid_last} - config.daemon.uid_first + 1;
    std::uint64_t taken = 0;
    for (const Worker& worker : config.workers) {
        if (!worker.user.empty() || ++taken != room + 1) continue;
        problems.push_back(worker.marks.at("worker").problem(
            Severity::error, "\"uid_range\" of [daemon] has only " + std::to_string(room) + " numbers, one for each worker",
            "widen it, or name a user"));
    }
}

// Who belongs to a group of processes is read from its cgroup.
void check_requesters(const Config& config, std::vector<Problem>& problems) {
    if (config.daemon.cgroup != "none") return;
    for (const Worker& worker : config.workers) {
        if (worker.requesters != Requesters::group) continue;
        problems.push_back(worker.marks.at("request_access")
                               .problem(Severity::error, "request_access = \"all\" needs cgroups, and [daemon] says cgroup = \"none\""));
    }
}

void check_group_limits(const Config& config, std::vector<Problem>& problems) {
    if (config.daemon.cgroup != "none") return;
    for (const Worker& worker : config.workers) {
        if (worker.sandbox.group_limits.empty()) continue;
        std::string key = worker.sandbox.group_limits.front().file;
        std::ranges::replace(key, '.', '_');
        problems.push_back(worker.marks.at("limits." + key)
                               .problem(Severity::error, "limits of a group need cgroups, and [daemon] says cgroup = \"none\""));
    }
}

}  // namespace

void check_together(const Config& config, std::vector<Problem>& problems) {
    check_listeners(config, problems);
    check_uid_range(config, problems);
    check_requesters(config, problems);
    check_group_limits(config, problems);
    check_neighbours(config, problems);
    check_lent_sockets(config, problems);
}

bool any_error(const std::vector<Problem>& problems) {
    return std::any_of(problems.begin(), problems.end(),
                       [](const Problem& problem) { return problem.severity == Severity::error; });
}

void sort_problems(std::vector<Problem>& problems, const std::vector<std::string>& files) {
    std::map<std::string_view, std::size_t> order;
    for (std::size_t i = 0; i < files.size(); ++i) order.emplace(files[i], i);
    const auto place = [&](const Problem& problem) {
        const auto found = order.find(problem.where.file);
        const std::size_t file = found == order.end() ? files.size() : found->second;
        return std::tuple(file, problem.where.line, problem.where.column, std::string_view(problem.what));
    };
    std::sort(problems.begin(), problems.end(), [&](const Problem& a, const Problem& b) { return place(a) < place(b); });
}

}  // namespace warder::config
