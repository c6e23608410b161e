#include "base/json.h"

#include <array>
#include <charconv>
#include <cmath>

namespace warder {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";   // U+FFFD

bool continues(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// The length of the well-formed UTF-8 sequence that `text` begins with (Unicode, table 3-7), or 0.
std::size_t sequence_length(std::string_view text) {
    const auto at = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const unsigned first = at(0);
    const unsigned second = at(1);
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4 || !continues(static_cast<unsigned char>(second))) return 0;
    if (first < 0xe0) return 2;
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
    if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
    if (!continues(static_cast<unsigned char>(at(2)))) return 0;
    if (first < 0xf0) return 3;
    return continues(static_cast<unsigned char>(at(3))) ? 4 : 0;
}

void append_hex_escape(std::string& out, unsigned char byte) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += "\\u00";
    out += digits[byte >> 4];
    out += digits[byte & 0x0f];
}

bool is_plain(char byte) { return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\'; }

// How many bytes can be taken over as they are: nearly always all of them.
std::size_t plain_prefix(std::string_view text) {
    std::size_t length = 0;
    while (length < text.size() && is_plain(text[length])) ++length;
    return length;
}

// One byte below 0x80.
void append_ascii(std::string& out, char byte) {
    switch (byte) {
        case '"': out += "\\\""; return;
        case '\\': out += "\\\\"; return;
        case '\n': out += "\\n"; return;
        case '\r': out += "\\r"; return;
        case '\t': out += "\\t"; return;
        default: break;
    }
    const auto value = static_cast<unsigned char>(byte);
    if (value < 0x20 || value == 0x7f) {
        append_hex_escape(out, value);
    } else {
        out += byte;
    }
}

}  // namespace

void JsonWriter::before_value() {
    if (comma_) out_ += ',';
    comma_ = true;
}

void JsonWriter::append_quoted(std::string_view text) {
    out_ += '"';
    for (;;) {
        const std::size_t plain = plain_prefix(text);
        out_ += text.substr(0, plain);
        text.remove_prefix(plain);
        if (text.empty()) break;
        const std::size_t length = sequence_length(text);
        if (length == 1) append_ascii(out_, text.front());
        if (length > 1) out_ += text.substr(0, length);
        if (length == 0) out_ += replacement;
        text.remove_prefix(length == 0 ? 1 : length);
    }
    out_ += '"';
}

JsonWriter& JsonWriter::begin_object() {
    before_value();
    out_ += '{';
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::end_object() {
    out_ += '}';
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::begin_array() {
    before_value();
    out_ += '[';
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::end_array() {
    out_ += ']';
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    before_value();
    append_quoted(name);
    out_ += ':';
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::string(std::string_view text) {
    before_value();
    append_quoted(text);
    return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
    before_value();
    out_ += value ? "true" : "false";
    return *this;
}

JsonWriter& JsonWriter::null() {
    before_value();
    out_ += "null";
    return *this;
}

JsonWriter& JsonWriter::signed_number(std::int64_t value) {
    before_value();
    std::array<char, 24> digits{};
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    out_.append(digits.data(), end);
    return *this;
}

JsonWriter& JsonWriter::unsigned_number(std::uint64_t value) {
    before_value();
    std::array<char, 24> digits{};
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    out_.append(digits.data(), end);
    return *this;
}

JsonWriter& JsonWriter::number(double value) {
    if (!std::isfinite(value)) return null();
    before_value();
    std::array<char, 32> digits{};
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    out_.append(digits.data(), end);
    return *this;
}

}  // namespace warder
