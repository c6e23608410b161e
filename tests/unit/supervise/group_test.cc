#include "supervise/group.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>

#include "sys/poller.h"
#include "sys/process.h"

using namespace warder;
using namespace warder::supervise;

namespace {

// The writable root of cgroup v2, empty when there is none here.
std::string cgroup_root() {
    for (const char* root : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}) {
        if (::access((std::string(root) + "/cgroup.procs").c_str(), W_OK) == 0) return root;
    }
    return {};
}

bool have_no_cgroup() { return cgroup_root().empty(); }

// A directory of our own in it.
struct Delegated {
    std::string path = cgroup_root() + "/warder-unit-" + std::to_string(::getpid());
    Delegated() { REQUIRE(::mkdir(path.c_str(), 0755) == 0); }
    ~Delegated() { ::rmdir(path.c_str()); }
};

bool write_text(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text << std::flush;
    return file.good();
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

TEST_CASE("a group holds what is born in it, kills all of it, and tells when it is empty" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    auto group = Group::create(delegated.path, "web");
    REQUIRE(group);
    CHECK(group->path() == delegated.path + "/w.web");
    CHECK(group->id() != 0);
    CHECK_FALSE(group->populated());

    auto cloned = clone_process(0, group->directory());
    REQUIRE(cloned);
    if (cloned->pid == 0) {
        if (::fork() == 0) ::pause();
        ::pause();
        ::_exit(0);
    }
    CHECK(group->populated());

    auto poller = Poller::create();
    REQUIRE(poller);
    REQUIRE(poller->watch_hangup(group->events(), {6, 1, 0}));
    auto quiet = poller->wait(Duration::zero());
    REQUIRE(quiet);
    CHECK(quiet->empty());

    REQUIRE(group->kill());
    // That it is frozen, which comes first, is told of too.
    do {
        auto events = poller->wait(std::chrono::seconds(5));
        REQUIRE(events);
        REQUIRE(events->size() == 1);
        CHECK((*events)[0].hung_up);
    } while (group->populated());
    CHECK(poller->wait(Duration::zero())->empty());
    CHECK(::waitpid(cloned->pid, nullptr, 0) == cloned->pid);
}

TEST_CASE("a group's directory goes with it, once" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    {
        auto group = Group::create(delegated.path, "web");
        REQUIRE(group);
        const Group moved = std::move(*group);
        CHECK(exists(delegated.path + "/w.web"));
    }
    CHECK_FALSE(exists(delegated.path + "/w.web"));
}

TEST_CASE("what a warderd that died left in a group is killed when it is taken over" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    auto first = Group::create(delegated.path, "web");
    REQUIRE(first);
    auto cloned = clone_process(0, first->directory());
    REQUIRE(cloned);
    if (cloned->pid == 0) {
        ::pause();
        ::_exit(0);
    }
    auto second = Group::create(delegated.path, "web");
    REQUIRE(second);
    int status = 0;
    CHECK(::waitpid(cloned->pid, &status, 0) == cloned->pid);
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    CHECK_FALSE(second->populated());
}

TEST_CASE("what is born into a group that was killed once and then renewed lives" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    auto group = Group::create(delegated.path, "web");
    REQUIRE(group);
    CHECK_FALSE(group->spent());
    REQUIRE(group->kill());
    CHECK(group->spent());
    const std::uint64_t before = group->id();
    REQUIRE(group->renew());
    CHECK_FALSE(group->spent());
    CHECK(group->id() != before);
    auto cloned = clone_process(0, group->directory());
    REQUIRE(cloned);
    if (cloned->pid == 0) ::_exit(7);
    int status = 0;
    REQUIRE(::waitpid(cloned->pid, &status, 0) == cloned->pid);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 7));
}

TEST_CASE("a group with somebody in it is not renewed" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    auto group = Group::create(delegated.path, "web");
    REQUIRE(group);
    REQUIRE(group->kill());
    auto cloned = clone_process(0, -1);
    REQUIRE(cloned);
    if (cloned->pid == 0) {
        ::pause();
        ::_exit(0);
    }
    REQUIRE(write_text(group->path() + "/cgroup.procs", std::to_string(cloned->pid)));
    const auto renewed = group->renew();
    REQUIRE_FALSE(renewed);
    CHECK(renewed.error().number == EBUSY);
    CHECK(group->populated());
    REQUIRE(group->kill());
    CHECK(::waitpid(cloned->pid, nullptr, 0) == cloned->pid);
}

TEST_CASE("a directory that is no cgroup is refused") {
    const auto group = Group::create("/tmp", "warder-no-group-" + std::to_string(::getpid()));
    CHECK_FALSE(group);
    ::rmdir(("/tmp/w.warder-no-group-" + std::to_string(::getpid())).c_str());
    CHECK_FALSE(Group::create("/nonexistent", "web"));
}
