#include "broker/knowledge.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <vector>

using namespace warder;
using namespace warder::broker;

namespace {

constexpr Instant start{1'000'000'000};

policy::Address wanted(std::string_view text) { return policy::parse_address(text).value(); }

}  // namespace

TEST_CASE("what is asked for is known once it was answered, and only under its own number") {
    Knowledge knowledge;
    CHECK(knowledge.find("host:db", start) == nullptr);
    const auto query = knowledge.asked("host:db", WorkerId{1}, start);
    REQUIRE(query != 0);
    REQUIRE(knowledge.find("host:db", start) != nullptr);
    CHECK_FALSE(knowledge.find("host:db", start)->known);
    CHECK_FALSE(knowledge.learn(query + 1, 0, "10.0.0.1\n", start));
    CHECK(knowledge.learn(query, 0, "10.0.0.1\n", start));
    CHECK(knowledge.find("host:db", start)->data == "10.0.0.1\n");
    CHECK_FALSE(knowledge.learn(query, 0, "10.6.6.6\n", start));   // a second answer changes nothing
    CHECK(knowledge.find("host:db", start)->data == "10.0.0.1\n");
}

TEST_CASE("an answer is forgotten after a while, an absence sooner") {
    Knowledge knowledge;
    knowledge.learn(knowledge.asked("user:a", WorkerId{1}, start), 0, "a:x:1:1::/:/\n", start);
    knowledge.learn(knowledge.asked("user:b", WorkerId{1}, start), ENOENT, {}, start);
    const Instant later = start + std::chrono::seconds(2);
    CHECK(knowledge.find("user:a", later) != nullptr);
    CHECK(knowledge.find("user:b", later) == nullptr);
    CHECK(knowledge.find("user:a", start + std::chrono::minutes(1)) == nullptr);
}

TEST_CASE("there is room for so many keys: answers give way, open questions do not") {
    Knowledge knowledge;
    for (std::size_t i = 0; i < Knowledge::capacity; ++i) REQUIRE(knowledge.asked("host:h" + std::to_string(i), WorkerId{1}, start) != 0);
    CHECK(knowledge.asked("host:one-more", WorkerId{1}, start) == 0);
    const auto* first = knowledge.find("host:h0", start);
    REQUIRE(first != nullptr);
    CHECK(knowledge.learn(first->query, 0, "10.0.0.1\n", start));
    CHECK(knowledge.asked("host:one-more", WorkerId{1}, start) != 0);
    CHECK(knowledge.find("host:h0", start) == nullptr);
    CHECK(knowledge.asked(std::string(Knowledge::max_key + 1, 'a'), WorkerId{1}, start) == 0);
}

TEST_CASE("a resolver that begins is asked what is still open") {
    Knowledge knowledge;
    knowledge.learn(knowledge.asked("host:known", WorkerId{1}, start), 0, "10.0.0.1\n", start);
    const auto open = knowledge.asked("host:open", WorkerId{1}, start);
    const auto given_up = knowledge.asked("host:given-up", WorkerId{1}, start);
    knowledge.forget(given_up);
    std::vector<std::pair<std::uint64_t, std::string>> asked;
    knowledge.for_each_open([&](std::uint64_t query, std::string_view key) { asked.emplace_back(query, key); });
    REQUIRE(asked.size() == 1);
    CHECK(asked[0] == std::pair<std::uint64_t, std::string>(open, "host:open"));
}

TEST_CASE("a host's data gives one address for each line, with the transport and port that were asked for") {
    const std::string data = "192.0.2.7\n2001:db8::1\n";
    const auto first = address_in(data, 0, wanted("udp:127.0.0.1:53"));
    REQUIRE(first);
    CHECK(policy::format(*first).view() == "udp:192.0.2.7:53");
    const auto second = address_in(data, 1, wanted("tcp:127.0.0.1:5432"));
    REQUIRE(second);
    CHECK(policy::format(*second).view() == "tcp:[2001:db8::1]:5432");
    CHECK_FALSE(address_in(data, 2, wanted("tcp:127.0.0.1:5432")));
    CHECK_FALSE(address_in("", 0, wanted("tcp:127.0.0.1:5432")));
}

TEST_CASE("a line that is no address gives none: the resolver's word is not more than data") {
    for (const std::string_view line : {"/run/db.sock", "1.2.3.4:99", "[::1]", "db.example", "::ffff:10.0.0.1", "1.2.3.4 ", "*"}) {
        CAPTURE(line);
        CHECK_FALSE(address_in(line, 0, wanted("tcp:127.0.0.1:5432")));
    }
}

TEST_CASE("a name that was rebound leads to none of its private addresses, and to the others by their numbers among themselves") {
    const auto to = wanted("tcp:127.0.0.1:5432");
    constexpr std::string_view rebound = "127.0.0.1\n1.1.1.1\n::1\n::ffff:10.0.0.1\n9.9.9.9\n";
    CHECK(policy::format(address_in(rebound, 0, to, Reach::in_public).value()).view() == "tcp:1.1.1.1:5432");
    CHECK(policy::format(address_in(rebound, 1, to, Reach::in_public).value()).view() == "tcp:9.9.9.9:5432");
    CHECK_FALSE(address_in(rebound, 2, to, Reach::in_public));
    CHECK(policy::format(address_in(rebound, 2, to).value()).view() == "tcp:[::1]:5432");
    CHECK_FALSE(address_in("10.0.0.1\n", 0, to, Reach::in_public));
}

TEST_CASE("a worker has a few open questions and no more, whatever becomes of them, and others have theirs") {
    Knowledge knowledge;
    constexpr WorkerId one{1};
    constexpr WorkerId other{2};
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < Knowledge::open_of_each; ++i) {
        CHECK(knowledge.one_too_many_of(one) == 0);
        last = knowledge.asked("host:h" + std::to_string(i), one, start);
    }
    CHECK(knowledge.one_too_many_of(one) == last);
    CHECK(knowledge.one_too_many_of(other) == 0);
    CHECK(knowledge.asked("host:his", other, start) != 0);
    CHECK(knowledge.learn(last, ENOENT, {}, start));
    CHECK(knowledge.one_too_many_of(one) == 0);
    last = knowledge.asked("host:again", one, start);
    CHECK(knowledge.one_too_many_of(one) == last);
    knowledge.forget(last);
    CHECK(knowledge.one_too_many_of(one) == 0);
}
