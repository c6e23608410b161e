#include "broker/allowance.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

using namespace warder;
using namespace warder::broker;

namespace {

constexpr Instant start{5'000'000'000};
constexpr Duration second = std::chrono::seconds(1);

policy::GrantSet one_grant(const policy::Shape& shape, std::string name = "key") {
    policy::Grant grant;
    grant.name = std::move(name);
    grant.shape = shape;
    std::vector<policy::Grant> all;
    all.push_back(std::move(grant));
    return {"web", std::move(all)};
}

}  // namespace

TEST_CASE("a rate lets a second's worth pass at once, then as fast as it is earned") {
    Rate rate(10);
    for (int i = 0; i < 10; ++i) CHECK(rate.take(1, start));
    CHECK_FALSE(rate.take(1, start));
    CHECK_FALSE(rate.take(1, start + second / 20));
    CHECK(rate.take(1, start + second / 10));
    CHECK_FALSE(rate.take(1, start + second / 10));
    CHECK(rate.take(10, start + second * 3));
}

TEST_CASE("what is refused costs nothing, and what is given back can be taken again") {
    Rate rate(4);
    CHECK(rate.take(4, start));
    for (int i = 0; i < 100; ++i) CHECK_FALSE(rate.take(1, start));
    rate.give_back(1);
    CHECK(rate.take(1, start));
    CHECK(rate.take(1, start + second / 4));
}

TEST_CASE("T41: more at once than a second's worth never passes, and can be owed: then it costs a second") {
    Rate rate(10);
    CHECK(rate.can_hold(10));
    CHECK_FALSE(rate.can_hold(11));
    CHECK_FALSE(rate.take(11, start));
    rate.owe(30, start);
    CHECK_FALSE(rate.take(1, start));
    CHECK(rate.until(1, start) == second / 10);
    CHECK(rate.take(1, start + second / 10));
    CHECK(rate.take(9, start + second));
}

TEST_CASE("T41: how long until so many fit is known, and then they do") {
    Rate rate(10);
    CHECK(rate.until(10, start) == Duration::zero());
    CHECK(rate.take(10, start));
    CHECK(rate.until(1, start) == second / 10);
    CHECK(rate.until(10, start) == second);
    CHECK(rate.until(200, start) == second);   // as long as for the most that there can be
    CHECK(rate.until(5, start + second / 4) == second / 4);
    CHECK(rate.take(5, start + second / 2));
    CHECK(Rate(0).until(253, start) == Duration::zero());
}

TEST_CASE("a rate of zero has no bound") {
    Rate rate(0);
    for (int i = 0; i < 1000; ++i) CHECK(rate.take(253, start));
    rate.give_back(5);
}

TEST_CASE("a grant of one use is used up by one, unless that one failed") {
    const auto grants = one_grant({.uses = 1});
    Allowances allowances(grants);
    CHECK(allowances.take(grants.at(GrantId{0}), GrantId{0}, false, start) == Reason::ok);
    CHECK(allowances.take(grants.at(GrantId{0}), GrantId{0}, false, start) == Reason::used_up);
    allowances.give_back(GrantId{0}, allowances.count_of(GrantId{0}));
    CHECK(allowances.take(grants.at(GrantId{0}), GrantId{0}, false, start) == Reason::ok);
}

TEST_CASE("T18: a use that was taken before the uses were narrowed is not given back to the new count") {
    const auto grants = one_grant({.uses = 9});
    const GrantId id{0};
    Allowances allowances(grants);
    REQUIRE(allowances.take(grants.at(id), id, false, start) == Reason::ok);
    const auto earlier = allowances.count_of(id);
    allowances.reset(id);
    REQUIRE(allowances.take(grants.at(id), id, false, start) == Reason::ok);
    allowances.give_back(id, earlier);
    CHECK(allowances.used(id) == 1);
    allowances.give_back(id, allowances.count_of(id));
    CHECK(allowances.used(id) == 0);
}

TEST_CASE("T18: nor to a grant that was away meanwhile and has come back") {
    const auto with = one_grant({.uses = 1});
    const policy::GrantSet without("web", {});
    const GrantId id{0};
    Allowances allowances(with);
    REQUIRE(allowances.take(with.at(id), id, false, start) == Reason::ok);
    const auto earlier = allowances.count_of(id);
    allowances = allowances.carried_over(with, without).carried_over(without, with);
    REQUIRE(allowances.take(with.at(id), id, false, start) == Reason::ok);
    allowances.give_back(id, earlier);
    CHECK(allowances.take(with.at(id), id, false, start) == Reason::used_up);
}

TEST_CASE("a grant for the start is over once the worker is ready, whatever else it has left") {
    const auto grants = one_grant({.uses = 5, .until_ready = true});
    Allowances allowances(grants);
    CHECK(allowances.take(grants.at(GrantId{0}), GrantId{0}, false, start) == Reason::ok);
    CHECK(allowances.take(grants.at(GrantId{0}), GrantId{0}, true, start) == Reason::too_late);
}

TEST_CASE("a grant with a rate says too many, and again yes a moment later") {
    const auto grants = one_grant({.per_second = 2});
    Allowances allowances(grants);
    const auto take = [&](Instant now) { return allowances.take(grants.at(GrantId{0}), GrantId{0}, false, now); };
    CHECK(take(start) == Reason::ok);
    CHECK(take(start) == Reason::ok);
    CHECK(take(start) == Reason::too_many);
    CHECK(take(start + second / 2) == Reason::ok);
}

TEST_CASE("a reload does not give back what was used of a grant that is still there") {
    const auto before = one_grant({.uses = 1});
    Allowances allowances(before);
    REQUIRE(allowances.take(before.at(GrantId{0}), GrantId{0}, false, start) == Reason::ok);
    policy::Grant fresh, key;
    fresh.name = "fresh";
    fresh.shape.uses = 1;
    key.name = "key";
    key.shape.uses = 1;
    const policy::GrantSet after("web", {fresh, key});
    Allowances now = allowances.carried_over(before, after);
    CHECK(now.take(after.at(GrantId{0}), GrantId{0}, false, start) == Reason::ok);
    CHECK(now.take(after.at(GrantId{1}), GrantId{1}, false, start) == Reason::used_up);
}

TEST_CASE("what is in flight is bounded by what the kernel says is unread, and the latest messages count") {
    InFlight flight;
    for (int i = 0; i < 300; ++i) flight.sent(1);
    CHECK(flight.bound() == 300);
    flight.unread(8 * 768);
    CHECK(flight.bound() == 12);   // eight messages, counted as at most twelve
    flight.unread(0);
    CHECK(flight.bound() == 0);
    flight.sent(253);
    flight.sent(2);
    flight.unread(InFlight::least_message);
    CHECK(flight.bound() == 2);
    flight.unread(2 * InFlight::least_message);
    CHECK(flight.bound() == 255);
}

// Slow and obvious: every moment at which something was taken is remembered.
TEST_CASE("T18: uses, until and rate, taken at random, are never more than the grant says in any stretch of time") {
    std::mt19937 random(20260203);
    const auto below = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(random()) % limit; };
    std::map<Reason, int> seen;
    for (int round = 0; round < 300; ++round) {
        policy::Grant grant;
        grant.name = "g";
        grant.shape = {below(2) == 0 ? 0 : 1 + below(20), below(4) == 0, below(3) == 0 ? 0 : 1 + below(10)};
        const policy::Shape shape = grant.shape;
        const policy::GrantSet grants("web", {grant});
        Allowances allowances(grants);
        std::vector<Instant> taken;
        bool ready = false;
        Instant now{1'000'000'000};
        for (int i = 0; i < 60; ++i) {
            now = now + std::chrono::milliseconds(below(300));
            ready = ready || below(40) == 0;
            const Reason reason = allowances.take(grants.at(GrantId{0}), GrantId{0}, ready, now);
            ++seen[reason];
            CHECK((reason == Reason::too_late) == (shape.until_ready && ready));
            if (reason == Reason::used_up) CHECK((shape.uses != 0 && taken.size() == shape.uses));
            if (reason == Reason::too_many) CHECK(shape.per_second != 0);
            if (reason != Reason::ok) continue;
            taken.push_back(now);
            CHECK((shape.uses == 0 || taken.size() <= shape.uses));
            for (std::size_t first = 0; first < taken.size() && shape.per_second != 0; ++first) {
                const double seconds = std::chrono::duration<double>(now - taken[first]).count();
                const double most = shape.per_second * (1.0 + seconds);   // a burst of a second's worth, and what was earned since
                CHECK(static_cast<double>(taken.size() - first) <= most + 1e-6);
            }
        }
    }
    for (const Reason reason : {Reason::ok, Reason::too_late, Reason::used_up, Reason::too_many}) CHECK(seen[reason] > 100);
}
