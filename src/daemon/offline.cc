#include "daemon/offline.h"

#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "config/check.h"
#include "config/parse.h"
#include "control/question.h"
#include "control/report.h"
#include "daemon/assemble.h"
#include "daemon/capabilities.h"
#include "daemon/cgroups.h"
#include "daemon/own_sandbox.h"
#include "daemon/run_mode.h"
#include "daemon/sandbox_plan.h"
#include "daemon/uids.h"
#include "daemon/unit_limits.h"
#include "sandbox/spawn.h"

namespace warder::daemon {
namespace {

void print_problems(const std::vector<config::Problem>& problems) {
    for (const auto& problem : problems) std::fputs(config::format(problem).c_str(), stderr);
}

control::CheckReport check_report(const Loaded& loaded) {
    control::CheckReport report;
    report.files = loaded.config.files;
    for (const auto& worker : loaded.config.workers) report.workers.push_back(worker.name);
    for (const auto& problem : loaded.problems) report.problems.push_back(report_of(problem));
    report.capabilities = capability_reports(loaded.config);
    return report;
}

using Words = std::vector<std::string_view>;

Words worker_names(const config::Config& config) {
    Words names;
    for (const auto& worker : config.workers) names.push_back(worker.name);
    return names;
}

Words operation_words() {
    Words words;
    for (const auto& entry : operation_names) words.push_back(entry.name);
    return words;
}

int no_such(const char* kind, const std::string& word, const Words& known, int code = EX_USAGE) {
    const std::string near(config::nearest(word, known));
    const std::string hint = near.empty() ? "" : "; did you mean \"" + near + "\"?";
    std::fprintf(stderr, "no %s \"%s\"%s\n", kind, word.c_str(), hint.c_str());
    return code;
}

const config::Worker* find(const config::Config& config, std::string_view name) {
    for (const auto& worker : config.workers) {
        if (worker.name == name) return &worker;
    }
    return nullptr;
}

void print_lacks(const std::vector<control::KernelLack>& lacks) {
    for (const auto& lack : lacks) {
        std::printf("%s: %s %s: %s; instead: %s\n", lack.worker.c_str(), lack.preferred ? "goes without" : "cannot start:",
                    lack.item.c_str(), lack.why.c_str(), lack.instead.c_str());
    }
}

void print_what_is_lacking(const config::RunMode& run_mode) {
    for (const auto& lack : config::lacks_without_root(run_mode)) std::printf("without root: %s\n", lack.c_str());
}

}  // namespace

namespace {

// A worker's filter can only take away from ours.
void complain_of_denied_calls(const config::Config& config, std::vector<config::Problem>& problems) {
    const auto denied = denied_calls();
    for (const auto& worker : config.workers) {
        for (const auto& name : worker.sandbox.calls.allow) {
            if (std::ranges::find(denied, name) == denied.end()) continue;
            const std::string what = "worker " + worker.name + " allows the call \"" + name + "\", which warderd denies to all that it starts";
            problems.push_back({config::Severity::warning, worker.where, what, "leave it out of allow_calls", {}, 1, 1});
        }
    }
}

}  // namespace

Loaded load_and_resolve(const Options& options, config::Occasion occasion) {
    Loaded loaded;
    auto parsed = config::load(options.config, initial_daemon(options), occasion);
    loaded.config = std::move(parsed.config);
    loaded.problems = std::move(parsed.problems);
    config::resolve(loaded.config, loaded.problems, config::host_lookup());   // the machine's complaints beside the file's
    config::settle(loaded.config, loaded.problems);
    complain_of_denied_calls(loaded.config, loaded.problems);
    complain_of_limits(loaded.config, own_limits(), loaded.problems);
    loaded.ok = !config::any_error(loaded.problems);
    return loaded;
}

std::optional<config::Config> load_config(const Options& options) {
    Loaded loaded = load_and_resolve(options);
    print_problems(loaded.problems);
    if (!loaded.ok) return std::nullopt;
    return std::move(loaded.config);
}

control::ProblemReport report_of(const config::Problem& problem) {
    return {problem.severity == config::Severity::error ? control::Weight::error : control::Weight::warning,
            problem.where.file,
            problem.where.line,
            problem.where.column,
            problem.length,
            problem.what,
            problem.suggestion,
            problem.line};
}

namespace {

// The key that names what cannot be shown.
std::string key_of(const sandbox::Plan& sandbox, const std::string& item) {
    const auto is = [&](const auto& one) { return one.target == item; };
    if (item.starts_with("/dev/") && std::ranges::find(sandbox.devices, item.substr(5)) != sandbox.devices.end()) return "sandbox.devices";
    if (std::ranges::any_of(sandbox.memory_directories, is)) return "sandbox.tmpfs";
    if (std::ranges::any_of(sandbox.overlays, is)) return "sandbox.overlays";
    if (std::ranges::any_of(sandbox.files, is)) return "sandbox.files";
    if (std::ranges::find(sandbox.secret_files, item, &sandbox::SecretFile::source) != sandbox.secret_files.end()) return "sandbox.secret_files";
    const auto bind = std::ranges::find_if(sandbox.binds, [&](const auto& one) { return one.target == item || one.source == item; });
    if (bind == sandbox.binds.end()) return "sandbox";
    return bind->writable ? "sandbox.bind_writable" : "sandbox.bind_read_only";
}

config::Mark mark_of(const config::Worker& worker, const std::string& key, const std::string& item) {
    const std::string named = item.starts_with("/dev/") ? item.substr(5) : item;   // as "devices" has it
    const std::string entry = config::place_of_entry(worker.marks, {key}, item, config::place_of_entry(worker.marks, {key}, named, key));
    for (const std::string& one : {entry, key, std::string("sandbox.exec_paths"), std::string("sandbox"), std::string("worker")}) {
        const auto found = worker.marks.find(one);
        if (found != worker.marks.end()) return found->second;
    }
    return {};
}

bool is_told(const std::vector<config::Problem>& problems, const std::string& item) {
    return std::ranges::any_of(problems, [&](const auto& one) { return one.what.find("\"" + item + "\"") != std::string::npos; });
}

// A sandbox is tried as a start would make it: what contradicts itself there, or cannot be shown where it is wanted, no reading finds.
void try_sandboxes(const config::Config& config, std::vector<config::Problem>& problems) {
    if (::geteuid() != 0) return;
    for (const auto& worker : config.workers) {
        if (!worker.fault.empty()) continue;
        sandbox::Unfit unfit;
        const auto tried = sandbox::try_mounts(worker.sandbox, unfit);
        if (tried || is_told(problems, unfit.item)) continue;
        if (unfit.item.empty()) unfit = {"sandbox", describe(tried.error())};
        const std::string subject = unfit.item.starts_with('/') ? "\"" + unfit.item + "\" " : unfit.item + ": ";
        problems.push_back(mark_of(worker, key_of(worker.sandbox, unfit.item), unfit.item)
                               .problem(config::Severity::error, "the sandbox of worker \"" + worker.name + "\" cannot be made: " + subject + unfit.why, {}));
    }
    config::sort_problems(problems, config.files);
}

// What beside its mounts keeps a sandbox from being made here: limits without a controller, a group, what the program runs with.
void rehearse_sandboxes(Loaded& loaded) {
    if (!loaded.ok || loaded.config.daemon.run_mode.without_root || ::geteuid() != 0) return;
    const GroupProspect groups = group_prospect(loaded.config.daemon.cgroup);
    const auto warn = [&](const config::Worker& worker, const std::string& why) {
        const auto place = worker.marks.find("worker");
        const std::string what = "worker \"" + worker.name + "\" cannot start on this machine as it is: " + why;
        loaded.problems.push_back(place == worker.marks.end()
                                      ? config::Problem{config::Severity::warning, worker.where, what, {}, {}, 1, 1}
                                      : place->second.problem(config::Severity::warning, what));
    };
    for (const auto& worker : loaded.config.workers) {
        if (!worker.fault.empty()) continue;
        const bool named = !worker.user.empty();
        const uid_t uid = named ? worker.sandbox.uid : loaded.config.daemon.uid_first;
        const auto made = assemble(worker, uid, named || !worker.group.empty() ? worker.sandbox.gid : uid);
        const bool for_requests = made.life.group == supervise::GroupWish::required;
        if (!groups.any && for_requests) warn(worker, "request_access = \"all\" needs a cgroup, and warderd would have none");
        if (!groups.any && !worker.sandbox.pid_namespace) warn(worker, "pid_namespace: " + std::string(sandbox::needs_group_to_end));
        sandbox::Unfit unfit;
        const auto rehearsed = sandbox::rehearse(made.life.plan, unfit, groups.controllers);
        if (rehearsed || is_told(loaded.problems, unfit.item)) continue;
        warn(worker, supervise::in_words(unfit, rehearsed.error()));
    }
    config::sort_problems(loaded.problems, loaded.config.files);
}

// What the record of uids says against the config, as far as we may read it.
void look_at_uids(Loaded& loaded) {
    const auto& daemon = loaded.config.daemon;
    if (!loaded.ok || daemon.run_mode.without_root || ::geteuid() != 0) return;
    const std::string record = daemon.state_directory + "/uids";
    const auto tell = [&](config::Severity severity, std::string what) {
        const auto mark = daemon.marks.find("uid_range");
        loaded.problems.push_back(mark == daemon.marks.end() ? config::Problem{severity, {record, 0, 0}, std::move(what), {}, {}, 1, 1}
                                                             : mark->second.problem(severity, std::move(what)));
    };
    std::string fault;
    const auto uids = UidRegistry::load(record, daemon.uid_first, daemon.uid_last, fault);
    if (!uids && !fault.empty()) {
        loaded.ok = false;
        return tell(config::Severity::error, "the record of workers' uids " + record + ": " + fault);
    }
    if (!uids) return;
    std::vector<std::string_view> wanted{config::log_keeper_name};
    for (const auto& worker : loaded.config.workers) {
        if (worker.user.empty()) wanted.push_back(worker.name);
    }
    const auto fresh = static_cast<std::size_t>(
        std::ranges::count_if(wanted, [&](std::string_view name) { return !uids->all().contains(std::string(name)); }));
    if (fresh > uids->left()) {
        tell(config::Severity::warning, std::to_string(fresh) + " workers have no uid yet, and \"uid_range\" has " + std::to_string(uids->left()) +
                                            " left: those for whom there is none cannot start; warderctl forget NAME takes back that of a name no longer "
                                            "in use, or widen the range");
    } else if (const auto shortage = uids->shortage(); !shortage.empty()) {
        tell(config::Severity::warning, shortage);
    }
}

}  // namespace

int check(const Options& options) {
    Loaded loaded = load_and_resolve(options);
    if (loaded.ok) try_sandboxes(loaded.config, loaded.problems);
    loaded.ok = !config::any_error(loaded.problems);
    rehearse_sandboxes(loaded);
    look_at_uids(loaded);
    if (options.json) {
        std::printf("%s\n", control::check_json(check_report(loaded)).c_str());
    } else {
        print_problems(loaded.problems);
        if (loaded.ok) std::printf("%s: %zu workers, no errors\n", options.config.c_str(), loaded.config.workers.size());
        if (loaded.ok && options.user) print_what_is_lacking(loaded.config.daemon.run_mode);
    }
    return loaded.ok ? EX_OK : exit_config;
}

int why(const Options& options) {
    const Loaded loaded = load_and_resolve(options);
    print_problems(loaded.problems);
    if (!loaded.ok) return exit_config;
    const config::Worker* worker = find(loaded.config, options.worker);
    const auto operation = operation_of(options.operation);
    if (worker == nullptr) return no_such("worker", options.worker, worker_names(loaded.config), EX_NOUSER);
    if (!operation) return no_such("operation", options.operation, operation_words());
    const policy::GrantSet grants(worker->name, worker->grants);
    const auto report = control::answer_question(grants, {*operation, options.words, options.flags});
    if (!report) {
        std::fprintf(stderr, "%s\n", report.error().sentence.c_str());
        return EX_USAGE;
    }
    std::printf("%s\n", options.json ? control::why_json(*report).c_str() : report->sentence.c_str());
    return report->allowed ? 0 : 1;
}

int show_sandbox(const Options& options) {
    const Loaded loaded = load_and_resolve(options);
    print_problems(loaded.problems);
    if (!loaded.ok) return exit_config;
    const config::Worker* worker = find(loaded.config, options.worker);
    if (worker == nullptr) return no_such("worker", options.worker, worker_names(loaded.config), EX_NOUSER);
    const auto report = describe_sandbox(*worker, sandbox::probe_kernel());
    if (options.json) {
        std::printf("%s\n", control::sandbox_plan_json(report).c_str());
        return EX_OK;
    }
    for (const auto& line : report.plan) std::printf("%s = %s  # %s\n", line.key.c_str(), line.value.c_str(), line.origin.c_str());
    print_lacks(report.lacks);
    return EX_OK;
}

int check_kernel(const Options& options) {
    const Loaded loaded = load_and_resolve(options);
    print_problems(loaded.problems);
    if (!loaded.ok) return exit_config;
    const auto report = describe_kernel(loaded.config, sandbox::probe_kernel());
    if (options.json) {
        std::printf("%s\n", control::kernel_json(report).c_str());
        return report.ok ? EX_OK : 1;
    }
    for (const auto& item : report.items) {
        std::printf("%-26s %-4s (%s)\n", item.name.c_str(), item.present ? "yes" : "NO", item.since.c_str());
    }
    print_lacks(report.lacks);
    return report.ok ? EX_OK : 1;
}

int log_directory(const Options& options) {
    std::printf("%s\n", config::load(options.config, initial_daemon(options)).config.daemon.log_directory.c_str());
    return EX_OK;
}

int offline(const Options& options) {
    int code = EX_USAGE;
    switch (options.mode) {
        case Options::Mode::run: break;
        case Options::Mode::check: code = check(options); break;
        case Options::Mode::why: code = why(options); break;
        case Options::Mode::show_sandbox: code = show_sandbox(options); break;
        case Options::Mode::check_kernel: code = check_kernel(options); break;
        case Options::Mode::log_directory: code = log_directory(options); break;
    }
    return unless_unsaid(code);
}

int unless_unsaid(int code) {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    std::fprintf(stderr, "warderd: standard output: %s\n", std::strerror(errno));
    return EX_IOERR;
}

}  // namespace warder::daemon
