#include "policy/address.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

using namespace warder::policy;
using namespace std::string_view_literals;

namespace {

std::string canonical_of(std::string_view text) {
    const auto address = parse_address(text);
    return address ? std::string(format(*address).view()) : "not an address";
}

std::string canonical_pattern(std::string_view text) {
    const auto pattern = parse_address_pattern(text);
    return pattern ? format(*pattern) : "not a pattern";
}

bool covered(std::string_view pattern, std::string_view address) {
    return covers(parse_address_pattern(pattern).value(), parse_address(address).value());
}

}  // namespace

TEST_CASE("an IPv4 address is read into network order and its port") {
    const auto address = parse_address("tcp:127.0.0.1:8080").value();
    CHECK(address.transport == Transport::tcp);
    CHECK(address.family == Family::ipv4);
    CHECK(address.ip == std::array<std::uint8_t, 16>{127, 0, 0, 1});
    CHECK(address.port == 8080);
    CHECK(parse_address("udp:0.0.0.0:53").value().transport == Transport::udp);
}

TEST_CASE("an IPv6 address stands in brackets") {
    const auto address = parse_address("tcp:[2001:db8::1]:443").value();
    CHECK(address.family == Family::ipv6);
    CHECK(address.ip[0] == 0x20);
    CHECK(address.ip[15] == 1);
    CHECK_FALSE(parse_address("tcp:::1:443"));
    CHECK_FALSE(parse_address("tcp:[127.0.0.1]:443"));
    CHECK_FALSE(parse_address("tcp:[fe80::1%eth0]:443"));
}

TEST_CASE("a star is every IPv4 address of this machine") {
    CHECK(canonical_of("tcp:*:80") == "tcp:0.0.0.0:80");
    CHECK_FALSE(parse_address("tcp:[*]:80"));
}

TEST_CASE("unix addresses are paths or abstract names") {
    CHECK(parse_address("unix:/run/a.sock").value().transport == Transport::unix_stream);
    CHECK(parse_address("unix-dgram:/run/a.sock").value().transport == Transport::unix_dgram);
    const auto abstract = parse_address("unix-seqpacket:@name").value();
    CHECK(abstract.transport == Transport::unix_seqpacket);
    CHECK(abstract.family == Family::unix_abstract);
    CHECK(abstract.name == "name");
    CHECK(parse_address("unix:@@").value().name == "@");
}

TEST_CASE("a unix name may have 107 bytes and not 108") {
    const std::string path = "/" + std::string(106, 'a');
    CHECK(parse_address("unix:" + path));
    CHECK_FALSE(parse_address("unix:" + path + "a"));
    CHECK(parse_address("unix:@" + std::string(107, 'a')));
    CHECK_FALSE(parse_address("unix:@" + std::string(108, 'a')));
}

TEST_CASE("the longest addresses fit into their canonical text") {
    const std::string abstract = "unix-seqpacket:@" + std::string(107, 'a');
    CHECK(canonical_of(abstract) == abstract);
    const std::string pattern = "tcp:[1111:2222:3333:4444:5555:6666:7777:8880]/125:10000-65535";
    CHECK(canonical_pattern(pattern) == pattern);
}

TEST_CASE("what is not in the grammar is not an address") {
    for (const auto text : {""sv,
                            ":"sv,
                            "tcp"sv,
                            "tcp:"sv,
                            "tcp::"sv,
                            "tcp:127.0.0.1"sv,
                            "tcp:127.0.0.1:"sv,
                            "tcp:127.0.0.1:80 "sv,
                            " tcp:127.0.0.1:80"sv,
                            "tcp:127.0.0.1:+80"sv,
                            "tcp:127.0.0.1:-1"sv,
                            "tcp:127.0.0.1:080"sv,
                            "tcp:127.0.0.1:0x50"sv,
                            "tcp:127.0.0.1:65536"sv,
                            "tcp:127.0.0.1:4294967376"sv,
                            "tcp:127.0.0.1:18446744073709551696"sv,
                            "tcp:127.1:80"sv,
                            "tcp:127.0.0.01:80"sv,
                            "tcp:127.0.0.256:80"sv,
                            "tcp:2130706433:80"sv,
                            "TCP:127.0.0.1:80"sv,
                            "sctp:127.0.0.1:80"sv,
                            "tcp:[::1:80"sv,
                            "tcp:[::1]80"sv,
                            "tcp:[]:80"sv,
                            "tcp:[::1]]:80"sv,
                            "tcp:127.0.0.1\0:80"sv,
                            "tcp:127.0.0.1:80\0"sv,
                            "tcp:10.0.0.0/8:80"sv,
                            "tcp:10.0.0.1:1-2"sv,
                            "unix:"sv,
                            "unix:a"sv,
                            "unix:/a/../b"sv,
                            "unix:/a//b"sv,
                            "unix:/a/"sv,
                            "unix:/a\0b"sv,
                            "unix:@a\0b"sv,
                            "unix-stream:/a"sv,
                            "unix:/"sv}) {
        CAPTURE(text);
        CHECK_FALSE(parse_address(text));
    }
}

TEST_CASE("an IPv4 address in IPv6 clothes is refused, since it would slip past a grant that speaks of IPv4") {
    CHECK_FALSE(parse_address("tcp:[::ffff:10.0.0.1]:80"));
    CHECK_FALSE(parse_address("tcp:[::ffff:a00:1]:80"));
    CHECK_FALSE(parse_address("tcp:[0:0:0:0:0:FFFF:0a00:0001]:80"));
    CHECK_FALSE(parse_address_pattern("tcp:[::ffff:0:0]/96:80"));
    CHECK(parse_address("tcp:[::fffe:a00:1]:80"));
}

TEST_CASE("each address has one canonical text, which is read back as the same") {
    CHECK(canonical_of("tcp:[2001:DB8:0:0:0:0:0:1]:443") == "tcp:[2001:db8::1]:443");
    for (const auto text : {"tcp:127.0.0.1:0", "udp:255.255.255.255:65535", "tcp:[::]:80", "tcp:[::1]:1",
                            "unix:/run/a.sock", "unix-dgram:@x y", "unix-seqpacket:/a"}) {
        CHECK(canonical_of(text) == text);
    }
}

TEST_CASE("a pattern of one address and one port is single") {
    CHECK(parse_address_pattern("tcp:127.0.0.1:80").value().single());
    CHECK(parse_address_pattern("tcp:[::1]/128:80").value().single());
    CHECK(parse_address_pattern("tcp:10.0.0.1:80-80").value().single());
    CHECK(parse_address_pattern("unix:@a").value().single());
    CHECK_FALSE(parse_address_pattern("tcp:*:80").value().single());
    CHECK_FALSE(parse_address_pattern("tcp:10.0.0.0/31:80").value().single());
    CHECK_FALSE(parse_address_pattern("tcp:10.0.0.1:80-81").value().single());
    CHECK(format(parse_address_pattern("unix:/run/db").value().address()).view() == "unix:/run/db");
}

TEST_CASE("a pattern covers its network and its ports") {
    CHECK(covered("tcp:10.0.0.0/8:443", "tcp:10.255.0.1:443"));
    CHECK_FALSE(covered("tcp:10.0.0.0/8:443", "tcp:11.0.0.1:443"));
    CHECK_FALSE(covered("tcp:10.0.0.0/8:443", "udp:10.0.0.1:443"));
    CHECK_FALSE(covered("tcp:10.0.0.0/8:443", "tcp:10.0.0.1:444"));
    CHECK(covered("tcp:10.0.0.0/8:1-1023", "tcp:10.0.0.1:1"));
    CHECK(covered("tcp:10.0.0.0/8:1-1023", "tcp:10.0.0.1:1023"));
    CHECK_FALSE(covered("tcp:10.0.0.0/8:1-1023", "tcp:10.0.0.1:1024"));
    CHECK_FALSE(covered("tcp:10.0.0.0/8:1-1023", "tcp:10.0.0.1:0"));
}

TEST_CASE("a prefix need not end at a byte") {
    CHECK(covered("tcp:192.168.16.0/20:80", "tcp:192.168.31.255:80"));
    CHECK_FALSE(covered("tcp:192.168.16.0/20:80", "tcp:192.168.32.0:80"));
    CHECK(covered("tcp:10.0.0.6/31:80", "tcp:10.0.0.7:80"));
    CHECK_FALSE(covered("tcp:10.0.0.6/31:80", "tcp:10.0.0.8:80"));
    CHECK(covered("tcp:[2001:db8::]/33:80", "tcp:[2001:db8:7fff::1]:80"));
    CHECK_FALSE(covered("tcp:[2001:db8::]/33:80", "tcp:[2001:db8:8000::1]:80"));
}

TEST_CASE("the widest patterns cover their own family alone") {
    CHECK(covered("tcp:*:80", "tcp:1.2.3.4:80"));
    CHECK(covered("tcp:0.0.0.0/0:80", "tcp:255.255.255.255:80"));
    CHECK_FALSE(covered("tcp:*:80", "tcp:[::1]:80"));
    CHECK(covered("tcp:[::]/0:80", "tcp:[::1]:80"));
    CHECK_FALSE(covered("tcp:[::]/0:80", "tcp:1.2.3.4:80"));
    CHECK(canonical_pattern("tcp:0.0.0.0/0:80") == "tcp:*:80");
}

TEST_CASE("a unix pattern covers its own name and kind") {
    CHECK(covered("unix:/run/a", "unix:/run/a"));
    CHECK_FALSE(covered("unix:/run/a", "unix:/run/b"));
    CHECK_FALSE(covered("unix:/run/a", "unix-dgram:/run/a"));
    CHECK_FALSE(covered("unix:@run", "unix:/run"));
}

TEST_CASE("a pattern with bits below its prefix, or ports the wrong way round, is refused") {
    for (const auto text :
         {"tcp:10.1.2.3/8:80", "tcp:10.0.0.1/31:80", "tcp:[2001:db8::1]/32:80", "tcp:10.0.0.0/33:80", "tcp:[::]/129:80",
          "tcp:10.0.0.0/:80", "tcp:10.0.0.0/08:80", "tcp:*/8:80", "tcp:10.0.0.0/8:2-1", "tcp:10.0.0.0/8:1-",
          "tcp:10.0.0.0/8:-1", "tcp:10.0.0.0/8", "tcp:10.0.0.0/8:1-65536", "tcp:10.0.0.0/8:1-2-3", "unix:/a/*:1"}) {
        CAPTURE(text);
        if (std::string_view(text) == "unix:/a/*:1")
            CHECK(parse_address_pattern(text).value().name == "/a/*:1");
        else
            CHECK_FALSE(parse_address_pattern(text));
    }
}

TEST_CASE("the pattern of a listener on every address is that one address") {
    const auto pattern = exactly(parse_address("tcp:*:80").value());
    CHECK(pattern.single());
    CHECK(covers(pattern, parse_address("tcp:0.0.0.0:80").value()));
    CHECK_FALSE(covers(pattern, parse_address("tcp:127.0.0.1:80").value()));
}

TEST_CASE("masking clears every bit below the prefix") {
    const std::array<std::uint8_t, 16> ones{255, 255, 255, 255};
    CHECK(masked(ones, 0) == std::array<std::uint8_t, 16>{});
    CHECK(masked(ones, 9) == std::array<std::uint8_t, 16>{255, 128});
    CHECK(masked(ones, 32) == ones);
    CHECK(masked(ones, 128) == ones);
}

TEST_CASE("an empty abstract name is for the kernel to choose, and no pattern to connect by") {
    CHECK(canonical_of("unix:@") == "unix:@");
    CHECK(canonical_of("unix-dgram:@") == "unix-dgram:@");
    CHECK_FALSE(parse_address_pattern("unix:@"));
    CHECK(covers(exactly(parse_address("unix:@").value()), parse_address("unix:@").value()));
    CHECK_FALSE(covers(exactly(parse_address("unix:@").value()), parse_address("unix:@a").value()));
}

TEST_CASE("an address of vsock is a context id in the host's order and a port of 32 bits") {
    const auto address = parse_address("vsock:2:4294967295").value();
    CHECK(address.transport == Transport::vsock);
    CHECK(address.family == Family::vsock);
    CHECK(address.port == 4294967295U);
    std::uint32_t context = 0;
    std::memcpy(&context, address.ip.data(), sizeof context);
    CHECK(context == 2);
    const auto any = parse_address("vsock-seqpacket:*:1024").value();
    std::memcpy(&context, any.ip.data(), sizeof context);
    CHECK(context == any_context);
    for (const auto text : {"vsock:2:1024", "vsock:*:0", "vsock-seqpacket:4294967294:1", "vsock:0:0"}) {
        CHECK(canonical_of(text) == text);
    }
    for (const auto text : {"vsock:4294967295:1", "vsock:2", "vsock:02:1", "vsock::1", "vsock:2:4294967296", "vsock:a:1",
                            "vsock:[::1]:1", "vsock:2/8:1", "vsock:127.0.0.1:1"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_address(text));
    }
}

TEST_CASE("a pattern of vsock is one context id or every one, and a range of ports") {
    CHECK(covered("vsock:*:1024", "vsock:2:1024"));
    CHECK(covered("vsock:2:1-1024", "vsock:2:1024"));
    CHECK_FALSE(covered("vsock:2:1-1024", "vsock:3:1024"));
    CHECK_FALSE(covered("vsock:2:1-1024", "vsock-seqpacket:2:1024"));
    CHECK_FALSE(covered("vsock:2:1-1024", "vsock:2:1025"));
    CHECK(canonical_pattern("vsock:*:1-4294967295") == "vsock:*:1-4294967295");
    CHECK(canonical_pattern("vsock:2:1024") == "vsock:2:1024");
    CHECK(parse_address_pattern("vsock:2:1024").value().single());
    CHECK_FALSE(parse_address_pattern("vsock:*:1024").value().single());
    CHECK_FALSE(parse_address_pattern("vsock:2/16:1024"));
}

TEST_CASE("a host is a name of RFC 1123, and nothing that is read as a number") {
    const auto address = parse_address("tcp:Db.Example.org:5432").value();
    CHECK(address.family == Family::host);
    CHECK(address.name == "Db.Example.org");
    CHECK(address.port == 5432);
    CHECK(canonical_of("tcp:Db.Example.org:5432") == "tcp:db.example.org:5432");
    CHECK(canonical_of("udp:localhost:53") == "udp:localhost:53");
    const std::string label(63, 'a');
    const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'b');
    CHECK(canonical_of("tcp:" + longest + ":65535") == "tcp:" + longest + ":65535");
    CHECK_FALSE(parse_address("tcp:" + longest + "b:1"));
    CHECK_FALSE(parse_address("tcp:" + label + "a:1"));
    for (const auto text :
         {"tcp:a..b:1", "tcp:.a:1", "tcp:a.:1", "tcp:-a:1", "tcp:a-:1", "tcp:a_b:1", "tcp:a b:1", "tcp:127.1:1",
          "tcp:1:1", "tcp:0x7f.1:1", "tcp:0x7f000001:1", "tcp:a.0X7f:1", "tcp:1.2.3:1", "tcp:\xc3\xa9:1", "tcp:a/8:1",
          "tcp:a", "tcp:[a]:1", "unix:a:1", "tcp:a\n:1"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_address(text));
    }
    CHECK(is_host_name("1.example"));
    CHECK(is_host_name("0x7f.example"));
}

TEST_CASE("a host is covered in any case of its letters, by its own name alone") {
    CHECK(covered("tcp:db.example:5432", "tcp:DB.EXAMPLE:5432"));
    CHECK(covered("tcp:DB.example:1-5432", "tcp:db.example:5432"));
    CHECK_FALSE(covered("tcp:db.example:5432", "tcp:db.example:5433"));
    CHECK_FALSE(covered("tcp:db.example:5432", "tcp:a.db.example:5432"));
    CHECK_FALSE(covered("tcp:*:5432", "tcp:db.example:5432"));
    CHECK_FALSE(covered("tcp:db.example:5432", "udp:db.example:5432"));
    CHECK(canonical_pattern("tcp:DB.example:1-2") == "tcp:db.example:1-2");
    CHECK(parse_address_pattern("tcp:db:1").value().single());
    CHECK_FALSE(parse_address_pattern("tcp:db:1-2").value().single());
}

TEST_CASE("an address that a name may not lead to is told from one of the whole internet") {
    const auto is_private_ip = [](std::string_view ip) {
        const bool v6 = ip.find(':') != std::string_view::npos;
        const auto address = parse_address("tcp:" + (v6 ? "[" + std::string(ip) + "]" : std::string(ip)) + ":1");
        REQUIRE(address);
        return is_private(address->family, address->ip);
    };
    for (const auto* ip : {"127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "169.254.169.254",
                           "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.1.1",
                           "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1",
                           "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "fc00::1", "fdff::1", "fe80::1", "fec0::1",
                           "ff02::1", "2001::1", "2001:0:1234::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::",
                           "2002:c0a8:101::1", "3fff::1", "4000::1", "2a00:1450::5efe:10.0.0.1", "2a00:1450::200:5efe:127.0.0.1"}) {
        CAPTURE(ip);
        CHECK(is_private_ip(ip));
    }
    for (const auto* ip : {"1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1",
                           "223.255.255.255", "2606:4700::1111", "2a00:1450:4001:80b::200e", "2002:101:101::1", "64:ff9b::1.1.1.1",
                           "2001:4860:4860::8888", "2a00:1450::5efe:1.1.1.1"}) {
        CAPTURE(ip);
        CHECK_FALSE(is_private_ip(ip));
    }
}

TEST_CASE("a pattern covers another that lies wholly in it") {
    const auto contains = [](std::string_view outer, std::string_view inner) {
        return covers(parse_address_pattern(outer).value(), parse_address_pattern(inner).value());
    };
    CHECK(contains("tcp:10.0.0.0/8:1-80", "tcp:10.1.0.0/16:2-80"));
    CHECK(contains("tcp:*:80", "tcp:*:80"));
    CHECK(contains("vsock:*:1-9", "vsock:2:9"));
    CHECK_FALSE(contains("tcp:10.1.0.0/16:80", "tcp:10.0.0.0/8:80"));
    CHECK_FALSE(contains("tcp:10.0.0.0/8:1-80", "tcp:10.0.0.1:80-81"));
    CHECK_FALSE(contains("tcp:10.0.0.0/8:2-80", "tcp:10.0.0.1:1-80"));
    CHECK_FALSE(contains("tcp:*:80", "tcp:[::1]:80"));
    CHECK_FALSE(contains("vsock:2:1-9", "vsock:*:9"));
    CHECK_FALSE(contains("tcp:db:80", "tcp:10.0.0.1:80"));
    CHECK_FALSE(contains("unix:/a", "unix:/b"));
}
