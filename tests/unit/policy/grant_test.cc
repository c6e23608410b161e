#include "policy/grant.h"

#include <doctest/doctest.h>

#include <utility>

using namespace warder;
using namespace warder::policy;

namespace {

Grant on_path(std::string name, Kind kind, std::string path) {
    Grant grant;
    grant.name = std::move(name);
    grant.kind = kind;
    grant.path = std::move(path);
    return grant;
}

Grant to(std::string name, std::string_view pattern) {
    Grant grant;
    grant.name = std::move(name);
    grant.kind = Kind::peer;
    grant.address = parse_address_pattern(pattern).value();
    return grant;
}

std::vector<Grant> a_few() {
    return {on_path("site", Kind::tree, "/srv/www"),  on_path("log", Kind::file, "/var/log/site.log"),
            on_path("again", Kind::tree, "/srv/www"), to("db", "unix:/run/db.sock"),
            to("lan", "tcp:10.0.0.0/8:80"),           to("office", "tcp:10.1.0.0/16:80")};
}

}  // namespace

TEST_CASE("a grant is found by its name") {
    const GrantSet grants("web", a_few());
    CHECK(grants.worker() == "web");
    CHECK(grants.named("log") == GrantId{1});
    CHECK_FALSE(grants.named("lo"));
    CHECK_FALSE(grants.named(""));
}

TEST_CASE("grants on one path are found in the order of the config") {
    const GrantSet grants("web", a_few());
    const auto found = grants.on_path("/srv/www");
    REQUIRE(found.size() == 2);
    CHECK(found[0] == GrantId{0});
    CHECK(found[1] == GrantId{2});
    CHECK(grants.on_path("/srv/www/").empty());
}

TEST_CASE("a single address is found by its canonical text, a range by its network") {
    const GrantSet grants("web", a_few());
    REQUIRE(grants.on_address("unix:/run/db.sock").size() == 1);
    CHECK(grants.on_address("tcp:10.0.0.0:80").empty());
    REQUIRE(grants.prefixes().size() == 2);
    CHECK(grants.prefixes()[0].bits == 16);
    const auto address = parse_address("tcp:10.1.2.3:80").value();
    REQUIRE(grants.on_network(grants.prefixes()[0], address).size() == 1);
    CHECK(grants.on_network(grants.prefixes()[0], address)[0] == GrantId{5});
    CHECK(grants.on_network(grants.prefixes()[1], address)[0] == GrantId{4});
    CHECK(grants.on_network(grants.prefixes()[0], parse_address("udp:10.1.2.3:80").value()).empty());
}

TEST_CASE("grants keep their indices when they are moved") {
    GrantSet first("web", a_few());
    GrantSet second;
    second = std::move(first);
    CHECK(second.named("db") == GrantId{3});
    CHECK(second.at(GrantId{3}).name == "db");
    CHECK(second.on_path("/var/log/site.log").size() == 1);
}

TEST_CASE("of two grants of one name the first is found") {
    const GrantSet grants("web", {on_path("a", Kind::file, "/one"), on_path("a", Kind::file, "/two")});
    CHECK(grants.at(*grants.named("a")).path == "/one");
}

TEST_CASE("a worker without grants has none") {
    const GrantSet grants;
    CHECK(grants.all().empty());
    CHECK_FALSE(grants.named("a"));
    CHECK(grants.on_path("/a").empty());
    CHECK(grants.longest_tree() == 0);
}

TEST_CASE("a grant that is narrowed in its place is found by what it is now, in the order of the config") {
    GrantSet grants("web", a_few());
    Grant smaller = grants.at(GrantId{4});
    smaller.address = parse_address_pattern("tcp:10.1.0.0/16:80").value();
    grants.narrow(GrantId{4}, smaller);
    const auto address = parse_address("tcp:10.1.2.3:80").value();
    REQUIRE(grants.prefixes().front().bits == 16);
    const auto found = grants.on_network(grants.prefixes().front(), address);
    REQUIRE(found.size() == 2);
    CHECK(found[0] == GrantId{4});
    CHECK(found[1] == GrantId{5});
    smaller.address = parse_address_pattern("tcp:10.1.2.3:80").value();
    grants.narrow(GrantId{4}, smaller);
    REQUIRE(grants.on_address("tcp:10.1.2.3:80").size() == 1);
    CHECK(grants.on_network(grants.prefixes().front(), address).size() == 1);
    CHECK(grants.at(GrantId{4}).address == smaller.address);
}
