#include "daemon/describe.h"

#include <algorithm>
#include <csignal>
#include <cstring>

#include "sandbox/call_groups.h"
#include "sandbox/probe.h"

namespace warder::daemon {
namespace {

std::string signal_name(int signal) {
    const char* name = ::sigabbrev_np(signal);
    return name != nullptr ? name : std::to_string(signal);
}

std::string name_of(supervise::ReadyBy ready) {
    switch (ready) {
        case supervise::ReadyBy::exec: return "exec";
        case supervise::ReadyBy::libwarder: return "libwarder";
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

control::Evidence evidence_of(sandbox::Evidence evidence) {
    switch (evidence) {
        case sandbox::Evidence::none: return control::Evidence::none;
        case sandbox::Evidence::read: return control::Evidence::read;
        case sandbox::Evidence::proved: return control::Evidence::proved;
    }
    return control::Evidence::none;
}

bool lends_files(const policy::Grant& grant) {
    const auto& rights = grant.rights;
    if (grant.kind != policy::Kind::file && grant.kind != policy::Kind::tree) return false;
    return rights.has(Operation::read) || rights.has(Operation::write) || rights.has(Operation::append) || rights.has(Operation::create);
}

void say_of_path(const policy::Grant& grant, std::vector<std::string>& say) {
    if (lends_files(grant)) {
        say.emplace_back("a lent file can be locked against others by flock, and its times be set where the worker's uid may");
    }
    if (grant.rights.has(Operation::append)) {
        say.emplace_back("an append-only descriptor can lose O_APPEND by fcntl and overwrite the file");
    }
    if (grant.rights.has(Operation::watch)) {
        say.emplace_back("a watch tells names and times of what it watches as long as its descriptor is kept");
    }
}

void say_of_device(const policy::Grant& grant, std::vector<std::string>& say) {
    if (grant.interface.empty()) return say.emplace_back("a device does all that its driver does for who holds it"), void();
    say.emplace_back("a tun or tap device sends and receives anything on its interface, which is there as long as it is held");
}

// What a descriptor that was lent by this grant can still do, in a sandbox with these grants; sentences.
std::vector<std::string> what_stays_open(const policy::Grant& grant) {
    std::vector<std::string> say;
    say_of_path(grant, say);
    switch (grant.kind) {
        case policy::Kind::listener:
            say.emplace_back("the worker can shut its listener down, and change its backlog and its options; warderd puts that back, or makes it again, after the run");
            break;
        case policy::Kind::secret: say.emplace_back("the bytes of a secret can be copied and mapped executable"); break;
        case policy::Kind::raw: say.emplace_back("a raw socket sends to any address, and receives all of its protocol"); break;
        case policy::Kind::packet: say.emplace_back("a packet socket sees and sends every frame of its protocol, whoever it is for"); break;
        case policy::Kind::netlink:
            say.emplace_back("a netlink socket asks the kernel whatever its family answers to a process without capabilities");
            break;
        case policy::Kind::device: say_of_device(grant, say); break;
        case policy::Kind::channel:
            say.emplace_back(grant.carries_fds
                                 ? "what is said over a channel, and descriptors that are passed over it, are between the two workers"
                                 : "what is said over a channel is between the two workers");
            break;
        case policy::Kind::store:
            say.emplace_back("stored descriptors stay open, and connections over them up, while no life of the worker runs");
            break;
        case policy::Kind::command:
            say.emplace_back("a command goes on with the rights of its user until it ends, its timeout comes or the worker's life is over");
            break;
        default: break;
    }
    return say;
}

std::vector<std::string> what_stays_open(const std::vector<policy::Grant>& grants) {
    std::vector<std::string> open;
    for (const auto& grant : grants) {
        for (const auto& sentence : what_stays_open(grant)) open.push_back("grant " + grant.name + ": " + sentence);
    }
    return open;
}

bool name_in(const std::vector<std::string>& names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

bool lets(const sandbox::Calls& calls, std::string_view call) {
    const auto holds = [&](const std::string& name) { return name == call || name_in(sandbox::calls_of(name), call); };
    const bool denied = std::ranges::any_of(calls.deny, [&](const auto& one) { return holds(one.name); });
    return !calls.enabled || (!denied && (std::ranges::any_of(calls.base, holds) || std::ranges::any_of(calls.allow, holds)));
}

// What the sandbox itself leaves, whatever is granted; sentences.
void say_of_sandbox(const config::Worker& worker, const sandbox::Plan& plan, std::vector<std::string>& say) {
    const bool own_files = std::ranges::any_of(worker.grants, lends_files);
    if (own_files && lets(plan.calls, "fchmod")) say.emplace_back("sandbox: the mode of a lent file that the worker's uid owns can be changed by fchmod");
    if (plan.network == sandbox::Network::host) {
        say.emplace_back("sandbox: what listens on the host's loopback can be reached as far as tcp_connect lets it, and ports be bound");
    }
    if (lets(plan.calls, "memfd_create") && lets(plan.calls, "execveat")) {
        say.emplace_back("sandbox: a program that it made in memory can be run, with no more than the worker has");
    }
    if (!plan.calls.enabled || !plan.calls.restrict_suid_sgid) {
        say.emplace_back("sandbox: a program of the worker's can be made set-user-id, and gives its uid to whoever reaches and runs it");
    }
    if (plan.calls.enabled && !plan.calls.socket_options.empty()) {
        say.emplace_back("sandbox: by the options of sockets that allow_socket_options names what is lent may reach others than the grants say");
    }
    if (!plan.memory_deny_write_execute) return say.emplace_back("sandbox: memory can be both written and executed"), void();
    if (lets(plan.calls, "memfd_create")) say.emplace_back("sandbox: a file in memory can be mapped twice, to be written and to be run");
    for (const auto& bind : plan.binds) {
        if (bind.writable && !bind.no_execute) say.push_back("sandbox: what is written below " + bind.target + " can be mapped to be run");
    }
}

// Whether something of it stays with the worker when it is taken away.
bool leaves_something(const policy::Grant& grant) {
    using policy::Kind;
    switch (grant.kind) {
        case Kind::lookup:
        case Kind::sysctl:
        case Kind::worker: return false;
        default: return true;
    }
}

// Whether what a grant lent before may be had by it still: how often and how long does not matter.
bool lends_as_much(const policy::Grant& before, const policy::Grant& now) {
    const bool same = before.kind == now.kind && before.path == now.path && before.names == now.names && before.as == now.as &&
                      before.protocol == now.protocol && before.interface == now.interface && before.peer == now.peer &&
                      policy::format(before.address) == policy::format(now.address);
    const bool as_wide = (before.rights.bits() & ~now.rights.bits()) == 0 && before.writes <= now.writes &&
                         before.cross_mounts <= now.cross_mounts && before.carries_fds <= now.carries_fds;
    return same && as_wide;
}

}  // namespace

bool takes_away(const std::vector<policy::Grant>& before, const std::vector<policy::Grant>& after) {
    return std::ranges::any_of(before, [&](const policy::Grant& grant) {
        if (grant.kind == policy::Kind::store || !leaves_something(grant)) return false;
        const auto now = std::ranges::find(after, grant.name, &policy::Grant::name);
        return now == after.end() || !lends_as_much(grant, *now);
    });
}

control::ShowReport describe_worker(const config::Worker& worker, const supervise::WorkerSettings* settings) {
    control::ShowReport show;
    const sandbox::Plan& plan = settings == nullptr ? worker.sandbox : settings->plan;
    show.origin = worker.where.file + ":" + std::to_string(worker.where.line);
    show.program = plan.arguments;
    show.requesters = worker.requesters == config::Requesters::group ? "all" : "main";
    show.ready = name_of(worker.rule.ready);
    show.restart = restart_in_words(worker.rule.restart);
    show.stop = signal_name(worker.rule.stop.signal) + ", KILL after " + format_duration(worker.rule.stop.timeout);
    show.open = what_stays_open(worker.grants);
    say_of_sandbox(worker, plan, show.open);
    return show;
}

std::vector<std::string> left_behind(const std::vector<policy::Grant>& before, const std::vector<policy::Grant>& after) {
    std::vector<std::string> left;
    for (const auto& grant : before) {
        if (std::ranges::find(after, grant.name, &policy::Grant::name) != after.end() || !leaves_something(grant)) continue;
        left.push_back(grant.kind == policy::Kind::channel
                           ? "grant " + grant.name + ": no new end is made; the two workers keep those that they have until either is restarted"
                           : "grant " + grant.name + ": what was lent by it stays with the worker until it is restarted");
    }
    return left;
}

std::vector<control::SandboxItem> sandbox_items(const sandbox::Receipt& receipt) {
    std::vector<control::SandboxItem> items;
    for (const auto& item : receipt.items) {
        items.push_back({item.name, item.wanted, item.effective, evidence_of(item.evidence), item.matches});
    }
    return items;
}

std::vector<control::Protection> protections() {
    std::vector<control::Protection> list;
    for (const auto& feature : sandbox::list_features(sandbox::probe_kernel())) {
        list.push_back({feature.name, feature.present, feature.detail});
    }
    return list;
}

// Where the key stands, or else the sandbox, or else the worker: there it is to be written.
control::DeniedCallReport describe_call(const config::Worker& worker, const sandbox::Calls& calls, const sandbox::SeenCall& call) {
    const sandbox::Remedy remedy = sandbox::remedy_for(calls, call);
    control::DeniedCallReport report{.call = call.name, .words = sandbox::in_words(call), .error = call.error, .count = call.count,
                                     .first = call.first, .last = call.last, .pid = call.pid, .section = "[worker." + worker.name + ".sandbox]",
                                     .origin = {}, .key = remedy.key, .change = remedy.change};
    for (const std::string& mark : {"sandbox." + remedy.key, std::string("sandbox"), std::string("worker")}) {
        const auto found = worker.marks.find(mark);
        if (found == worker.marks.end()) continue;
        report.origin = found->second.where.file + ":" + std::to_string(found->second.where.line);
        break;
    }
    return report;
}

std::string sentence_of(const control::DeniedCallReport& report) {
    const std::string answer = report.error == 0 ? "it is ended for it" : errno_name(report.error);
    const std::string place = report.section + (report.origin.empty() ? "" : " (" + report.origin + ")");
    return "denied call " + report.words + ": " + answer + "; " + place + ", smallest change: " + report.change;
}

}  // namespace warder::daemon
