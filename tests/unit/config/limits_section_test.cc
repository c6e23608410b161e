#include <sys/resource.h>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::worker;
using testing::worker_complaints;

sandbox::Limit limit(const std::string& entry) { return worker("limits = { " + entry + " }\n").sandbox.limits.at(0); }

void is(const sandbox::Limit& limit, int resource, rlim_t soft, rlim_t hard) {
    CHECK_EQ(limit.resource, resource);
    CHECK_EQ(limit.soft, soft);
    CHECK_EQ(limit.hard, hard);
}

TEST_CASE("a limit is one value, or soft and hard") {
    is(limit("nofile = 1024"), RLIMIT_NOFILE, 1024, 1024);
    is(limit("nofile = \"1024\""), RLIMIT_NOFILE, 1024, 1024);
    is(limit("nproc = \"10:20\""), RLIMIT_NPROC, 10, 20);
    is(limit("nproc = \"10:unlimited\""), RLIMIT_NPROC, 10, RLIM_INFINITY);
    is(limit("stack = \"unlimited\""), RLIMIT_STACK, RLIM_INFINITY, RLIM_INFINITY);
}

TEST_CASE("each limit has its own unit") {
    is(limit("as = \"1GiB:2GiB\""), RLIMIT_AS, 1ULL << 30, 2ULL << 30);
    is(limit("core = 0"), RLIMIT_CORE, 0, 0);
    is(limit("memlock = \"0:64KiB\""), RLIMIT_MEMLOCK, 0, 65536);
    is(limit("cpu = \"1min\""), RLIMIT_CPU, 60, 60);
    is(limit("rttime = \"200ms\""), RLIMIT_RTTIME, 200'000, 200'000);
}

TEST_CASE("every name of getrlimit(2) is known") {
    for (const char* name : {"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile",
                             "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}) {
        CHECK_EQ(limit(std::string(name) + " = \"unlimited\"").soft, RLIM_INFINITY);
    }
}

TEST_CASE("a limit in bytes or seconds has a unit") {
    CHECK_EQ(worker_complaints("limits = { core = 100, cpu = 60 }\n"),
             "w.toml:3:19: error: limit \"core\" needs a unit\n"
             "    3 | limits = { core = 100, cpu = 60 }\n"
             "      |                   ^~~ write it like \"64MiB\" or \"64MiB:unlimited\" (soft:hard)\n"
             "w.toml:3:30: error: limit \"cpu\" needs a unit\n"
             "    3 | limits = { core = 100, cpu = 60 }\n"
             "      |                              ^~ write it like \"60s\" or \"60s:unlimited\" (soft:hard)\n");
}

TEST_CASE("a soft limit above the hard one is an error") {
    CHECK_EQ(worker_complaints("limits = { nofile = \"20:10\" }\n"),
             "w.toml:3:21: error: limit \"nofile\" has a soft limit above its hard one\n"
             "    3 | limits = { nofile = \"20:10\" }\n"
             "      |                     ^~~~~~~ write it like 1024 or \"1024:unlimited\" (soft:hard)\n");
}

TEST_CASE("what is no limit is an error") {
    for (const char* value : {"\"\"", "\":\"", "\"1:\"", "\"1:2:3\"", "\"-1\"", "\"1KiB\"", "\"99999999999999999999\""}) {
        CHECK_NE(worker_complaints("limits = { nofile = " + std::string(value) + " }\n").find("is not a limit"),
                 std::string::npos);
    }
    CHECK_NE(worker_complaints("limits = { nofile = -1 }\n").find("is below zero"), std::string::npos);
    CHECK_NE(worker_complaints("limits = { nofile = true }\n").find("must be a limit"), std::string::npos);
    CHECK_EQ(worker_complaints("limits = { RLIMIT_NOFILE = 3 }\n"),
             "w.toml:3:12: error: unknown key \"RLIMIT_NOFILE\" in limits of worker \"web\"\n"
             "    3 | limits = { RLIMIT_NOFILE = 3 }\n"
             "      |            ^~~~~~~~~~~~~\n");
}

sandbox::GroupLimit of_group(const std::string& entry) { return worker("limits = { " + entry + " }\n").sandbox.group_limits.at(0); }

void is(const sandbox::GroupLimit& limit, std::string_view file, std::string_view value) {
    CHECK_EQ(limit.file, file);
    CHECK_EQ(limit.value, value);
    CHECK_EQ(limit.origin, "w.toml:3");
}

TEST_CASE("limits of the whole group are files of cgroup v2, as the kernel writes them") {
    is(of_group("memory_max = \"64MiB\""), "memory.max", "67108864");
    is(of_group("memory_high = \"32MiB\""), "memory.high", "33554432");
    is(of_group("memory_swap_max = 0"), "memory.swap.max", "0");
    is(of_group("cpu_max = \"150%\""), "cpu.max", "150000 100000");
    is(of_group("cpu_weight = 50"), "cpu.weight", "50");
    is(of_group("io_weight = 50"), "io.weight", "default 50");
    is(of_group("pids_max = 20"), "pids.max", "20");
    CHECK(worker("limits = { memory_max = \"64MiB\", nofile = 10 }\n").sandbox.limits.size() == 1);
}

TEST_CASE("input and output is limited by device") {
    const auto limit = of_group("io_max = [{ device = \"/dev/vda\", read_bytes = \"1MiB\", write_operations = 100 }]");
    is(limit, "io.max", "rbps=1048576 wiops=100");
    CHECK_EQ(limit.device, "/dev/vda");
    CHECK_EQ(worker_complaints("limits = { io_max = [{ device = \"/dev/vda\" }] }\n"),
             "w.toml:3:22: error: an entry of \"io_max\" has a \"device\" and a limit\n"
             "    3 | limits = { io_max = [{ device = \"/dev/vda\" }] }\n"
             "      |                      ^~~~~~~~~~~~~~~~~~~~~~~\n");
}

TEST_CASE("what is no limit of a group is an error") {
    for (const char* entry : {"cpu_max = \"50\"", "cpu_max = \"0%\"", "cpu_max = 50", "cpu_weight = 0", "pids_max = 0", "memory_max = 100",
                              "memory_max = \"0\"", "memory_max = \"64MiB\", memory_high = \"64MiB\"", "io_max = [1]"}) {
        CAPTURE(entry);
        CHECK_NE(worker_complaints("limits = { " + std::string(entry) + " }\n"), "");
    }
}

TEST_CASE("a daemon without cgroups has no limits of groups") {
    const std::string shown = testing::complaints("[daemon]\ncgroup = \"none\"\n[worker.web]\nexec = \"/usr/bin/web\"\nlimits = { pids_max = 3 }\n");
    CHECK(shown.find("w.toml:5:12: error: limits of a group need cgroups") != std::string::npos);
}

}  // namespace
}  // namespace warder::config
