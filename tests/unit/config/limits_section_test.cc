#include <sys/resource.h>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::worker;
using testing::worker_complaints;

sandbox::Limit limit(const std::string& entry) { return worker("limits = { " + entry + " }\n").cell.limits.at(0); }

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

}  // namespace
}  // namespace warder::config
