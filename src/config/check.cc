// Judgements on what Lookup found. Nothing here looks for itself.
#include "config/check.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>

#include "base/error.h"
#include "config/complaints.h"
#include "config/parse.h"
#include "config/sections.h"
#include "policy/decide.h"
#include "policy/explain.h"
#include "policy/path.h"

namespace warder::config {
namespace {

using policy::Grant;
using policy::Kind;
using policy::Owner;
using Type = PathFacts::Type;

// A worker's share of the descriptors that may be on their way.
constexpr std::uint64_t min_share = 8;
constexpr std::uint64_t max_share = 256;   // room for the widest message there is

constexpr const char* name_the_place = "name the place that it leads to, or give the symlink to root (chown -h root)";

constexpr uid_t stranger = 65534;   // the overflow uid; no worker is to look like one

constexpr std::string_view grants_variable = "WARDER_GRANTS=";
constexpr std::size_t max_variable = 128 * 1024;   // MAX_ARG_STRLEN, with the NUL

bool known_to_fork(const std::string& argument) {
    constexpr std::array<std::string_view, 4> programs{"gunicorn", "gunicorn.app.wsgiapp", "uwsgi", "celery"};
    return std::ranges::find(programs, std::string_view(argument).substr(argument.rfind('/') + 1)) != programs.end();
}

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
            check_joined(worker, "sandbox.network", worker.sandbox.network_path);
            check_joined(worker, "sandbox.terminal", worker.sandbox.terminal);
            check_layers(worker);
            check_secret_files(worker);
            for (Grant& grant : worker.grants) resolve_grant(worker, grant);
            resolve_door(worker);
        }
        for (const Worker& worker : config_.workers) {
            if (worker.sandbox.user_namespace) check_id_maps(worker);
        }
        check_shared_uids();
        share_descriptors();
        // Of a config that is wrong elsewhere the answers would be about something else.
        if (!any_error(problems_)) check_expectations();
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

    // What the machine lacks now, and no text of the file says: one worker's matter, at a boot above all.
    void fault(Worker& worker, std::string_view key, const std::string& what, std::string suggestion = {}) {
        if (worker.fault.empty()) worker.fault = what;
        warning(worker, key, what + ": the worker cannot start", std::move(suggestion));
    }

    void resolve_identity(Worker& worker) {
        worker.fault.clear();
        if (!worker.user.empty()) resolve_user(worker);
        if (!worker.group.empty()) resolve_group(worker);
        worker.sandbox.groups.clear();
        for (const std::string& name : worker.supplementary_groups) {
            const auto gid = lookup_.group(name);
            if (!gid) fault(worker, "supplementary_groups", "there is no group " + quoted(name));
            if (gid) worker.sandbox.groups.push_back(*gid);
        }
        for (sandbox::OwnDirectory& own : worker.sandbox.own_directories) {
            if (own.group.empty()) continue;
            const auto gid = lookup_.group(own.group);
            if (!gid) error(worker, "sandbox.managed_directories", "there is no group " + quoted(own.group));
            if (gid) own.gid = *gid;
        }
    }

    void resolve_user(Worker& worker) {
        const auto account = lookup_.user(worker.user);
        if (!account) return fault(worker, "user", "there is no user " + quoted(worker.user));
        if (account->uid == 0) return error(worker, "user", "a worker does not run as root", "name another user, or none");
        if (account->uid == stranger) {
            return error(worker, "user", "a worker does not run as " + std::to_string(stranger) +
                                             ": the kernel gives that number to senders it cannot name");
        }
        const Daemon& daemon = config_.daemon;
        if (account->uid >= daemon.uid_first && account->uid <= daemon.uid_last) {
            return fault(worker, "user", "user " + quoted(worker.user) + " has a number of \"uid_range\": " +
                                             std::to_string(account->uid));
        }
        worker.sandbox.uid = account->uid;
        worker.sandbox.gid = account->gid;
    }

    void resolve_group(Worker& worker) {
        const auto gid = lookup_.group(worker.group);
        if (!gid) return fault(worker, "group", "there is no group " + quoted(worker.group));
        if (*gid == 0) return error(worker, "group", "a worker does not run in the group root");
        worker.sandbox.gid = *gid;
    }

    // What is bound to another place in the sandbox is looked for where it is bound from.
    std::string on_the_host(const sandbox::Plan& sandbox, const std::string& path) const {
        for (const sandbox::Overlay& one : sandbox.overlays) {
            if (policy::covers(one.target, path)) return in_layers(one, path.substr(one.target.size()));
        }
        for (const sandbox::Bind& bind : sandbox.binds) {
            if (path == bind.target) return bind.source;
            if (policy::covers(bind.target, path)) return bind.source + path.substr(bind.target.size());
        }
        return path;
    }

    // The first layer that has it is on top.
    std::string in_layers(const sandbox::Overlay& one, const std::string& rest) const {
        for (const std::string& layer : one.lower) {
            if (lookup_.path(layer + rest).type != Type::absent) return layer + rest;
        }
        return one.lower.front() + rest;
    }

    // An empty program or path was complained of when it was read.
    void check_program(Worker& worker) {
        if (worker.sandbox.program.empty()) return;
        const PathFacts facts = lookup_.path(on_the_host(worker.sandbox, worker.sandbox.program));
        const std::string program = "program " + quoted(worker.sandbox.program);
        if (facts.type == Type::unknown) return;
        if (facts.type == Type::absent) return fault(worker, "exec", program + " " + fault_of(facts));
        if (facts.type != Type::file) return fault(worker, "exec", program + " is not a regular file");
        if (!facts.executable) fault(worker, "exec", program + " is not executable", "chmod +x");
    }

    void tell_astray(const Worker& worker, std::string_view key, const std::string& what) {
        warning(worker, key, what + " is reached through a symlink that is not root's and leads to what is not its owner's: "
                                    "the worker cannot start", name_the_place);
    }

    void check_binds(const Worker& worker) {
        for (const sandbox::Bind& bind : worker.sandbox.binds) {
            if (bind.target == worker.sandbox.program) continue;   // check_program has looked
            const std::string place = place_of_entry(worker.marks, {"sandbox.bind_read_only", "sandbox.bind_writable", "sandbox.exec_paths"}, bind.source, "sandbox");
            const PathFacts facts = lookup_.path(bind.source);
            const std::string path = "bound path " + quoted(bind.source);
            if (!facts.kernel_filesystem.empty()) {
                error(worker, place, path + " lies in " + facts.kernel_filesystem + ", which no sandbox shows");
            } else if (facts.type == Type::absent) {
                warning(worker, place, path + " " + fault_of(facts) + ": the worker cannot start without it");
            } else if (facts.led_astray) {
                tell_astray(worker, place, path);
            } else {
                check_replaced(worker, bind, facts);
            }
        }
    }

    // Whoever replaces it by another of that name leaves the worker with the file that was there, until it is started anew.
    void check_replaced(const Worker& worker, const sandbox::Bind& bind, const PathFacts& facts) {
        if (facts.type != Type::file || !worker.marks.contains("sandbox.bind_read_only") || bind.execute) return;
        if (policy::covers("/usr", bind.source)) return;   // packages replace it, and then the program too
        warning(worker, place_of_entry(worker.marks, {"sandbox.bind_read_only"}, bind.source, "sandbox.bind_read_only"), "bound file " + quoted(bind.source) + " is shown as it is when the worker starts: an editor that saves it under "
                "its name makes another file, which the running worker does not see", "bind its directory, " + quoted(policy::directory_of(bind.source)));
    }

    void check_secret_files(const Worker& worker) {
        for (const sandbox::SecretFile& one : worker.sandbox.secret_files) {
            const PathFacts facts = lookup_.path(one.source);
            const std::string place = place_of_entry(worker.marks, {"sandbox.secret_files"}, one.source, "sandbox.secret_files");
            const std::string path = "secret file " + quoted(one.source);
            if (facts.type == Type::absent) warning(worker, place, path + " " + fault_of(facts) + ": the worker cannot start without it");
            else if (facts.type != Type::file && facts.type != Type::unknown) error(worker, place, path + " is not a regular file");
            else if (facts.led_astray) tell_astray(worker, place, path);
        }
    }

    // The host's, opened at each start.
    void check_joined(const Worker& worker, std::string_view key, const std::string& path) {
        if (path.empty()) return;
        const PathFacts facts = lookup_.path(path);
        if (facts.led_astray) return tell_astray(worker, key, quoted(path));
        if (facts.type == Type::absent) warning(worker, key, quoted(path) + " " + fault_of(facts) + ": the worker cannot start without it");
    }

    static bool holds(const std::vector<sandbox::IdRange>& map, std::uint32_t outside) {
        return std::ranges::any_of(map, [&](const auto& range) { return outside >= range.outside && outside - range.outside < range.count; });
    }

    // A number out of "uid_range" is not known here: then only "self" can hold it.
    void check_id_map(const Worker& worker, std::string_view key, const std::vector<sandbox::IdRange>& map, bool named, std::uint32_t own) {
        if (holds(map, sandbox::own_id) || (named && holds(map, own)) || map.empty()) return;
        const std::string number = named ? ", " + std::to_string(own) : "";
        error(worker, "sandbox.user_namespace", quoted(key) + " does not hold the worker's own number" + number, "add \"0:self:1\"");
    }

    void check_id_maps(const Worker& worker) {
        const auto& sandbox = worker.sandbox;
        check_id_map(worker, "uid_map", sandbox.uid_map, !worker.user.empty(), sandbox.uid);
        check_id_map(worker, "gid_map", sandbox.gid_map, !worker.user.empty() || !worker.group.empty(), sandbox.gid);
        for (const Worker& other : config_.workers) {
            if (other.user.empty() || other.sandbox.uid == stranger || &other == &worker) continue;
            if (!holds(sandbox.uid_map, other.sandbox.uid) || (!worker.user.empty() && other.sandbox.uid == sandbox.uid)) continue;
            warning(worker, "sandbox.user_namespace", "\"uid_map\" holds the uid of worker " + quoted(other.name) + ", which it could become");
        }
    }

    void check_layers(Worker& worker) {
        for (const sandbox::Overlay& one : worker.sandbox.overlays) {
            for (const std::string& layer : one.lower) check_layer(worker, layer);
        }
    }

    void check_layer(Worker& worker, const std::string& layer) {
        constexpr const char* key = "sandbox.overlays";
        const PathFacts facts = lookup_.path(layer);
        const std::string path = "layer " + quoted(layer);
        if (!facts.kernel_filesystem.empty()) return error(worker, key, path + " lies in " + facts.kernel_filesystem + ", which no sandbox shows");
        if (facts.type == Type::absent) return warning(worker, key, path + " " + fault_of(facts) + ": the worker cannot start without it");
        if (facts.type == Type::file || facts.type == Type::other) return fault(worker, key, path + " is no directory");
        if (facts.led_astray) tell_astray(worker, key, path);
    }

    // What a program that knows nothing of Warder is told, and what it would miss.
    void resolve_door(Worker& worker) {
        auto& environment = worker.sandbox.environment;
        std::erase_if(environment, [](const std::string& one) { return one.starts_with(grants_variable); });
        if (worker.door == Door::none) return check_without_door(worker);
        environment.push_back(std::string(grants_variable) + told_grants(worker.grants));
        if (environment.back().size() >= max_variable) {
            error(worker, "door", "the grants take " + std::to_string(environment.back().size()) + " bytes to tell, and the kernel passes " +
                                      std::to_string(max_variable) + " in one variable", "grant trees and ranges instead of many single things");
        }
        if (worker.rule.ready == supervise::ReadyBy::libwarder) {
            warning(worker, "ready", "a program that knows nothing of Warder does not say that it is ready",
                    "take ready = \"exec\", or call warder.monkey.ready()");
        }
        const auto forks = std::ranges::find_if(worker.sandbox.arguments, known_to_fork);
        if (worker.requesters == Requesters::main && forks != worker.sandbox.arguments.end()) {
            warning(worker, "door", quoted(*forks) + " has child processes do its work, and only the main process may ask",
                    "add request_access = \"all\"");
        }
        if (forks != worker.sandbox.arguments.end() && forks->find("gunicorn") != std::string::npos && !may_fchmod(worker.sandbox.calls)) {
            warning(worker, "door", "gunicorn's workers tell that they are alive by fchmod, which this filter denies", "add allow_calls = [\"fchmod\"]");
        }
        for (const Grant& grant : worker.grants) check_for_door(worker, grant);
    }

    // As far as the profiles go: a filter that was written by hand is its writer's to know.
    static bool may_fchmod(const sandbox::Calls& calls) {
        const auto has = [](const std::vector<std::string>& list, const char* name) { return std::ranges::find(list, name) != list.end(); };
        return !calls.enabled || !has(calls.base, "@strict-service") || has(calls.allow, "fchmod") || has(calls.allow, "@file-modes");
    }

    void check_without_door(const Worker& worker) {
        if (std::ranges::find(worker.sandbox.arguments, "warder.monkey") == worker.sandbox.arguments.end()) return;
        warning(worker, "exec", "warder.monkey is not told the worker's grants, and patches nothing", "add door = \"python\"");
    }

    // os.path.exists() and its like ask for stat, and take a denial for "is not there".
    void check_for_door(const Worker& worker, const Grant& grant) {
        const bool opened = grant.kind == Kind::tree && grant.rights.has(Operation::read);
        if (!opened || grant.rights.has(Operation::stat)) return;
        warning(worker, "grants." + grant.name, "programs look at files before they open them, and grant " + quoted(grant.name) +
                                                    " has no right to that", "add rights = [\"stat\", \"list\"]");
    }

    void resolve_grant(Worker& worker, Grant& grant) {
        switch (grant.kind) {
            case Kind::file:
            case Kind::tree:
            case Kind::secret:
            case Kind::device:
                if (!grant.path.empty()) resolve_path(worker, grant);
                return;
            case Kind::listener:
                if (grant.address.family == policy::Family::unix_path) check_place_of_socket(worker, grant);
                return;
            case Kind::command: return resolve_command(worker, grant);
            default: return;
        }
    }

    // It runs outside of the sandbox, with the host's files.
    void resolve_command(Worker& worker, Grant& grant) {
        policy::Command& command = grant.command;
        const std::string key = "grants." + grant.name;
        if (!command.user.empty()) {
            const auto account = lookup_.user(command.user);
            if (!account) return fault(worker, key, "there is no user " + quoted(command.user));
            command.uid = account->uid;
            command.gid = account->gid;
        }
        if (command.words.empty() || !policy::clean_absolute(command.words.front().text)) return;
        const std::string program = "program " + quoted(command.words.front().text);
        const PathFacts facts = lookup_.path(command.words.front().text);
        if (facts.type == Type::unknown) return;
        const std::string_view until = ": asking for it fails until it is";
        if (facts.type == Type::absent) return warning(worker, key, program + " " + fault_of(facts) + std::string(until));
        if (facts.type != Type::file) return warning(worker, key, program + " is not a regular file" + std::string(until));
        if (!facts.executable) warning(worker, key, program + " is not executable" + std::string(until), "chmod +x");
    }

    void check_place_of_socket(Worker& worker, const Grant& grant) {
        const PathFacts facts = lookup_.path(std::string(policy::directory_of(grant.address.name)));
        if (facts.type != Type::unknown) return;
        fault(worker, "grants." + grant.name, quoted(grant.address.name) + " lies on " + facts.answered_by +
                                                  ", for whose server warderd does not wait to bind a socket", "a path below /run");
    }

    void resolve_path(Worker& worker, Grant& grant) {
        const std::string key = "grants." + grant.name;
        const PathFacts facts = lookup_.path(grant.path);
        if (!facts.kernel_filesystem.empty()) {
            return error(worker, key, quoted(grant.path) + " lies in " + facts.kernel_filesystem +
                                          ", of which no file is lent", "grant a file of another file system");
        }
        check_kind(worker, grant, key, facts);
        if (facts.type == Type::absent) check_absent(worker, grant, key, facts);
        const bool root_acts = grant.as == policy::As::root || grant.owner != policy::Owner::unset;
        if (facts.led_by_another && root_acts) {
            warning(worker, key, "the way to " + quoted(grant.path) + " leads through a symlink that is not root's, which root does not follow",
                    name_the_place);
        }
    }

    // What is there may be put right before it is asked for: the file says what is meant, and the disk does not change that.
    void check_kind(Worker& worker, const Grant& grant, const std::string& key, const PathFacts& facts) {
        if (grant.kind == Kind::tree && (facts.type == Type::file || facts.type == Type::other)) {
            return warning(worker, key, quoted(grant.path) + " is granted as a tree, but is no directory: asking for what is below it is denied",
                           "for the file itself write " + quoted(grant.path));
        }
        if (grant.kind == Kind::device && (facts.type == Type::file || facts.type == Type::directory)) {
            return fault(worker, key, quoted(grant.path) + " is no device");
        }
        if (grant.kind == Kind::file && facts.type == Type::directory) {
            return warning(worker, key, quoted(grant.path) + " is granted as a file, but is a directory: nothing below it can be asked for",
                           "for the tree write " + quoted(grant.path + "/"));
        }
        if (grant.kind != Kind::tree && facts.type == Type::directory) {
            fault(worker, key, quoted(grant.path) + " is a directory, but a file is meant");
        }
    }

    // What warderd or the worker makes need not be there, but the directory that it is made in must.
    void check_absent(const Worker& worker, const Grant& grant, const std::string& key, const PathFacts& facts) {
        const bool made_at_start = grant.owner != Owner::unset;
        const bool made_on_asking = grant.kind == Kind::file && grant.rights.has(Operation::create);
        if (!made_at_start && !made_on_asking) {
            warning(worker, key, quoted(grant.path) + " " + fault_of(facts) + ": asking for it answers ENOENT until it is");
        }
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
            const auto [other, fresh] = first.emplace(worker.sandbox.uid, &worker);
            if (fresh || worker.sandbox.uid == stranger) continue;   // not resolved: complained of already
            warning(worker, "user", "worker " + quoted(worker.name) + " has the same uid as worker " +
                                        quoted(other->second->name) + ": nothing keeps them apart");
        }
    }

    // What warderd itself holds for a worker: its channel, pidfd, log pipes and the like, and one descriptor a grant.
    static std::uint64_t held_for(const Worker& worker) {
        constexpr std::uint64_t of_each = 8;
        return of_each + worker.grants.size();
    }

    // Descriptors on their way are charged to root's account, whoever they are for, and the kernel compares that with
    // RLIMIT_NOFILE: one sum for all workers, half of it at most. Who says no number gets an equal share of what is left, enough
    // for any one message where there are few workers. What is held is another account with the same limit: warderd's table.
    void share_descriptors() {
        const std::uint64_t half = lookup_.descriptor_limit / 2;
        std::uint64_t said = 0;
        std::uint64_t silent = 0;
        std::uint64_t held = 0;
        for (const Worker& worker : config_.workers) {
            said += worker.max_in_flight;
            silent += worker.max_in_flight == 0 ? 1 : 0;
            held += held_for(worker);
        }
        const std::uint64_t share = share_of(half > said ? half - said : 0, silent);
        for (Worker& worker : config_.workers) {
            if (worker.max_in_flight == 0) worker.max_in_flight = static_cast<std::uint32_t>(share);
        }
        if (lookup_.descriptor_limit != 0) check_quotas(said + silent * share, held);
    }

    // A power of two, so that one worker more or less seldom changes anything for the others.
    std::uint64_t share_of(std::uint64_t left, std::uint64_t workers) const {
        if (workers == 0 || lookup_.descriptor_limit == 0) return max_share;
        return std::clamp(std::bit_floor(left / workers), min_share, max_share);
    }

    void check_quotas(std::uint64_t in_flight, std::uint64_t held) {
        if (config_.workers.empty()) return;
        const Worker& largest = *std::ranges::max_element(config_.workers, {}, &Worker::max_in_flight);
        const std::string limit = "warderd's " + std::to_string(lookup_.descriptor_limit);
        if (in_flight > lookup_.descriptor_limit / 2) {
            error(largest, "max_fds_in_flight",
                  "descriptors in flight of all workers (" + std::to_string(in_flight) + ") are more than half of " + limit,
                  "lower max_fds_in_flight, or raise LimitNOFILE");
        }
        if (held > lookup_.descriptor_limit / 4 * 3) {
            error(largest, "worker",
                  "descriptors held for all workers (about " + std::to_string(held) + ") are more than three quarters of " + limit,
                  "raise LimitNOFILE");
        }
    }

    void check_expectations() {
        for (const Expectation& expectation : config_.expectations) check_expectation(expectation);
    }

    void check_expectation(const Expectation& expectation) {
        const auto worker = std::ranges::find(config_.workers, expectation.worker, &Worker::name);
        if (worker == config_.workers.end()) return refuse_worker(expectation);
        const policy::GrantSet grants(worker->name, worker->grants);
        const policy::Request request{expectation.operation, expectation.flags,  expectation.mode,    expectation.grant,
                                      expectation.target,    expectation.second, expectation.argument};
        const policy::Decision decision = policy::decide(grants, request);
        const bool allowed = decision.verdict == policy::Verdict::allow;
        const std::string sentence(policy::explain(grants, request, decision).view());
        if (allowed != expectation.allowed) {
            return disappoint(expectation, std::string("expected to be ") + (allowed ? "denied" : "allowed") + ": " + sentence);
        }
        if (!allowed || expectation.by.empty() || grants.at(decision.grant).name == expectation.by) return;
        disappoint(expectation, "expected to be allowed by grant " + quoted(expectation.by) + ": " + sentence);
    }

    void refuse_worker(const Expectation& expectation) {
        std::vector<std::string_view> names;
        for (const Worker& worker : config_.workers) names.push_back(worker.name);
        problems_.push_back(expectation.mark.problem(Severity::error, "there is no worker " + quoted(expectation.worker),
                                                     did_you_mean(expectation.worker, names)));
    }

    void disappoint(const Expectation& expectation, std::string what) {
        problems_.push_back(expectation.mark.problem(Severity::error, std::move(what)));
    }

    Config& config_;
    std::vector<Problem>& problems_;
    const Lookup& lookup_;
};

}  // namespace

void resolve(Config& config, std::vector<Problem>& problems, const Lookup& lookup) {
    Resolver(config, problems, lookup).run();
    sort_problems(problems, config.files);
}

}  // namespace warder::config
