#include "ctl/words.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/utf8.h"

namespace warder::ctl {
namespace {

struct Unit {
    std::int64_t worth;
    const char* name;
};

constexpr std::array<Unit, 4> units{{{86'400'000, "d"}, {3'600'000, "h"}, {60'000, "min"}, {1'000, "s"}}};

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

std::string duration_in_words(std::int64_t milliseconds) {
    if (milliseconds < 1000) return std::to_string(std::max<std::int64_t>(milliseconds, 0)) + "ms";
    std::string words;
    int said = 0;
    for (const auto& unit : units) {
        const std::int64_t count = milliseconds / unit.worth;
        milliseconds %= unit.worth;
        if (said == 1 && count == 0) break;
        if (count == 0) continue;
        words += (said == 0 ? "" : " ") + std::to_string(count) + unit.name;
        if (++said == 2) break;
    }
    return words;
}

std::string size_in_words(std::uint64_t bytes) {
    constexpr std::array<const char*, 5> names{"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < names.size()) {
        value /= 1024;
        ++unit;
    }
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, names[unit]);
    return text.data();
}

std::string counted(std::uint64_t count, std::string_view noun) {
    return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string printable(std::string_view text) { return escaped_for_people(text); }

std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) { return !continues(byte); }));
}

}  // namespace warder::ctl
