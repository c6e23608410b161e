#include "policy/key.h"

#include <doctest/doctest.h>

#include <string>

using namespace warder::policy;

TEST_CASE("what is to be looked up has a kind and a key") {
    const auto user = parse_lookup("user:www-data").value();
    CHECK(user.about == Lookup::user);
    CHECK(user.key == "www-data");
    CHECK(parse_lookup("gid:0").value().about == Lookup::group);
    CHECK(parse_lookup("uid:4294967294").value().key == "4294967294");
    CHECK(parse_lookup("service:http/tcp").value().about == Lookup::service);
    CHECK_FALSE(parse_lookup("user:" + std::string(256, 'a')));
    CHECK(parse_lookup("user:" + std::string(255, 'a')));
    CHECK_FALSE(parse_lookup("service:" + std::string(255, 'a') + "/tcp"));
}

TEST_CASE("a host is compared in lower case, and nothing else is") {
    CHECK(lower_host(parse_lookup("host:DB.Example").value()).view() == "db.example");
    CHECK(lower_host(parse_lookup("user:Web").value()).view() == "Web");
}

TEST_CASE("a key of the kernel has one separator between each two parts, so that none of them leads upwards") {
    CHECK(is_sysctl_key("net.ipv4.conf.eth0/100.forwarding"));
    CHECK(is_sysctl_key("kernel/hostname"));
    CHECK_FALSE(is_sysctl_key("net.//.kernel"));
    CHECK_FALSE(is_sysctl_key("net/../kernel"));
    CHECK_FALSE(is_sysctl_key("net/./kernel"));
    CHECK_FALSE(is_sysctl_key(std::string(256, 'a')));
}

TEST_CASE("the value of a key is one line") {
    CHECK(is_sysctl_value("1 2\t3"));
    CHECK(is_sysctl_value(""));
    CHECK_FALSE(is_sysctl_value("1\n"));
    CHECK_FALSE(is_sysctl_value(std::string_view("1\0", 2)));
    CHECK_FALSE(is_sysctl_value(std::string(4096, '1')));
}
