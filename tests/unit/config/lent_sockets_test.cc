// Keys that are about lent sockets, beside what the grants lend.
#include <string>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::complaints;
using testing::worker;

std::string said_of(const std::string& sandbox, const std::string& grants) {
    return complaints("[worker.web]\nexec = \"/usr/bin/web\"\n[worker.web.sandbox]\n" + sandbox + "\n[worker.web.grants]\n" + grants + "\n");
}

bool says(const std::string& sandbox, const std::string& grants, std::string_view what) {
    const std::string said = said_of(sandbox, grants);
    CAPTURE(said);
    CHECK(said.contains("error: "));
    return said.contains(what);
}

constexpr const char* listener = "http = { listen = \"tcp:*:80\" }";
constexpr const char* both = "http = { listen = \"tcp:*:80\" }\ndb = { connect = \"tcp:10.0.0.1:5432\" }";

TEST_CASE("beside a listener listen is left, or connect if that is written, and a connect grant takes either") {
    const auto calls = [](const std::string& sandbox, const std::string& grants) {
        return worker("[worker.web.sandbox]\n" + sandbox + "\n[worker.web.grants]\n" + grants + "\n").sandbox.calls;
    };
    const auto left = [](const sandbox::Calls& of) { return std::string(leaves_listen(of) ? "listen" : "") + (leaves_connect(of) ? "connect" : ""); };
    CHECK_EQ(left(calls("", "a = { read = \"/a\" }")), "listenconnect");
    CHECK_EQ(left(calls("", "a = { connect = \"unix:/run/a\" }")), "listenconnect");
    CHECK_EQ(left(calls("", listener)), "listen");
    CHECK_EQ(left(calls("beside_listeners = \"connect\"", listener)), "connect");
    CHECK_EQ(left(calls("beside_listeners = \"neither\"", listener)), "");
    CHECK_EQ(left(calls("", both)), "");
    CHECK_EQ(left(calls("", "dns = { listen = \"udp:*:53\" }")), "");
    CHECK_EQ(left(calls("", "dns = { listen = \"udp:*:53\" }\ntcp = { listen = \"tcp:*:53\" }")), "listen");
    CHECK_EQ(left(calls("beside_listeners = \"connect\"", "a = { listen = \"tcp:*:80\" }\nb = { connect = \"unix:/run/b\" }\nc = { listen = \"unix:/run/c\" }")), "connect");
}

TEST_CASE("connect is refused beside what could be connected elsewhere, naming the grant and the way out") {
    for (const char* other : {"x = { listen = \"udp:*:53\" }", "x = { connect = \"tcp:10.0.0.1:1\" }", "x = { connect = \"udp:10.0.0.1:1\" }", "x = { syslog = true }",
                              "x = { connect = \"unix-dgram:/run/x\" }", "x = { netlink = \"route\" }", "x = { raw = \"icmp\" }", "x = { listen = \"vsock:*:80\" }"}) {
        CAPTURE(other);
        CHECK(says("beside_listeners = \"connect\"", std::string(listener) + "\n" + other, "connect cannot be left beside grant \"x\""));
    }
    CHECK(says("beside_listeners = \"listen\"", both, "listen cannot be left beside grant \"db\""));
    CHECK(says("beside_listeners = \"connect\"\noptional_features = [\"landlock_tcp\"]", listener, "only where Landlock holds its ports"));
    CHECK(says("beside_listeners = \"connect\"\nnetwork = \"/run/netns/a\"\ntcp_connect = [80]", listener, "ports cannot be connected to beside lent listeners"));
    CHECK_EQ(said_of("beside_listeners = \"connect\"\nnetwork = \"/run/netns/a\"\ntcp_connect = []", listener), "");
    CHECK_EQ(said_of("beside_listeners = \"connect\"\nnetwork = \"host\"\ntcp_connect = [5432]", listener), "");
}

TEST_CASE("keys that do nothing beside lent sockets are errors") {
    CHECK(says("beside_listeners = \"listen\"", "a = { read = \"/a\" }", "no effect here: no grant lends a listener"));
    CHECK(says("beside_listeners = \"connect\"", "a = { listen = \"unix:/run/a\" }", "no effect here: no grant lends a listener"));
    CHECK(says("network = \"host\"\ntcp_connect = [80]", listener, "\"tcp_connect\" has no effect here"));
    CHECK(says("network = \"host\"\ntcp_bind = [80]", listener, "\"tcp_bind\" has no effect here"));
    CHECK(says("allow_calls = [\"connect\"]", listener, "\"connect\" in \"allow_calls\" has no effect here"));
    CHECK(says("allow_calls = [\"bind\"]", listener, "\"bind\" in \"allow_calls\" has no effect here"));
    CHECK(says("allow_calls = [\"listen\"]", both, "\"listen\" in \"allow_calls\" has no effect here"));
    CHECK(says("network = \"host\"\nallow_calls = [\"socket\"]", listener, "\"socket\" in \"allow_calls\" has no effect here"));
    CHECK(says("log_calls = [\"connect\"]", listener, "\"connect\" in \"log_calls\" has no effect here"));
    CHECK(says("allow_calls = [\"sendmsg\"]", "a = { connect = \"udp:*:53\" }", "\"sendmsg\" in \"allow_calls\" has no effect here"));
    CHECK_EQ(said_of("allow_calls = [\"listen\"]", listener), "");
    CHECK_EQ(said_of("allow_calls = [\"@network-io\"]", listener), "");
    CHECK_EQ(said_of("network = \"host\"\ntcp_connect = [80]\ntcp_bind = [80]", "a = { connect = \"unix:/run/a\" }"), "");
}

TEST_CASE("options of sockets are named, and those that need no name or do nothing are errors") {
    const auto allow = [](const std::string& name) { return "allow_socket_options = [\"" + name + "\"]"; };
    CHECK_EQ(said_of(allow("TCP_CONGESTION"), listener), "");
    CHECK_EQ(worker("[worker.web.sandbox]\n" + allow("IP_TTL") + "\n[worker.web.grants]\n" + listener + "\n").sandbox.calls.socket_options, std::vector<std::string>{"IP_TTL"});
    CHECK(says(allow("TCP_CONGESTIN"), listener, "did you mean \"TCP_CONGESTION\"?"));
    CHECK(says(allow("IPV6_RTHDRR"), listener, "did you mean \"IPV6_RTHDR\"?"));
    CHECK(says(allow("SO_KEEPALIVE"), listener, "has no effect here: every worker may set it"));
    CHECK(says(allow("SO_RCVTIMEO"), listener, "has no effect here: every worker may set it"));
    CHECK(says(allow("SO_PASSRIGHTS"), listener, "there is no option of sockets \"SO_PASSRIGHTS\" that can be allowed"));
    CHECK(says("allow_socket_options = [\"IP_TTL\", \"IP_TTL\"]", listener, "stands there twice"));
    CHECK(says("allow_socket_options = [7]", listener, "a string"));
    CHECK(says(allow("IP_TTL"), "a = { read = \"/a\" }", "no grant lends one"));
    CHECK(says(allow("IP_TTL"), "a = { connect = \"unix:/run/a\" }", "has no effect here"));
    CHECK(says(allow("IPV6_UNICAST_HOPS"), listener, "has no effect here"));
    CHECK(says(allow("UDP_GRO"), listener, "has no effect here"));
    CHECK_EQ(said_of("beside_listeners = \"connect\"\nnetwork = \"host\"\n" + allow("UDP_GRO"), listener), "");
    const std::string warned = said_of(allow("IPV6_TRANSPARENT"), "a = { listen = \"tcp:[::]:80\" }");
    CHECK(warned.contains("warning: \"IPV6_TRANSPARENT\" wants a capability"));
    CHECK_EQ(said_of("profile = \"service\"\nnetwork = \"host\"\ntrusted_capabilities = [\"net_admin\"]\n" + allow("IPV6_TRANSPARENT"), "a = { listen = \"tcp:[::]:80\" }"), "");
    CHECK(says("profile = \"unconfined\"\n" + allow("IP_TTL"), listener, "has no effect here: it needs another profile"));
}

}  // namespace
}  // namespace warder::config
