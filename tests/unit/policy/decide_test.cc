#include "policy/decide.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "policy/path.h"

using namespace warder;
using namespace warder::policy;
using namespace std::string_view_literals;

namespace {

Grant file(std::string name, Operations rights, std::string path, Kind kind = Kind::file) {
    Grant grant;
    grant.name = std::move(name);
    grant.kind = kind;
    grant.rights = rights;
    grant.path = std::move(path);
    return grant;
}

Grant tree(std::string name, Operations rights, std::string path, std::vector<std::string> names = {}) {
    Grant grant = file(std::move(name), rights, std::move(path), Kind::tree);
    grant.names = std::move(names);
    return grant;
}

Grant socket(std::string name, Operation right, std::string_view pattern) {
    Grant grant;
    grant.name = std::move(name);
    grant.kind = right == Operation::listen ? Kind::listener : Kind::peer;
    grant.rights = {right};
    grant.address = parse_address_pattern(pattern).value();
    return grant;
}

constexpr Operations reading{Operation::read};
constexpr Operations writing{Operation::write};
constexpr Operations creating{Operation::create, Operation::write};
constexpr Operations keeping{Operation::read, Operation::create, Operation::write, Operation::rename,
                             Operation::unlink};

const GrantSet& web() {
    static const GrantSet grants("web", [] {
        std::vector<Grant> list;
        list.push_back(tree("site", reading, "/srv/www"));                                // 0
        list.push_back(file("log", {Operation::append}, "/var/log/site.log"));            // 1
        list.push_back(tree("data", creating, "/var/lib/site"));                          // 2
        list.push_back(tree("pages", writing, "/srv/www/pages", {"*.html", "?.css"}));    // 3
        list.push_back(tree("logs", keeping, "/var/log/kept", {"*.log", "*.log.*"}));     // 4
        list.push_back(file("key", {Operation::secret}, "/etc/site.key", Kind::secret));  // 5
        list.push_back(socket("http", Operation::listen, "tcp:127.0.0.1:8080"));          // 6
        list.push_back(socket("db", Operation::connect, "unix:/run/db.sock"));            // 7
        list.push_back(socket("lan", Operation::connect, "tcp:10.0.0.0/8:1-1023"));       // 8
        list.push_back(socket("near", Operation::connect, "tcp:10.1.0.0/16:80"));         // 9
        list.push_back(tree("settings", reading, "/etc/site", {"*.conf"}));               // 10
        return list;
    }());
    return grants;
}

Decision ask(Operation operation, std::string_view target, std::string_view grant = {}, std::string_view second = {}) {
    return decide(web(), {operation, 0, 0, grant, target, second});
}

bool allowed(const Decision& decision, std::uint32_t grant, std::string_view remainder = {}) {
    return decision.verdict == Verdict::allow && decision.reason == Reason::ok && number(decision.grant) == grant &&
           decision.remainder == remainder;
}

bool denied(const Decision& decision, Reason reason, GrantId grant = GrantId::none) {
    return decision.verdict == Verdict::deny && decision.reason == reason && decision.grant == grant;
}

}  // namespace

TEST_CASE("a worker without grants is denied everything") {
    const GrantSet none("bare", {});
    for (const auto& [operation, name] : operation_names) {
        const bool sockets = operation == Operation::listen || operation == Operation::connect;
        const std::string_view second = operation == Operation::rename ? "/b" : "";
        const Request request{operation, 0, 0, {}, sockets ? "unix:/a" : "/a", second};
        CAPTURE(name);
        CHECK(denied(decide(none, request), Reason::not_granted));
    }
}

TEST_CASE("T21: an operation that is not known is refused before anything is looked at") {
    for (const unsigned operation : {0U, 10U, 11U, 255U, 256U, 257U, 0x8001U, 0xfffeU, 0xffffU}) {
        const Request request{static_cast<Operation>(operation), 0, 0, "site", "a", {}};
        CHECK(denied(decide(web(), request), Reason::unknown_operation));
    }
}

TEST_CASE("T22: a flag that is unknown, or that the operation does not take, is refused") {
    const auto flags = [](Operation operation, unsigned bits, std::string_view grant, std::string_view target) {
        return decide(web(), {operation, static_cast<std::uint16_t>(bits), 0, grant, target, {}}).reason;
    };
    for (unsigned bit = 4; bit < 16; ++bit) {
        CHECK(flags(Operation::create, 1U << bit, "data", "a") == Reason::bad_flags);
        CHECK(flags(Operation::read, 1U << bit, "site", "a") == Reason::bad_flags);
    }
    CHECK(flags(Operation::read, 0x1, "site", "a") == Reason::bad_flags);
    CHECK(flags(Operation::read, 0x2, "site", "a") == Reason::bad_flags);
    CHECK(flags(Operation::read, 0x4, "site", "a") == Reason::bad_flags);
    CHECK(flags(Operation::read, 0x8, "site", "a") == Reason::ok);
    CHECK(flags(Operation::append, 0x2, "log", "") == Reason::bad_flags);
    CHECK(flags(Operation::write, 0x3, "data", "a") == Reason::ok);
    CHECK(flags(Operation::write, 0x4, "data", "a") == Reason::bad_flags);
    CHECK(flags(Operation::create, 0xf, "data", "a") == Reason::ok);
    CHECK(flags(Operation::connect, 0x8, "db", "") == Reason::ok);
    CHECK(flags(Operation::connect, 0x1, "db", "") == Reason::bad_flags);
}

TEST_CASE("a mode is for creating, and of permission bits alone") {
    const auto mode = [](Operation operation, std::uint32_t bits) {
        return decide(web(), {operation, 0, bits, "data", "a", {}}).reason;
    };
    CHECK(mode(Operation::create, 0777) == Reason::ok);
    for (const std::uint32_t bits : {01000U, 02000U, 04000U, 0100644U, 0x80000000U, 0xffffffffU}) {
        CHECK(mode(Operation::create, bits) == Reason::bad_flags);
    }
    CHECK(mode(Operation::write, 0600) == Reason::bad_flags);
}

TEST_CASE("renaming takes two paths, and everything else one") {
    CHECK(denied(ask(Operation::rename, "a.log", "logs"), Reason::bad_path));
    CHECK(denied(ask(Operation::read, "a", "site", "b"), Reason::bad_path));
    CHECK(denied(ask(Operation::listen, "", "http", "b"), Reason::bad_path));
}

TEST_CASE("a grant that is not there is said to be not there") {
    CHECK(denied(ask(Operation::read, "a", "sight"), Reason::no_such_grant));
    CHECK(denied(ask(Operation::read, "/srv/www/a", "nothing"), Reason::no_such_grant));
}

TEST_CASE("a named grant does not give a right that it lacks") {
    CHECK(denied(ask(Operation::write, "a", "site"), Reason::wrong_operation, GrantId{0}));
    CHECK(denied(ask(Operation::read, "a", "data"), Reason::wrong_operation, GrantId{2}));
    CHECK(denied(ask(Operation::write, "", "log"), Reason::wrong_operation, GrantId{1}));
    CHECK(denied(ask(Operation::read, "", "key"), Reason::wrong_operation, GrantId{5}));
    CHECK(denied(ask(Operation::connect, "", "http"), Reason::wrong_operation, GrantId{6}));
    CHECK(denied(ask(Operation::unlink, "a", "site"), Reason::wrong_operation, GrantId{0}));
}

TEST_CASE("a grant to create permits writing what is there") {
    CHECK(allowed(ask(Operation::write, "a", "data"), 2, "a"));
    CHECK(allowed(ask(Operation::create, "a", "data"), 2, "a"));
}

TEST_CASE("a grant on a file is asked for by name alone or with its own path") {
    CHECK(allowed(ask(Operation::append, "", "log"), 1));
    CHECK(allowed(ask(Operation::append, "/var/log/site.log", "log"), 1));
    CHECK(denied(ask(Operation::append, "/var/log/other.log", "log"), Reason::not_granted, GrantId{1}));
    CHECK(denied(ask(Operation::append, "/var/log/site.log/a", "log"), Reason::not_granted, GrantId{1}));
    CHECK(denied(ask(Operation::append, "site.log", "log"), Reason::bad_path, GrantId{1}));
    CHECK(denied(ask(Operation::append, "/var/log/../log/site.log", "log"), Reason::bad_path, GrantId{1}));
}

TEST_CASE("below a tree a path may be given from the tree or from the root") {
    CHECK(allowed(ask(Operation::read, "a/b", "site"), 0, "a/b"));
    CHECK(allowed(ask(Operation::read, "/srv/www/a/b", "site"), 0, "a/b"));
    CHECK(denied(ask(Operation::read, "/srv/wwwx/a", "site"), Reason::not_granted, GrantId{0}));
    CHECK(denied(ask(Operation::read, "/srv/www", "site"), Reason::not_granted, GrantId{0}));
    CHECK(denied(ask(Operation::read, "", "site"), Reason::bad_path, GrantId{0}));
}

TEST_CASE("T22: no unclean path gets below a tree") {
    const std::string too_long(max_path + 1, 'a');
    for (const auto target :
         {".."sv, "."sv, "../a"sv, "a/../../b"sv, "a//b"sv, "a/./b"sv, "a/"sv, "/"sv, "//srv/www/a"sv, "/srv/www/"sv,
          "/srv/www/../a"sv, "/srv//www/a"sv, "a\0b"sv, "\0"sv, std::string_view(too_long)}) {
        CAPTURE(target);
        CHECK(denied(ask(Operation::read, target, "site"), Reason::bad_path, GrantId{0}));
    }
    CHECK(allowed(ask(Operation::read, "\xff\xfe", "site"), 0, "\xff\xfe"));
}

TEST_CASE("patterns apply to the last name of a path") {
    CHECK(allowed(ask(Operation::write, "a.html", "pages"), 3, "a.html"));
    CHECK(allowed(ask(Operation::write, "deep/down/a.css", "pages"), 3, "deep/down/a.css"));
    CHECK(denied(ask(Operation::write, "ab.css", "pages"), Reason::name_not_matched, GrantId{3}));
    CHECK(denied(ask(Operation::write, "a.html/b", "pages"), Reason::name_not_matched, GrantId{3}));
    CHECK(denied(ask(Operation::write, ".html", "pages"), Reason::name_not_matched, GrantId{3}));
}

TEST_CASE("both names of a rename lie below one grant and match its patterns") {
    const Decision decision = ask(Operation::rename, "a.log", "logs", "old/a.log.1");
    CHECK(allowed(decision, 4, "a.log"));
    CHECK(decision.second == "old/a.log.1");
    CHECK(ask(Operation::rename, "/var/log/kept/a.log", "logs", "/var/log/kept/b.log").second == "b.log");
    CHECK(denied(ask(Operation::rename, "a.log", "logs", "a.txt"), Reason::name_not_matched, GrantId{4}));
    CHECK(denied(ask(Operation::rename, "a.txt", "logs", "a.log"), Reason::name_not_matched, GrantId{4}));
    CHECK(denied(ask(Operation::rename, "a.log", "logs", "/var/log/b.log"), Reason::not_granted, GrantId{4}));
    CHECK(denied(ask(Operation::rename, "a.log", "logs", "../b.log"), Reason::bad_path, GrantId{4}));
}

TEST_CASE("a grant on one file can be removed but not renamed, for there is no second name in it") {
    const GrantSet grants("w", {file("f", {Operation::unlink, Operation::rename}, "/tmp/f")});
    CHECK(decide(grants, {Operation::unlink, 0, 0, "f", "", {}}).verdict == Verdict::allow);
    CHECK(decide(grants, {Operation::rename, 0, 0, "f", "/tmp/f", "/tmp/f"}).reason == Reason::wrong_operation);
}

TEST_CASE("a secret is asked for by name or by its path, and only as a secret") {
    CHECK(allowed(ask(Operation::secret, "", "key"), 5));
    CHECK(allowed(ask(Operation::secret, "/etc/site.key", "key"), 5));
    CHECK(allowed(ask(Operation::secret, "/etc/site.key"), 5));
    CHECK(denied(ask(Operation::secret, "/etc/other.key", "key"), Reason::not_granted, GrantId{5}));
    CHECK(denied(ask(Operation::read, "/etc/site.key"), Reason::wrong_operation, GrantId{5}));
    CHECK(denied(ask(Operation::secret, "/srv/www/a"), Reason::wrong_operation, GrantId{0}));
}

TEST_CASE("a listener is asked for by name or by its own address") {
    const Decision decision = ask(Operation::listen, "", "http");
    CHECK(allowed(decision, 6));
    CHECK(format(decision.address).view() == "tcp:127.0.0.1:8080");
    CHECK(allowed(ask(Operation::listen, "tcp:127.0.0.1:8080", "http"), 6));
    CHECK(allowed(ask(Operation::listen, "tcp:127.0.0.1:8080"), 6));
    CHECK(denied(ask(Operation::listen, "tcp:127.0.0.1:8081", "http"), Reason::not_granted, GrantId{6}));
    CHECK(denied(ask(Operation::listen, "tcp:*:8080", "http"), Reason::not_granted, GrantId{6}));
    CHECK(denied(ask(Operation::listen, "8080", "http"), Reason::bad_address, GrantId{6}));
}

TEST_CASE("of a range one address must be named") {
    CHECK(denied(ask(Operation::connect, "", "lan"), Reason::bad_address, GrantId{8}));
    const Decision decision = ask(Operation::connect, "tcp:10.2.3.4:443", "lan");
    CHECK(allowed(decision, 8));
    CHECK(format(decision.address).view() == "tcp:10.2.3.4:443");
    CHECK(denied(ask(Operation::connect, "tcp:11.2.3.4:443", "lan"), Reason::not_granted, GrantId{8}));
}

TEST_CASE("an address alone finds the grant on exactly it, then the narrowest network") {
    CHECK(allowed(ask(Operation::connect, "unix:/run/db.sock"), 7));
    CHECK(allowed(ask(Operation::connect, "tcp:10.1.2.3:80"), 9));
    CHECK(allowed(ask(Operation::connect, "tcp:10.1.2.3:443"), 8));
    CHECK(allowed(ask(Operation::connect, "tcp:10.9.2.3:80"), 8));
    CHECK(denied(ask(Operation::connect, "tcp:10.1.2.3:1024"), Reason::not_granted));
    CHECK(denied(ask(Operation::connect, "tcp:127.0.0.1:8080"), Reason::wrong_operation, GrantId{6}));
    CHECK(denied(ask(Operation::listen, "unix:/run/db.sock"), Reason::wrong_operation, GrantId{7}));
    CHECK(denied(ask(Operation::connect, "/run/db.sock"), Reason::bad_address));
    CHECK(denied(ask(Operation::connect, ""), Reason::bad_address));
}

TEST_CASE("a path alone finds the nearest grant that permits it") {
    CHECK(allowed(ask(Operation::read, "/srv/www/pages/a.html"), 0, "pages/a.html"));
    CHECK(allowed(ask(Operation::write, "/srv/www/pages/a.html"), 3, "a.html"));
    CHECK(denied(ask(Operation::write, "/srv/www/pages/a.php"), Reason::name_not_matched, GrantId{3}));
    CHECK(denied(ask(Operation::write, "/srv/www/other/a.html"), Reason::wrong_operation, GrantId{0}));
    CHECK(denied(ask(Operation::read, "/srv/wwwx"), Reason::not_granted));
    CHECK(denied(ask(Operation::read, "/srv/www"), Reason::not_granted));
    CHECK(denied(ask(Operation::read, "/srv"), Reason::not_granted));
    CHECK(denied(ask(Operation::read, "/etc/shadow"), Reason::not_granted));
    CHECK(allowed(ask(Operation::read, "/etc/site/a.conf"), 10, "a.conf"));
}

TEST_CASE("two paths alone must lie below one tree") {
    const Decision decision = ask(Operation::rename, "/var/log/kept/a.log", {}, "/var/log/kept/a.log.1");
    CHECK(allowed(decision, 4, "a.log"));
    CHECK(decision.second == "a.log.1");
    CHECK(denied(ask(Operation::rename, "/var/log/kept/a.log", {}, "/srv/www/a.log"), Reason::not_granted));
    CHECK(denied(ask(Operation::rename, "/var/log/kept/a.log", {}, "b.log"), Reason::bad_path));
}

TEST_CASE("a tree around both paths of a rename is found although a nearer one holds only the first") {
    const GrantSet grants("w", {tree("inner", keeping, "/a/b"), tree("outer", keeping, "/a")});
    const Decision decision = decide(grants, {Operation::rename, 0, 0, {}, "/a/b/one", "/a/two"});
    CHECK(allowed(decision, 1, "b/one"));
    CHECK(decision.second == "two");
}

TEST_CASE("T22: without a grant's name only a clean absolute path is looked up") {
    const std::string too_long = "/srv/www/" + std::string(max_path, 'a');
    for (const auto target : {""sv, "a"sv, "srv/www/a"sv, "/"sv, "/srv/www/"sv, "//srv/www/a"sv, "/srv/www/../a"sv,
                              "/srv/www/./a"sv, "/srv/www/a\0"sv, std::string_view(too_long)}) {
        CAPTURE(target);
        CHECK(denied(ask(Operation::read, target), Reason::bad_path));
    }
    const std::string longest = "/srv/www/" + std::string(max_path - 9, 'a');
    CHECK(allowed(ask(Operation::read, longest), 0, std::string_view(longest).substr(9)));
}

TEST_CASE("a path of two thousand components is decided like a short one") {
    std::string deep = "/srv/www";
    while (deep.size() + 2 <= max_path) deep += "/a";
    CHECK(allowed(ask(Operation::read, deep), 0, std::string_view(deep).substr(9)));
    CHECK(denied(ask(Operation::read, deep.substr(4)), Reason::not_granted));
}

TEST_CASE("a tree at the root covers everything but the root") {
    const GrantSet grants("w", {tree("all", reading, "/")});
    CHECK(allowed(decide(grants, {Operation::read, 0, 0, {}, "/a/b", {}}), 0, "a/b"));
    CHECK(allowed(decide(grants, {Operation::read, 0, 0, {}, "/a", {}}), 0, "a"));
    CHECK(decide(grants, {Operation::read, 0, 0, {}, "/", {}}).reason == Reason::bad_path);
}

TEST_CASE("a grant on the file itself is nearer than one on its directory") {
    const GrantSet grants("w", {tree("dir", {Operation::read, Operation::write}, "/d"), file("f", reading, "/d/f")});
    CHECK(allowed(decide(grants, {Operation::read, 0, 0, {}, "/d/f", {}}), 1));
    CHECK(allowed(decide(grants, {Operation::write, 0, 0, {}, "/d/f", {}}), 0, "f"));
    CHECK(decide(grants, {Operation::append, 0, 0, {}, "/d/f", {}}).grant == GrantId{1});
}

TEST_CASE("a grant whose rights do not go with its kind gives nothing") {
    Grant muddled = tree("m", {Operation::listen, Operation::secret, Operation::connect}, "/d");
    const GrantSet grants("w", {muddled});
    CHECK(decide(grants, {Operation::listen, 0, 0, "m", "unix:/d/a", {}}).reason == Reason::wrong_operation);
    CHECK(decide(grants, {Operation::secret, 0, 0, "m", "a", {}}).reason == Reason::wrong_operation);
    CHECK(decide(grants, {Operation::connect, 0, 0, "m", "", {}}).reason == Reason::wrong_operation);
}

TEST_CASE("what is allowed points into the request, so that nothing is copied") {
    const std::string target = "/srv/www/a/b";
    const Decision decision = ask(Operation::read, target);
    CHECK(decision.remainder.data() == target.data() + 9);
}

TEST_CASE("T24: the decision on a path is the same whether the path exists or not") {
    const GrantSet grants("w", {tree("t", reading, "/srv/www")});
    const auto reason = [&](std::string_view path) {
        return decide(grants, {Operation::read, 0, 0, {}, path, {}}).reason;
    };
    CHECK(reason("/etc/passwd") == reason("/etc/no-such-file"));
    CHECK(reason("/root/.ssh/id_ed25519") == reason("/nowhere/.ssh/id_ed25519"));
}
