#include "daemon/sandbox_plan.h"

#include <algorithm>

#include "unit/config/one.h"

using namespace warder;
using config::testing::good;

namespace {

const control::PlanLine& line(const control::SandboxPlanReport& report, const std::string& key) {
    const auto found = std::ranges::find(report.plan, key, &control::PlanLine::key);
    REQUIRE(found != report.plan.end());
    return *found;
}

control::SandboxPlanReport planned(const std::string& keys) {
    return daemon::describe_sandbox(config::testing::worker(keys), sandbox::probe_kernel());
}

}  // namespace

TEST_CASE("an item of a plan comes from its line, from the profile, or is a default") {
    const auto report = planned("nice = 3\n[worker.web.sandbox]\nprofile = \"service\"\ndevices = [\"null\"]\nbind_writable = [\"/var/a\"]\n");
    CHECK(report.profile == "service");
    CHECK(line(report, "nice").value == "3");
    CHECK(line(report, "nice").origin == "w.toml:3");
    CHECK(line(report, "umask").origin == "default");
    CHECK(line(report, "sandbox.devices").value == "null");
    CHECK(line(report, "sandbox.devices").origin == "w.toml:6");
    CHECK(line(report, "sandbox.network").value == "host");
    CHECK(line(report, "sandbox.network").origin == "profile service");
    CHECK(line(report, "sandbox.bind_read_only").origin == "w.toml:7");
    CHECK(line(report, "sandbox.overlays").value == "none");
    CHECK(line(report, "sandbox.user_namespace").value == "none");
    CHECK(line(planned("[worker.web.sandbox]\nuser_namespace = \"root\"\n"), "sandbox.user_namespace").value == "root");
    const auto mapped = planned("[worker.web.sandbox]\nuser_namespace = { uid_map = [\"0:self:1\", \"1:100000:5\"], gid_map = [\"0:self:1\"] }\n");
    CHECK(line(mapped, "sandbox.user_namespace").value == "uid_map 0:self:1 1:100000:5, gid_map 0:self:1");
    CHECK(line(mapped, "sandbox.user_namespace").origin == "w.toml:4");
    const auto layered = planned("[worker.web.sandbox]\noverlays = [{ target = \"/srv/tree\", lower = [\"/opt/a\", \"/opt/b\"], size = \"1MiB\" }]\n");
    CHECK(line(layered, "sandbox.overlays").value == "/srv/tree over /opt/a, /opt/b with 1MiB to write");
    CHECK(line(layered, "sandbox.overlays").origin == "w.toml:4");
}

TEST_CASE("what a kernel lacks stops the worker that requires it, and not the one that prefers it") {
    const config::Config config = good("[worker.web]\nexec = \"/usr/bin/web\"\n[worker.web.sandbox]\nprofile = \"unconfined\"\nmemory_deny_write_execute = true\n"
                                       "optional_features = [\"memory_deny_write_execute\"]\n");
    sandbox::KernelFeatures kernel;
    kernel.close_range = true;
    const auto lenient = daemon::describe_kernel(config, kernel);
    REQUIRE(lenient.lacks.size() == 1);
    CHECK(lenient.lacks[0].preferred);
    CHECK(lenient.ok);
    kernel.close_range = false;
    const auto report = daemon::describe_kernel(config, kernel);
    REQUIRE(report.lacks.size() == 2);
    CHECK(report.lacks[0].worker == "web");
    CHECK(report.lacks[0].item == "close_range");
    CHECK_FALSE(report.ok);
}

TEST_CASE("what [daemon] requires of the kernel is a reason not to start") {
    const config::Config config = good("[daemon]\nrequired_features = [\"landlock\", \"close_range\"]\n");
    sandbox::KernelFeatures kernel;
    kernel.close_range = true;
    const auto sentences = daemon::missing_of_daemon(config.daemon, kernel);
    REQUIRE(sentences.size() == 1);
    CHECK(sentences[0].find("\"landlock\": the kernel lacks it (it came with Linux 5.13") != std::string::npos);
    CHECK_FALSE(daemon::describe_kernel(config, kernel).ok);
    kernel.landlock = 1;
    CHECK(daemon::missing_of_daemon(config.daemon, kernel).empty());
}

TEST_CASE("each limit of a group has its line") {
    const auto report = planned("[worker.web.limits]\nmemory_max = \"64MiB\"\npids_max = 20\n");
    CHECK(line(report, "limits.memory_max").value == "67108864");
    CHECK(line(report, "limits.memory_max").origin == "w.toml:4");
    CHECK(line(report, "limits.pids_max").origin == "w.toml:5");
}
