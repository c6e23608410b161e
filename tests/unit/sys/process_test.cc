#include "sys/process.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

using namespace warder;

namespace {

constexpr int patience_ms = 10'000;

Ended end_of(const Cloned& child) {
    REQUIRE(ended_within(child.pidfd.get(), patience_ms));
    const auto ended = reap(child.pidfd.get());
    REQUIRE(ended);
    REQUIRE(ended->has_value());
    return **ended;
}

}  // namespace

TEST_CASE("a cloned child ends with its code, and is reaped once") {
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) ::_exit(42);
    const Ended ended = end_of(*child);
    CHECK_FALSE(ended.by_signal);
    CHECK(ended.value == 42);
    const auto again = reap(child->pidfd.get());
    REQUIRE_FALSE(again);
    CHECK(again.error().number == ECHILD);
}

TEST_CASE("a running child is not reaped and nobody waits for it; a signal by its pidfd ends it") {
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) {
        for (;;) ::pause();
    }
    CHECK((::fcntl(child->pidfd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    const auto early = reap(child->pidfd.get());
    REQUIRE(early);
    CHECK_FALSE(early->has_value());
    CHECK_FALSE(ended_within(child->pidfd.get(), 0));
    CHECK(send_signal(child->pidfd.get(), SIGKILL));
    const Ended ended = end_of(*child);
    CHECK(ended.by_signal);
    CHECK(ended.value == SIGKILL);
    const auto late = send_signal(child->pidfd.get(), SIGTERM);
    REQUIRE_FALSE(late);
    CHECK(late.error().number == ESRCH);
}

TEST_CASE("a control group that is no descriptor is an error, and no child is made") {
    const auto child = clone_process(0, 9999);
    REQUIRE_FALSE(child);
    CHECK(child.error().number == EBADF);
}

TEST_CASE("signals are held back while blocked, and come afterwards") {
    static volatile sig_atomic_t caught = 0;
    caught = 0;
    const auto before = std::signal(SIGUSR1, [](int) { caught = 1; });
    {
        const SignalsBlocked blocked;
        std::raise(SIGUSR1);
        CHECK(caught == 0);
    }
    CHECK(caught == 1);
    std::signal(SIGUSR1, before);
}

TEST_CASE("a pidfd of nobody is an error") {
    const auto pidfd = open_pidfd(0x7ffffff0);
    REQUIRE_FALSE(pidfd);
    CHECK(pidfd.error().number == ESRCH);
}

TEST_CASE("a child that a helper makes in another pid namespace is our own child, and the helper is gone") {
    const auto first = clone_process(CLONE_NEWPID, -1);
    if (!first) {
        MESSAGE("skipped: no pid namespace can be made here: " << describe(first.error()));
        return;
    }
    if (first->pid == 0) {
        for (;;) ::pause();
    }
    const auto child = clone_through_helper(first->pidfd.get(), -1);
    REQUIRE(child);
    if (child->pid == 0) ::_exit(::getpid() == 2 && ::getppid() == 0 ? 7 : 1);
    CHECK(child->pid > 0);
    CHECK((::fcntl(child->pidfd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(end_of(*child).value == 7);
    CHECK(send_signal(first->pidfd.get(), SIGKILL));
    CHECK(end_of(*first).by_signal);
    // This process makes its children where it lives itself, as before.
    const auto later = clone_process(0, -1);
    REQUIRE(later);
    if (later->pid == 0) ::_exit(::getppid() != 0 ? 3 : 1);
    CHECK(end_of(*later).value == 3);
}

TEST_CASE("a helper that cannot go where it is sent says so, and makes no child") {
    const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const auto child = clone_through_helper(file.get(), -1);
    REQUIRE_FALSE(child);
    CHECK(child.error().number == EINVAL);
}
