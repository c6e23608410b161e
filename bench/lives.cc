#include "bench/lives.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace warder::bench {

using namespace std::chrono_literals;

namespace {

constexpr Duration patience = 20s;

// The floor of a start: fork and exec of the same program, which comes to the same socket, and nothing around it.
pid_t spawn_bare(const Scratch& scratch, const Programs& programs) {
    const std::string path = scratch.socket();
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::execl(programs.worker.c_str(), "bench-worker", path.c_str(), nullptr);
    ::_exit(127);
}

Result<void> wait_for_death(pid_t pid) {
    const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) return failure("pidfd_open");
    pollfd wanted{pidfd.get(), POLLIN, 0};
    ::kill(pid, SIGKILL);
    if (::poll(&wanted, 1, 10'000) != 1) return failure(ETIMEDOUT, "waiting for a death");
    ::waitpid(pid, nullptr, 0);
    return {};
}

Result<Samples> bare_starts(const Scratch& scratch, const Programs& programs, std::size_t count) {
    Samples samples;
    for (std::size_t i = 0; i < count; ++i) {
        const Instant start = monotonic_now();
        const pid_t pid = spawn_bare(scratch, programs);
        if (pid < 0) return failure("fork");
        const Visitor visitor = TRY(next_visitor(scratch, patience));
        samples.push_back(elapsed_since(start));
        TRY(wait_for_death(pid));
    }
    return samples;
}

Result<Samples> bare_kills(const Scratch& scratch, const Programs& programs, std::size_t count) {
    Samples samples;
    pid_t pid = spawn_bare(scratch, programs);
    Visitor visitor = TRY(next_visitor(scratch, patience));
    for (std::size_t i = 0; i < count; ++i) {
        const Instant start = monotonic_now();
        TRY(wait_for_death(pid));
        pid = spawn_bare(scratch, programs);
        visitor = TRY(next_visitor(scratch, patience));
        samples.push_back(elapsed_since(start));
    }
    TRY(wait_for_death(pid));
    return samples;
}

// Long enough for the sandbox of the next life to be made.
constexpr Duration a_while = 400ms;

// From kill -9, each life having run for `pause`, until the next one has been lent its first descriptor and has spoken over it.
Result<Samples> kills(const Scratch& scratch, Visitor& visitor, std::size_t count, Duration pause = Duration::zero()) {
    Samples samples;
    for (std::size_t i = 0; i < count; ++i) {
        std::this_thread::sleep_for(pause);
        const Instant start = monotonic_now();
        ::kill(visitor.who.pid, SIGKILL);
        visitor = TRY(next_visitor(scratch, patience));
        samples.push_back(elapsed_since(start));
    }
    return samples;
}

// From `start` on the control socket until warderd says that the worker is ready.
Result<Samples> starts(const Scratch& scratch, Subject& subject, std::string_view worker, std::size_t count) {
    Samples samples;
    for (std::size_t i = 0; i < count; ++i) {
        TRY(subject.command(protocol::Verb::stop, worker));
        const Instant start = monotonic_now();
        TRY(subject.command(protocol::Verb::start, worker));
        samples.push_back(elapsed_since(start));
        TRY(next_visitor(scratch, patience));
    }
    return samples;
}

struct Lives {
    Samples starts;
    Samples kills;
    Samples later_kills;   // of lives that have run for a while
};

Result<Lives> lives_in(const Scratch& scratch, const Programs& programs, std::string_view sandbox, std::size_t count) {
    Subject subject = TRY(Subject::start(scratch, programs, worker_config(scratch, programs, "one", sandbox, 1)));
    Visitor visitor = TRY(next_visitor(scratch, patience));
    Lives lives;
    lives.starts = TRY(starts(scratch, subject, "one", count));
    TRY(subject.command(protocol::Verb::restart, "one"));
    visitor = TRY(next_visitor(scratch, patience));
    lives.kills = TRY(kills(scratch, visitor, count));
    if (sandbox == "strict") lives.later_kills = TRY(kills(scratch, visitor, std::min<std::size_t>(count, 20), a_while));
    subject.stop();
    return lives;
}

// Without a root of its own a worker runs its program where it lies, and the checkout may lie where it cannot go: below /root, for one.
Result<Programs> where_all_may_go(const Scratch& scratch, Programs programs) {
    const std::string copy = scratch.path() + "/worker";
    std::error_code error;
    if (!std::filesystem::copy_file(programs.worker, copy, error)) return failure(error.value(), "copying the bench's worker");
    programs.worker = copy;
    return programs;
}

// The sum of a field over warderd and its openers is not what is asked: this is one process.
std::uint64_t field_of(pid_t pid, const char* file, std::string_view name) {
    std::ifstream lines("/proc/" + std::to_string(pid) + "/" + file);
    for (std::string word; lines >> word;) {
        if (word != name) continue;
        std::uint64_t value = 0;
        lines >> value;
        return value;
    }
    return 0;
}

std::uint64_t wake_ups(pid_t pid) {
    return field_of(pid, "status", "voluntary_ctxt_switches:") + field_of(pid, "status", "nonvoluntary_ctxt_switches:");
}

bool runs_warderd(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    return std::getline(file, name) && (name == "warderd" || name.starts_with("warder-open"));
}

Row figure(std::string name, double value, std::string unit) {
    return {.name = std::move(name), .p50 = value, .p99 = 0, .unit = std::move(unit), .ratio = 0, .against = {}};
}

}  // namespace

Result<Section> life_section(const Programs& programs, const Effort& effort) {
    const Scratch scratch = TRY(Scratch::create());
    const Samples bare_start = TRY(bare_starts(scratch, programs, effort.lives));
    const Samples bare_kill = TRY(bare_kills(scratch, programs, effort.lives));
    const Lives unconfined = TRY(lives_in(scratch, TRY(where_all_may_go(scratch, programs)), "unconfined", effort.lives));
    const Lives strict = TRY(lives_in(scratch, programs, "strict", effort.lives));
    const auto against = [](const Samples& samples, const Samples& floor) {
        return percentile(floor, 0.5) > 0 ? percentile(samples, 0.5) / percentile(floor, 0.5) : 0;
    };
    Section section{.title = "A life, on any CPU", .rows = {}, .notes = {}};
    auto& rows = section.rows;
    rows.push_back(row("bare fork and exec of the same program, to its hello", bare_start));
    rows.push_back(row("start to ready, profile \"unconfined\"", unconfined.starts, against(unconfined.starts, bare_start), "bare"));
    rows.push_back(row("start to ready, full sandbox", strict.starts, against(strict.starts, bare_start), "bare"));
    rows.push_back(row("bare kill -9, pidfd, fork, exec, to its hello", bare_kill));
    rows.push_back(row("kill -9 to the next hello, profile \"unconfined\"", unconfined.kills, against(unconfined.kills, bare_kill), "bare"));
    rows.push_back(row("kill -9 to the next hello, full sandbox, at once", strict.kills, against(strict.kills, bare_kill), "bare"));
    rows.push_back(row("the same after a while: its sandbox was made", strict.later_kills, against(strict.later_kills, bare_kill), "bare"));
    section.notes.emplace_back("A hello under warderd comes over a socket that the new life had to ask for.");
    return section;
}

Result<Section> idle_section(const Programs& programs, const Effort& effort) {
    const Scratch scratch = TRY(Scratch::create());
    std::string config;
    for (std::size_t i = 0; i < effort.workers; ++i) {
        config += worker_config(scratch, programs, "w" + std::to_string(i), "", 1);
    }
    const Instant start = monotonic_now();
    Subject subject = TRY(Subject::start(scratch, programs, config));
    std::vector<Visitor> visitors;
    while (visitors.size() < effort.workers) visitors.push_back(TRY(next_visitor(scratch, patience)));
    const double up = static_cast<double>((monotonic_now() - start).count()) / 1e6;
    std::this_thread::sleep_for(1s);
    const std::uint64_t before = wake_ups(subject.pid());
    std::this_thread::sleep_for(effort.idle);
    const std::uint64_t woken = wake_ups(subject.pid()) - before;
    std::uint64_t helpers = 0;
    for (const pid_t child : children_of(subject.pid())) {
        if (runs_warderd(child)) helpers += field_of(child, "smaps_rollup", "Pss:");
    }
    const auto pss = static_cast<double>(field_of(subject.pid(), "smaps_rollup", "Pss:"));
    Section section{.title = "warderd with " + std::to_string(effort.workers) + " workers in full sandboxes", .rows = {},
                    .notes = {}};
    section.rows.push_back(figure("all up, from exec of warderd", up, "ms"));
    section.rows.push_back(figure("PSS of the parent", pss, "KiB"));
    section.rows.push_back(figure("PSS of its openers", static_cast<double>(helpers), "KiB"));
    section.notes.push_back("Wake-ups of the idle parent in " + format_duration(effort.idle) + ": " +
                            std::to_string(woken) + ".");
    return section;
}

}  // namespace warder::bench
