#include "sandbox/reach.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "sandbox.h"
#include "sys/files.h"

using namespace sandbox;

namespace {

// Nothing is mounted: whose a file system is, the table alone says.
struct Host {
    explicit Host(const std::string& below = "/tmp") {
        std::string name = below + "/warder-reach-XXXXXX";
        path = std::filesystem::canonical(::mkdtemp(name.data()));
        std::filesystem::create_directories(path + "/far/tree");
        std::ofstream(path + "/far/file") << "text";
        mounts = "21 1 8:1 / / rw - ext4 /dev/root rw\n22 21 0:40 / " + path + "/far rw - nfs4 server:/ rw\n";
    }
    ~Host() { std::filesystem::remove_all(path); }

    Facts facts_of(const Plan& plan) const {
        Unfit unfit;
        auto facts = reach(plan, mounts, unfit);
        CHECK(facts);
        return facts.value_or(Facts());
    }

    std::string path;
    std::string mounts;
};

}  // namespace

TEST_CASE("only what others answer for is looked at by a child, and it sees the same") {
    const Host host;
    Plan plan = plan_for({"/usr/bin/id"});
    plan.binds = {{.source = "/usr/share", .target = "/usr/share"}};
    CHECK(host.facts_of(plan).empty());
    for (const auto* name : {"/far", "/far/tree", "/far/file", "/far/absent"}) {
        plan.binds.push_back({.source = host.path + name, .target = "/data"});
    }
    const Facts facts = host.facts_of(plan);
    REQUIRE(facts.size() == 4);
    for (const auto& [path, seen] : facts) {
        CHECK(seen.others);
        CHECK(seen.found == look_at(path).found);
    }
    CHECK(facts.at(host.path + "/far").found.directory);
    CHECK_FALSE(facts.at(host.path + "/far/file").found.directory);
    CHECK_FALSE(facts.at(host.path + "/far/absent").found.exists);
}

TEST_CASE("symlinks to what others answer for count, and so do layers, own directories and the program where it really is") {
    const Host host;
    std::filesystem::create_symlink(host.path + "/far", host.path + "/link");
    Plan plan = plan_for({"/app/program"});
    plan.binds = {{.source = host.path + "/link", .target = "/app"}};
    plan.overlays = {{.target = "/over", .lower = {host.path + "/far/tree"}}};
    plan.own_directories = {{.path = host.path + "/far/own", .variable = "STATE_DIRECTORY"}};
    const Facts facts = host.facts_of(plan);
    CHECK(facts.size() == 4);
    for (const auto* name : {"/link", "/link/program", "/far/tree", "/far/own"}) CHECK(facts.contains(host.path + name));
}

TEST_CASE("T6: what a script runs with counts wherever it lies: its interpreter, what env looks for in the PATH, the way there") {
    const Host host;
    const auto write = [&host](const std::string& name, const std::string& text) {
        std::ofstream(host.path + name) << text;
        std::filesystem::permissions(host.path + name, std::filesystem::perms(0755));
    };
    write("/far/interpreter", "text");
    std::filesystem::create_symlink(host.path + "/far/interpreter", host.path + "/link");
    write("/direct", "#!" + host.path + "/far/interpreter -u\n");
    write("/linked", "#!" + host.path + "/link\n");
    write("/by-env", "#!/usr/bin/env interpreter\n");
    for (const auto* name : {"/direct", "/linked", "/by-env"}) {
        Plan plan = plan_for({host.path + name});
        plan.environment = {"PATH=/usr/bin:" + host.path + "/far/absent:" + host.path + "/far"};
        const Facts facts = host.facts_of(plan);
        CHECK(facts.contains(host.path + "/far/interpreter"));
        CHECK(facts.contains(host.path + "/far/absent/interpreter") == (std::string_view(name) == "/by-env"));
    }
    CHECK(host.facts_of(plan_for({"/usr/bin/id"})).empty());
}

TEST_CASE("what was seen may have changed when it is another") {
    const Host host;
    const std::string file = host.path + "/far/file";
    const Seen seen = look_at(file);
    CHECK(seen.found.exists);
    CHECK_FALSE(may_have_changed(seen));
    CHECK_FALSE(may_have_changed(look_at(host.path + "/absent")));
    std::ofstream(file + ".new") << "text";
    std::filesystem::rename(file + ".new", file);
    CHECK(may_have_changed(seen));
    std::filesystem::remove(file);
    CHECK(may_have_changed(seen));
}

// tmpfs remembers no name that is not there, so RESOLVE_CACHED says EAGAIN: such a sandbox was laid out anew at each start.
TEST_CASE("what is absent in a file system in memory has not changed while it is absent") {
    const auto in_memory = file_system_in_memory(Fd(::open("/dev/shm", O_PATH | O_CLOEXEC)).get());
    if (!in_memory || *in_memory != TMPFS_MAGIC) {
        MESSAGE("skipped: /dev/shm is no tmpfs, or the kernel is older than 6.8");
        return;
    }
    const Host host("/dev/shm");
    const Seen absent = look_at(host.path + "/absent");
    const Seen deep = look_at(host.path + "/absent/below/it");
    CHECK_FALSE(may_have_changed(absent));
    CHECK_FALSE(may_have_changed(deep));
    std::filesystem::create_directories(host.path + "/absent/below");
    CHECK(may_have_changed(absent));
    CHECK_FALSE(may_have_changed(deep));
    std::ofstream(host.path + "/absent/below/it") << "text";
    CHECK(may_have_changed(deep));
}
