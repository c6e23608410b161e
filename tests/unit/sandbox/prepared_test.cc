#include "sandbox/prepared.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>

#include "sandbox.h"
#include "sys/files.h"

using namespace sandbox;

namespace {

// The item that prepare() complains of, or nothing.
std::string complaint(const Plan& plan, int error) {
    Unfit unfit;
    const auto prepared = prepare(plan, unfit);
    if (prepared) return "fit";
    CHECK(prepared.error().number == error);
    CHECK_FALSE(unfit.why.empty());
    return unfit.item;
}

Plan usual() { return plan_for({"/usr/bin/id"}); }

}  // namespace

TEST_CASE("plans that contradict themselves are refused, and the item is named") {
    Plan plan = usual();
    plan.program = "bin/id";
    CHECK(complaint(plan, EINVAL) == "program");
    plan = usual();
    plan.directory = "";
    CHECK(complaint(plan, EINVAL) == "directory");
    plan = usual();
    plan.uid = static_cast<uid_t>(-1);
    CHECK(complaint(plan, EINVAL) == "uid");
    plan = usual();
    plan.gid = static_cast<gid_t>(-1);
    CHECK(complaint(plan, EINVAL) == "gid");
    plan = usual();
    plan.no_new_privileges = false;
    CHECK(complaint(plan, EINVAL) == "no_new_privileges");
    plan = usual();
    plan.mount_namespace = false;
    CHECK(complaint(plan, EINVAL) == "root");
    plan.root = Root::host;
    CHECK(complaint(plan, EINVAL) == "private_tmp");
    plan.mount_namespace = true;
    CHECK(complaint(plan, EINVAL) == "mount_namespace");
    plan = usual();
    plan.binds = {{.source = "/usr", .target = "usr"}};
    CHECK(complaint(plan, EINVAL) == "usr");
    plan = usual();
    plan.environment = {std::string("A=\0B", 4)};
    CHECK(complaint(plan, EINVAL) == "A=");
}

TEST_CASE("what is to be shown and does not exist is named") {
    Plan plan = usual();
    plan.binds = {{.source = "/no/such/directory", .target = "/data"}};
    CHECK(complaint(plan, ENOENT) == "/no/such/directory");
}

TEST_CASE("a call that nobody knows is named") {
    Plan plan = usual();
    plan.calls.allow = {"read", "raed"};
    CHECK(complaint(plan, EINVAL) == "raed");
}

TEST_CASE("a stub that is not there is named") {
    NEEDS_ROOT();
    Unfit unfit;
    const auto prepared = prepare(usual(), unfit, "/no/such/stub");
    REQUIRE_FALSE(prepared);
    CHECK(prepared.error().number == ENOENT);
    CHECK(unfit.item == "/no/such/stub");
}

TEST_CASE("a bind below another that has no such place is named") {
    NEEDS_ROOT();
    Plan plan = usual();
    plan.binds = {{.source = "/usr/share", .target = "/usr/no/such/place"}};
    CHECK(complaint(plan, ENOENT) == "/usr/no/such/place");
}

TEST_CASE("a sandbox is stale when its program is replaced, and when a bind leads elsewhere") {
    NEEDS_ROOT();
    const std::string directory = "/run/warder-stale-test";
    ::mkdir(directory.c_str(), 0755);
    ::mkdir((directory + "/data").c_str(), 0755);
    const std::string program = directory + "/program";
    std::ofstream(program) << "#!/bin/sh\n";
    Plan plan = plan_for({program});
    plan.binds = {{.source = directory + "/data", .target = "/data"}};
    const PreparedSandbox prepared = prepare_or_fail(plan);
    CHECK_FALSE(stale(*prepared));
    // A new name in a directory is no change of the directory.
    std::ofstream(directory + "/data/file") << "x";
    CHECK_FALSE(stale(*prepared));
    std::ofstream(program + ".new") << "#!/bin/sh\n";
    ::rename((program + ".new").c_str(), program.c_str());
    CHECK(stale(*prepared));
    const PreparedSandbox again = prepare_or_fail(plan);
    CHECK_FALSE(stale(*again));
    ::unlink((directory + "/data/file").c_str());
    ::rmdir((directory + "/data").c_str());
    ::mkdir((directory + "/data").c_str(), 0755);
    CHECK(stale(*again));
    ::unlink(program.c_str());
    ::rmdir((directory + "/data").c_str());
    ::rmdir(directory.c_str());
}

TEST_CASE("plans with the same mounts share a template, others do not") {
    NEEDS_ROOT();
    const PreparedSandbox one = prepare_or_fail(usual());
    Plan other = usual();
    other.arguments = {"id", "-u"};
    other.umask = 0;
    const PreparedSandbox two = prepare_or_fail(other);
    CHECK(one->mounts == two->mounts);
    other.uid = 64199;
    const PreparedSandbox three = prepare_or_fail(other);
    CHECK(one->mounts != three->mounts);
}

TEST_CASE("preparing leaves no child and no descriptor behind") {
    NEEDS_ROOT();
    const auto count = [] {
        int open = 0;
        for (int fd = 0; fd < 1024; ++fd) open += ::fcntl(fd, F_GETFD) >= 0;
        return open;
    };
    const auto children = [] { return read_file("/proc/thread-self/children", 1 << 16).value_or("?"); };
    const int before = count();
    const std::string children_before = children();
    for (int i = 0; i < 3; ++i) prepare_or_fail(usual());
    CHECK(count() == before);
    CHECK(children() == children_before);
}
