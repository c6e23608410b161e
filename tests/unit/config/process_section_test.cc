#include "unit/config/one.h"

#include <linux/capability.h>

namespace warder::config {
namespace {

using sandbox::IoClass;
using sandbox::Scheduler;
using testing::worker;
using testing::worker_complaints;

std::uint64_t capabilities(const std::string& keys) { return worker("[worker.web.sandbox]\n" + keys).sandbox.capabilities; }
std::string sandbox_complaints(const std::string& keys) { return testing::worker_complaints("[worker.web.sandbox]\n" + keys); }

TEST_CASE("io_priority is a class, and a level where the class has them") {
    CHECK_EQ(worker("").sandbox.io_priority.io_class, IoClass::by_nice);
    const auto high = worker("io_priority = \"best-effort:2\"\n").sandbox.io_priority;
    CHECK_EQ(high.io_class, IoClass::best_effort);
    CHECK_EQ(high.level, 2);
    CHECK_EQ(worker("io_priority = \"idle\"\n").sandbox.io_priority.io_class, IoClass::idle);
    for (const char* value : {"best-effort", "best-effort:8", "best-effort:-1", "idle:1", "realtime:", "by-nice:0", ""}) {
        CAPTURE(value);
        CHECK_NE(worker_complaints("io_priority = \"" + std::string(value) + "\"\n"), "");
    }
    CHECK_NE(worker_complaints("io_priority = \"best-efort:1\"\n").find("did you mean \"best-effort\"?"), std::string::npos);
}

TEST_CASE("scheduling is a policy, and a priority for the real-time ones") {
    CHECK_EQ(worker("").sandbox.scheduling.scheduler, Scheduler::other);
    const auto fifo = worker("scheduling = \"fifo:50\"\n").sandbox.scheduling;
    CHECK_EQ(fifo.scheduler, Scheduler::fifo);
    CHECK_EQ(fifo.priority, 50);
    CHECK_EQ(worker("scheduling = \"rr:1\"\n").sandbox.scheduling.scheduler, Scheduler::round_robin);
    CHECK_EQ(worker("scheduling = \"batch\"\n").sandbox.scheduling.scheduler, Scheduler::batch);
    for (const char* value : {"fifo", "fifo:0", "rr:100", "batch:1", "deadline"}) {
        CAPTURE(value);
        CHECK_NE(worker_complaints("scheduling = \"" + std::string(value) + "\"\n"), "");
    }
}

TEST_CASE("cpus are single ones and ranges") {
    CHECK(worker("").sandbox.cpus.empty());
    CHECK_EQ(worker("cpus = \"0-2,8,2\"\n").sandbox.cpus, std::vector<unsigned>{0, 1, 2, 8});
    for (const char* value : {"", "a", "3-1", "-1", "0-9000", "1-", "1,,2"}) {
        CAPTURE(value);
        CHECK_NE(worker_complaints("cpus = \"" + std::string(value) + "\"\n"), "");
    }
}

TEST_CASE("a worker has no capability but those that are named") {
    CHECK_EQ(worker("").sandbox.capabilities, 0);
    CHECK_EQ(capabilities("capabilities = [\"net_bind_service\", \"CAP_IPC_LOCK\"]\n"),
             (1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_IPC_LOCK));
    CHECK_NE(sandbox_complaints("capabilities = [\"net_bind_servise\"]\n").find("did you mean \"net_bind_service\"?"), std::string::npos);
}

TEST_CASE("T11: a capability that forges credentials is given only by a word of its own") {
    for (const char* name : {"sys_admin", "setuid", "setgid"}) {
        CAPTURE(name);
        const std::string said = sandbox_complaints("capabilities = [\"" + std::string(name) + "\"]\n");
        CHECK_NE(said.find("w.toml:4:17: error"), std::string::npos);
        CHECK_NE(said.find("lets a worker pass for another one"), std::string::npos);
        CHECK_NE(said.find("trusted_capabilities = [\"" + std::string(name) + "\"]"), std::string::npos);
    }
    CHECK_NE(sandbox_complaints("capabilities = [\"dac_override\"]\n").find("leads out of the sandbox"), std::string::npos);
    // As docs/sandbox.md says: there they reach the numbers of its map.
    CHECK_EQ(capabilities("user_namespace = \"root\"\ncapabilities = [\"setuid\", \"dac_override\"]\n"),
             1ULL << CAP_SETUID | 1ULL << CAP_DAC_OVERRIDE);
    CHECK_NE(sandbox_complaints("user_namespace = \"root\"\ncapabilities = [\"sys_admin\"]\n").find("pass for another one"), std::string::npos);
    CHECK_NE(sandbox_complaints("capabilities = [\"setuid\"]\n").find("in a user_namespace of its own"), std::string::npos);
    CHECK_EQ(capabilities("trusted_capabilities = [\"sys_admin\"]\n"), 1ULL << CAP_SYS_ADMIN);
}

TEST_CASE("what goes with the profile open only is said") {
    CHECK_NE(sandbox_complaints("no_new_privileges = false\n").find("neither Landlock nor a filter"), std::string::npos);
    CHECK_FALSE(worker("[worker.web.sandbox]\nprofile = \"unconfined\"\nno_new_privileges = false\n").sandbox.no_new_privileges);
    CHECK_NE(sandbox_complaints("profile = \"unconfined\"\nlock_personality = true\n").find("has no effect here"), std::string::npos);
}

}  // namespace
}  // namespace warder::config
