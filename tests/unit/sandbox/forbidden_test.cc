#include "sandbox/forbidden.h"

#include <doctest/doctest.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "sandbox/calls.h"

using namespace warder;
using namespace warder::sandbox;

namespace {

seccomp::Program program_for(const Calls& calls) {
    std::string unknown;
    const auto rules = rules_of(calls, SentDescriptors::refused_by_socket, unknown);
    REQUIRE(rules);
    auto program = seccomp::compile(*rules);
    REQUIRE(program);
    return std::move(*program);
}

std::uint32_t verdict(const seccomp::Program& program, long number, unsigned long first = 0, unsigned long second = 0) {
    return verdict_of(program, number, {first, second});
}

}  // namespace

TEST_CASE("what a filter says to a call is what the kernel would get from it") {
    const auto program = program_for({});
    CHECK_EQ(verdict(program, SYS_read), SECCOMP_RET_ALLOW);
    CHECK_EQ(verdict(program, SYS_bpf), SECCOMP_RET_ERRNO | EPERM);
    CHECK_EQ(verdict(program, 4000), SECCOMP_RET_ERRNO | ENOSYS);
    CHECK_EQ(verdict(program, SYS_ioctl, 0, 0x5401), SECCOMP_RET_ALLOW);
    CHECK_EQ(verdict(program, SYS_ioctl, 0, 0x5412), SECCOMP_RET_ERRNO | EPERM);
    CHECK_EQ(verdict(program, SYS_socket, 2), SECCOMP_RET_ERRNO | EPERM);
    CHECK_EQ(verdict(program, SYS_socket, 1), SECCOMP_RET_ALLOW);
}

TEST_CASE("the forbidden call is one that the filter answers otherwise than the kernel would") {
    const auto usual = forbidden_by(program_for({}));
    CHECK_EQ(usual.name, "unshare");
    CHECK_EQ(usual.answer, EPERM);
    Calls calls;
    calls.namespaces = true;
    calls.allow = {"pidfd_getfd"};
    const auto other = forbidden_by(program_for(calls));
    CHECK_EQ(other.name, "name_to_handle_at");
    CHECK_EQ(other.number, SYS_name_to_handle_at);
}

TEST_CASE("a filter that forbids nothing that can be tried proves nothing") {
    Calls calls;
    calls.allow = {"unshare", "pidfd_getfd", "name_to_handle_at", "mount_setattr", "keyctl", "add_key", "kcmp", "ptrace", "fanotify_mark"};
    CHECK_EQ(forbidden_by(program_for(calls)).number, -1);
    CHECK_EQ(forbidden_by(seccomp::Program{}).number, -1);
}

TEST_CASE("a filter that lets write through is told from one that does not") {
    CHECK(lets_through(program_for({}), SYS_write));
    CHECK(lets_through({}, SYS_write));
    Calls calls;
    calls.deny = {{"write"}};
    CHECK_FALSE(lets_through(program_for(calls), SYS_write));
}

TEST_CASE("the forbidden act is one that the rules really forbid") {
    Rights rights;
    CHECK(forbidden_by(rights) == ForbiddenAct::none);
    rights.handled.net = landlock::bind_tcp;
    CHECK(forbidden_by(rights) == ForbiddenAct::bind_tcp);
    rights.handled.files = landlock::read_dir;
    CHECK(forbidden_by(rights) == ForbiddenAct::list_root);
    rights.paths.push_back({"/usr", landlock::read_dir, false});
    CHECK(forbidden_by(rights) == ForbiddenAct::list_root);
    rights.paths.push_back({"/", landlock::read_dir, false});
    CHECK(forbidden_by(rights) == ForbiddenAct::bind_tcp);
    rights.handled.net = 0;
    CHECK(forbidden_by(rights) == ForbiddenAct::none);
}
