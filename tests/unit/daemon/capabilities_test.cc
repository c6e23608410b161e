#include "daemon/capabilities.h"

#include <doctest/doctest.h>
#include <linux/capability.h>

using namespace warder;
using namespace warder::daemon;

namespace {

policy::Grant grant_of(policy::Kind kind, std::string name = "it") {
    policy::Grant grant;
    grant.kind = kind;
    grant.name = std::move(name);
    return grant;
}

config::Config config_with(std::vector<policy::Grant> grants, const sandbox::Plan& sandbox = {}) {
    config::Config config;
    config.daemon.log_keeper = false;
    auto& worker = config.workers.emplace_back();
    worker.name = "web";
    worker.sandbox = sandbox;
    worker.grants = std::move(grants);
    return config;
}

bool needs(const config::Config& config, int capability) { return (needed_by(config).set() & capabilities::bit(capability)) != 0; }

policy::Grant listener_on(std::uint32_t port, policy::Family family = policy::Family::ipv4) {
    auto grant = grant_of(policy::Kind::listener);
    grant.address.family = family;
    grant.address.port_first = grant.address.port_last = port;
    return grant;
}

}  // namespace

TEST_CASE("each kind of grant says which capability it needs") {
    CHECK_FALSE(needs(config_with({}), CAP_NET_RAW));
    CHECK(needs(config_with({grant_of(policy::Kind::raw)}), CAP_NET_RAW));
    CHECK(needs(config_with({grant_of(policy::Kind::packet)}), CAP_NET_RAW));
    CHECK(needs(config_with({grant_of(policy::Kind::netlink)}), CAP_NET_ADMIN));
    CHECK_FALSE(needs(config_with({grant_of(policy::Kind::device)}), CAP_NET_ADMIN));
    auto tun = grant_of(policy::Kind::device);
    tun.interface = "tun0";
    CHECK(needs(config_with({tun}), CAP_NET_ADMIN));
    CHECK(needs(config_with({grant_of(policy::Kind::secret)}), CAP_DAC_OVERRIDE));
    CHECK_FALSE(needs(config_with({grant_of(policy::Kind::channel)}), CAP_DAC_OVERRIDE));
}

TEST_CASE("only a low port of a network needs a capability") {
    CHECK(needs(config_with({listener_on(80)}), CAP_NET_BIND_SERVICE));
    CHECK(needs(config_with({listener_on(1023, policy::Family::ipv6)}), CAP_NET_BIND_SERVICE));
    CHECK_FALSE(needs(config_with({listener_on(1024)}), CAP_NET_BIND_SERVICE));
    CHECK_FALSE(needs(config_with({listener_on(0)}), CAP_NET_BIND_SERVICE));
    CHECK_FALSE(needs(config_with({listener_on(0, policy::Family::unix_path)}), CAP_NET_BIND_SERVICE));
    CHECK_EQ(needed_by(config_with({listener_on(80)})).reason_for(CAP_NET_BIND_SERVICE), "worker web, grant it listens on port 80");
}

TEST_CASE("each item of a sandbox says which capability it needs") {
    sandbox::Plan open;
    open.mount_namespace = open.pid_namespace = open.ipc_namespace = open.uts_namespace = false;
    open.network = sandbox::Network::host;
    CHECK_FALSE(needs(config_with({}, open), CAP_SYS_ADMIN));
    CHECK_FALSE(needs(config_with({}, open), CAP_SYS_CHROOT));
    CHECK_FALSE(needs(config_with({}, open), CAP_SYS_RESOURCE));
    CHECK_FALSE(needs(config_with({}, open), CAP_SYS_NICE));
    CHECK(needs(config_with({}), CAP_SYS_ADMIN));
    CHECK(needs(config_with({}), CAP_SYS_CHROOT));
    sandbox::Plan plan = open;
    plan.capabilities = capabilities::bit(CAP_SYS_TIME);
    CHECK(needs(config_with({}, plan), CAP_SYS_TIME));
    plan.scheduling.scheduler = sandbox::Scheduler::fifo;
    CHECK(needs(config_with({}, plan), CAP_SYS_NICE));
    plan.scheduling.scheduler = sandbox::Scheduler::other;
    plan.nice = -5;
    CHECK(needs(config_with({}, plan), CAP_SYS_NICE));
    plan.limits.push_back({});
    CHECK(needs(config_with({}, plan), CAP_SYS_RESOURCE));
    plan.limits.clear();
    plan.oom_score_adjust = -100;
    CHECK(needs(config_with({}, plan), CAP_SYS_RESOURCE));
    auto slowed = config_with({}, open);
    slowed.daemon.run_mode.nice = 5;
    slowed.daemon.run_mode.oom_score_adjust = 300;
    CHECK_EQ(needed_by(slowed).reason_for(CAP_SYS_NICE), "worker web has a lower niceness than warderd's own, 5");
    CHECK_EQ(needed_by(slowed).reason_for(CAP_SYS_RESOURCE), "worker web has a lower oom score than warderd's own, 300");
    CHECK_FALSE(needs(config_with({}), CAP_DAC_OVERRIDE));
    sandbox::Plan layered;
    layered.overlays = {{.target = "/srv/tree", .lower = {"/usr"}, .size = 4096}};
    CHECK(needs(config_with({}, layered), CAP_DAC_OVERRIDE));
    sandbox::Plan inside = open;
    inside.user_namespace = true;
    inside.capabilities = capabilities::bit(CAP_SYS_TIME);
    CHECK(needs(config_with({}, inside), CAP_SYS_ADMIN));
    CHECK_FALSE(needs(config_with({}, inside), CAP_SYS_TIME));
}

TEST_CASE("what is reserved is kept, and its reason is that") {
    auto config = config_with({});
    config.daemon.reserve_capabilities = capabilities::bit(CAP_SYS_TIME);
    CHECK(needs(config, CAP_SYS_TIME));
    CHECK_EQ(needed_by(config).reason_for(CAP_SYS_TIME), "[daemon] reserve_capabilities");
}

TEST_CASE("what was given up is a reason to restart, what is held is none") {
    const auto config = config_with({grant_of(policy::Kind::raw, "ping")});
    CHECK(restarts_for(config, capabilities::all(), false).empty());
    const auto without = capabilities::all() & ~capabilities::bit(CAP_NET_RAW);
    const auto sentences = restarts_for(config, without, false);
    REQUIRE_EQ(sentences.size(), 1);
    CHECK_EQ(sentences[0], "restart warderd: needs CAP_NET_RAW, which it has given up (worker web, grant ping lends raw or packet sockets)");
}

TEST_CASE("only what may gain privileges keeps warderd from giving that up") {
    CHECK_EQ(needs_new_privileges(config_with({grant_of(policy::Kind::file)})), "");
    const auto runs = config_with({grant_of(policy::Kind::command, "rotate")});
    CHECK_EQ(needs_new_privileges(runs), "worker web, grant rotate runs a command, which may be set-uid");
    CHECK(restarts_for(runs, capabilities::all(), false).empty());
    CHECK_EQ(restarts_for(runs, capabilities::all(), true).size(), 1);
    sandbox::Plan gains;
    gains.no_new_privileges = false;
    CHECK_FALSE(needs_new_privileges(config_with({}, gains)).empty());
}

TEST_CASE("of many reasons the first few are kept") {
    std::vector<policy::Grant> grants;
    for (int i = 0; i < 50; ++i) grants.push_back(grant_of(policy::Kind::raw, "g" + std::to_string(i)));
    for (const auto& report : capability_reports(config_with(grants))) CHECK(report.reasons.size() <= 4);
}

TEST_CASE("without root nothing is kept that reaches over files or ids, whatever is granted") {
    auto file = grant_of(policy::Kind::file, "file");
    file.as = policy::As::worker;
    config::Config config = config_with({file, grant_of(policy::Kind::secret), listener_on(8080)});
    config.daemon.log_keeper = true;
    config.daemon.run_mode.without_root = true;
    const auto kept = needed_by(config).set();
    CHECK(kept == (capabilities::bit(CAP_SETPCAP) | capabilities::bit(CAP_SYS_ADMIN) | capabilities::bit(CAP_SYS_CHROOT)));
    config.workers.at(0).sandbox.time_namespace = true;
    CHECK(needed_by(config).set() == (kept | capabilities::bit(CAP_SYS_TIME)));
}
