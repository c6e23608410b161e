#include "base/time.h"

#include <doctest/doctest.h>

using namespace warder;
using namespace std::chrono_literals;

TEST_CASE("a duration is a number with a unit, or several") {
    CHECK(parse_duration("250ms") == 250ms);
    CHECK(parse_duration("1.5s") == 1500ms);
    CHECK(parse_duration("2min") == 2min);
    CHECK(parse_duration("1h 30min") == 90min);
    CHECK(parse_duration("1h30min") == 90min);
    CHECK(parse_duration("5 s") == 5s);
    CHECK(parse_duration("1d") == 24h);
    CHECK(parse_duration("7us 3ns") == 7003ns);
    CHECK(parse_duration("0s") == 0s);
}

TEST_CASE("every decimal of a second is exact to the nanosecond") {
    CHECK(parse_duration("0.000000001s") == 1ns);
    CHECK(parse_duration("0.000000003s") == 3ns);
    CHECK(parse_duration("1.000000007s") == 1000000007ns);
    CHECK(parse_duration("0.3s") == 300ms);
    CHECK(parse_duration("0.29min") == 17400ms);
    CHECK(parse_duration("0.000001ms") == 1ns);
    for (int i = 0; i < 1000; ++i) {
        const std::string digits = std::to_string(1000 + i).substr(1);
        CHECK(parse_duration("0." + digits + "s") == std::chrono::milliseconds(i));
        CHECK(parse_duration("0.000000" + digits + "s") == std::chrono::nanoseconds(i));
    }
}

TEST_CASE("a duration without a unit, below zero or out of range is refused") {
    for (const auto text : {"", " ", "5", "s", "-5s", "+5s", "5x", "5 5s", "1.s", ".5s", "1.2.3s", "5s x", "1e3s",
                            "0x5s", "5S", "9223372036855d", "99999999999999999999s", "106751d 24h", "1.0000000001s"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_duration(text));
    }
    CHECK(parse_duration("9223372036854775807ns") == Duration(INT64_MAX));
    CHECK_FALSE(parse_duration("9223372036854775808ns"));
}

TEST_CASE("a duration is written so that it is read back as the same") {
    CHECK(format_duration(90s) == "1min 30s");
    CHECK(format_duration(0s) == "0s");
    CHECK(format_duration(250ms) == "250ms");
    for (const Duration duration :
         {1ns, 999ns, Duration(INT64_MAX), Duration(24h + 1ms + 7us), Duration(59min + 59s)}) {
        CHECK(parse_duration(format_duration(duration)) == duration);
    }
}

TEST_CASE("a size has a binary or a decimal unit") {
    CHECK(parse_size("64KiB") == 65536U);
    CHECK(parse_size("10MiB") == 10U << 20);
    CHECK(parse_size("1GB") == 1000000000U);
    CHECK(parse_size("512B") == 512U);
    CHECK(parse_size("1.5KiB") == 1536U);
    CHECK(parse_size("2TiB") == 2ULL << 40);
    for (const auto text : {"", "64", "64kib", "64Kb", "64K", "-1B", "9300000TB", "0.B"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_size(text));
    }
}

TEST_CASE("a size is written exactly") {
    CHECK(format_size(10ULL << 20) == "10MiB");
    CHECK(format_size(1500) == "1500B");
    CHECK(format_size(0) == "0B");
    for (const std::uint64_t bytes : {1ULL, 1024ULL, 1025ULL, 3ULL << 30, 5ULL << 40}) {
        CHECK(parse_size(format_size(bytes)) == bytes);
    }
}

TEST_CASE("never is later than every moment, and is not passed by adding") {
    CHECK(Instant{5} < Instant::never());
    CHECK(Instant{5} + 10s == Instant{10'000'000'005});
    CHECK(Instant{5} + Duration::max() == Instant::never());
    CHECK(Instant::never() + 1ns == Instant::never());
    CHECK(Instant{7} - Instant{5} == 2ns);
}

TEST_CASE("the monotonic clock does not go back") {
    const Instant first = monotonic_now();
    CHECK(monotonic_now() >= first);
}

TEST_CASE("a moment is written in UTC with microseconds") {
    CHECK(format_wall_clock(0) == "1970-01-01T00:00:00.000000Z");
    CHECK(format_wall_clock(1769860800123456789) == "2026-01-31T12:00:00.123456Z");
    CHECK(format_wall_clock(951782399999999999) == "2000-02-28T23:59:59.999999Z");
}
