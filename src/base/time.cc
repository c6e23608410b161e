#include "base/time.h"

#include <array>
#include <charconv>
#include <ctime>

namespace warder {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t worth;
};

constexpr std::array<Unit, 9> duration_units{{
    {"ns", 1},
    {"us", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"sec", 1'000'000'000},
    {"min", 60'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
    {"d", 86'400'000'000'000},
}};

constexpr std::array<Unit, 9> size_units{{
    {"B", 1},
    {"kB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
    {"KiB", 1ULL << 10},
    {"MiB", 1ULL << 20},
    {"GiB", 1ULL << 30},
    {"TiB", 1ULL << 40},
}};

constexpr std::uint64_t largest = INT64_MAX;

std::string_view skip_spaces(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    return text;
}

// One "number unit" off the front of `text`: whole units, with at most nine decimals.
template <std::size_t N>
std::optional<std::uint64_t> take_amount(std::string_view& text, const std::array<Unit, N>& units) {
    std::uint64_t whole = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    std::uint64_t fraction = 0;
    std::uint64_t scale = 1;
    if (!text.empty() && text.front() == '.') {
        text.remove_prefix(1);
        while (!text.empty() && text.front() >= '0' && text.front() <= '9' && scale < 1'000'000'000) {
            fraction = fraction * 10 + static_cast<std::uint64_t>(text.front() - '0');
            scale *= 10;
            text.remove_prefix(1);
        }
        if (scale == 1) return std::nullopt;
    }
    text = skip_spaces(text);
    std::size_t length = 0;
    while (length < text.size() && text[length] != ' ' && (text[length] < '0' || text[length] > '9')) ++length;
    const std::string_view name = text.substr(0, length);
    for (const auto& unit : units) {
        if (unit.name != name) continue;
        text = skip_spaces(text.substr(length));
        if (whole > largest / unit.worth) return std::nullopt;
        // fraction × worth / scale, in two parts that cannot overflow: a floating point number would lose nanoseconds.
        const std::uint64_t part = fraction * (unit.worth / scale) + fraction * (unit.worth % scale) / scale;
        const std::uint64_t total = whole * unit.worth;
        return part > largest - total ? std::nullopt : std::optional(total + part);
    }
    return std::nullopt;
}

template <std::size_t N>
std::optional<std::uint64_t> parse_amounts(std::string_view text, const std::array<Unit, N>& units) {
    text = skip_spaces(text);
    if (text.empty()) return std::nullopt;
    std::uint64_t total = 0;
    while (!text.empty()) {
        const auto amount = take_amount(text, units);
        if (!amount || *amount > largest - total) return std::nullopt;
        total += *amount;
    }
    return total;
}

// The last `width` decimal digits of `value`, over what stands at `place`.
void put_digits(std::string& text, std::size_t place, std::size_t width, std::uint64_t value) {
    for (std::size_t i = width; i > 0; --i, value /= 10) text[place + i - 1] = static_cast<char>('0' + value % 10);
}

}  // namespace

Instant monotonic_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return {now.tv_sec * 1'000'000'000 + now.tv_nsec};
}

std::int64_t wall_clock_now() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::string format_wall_clock(std::int64_t nanoseconds) {
    const std::chrono::sys_time<std::chrono::nanoseconds> at{std::chrono::nanoseconds(nanoseconds)};
    const auto day = std::chrono::floor<std::chrono::days>(at);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{std::chrono::floor<std::chrono::microseconds>(at - day)};
    std::string text = "0000-00-00T00:00:00.000000Z";
    put_digits(text, 0, 4, static_cast<std::uint64_t>(static_cast<int>(date.year())));
    put_digits(text, 5, 2, static_cast<unsigned>(date.month()));
    put_digits(text, 8, 2, static_cast<unsigned>(date.day()));
    put_digits(text, 11, 2, static_cast<std::uint64_t>(clock.hours().count()));
    put_digits(text, 14, 2, static_cast<std::uint64_t>(clock.minutes().count()));
    put_digits(text, 17, 2, static_cast<std::uint64_t>(clock.seconds().count()));
    put_digits(text, 20, 6, static_cast<std::uint64_t>(clock.subseconds().count()));
    return text;
}

std::optional<Duration> parse_duration(std::string_view text) {
    const auto amount = parse_amounts(text, duration_units);
    if (!amount) return std::nullopt;
    return Duration(static_cast<std::int64_t>(*amount));
}

std::string format_duration(Duration duration) {
    auto left = static_cast<std::uint64_t>(duration.count() < 0 ? 0 : duration.count());
    if (left == 0) return "0s";
    std::string text;
    for (const std::string_view name : {"d", "h", "min", "s", "ms", "us", "ns"}) {
        for (const auto& unit : duration_units) {
            if (unit.name != name || left < unit.worth) continue;
            if (!text.empty()) text += ' ';
            text += std::to_string(left / unit.worth);
            text += name;
            left %= unit.worth;
        }
    }
    return text;
}

std::optional<std::uint64_t> parse_size(std::string_view text) { return parse_amounts(text, size_units); }

std::string format_size(std::uint64_t bytes) {
    for (const std::string_view name : {"TiB", "GiB", "MiB", "KiB"}) {
        for (const auto& unit : size_units) {
            if (unit.name == name && bytes != 0 && bytes % unit.worth == 0) {
                return std::to_string(bytes / unit.worth) + std::string(name);
            }
        }
    }
    return std::to_string(bytes) + "B";
}

}  // namespace warder
