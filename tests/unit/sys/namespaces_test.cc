#include "sys/namespaces.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "sys/process.h"

using namespace warder;

namespace {

std::string children_born_in() {
    char text[64];
    const ssize_t size = ::readlink("/proc/self/ns/pid_for_children", text, sizeof text);
    return {text, size > 0 ? static_cast<std::size_t>(size) : 0};
}

}  // namespace

TEST_CASE("children are born inside while it lasts, and at home afterwards") {
    if (::geteuid() != 0) {
        std::puts("skipped: namespaces need root");
        return;
    }
    const auto own = open_own_pid_namespace();
    REQUIRE(own);
    const auto init = clone_process(CLONE_NEWPID, -1);
    REQUIRE(init);
    if (init->pid == 0) {
        for (;;) ::pause();
    }
    const std::string home = children_born_in();
    {
        const auto inside = PidNamespaceScope::enter(init->pidfd.get(), *own);
        REQUIRE(inside);
        CHECK(children_born_in() != home);
    }
    CHECK(children_born_in() == home);
    CHECK(send_signal(init->pidfd.get(), SIGKILL));
    CHECK(ended_within(init->pidfd.get(), 10'000));
    CHECK(reap(init->pidfd.get()));
    const auto gone = PidNamespaceScope::enter(init->pidfd.get(), *own);
    CHECK_FALSE(gone);
    CHECK(children_born_in() == home);
}

TEST_CASE("the mount namespace of a child is its own") {
    if (::geteuid() != 0) {
        std::puts("skipped: namespaces need root");
        return;
    }
    const auto child = clone_process(CLONE_NEWNS, -1);
    REQUIRE(child);
    if (child->pid == 0) {
        for (;;) ::pause();
    }
    const auto name_space = open_mount_namespace(child->pid);
    CHECK(name_space);
    CHECK(send_signal(child->pidfd.get(), SIGKILL));
    CHECK(ended_within(child->pidfd.get(), 10'000));
    CHECK(reap(child->pidfd.get()));
    const auto gone = open_mount_namespace(child->pid);
    REQUIRE_FALSE(gone);
    CHECK(gone.error().number == ENOENT);
}
