#include "policy/subject.h"

#include <doctest/doctest.h>

using namespace warder::policy;

namespace {

Grant of(Kind kind) {
    Grant grant;
    grant.kind = kind;
    grant.path = "/srv/www";
    grant.address = parse_address_pattern("tcp:10.0.0.0/8:80").value();
    grant.peer = "db";
    grant.names = {"net.core.*", "kernel.hostname"};
    grant.most = 16;
    grant.protocol = 2054;
    return grant;
}

}  // namespace

TEST_CASE("what a grant is about is said in the words of its kind") {
    CHECK(subject_of(of(Kind::file)) == "/srv/www");
    CHECK(subject_of(of(Kind::tree)) == "/srv/www");
    CHECK(subject_of(of(Kind::peer)) == "tcp:10.0.0.0/8:80");
    CHECK(subject_of(of(Kind::raw)) == "protocol 2054 over ipv4");
    CHECK(subject_of(of(Kind::packet)) == "protocol 0x806");
    CHECK(subject_of(of(Kind::netlink)) == "protocol 2054");
    CHECK(subject_of(of(Kind::channel)) == "db");
    CHECK(subject_of(of(Kind::sysctl)) == "net.core.*, kernel.hostname");
    CHECK(subject_of(of(Kind::store)) == "16 descriptors");
}

TEST_CASE("what was narrowed, an interface and what may be looked up are part of it") {
    Grant tree = of(Kind::tree);
    tree.within = "/srv/www/in";
    CHECK(subject_of(tree) == "/srv/www/in");
    Grant packet = of(Kind::packet);
    packet.interface = "eth0";
    CHECK(subject_of(packet) == "protocol 0x806 on eth0");
    Grant lookup = of(Kind::lookup);
    lookup.lookups = 5;
    CHECK(subject_of(lookup) == "user, host");
}

TEST_CASE("a command is shown with its placeholders") {
    Grant grant = of(Kind::command);
    grant.command.words = {{"", Placeholder::none, "/bin/x", ""}, {"--n=", Placeholder::number, "", "n"}, {"", Placeholder::path, "/srv", "file"}};
    CHECK(subject_of(grant) == "/bin/x --n={n:number} {file:path:/srv}");
}
