#include "supervise/evidence.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>

#include "base/time.h"
#include "sandbox/program.h"
#include "sandbox/reach.h"
#include "sandbox/stage.h"
#include "sys/capabilities.h"
#include "sys/files.h"
#include "sys/path_walk.h"

namespace warder::supervise {
namespace {

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

// "bind_read_only = ["/opt/app"] in [worker.web.sandbox] (warder.toml:4) shows it".
std::string in_sandbox_section(const Suspects& suspects) {
    std::string words = " in [worker." + std::string(suspects.worker) + ".sandbox]";
    if (!suspects.origin.empty()) words += " (" + std::string(suspects.origin) + ")";
    return words;
}

std::string directory_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 || slash == std::string::npos ? path : path.substr(0, slash);
}

bool may_run(const struct stat& status, const sandbox::Plan& plan) {
    const bool in_group = status.st_gid == plan.gid || std::ranges::find(plan.groups, status.st_gid) != plan.groups.end();
    if (status.st_uid == plan.uid) return (status.st_mode & S_IXUSR) != 0;
    return (status.st_mode & (in_group ? S_IXGRP : S_IXOTH)) != 0;
}

// Where the sandbox puts a tree of its own, what the host has there is not seen.
std::string hidden_by_sandbox(std::string_view path) {
    for (const std::string_view own : {"/tmp", "/dev", "/proc", "/var/tmp"}) {
        if (path.starts_with(own) && (path.size() == own.size() || path[own.size()] == '/')) return "the sandbox has a " + std::string(own) + " of its own, which hides the host's";
    }
    return {};
}

std::string not_found(const ProgramFacts& program, const Suspects& suspects) {
    const std::string what = (program.interpreter ? "its interpreter " : "") + program.path;
    if (!program.on_host) return what + " does not exist on this machine";
    const std::string own = hidden_by_sandbox(program.path);
    const std::string shown = own.empty() ? directory_of(program.path) : program.path;   // those directories themselves are the sandbox's own
    return what + " is not in the sandbox: " + (own.empty() ? "" : own + ": ") + "bind_read_only = [" + quoted(shown) + "]" + in_sandbox_section(suspects) + " shows it";
}

std::string not_permitted(const ProgramFacts& program, const Suspects& suspects) {
    const std::string what = (program.interpreter ? "its interpreter " : "") + program.path;
    if (!program.noexec.empty()) return what + " cannot be run: " + program.noexec + ", and execute changes nothing about that";
    if (!program.runnable) return what + " has a mode that does not let uid " + std::to_string(suspects.plan->uid) + " run it";
    const std::string hint = "exec_paths = [" + quoted(program.path) + "]" + in_sandbox_section(suspects) + " lets it run";
    const bool passable = suspects.plan->landlock && !program.may_execute;
    return what + " may not be run: " + (passable ? hint : "a directory on the way to it cannot be passed");
}

std::string of_exec(const Exit& exit, const Suspects& suspects) {
    if (!suspects.program || suspects.plan == nullptr) return {};
    switch (exit.error) {
        case ENOENT: return not_found(*suspects.program, suspects);
        case EACCES:
        case EPERM: return not_permitted(*suspects.program, suspects);
        case ENOEXEC: return suspects.plan->program + " is neither a program nor a script that begins with \"#!\"";
        default: return suspects.plan->program;
    }
}

// A path of the sandbox that was to be there: what Landlock's rules are about.
std::string of_missing_path(std::string_view path, const Suspects& suspects) {
    const std::string own = hidden_by_sandbox(path);
    if (!own.empty()) return std::string(path) + " is not in the sandbox: " + own;
    return std::string(path) + " is not in the sandbox: bind_read_only = [" + quoted(path) + "]" + in_sandbox_section(suspects) + " shows it";
}

std::string of_limit(std::string_view object, const Suspects& suspects) {
    std::string words = "limits = { " + std::string(object) + " } of [worker." + std::string(suspects.worker) + "]";
    if (object.starts_with("nofile")) {
        const auto most = read_file("/proc/sys/fs/nr_open", 64);
        return words + ": no process may have more than fs.nr_open" + (most ? ", which is " + most->substr(0, most->find('\n')) + " here" : "");
    }
    return words + ": higher than warderd's own limit, which takes CAP_SYS_RESOURCE (Limit*= in the unit of warderd raises it)";
}

// "raising capability 25": the kernel counts them.
std::string of_capability(std::string_view object) {
    const std::size_t space = object.rfind(' ');
    int number = -1;
    if (space != std::string_view::npos) std::from_chars(object.data() + space + 1, object.data() + object.size(), number);
    if (number < 0) return std::string(object);
    return std::string(object.substr(0, space + 1)) + capabilities::name_of(number) + ": warderd must have it itself (CapabilityBoundingSet= in its unit)";
}

std::string of_object(const Exit& exit, const Suspects& suspects) {
    const auto stage = static_cast<sandbox::Stage>(exit.value);
    const bool of_directory = stage == sandbox::Stage::directory && suspects.object.empty() && suspects.plan != nullptr;
    const std::string object = of_directory ? suspects.plan->directory : std::string(suspects.object);
    switch (stage) {
        case sandbox::Stage::directory: {
            const std::string own = hidden_by_sandbox(object);
            return "the working directory " + object + (exit.error != ENOENT || own.empty() ? ": bind_read_only = [" + quoted(object) + "]" + in_sandbox_section(suspects) + " shows it" : ": " + own);
        }
        case sandbox::Stage::landlock: return exit.error == ENOENT ? of_missing_path(suspects.object, suspects) : object;
        case sandbox::Stage::limits: return of_limit(suspects.object, suspects);
        case sandbox::Stage::capabilities: return of_capability(suspects.object);
        case sandbox::Stage::network: return object + (exit.error == ENOENT ? ": nobody has made it" : "");
        case sandbox::Stage::mounts: return object + (exit.error == ENOSPC ? ": no room for one more (fs.mount-max, or the memory of its group)" : "");
        default: return object;
    }
}

std::string of_setup(const Exit& exit, const Suspects& suspects) {
    const auto stage = static_cast<sandbox::Stage>(exit.value);
    if (stage == sandbox::Stage::evidence && exit.error == ESRCH) return "its syscall monitor ended before it had begun";
    if (stage == sandbox::Stage::evidence && exit.error == EBUSY) {
        return "warderd is under a filter that has a listener, and there can be one: evidence = \"errno\"" + in_sandbox_section(suspects) + " does without";
    }
    if (stage == sandbox::Stage::exec) return of_exec(exit, suspects);
    return of_object(exit, suspects);
}

const sandbox::GroupLimit* limit_of(const sandbox::Plan& plan, std::string_view file) {
    const auto found = std::ranges::find(plan.group_limits, file, &sandbox::GroupLimit::file);
    return found == plan.group_limits.end() ? nullptr : &*found;
}

std::string in_bytes(const std::string& number) {
    std::uint64_t bytes = 0;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), bytes);
    return parsed.ec == std::errc{} ? format_size(bytes) : number;
}

std::string of_memory(const MemoryFacts& memory, const Suspects& suspects) {
    if (const auto* ours = suspects.plan == nullptr ? nullptr : limit_of(*suspects.plan, "memory.max")) {
        const std::string place = ours->origin.empty() ? "" : " (" + ours->origin + ")";
        return "out of memory: its group reached memory_max = \"" + in_bytes(memory.limit) + "\" in limits of [worker." +
               std::string(suspects.worker) + "]" + place + ", and the kernel ended " + std::to_string(memory.kills) + " of it; a higher memory_max would let it go on";
    }
    const bool limited = !memory.limit.empty() && memory.limit != "max";
    if (!limited) return "out of memory: the kernel chose it, although its group has no limit of its own";
    return "out of memory: its group reached memory.max = " + memory.limit + "; a higher limit" + in_sandbox_section(suspects) + " would let it go on";
}

// Denied calls answer with an errno, so only what the filter kills for ends here.
std::string of_filter(const Suspects& suspects) {
    if (suspects.plan == nullptr || !suspects.plan->calls.enabled) return {};
    return "its filter ended it for a system call of another ABI (i386 or x32), or one that it kills for; call not known: audit(8) "
           "names it where it is on, and so does strace(1); evidence = \"full\"" + in_sandbox_section(suspects) + " names it the next time";
}

// The call that ends it is the last that its syscall monitor saw of that kind.
std::string of_killed_call(const Suspects& suspects) {
    const auto& list = suspects.calls->list;
    const auto call = std::find_if(list.rbegin(), list.rend(), [](const auto& one) { return one.error == 0; });
    if (call == list.rend() || suspects.plan == nullptr) return "its filter ended it for a system call";
    const auto remedy = sandbox::remedy_for(suspects.plan->calls, *call);
    return "its filter ends it for the system call " + sandbox::in_words(*call) + "; what would allow it" + in_sandbox_section(suspects) + ": " + remedy.change;
}

// A program that is denied a call often gives up without saying which.
std::string of_denied_calls(const Suspects& suspects) {
    constexpr std::size_t most = 3;
    std::string words;
    for (const auto& call : suspects.calls->list) {
        if (words.empty()) words = "its filter had denied it ";
        else words += ", ";
        words += sandbox::in_words(call) + (call.count == 1 ? "" : " (" + std::to_string(call.count) + " times)");
        if (&call == &suspects.calls->list[most - 1] && suspects.calls->list.size() > most) {
            words += " and " + std::to_string(suspects.calls->list.size() - most) + " more";
            break;
        }
    }
    return words.empty() ? words : words + "; `warderctl why " + std::string(suspects.worker) + "` says what would allow it";
}

// Signals that others send, to end it, say nothing about itself.
bool by_its_own_doing(const Exit& exit) {
    if (exit.kind == Exit::Kind::code) return exit.value != 0;
    constexpr int from_outside[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    return exit.kind == Exit::Kind::signal && std::ranges::find(from_outside, exit.value) == std::end(from_outside);
}

}  // namespace

namespace {

// Where execute changes nothing: the mount is noexec, in the sandbox or on the host.
std::string noexec_of(const std::string& path, const std::string& there, const sandbox::Plan& plan) {
    const auto covers = [&](const std::string& target) { return sandbox::lies_below(path, target); };
    for (const auto& one : plan.memory_directories) {
        if (covers(one.target) && one.no_execute) return "the directory in memory at " + one.target + " is noexec (noexec = false in its table lets programs run)";
    }
    for (const auto& bind : plan.binds) {
        if (covers(bind.target) && bind.no_execute) return "the bind at " + bind.target + " is noexec (noexec = false in its table lets programs run)";
    }
    struct statvfs where {};
    if (::statvfs(there.c_str(), &where) != 0 || (where.f_flag & ST_NOEXEC) == 0) return {};
    return "it lies on a file system that is mounted noexec, " + mount_behind(mount_table(), there).point;
}

}  // namespace

ProgramFacts look_at_program(const sandbox::Plan& plan) {
    ProgramFacts facts{.path = plan.program};
    sandbox::Unfit unfit;
    if (!sandbox::reach(plan, mount_table(), unfit)) return facts;   // whoever answers for it is not waited for
    const auto chain = sandbox::chain_of_program(plan);
    for (const auto& file : chain.files) {
        struct stat status {};
        const std::string there = sandbox::host_path(file, plan);
        const bool exists = ::stat(there.c_str(), &status) == 0;
        std::string noexec = exists ? noexec_of(file, there, plan) : std::string();
        if (exists && may_run(status, plan) && noexec.empty()) continue;
        return {.path = file, .interpreter = file != plan.program, .on_host = exists, .runnable = !exists || may_run(status, plan), .noexec = std::move(noexec)};
    }
    facts.on_host = !chain.files.empty() || ::access(sandbox::host_path(plan.program, plan).c_str(), F_OK) == 0;
    facts.may_execute = std::ranges::any_of(plan.binds, [&](const auto& bind) { return bind.execute && sandbox::lies_below(plan.program, bind.target); });
    return facts;
}

std::uint64_t oom_kills_in(std::string_view memory_events) {
    constexpr std::string_view key = "oom_kill ";
    for (std::size_t at = 0; at < memory_events.size(); at = std::min(memory_events.find('\n', at), memory_events.size()) + 1) {
        const std::string_view line = memory_events.substr(at);
        std::uint64_t count = 0;
        if (line.starts_with(key)) std::from_chars(line.data() + key.size(), line.data() + line.size(), count);
        if (line.starts_with(key)) return count;
    }
    return 0;
}

std::optional<MemoryFacts> look_at_memory(const std::string& cgroup) {
    const auto events = cgroup.empty() ? Result<std::string>(failure(ENOENT, "memory.events")) : read_file(cgroup + "/memory.events", 4096);
    if (!events) return std::nullopt;
    MemoryFacts facts{.kills = oom_kills_in(*events), .limit = {}};
    if (auto limit = read_file(cgroup + "/memory.max", 64)) facts.limit = limit->substr(0, limit->find('\n'));
    return facts;
}

namespace {

// What no filter sees ends a program too, and says little: by what it ended with, as far as that is somebody's habit.
std::string by_symptom(const Exit& exit, const Suspects& suspects) {
    if (suspects.plan == nullptr || !suspects.plan->mount_namespace) return {};
    const bool crashed = exit.kind == Exit::Kind::signal && (exit.value == SIGTRAP || exit.value == SIGILL || exit.value == SIGSEGV);
    if (crashed && suspects.plan->memory_deny_write_execute) {
        return "no call was seen to be denied; programs that compile while they run (node, java and the like) end so where memory cannot be both "
               "written and run: memory_deny_write_execute = false" + in_sandbox_section(suspects) + " lets them";
    }
    if (exit.kind != Exit::Kind::code) return {};
    if (exit.value == 127) return "a shell ends with 127 when it does not find a program: bind or execute" + in_sandbox_section(suspects) + " shows it";
    if (exit.value == 126) return "a shell ends with 126 when it may not run a program: exec_paths = [\"/path/of/it\"]" + in_sandbox_section(suspects) + " lets it run";
    return {};
}

std::string of_what_is_seen(const Exit& exit, const Suspects& suspects) {
    if (exit.kind == Exit::Kind::setup) return of_setup(exit, suspects);
    const bool killed = exit.kind == Exit::Kind::signal && exit.value == SIGKILL;
    const bool gave_up = exit.kind == Exit::Kind::code && exit.value != 0;   // since another of its processes was killed
    if ((killed || gave_up) && suspects.memory && suspects.memory->kills > 0) return of_memory(*suspects.memory, suspects);
    if (suspects.calls != nullptr && by_its_own_doing(exit) && exit.value != SIGSYS) return of_denied_calls(suspects);
    if (exit.kind != Exit::Kind::signal) return {};
    if (exit.value == SIGKILL && suspects.calls != nullptr && suspects.calls->killed) return of_killed_call(suspects);
    return exit.value == SIGSYS ? of_filter(suspects) : std::string();
}

}  // namespace

std::string evidence_in_words(const Exit& exit, const Suspects& suspects) {
    std::string words = of_what_is_seen(exit, suspects);
    return words.empty() ? by_symptom(exit, suspects) : words;
}

}  // namespace warder::supervise
