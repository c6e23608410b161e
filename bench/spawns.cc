#include "bench/spawns.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <string>
#include <vector>

#include "bench/spawn_floor.h"
#include "sandbox/spawn.h"
#include "sys/process.h"

namespace warder::bench {
namespace {

constexpr int patience_ms = 10'000;
constexpr uid_t worker_uid = 64'999;

// Profile "strict", as src/config makes it.
sandbox::Plan strict_plan(const std::string& program) {
    sandbox::Plan plan;
    plan.program = program;
    plan.arguments = {program};
    plan.user = "bench";
    plan.uid = worker_uid;
    plan.gid = worker_uid;
    plan.cgroup_namespace = true;
    plan.core_dumps = false;
    plan.refuse_executable_memory = true;
    plan.preferred = {"refuse_executable_memory"};
    plan.binds = {{.source = program, .target = program}};
    // As this process has it: `chrt --fifo 1` lets one measure on a machine that is not quiet.
    if (::sched_getscheduler(0) == SCHED_FIFO) plan.scheduling = {sandbox::Scheduler::fifo, 1};
    return plan;
}

// What is in nobody's need here; else each spawn would drop them all, and hide what is compared behind it.
void drop_bounding_set() {
    constexpr std::uint64_t kept = 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SYS_PTRACE | 1ULL << CAP_SYS_CHROOT | 1ULL << CAP_SETUID |
                                   1ULL << CAP_SETGID | 1ULL << CAP_SETPCAP | 1ULL << CAP_SYS_RESOURCE | 1ULL << CAP_KILL |
                                   1ULL << CAP_SETFCAP;   // bwrap maps uid 0
    for (unsigned capability = 0; capability <= CAP_LAST_CAP; ++capability) {
        if ((kept >> capability & 1) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
}

void end(const Fd& pidfd) {
    if (!pidfd) return;
    [[maybe_unused]] const auto killed = send_signal(pidfd.get(), SIGKILL);
    ended_within(pidfd.get(), patience_ms);
    [[maybe_unused]] const auto reaped = reap(pidfd.get());
}

Result<void> wait_until_runs(const sandbox::Spawned& spawned) {
    for (;;) {
        pollfd status{spawned.status.get(), POLLIN, 0};
        if (::poll(&status, 1, patience_ms) != 1) return failure(ETIMEDOUT, "waiting for exec");
        const auto said = sandbox::read_status(spawned.status.get());
        if (!said) continue;
        if (said->stage != sandbox::Stage::none) return failure(said->error, sandbox::name_of(said->stage).data());
        return {};
    }
}

struct Spawn {
    std::uint32_t to_exec = 0;
    std::uint32_t to_exit = 0;
};

Result<Spawn> through_warder(const sandbox::Prepared& prepared) {
    Spawn spawn;
    const Instant start = monotonic_now();
    const auto stub = TRY(sandbox::spawn_stub(prepared, {}));
    TRY(wait_until_runs(stub));
    const auto worker = TRY(sandbox::spawn_worker(prepared, {}, stub.pidfd.get()));
    TRY(wait_until_runs(worker));
    spawn.to_exec = elapsed_since(start);
    if (!ended_within(worker.pidfd.get(), patience_ms)) return failure(ETIMEDOUT, "waiting for its end");
    spawn.to_exit = elapsed_since(start);
    end(worker.pidfd);
    end(stub.pidfd);
    return spawn;
}

Result<Spawn> bare(const sandbox::Prepared& prepared) {
    Spawn spawn;
    const Instant start = monotonic_now();
    const BareCell cell = TRY(spawn_bare_cell(prepared));
    spawn.to_exec = elapsed_since(start);
    if (!ended_within(cell.program.get(), patience_ms)) return failure(ETIMEDOUT, "waiting for its end");
    spawn.to_exit = elapsed_since(start);
    end(cell.program);
    end(cell.reaper);
    return spawn;
}

constexpr const char* bwrap = "/usr/bin/bwrap";

// The nearest that it has: all namespaces, /usr to read, a /dev and a /tmp of its own, no capability. It has no list of system calls
// of its own, no Landlock, no limits.
Result<std::uint32_t> through_bwrap(const std::string& program) {
    std::vector<std::string> words{bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr",
                                   "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin",
                                   "--ro-bind", program, program, "--dev", "/dev", "--tmpfs", "/tmp.own", "--", program};
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    char* const environment[] = {nullptr};
    const Instant start = monotonic_now();
    pid_t pid = -1;
    if (const int error = ::posix_spawn(&pid, bwrap, nullptr, nullptr, arguments.data(), environment)) return failure(error, "posix_spawn");
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return failure("waitpid");
    if (status != 0) return failure(ECHILD, "bwrap");
    return elapsed_since(start);
}

struct Measured {
    Samples bare, bare_exit, warder, warder_exit, bwrap;
};

// One of each by turns: what the kernel still tidies up after one is everybody's.
Result<Measured> measure(const sandbox::Prepared& prepared, const std::string& program, std::size_t count) {
    Measured all;
    for (std::size_t i = 0; i < count; ++i) {
        const Spawn floor = TRY(bare(prepared));
        const Spawn ours = TRY(through_warder(prepared));
        all.bare.push_back(floor.to_exec);
        all.bare_exit.push_back(floor.to_exit);
        all.warder.push_back(ours.to_exec);
        all.warder_exit.push_back(ours.to_exit);
        if (::access(bwrap, X_OK) == 0) all.bwrap.push_back(TRY(through_bwrap(program)));
    }
    return all;
}

double ratio(const Samples& samples, const Samples& floor) { return percentile(samples, 0.5) / percentile(floor, 0.5); }

// On a machine that is not quiet the fastest tell more than the median.
std::string fastest_tenth(const Measured& all) {
    std::string text = "The fastest tenth took at most: bare " + std::to_string(std::lround(percentile(all.bare, 0.1))) + " us, warder " +
                       std::to_string(std::lround(percentile(all.warder, 0.1))) + " us to exec; to the end bare " +
                       std::to_string(std::lround(percentile(all.bare_exit, 0.1))) + " us, warder " +
                       std::to_string(std::lround(percentile(all.warder_exit, 0.1))) + " us";
    if (!all.bwrap.empty()) text += ", bwrap " + std::to_string(std::lround(percentile(all.bwrap, 0.1))) + " us";
    return text + ".";
}

}  // namespace

Result<Section> spawn_section(const Effort& effort, const std::string& nothing, const std::string& stub) {
    sandbox::Unfit unfit;
    drop_bounding_set();
    const auto prepared = TRY(sandbox::prepare(strict_plan(nothing), unfit, stub));
    move_to(Place::one_cpu);
    const auto measured = measure(*prepared, nothing, effort.lives * 4);
    move_to(Place::any_cpu);
    const Measured all = TRY(measured);
    Section section{.title = "A spawn in a strict cell, all on one CPU", .rows = {}, .notes = {}};
    section.rows.push_back(row("bare system calls of the plan, to exec", all.bare));
    section.rows.push_back(row("warder, to exec", all.warder, ratio(all.warder, all.bare), "bare"));
    section.rows.push_back(row("bare, to the end of a program that ends at once", all.bare_exit));
    section.rows.push_back(row("warder, the same", all.warder_exit, ratio(all.warder_exit, all.bare_exit), "bare"));
    if (all.bwrap.empty()) {
        section.notes.emplace_back("No bwrap here to compare with.");
    } else {
        section.rows.push_back(row("bwrap --unshare-all, the same", all.bwrap, ratio(all.bwrap, all.warder_exit), "warder"));
    }
    section.notes.push_back(fastest_tenth(all));
    section.notes.emplace_back("Bare does not confine its PID 1, proves nothing and names no failure; bwrap has no filter and no Landlock.");
    return section;
}

}  // namespace warder::bench
