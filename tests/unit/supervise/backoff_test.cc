#include "supervise/backoff.h"

#include <doctest/doctest.h>

using namespace warder;
using namespace warder::supervise;

TEST_CASE("each wait is the factor longer than the one before, up to the cap") {
    Restart rule;
    rule.delay = 100ms;
    rule.factor = 2;
    rule.cap = 1s;
    CHECK(schedule(rule, 6) == std::vector<Duration>{100ms, 200ms, 400ms, 800ms, 1s, 1s});
}

TEST_CASE("the schedule of a factor of one is the same wait again and again") {
    Restart rule;
    rule.delay = 250ms;
    rule.factor = 1;
    CHECK(schedule(rule, 3) == std::vector<Duration>{250ms, 250ms, 250ms});
}

TEST_CASE("a factor below one never makes waits shorter") {
    Restart rule;
    rule.delay = 250ms;
    rule.factor = 0.5;
    CHECK(schedule(rule, 3) == std::vector<Duration>{250ms, 250ms, 250ms});
}

TEST_CASE("a first wait above the cap is the cap") {
    Restart rule;
    rule.delay = 10s;
    rule.cap = 1s;
    CHECK(schedule(rule, 2) == std::vector<Duration>{1s, 1s});
}

TEST_CASE("no delay stays no delay") {
    Restart rule;
    rule.delay = 0s;
    CHECK(schedule(rule, 3) == std::vector<Duration>{0s, 0s, 0s});
}

TEST_CASE("a huge factor ends at the cap and does not overflow") {
    Restart rule;
    rule.delay = 1h;
    rule.factor = 1e300;
    rule.cap = Duration::max();
    CHECK(schedule(rule, 3) == std::vector<Duration>{1h, Duration::max(), Duration::max()});
}

TEST_CASE("jitter adds or takes its share by chance") {
    Restart rule;
    rule.jitter = 0.25;
    rule.cap = 1min;
    CHECK(with_jitter(rule, 1s, 0.0) == 750ms);
    CHECK(with_jitter(rule, 1s, 0.5) == 1s);
    CHECK(with_jitter(rule, 1s, 1.0) == 1250ms);
}

TEST_CASE("jitter never goes over the cap nor below zero, whatever is written") {
    Restart rule;
    rule.jitter = 7;
    rule.cap = 1s;
    CHECK(with_jitter(rule, 1s, 1.0) == 1s);
    CHECK(with_jitter(rule, 1s, 0.0) == 0s);
    CHECK(with_jitter(rule, 1s, -3.0) == 0s);
}
