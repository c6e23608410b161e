#include "supervise/evidence.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>

#include "sandbox/stage.h"

using namespace warder;
using namespace warder::supervise;

namespace {

Exit setup(sandbox::Stage stage, int error) { return {Exit::Kind::setup, static_cast<int>(stage), error}; }
Exit killed(int signal) { return {Exit::Kind::signal, signal}; }

sandbox::Plan plan_of(std::string program) {
    sandbox::Plan plan;
    plan.program = std::move(program);
    plan.uid = plan.gid = 64001;
    return plan;
}

Suspects suspects_of(const sandbox::Plan& plan) {
    return {.worker = "web", .origin = "warder.toml:4", .plan = &plan, .program = {}, .memory = {}};
}

struct Script {
    Script(const char* first_line, mode_t mode) {
        const int fd = ::mkstemp(path);
        ::close(fd);
        std::ofstream(path) << first_line << "\n";
        ::chmod(path, mode);
    }
    ~Script() { ::unlink(path); }
    char path[32] = "/tmp/warder-evidence-XXXXXX";
};

}  // namespace

TEST_CASE("a program that is nowhere is named") {
    const auto plan = plan_of("/nowhere/at/all");
    auto suspects = suspects_of(plan);
    suspects.program = look_at_program(plan);
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::exec, ENOENT), suspects), "/nowhere/at/all does not exist on this machine");
}

TEST_CASE("a script whose interpreter is nowhere names the interpreter") {
    const Script script("#!/nowhere/python9", 0755);
    const auto plan = plan_of(script.path);
    auto suspects = suspects_of(plan);
    suspects.program = look_at_program(plan);
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::exec, ENOENT), suspects), "its interpreter /nowhere/python9 does not exist on this machine");
}

TEST_CASE("a program that its mode does not let the worker run says so, and one that is only hidden says what would show it") {
    const Script script("#!/bin/sh", 0644);
    const auto plan = plan_of(script.path);
    auto suspects = suspects_of(plan);
    suspects.program = look_at_program(plan);
    CHECK(evidence_in_words(setup(sandbox::Stage::exec, EACCES), suspects).ends_with("has a mode that does not let uid 64001 run it"));
    ::chmod(script.path, 0755);
    suspects.program = look_at_program(plan);
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::exec, ENOENT), suspects),
             std::string(script.path) + " is not in the sandbox: the sandbox has a /tmp of its own, which hides the host's: bind_read_only = [\"" + script.path +
                 "\"] in [worker.web.sandbox] (warder.toml:4) shows it");
    CHECK(evidence_in_words(setup(sandbox::Stage::exec, EACCES), suspects).ends_with("in [worker.web.sandbox] (warder.toml:4) lets it run"));
}

TEST_CASE("a working directory that is not in the sandbox names the bind that would show it") {
    auto plan = plan_of("/bin/true");
    plan.directory = "/srv/app";
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::directory, ENOENT), suspects_of(plan)),
             "the working directory /srv/app: bind_read_only = [\"/srv/app\"] in [worker.web.sandbox] (warder.toml:4) shows it");
}

TEST_CASE("a set-up that fails names the path, the limit and the capability that it was about") {
    auto plan = plan_of("/bin/true");
    auto suspects = suspects_of(plan);
    suspects.object = "/dev/shm/ring";
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::landlock, ENOENT), suspects),
             "/dev/shm/ring is not in the sandbox: the sandbox has a /dev of its own, which hides the host's");
    suspects.object = "/opt/app";
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::landlock, ENOENT), suspects),
             "/opt/app is not in the sandbox: bind_read_only = [\"/opt/app\"] in [worker.web.sandbox] (warder.toml:4) shows it");
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::mounts, EINVAL), suspects), "/opt/app");
    suspects.object = "nofile = 9000000000";
    CHECK_NE(evidence_in_words(setup(sandbox::Stage::limits, EPERM), suspects).find("limits = { nofile = 9000000000 } of [worker.web]: no process may have more than fs.nr_open, which is "), std::string::npos);
    suspects.object = "memlock = 65536";
    CHECK_NE(evidence_in_words(setup(sandbox::Stage::limits, EPERM), suspects).find("higher than warderd's own limit"), std::string::npos);
    suspects.object = "raising capability 25";
    CHECK_NE(evidence_in_words(setup(sandbox::Stage::capabilities, EPERM), suspects).find("raising capability CAP_SYS_TIME"), std::string::npos);
    suspects.object = "/tmp/work";
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::directory, ENOENT), suspects),
             "the working directory /tmp/work: the sandbox has a /tmp of its own, which hides the host's");
}

TEST_CASE("a program on a mount that is noexec is not told to be let run by execute") {
    const Script script("#!/bin/sh", 0755);
    auto own = plan_of(script.path);
    own.binds.push_back({"/tmp", "/tmp", false, false, true});
    auto suspects = suspects_of(own);
    suspects.program = look_at_program(own);
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::exec, EACCES), suspects),
             std::string(script.path) + " cannot be run: the bind at /tmp is noexec (noexec = false in its table lets programs run), and execute changes nothing about that");
}

TEST_CASE("what stands in execute already is not told to be written there") {
    const Script script("#!/bin/sh", 0755);
    auto plan = plan_of(script.path);
    plan.binds.push_back({script.path, script.path, false, true});
    auto suspects = suspects_of(plan);
    suspects.program = look_at_program(plan);
    CHECK_EQ(evidence_in_words(setup(sandbox::Stage::exec, EACCES), suspects),
             std::string(script.path) + " may not be run: a directory on the way to it cannot be passed");
}

TEST_CASE("ends that no filter has seen are told by what they look like") {
    auto plan = plan_of("/usr/bin/node");
    plan.memory_deny_write_execute = true;
    CHECK_NE(evidence_in_words(killed(SIGTRAP), suspects_of(plan)).find("memory_deny_write_execute = false in [worker.web.sandbox] (warder.toml:4)"), std::string::npos);
    CHECK_NE(evidence_in_words({Exit::Kind::code, 127}, suspects_of(plan)).find("does not find a program"), std::string::npos);
    CHECK_NE(evidence_in_words({Exit::Kind::code, 126}, suspects_of(plan)).find("exec_paths = "), std::string::npos);
    plan.memory_deny_write_execute = false;
    CHECK_EQ(evidence_in_words(killed(SIGTRAP), suspects_of(plan)), "");
}

TEST_CASE("a kill for want of memory is told from any other kill") {
    const auto plan = plan_of("/bin/true");
    auto suspects = suspects_of(plan);
    CHECK_EQ(evidence_in_words(killed(SIGKILL), suspects), "");
    suspects.memory = MemoryFacts{0, "1048576"};
    CHECK_EQ(evidence_in_words(killed(SIGKILL), suspects), "");
    suspects.memory = MemoryFacts{1, "1048576"};
    CHECK_EQ(evidence_in_words(killed(SIGKILL), suspects),
             "out of memory: its group reached memory.max = 1048576; a higher limit in [worker.web.sandbox] (warder.toml:4) would let it go on");
    suspects.memory = MemoryFacts{1, "max"};
    CHECK(evidence_in_words(killed(SIGKILL), suspects).ends_with("although its group has no limit of its own"));
    CHECK_EQ(evidence_in_words(killed(SIGTERM), suspects), "");
}

TEST_CASE("the kernel's count of kills is read by its own name") {
    CHECK_EQ(oom_kills_in("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 7\n"), 2);
    CHECK_EQ(oom_kills_in("oom_group_kill 7\n"), 0);
    CHECK_EQ(oom_kills_in(""), 0);
    CHECK_FALSE(look_at_memory(""));
    CHECK_FALSE(look_at_memory("/nowhere"));
}

TEST_CASE("an end by the filter says that the call is not known, and how it can be") {
    auto plan = plan_of("/bin/true");
    CHECK(evidence_in_words(killed(SIGSYS), suspects_of(plan)).find("call not known: audit(8)") != std::string::npos);
    CHECK(evidence_in_words(killed(SIGSYS), suspects_of(plan)).find("evidence = \"full\"") != std::string::npos);
    plan.calls.enabled = false;
    CHECK_EQ(evidence_in_words(killed(SIGSYS), suspects_of(plan)), "");
    CHECK_EQ(evidence_in_words({Exit::Kind::code, 1}, suspects_of(plan)), "");
}

TEST_CASE("the limit that was reached is named with its line") {
    auto plan = plan_of("/bin/true");
    plan.group_limits.push_back({"memory.max", "67108864", {}, "warder.toml:9"});
    auto suspects = suspects_of(plan);
    suspects.memory = MemoryFacts{2, "67108864"};
    const std::string words = "out of memory: its group reached memory_max = \"64MiB\" in limits of [worker.web] (warder.toml:9), and the kernel ended 2 of it; "
                              "a higher memory_max would let it go on";
    CHECK_EQ(evidence_in_words(killed(SIGKILL), suspects), words);
    CHECK_EQ(evidence_in_words({Exit::Kind::code, 1}, suspects), words);   // it gave up, since another of its processes was killed
    CHECK_EQ(evidence_in_words({Exit::Kind::code, 0}, suspects), "");
    CHECK_EQ(evidence_in_words(killed(SIGTERM), suspects), "");
}

TEST_CASE("what a syscall monitor saw is told with an end that the program may have brought about itself") {
    const auto plan = plan_of("/bin/true");
    sandbox::SeenCalls seen;
    for (const char* name : {"chroot", "mount", "reboot", "acct"}) {
        seen.list.emplace_back();
        seen.list.back().name = name;
        seen.list.back().error = EPERM;
        seen.list.back().count = 2;
    }
    auto suspects = suspects_of(plan);
    suspects.calls = &seen;
    const std::string words = evidence_in_words({Exit::Kind::code, 1}, suspects);
    CHECK(words.starts_with("its filter had denied it chroot (2 times), mount (2 times), reboot (2 times) and 1 more; "));
    CHECK_EQ(evidence_in_words(killed(SIGABRT), suspects), words);
    CHECK_EQ(evidence_in_words({Exit::Kind::code, 0}, suspects), "");
    CHECK_EQ(evidence_in_words(killed(SIGTERM), suspects), "");
    CHECK_EQ(evidence_in_words(killed(SIGKILL), suspects), "");
    seen.killed = true;
    seen.list[1].error = 0;
    CHECK(evidence_in_words(killed(SIGKILL), suspects).starts_with("its filter ends it for the system call mount; "));
}
