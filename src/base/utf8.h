// Text of others for people: what a terminal would obey, and what turns around or hides the text beside it. One table for
// everything that shows a worker's words: the audit, reports, status, logs, and our own log.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace warder {

struct Character {
    std::size_t size = 1;      // bytes
    std::uint32_t code = 0;
    bool valid = false;        // false: one byte that is no UTF-8 (overlong forms and surrogates are none)
};

// What a text that is not empty begins with.
constexpr Character first_character(std::string_view text) {
    const auto byte = [text](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
    const std::uint8_t first = byte(0);
    const std::size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (size == 0 || size > text.size()) return {1, first, false};
    std::uint32_t code = size == 1 ? first : first & (0x7fU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {1, first, false};
        code = (code << 6) | (byte(i) & 0x3fU);
    }
    constexpr std::array<std::uint32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    const bool shortest = code >= smallest[size] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return shortest ? Character{size, code, true} : Character{1, first, false};
}

// Control characters of both kinds, line and paragraph separators, marks that reverse or hide text, blanks that have no width,
// variation selectors, what Unicode has for private use in place of characters, and noncharacters.
constexpr bool may_deceive(std::uint32_t code) {
    struct Range {
        std::uint32_t first;
        std::uint32_t last;
    };
    constexpr std::array<Range, 15> ranges{{{0x00, 0x1f},
                                            {0x7f, 0x9f},
                                            {0xad, 0xad},
                                            {0x34f, 0x34f},
                                            {0x61c, 0x61c},
                                            {0x115f, 0x1160},
                                            {0x17b4, 0x17b5},
                                            {0x180b, 0x180f},
                                            {0x200b, 0x200f},
                                            {0x2028, 0x202e},
                                            {0x2060, 0x206f},
                                            {0x3164, 0x3164},
                                            {0xfeff, 0xfeff},
                                            {0xfff0, 0xfffc},
                                            {0xe0000, 0x10ffff}}};
    if (code < 0x7f) return code < 0x20;
    if ((code & 0xfffe) == 0xfffe || (code >= 0xfdd0 && code <= 0xfdef) || code == 0xffa0) return true;
    for (const auto& range : ranges) {
        if (code >= range.first && code <= range.last) return true;
    }
    return false;
}

// The same text with "\xNN" for each byte of what may deceive. Tabs stay.
inline std::string escaped_for_people(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const Character one = first_character(text);
        const std::string_view bytes = text.substr(0, one.size);
        const bool plain = one.valid && (one.code == '\t' || !may_deceive(one.code));
        if (plain) out += bytes;
        for (const char byte : plain ? std::string_view() : bytes) {
            const auto value = static_cast<std::uint8_t>(byte);
            out += "\\x";
            out += digits[value >> 4];
            out += digits[value & 0x0f];
        }
        text.remove_prefix(one.size);
    }
    return out;
}

}  // namespace warder
