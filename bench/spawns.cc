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
#include <cstdio>
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
    plan.memory_deny_write_execute = true;
    plan.preferred = {"memory_deny_write_execute"};
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

// The sandbox (namespaces and mounts, with the PID 1 in them) is made within what is timed, as for a first start, or before it, as for
// the next life of a worker that has run for a while.
enum class SandboxMade { on_the_path, ahead };

Result<Spawn> through_warder(const sandbox::Prepared& prepared, SandboxMade made) {
    Spawn spawn;
    Instant start = monotonic_now();
    const auto stub = TRY(sandbox::spawn_stub(prepared));
    TRY(wait_until_runs(stub));
    if (made == SandboxMade::ahead) start = monotonic_now();
    const auto worker = TRY(sandbox::spawn_worker(prepared, {}, stub.pidfd.get()));
    TRY(wait_until_runs(worker));
    spawn.to_exec = elapsed_since(start);
    if (!ended_within(worker.pidfd.get(), patience_ms)) return failure(ETIMEDOUT, "waiting for its end");
    spawn.to_exit = elapsed_since(start);
    end(worker.pidfd);
    end(stub.pidfd);
    return spawn;
}

Result<Spawn> bare(const sandbox::Prepared& prepared, SandboxMade made) {
    Spawn spawn;
    Instant start = monotonic_now();
    const Fd reaper = TRY(spawn_bare_reaper(prepared));
    if (made == SandboxMade::ahead) start = monotonic_now();
    const Fd program = TRY(spawn_bare_program(prepared, reaper));
    spawn.to_exec = elapsed_since(start);
    if (!ended_within(program.get(), patience_ms)) return failure(ETIMEDOUT, "waiting for its end");
    spawn.to_exit = elapsed_since(start);
    end(program);
    end(reaper);
    return spawn;
}

// From the start of a launcher to its end, with status 0.
Result<std::uint32_t> through(const char* launcher, std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    char* const environment[] = {nullptr};
    const Instant start = monotonic_now();
    pid_t pid = -1;
    if (const int error = ::posix_spawn(&pid, launcher, nullptr, nullptr, arguments.data(), environment)) return failure(error, "posix_spawn");
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return failure("waitpid");
    if (status != 0) return failure(ECHILD, launcher);
    return elapsed_since(start);
}

constexpr const char* bwrap = "/usr/bin/bwrap";

// The nearest that it has: all namespaces, /usr to read, a /dev and a /tmp of its own, no capability. It has no list of system calls
// of its own, no Landlock, no limits.
Result<std::uint32_t> through_bwrap(const std::string& program) {
    return through(bwrap, {bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr",
                           "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin",
                           "--ro-bind", program, program, "--dev", "/dev", "--tmpfs", "/tmp.own", "--", program});
}

// In a chroot it cannot: the kernel makes no user namespace there (user_namespaces(7)).
bool bwrap_runs(const std::string& program) { return ::access(bwrap, X_OK) == 0 && through_bwrap(program).has_value(); }

constexpr const char* systemd_run = "/usr/bin/systemd-run";

bool systemd_runs() { return ::access(systemd_run, X_OK) == 0 && ::access("/run/systemd/system", F_OK) == 0; }

// The nearest that it has (252): no pid namespace, no root of its own, no Landlock.
Result<std::uint32_t> through_systemd(const std::string& program) {
    std::vector<std::string> words{systemd_run, "--wait", "--quiet", "--collect"};
    for (const char* property :
         {"User=daemon", "Group=daemon", "PrivateNetwork=yes", "PrivateIPC=yes", "PrivateTmp=yes", "PrivateDevices=yes", "ProtectSystem=strict",
          "ProtectHome=yes", "ProtectProc=invisible", "ProcSubset=pid", "ProtectHostname=yes", "ProtectClock=yes", "ProtectKernelTunables=yes",
          "ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectControlGroups=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
          "SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM", "SystemCallArchitectures=native", "RestrictNamespaces=yes",
          "RestrictAddressFamilies=AF_UNIX", "RestrictRealtime=yes", "RestrictSUIDSGID=yes", "LockPersonality=yes",
          "MemoryDenyWriteExecute=yes", "KeyringMode=private", "LimitCORE=0", "UMask=0077"}) {
        words.push_back(std::string("--property=") + property);
    }
    words.push_back("--");
    words.push_back(program);
    return through(systemd_run, std::move(words));
}

// To exec, and to the end of a program that ends at once.
struct Both {
    Samples to_exec, to_exit;
    void take(const Spawn& spawn) {
        to_exec.push_back(spawn.to_exec);
        to_exit.push_back(spawn.to_exit);
    }
};

struct Measured {
    Both bare, bare_ahead, warder, warder_ahead;
    Samples bwrap, systemd;
};

// One of each by turns: what the kernel still tidies up after one is everybody's.
Result<Measured> measure(const sandbox::Prepared& prepared, const std::string& program, std::size_t count) {
    Measured all;
    const bool with_bwrap = bwrap_runs(program);
    for (std::size_t i = 0; i < count; ++i) {
        all.bare.take(TRY(bare(prepared, SandboxMade::on_the_path)));
        all.warder.take(TRY(through_warder(prepared, SandboxMade::on_the_path)));
        all.bare_ahead.take(TRY(bare(prepared, SandboxMade::ahead)));
        all.warder_ahead.take(TRY(through_warder(prepared, SandboxMade::ahead)));
        if (with_bwrap) all.bwrap.push_back(TRY(through_bwrap(program)));
        if (systemd_runs()) all.systemd.push_back(TRY(through_systemd(program)));
    }
    return all;
}

double ratio(const Samples& samples, const Samples& floor) { return percentile(samples, 0.5) / percentile(floor, 0.5); }

std::string rounded(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    return text;
}

// Another launcher beside both of ours, or that it is not here.
void compare(Section& section, const Measured& all, const Samples& other, const char* name) {
    if (other.empty()) return section.notes.push_back("No " + std::string(name) + " here to compare with.");
    section.rows.push_back(row(std::string(name) + ", the same", other, ratio(other, all.warder_ahead.to_exit), "made ahead"));
    section.notes.push_back(std::string(name) + " takes " + rounded(ratio(other, all.warder.to_exit)) + " x as long as warder that makes the sandbox on the path, " +
                            rounded(ratio(other, all.warder_ahead.to_exit)) + " x as long as with the sandbox made ahead, " +
                            rounded(ratio(other, all.bare.to_exit)) + " x as long as the bare calls.");
}

// On a machine that is not quiet the fastest tell more than the median.
std::string fastest_tenth(const Measured& all) {
    const auto told = [](const Samples& samples) { return std::to_string(std::lround(percentile(samples, 0.1))) + " us"; };
    std::string text = "The fastest tenth took at most, to the end: bare " + told(all.bare.to_exit) + ", warder " + told(all.warder.to_exit) +
                       "; with the sandbox ahead bare " + told(all.bare_ahead.to_exit) + ", warder " + told(all.warder_ahead.to_exit);
    if (!all.bwrap.empty()) text += "; bwrap " + told(all.bwrap);
    if (!all.systemd.empty()) text += "; systemd-run " + told(all.systemd);
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
    Section section{.title = "A spawn in a strict sandbox, all on one CPU", .rows = {}, .notes = {}};
    auto& rows = section.rows;
    rows.push_back(row("bare system calls of the plan, to exec", all.bare.to_exec));
    rows.push_back(row("warder, a first start, to exec", all.warder.to_exec, ratio(all.warder.to_exec, all.bare.to_exec), "bare"));
    rows.push_back(row("bare, the sandbox made ahead, to exec", all.bare_ahead.to_exec));
    rows.push_back(row("warder, a restart (sandbox made ahead), to exec", all.warder_ahead.to_exec, ratio(all.warder_ahead.to_exec, all.bare_ahead.to_exec), "that"));
    rows.push_back(row("bare, to the end of a program that ends at once", all.bare.to_exit));
    rows.push_back(row("warder, a first start, the same", all.warder.to_exit, ratio(all.warder.to_exit, all.bare.to_exit), "bare"));
    rows.push_back(row("warder, a restart, the same", all.warder_ahead.to_exit, ratio(all.warder_ahead.to_exit, all.bare.to_exit), "bare"));
    compare(section, all, all.bwrap, "bwrap --unshare-all");
    compare(section, all, all.systemd, "systemd-run --wait");
    section.notes.push_back(fastest_tenth(all));
    section.notes.emplace_back("Bare does not confine its PID 1, proves nothing and names no failure; bwrap has no filter and no Landlock; "
                               "systemd-run has no pid namespace and no Landlock, and the manager that it asks is on any CPU.");
    return section;
}

}  // namespace warder::bench
