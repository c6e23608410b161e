#include "daemon/unit_limits.h"

#include <doctest/doctest.h>
#include <linux/capability.h>

#include "config/check.h"
#include "config/parse.h"
#include "sys/capabilities.h"

using namespace warder;
using namespace warder::daemon;

namespace {

std::string said(const std::string& keys, const OwnLimits& limits) {
    auto parsed = config::parse({{"w.toml", "[worker.a]\nexec = \"/usr/bin/a\"\n" + keys}});
    REQUIRE(parsed.ok());
    std::vector<config::Problem> problems;
    complain_of_limits(parsed.config, limits, problems);
    std::string text;
    CHECK(parsed.config.workers.at(0).fault.empty() == problems.empty());
    for (const auto& problem : problems) {
        CHECK(problem.severity == config::Severity::warning);
        text += config::format(problem);
    }
    return text;
}

OwnLimits without(int capability) {
    OwnLimits limits;
    limits.bounding &= ~capabilities::bit(capability);
    return limits;
}

}  // namespace

TEST_CASE("a capability that warderd may not have itself is refused at load, with the line for its unit") {
    CHECK_EQ(said("[worker.a.sandbox]\ncapabilities = [\"sys_time\"]\n", without(CAP_SYS_TIME)),
             "w.toml:4:1: warning: worker \"a\": what it is given takes CAP_SYS_TIME, which is not in warderd's own bounding set: the worker cannot start\n"
             "    4 | capabilities = [\"sys_time\"]\n"
             "      | ^~~~~~~~~~~~ in a drop-in of its unit (systemctl edit warder): [Service] CapabilityBoundingSet=CAP_SYS_TIME; then restart it\n");
    CHECK_EQ(said("[worker.a.sandbox]\ncapabilities = [\"sys_time\"]\n", without(CAP_NET_ADMIN)), "");
    CHECK_EQ(said("[worker.a.sandbox]\nuser_namespace = \"root\"\ncapabilities = [\"net_admin\"]\n", without(CAP_NET_ADMIN)), "");
    CHECK_NE(said("grants.g = { raw = \"icmp\" }\n", without(CAP_NET_RAW)).find("grant \"g\" takes CAP_NET_RAW"), std::string::npos);
    CHECK_NE(said("grants.g = { packet = \"arp\" }\n", without(CAP_NET_RAW)).find("CapabilityBoundingSet=CAP_NET_RAW"), std::string::npos);
    CHECK_NE(said("grants.g = { netlink = \"route\" }\n", without(CAP_NET_ADMIN)).find("CAP_NET_ADMIN"), std::string::npos);
    CHECK_NE(said("grants.g = { device = \"/dev/net/tun\", interface = \"v0\" }\n", without(CAP_NET_ADMIN)).find("CAP_NET_ADMIN"), std::string::npos);
    CHECK_NE(said("[worker.a.sandbox]\ntime_offsets = { boottime = \"1d\" }\n", without(CAP_SYS_TIME)).find("time_offsets takes CAP_SYS_TIME"), std::string::npos);
}

TEST_CASE("families, real time and the clock that a unit denies are refused at load too") {
    OwnLimits limits;
    limits.vsock = limits.packet = limits.realtime = limits.clock = false;
    CHECK_NE(said("grants.g = { listen = \"vsock:*:80\" }\n", limits).find("RestrictAddressFamilies=AF_VSOCK"), std::string::npos);
    CHECK_NE(said("grants.g = { packet = \"arp\" }\n", limits).find("RestrictAddressFamilies=AF_PACKET"), std::string::npos);
    CHECK_NE(said("scheduling = \"fifo:5\"\n", limits).find("RestrictRealtime=no"), std::string::npos);
    CHECK_NE(said("[worker.a.sandbox]\ncapabilities = [\"sys_time\"]\n", limits).find("SystemCallFilter=@clock"), std::string::npos);
    CHECK_EQ(said("grants.g = { listen = \"tcp:*:80\" }\nscheduling = \"batch\"\n", limits), "");
    CHECK_EQ(said("grants.g = { packet = \"arp\" }\nscheduling = \"fifo:5\"\n", OwnLimits{}), "");
}
