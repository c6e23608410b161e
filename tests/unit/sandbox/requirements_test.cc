#include "sandbox/requirements.h"

#include <doctest/doctest.h>

using namespace warder::sandbox;

namespace {

// A kernel with everything.
KernelFeatures whole() {
    KernelFeatures kernel = probe_kernel();
    kernel.seccomp = kernel.mount_namespaces = kernel.pid_namespaces = kernel.ipc_namespaces = kernel.uts_namespaces = true;
    kernel.network_namespaces = kernel.mount_attributes = kernel.close_range = kernel.pidfd_setns = true;
    kernel.memory_deny_write_execute = kernel.keyrings = kernel.cgroup_namespaces = kernel.time_namespaces = kernel.user_notification = true;
    kernel.overlays = kernel.user_namespaces = true;
    kernel.landlock = 7;
    kernel.controllers = "cpu io memory pids";
    return kernel;
}

// Everything that depends on the kernel.
Plan wanting_all() {
    Plan plan;
    plan.cgroup_namespace = plan.time_namespace = plan.memory_deny_write_execute = plan.user_namespace = true;
    plan.calls.monitored = true;
    plan.overlays = {{.target = "/srv/tree", .lower = {"/usr"}, .size = 4096}};
    plan.network = Network::named;
    plan.tcp_bind.restricted = true;
    for (const char* file : {"memory.max", "cpu.max", "io.weight", "pids.max"}) plan.group_limits.push_back({file, "1", {}, {}});
    return plan;
}

KernelFeatures nothing() { return KernelFeatures{}; }

}  // namespace

TEST_CASE("a kernel that has everything lacks nothing, and one that has nothing lacks each item by its name") {
    CHECK(lacks_of(wanting_all(), whole()).empty());
    const auto lacks = lacks_of(wanting_all(), nothing());
    REQUIRE(lacks.size() == kernel_items.size());
    for (std::size_t i = 0; i < lacks.size(); ++i) {
        CAPTURE(lacks[i].item);
        CHECK(lacks[i].item == kernel_items[i]);
        CHECK(lacks[i].why.find("it came with Linux ") != std::string::npos);
        CHECK_FALSE(lacks[i].instead.empty());
        CHECK_FALSE(lacks[i].preferred);
    }
}

TEST_CASE("what a plan does not want is not lacking") {
    Plan open;
    open.mount_namespace = open.pid_namespace = open.ipc_namespace = open.uts_namespace = open.landlock = false;
    open.private_keyring = open.calls.enabled = false;
    open.network = Network::host;
    const auto lacks = lacks_of(open, nothing());
    REQUIRE(lacks.size() == 1);
    CHECK(lacks[0].item == "close_range");
}

TEST_CASE("what is preferred is left out where the kernel lacks it, and only there") {
    Plan plan = wanting_all();
    plan.preferred = {"landlock", "memory_deny_write_execute", "time_namespace", "close_range"};
    const Plan less = without_lacking(plan, nothing());
    CHECK_FALSE(less.landlock);
    CHECK_FALSE(less.memory_deny_write_execute);
    CHECK_FALSE(less.time_namespace);
    CHECK(less.calls.enabled);
    CHECK(less.pid_namespace);
    // Capabilities that were to count in a user namespace alone go with it.
    plan.preferred = {"user_namespaces"};
    plan.capabilities = 1;
    CHECK_FALSE(without_lacking(plan, nothing()).user_namespace);
    CHECK(without_lacking(plan, nothing()).capabilities == 0);
    CHECK(without_lacking(plan, whole()).capabilities == 1);
    const Plan same = without_lacking(plan, whole());
    CHECK(same.landlock);
    CHECK(same.memory_deny_write_execute);
    plan.preferred = {"landlock", "close_range"};
    for (const auto& lack : lacks_of(plan, nothing())) {
        if (lack.item == "close_range") CHECK_FALSE(lack.preferred);   // nothing can do without it
        if (lack.item == "landlock") CHECK(lack.preferred);
    }
}

TEST_CASE("the kernel that runs has what it says") {
    for (const auto& item : kernel_items_of(probe_kernel())) {
        CAPTURE(item.name);
        CHECK_FALSE(item.since.empty());
        if (item.name == "close_range") CHECK(item.present);
    }
}

TEST_CASE("a limit whose controller is missing is refused by name, or left out if it is only preferred") {
    Plan plan;
    plan.group_limits = {{"memory.max", "67108864", {}, {}}, {"memory.high", "1048576", {}, {}}, {"pids.max", "20", {}, {}}};
    KernelFeatures kernel = whole();
    kernel.controllers = "cpu pids";
    const auto lacks = lacks_of(plan, kernel);
    REQUIRE(lacks.size() == 1);
    CHECK(lacks[0].item == "memory_controller");
    CHECK(lacks[0].why.find("Delegate=yes") != std::string::npos);
    CHECK(lacks[0].instead.find("optional_features = [\"memory_controller\"]") != std::string::npos);
    plan.preferred = {"memory_controller"};
    const Plan less = without_lacking(plan, kernel);
    REQUIRE(less.group_limits.size() == 1);
    CHECK(less.group_limits[0].file == "pids.max");
}
