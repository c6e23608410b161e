#include "supervise/child.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "sys/process.h"

using namespace warder;
using namespace warder::supervise;

namespace {

// A child that runs `body` and never comes back.
template <typename Body>
Child fork_child(Body body) {
    Result<Cloned> cloned = clone_process(0, -1);
    REQUIRE(cloned);
    if (cloned->pid == 0) {
        body();
        ::_exit(99);
    }
    return {cloned->pid, std::move(cloned->pidfd)};
}

Reaped wait_and_reap(Child& child) {
    REQUIRE(ended_within(child.pidfd(), 5000));
    CHECK(child.ended());
    const auto reaped = child.reap();
    REQUIRE(reaped);
    return *reaped;
}

}  // namespace

TEST_CASE("an exit code is told, and the child is empty afterwards") {
    Child child = fork_child([] { ::_exit(3); });
    const pid_t pid = child.pid();
    CHECK(wait_and_reap(child).exit == Exit{Exit::Kind::code, 3});
    CHECK_FALSE(child);
    CHECK(child.pid() == -1);
    CHECK(::waitpid(pid, nullptr, WNOHANG) == -1);
    CHECK(errno == ECHILD);
}

TEST_CASE("a child that lives is not waited for") {
    Child child = fork_child([] { ::pause(); });
    CHECK_FALSE(child.ended());
    CHECK_FALSE(child.reap());
    CHECK(child);
    REQUIRE(child.send(SIGKILL));
    CHECK(wait_and_reap(child).exit == Exit{Exit::Kind::signal, SIGKILL});
}

TEST_CASE("a child that was killed before execve is told from one that became another program, also when both are zombies") {
    Child killed = fork_child([] {
        ::prctl(PR_SET_NAME, "a) Z 1 (b");
        ::pause();
    });
    CHECK_FALSE(killed.has_executed());
    REQUIRE(killed.send(SIGKILL));
    REQUIRE(ended_within(killed.pidfd(), 5000));
    CHECK_FALSE(killed.has_executed());
    CHECK(killed.reap());

    Child executed = fork_child([] { ::execl("/bin/false", "false", nullptr); });
    REQUIRE(ended_within(executed.pidfd(), 5000));
    CHECK(executed.has_executed());
    CHECK(executed.reap());
}

TEST_CASE("looking whether a child has ended does not reap it") {
    Child child = fork_child([] { ::_exit(0); });
    REQUIRE(ended_within(child.pidfd(), 5000));
    CHECK(child.ended());
    CHECK(child.ended());
    CHECK(child.reap());
}

TEST_CASE("what a child has used is told with its end") {
    Child child = fork_child([] {
        volatile unsigned turns = 0;
        while (turns < 200'000'000) turns = turns + 1;
        ::_exit(0);
    });
    const Reaped reaped = wait_and_reap(child);
    CHECK(reaped.user_time > Duration::zero());
    CHECK(reaped.largest_memory > 100'000);
}

TEST_CASE("a child that somebody else reaped is gone, and nothing is known of its end") {
    Child child = fork_child([] { ::_exit(3); });
    REQUIRE(::waitpid(child.pid(), nullptr, 0) == child.pid());
    CHECK(child.ended());
    const auto reaped = child.reap();
    REQUIRE(reaped);
    CHECK(reaped->exit.kind == Exit::Kind::none);
}
