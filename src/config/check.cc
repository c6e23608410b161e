// Judgements on what Lookup found. Nothing here looks for itself.
#include "config/check.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "config/complaints.h"
#include "policy/path.h"

namespace warder::config {
namespace {

using policy::Grant;
using policy::Kind;
using policy::Owner;
using Type = PathFacts::Type;

constexpr uid_t stranger = 65534;   // the overflow uid; no worker is to look like one

std::string fault_of(const PathFacts& facts) {
    if (facts.error == 0 || facts.error == ENOENT) return "is not there";
    return "cannot be looked at (" + std::string(errno_name(facts.error)) + ")";
}

// Resolves one worker. A class only to keep config, problems and lookup at hand.
class Resolver {
public:
    Resolver(Config& config, std::vector<Problem>& problems, const Lookup& lookup)
        : config_(config), problems_(problems), lookup_(lookup) {}

    void run() {
        for (Worker& worker : config_.workers) {
            resolve_identity(worker);
            check_program(worker);
            check_binds(worker);
            for (Grant& grant : worker.grants) resolve_grant(worker, grant);
        }
        check_shared_uids();
        check_quotas();
    }

private:
    void complain(Severity severity, const Worker& worker, std::string_view key, std::string what,
                  std::string suggestion = {}) {
        const auto mark = worker.marks.find(key);
        const auto& [name, place] = mark == worker.marks.end() ? *worker.marks.find("worker") : *mark;
        problems_.push_back(place.problem(severity, std::move(what), std::move(suggestion)));
    }

    void error(const Worker& worker, std::string_view key, std::string what, std::string suggestion = {}) {
        complain(Severity::error, worker, key, std::move(what), std::move(suggestion));
    }

    void warning(const Worker& worker, std::string_view key, std::string what, std::string suggestion = {}) {
        complain(Severity::warning, worker, key, std::move(what), std::move(suggestion));
    }

    void resolve_identity(Worker& worker) {
        if (!worker.user.empty()) resolve_user(worker);
        if (!worker.group.empty()) resolve_group(worker);
        worker.cell.groups.clear();
        for (const std::string& name : worker.supplementary_groups) {
            const auto gid = lookup_.group(name);
            if (!gid) error(worker, "supplementary_groups", "there is no group " + quoted(name));
            if (gid) worker.cell.groups.push_back(*gid);
        }
    }

    void resolve_user(Worker& worker) {
        const auto account = lookup_.user(worker.user);
        if (!account) return error(worker, "user", "there is no user " + quoted(worker.user));
        if (account->uid == 0) return error(worker, "user", "a worker does not run as root", "name another user, or none");
        if (account->uid == stranger) {
            return error(worker, "user", "a worker does not run as " + std::to_string(stranger) +
                                             ": the kernel gives that number to senders it cannot name");
        }
        const Daemon& daemon = config_.daemon;
        if (account->uid >= daemon.uid_first && account->uid <= daemon.uid_last) {
            return error(worker, "user", "user " + quoted(worker.user) + " has a number of \"uid_range\": " +
                                             std::to_string(account->uid));
        }
        worker.cell.uid = account->uid;
        worker.cell.gid = account->gid;
    }

    void resolve_group(Worker& worker) {
        const auto gid = lookup_.group(worker.group);
        if (!gid) return error(worker, "group", "there is no group " + quoted(worker.group));
        if (*gid == 0) return error(worker, "group", "a worker does not run in the group root");
        worker.cell.gid = *gid;
    }

    // What is bound to another place in the cell is looked for where it is bound from.
    static std::string on_the_host(const sandbox::Plan& cell, const std::string& path) {
        for (const sandbox::Bind& bind : cell.binds) {
            if (path == bind.target) return bind.source;
            if (policy::covers(bind.target, path)) return bind.source + path.substr(bind.target.size());
        }
        return path;
    }

    // An empty program or path was complained of when it was read.
    void check_program(const Worker& worker) {
        if (worker.cell.program.empty()) return;
        const PathFacts facts = lookup_.path(on_the_host(worker.cell, worker.cell.program));
        const std::string program = "program " + quoted(worker.cell.program);
        if (facts.type == Type::absent) return error(worker, "exec", program + " " + fault_of(facts));
        if (facts.type != Type::file) return error(worker, "exec", program + " is not a regular file");
        if (!facts.executable) error(worker, "exec", program + " is not executable", "chmod +x");
    }

    void check_binds(const Worker& worker) {
        for (const sandbox::Bind& bind : worker.cell.binds) {
            if (bind.target == worker.cell.program) continue;   // check_program has looked
            const PathFacts facts = lookup_.path(bind.source);
            const std::string path = "bound path " + quoted(bind.source);
            if (!facts.kernel_filesystem.empty()) {
                error(worker, "cell", path + " lies in " + facts.kernel_filesystem + ", which no cell shows");
            } else if (facts.type == Type::absent) {
                warning(worker, "cell", path + " " + fault_of(facts) + ": the worker cannot start without it");
            }
        }
    }

    void resolve_grant(const Worker& worker, Grant& grant) {
        if (grant.kind == Kind::listener || grant.kind == Kind::peer || grant.path.empty()) return;
        const std::string key = "grants." + grant.name;
        const PathFacts facts = lookup_.path(grant.path);
        if (!facts.kernel_filesystem.empty()) {
            return error(worker, key, quoted(grant.path) + " lies in " + facts.kernel_filesystem +
                                          ", of which no file is lent", "grant a file of another file system");
        }
        const bool guessed = grant.kind_by_disk && facts.type == Type::absent;
        if (grant.kind_by_disk) decide_kind(grant, facts);
        check_kind(worker, grant, key, facts);
        if (facts.type == Type::absent) check_absent(worker, grant, key, facts, guessed);
    }

    static void decide_kind(Grant& grant, const PathFacts& facts) {
        const bool made = grant.rights.has(Operation::create);
        grant.kind_by_disk = false;
        grant.kind = facts.type == Type::directory || (facts.type == Type::absent && made) ? Kind::tree : Kind::file;
    }

    void check_kind(const Worker& worker, const Grant& grant, const std::string& key, const PathFacts& facts) {
        if (grant.kind == Kind::tree && (facts.type == Type::file || facts.type == Type::other)) {
            return error(worker, key, quoted(grant.path) + " is granted as a tree, but is no directory");
        }
        if (grant.kind != Kind::tree && facts.type == Type::directory) {
            return error(worker, key, quoted(grant.path) + " is a directory, but a file is meant");
        }
        const bool of_trees = grant.rights.has(Operation::rename) || grant.rights.has(Operation::unlink);
        if (grant.kind == Kind::file && of_trees) {
            error(worker, key, "rename and unlink go with trees, and " + quoted(grant.path) + " is a file");
        }
    }

    // What warderd or the worker makes need not be there, but the directory that it is made in must.
    void check_absent(const Worker& worker, const Grant& grant, const std::string& key, const PathFacts& facts,
                      bool guessed) {
        const bool made_at_start = grant.owner != Owner::nobody_in_particular;
        const bool made_on_asking = grant.kind == Kind::file && grant.rights.has(Operation::create);
        const bool made = made_at_start || made_on_asking;
        std::string what = quoted(grant.path) + " " + fault_of(facts);
        if (guessed) what += std::string(", and is taken for a ") + (grant.kind == Kind::tree ? "tree" : "file");
        if (!made) what += ": asking for it answers ENOENT until it is";
        if (guessed || !made) warning(worker, key, what, guessed ? "add type = \"file\" or type = \"tree\"" : "");
        if (made_on_asking && !made_at_start) check_parent(worker, grant, key);
    }

    void check_parent(const Worker& worker, const Grant& grant, const std::string& key) {
        const std::string parent(policy::directory_of(grant.path));
        if (lookup_.path(parent).type == Type::directory) return;
        warning(worker, key, quoted(grant.path) + " cannot be made: there is no directory " + quoted(parent));
    }

    // In-flight descriptors are counted by uid: workers that share one can starve each other.
    void check_shared_uids() {
        std::map<uid_t, const Worker*> first;
        for (const Worker& worker : config_.workers) {
            if (worker.user.empty()) continue;
            const auto [other, fresh] = first.emplace(worker.cell.uid, &worker);
            if (fresh || worker.cell.uid == stranger) continue;   // not resolved: complained of already
            warning(worker, "user", "worker " + quoted(worker.name) + " has the same uid as worker " +
                                        quoted(other->second->name) + ": nothing keeps them apart");
        }
    }

    void check_quotas() {
        if (lookup_.descriptor_limit == 0) return;
        std::uint64_t sum = 0;
        const Worker* largest = nullptr;
        for (const Worker& worker : config_.workers) {
            sum += worker.max_outstanding;
            if (largest == nullptr || worker.max_outstanding > largest->max_outstanding) largest = &worker;
        }
        if (sum < lookup_.descriptor_limit / 2 || largest == nullptr) return;
        warning(*largest, "max_outstanding", "requests at once of all workers sum up to " + std::to_string(sum) +
                ", which is not below half of warderd's " + std::to_string(lookup_.descriptor_limit) + " descriptors",
                "lower max_outstanding, or raise LimitNOFILE");
    }

    Config& config_;
    std::vector<Problem>& problems_;
    const Lookup& lookup_;
};

}  // namespace

void resolve(Config& config, std::vector<Problem>& problems, const Lookup& lookup) {
    Resolver(config, problems, lookup).run();
    for (Worker& worker : config.workers) worker.fingerprint = fingerprint_of(worker);
    sort_problems(problems, config.files);
}

}  // namespace warder::config
