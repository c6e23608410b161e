#include "policy/decide.h"

#include <doctest/doctest.h>

#include <array>
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
        Request request{operation, 0, 0, {}, "/a", {}};
        const bool sockets = operation == Operation::listen || operation == Operation::connect;
        const bool keys = operation == Operation::sysctl_read || operation == Operation::sysctl_write;
        if (sockets) request.target = "unix:/a";
        if (keys) request.target = "a.b";
        if (operation == Operation::lookup) request.target = "user:a";
        if (takes_two_paths(operation) || operation == Operation::symlink) request.second = "/b";
        if (operation == Operation::access) request.mode = 4;
        if (operation == Operation::signal) request.argument = 1;
        CAPTURE(name);
        const bool narrows = operation == Operation::narrow;
        CHECK(denied(decide(none, request), narrows ? Reason::no_such_grant : Reason::not_granted));
    }
}

TEST_CASE("T21: an operation that is not known is refused before anything is looked at") {
    for (const unsigned operation : {0U, 34U, 35U, 63U, 64U, 65U, 255U, 256U, 257U, 289U, 0x8001U, 0xfffeU, 0xffffU}) {
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

namespace {

constexpr Operations all_of_paths{
    Operation::read,   Operation::write, Operation::append,   Operation::create, Operation::rename, Operation::unlink,
    Operation::stat,   Operation::access, Operation::readlink, Operation::list,  Operation::mkdir,  Operation::rmdir,
    Operation::link,   Operation::symlink, Operation::chmod,   Operation::truncate, Operation::watch};

constexpr std::array path_operations{Operation::stat,  Operation::access, Operation::readlink, Operation::list,
                                     Operation::mkdir, Operation::rmdir,  Operation::link,     Operation::symlink,
                                     Operation::chmod, Operation::truncate, Operation::watch};

Request path_request(Operation operation, std::string_view target, std::string_view grant = {}) {
    Request request{operation, 0, 0, grant, target, {}};
    if (operation == Operation::access) request.mode = 4;
    if (takes_two_paths(operation) || operation == Operation::symlink) request.second = "/d/other";
    return request;
}

Grant of(Kind kind, std::string name, Operations rights) {
    Grant grant;
    grant.name = std::move(name);
    grant.kind = kind;
    grant.rights = rights;
    return grant;
}

Decision one(const Grant& grant, const Request& request) { return decide(GrantSet("w", {grant}), request); }

}  // namespace

TEST_CASE("each operation on paths is a right of its own") {
    for (const Operation operation : path_operations) {
        CAPTURE(name_of(operation));
        CHECK(allowed(one(tree("t", {operation}, "/d"), path_request(operation, "/d/a")), 0, "a"));
        CHECK(allowed(one(tree("t", {operation}, "/d"), path_request(operation, "a", "t")), 0, "a"));
        Operations others = all_of_paths;
        others.keep(~(std::uint64_t{1} << static_cast<unsigned>(operation)));
        const Decision without = one(tree("t", others, "/d"), path_request(operation, "/d/a"));
        CHECK(denied(without, Reason::wrong_operation, GrantId{0}));
    }
}

TEST_CASE("what needs a directory is not given by a grant on one file") {
    for (const Operation operation : {Operation::rename, Operation::link, Operation::symlink, Operation::list,
                                      Operation::mkdir, Operation::rmdir}) {
        CAPTURE(name_of(operation));
        const Decision decision = one(file("f", all_of_paths, "/d/a"), path_request(operation, "/d/a", "f"));
        CHECK(denied(decision, Reason::wrong_operation, GrantId{0}));
    }
    for (const Operation operation : {Operation::stat, Operation::access, Operation::chmod, Operation::truncate,
                                      Operation::watch, Operation::readlink}) {
        CHECK(allowed(one(file("f", all_of_paths, "/d/a"), path_request(operation, "", "f")), 0));
        CHECK(allowed(one(file("f", all_of_paths, "/d/a"), path_request(operation, "/d/a")), 0));
    }
}

TEST_CASE("the directory of a tree may be looked at, and not changed") {
    const Grant root = tree("t", all_of_paths, "/d", {"*.html"});
    for (const Operation operation : {Operation::list, Operation::stat, Operation::access, Operation::watch}) {
        CHECK(allowed(one(root, path_request(operation, "", "t")), 0));
        CHECK(allowed(one(root, path_request(operation, "/d", "t")), 0));
        CHECK(allowed(one(root, path_request(operation, "/d")), 0));
        const Grant everything = tree("all", all_of_paths, "/");
        CHECK(allowed(one(everything, path_request(operation, "/")), 0));
        CHECK(allowed(one(everything, path_request(operation, "", "all")), 0));
        CHECK(denied(one(root, path_request(operation, "/")), Reason::not_granted));
    }
    for (const Operation operation : {Operation::rmdir, Operation::chmod, Operation::unlink, Operation::mkdir,
                                      Operation::truncate, Operation::readlink}) {
        CAPTURE(name_of(operation));
        CHECK(denied(one(root, path_request(operation, "", "t")), Reason::bad_path, GrantId{0}));
        CHECK(denied(one(root, path_request(operation, "/d", "t")), Reason::not_granted, GrantId{0}));
        CHECK(denied(one(root, path_request(operation, "/d")), Reason::not_granted));
    }
}

TEST_CASE("the text of a symlink leads nowhere outside of the grant") {
    const Grant root = tree("t", {Operation::symlink}, "/d");
    const auto reason = [&](std::string_view text, std::string_view grant) {
        return one(root, {Operation::symlink, 0, 0, grant, "/d/a/l", text}).reason;
    };
    for (const std::string_view grant : {"t"sv, ""sv}) {
        CHECK(reason("b", grant) == Reason::ok);
        CHECK(reason("b/c", grant) == Reason::ok);
        CHECK(reason("/d/b", grant) == Reason::ok);
        CHECK(reason("/etc/shadow", grant) == Reason::not_granted);
        CHECK(reason("/dx", grant) == Reason::not_granted);
        CHECK(reason("/d", grant) == Reason::not_granted);
        for (const auto text : {"../b"sv, "b/../../c"sv, "."sv, "b//c"sv, "b/"sv, "/d/../etc"sv, "b\0c"sv, "/"sv, ""sv}) {
            CAPTURE(text);
            CHECK(reason(text, grant) == Reason::bad_path);
        }
    }
    CHECK(one(root, {Operation::symlink, 0, 0, "t", "l", "b"}).second == "b");
}

TEST_CASE("a link has both of its names below one grant, and each matches the patterns") {
    const Grant root = tree("t", {Operation::link}, "/d", {"*.log"});
    const Decision decision = one(root, {Operation::link, 0, 0, "t", "a.log", "/d/x/b.log"});
    CHECK(allowed(decision, 0, "a.log"));
    CHECK(decision.second == "x/b.log");
    CHECK(one(root, {Operation::link, 0, 0, "t", "a.log", "b.txt"}).reason == Reason::name_not_matched);
    CHECK(one(root, {Operation::link, 0, 0, "t", "a.log", "/etc/b.log"}).reason == Reason::not_granted);
}

TEST_CASE("T21: modes and arguments that an operation does not take are refused") {
    const Grant root = tree("t", all_of_paths, "/d");
    const auto reason = [&](Operation operation, std::uint32_t mode, std::uint64_t argument) {
        return one(root, {operation, 0, mode, "t", "a", {}, argument}).reason;
    };
    CHECK(reason(Operation::mkdir, 0777, 0) == Reason::ok);
    CHECK(reason(Operation::mkdir, 01777, 0) == Reason::bad_flags);
    CHECK(reason(Operation::chmod, 0, 0) == Reason::ok);
    CHECK(reason(Operation::chmod, 04755, 0) == Reason::bad_flags);
    CHECK(reason(Operation::access, 0, 0) == Reason::bad_flags);
    CHECK(reason(Operation::access, 7, 0) == Reason::ok);
    CHECK(reason(Operation::access, 8, 0) == Reason::bad_flags);
    CHECK(reason(Operation::stat, 1, 0) == Reason::bad_flags);
    CHECK(reason(Operation::stat, 0, 1) == Reason::bad_flags);
    CHECK(reason(Operation::truncate, 0, ~std::uint64_t{0}) == Reason::ok);
    CHECK(reason(Operation::watch, 0, 0xfff) == Reason::ok);
    CHECK(reason(Operation::watch, 0, 0x87000001) == Reason::ok);
    CHECK(reason(Operation::watch, 0, 0x1000) == Reason::bad_flags);
    CHECK(reason(Operation::watch, 0, 0x20000000) == Reason::bad_flags);   // IN_MASK_ADD
    CHECK(reason(Operation::watch, 0, 0x10000000) == Reason::bad_flags);   // IN_MASK_CREATE
    CHECK(reason(Operation::watch, 0, std::uint64_t{1} << 32) == Reason::bad_flags);
}

TEST_CASE("a device is opened by the grant's name or by its path, as a device only") {
    const Grant tun = file("tun", {Operation::device}, "/dev/net/tun", Kind::device);
    CHECK(allowed(one(tun, {Operation::device, 0, 0, "tun", {}, {}}), 0));
    CHECK(allowed(one(tun, {Operation::device, 0, 0, "tun", "/dev/net/tun", {}}), 0));
    CHECK(allowed(one(tun, {Operation::device, 0, 0, {}, "/dev/net/tun", {}}), 0));
    CHECK(denied(one(tun, {Operation::device, 0, 0, "tun", "/dev/kvm", {}}), Reason::not_granted, GrantId{0}));
    CHECK(denied(one(tun, {Operation::read, 0, 0, {}, "/dev/net/tun", {}}), Reason::wrong_operation, GrantId{0}));
    CHECK(denied(one(tun, {Operation::device, 0, 0, {}, {}, {}}), Reason::bad_path));
}

TEST_CASE("of what has no target the only grant is found without its name, and of two none") {
    constexpr std::array<std::pair<Kind, Operation>, 4> kinds{{{Kind::raw, Operation::raw},
                                                               {Kind::packet, Operation::packet},
                                                               {Kind::netlink, Operation::netlink},
                                                               {Kind::syslog, Operation::syslog}}};
    for (const auto& [kind, operation] : kinds) {
        CAPTURE(name_of(operation));
        const Grant first = of(kind, "a", {operation});
        CHECK(allowed(one(first, {operation, 0, 0, "a", {}, {}}), 0));
        CHECK(allowed(one(first, {operation, 0, 0, {}, {}, {}}), 0));
        CHECK(denied(one(first, {operation, 0, 0, "a", "x", {}}), Reason::bad_argument, GrantId{0}));
        const GrantSet two("w", {first, of(kind, "b", {operation})});
        CHECK(denied(decide(two, {operation, 0, 0, {}, {}, {}}), Reason::not_granted));
        CHECK(allowed(decide(two, {operation, 0, 0, "b", {}, {}}), 1));
    }
}

TEST_CASE("a channel is brought, never asked for") {
    const Grant channel = of(Kind::channel, "c", {Operation::channel});
    CHECK(denied(one(channel, {Operation::channel, 0, 0, "c", {}, {}}), Reason::wrong_operation, GrantId{0}));
    CHECK(denied(one(channel, {Operation::channel, 0, 0, {}, {}, {}}), Reason::not_granted));
}

TEST_CASE("by name one connects, and does not listen; the address is one of a few") {
    const Grant db = socket("db", Operation::connect, "tcp:db.example:5432");
    const auto reason = [&](std::string_view target, std::string_view grant, std::uint64_t argument) {
        return one(db, {Operation::connect, 0, 0, grant, target, {}, argument}).reason;
    };
    const GrantSet set("web", {db});   // an address points into its grant
    CHECK(decide(set, {Operation::connect, 0, 0, "db", {}, {}}).address.name == "db.example");
    CHECK(reason("tcp:DB.example:5432", "", 15) == Reason::ok);
    CHECK(reason("", "db", 16) == Reason::bad_flags);
    CHECK(reason("tcp:db.example:5433", "db", 0) == Reason::not_granted);
    CHECK(reason("tcp:10.0.0.1:5432", "db", 0) == Reason::not_granted);
    CHECK(one(socket("a", Operation::connect, "tcp:10.0.0.1:1"), {Operation::connect, 0, 0, "a", {}, {}, 1}).reason ==
          Reason::bad_flags);
    CHECK(one(db, {Operation::listen, 0, 0, {}, "tcp:db.example:5432", {}}).reason == Reason::bad_address);
}

TEST_CASE("several ports of one host are found by its name") {
    const GrantSet grants("w", {socket("a", Operation::connect, "tcp:a.example:1-9"),
                                socket("b", Operation::connect, "tcp:b.example:1-9")});
    CHECK(allowed(decide(grants, {Operation::connect, 0, 0, {}, "tcp:B.example:9", {}}), 1));
    CHECK(denied(decide(grants, {Operation::connect, 0, 0, {}, "tcp:b.example:10", {}}), Reason::not_granted));
}

TEST_CASE("a name that the kernel chooses is to listen on, never to connect to") {
    Grant grant = of(Kind::listener, "a", {Operation::listen});
    grant.address = exactly(parse_address("unix:@").value());
    CHECK(allowed(one(grant, {Operation::listen, 0, 0, "a", {}, {}}), 0));
    CHECK(allowed(one(grant, {Operation::listen, 0, 0, {}, "unix:@", {}}), 0));
    Grant peer = of(Kind::peer, "p", {Operation::connect});
    peer.address = grant.address;
    CHECK(one(peer, {Operation::connect, 0, 0, "p", {}, {}}).reason == Reason::bad_address);
    CHECK(one(peer, {Operation::connect, 0, 0, {}, "unix:@", {}}).reason == Reason::bad_address);
}

TEST_CASE("a lookup is of a kind that the grant names, and of a key that its patterns match") {
    Grant names = of(Kind::lookup, "names", {Operation::lookup});
    names.lookups = static_cast<std::uint8_t>(Lookup::user) | static_cast<std::uint8_t>(Lookup::host);
    names.names = {"web*", "*.lan", "33"};
    const auto reason = [&](std::string_view target) {
        const Reason by_target = one(names, {Operation::lookup, 0, 0, {}, target, {}}).reason;
        CHECK(one(names, {Operation::lookup, 0, 0, "names", target, {}}).reason == by_target);
        return by_target;
    };
    CHECK(reason("user:web") == Reason::ok);
    CHECK(reason("uid:33") == Reason::ok);
    CHECK(reason("host:DB.LAN") == Reason::ok);
    CHECK(reason("user:root") == Reason::name_not_matched);
    CHECK(reason("group:web") == Reason::not_granted);
    CHECK(reason("service:http/tcp") == Reason::not_granted);
    for (const auto target : {""sv, "user"sv, "user:"sv, "user:-x"sv, "user:a:b"sv, "user:a\nb"sv, "uid:01"sv, "uid:-1"sv,
                              "uid:4294967295"sv, "uid:99999999999"sv, "host:10.0.0.1"sv, "host:a..b"sv, "service:a"sv,
                              "service:a/b/c"sv, "service:/tcp"sv, "passwd:a"sv, "user:a b"sv, "USER:a"sv}) {
        CAPTURE(target);
        CHECK(reason(target) == Reason::bad_argument);
    }
}

TEST_CASE("a key of the kernel matches a pattern, and is written only with the right to") {
    Grant net = of(Kind::sysctl, "net", {Operation::sysctl_read});
    net.names = {"net.core.*", "kernel.hostname"};
    const auto read = [&](std::string_view key) { return one(net, {Operation::sysctl_read, 0, 0, {}, key, {}}).reason; };
    CHECK(read("net.core.somaxconn") == Reason::ok);
    CHECK(read("kernel.hostname") == Reason::ok);
    CHECK(read("kernel.core_pattern") == Reason::name_not_matched);
    CHECK(read("net/core/somaxconn") == Reason::name_not_matched);
    for (const auto key : {""sv, "."sv, "net.core..x"sv, "net.core./x"sv, "net.core.x."sv, "/net"sv, "net.core.//.x"sv,
                           "net.core.a b"sv, "net.core.\n"sv, "../x"sv, "net.core./../x"sv, "net.core.*"sv}) {
        CAPTURE(key);
        CHECK(read(key) == Reason::bad_argument);
    }
    const Request write{Operation::sysctl_write, 0, 0, "net", "net.core.somaxconn", "1"};
    CHECK(one(net, write).reason == Reason::wrong_operation);
    net.rights.add(Operation::sysctl_write);
    CHECK(one(net, write).reason == Reason::ok);
    for (const auto value : {"1\n2"sv, "1\0"sv, "\n"sv}) {
        CHECK(one(net, {Operation::sysctl_write, 0, 0, "net", "net.core.somaxconn", value}).reason == Reason::bad_argument);
    }
    net.names.clear();
    CHECK(one(net, write).reason == Reason::name_not_matched);
}

TEST_CASE("another worker is sent the listed signals, and restarted only where that is the right") {
    Grant signals = of(Kind::worker, "hup", {Operation::signal});
    signals.peer = "web";
    signals.signals = (1U << 1) | (1U << 10);
    const auto send = [&](std::uint64_t number, std::string_view target, std::string_view grant) {
        return one(signals, {Operation::signal, 0, 0, grant, target, {}, number}).reason;
    };
    CHECK(send(1, "", "hup") == Reason::ok);
    CHECK(send(10, "web", "hup") == Reason::ok);
    CHECK(send(10, "web", "") == Reason::ok);
    CHECK(send(1, "", "") == Reason::ok);
    CHECK(send(9, "web", "") == Reason::bad_argument);
    CHECK(send(64, "web", "") == Reason::bad_argument);
    CHECK(send(1, "db", "") == Reason::not_granted);
    CHECK(send(1, "db", "hup") == Reason::not_granted);
    CHECK(send(0, "web", "hup") == Reason::bad_flags);
    CHECK(send(65, "web", "hup") == Reason::bad_flags);
    CHECK(one(signals, {Operation::restart, 0, 0, "hup", {}, {}}).reason == Reason::wrong_operation);
    Grant restart = of(Kind::worker, "again", {Operation::restart});
    restart.peer = "web";
    CHECK(one(restart, {Operation::restart, 0, 0, {}, "web", {}}).reason == Reason::ok);
    CHECK(one(restart, {Operation::signal, 0, 0, {}, "web", {}, 1}).reason == Reason::wrong_operation);
}

TEST_CASE("any grant of one's own may be narrowed, and none that is not there") {
    const Grant root = tree("t", reading, "/d");
    CHECK(allowed(one(root, {Operation::narrow, 0, 3, "t", "anything", "*", 5}), 0));
    CHECK(one(root, {Operation::narrow, 0, 0, "u", {}, {}}).reason == Reason::no_such_grant);
    CHECK(one(root, {Operation::narrow, 0, 0, {}, {}, {}}).reason == Reason::no_such_grant);
}

TEST_CASE("what a worker gave up is said to be given up") {
    Grant root = tree("t", all_of_paths, "/d", {"*.log", "*.txt"});
    root.within = "/d/in";
    root.every_name = {"a*"};
    root.rights.keep((1U << 1) | (1U << 13));
    root.narrowed = true;
    const auto reason = [&](Operation operation, std::string_view target, std::string_view grant = {}) {
        return one(root, {operation, 0, 0, grant, target, {}}).reason;
    };
    CHECK(reason(Operation::read, "/d/in/a.log") == Reason::ok);
    CHECK(reason(Operation::read, "in/b/a.log", "t") == Reason::ok);
    CHECK(reason(Operation::read, "/d/a.log") == Reason::given_up);
    CHECK(reason(Operation::read, "inx/a.log", "t") == Reason::given_up);
    CHECK(reason(Operation::read, "/d/in/b.log") == Reason::given_up);
    CHECK(reason(Operation::read, "/d/in/a.html") == Reason::name_not_matched);
    CHECK(reason(Operation::write, "/d/in/a.log") == Reason::given_up);
    CHECK(reason(Operation::listen, "unix:/d/in/a.log", "t") == Reason::wrong_operation);
    CHECK(reason(Operation::read, "/e/a.log", "t") == Reason::not_granted);
    CHECK(reason(Operation::list, "/d") == Reason::given_up);
    CHECK(reason(Operation::list, "/d/in") == Reason::name_not_matched);   // a name like any other
}
