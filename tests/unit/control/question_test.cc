#include "control/question.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "policy/address.h"

using namespace warder;
using namespace warder::control;
using policy::Grant;
using policy::Kind;

namespace {

Grant grant(const char* name, Kind kind, Operations rights) {
    Grant made;
    made.name = name;
    made.kind = kind;
    made.rights = rights;
    made.origin = "warder.toml:1";
    return made;
}

policy::GrantSet grants() {
    std::vector<Grant> all;
    auto& site = all.emplace_back(grant("site", Kind::tree, {Operation::read, Operation::create, Operation::mkdir, Operation::chmod,
                                                             Operation::rename, Operation::symlink, Operation::access,
                                                             Operation::truncate, Operation::write}));
    site.path = "/srv/www";
    auto& http = all.emplace_back(grant("http", Kind::listener, {Operation::listen}));
    http.address = policy::exactly(*policy::parse_address("tcp:127.0.0.1:80"));
    auto& db = all.emplace_back(grant("db", Kind::peer, {Operation::connect}));
    db.address = *policy::parse_address_pattern("tcp:db.example:5432");
    auto& users = all.emplace_back(grant("users", Kind::lookup, {Operation::lookup}));
    users.lookups = static_cast<std::uint8_t>(policy::Lookup::user);
    auto& keys = all.emplace_back(grant("keys", Kind::sysctl, {Operation::sysctl_read, Operation::sysctl_write}));
    keys.names = {"net.ipv4.*"};
    auto& clean = all.emplace_back(grant("clean", Kind::command, {Operation::run}));
    clean.command.words = {{{}, policy::Placeholder::none, "/usr/bin/clean", {}}, {{}, policy::Placeholder::number, {}, "days"},
                           {{}, policy::Placeholder::word, {}, "who"}};
    auto& parser = all.emplace_back(grant("reparse", Kind::worker, {Operation::signal, Operation::restart}));
    parser.peer = "parser";
    parser.signals = 1U << 1;
    all.push_back(grant("ping", Kind::raw, {Operation::raw}));
    return {"web", std::move(all)};
}

WhyReport ask(Operation operation, std::vector<std::string> words, std::uint16_t flags = 0) {
    const auto set = grants();
    const auto answer = answer_question(set, {operation, std::move(words), flags});
    REQUIRE(answer);
    return *answer;
}

bool allowed(Operation operation, std::vector<std::string> words) { return ask(operation, std::move(words)).allowed; }

int error_of(Operation operation, std::vector<std::string> words) {
    const auto set = grants();
    const auto answer = answer_question(set, {operation, std::move(words), 0});
    return answer ? 0 : answer.error().error;
}

}  // namespace

TEST_CASE("question: paths, names of grants and paths below them") {
    CHECK(allowed(Operation::read, {"/srv/www/a"}));
    CHECK(allowed(Operation::read, {"site:css/a.css"}));
    CHECK_FALSE(allowed(Operation::read, {"/etc/shadow"}));
    CHECK(ask(Operation::read, {"nothing"}).reason == Reason::no_such_grant);
    const auto report = ask(Operation::read, {"site:a"});
    CHECK(report.grant == "site");
    CHECK(report.origin == "warder.toml:1");
    CHECK(report.target == "site:a");
    CHECK(report.worker == "web");
}

TEST_CASE("question: two paths, of which the second may repeat the grant or not") {
    CHECK(allowed(Operation::rename, {"site:a", "b"}));
    CHECK(allowed(Operation::rename, {"site:a", "site:b"}));
    CHECK(allowed(Operation::rename, {"/srv/www/a", "/srv/www/b"}));
    CHECK_FALSE(allowed(Operation::rename, {"/srv/www/a", "/etc/b"}));
    CHECK(allowed(Operation::symlink, {"site:a", "b"}));
    CHECK(ask(Operation::rename, {"site:a", "b"}).target == "site:a b");
    CHECK(error_of(Operation::rename, {"site:a"}) == EINVAL);
}

TEST_CASE("question: modes, letters and numbers behind a path") {
    CHECK(allowed(Operation::create, {"site:a"}));
    CHECK(allowed(Operation::create, {"site:a", "0640"}));
    CHECK(ask(Operation::create, {"site:a", "4755"}).reason == Reason::bad_flags);
    CHECK(error_of(Operation::create, {"site:a", "rw"}) == EINVAL);
    CHECK(error_of(Operation::chmod, {"site:a"}) == EINVAL);
    CHECK(allowed(Operation::access, {"site:a"}));
    CHECK(allowed(Operation::access, {"site:a", "rw"}));
    CHECK(error_of(Operation::access, {"site:a", "q"}) == EINVAL);
    CHECK(allowed(Operation::truncate, {"site:a", "100"}));
    CHECK(error_of(Operation::truncate, {"site:a", "-1"}) == EINVAL);
}

TEST_CASE("question: open flags are those of the request") {
    const auto truncates = static_cast<std::uint16_t>(OpenFlag::truncate);
    CHECK(ask(Operation::write, {"site:a"}, truncates).allowed);
    CHECK(ask(Operation::read, {"site:a"}, truncates).reason == Reason::bad_flags);
}

TEST_CASE("question: addresses, by number and by name") {
    CHECK(allowed(Operation::listen, {"tcp:127.0.0.1:80"}));
    CHECK(allowed(Operation::listen, {"http"}));
    CHECK(allowed(Operation::connect, {"tcp:db.example:5432"}));
    CHECK(allowed(Operation::connect, {"db:tcp:db.example:5432"}));
    CHECK_FALSE(allowed(Operation::connect, {"tcp:db.example:5433"}));
}

TEST_CASE("question: keys to look up and keys of the kernel are taken for what they are") {
    CHECK(allowed(Operation::lookup, {"user:web"}));
    CHECK(allowed(Operation::lookup, {"users:user:web"}));
    CHECK_FALSE(allowed(Operation::lookup, {"host:db.example"}));
    CHECK(allowed(Operation::sysctl_read, {"net.ipv4.ip_forward"}));
    CHECK(allowed(Operation::sysctl_write, {"net.ipv4.ip_forward", "1"}));
    CHECK(allowed(Operation::sysctl_write, {"keys:net.ipv4.ip_forward", "-1"}));
    CHECK_FALSE(allowed(Operation::sysctl_read, {"kernel.hostname"}));
    CHECK(error_of(Operation::sysctl_write, {"net.ipv4.ip_forward"}) == EINVAL);
}

TEST_CASE("question: a command gets one word for each placeholder") {
    CHECK(allowed(Operation::run, {"clean", "7", "a.txt"}));
    CHECK(ask(Operation::run, {"clean", "7"}).reason == Reason::bad_argument);
    CHECK(ask(Operation::run, {"clean", "x", "a.txt"}).reason == Reason::bad_argument);
    CHECK(ask(Operation::run, {"other"}).reason == Reason::no_such_grant);
    CHECK(error_of(Operation::run, {}) == EINVAL);
}

TEST_CASE("question: another worker by its name or by the grant, and signals by name or number") {
    CHECK(allowed(Operation::signal, {"parser", "HUP"}));
    CHECK(allowed(Operation::signal, {"reparse", "SIGHUP"}));
    CHECK(allowed(Operation::signal, {"parser", "1"}));
    CHECK_FALSE(allowed(Operation::signal, {"parser", "KILL"}));
    CHECK_FALSE(allowed(Operation::signal, {"db", "HUP"}));
    CHECK(error_of(Operation::signal, {"parser", "HUPP"}) == EINVAL);
    CHECK(error_of(Operation::signal, {"parser"}) == EINVAL);
    CHECK(allowed(Operation::restart, {"parser"}));
}

TEST_CASE("question: raw sockets need no word, and a narrowing must be within its grant") {
    CHECK(allowed(Operation::raw, {}));
    CHECK(allowed(Operation::raw, {"ping"}));
    CHECK_FALSE(allowed(Operation::packet, {}));
    CHECK(allowed(Operation::narrow, {"site"}));
    CHECK(allowed(Operation::narrow, {"site", "css", "*.css"}));
    CHECK(ask(Operation::narrow, {"site", "/etc"}).reason == Reason::bad_argument);
    CHECK(ask(Operation::narrow, {"other"}).reason == Reason::no_such_grant);
}

TEST_CASE("question: every operation can be asked about, and none takes words without end") {
    const std::vector<std::string> many(65, "site:a");
    for (const auto& entry : operation_names) {
        CHECK_MESSAGE(error_of(entry.operation, many) == EINVAL, entry.name);
        const bool any = error_of(entry.operation, {"site:a"}) == 0 || error_of(entry.operation, {"site:a", "1"}) == 0;
        CHECK_MESSAGE(any, entry.name);
    }
}

TEST_CASE("question: words travel as one text") {
    for (const auto& words : std::vector<std::vector<std::string>>{{}, {"a"}, {"a", "", "b\nc"}, {"", "x"}}) {
        CHECK(split_words(joined_words(words)) == words);
    }
}
