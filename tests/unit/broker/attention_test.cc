#include "broker/attention.h"

#include <doctest/doctest.h>

using namespace warder;
using namespace warder::broker;
using namespace std::chrono_literals;

namespace {

constexpr Instant start{5'000'000'000};
constexpr WorkerId web{1};
constexpr WorkerId parser{2};
constexpr WorkerId mail{3};

}  // namespace

TEST_CASE("who speaks alone has no others, however long it speaks") {
    Attention attention;
    for (int i = 0; i < 100; ++i) attention.hear(web, start + i * 1ms);
    CHECK_FALSE(attention.others_speak(web, start + 100ms));
    CHECK(attention.others_speak(parser, start + 100ms));
}

TEST_CASE("others speak for a second after they were last heard") {
    Attention attention;
    attention.hear(parser, start);
    attention.hear(web, start + 1ms);
    CHECK(attention.others_speak(web, start + 999ms));
    CHECK_FALSE(attention.others_speak(web, start + 1001ms));
    CHECK(attention.others_speak(parser, start + 1000ms));
}

TEST_CASE("of several others the latest counts") {
    Attention attention;
    attention.hear(parser, start);
    attention.hear(mail, start + 900ms);
    for (int i = 0; i < 10; ++i) attention.hear(web, start + 901ms + i * 1ms);
    CHECK(attention.others_speak(web, start + 1500ms));
    CHECK_FALSE(attention.others_speak(web, start + 1950ms));
}

TEST_CASE("before anybody has spoken nobody has others") {
    CHECK_FALSE(Attention().others_speak(web, start));
}

TEST_CASE("a session that is served less than its share of the time never pauses") {
    Share share;
    Instant at = start;
    for (int i = 0; i < 1000; ++i) {
        const Instant ended = at + 2us;
        CHECK(share.charge(at, ended) <= ended);
        at = ended + (Share::whole - 1) * 2us + 1us;
    }
}

TEST_CASE("a session that is served without pause owes fifteen times as much waiting") {
    Share share;
    Instant at = start;
    Duration served{};
    for (;;) {
        const Instant ended = at + 10us;
        served += 10us;
        const Instant until = share.charge(at, ended);
        at = ended;
        if (until <= ended) continue;
        CHECK(until - ended == (Share::whole - 1) * served);
        break;
    }
    CHECK(served <= 2 * Share::tolerance);
}

TEST_CASE("what is forgiven is not owed") {
    Share share;
    REQUIRE(share.charge(start, start + 1ms) > start + 1ms);
    share.forgive();
    CHECK(share.charge(start + 1ms, start + 1ms + 2us) <= start + 1ms + 2us);
}

TEST_CASE("who was found to wait for its answers is trusted for some asks, and then looked at again") {
    Share share;
    share.trust();
    Instant at = start;
    for (unsigned i = 0; i < Share::trusted_batches; ++i, at = at + 1ms) CHECK(share.charge(at, at + 1ms) <= at + 1ms);
    CHECK(share.charge(at, at + 1ms) == at + Share::whole * 1ms);
}

TEST_CASE("a poll is worth it until it is time to look for others") {
    BusyPoll poll;
    poll.looked_around(start);
    CHECK(poll.is_worth_it(start));
    CHECK(poll.is_worth_it(start + (BusyPoll::reach - 1us)));
    CHECK_FALSE(poll.is_worth_it(start + BusyPoll::reach));
    poll.looked_around(start + BusyPoll::reach);
    CHECK(poll.is_worth_it(start + BusyPoll::reach));
}

TEST_CASE("polls in vain become rare, and one that was right brings them back") {
    BusyPoll poll;
    const auto asks_to_next = [&] {
        unsigned asks = 1;
        for (; !poll.is_worth_it(start); ++asks) {}
        return asks;
    };
    poll.looked_around(start);
    for (const unsigned rest : {1U, 2U, 4U, 8U, 16U, 32U, 64U, 64U}) {
        CHECK(asks_to_next() <= rest);
        poll.was_in_vain();
        CHECK(asks_to_next() == rest + 1);
    }
    poll.was_right();
    poll.was_in_vain();
    CHECK(asks_to_next() == 2);
}
