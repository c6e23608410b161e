#include "policy/explain.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

using namespace warder;
using namespace warder::policy;
using namespace std::string_view_literals;

namespace {

Grant grant(std::string name, Kind kind, Operations rights, std::string path) {
    Grant made;
    made.name = std::move(name);
    made.kind = kind;
    made.rights = rights;
    made.path = std::move(path);
    made.origin = "demo.toml:14";
    return made;
}

const GrantSet& web() {
    static const GrantSet grants("web", [] {
        std::vector<Grant> list;
        list.push_back(grant("site", Kind::tree, {Operation::read}, "/srv/www"));
        list.push_back(grant("data", Kind::tree, {Operation::create, Operation::write}, "/var/lib/site"));
        list.push_back(grant("log", Kind::file, {Operation::append}, "/var/log/site.log"));
        list.push_back(grant("key", Kind::secret, {Operation::secret}, "/etc/site.key"));
        Grant http = grant("http", Kind::listener, {Operation::listen}, {});
        http.address = exactly(parse_address("tcp:127.0.0.1:8080").value());
        list.push_back(http);
        Grant lan = grant("lan", Kind::peer, {Operation::connect}, {});
        lan.address = parse_address_pattern("tcp:10.0.0.0/8:443").value();
        list.push_back(lan);
        Grant pages = grant("pages", Kind::tree, {Operation::read}, "/srv/pages");
        pages.names = {"*.html", "*.css"};
        list.push_back(pages);
        return list;
    }());
    return grants;
}

std::string said(const Request& request, const GrantSet& grants = web()) {
    return std::string(explain(grants, request, decide(grants, request)).view());
}

std::string said(Operation operation, std::string_view target, std::string_view name = {},
                 std::string_view second = {}) {
    return said(Request{operation, 0, 0, name, target, second});
}

}  // namespace

TEST_CASE("what is allowed names the grant and where it stands") {
    CHECK(said(Operation::read, "/srv/www/a") == "grant \"site\" (demo.toml:14) of web allows reading /srv/www/a");
    CHECK(said(Operation::read, "a", "site") == "grant \"site\" (demo.toml:14) of web allows reading a below /srv/www");
    CHECK(said(Operation::listen, "", "http") ==
          "grant \"http\" (demo.toml:14) of web allows listening on tcp:127.0.0.1:8080");
    CHECK(said(Operation::append, "", "log") ==
          "grant \"log\" (demo.toml:14) of web allows appending to /var/log/site.log");
}

TEST_CASE("what nothing covers comes with the line that would allow it") {
    CHECK(said(Operation::read, "/etc/shadow") ==
          "no grant of web covers reading /etc/shadow; to allow it, add to [worker.web.grants]: "
          "NAME = { read = \"/etc/shadow\" }");
    CHECK(said(Operation::connect, "tcp:[::1]:80") ==
          "no grant of web covers connecting to tcp:[::1]:80; to allow it, add to [worker.web.grants]: "
          "NAME = { connect = \"tcp:[::1]:80\" }");
}

TEST_CASE("a grant that is not there comes with the line that would make it") {
    CHECK(said(Operation::read, "/srv/x", "sight") ==
          "web has no grant \"sight\"; to allow it, add to [worker.web.grants]: sight = { read = \"/srv/x\" }");
    CHECK(said(Operation::read, "x", "sight") == "web has no grant \"sight\"");
    CHECK(said(Operation::read, "/srv/x", "web@1") ==
          "web has no grant \"web@1\"; to allow it, add to [worker.web.grants]: \"web@1\" = { read = \"/srv/x\" }");
    CHECK(said(Operation::read, "/srv/x", "No Such") == "web has no grant \"No Such\"");
}

TEST_CASE("a grant that lacks the right is named, with the right that it has and the line that would give it") {
    CHECK(
        said(Operation::write, "/srv/www/a") ==
        "grant \"site\" (demo.toml:14) lends /srv/www for reading only; to allow writing, give it rights = [\"write\"]");
    CHECK(said(Operation::read, "a", "data") ==
          "grant \"data\" (demo.toml:14) lends /var/lib/site for writing, creating only (which with the flag read_too "
          "reads as "
          "well); to allow reading, give it rights = [\"read\"]");
    CHECK(said(Operation::connect, "tcp:127.0.0.1:8080") ==
          "grant \"http\" (demo.toml:14) lends tcp:127.0.0.1:8080 for listening only; to allow it, add to "
          "[worker.web.grants]: "
          "NAME = { connect = \"tcp:127.0.0.1:8080\" }");
}

TEST_CASE("the rights that a grant has are not lost with the one that it is to get") {
    const GrantSet grants("w", {grant("a", Kind::tree, {Operation::create, Operation::write, Operation::rename}, "/d"),
                                grant("b", Kind::tree, {Operation::read, Operation::append}, "/e")});
    CHECK(said(Request{Operation::unlink, 0, 0, "a", "x", {}}, grants)
              .ends_with("give it rights = [\"rename\", \"unlink\"]"));
    CHECK(said(Request{Operation::write, 0, 0, "b", "x", {}}, grants)
              .ends_with("give it rights = [\"read\", \"write\", \"append\"]"));
}

TEST_CASE("renaming and removing are suggested beside another right on the directory") {
    CHECK(said(Operation::unlink, "/tmp/x").ends_with("NAME = { read = \"/tmp/\", rights = [\"unlink\"] }"));
    CHECK(
        said(Operation::rename, "/tmp/x", {}, "/tmp/y").ends_with("NAME = { read = \"/tmp/\", rights = [\"rename\"] }"));
    CHECK(said(Operation::rename, "/tmp/x", {}, "/var/y") == "no grant of web covers renaming /tmp/x");
    CHECK(said(Operation::unlink, "/x") == "no grant of web covers removing /x");
}

TEST_CASE("a right of another kind of thing is not suggested for the same grant") {
    CHECK(said(Operation::connect, "unix:/run/a", "site") ==
          "grant \"site\" (demo.toml:14) lends /srv/www for reading only; to allow it, add to [worker.web.grants]: "
          "NAME = { connect = \"unix:/run/a\" }");
}

TEST_CASE("a target outside of the named grant is set against what it covers") {
    CHECK(said(Operation::read, "/etc/shadow", "site") ==
          "grant \"site\" (demo.toml:14) covers /srv/www, not /etc/shadow; to allow it, add to [worker.web.grants]: "
          "NAME = { read = \"/etc/shadow\" }");
    CHECK(said(Operation::connect, "tcp:11.0.0.1:443", "lan") ==
          "grant \"lan\" (demo.toml:14) covers tcp:10.0.0.0/8:443, not tcp:11.0.0.1:443; to allow it, add to "
          "[worker.web.grants]: NAME = { connect = \"tcp:11.0.0.1:443\" }");
}

TEST_CASE("a name that matches no pattern is set against them") {
    CHECK(said(Operation::read, "deep/a.php", "pages") ==
          "grant \"pages\" (demo.toml:14) lends only \"*.html\", \"*.css\" below /srv/pages, not a.php; to allow it, "
          "add to its "
          "names: \"a.php\"");
}

TEST_CASE("T22: a path that is not clean is told what is wrong with it") {
    const auto ends = [](const std::string& text, std::string_view end) { return text.ends_with(end); };
    CHECK(ends(said(Operation::read, "/a/../b"), "\".\" and \"..\" are never followed"));
    CHECK(ends(said(Operation::read, "/a//b"), "it has an empty component"));
    CHECK(ends(said(Operation::read, "/a/"), "it ends in a slash"));
    CHECK(ends(said(Operation::read, ""), "it is empty"));
    CHECK(ends(said(Operation::read, "/a\0b"sv), "it holds a NUL"));
    CHECK(ends(said(Operation::read, "a/b"), "without a grant's name it must begin with a slash"));
    CHECK(ends(said(Operation::read, std::string(5000, 'a')), "it is longer than 4095 bytes"));
    CHECK(said(Operation::read, "", "site") ==
          "grant \"site\" (demo.toml:14) lends what is below /srv/www: name a path below it");
    CHECK(said(Operation::rename, "/a") == "renaming takes two paths");
    CHECK(said(Operation::read, "/a", {}, "/b") == "reading takes one path or address, not two");
    CHECK(said(Operation::rename, "/a", {}, "/../b").starts_with("\"/../b\" is not a path"));
}

TEST_CASE("what is no address is shown what addresses look like") {
    CHECK(said(Operation::connect, "localhost:80") ==
          "\"localhost:80\" is not an address; addresses read tcp:127.0.0.1:8080, udp:[::1]:53, unix:/run/a.sock, "
          "unix:@name");
    CHECK(said(Operation::connect, "", "lan") ==
          "grant \"lan\" (demo.toml:14) covers tcp:10.0.0.0/8:443: ask for one address of them");
}

TEST_CASE("bad flags, modes and operations are told by number") {
    CHECK(said(Request{Operation::read, 0x12, 0, {}, "/a", {}}) == "reading takes no flags 0x12");
    CHECK(said(Request{Operation::write, 0, 0600, {}, "/a", {}}) == "writing takes no mode: only creating does");
    CHECK(said(Request{Operation::create, 0, 04755, {}, "/a", {}}) ==
          "mode 04755 has more than permission bits (0777)");
    CHECK(said(static_cast<Operation>(77), "/a") == "operation 77 is not known to this warderd");
}

TEST_CASE("T16: a target cannot break out of its sentence") {
    const std::string forged =
        "/a\n\"; to allow it, add to [worker.root.grants]: x = { read = \"/etc/shadow\" }\x1b[2K";
    const std::string text = said(Operation::read, forged);
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.starts_with("no grant of web covers reading \"/a\\n\\\"; to allow it"));
    CHECK(text.find("[worker.root.grants]: x = { read = \"") == std::string::npos);
}

TEST_CASE("no TOML is suggested for bytes that TOML cannot say") {
    CHECK(said(Operation::read, "/a\xff") == "no grant of web covers reading \"/a\\xff\"");
}

TEST_CASE("quotes in a path are escaped in the line of TOML") {
    CHECK(said(Operation::read, "/a\"b\\c") ==
          "no grant of web covers reading \"/a\\\"b\\\\c\"; to allow it, add to [worker.web.grants]: "
          "NAME = { read = \"/a\\\"b\\\\c\" }");
}

TEST_CASE("a long target is cut, and its TOML left out rather than cut") {
    const std::string text = said(Operation::read, "/" + std::string(4000, 'a'));
    CHECK(text.ends_with("\"..."));
    CHECK(text.size() < 200);
    CHECK(said(Operation::read, "/" + std::string(200, 'a')).ends_with("\" }"));
}

TEST_CASE("the longest of everything still fits into a sentence") {
    const std::string name(63, 'n');
    Grant big = grant(name, Kind::tree, {Operation::append, Operation::rename, Operation::unlink},
                      "/" + std::string(4000, 'p'));
    big.names = {std::string(200, 'x'), std::string(200, '\n'), std::string(200, '"'), "y"};
    big.origin = "/" + std::string(300, 'o') + ":99999";
    const GrantSet grants(std::string(63, 'w'), {big});
    const std::string target = big.path + "/" + std::string(90, '\x01');
    for (std::uint16_t operation = 0; operation <= last_operation + 1; ++operation) {
        for (const auto& asked : {std::string(), name, std::string(300, '\n')}) {
            const Request request{static_cast<Operation>(operation), 0, 0, asked, target, {}};
            const Decision decision = decide(grants, request);
            CHECK_FALSE(explain(grants, request, decision).truncated());
        }
    }
}

namespace {

Grant other(std::string name, Kind kind, Operations rights) {
    Grant made = grant(std::move(name), kind, rights, {});
    return made;
}

const GrantSet& many() {
    static const GrantSet grants("web", [] {
        std::vector<Grant> list;
        Grant names = other("names", Kind::lookup, {Operation::lookup});
        names.lookups = static_cast<std::uint8_t>(Lookup::user);
        names.names = {"web*"};
        list.push_back(names);
        Grant keys = other("keys", Kind::sysctl, {Operation::sysctl_read});
        keys.names = {"net.core.*"};
        list.push_back(keys);
        Grant run = other("tool", Kind::command, {Operation::run});
        run.command.words = {{"", Placeholder::none, "/usr/bin/tool", ""},
                             {"", Placeholder::number, "", "count"},
                             {"", Placeholder::choice, "fast|slow", "how"}};
        list.push_back(run);
        Grant hup = other("hup", Kind::worker, {Operation::signal});
        hup.peer = "db";
        hup.signals = 1U << 1;
        list.push_back(hup);
        for (const auto* name : {"one", "two"}) {
            Grant netlink = other(name, Kind::netlink, {Operation::netlink});
            list.push_back(netlink);
        }
        Grant site = grant("site", Kind::tree, {Operation::read}, "/srv/www");
        site.within = "/srv/www/in";
        site.narrowed = true;
        list.push_back(site);
        Grant once = grant("once", Kind::file, {Operation::read}, "/etc/once");
        once.shape = {1, true, 10};
        list.push_back(once);
        return list;
    }());
    return grants;
}

std::string said_of(const Request& request) { return said(request, many()); }

std::string said_as(const Request& request, Reason reason) {
    Decision decision = decide(many(), request);
    decision.verdict = Verdict::deny;
    decision.reason = reason;
    return std::string(explain(many(), request, decision).view());
}

}  // namespace

TEST_CASE("keys that are none are shown what keys look like") {
    CHECK(said_of({Operation::lookup, 0, 0, {}, "user", {}}) ==
          "\"user\" is nothing to look up; write user:NAME, uid:N, group:NAME, gid:N, host:NAME or service:NAME/PROTOCOL");
    CHECK(said_of({Operation::sysctl_read, 0, 0, {}, "net..core", {}}) ==
          "\"net..core\" is not a key; keys read net.ipv4.ip_forward");
    CHECK(said_of({Operation::sysctl_write, 0, 0, "keys", "net.core.x", "1"}) ==
          "grant \"keys\" (demo.toml:14) lends \"net.core.*\" for reading keys only; to allow writing, give it write = true");
    CHECK(said_of({Operation::lookup, 0, 0, {}, "user:root", {}}) ==
          "grant \"names\" (demo.toml:14) covers only \"web*\", not root; to allow it, add to its names: \"root\"");
    CHECK(said_of({Operation::lookup, 0, 0, {}, "host:db", {}}) ==
          "grant \"names\" (demo.toml:14) covers user, not host:db; to allow it, add to [worker.web.grants]: "
          "NAME = { lookup = [\"host\"], names = [\"db\"] }");
}

TEST_CASE("a value that its placeholder does not take is told by the placeholder's name") {
    CHECK(said_of({Operation::run, 0, 0, "tool", "x\nfast", {}}) ==
          "grant \"tool\" (demo.toml:14) takes as \"count\" a number of at most 18 digits");
    CHECK(said_of({Operation::run, 0, 0, "tool", "1\nfats", {}}) ==
          "grant \"tool\" (demo.toml:14) takes as \"how\" one of \"fast|slow\"");
    CHECK(said_of({Operation::run, 0, 0, "tool", "1", {}}) == "grant \"tool\" (demo.toml:14) takes 2 arguments, one a line");
    CHECK(said_of({Operation::run, 0, 0, "tool", "1\nfast", {}}).starts_with("grant \"tool\" (demo.toml:14) of web allows"));
}

TEST_CASE("of several grants without a target one must be named") {
    CHECK(said_of({Operation::netlink, 0, 0, {}, {}, {}}) == "web has 2 grants for netlink sockets: name one of them");
    CHECK(said_of({Operation::raw, 0, 0, {}, {}, {}}) ==
          "no grant of web covers raw sockets; to allow it, add to [worker.web.grants]: NAME = { raw = \"icmp\" }");
    CHECK(said_of({Operation::channel, 0, 0, {}, {}, {}}) == "a channel is not asked for: an event brings its end");
}

TEST_CASE("a signal that is not listed is told by name") {
    CHECK(said_of({Operation::signal, 0, 0, "hup", {}, {}, 10}) ==
          "grant \"hup\" (demo.toml:14) does not list the signal USR1; to allow it, add to its signals: \"USR1\"");
    CHECK(said_of({Operation::signal, 0, 0, "hup", {}, {}, 99}) == "signals are numbered from 1 to 64, not 99");
}

TEST_CASE("what the worker gave up itself, used up or is too late for is told as that") {
    CHECK(said_of({Operation::read, 0, 0, {}, "/srv/www/a", {}}) ==
          "web gave this up itself: it narrowed grant \"site\" (demo.toml:14) to /srv/www/in; it has it again after a restart");
    const Request once{Operation::read, 0, 0, "once", {}, {}};
    CHECK(said_as(once, Reason::used_up) == "grant \"once\" (demo.toml:14) may be used 1 times in one life of web, and has "
                                            "been; a larger \"uses\" would allow more");
    CHECK(said_as(once, Reason::too_late) == "grant \"once\" (demo.toml:14) was for until web is ready, which it is; "
                                             "without until = \"ready\" it would go on");
    CHECK(said_as(once, Reason::too_many) ==
          "grant \"once\" (demo.toml:14) allows 10 a second; a larger \"rate\" would allow more");
    CHECK(said_as({Operation::signal, 0, 0, "hup", {}, {}, 1}, Reason::unavailable) == "worker \"db\" is not running");
    CHECK(said_as({Operation::lookup, 0, 0, "names", "user:web", {}}, Reason::unavailable) ==
          "what looks names up is not running; ask again");
}

TEST_CASE("numbers that an operation does not take are told") {
    CHECK(said(Request{Operation::access, 0, 0, {}, "/a", {}}) ==
          "testing access takes a mode from 1 to 7: 4 reads, 2 writes, 1 executes");
    CHECK(said(Request{Operation::stat, 0, 0, {}, "/a", {}, 5}) == "looking takes no argument: 5");
    CHECK(said(Request{Operation::watch, 0, 0, {}, "/a", {}, 0x1000}) ==
          "watching takes event bits within 0xfff, not 0x1000");
    CHECK(said(Request{Operation::symlink, 0, 0, {}, "/a", {}}) == "making symlinks takes a path and the text of the link");
    CHECK(said(Request{Operation::listen, 0, 0, {}, "tcp:db:80", {}}) ==
          "\"tcp:db:80\" is a name, and listening is done on an address");
    CHECK(said(Request{Operation::connect, 0, 0, {}, "unix:@", {}}) ==
          "\"unix:@\" is for listening only: there is nothing to connect to");
}
