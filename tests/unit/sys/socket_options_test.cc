#include "sys/socket_options.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <set>
#include <string>
#include <utility>

using namespace warder;

TEST_CASE("each option stands in the table once, by name and by number, at a level that is known") {
    std::set<std::string> names;
    std::set<std::pair<std::uint32_t, std::uint32_t>> numbers;
    for (const auto& option : socket_options::all()) {
        CAPTURE(option.name);
        CHECK(names.emplace(option.name).second);
        CHECK(numbers.emplace(option.level, option.number).second);
        CHECK(socket_options::find_level(option.level) != nullptr);
        CHECK_FALSE(option.about.empty());
        CHECK(socket_options::find(option.name) == &option);
        CHECK(socket_options::find(option.level, option.number) == &option);
    }
}

TEST_CASE("the table has the numbers that the C library has") {
    const auto is = [](const char* name, int level, int number) {
        const auto* found = socket_options::find(name);
        CAPTURE(name);
        REQUIRE(found != nullptr);
        CHECK(found->level == static_cast<std::uint32_t>(level));
        CHECK(found->number == static_cast<std::uint32_t>(number));
    };
    is("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
    is("SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO);
    is("SO_MAX_PACING_RATE", SOL_SOCKET, SO_MAX_PACING_RATE);
    is("IP_TRANSPARENT", IPPROTO_IP, IP_TRANSPARENT);
    is("IP_ADD_MEMBERSHIP", IPPROTO_IP, IP_ADD_MEMBERSHIP);
    is("IPV6_V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY);
    is("IPV6_RTHDR", IPPROTO_IPV6, IPV6_RTHDR);
    is("IPV6_UNICAST_HOPS", IPPROTO_IPV6, IPV6_UNICAST_HOPS);
    is("TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT);
    is("TCP_CONGESTION", IPPROTO_TCP, TCP_CONGESTION);
    is("TCP_FASTOPEN_CONNECT", IPPROTO_TCP, TCP_FASTOPEN_CONNECT);
}

TEST_CASE("whether one that is not in the table is held depends on what is lent") {
    using namespace socket_options;
    const auto& socket = *find_level(SOL_SOCKET);
    const auto& tcp = *find_level(IPPROTO_TCP);
    CHECK_FALSE(is_held(socket, 0));
    CHECK(is_held(socket, lent_unix));
    CHECK_FALSE(is_held(tcp, lent_unix));
    CHECK(is_held(tcp, lent_ipv4 | lent_udp));
    CHECK(is_held(tcp, lent_netlink));
}
