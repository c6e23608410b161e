#include "daemon/describe.h"

#include <csignal>
#include <cstring>

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

control::Evidence evidence_of(sandbox::Evidence evidence) {
    switch (evidence) {
        case sandbox::Evidence::none: return control::Evidence::none;
        case sandbox::Evidence::read: return control::Evidence::read;
        case sandbox::Evidence::proved: return control::Evidence::proved;
    }
    return control::Evidence::none;
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
    show.open = what_stays_open(worker.grants);
    return show;
}

std::vector<control::CellItem> cell_items(const sandbox::Receipt& receipt) {
    std::vector<control::CellItem> items;
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

}  // namespace warder::daemon
