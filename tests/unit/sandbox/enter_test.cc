// Stages made to fail by values and by missing rights, as an administrator's mistake would: it says which and why down the status
// pipe, ends with systemd's number, and never comes back. stage_failures_test.cc has every stage fail, by an injected errno.
#include "sandbox/enter.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sandbox.h"
#include "sandbox/prepared.h"

using namespace sandbox;

namespace {

void check_failure(const Outcome& outcome, Stage stage, int error) {
    CHECK(name_of(outcome.failure.stage) == name_of(stage));
    CHECK(outcome.failure.error == error);
    CHECK_FALSE(outcome.ended.by_signal);
    CHECK(outcome.ended.value == exit_status_of(stage));
}

// One process: what the stub does otherwise is done by the worker.
Plan alone(Plan plan) {
    plan.pid_namespace = false;
    return plan;
}

Plan view() { return plan_for_view({"fds"}); }

void drop_capability(int capability) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    ::syscall(SYS_capget, &header, data);
    for (auto* set : {&data[0].effective, &data[0].permitted}) *set &= ~(1U << capability);
    ::syscall(SYS_capset, &header, data);
}

// Runs the plan from a parent that lacks one capability.
Outcome run_without(int capability, const Plan& plan) {
    Pipe result;
    std::fflush(stdout);
    const pid_t parent = ::fork();
    if (parent == 0) {
        const PreparedSandbox prepared = prepare_or_fail(plan);
        drop_capability(capability);
        auto worker = spawn_worker(*prepared, {}, -1);
        Outcome outcome;
        if (worker) {
            outcome.failure = wait_for_status(*worker);
            outcome.ended = wait_for_end(*worker);
        }
        const bool written = ::write(result.writing.get(), &outcome.failure, sizeof outcome.failure) > 0 &&
                             ::write(result.writing.get(), &outcome.ended, sizeof outcome.ended) > 0;
        ::_exit(written ? 0 : 1);
    }
    Outcome outcome;
    REQUIRE(::read(result.reading.get(), &outcome.failure, sizeof outcome.failure) == sizeof outcome.failure);
    REQUIRE(::read(result.reading.get(), &outcome.ended, sizeof outcome.ended) == sizeof outcome.ended);
    ::waitpid(parent, nullptr, 0);
    return outcome;
}

// Runs what a test has changed in a prepared sandbox that has no pid namespace.
Outcome run_prepared(const Prepared& prepared) {
    auto worker = spawn_worker(prepared, {}, -1);
    REQUIRE(worker);
    Outcome outcome;
    outcome.failure = wait_for_status(*worker);
    outcome.ended = wait_for_end(*worker);
    return outcome;
}

}  // namespace

TEST_CASE("a missing program fails at exec with ENOENT and 203") {
    NEEDS_ROOT();
    Plan plan = view();
    plan.program = "/usr/bin/no-such-program";
    check_failure(run(plan), Stage::exec, ENOENT);
    check_failure(run(alone(plan)), Stage::exec, ENOENT);
}

TEST_CASE("a file that is no program fails at exec") {
    NEEDS_ROOT();
    Plan plan = view();
    plan.program = "/etc/passwd";
    check_failure(run(plan), Stage::exec, EACCES);
}

TEST_CASE("a working directory that is not in the sandbox fails with 200") {
    NEEDS_ROOT();
    Plan plan = view();
    plan.directory = "/root/no/such";
    check_failure(run(plan), Stage::directory, ENOENT);
}

TEST_CASE("an impossible limit fails with 205") {
    NEEDS_ROOT();
    Plan plan = view();
    plan.limits = {{99, 1, 1}};
    check_failure(run(plan), Stage::limits, EINVAL);
}

TEST_CASE("an impossible out-of-memory score fails with 206, in the stub already") {
    NEEDS_ROOT();
    Plan plan = view();
    plan.oom_score_adjust = 5000;
    check_failure(run(plan), Stage::oom_score, EINVAL);
    check_failure(run(alone(plan)), Stage::oom_score, EINVAL);
}

TEST_CASE("a hostname that is too long fails with 226") {
    NEEDS_ROOT();
    Plan plan = view();
    plan.hostname = std::string(65, 'x');
    check_failure(run(plan), Stage::uts, EINVAL);
    check_failure(run(alone(plan)), Stage::uts, EINVAL);
}

TEST_CASE("more groups than the kernel takes fail with 216") {
    NEEDS_ROOT();
    Plan plan = view();
    plan.groups.assign(70'000, 64200);
    check_failure(run(plan), Stage::group, EINVAL);
}

TEST_CASE("a descriptor that is not open fails with 202") {
    NEEDS_ROOT();
    check_failure(run(alone(view()), {.broker = 9999}), Stage::descriptors, EBADF);
    check_failure(run(view(), {.broker = 9999}), Stage::descriptors, EBADF);
}

TEST_CASE("a parent without the capability fails at the stage that needs it") {
    NEEDS_ROOT();
    Plan plan = alone(view());
    check_failure(run_without(CAP_SYS_ADMIN, plan), Stage::namespaces, EPERM);
    plan.ipc_namespace = plan.uts_namespace = false;
    check_failure(run_without(CAP_SYS_ADMIN, plan), Stage::network, EPERM);
    plan.network = Network::host;
    check_failure(run_without(CAP_SYS_ADMIN, plan), Stage::mounts, EPERM);
    check_failure(run_without(CAP_SETPCAP, plan), Stage::capabilities, EPERM);
    check_failure(run_without(CAP_SETGID, plan), Stage::group, EPERM);
    check_failure(run_without(CAP_SETUID, plan), Stage::user, EPERM);
    REQUIRE(::setpriority(PRIO_PROCESS, 0, 0) == 0);   // whatever niceness the tests were started with
    plan.nice = -20;
    check_failure(run_without(CAP_SYS_NICE, plan), Stage::nice, EACCES);
}

TEST_CASE("values that the kernel refuses fail at their stage") {
    NEEDS_ROOT();
    Plan plan = view();
    plan.io_priority = {static_cast<IoClass>(5), 0};
    check_failure(run(plan), Stage::io_priority, EINVAL);
    plan = view();
    plan.scheduling = {Scheduler::fifo, 100};
    check_failure(run(plan), Stage::scheduling, EINVAL);
    plan = view();
    plan.cpus = {8000};
    check_failure(run(plan), Stage::affinity, EINVAL);
    plan = alone(view());
    plan.capabilities = 1ULL << CAP_LEASE;
    check_failure(run_without(CAP_LEASE, plan), Stage::capabilities, EPERM);
}

TEST_CASE("a path that Landlock cannot find fails with 243") {
    NEEDS_ROOT();
    const PreparedSandbox prepared = prepare_or_fail(alone(view()));
    prepared->rights.paths.push_back({"/no/such/path", landlock::read_file});
    check_failure(run_prepared(*prepared), Stage::landlock, ENOENT);
}

TEST_CASE("a filter that the kernel refuses fails with 228") {
    NEEDS_ROOT();
    const PreparedSandbox prepared = prepare_or_fail(alone(view()));
    prepared->filters = std::make_shared<Filters>(Filters{{sock_filter{0xffff, 0, 0, 0}}, {}, {}});
    check_failure(run_prepared(*prepared), Stage::seccomp, EINVAL);
}

TEST_CASE("a child whose parent is gone already fails with 220") {
    NEEDS_ROOT();
    const PreparedSandbox prepared = prepare_or_fail(alone(view()));
    const auto dead = clone_process(0, -1);
    REQUIRE(dead);
    if (dead->pid == 0) ::_exit(0);
    REQUIRE(ended_within(dead->pidfd.get(), patience_ms));
    Pipe status;
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) enter_as_worker(*prepared, {.status = status.writing.get(), .parent = dead->pidfd.get()});
    status.writing.reset();
    Outcome outcome;
    CHECK(::read(status.reading.get(), &outcome.failure, sizeof outcome.failure) == sizeof outcome.failure);
    REQUIRE(ended_within(child->pidfd.get(), patience_ms));
    outcome.ended = **reap(child->pidfd.get());
    check_failure(outcome, Stage::parent_death, ESRCH);
    [[maybe_unused]] const auto reaped = reap(dead->pidfd.get());
}

TEST_CASE("a failure leaves no descriptor behind in the parent") {
    NEEDS_ROOT();
    const auto count = [] {
        int open = 0;
        for (int fd = 0; fd < 1024; ++fd) open += ::fcntl(fd, F_GETFD) >= 0;
        return open;
    };
    Plan plan = view();
    plan.program = "/usr/bin/no-such-program";
    const int before = count();
    for (int i = 0; i < 5; ++i) check_failure(run(plan), Stage::exec, ENOENT);
    CHECK(count() == before);
}
