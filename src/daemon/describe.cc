#include "daemon/describe.h"

#include <csignal>
#include <cstring>
#include <functional>

#include <unistd.h>

#include "sandbox/probe.h"
#include "sys/files.h"

namespace warder::daemon {
namespace {

std::string signal_name(int signal) {
    const char* name = ::sigabbrev_np(signal);
    return name != nullptr ? name : std::to_string(signal);
}

std::string name_of(supervise::ReadyBy ready) {
    switch (ready) {
        case supervise::ReadyBy::exec: return "exec";
        case supervise::ReadyBy::channel: return "channel";
        case supervise::ReadyBy::notify: return "notify";
    }
    return "unknown";
}

std::string restart_in_words(const supervise::Restart& restart) {
    if (restart.policy == supervise::RestartPolicy::never) return "never";
    std::string words = restart.policy == supervise::RestartPolicy::always ? "always" : "on failure";
    words += ", after " + format_duration(restart.delay) + ", each time " + std::to_string(restart.factor).substr(0, 4);
    words += " times longer up to " + format_duration(restart.cap);
    if (restart.limit > 0) {
        words += ", at most " + std::to_string(restart.limit) + " starts in " + format_duration(restart.window);
    }
    return words;
}

// A line "Key:\tvalue" of /proc/PID/status, without the key; empty if it is not there.
std::string field(const std::string& status, const std::string& key) {
    const std::size_t at = status.find(key + ":\t");
    if (at == std::string::npos) return {};
    const std::size_t begin = at + key.size() + 2;
    return status.substr(begin, status.find('\n', begin) - begin);
}

std::string namespace_of(const std::string& process, const char* kind) {
    char text[128];
    const ssize_t size = ::readlink((process + "/ns/" + kind).c_str(), text, sizeof text);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

std::string four_times(unsigned value) {
    const std::string one = std::to_string(value);
    return one + "\t" + one + "\t" + one + "\t" + one;
}

// How one item of a cell is seen in a process: what is wanted in words, and what /proc shows.
struct Sight {
    const char* name;
    std::string wanted;
    std::function<std::string(const std::string& status, const std::string& process)> see;
};

Sight separate_namespace(const char* name, const char* kind, bool own) {
    return {name, own ? "own" : "the host's", [kind](const std::string&, const std::string& process) {
                const std::string theirs = namespace_of(process, kind);
                if (theirs.empty()) return std::string();
                return std::string(theirs == namespace_of("/proc/self", kind) ? "the host's" : "own");
            }};
}

Sight status_field(const char* name, std::string wanted, const char* key, std::string expected) {
    return {name, wanted, [key, wanted, expected](const std::string& status, const std::string&) {
                const std::string seen = field(status, key);
                return seen == expected ? wanted : seen;
            }};
}

std::vector<Sight> sights_of(const sandbox::Plan& plan) {
    constexpr const char* no_capability = "0000000000000000";
    std::vector<Sight> sights;
    sights.push_back(status_field("uid", std::to_string(plan.uid), "Uid", four_times(plan.uid)));
    sights.push_back(status_field("gid", std::to_string(plan.gid), "Gid", four_times(plan.gid)));
    if (plan.groups.empty()) {
        sights.push_back({"groups", "none", [](const std::string& status, const std::string&) {
                              const std::string seen = field(status, "Groups");
                              return seen.find_first_not_of(" \t") == std::string::npos ? std::string("none") : seen;
                          }});
    }
    sights.push_back(status_field("effective capabilities", "none", "CapEff", no_capability));
    sights.push_back(status_field("permitted capabilities", "none", "CapPrm", no_capability));
    sights.push_back(status_field("bounding capabilities", "none", "CapBnd", no_capability));
    sights.push_back(status_field("ambient capabilities", "none", "CapAmb", no_capability));
    if (plan.no_new_privileges) sights.push_back(status_field("no_new_privs", "set", "NoNewPrivs", "1"));
    if (plan.calls.enabled) sights.push_back(status_field("seccomp", "filter", "Seccomp", "2"));
    sights.push_back(separate_namespace("mount namespace", "mnt", plan.mount_namespace));
    sights.push_back(separate_namespace("pid namespace", "pid", plan.pid_namespace));
    sights.push_back(separate_namespace("network namespace", "net", plan.network == sandbox::Network::empty));
    sights.push_back(separate_namespace("ipc namespace", "ipc", plan.ipc_namespace));
    sights.push_back(separate_namespace("uts namespace", "uts", plan.uts_namespace));
    return sights;
}

void add_unseen(std::vector<control::CellItem>& items, const sandbox::Plan& plan) {
    items.push_back({"root", plan.root == sandbox::Root::system ? "system" : "host", {}, control::Evidence::none, true});
    items.push_back({"landlock", plan.landlock ? "restricted" : "off", {}, control::Evidence::none, true});
    for (const auto& bind : plan.binds) {
        const char* mode = bind.writable ? "writable" : "read-only";
        items.push_back({"bind " + bind.target, bind.source + " " + mode, {}, control::Evidence::none, true});
    }
}

// Section 5 of the design: what a descriptor that was lent can still do, in a cell with these grants.
std::vector<std::string> what_stays_open(const std::vector<policy::Grant>& grants) {
    std::vector<std::string> open;
    for (const auto& grant : grants) {
        if (grant.kind == policy::Kind::listener) {
            open.push_back("grant " + grant.name + ": the worker can shut its listener down; warderd makes it again at the worker's death");
        }
        if (grant.rights.has(Operation::append)) {
            open.push_back("grant " + grant.name + ": an append-only descriptor can lose O_APPEND by fcntl and overwrite the file");
        }
        if (grant.kind == policy::Kind::secret) {
            open.push_back("grant " + grant.name + ": the bytes of a secret can be copied and mapped executable");
        }
    }
    return open;
}

}  // namespace

control::ShowReport describe_worker(const config::Worker& worker, const supervise::WorkerSettings* settings) {
    control::ShowReport show;
    const sandbox::Plan& plan = settings == nullptr ? worker.cell : settings->plan;
    show.origin = worker.where.file + ":" + std::to_string(worker.where.line);
    show.program = plan.arguments;
    show.requesters = worker.requesters == config::Requesters::group ? "group" : "main";
    show.ready = name_of(worker.rule.ready);
    show.restart = restart_in_words(worker.rule.restart);
    show.stop = signal_name(worker.rule.stop.signal) + ", KILL after " + format_duration(worker.rule.stop.timeout);
    for (const auto& sight : sights_of(plan)) {
        show.cell.push_back({sight.name, sight.wanted, {}, control::Evidence::none, true});
    }
    add_unseen(show.cell, plan);
    show.open = what_stays_open(worker.grants);
    return show;
}

void compare_with_process(std::vector<control::CellItem>& items, pid_t pid, const sandbox::Plan& plan) {
    const std::string process = "/proc/" + std::to_string(pid);
    const auto status = read_file(process + "/status", 16 * 1024);
    if (!status) return;
    for (const auto& sight : sights_of(plan)) {
        for (auto& item : items) {
            if (item.name != sight.name) continue;
            item.effective = sight.see(*status, process);
            item.evidence = item.effective.empty() ? control::Evidence::none : control::Evidence::read;
            item.matches = item.effective.empty() || item.effective == item.wanted;
        }
    }
}

std::vector<control::Protection> protections() {
    std::vector<control::Protection> list;
    for (const auto& feature : sandbox::list_features(sandbox::probe_kernel())) {
        list.push_back({feature.name, feature.present, feature.detail});
    }
    return list;
}

}  // namespace warder::daemon
