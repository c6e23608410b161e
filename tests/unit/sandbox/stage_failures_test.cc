// Each stage of set-up, with and without a stub of its own: one call that it makes answers an errno of our choice, and what comes of it
// is that stage and that errno down the status pipe, and systemd's exit number. No child ever comes back into its parent's code.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <cstddef>
#include <new>
#include <vector>

#include "sandbox.h"
#include "sandbox/prepared.h"
#include "sandbox/probe.h"
#include "sys/kernel.h"

using namespace sandbox;

namespace {

constexpr int any = -1;

// The call that fails, if one of its arguments is this.
struct Injection {
    long call;
    int argument = any;
    std::uint32_t value = 0;
    int error = 0;
};

enum class Stubs : std::uint8_t { both, alone, inside };

struct Row {
    Stage stage;
    int exit_status;               // as systemd.exec(5) has it
    Injection injection;
    Stubs stubs = Stubs::both;
    void (*change)(Plan&) = nullptr;
    bool (*possible)(const KernelFeatures&) = nullptr;
};

// AddressSanitizer makes calls of its own before a function that does not return; a stub's filter denies them, and it gives up.
bool stub_can_say_so(const KernelFeatures&) {
#if defined(__SANITIZE_ADDRESS__)
    MESSAGE("not tried under AddressSanitizer: a stub that cannot be executed");
    return false;
#else
    return true;
#endif
}

const Row rows[] = {
    {Stage::descriptors, 202, {SYS_dup3, any, 0, EMFILE}},
    {Stage::descriptors, 202, {SYS_close_range, any, 0, ENOSYS}},
    {Stage::namespaces, 226, {SYS_unshare, 0, CLONE_NEWIPC | CLONE_NEWUTS, ENOSPC}},
    {Stage::network, 225, {SYS_unshare, 0, CLONE_NEWNET, ENOSPC}},
    {Stage::mounts, 226, {SYS_unshare, 0, CLONE_NEWNS, ENOSPC}},
    {Stage::namespaces, 226, {SYS_setns, 1, CLONE_NEWUSER, EINVAL}, Stubs::both,
     [](Plan& plan) {
         plan.user_namespace = true;
         plan.uid_map = plan.gid_map = {{0, own_id, 1}};
     },
     [](const KernelFeatures& k) { return k.user_namespaces; }},
    {Stage::mounts, 226, {SYS_mount, any, 0, ENOMEM}},
    {Stage::directory, 200, {SYS_chdir, any, 0, EIO}},
    {Stage::limits, 205, {SYS_prlimit64, any, 0, EPERM}, Stubs::both, [](Plan& plan) { plan.core_dumps = false; }},
    {Stage::nice, 201, {SYS_setpriority, any, 0, EACCES}},
    {Stage::oom_score, 206, {SYS_write, 2, 3, EACCES}, Stubs::both, [](Plan& plan) { plan.oom_score_adjust = 321; }},
    {Stage::group, 216, {SYS_setgroups, any, 0, ENOMEM}},
    {Stage::group, 216, {SYS_setresgid, any, 0, EAGAIN}},
    {Stage::user, 217, {SYS_setresuid, any, 0, EAGAIN}},
    {Stage::capabilities, 218, {SYS_capset, any, 0, EINVAL}},
    {Stage::capabilities, 218, {SYS_prctl, 0, PR_CAP_AMBIENT, EINVAL}},
    {Stage::parent_death, 220, {SYS_prctl, 0, PR_SET_PDEATHSIG, EINVAL}},
    {Stage::no_new_privileges, 227, {SYS_prctl, 0, PR_SET_NO_NEW_PRIVS, EINVAL}},
    {Stage::landlock, 243, {SYS_landlock_restrict_self, any, 0, E2BIG}, Stubs::both, nullptr, [](const KernelFeatures& k) { return k.landlock > 0; }},
    {Stage::seccomp, 228, {SYS_seccomp, 0, SECCOMP_SET_MODE_FILTER, ENOMEM}},
    {Stage::exec, 203, {SYS_execve, any, 0, ENOEXEC}},
    {Stage::exec, 203, {SYS_execveat, any, 0, ENOMEM}, Stubs::inside, nullptr, stub_can_say_so},
    {Stage::cgroup, 219, {SYS_clone3, any, 0, EBUSY}, Stubs::alone},   // a stub is born in no group
    {Stage::session, 220, {SYS_setsid, any, 0, EPERM}},
    {Stage::standard_input, 208, {SYS_ioctl, 1, TIOCSCTTY, EIO}, Stubs::both, [](Plan& plan) { plan.terminal = "/dev/null"; }},
    {Stage::uts, 226, {SYS_sethostname, any, 0, EFAULT}},
    {Stage::io_priority, 211, {SYS_ioprio_set, any, 0, EPERM}},
    {Stage::scheduling, 214, {SYS_sched_setscheduler, any, 0, EPERM}},
    {Stage::affinity, 215, {SYS_sched_setaffinity, any, 0, EINVAL}, Stubs::both, [](Plan& plan) { plan.cpus = {0}; }},
    {Stage::secure_bits, 213, {SYS_prctl, 0, PR_SET_SECUREBITS, EPERM}},
    {Stage::personality, 230, {SYS_personality, any, 0, EINVAL}},
    {Stage::keyring, 237, {SYS_keyctl, any, 0, EDQUOT}},
    {Stage::memory, 204, {SYS_prctl, 0, kernel::pr_set_mdwe, EINVAL}, Stubs::both, [](Plan& plan) { plan.memory_deny_write_execute = true; },
     [](const KernelFeatures& k) { return k.memory_deny_write_execute; }},
    {Stage::evidence, 228, {SYS_clone, any, 0, EAGAIN}, Stubs::both, [](Plan& plan) { plan.calls.monitored = true; },
     [](const KernelFeatures& k) { return k.user_notification; }},
};

// Who came by the line after a spawn. Shared by all that were forked, whatever descriptors they still have.
struct Trace {
    std::atomic<int> passes{0};
    std::atomic<pid_t> who[16]{};

    void pass() { who[passes.fetch_add(1) % 16] = static_cast<pid_t>(::syscall(SYS_getpid)); }
};

class SharedTrace {
public:
    SharedTrace() {
        void* const page = ::mmap(nullptr, sizeof(Trace), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        REQUIRE(page != MAP_FAILED);
        trace_ = new (page) Trace;
    }
    ~SharedTrace() { ::munmap(trace_, sizeof(Trace)); }
    SharedTrace(const SharedTrace&) = delete;
    SharedTrace& operator=(const SharedTrace&) = delete;
    Trace& operator*() const { return *trace_; }
    Trace* operator->() const { return trace_; }

private:
    Trace* trace_ = nullptr;
};

sock_filter load(std::size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }

// This process and its children from here on. The first three instructions let through what is another call.
bool inject(const Injection& injection) {
    const bool all = injection.argument == any;
    const auto argument = static_cast<std::size_t>(all ? 0 : injection.argument);
    const sock_filter program[] = {
        load(offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(injection.call), 0, 3),
        load(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t)),   // the lower half
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, injection.value, 0, static_cast<std::uint8_t>(all ? 0 : 1)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(injection.error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{static_cast<unsigned short>(std::size(program)), const_cast<sock_filter*>(program)};
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

struct Told {
    Stage stage = Stage::none;
    int error = 0;
    bool had_child = false;
    Ended ended{};
};

Told of(const Result<Spawned>& spawned, const Descriptors& descriptors) {
    if (!spawned) return {stage_of(spawned.error(), descriptors), spawned.error().number, false, {}};
    const SetupFailure failure = wait_for_status(*spawned);
    if (failure.stage == Stage::none) return {};
    return {failure.stage, failure.error, true, wait_for_end(*spawned)};
}

// What a parent does, in a process of its own that is under the injection: a stub where there is to be one, then the worker.
Told start(const Prepared& prepared, const Descriptors& descriptors, Trace& trace) {
    Spawned stub;
    if (needs_stub(prepared)) {
        auto spawned = spawn_stub(prepared);
        trace.pass();
        const Told told = of(spawned, {});
        if (told.stage != Stage::none || !spawned) return told;
        stub = std::move(*spawned);
    }
    auto worker = spawn_worker(prepared, descriptors, stub.pidfd ? stub.pidfd.get() : -1);
    trace.pass();
    const Told told = of(worker, descriptors);
    if (stub.pidfd) [[maybe_unused]] const auto killed = send_signal(stub.pidfd.get(), SIGKILL);
    return told;
}

Told start_under(const Injection& injection, const Plan& plan, const Descriptors& descriptors, Trace& trace, pid_t& parent) {
    Pipe result;
    std::fflush(stdout);
    parent = ::fork();
    if (parent == 0) {
        const PreparedSandbox prepared = prepare_or_fail(plan);
        if (!inject(injection)) ::_exit(1);
        const Told told = start(*prepared, descriptors, trace);
        // write(2) of another size may be the call that fails.
        ::_exit(::write(result.writing.get(), &told, sizeof told) == sizeof told ? 0 : 2);
    }
    result.writing.reset();
    Told told;
    CHECK(::read(result.reading.get(), &told, sizeof told) == sizeof told);
    int status = 0;
    ::waitpid(parent, &status, 0);
    CHECK(status == 0);
    return told;
}

void check_nobody_else_passed(const Trace& trace, pid_t parent, int least) {
    CHECK(trace.passes >= least);
    for (int i = 0; i < trace.passes; ++i) CHECK(trace.who[i] == parent);
}

Descriptors given(const Row& row, const Plan& plan, const Fd& syscall_monitor, const Fd& group) {
    Descriptors descriptors;
    if (plan.calls.monitored) descriptors.syscall_monitor = syscall_monitor.get();
    if (row.stage == Stage::cgroup) descriptors.cgroup = group.get();
    return descriptors;
}

void check(const Row& row, bool stub) {
    Plan plan = plan_for_view({"fds"});
    plan.pid_namespace = stub;
    if (row.change != nullptr) row.change(plan);
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    const Fd ours(pair[0]);
    const Fd syscall_monitor(pair[1]);
    const Fd group(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const SharedTrace trace;
    pid_t parent = -1;
    CAPTURE(stub);
    CAPTURE(std::string(name_of(row.stage)));
    CAPTURE(row.injection.call);
    const Told told = start_under(row.injection, plan, given(row, plan, syscall_monitor, group), *trace, parent);
    CHECK_EQ(name_of(told.stage), name_of(row.stage));
    CHECK_EQ(told.error, row.injection.error);
    CHECK_EQ(exit_status_of(row.stage), row.exit_status);
    if (row.stage == Stage::cgroup) {
        CHECK_FALSE(told.had_child);
    } else {
        CHECK_FALSE(told.ended.by_signal);
        CHECK_EQ(told.ended.value, row.exit_status);
    }
    check_nobody_else_passed(*trace, parent, 1);
}

bool has_row(Stage stage) {
    for (const auto& row : rows) {
        if (row.stage == stage) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("whatever stage fails says its name, the errno of its call and systemd's number, and no child comes back") {
    NEEDS_ROOT();
    const KernelFeatures kernel = probe_kernel();
    for (const auto& row : rows) {
        if (row.possible != nullptr && !row.possible(kernel)) continue;
        if (row.stubs != Stubs::inside) check(row, false);
        if (row.stubs != Stubs::alone) check(row, true);
    }
}

TEST_CASE("every stage is made to fail") {
    for (int number = 1; number < 256; ++number) {
        const auto stage = static_cast<Stage>(number);
        if (name_of(stage) != "unknown") CHECK_MESSAGE(has_row(stage), std::string(name_of(stage)));
    }
}

TEST_CASE("an injection that no stage meets leaves the sandbox to run, and a child that came back would be seen") {
    NEEDS_ROOT();
    const SharedTrace trace;
    pid_t parent = -1;
    const Told told = start_under({SYS_acct, any, 0, EIO}, plan_for_view({"fds"}), {}, *trace, parent);
    CHECK(told.stage == Stage::none);
    CHECK(told.error == 0);
    check_nobody_else_passed(*trace, parent, 2);
    const int before = trace->passes;
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) {
        trace->pass();
        ::_exit(0);
    }
    REQUIRE(ended_within(child->pidfd.get(), patience_ms));
    [[maybe_unused]] const auto reaped = reap(child->pidfd.get());
    CHECK(trace->passes == before + 1);
    CHECK(trace->who[before] == child->pid);
}

TEST_CASE("only what a group answers is a failure of the group's") {
    const Descriptors grouped{.cgroup = 7};
    CHECK(stage_of({EBUSY, "clone3"}, grouped) == Stage::cgroup);
    CHECK(stage_of({ENODEV, "clone3"}, grouped) == Stage::cgroup);
    CHECK(stage_of({EAGAIN, "clone3"}, grouped) == Stage::none);
    CHECK(stage_of({EMFILE, "pipe2"}, grouped) == Stage::none);
    CHECK(stage_of({EBUSY, "clone3"}, {}) == Stage::none);
}
