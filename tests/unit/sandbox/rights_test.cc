#include "sandbox/rights.h"

#include <doctest/doctest.h>

using namespace warder;
using namespace warder::sandbox;

namespace {

std::uint64_t rights_on(const Rights& rights, const std::string& path) {
    std::uint64_t all = 0;
    for (const auto& one : rights.paths) {
        if (one.path == path) all |= one.rights;
    }
    return all;
}

const Chain chain{.files = {"/usr/bin/app", "/lib64/ld.so"}};

}  // namespace

TEST_CASE("only the chain and binds with execute may be run") {
    Plan plan;
    plan.binds = {{.source = "/a", .target = "/tools", .writable = false, .execute = true}, {.source = "/b", .target = "/data"}};
    const Rights rights = rights_of(plan, chain, 7, 7);
    CHECK((rights_on(rights, "/usr/bin/app") & landlock::execute) != 0);
    CHECK((rights_on(rights, "/lib64/ld.so") & landlock::execute) != 0);
    CHECK((rights_on(rights, "/tools") & landlock::execute) != 0);
    for (const auto* path : {"/usr", "/tmp", "/etc", "/dev", "/data"}) {
        CAPTURE(path);
        CHECK((rights_on(rights, path) & landlock::execute) == 0);
    }
}

TEST_CASE("only /tmp and writable binds may be written, and no device is ever made") {
    Plan plan;
    plan.binds = {{.source = "/a", .target = "/state", .writable = true}, {.source = "/b", .target = "/data"}};
    plan.files = {{"/opt/conf", ""}};
    const Rights rights = rights_of(plan, chain, 7, 7);
    constexpr auto writing = landlock::write_file | landlock::make_reg | landlock::remove_file | landlock::truncate;
    CHECK((rights_on(rights, "/tmp") & writing) == writing);
    CHECK((rights_on(rights, "/state") & writing) == writing);
    for (const auto* path : {"/usr", "/etc", "/data", "/opt/conf", "/usr/bin/app"}) {
        CAPTURE(path);
        CHECK((rights_on(rights, path) & writing) == 0);
    }
    for (const auto& one : rights.paths) CHECK((one.rights & (landlock::make_char | landlock::make_block)) == 0);
    plan.private_tmp = false;
    CHECK(rights_on(rights_of(plan, chain, 7, 7), "/tmp") == 0);
}

TEST_CASE("an overlay and a directory in memory are the worker's to write, and to run only if they say so") {
    Plan plan;
    plan.overlays = {{.target = "/srv/tree", .lower = {"/a"}, .size = 4096}, {.target = "/srv/app", .lower = {"/b"}, .size = 4096, .no_execute = false}};
    plan.memory_directories = {{.target = "/run/a", .size = 4096}, {.target = "/run/b", .size = 4096, .no_execute = false}};
    const Rights rights = rights_of(plan, chain, 7, 7);
    constexpr auto writing = landlock::write_file | landlock::make_reg | landlock::remove_file | landlock::truncate | landlock::refer;
    for (const auto* path : {"/srv/tree", "/srv/app", "/run/a", "/run/b"}) CHECK((rights_on(rights, path) & writing) == writing);
    for (const auto* path : {"/srv/tree", "/run/a"}) CHECK((rights_on(rights, path) & landlock::execute) == 0);
    for (const auto* path : {"/srv/app", "/run/b"}) CHECK((rights_on(rights, path) & landlock::execute) != 0);
}

TEST_CASE("no right is given that the kernel does not handle") {
    for (int abi = 1; abi <= 7; ++abi) {
        CAPTURE(abi);
        const Rights rights = rights_of(Plan{}, chain, abi, 7);
        for (const auto& one : rights.paths) CHECK((one.rights & ~rights.handled.files) == 0);
    }
}

TEST_CASE("the host's network is not restricted, an empty one is") {
    Plan plan;
    CHECK(rights_of(plan, chain, 7, 7).handled.net == 3);
    plan.network = Network::host;
    CHECK(rights_of(plan, chain, 7, 7).handled.net == 0);
    CHECK(rights_of(plan, chain, 7, 7).handled.scoped == 3);
}

TEST_CASE("the host's own tree is untouched") {
    Plan plan;
    plan.root = Root::host;
    plan.mount_namespace = false;
    const Rights rights = rights_of(plan, chain, 7, 7);
    CHECK(rights_on(rights, "/") == rights.handled.files);
}

TEST_CASE("where the scope of signals breaks threads, a pid namespace of its own stands in for it") {
    Plan plan;
    CHECK(rights_of(plan, chain, 6, landlock::signals_of_threads).handled.scoped == 3);
    CHECK(rights_of(plan, chain, 6, 0).handled.scoped == landlock::scope_abstract_unix_socket);
    plan.pid_namespace = false;
    CHECK(rights_of(plan, chain, 6, 0).handled.scoped == 3);
}
