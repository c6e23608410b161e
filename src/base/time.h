// Time comes in as an argument everywhere but at the edge: only the loop and the tools call these clocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace warder {

using Duration = std::chrono::nanoseconds;

// A moment of CLOCK_MONOTONIC, since boot. `never` is later than every moment.
struct Instant {
    std::int64_t nanoseconds = 0;

    static constexpr Instant never() { return {INT64_MAX}; }
    friend constexpr auto operator<=>(const Instant&, const Instant&) = default;
    friend constexpr Instant operator+(Instant at, Duration by) {
        return by.count() > INT64_MAX - at.nanoseconds ? never() : Instant{at.nanoseconds + by.count()};
    }
    friend constexpr Duration operator-(Instant later, Instant earlier) {
        return Duration(later.nanoseconds - earlier.nanoseconds);
    }
};

Instant monotonic_now();

// Nanoseconds since 1970-01-01 UTC, for records that people read.
std::int64_t wall_clock_now();

// "2026-01-31T12:00:00.123456Z" from nanoseconds since 1970.
std::string format_wall_clock(std::int64_t nanoseconds);

// "250ms", "1.5s", "2min", "1h 30min"; a bare number is refused: units are always written. Nothing below zero.
std::optional<Duration> parse_duration(std::string_view text);

// The shortest exact form that parse_duration reads again: "1min 30s", "250ms", "0s".
std::string format_duration(Duration duration);

// "64KiB", "10MiB", "1GB", "512B": bytes, from binary (KiB, MiB, GiB, TiB) or decimal (kB, MB, GB, TB) units.
std::optional<std::uint64_t> parse_size(std::string_view text);

// "10MiB", "1500B": exact.
std::string format_size(std::uint64_t bytes);

}  // namespace warder
