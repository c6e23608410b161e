#include "policy/sentence.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace warder::policy {
namespace {

// One character of UTF-8, or one byte that is none.
struct Glyph {
    std::string_view bytes;
    std::uint32_t code = 0;
    bool valid = false;
};

constexpr std::uint8_t byte_at(std::string_view text, std::size_t at) { return static_cast<std::uint8_t>(text[at]); }

constexpr std::size_t length_by_first(std::uint8_t first) {
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return 2;
    if (first >= 0xe0 && first <= 0xef) return 3;
    if (first >= 0xf0 && first <= 0xf4) return 4;
    return 0;
}

// Overlong forms and surrogates are not characters.
constexpr bool shortest_form(std::uint32_t code, std::size_t length) {
    constexpr std::array<std::uint32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    return code >= smallest[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

Glyph first_glyph(std::string_view text) {
    const Glyph stray{text.substr(0, 1), byte_at(text, 0), false};
    const std::size_t length = length_by_first(byte_at(text, 0));
    if (length == 0 || length > text.size()) return stray;
    constexpr std::array<std::uint8_t, 5> payload{0, 0x7f, 0x1f, 0x0f, 0x07};
    std::uint32_t code = byte_at(text, 0) & payload[length];
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte_at(text, i) & 0xc0) != 0x80) return stray;
        code = (code << 6) | (byte_at(text, i) & 0x3fU);
    }
    return shortest_form(code, length) ? Glyph{text.substr(0, length), code, true} : stray;
}

struct Range {
    std::uint32_t first;
    std::uint32_t last;
};

// Control characters, line and paragraph separators, marks that reverse or hide text, and noncharacters.
constexpr std::array<Range, 11> dangerous{{{0x00, 0x1f},
                                           {0x7f, 0x9f},
                                           {0xad, 0xad},
                                           {0x61c, 0x61c},
                                           {0x180e, 0x180e},
                                           {0x200b, 0x200f},
                                           {0x2028, 0x202e},
                                           {0x2060, 0x206f},
                                           {0xfeff, 0xfeff},
                                           {0xfff0, 0xffff},
                                           {0xe0000, 0x10ffff}}};

bool shown_as_is(const Glyph& glyph) {
    if (!glyph.valid || glyph.code == '"' || glyph.code == '\\') return false;
    return std::ranges::none_of(
        dangerous, [&](const Range& range) { return glyph.code >= range.first && glyph.code <= range.last; });
}

using Escape = FixedString<12>;

Escape numbered(std::string_view prefix, std::uint32_t code, unsigned digits) {
    Escape out(prefix);
    for (unsigned left = digits; left > 0; --left) out.append("0123456789abcdef"[(code >> (4 * (left - 1))) & 0xf]);
    return out;
}

Escape escaped(const Glyph& glyph) {
    if (shown_as_is(glyph)) return Escape(glyph.bytes);
    if (!glyph.valid) return numbered("\\x", glyph.code, 2);
    switch (glyph.code) {
        case '"':
            return Escape("\\\"");
        case '\\':
            return Escape("\\\\");
        case '\n':
            return Escape("\\n");
        case '\r':
            return Escape("\\r");
        case '\t':
            return Escape("\\t");
        default:
            break;
    }
    return glyph.code <= 0xffff ? numbered("\\u", glyph.code, 4) : numbered("\\U", glyph.code, 8);
}

bool among(char one, std::string_view marks) {
    const bool letter = (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z');
    return letter || (one >= '0' && one <= '9') || marks.find(one) != std::string_view::npos;
}

bool all_among(std::string_view text, std::string_view marks) {
    return !text.empty() && std::ranges::all_of(text, [&](char one) { return among(one, marks); });
}

}  // namespace

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const Glyph glyph = first_glyph(text);
        if (!glyph.valid) return false;
        text.remove_prefix(glyph.bytes.size());
    }
    return true;
}

void append_quoted(Sentence& out, std::string_view text) { append_quoted(out, text, Sentence::capacity()); }

void append_quoted(Sentence& out, std::string_view text, std::size_t limit) {
    out.append('"');
    std::size_t used = 0;
    while (!text.empty()) {
        const Glyph glyph = first_glyph(text);
        const Escape shown = escaped(glyph);
        if (used + shown.size() > limit) break;
        used += shown.size();
        out.append(shown.view());
        text.remove_prefix(glyph.bytes.size());
    }
    out.append('"').append(text.empty() ? "" : "...");
}

void append_shown(Sentence& out, std::string_view text, std::size_t limit) {
    if (text.size() <= limit && all_among(text, "/._-+@:[]*%=~")) {
        out.append(text);
    } else {
        append_quoted(out, text, limit);
    }
}

void append_key(Sentence& out, std::string_view key) {
    if (all_among(key, "_-")) {
        out.append(key);
    } else {
        append_quoted(out, key);
    }
}

}  // namespace warder::policy
