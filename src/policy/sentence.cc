#include "policy/sentence.h"

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"

namespace warder::policy {
namespace {

// U+FFFD is what others write for what they could not read.
bool shown_as_is(const Character& one) {
    if (!one.valid || one.code == '"' || one.code == '\\' || one.code == 0xfffd) return false;
    return !may_deceive(one.code);
}

using Escape = FixedString<12>;

Escape numbered(std::string_view prefix, std::uint32_t code, unsigned digits) {
    Escape out(prefix);
    for (unsigned left = digits; left > 0; --left) out.append("0123456789abcdef"[(code >> (4 * (left - 1))) & 0xf]);
    return out;
}

// `bytes` are the character's.
Escape escaped(const Character& one, std::string_view bytes) {
    if (shown_as_is(one)) return Escape(bytes);
    if (!one.valid) return numbered("\\x", one.code, 2);
    switch (one.code) {
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
    return one.code <= 0xffff ? numbered("\\u", one.code, 4) : numbered("\\U", one.code, 8);
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
        const Character one = first_character(text);
        if (!one.valid) return false;
        text.remove_prefix(one.size);
    }
    return true;
}

void append_quoted(Sentence& out, std::string_view text) { append_quoted(out, text, Sentence::capacity()); }

void append_quoted(Sentence& out, std::string_view text, std::size_t limit) {
    out.append('"');
    std::size_t used = 0;
    while (!text.empty()) {
        const Character one = first_character(text);
        const Escape shown = escaped(one, text.substr(0, one.size));
        if (used + shown.size() > limit) break;
        used += shown.size();
        out.append(shown.view());
        text.remove_prefix(one.size);
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
