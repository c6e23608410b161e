#include "sys/seccomp.h"

#include <doctest/doctest.h>
#include <linux/filter.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

using namespace warder;

namespace {

int under(const seccomp::Program& program, const std::function<long()>& attempt) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (seccomp::install(program.data(), static_cast<unsigned short>(program.size())) != 0) ::_exit(254);
        const long result = attempt();
        ::syscall(SYS_exit_group, result < 0 ? errno : 0);   // a sanitizer's _exit does more than the filter allows
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

seccomp::Program compiled(const seccomp::Rules& rules) {
    auto program = seccomp::compile(rules);
    REQUIRE(program);
    return *program;
}

}  // namespace

TEST_CASE("allowed, known, absent and unknown calls each have their answer") {
    seccomp::Rules rules;
    rules.allowed = {SYS_exit_group, SYS_getpid};
    rules.absent = {SYS_getppid};
    const auto program = compiled(rules);
    CHECK(under(program, [] { return ::syscall(SYS_getpid) < 0 ? -1L : 0L; }) == 0);
    CHECK(under(program, [] { return ::syscall(SYS_getuid); }) == EPERM);
    CHECK(under(program, [] { return ::syscall(SYS_getppid); }) == ENOSYS);
    CHECK(under(program, [] { return ::syscall(2000); }) == ENOSYS);
}

TEST_CASE("a denial needs all its tests, each on its own half of an argument") {
    using seccomp::Test;
    seccomp::Rules rules;
    rules.allowed = {SYS_exit_group, SYS_lseek};
    rules.denials.push_back({SYS_lseek, {{0, Test::When::equal, 7}, {1, Test::When::differs, 0, 0xffU}}});
    rules.denials.push_back({SYS_lseek, {{2, Test::When::differs, 0, 0xffffffffU, true}}});
    const auto program = compiled(rules);
    const auto seek = [&](long a, long b, long c) { return under(program, [=] { return ::syscall(SYS_lseek, a, b, c); }); };
    CHECK(seek(7, 1, 0) == EPERM);
    CHECK(seek(7, 0x100, 0) != EPERM);
    CHECK(seek(8, 1, 0) != EPERM);
    CHECK(seek(7 | (1L << 32), 1, 0) == EPERM);
    CHECK(seek(8, 0, 1L << 32) == EPERM);
}

TEST_CASE("a call that is refused has its own errno, and one that kills does so whatever else is said of it") {
    seccomp::Rules rules;
    rules.allowed = {SYS_exit_group, SYS_getpid, SYS_getgid};
    rules.refused = {{SYS_getuid, EMLINK}};
    rules.killed = {SYS_getgid, SYS_getppid};
    rules.logged = {SYS_getpid};
    const auto program = compiled(rules);
    CHECK(under(program, [] { return ::syscall(SYS_getuid); }) == EMLINK);
    CHECK(under(program, [] { return ::syscall(SYS_getpid) < 0 ? -1L : 0L; }) == 0);
    CHECK(under(program, [] { return ::syscall(SYS_getgid); }) == -SIGSYS);
    CHECK(under(program, [] { return ::syscall(SYS_getppid); }) == -SIGSYS);
}

TEST_CASE("a program longer than the kernel takes is refused when it is compiled") {
    seccomp::Rules rules;
    rules.denials.assign(2000, {SYS_lseek, {{0, seccomp::Test::When::equal, 7}}});
    const auto program = seccomp::compile(rules);
    REQUIRE_FALSE(program);
    CHECK(program.error().number == E2BIG);
}

TEST_CASE("a filter of a few calls answers EPERM to all others") {
    const auto program = seccomp::compile_few({SYS_exit_group});
    REQUIRE(program);
    CHECK(under(*program, [] { return ::syscall(SYS_getpid); }) == EPERM);
    CHECK(under(*program, [] { return ::syscall(2000); }) == EPERM);
}

TEST_CASE("calls have names, and what is no name has no number") {
    CHECK(seccomp::call_number("read") == SYS_read);
    CHECK(seccomp::call_number("no_such_call") == -1);
    CHECK(seccomp::available());
}

TEST_CASE("installing without no_new_privs or privilege is an errno") {
    const auto program = seccomp::compile_few({SYS_exit_group});
    REQUIRE(program);
    const pid_t child = ::fork();
    if (child == 0) {
        if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(1);
        ::_exit(seccomp::install(program->data(), static_cast<unsigned short>(program->size())));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == EACCES);
}
