#include "sandbox/id_map.h"

#include <algorithm>
#include <charconv>

namespace warder::sandbox {
namespace {

// A number and what is behind it; blanks before it are skipped.
std::optional<std::uint32_t> take_number(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    return number;
}

std::string word_of(std::uint32_t id) { return id == own_id ? "self" : std::to_string(id); }

void sort_by_inside(std::vector<IdRange>& map) { std::ranges::sort(map, {}, &IdRange::inside); }

}  // namespace

std::vector<IdRange> resolved(const std::vector<IdRange>& map, std::uint32_t own) {
    std::vector<IdRange> ranges = map;
    for (auto& range : ranges) {
        if (range.inside == own_id) range.inside = own;
        if (range.outside == own_id) range.outside = own;
    }
    sort_by_inside(ranges);
    return ranges;
}

std::optional<std::uint32_t> inside_of(const std::vector<IdRange>& map, std::uint32_t outside) {
    for (const auto& range : map) {
        if (outside >= range.outside && outside - range.outside < range.count) return range.inside + (outside - range.outside);
    }
    return std::nullopt;
}

std::string text_of(const std::vector<IdRange>& map) {
    std::string text;
    for (const auto& range : map) {
        text += std::to_string(range.inside) + " " + std::to_string(range.outside) + " " + std::to_string(range.count) + "\n";
    }
    return text;
}

std::optional<std::vector<IdRange>> parse_id_map(std::string_view text) {
    std::vector<IdRange> map;
    while (!text.empty()) {
        const auto inside = take_number(text);
        const auto outside = take_number(text);
        const auto count = take_number(text);
        if (!inside || !outside || !count || !text.starts_with('\n')) return std::nullopt;
        text.remove_prefix(1);
        map.push_back({*inside, *outside, *count});
    }
    sort_by_inside(map);
    return map;
}

std::string in_words(const std::vector<IdRange>& map) {
    std::string words;
    for (const auto& range : map) {
        words += (words.empty() ? "" : " ") + word_of(range.inside) + ":" + word_of(range.outside) + ":" + std::to_string(range.count);
    }
    return words.empty() ? "none" : words;
}

}  // namespace warder::sandbox
