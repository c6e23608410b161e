#include "sys/cgroup.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "sys/process.h"

using namespace warder;

namespace {

constexpr int patience_ms = 10'000;

// A directory of our own below this process's group, gone when the test is over. This process stays where it is: a child
// plays the daemon.
struct Place {
    Place() {
        const auto own = cgroup::own_directory();
        if (!own || ::geteuid() != 0) return;
        path = *own + (own->ends_with('/') ? "" : "/") + "warder-cgroup-test-" + std::to_string(::getpid());
        if (::mkdir(path.c_str(), 0755) != 0) path.clear();
    }
    ~Place() {
        ::rmdir((path + "/daemon").c_str());
        ::rmdir(path.c_str());
    }
    std::string path;
};

#define NEEDS_CGROUPS(place)                                                   \
    do {                                                                       \
        if ((place).path.empty()) {                                            \
            std::puts("skipped: no writable cgroup v2 here, or not root");     \
            return;                                                            \
        }                                                                      \
    } while (false)

// Runs `body` in a child, since it moves the process that calls it; true if it returned true.
template <typename Body>
bool in_child(Body body) {
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) ::_exit(body() ? 0 : 1);
    REQUIRE(ended_within(child->pidfd.get(), patience_ms));
    const auto ended = reap(child->pidfd.get());
    return ended && ended->has_value() && !(*ended)->by_signal && (*ended)->value == 0;
}

}  // namespace

TEST_CASE("our directory is found on unified, hybrid and namespaced hosts") {
    constexpr auto unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    CHECK(cgroup::directory_from(unified, "0::/system.slice/warder.service\n") == "/sys/fs/cgroup/system.slice/warder.service");
    CHECK(cgroup::directory_from(unified, "0::/\n") == "/sys/fs/cgroup");
    constexpr auto hybrid =
        "36 31 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    CHECK(cgroup::directory_from(hybrid, "8:pids:/x\n0::/a/b\n") == "/sys/fs/cgroup/unified/a/b");
    constexpr auto shown_in_part = "41 31 0:38 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    CHECK(cgroup::directory_from(shown_in_part, "0::/docker/1/app\n") == "/sys/fs/cgroup/app");
    CHECK(cgroup::directory_from(shown_in_part, "0::/docker/1\n") == "/sys/fs/cgroup");
    CHECK_FALSE(cgroup::directory_from(shown_in_part, "0::/docker/12\n"));
    constexpr auto blank = "41 31 0:38 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n";
    CHECK(cgroup::directory_from(blank, "0::/a\n") == "/mnt/my groups/a");
    CHECK_FALSE(cgroup::directory_from("", "0::/\n"));
    CHECK_FALSE(cgroup::directory_from(unified, "8:pids:/x\n"));
}

TEST_CASE("a restarted daemon divides the directory above its own") {
    CHECK(cgroup::tree_above("/sys/fs/cgroup/warder.service/daemon") == "/sys/fs/cgroup/warder.service");
    CHECK(cgroup::tree_above("/sys/fs/cgroup/warder.service") == "/sys/fs/cgroup/warder.service");
    CHECK(cgroup::tree_above("/sys/fs/cgroup/mydaemon") == "/sys/fs/cgroup/mydaemon");
}

TEST_CASE("taking a tree moves us into daemon/, and a worker is born in its own group") {
    const Place place;
    NEEDS_CGROUPS(place);
    CHECK(in_child([&] {
        const auto tree = cgroup::Tree::take(place.path);
        if (!tree) return false;
        const auto own = cgroup::own_directory();
        if (!own || *own != place.path + "/daemon") return false;
        const auto group = tree->make("web");
        if (!group || *cgroup::populated(*group)) return false;
        const auto child = clone_process(0, group->directory.get());
        if (!child) return false;
        if (child->pid == 0) {
            for (;;) ::pause();
        }
        bool good = *cgroup::populated(*group) && !tree->remove("web");
        good = good && cgroup::kill_all(*group) && ended_within(child->pidfd.get(), patience_ms) && reap(child->pidfd.get());
        return good && !*cgroup::populated(*group) && tree->remove("web");
    }));
}

TEST_CASE("when the last one of a group ends, its events descriptor says so") {
    const Place place;
    NEEDS_CGROUPS(place);
    CHECK(in_child([&] {
        const auto tree = cgroup::Tree::take(place.path);
        if (!tree) return false;
        const auto group = tree->make("web");
        if (!group) return false;
        const auto child = clone_process(0, group->directory.get());
        if (!child) return false;
        if (child->pid == 0) {
            // A grandchild outlives the worker, in the same group.
            if (::fork() == 0) {
                for (;;) ::pause();
            }
            ::_exit(0);
        }
        ended_within(child->pidfd.get(), patience_ms);
        [[maybe_unused]] const auto reaped = reap(child->pidfd.get());
        if (!*cgroup::populated(*group)) return false;
        pollfd changed{group->events.get(), POLLPRI, 0};
        if (::poll(&changed, 1, 0) != 0) return false;
        if (!cgroup::kill_all(*group)) return false;
        if (::poll(&changed, 1, patience_ms) != 1 || (changed.revents & POLLPRI) == 0) return false;
        if (*cgroup::populated(*group)) return false;
        const bool quiet = ::poll(&changed, 1, 0) == 0;
        return quiet && tree->remove("web");
    }));
}

TEST_CASE("a frozen group does nothing until it is thawed") {
    const Place place;
    NEEDS_CGROUPS(place);
    CHECK(in_child([&] {
        const auto tree = cgroup::Tree::take(place.path);
        const auto group = tree ? tree->make("web") : Result<cgroup::Group>(Failure(tree.error()));
        int line[2];
        if (!group || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) != 0) return false;
        const auto child = clone_process(0, -1);
        if (!child) return false;
        if (child->pid == 0) {
            char byte = 0;
            while (::read(line[1], &byte, 1) == 1 && ::write(line[1], &byte, 1) == 1) {
            }
            ::_exit(0);
        }
        const auto asked = [&] { return ::write(line[0], "?", 1) == 1; };
        const auto answers_within = [&](int timeout_ms) {
            char byte = 0;
            pollfd answer{line[0], POLLIN, 0};
            return ::poll(&answer, 1, timeout_ms) == 1 && ::read(line[0], &byte, 1) == 1;
        };
        bool good = cgroup::move_into(*group, child->pid) && *cgroup::populated(*group);
        good = good && asked() && answers_within(patience_ms);
        good = good && cgroup::set_frozen(*group, cgroup::Freeze::freeze);
        ::usleep(50'000);   // freezing is not at once
        good = good && asked() && !answers_within(100);
        good = good && cgroup::set_frozen(*group, cgroup::Freeze::thaw) && answers_within(patience_ms);
        good = good && cgroup::kill_all(*group) && ended_within(child->pidfd.get(), patience_ms) && reap(child->pidfd.get());
        return good && tree->remove("web");
    }));
}

TEST_CASE("names of groups are single components, and other file systems are no tree") {
    const Place place;
    NEEDS_CGROUPS(place);
    CHECK(in_child([&] {
        const auto tree = cgroup::Tree::take(place.path);
        if (!tree) return false;
        const auto above = tree->make("../x");
        const auto none = tree->make("");
        const auto again = tree->make("twice");
        const auto twice = tree->make("twice");
        return !above && above.error().number == EINVAL && !none && again && twice && tree->remove("twice");
    }));
    const auto wrong = cgroup::Tree::take("/tmp");
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().number == ENOTSUP);
    CHECK(::access("/tmp/daemon", F_OK) != 0);
}
