#include "supervise/deadlines.h"

#include <doctest/doctest.h>

using namespace warder;
using namespace warder::supervise;

namespace {
constexpr WorkerId one{1}, two{2}, three{3};
}

TEST_CASE("without deadlines nothing is next and nobody is due") {
    Deadlines deadlines;
    WorkerId id{};
    CHECK(deadlines.next() == Instant::never());
    CHECK_FALSE(deadlines.take_due(Instant{1'000'000}, id));
}

TEST_CASE("those who are due come in the order of their time, each once") {
    Deadlines deadlines;
    deadlines.set(one, Instant{30});
    deadlines.set(two, Instant{10});
    deadlines.set(three, Instant{20});
    CHECK(deadlines.next() == Instant{10});
    WorkerId id{};
    REQUIRE(deadlines.take_due(Instant{20}, id));
    CHECK(id == two);
    REQUIRE(deadlines.take_due(Instant{20}, id));
    CHECK(id == three);
    CHECK_FALSE(deadlines.take_due(Instant{20}, id));
    CHECK(deadlines.next() == Instant{30});
}

TEST_CASE("a new deadline replaces the old one, and never takes it out") {
    Deadlines deadlines;
    deadlines.set(one, Instant{10});
    deadlines.set(one, Instant{50});
    CHECK(deadlines.next() == Instant{50});
    deadlines.set(one, Instant{50});
    deadlines.set(one, Instant::never());
    CHECK(deadlines.next() == Instant::never());
    deadlines.set(one, Instant::never());
    deadlines.set(one, Instant{5});
    CHECK(deadlines.next() == Instant{5});
}

TEST_CASE("two workers may share a moment") {
    Deadlines deadlines;
    deadlines.set(one, Instant{10});
    deadlines.set(two, Instant{10});
    WorkerId first{}, second{};
    REQUIRE(deadlines.take_due(Instant{10}, first));
    REQUIRE(deadlines.take_due(Instant{10}, second));
    CHECK(first != second);
}
