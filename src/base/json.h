// Writing JSON, for the audit and for reports to operators. It only writes: nothing that runs as root reads JSON. The
// writer appends to a string of the caller's, so that a buffer that is used again is not allocated again.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace warder {

// Appends one JSON text to `out`. Commas and colons are put by the writer; nesting and keys are the caller's: begin and end
// must match, and in an object every value has its key first. Strings may hold any bytes: quotes, backslashes, control
// characters and what turns or hides text (base/utf8.h) are escaped, and what is not UTF-8 becomes U+FFFD, so the result is always valid JSON on one line.
class JsonWriter {
public:
    explicit JsonWriter(std::string& out) : out_(out) {}

    JsonWriter& begin_object();
    JsonWriter& end_object();
    JsonWriter& begin_array();
    JsonWriter& end_array();
    JsonWriter& key(std::string_view name);

    JsonWriter& string(std::string_view text);
    JsonWriter& boolean(bool value);
    JsonWriter& null();

    template <std::integral Number>
        requires(!std::same_as<Number, bool>)
    JsonWriter& number(Number value) {
        if constexpr (std::is_signed_v<Number>) return signed_number(value);
        else return unsigned_number(value);
    }
    // The shortest text that reads back as the same double; null for what JSON has no number for (infinities, NaN).
    JsonWriter& number(double value);

    // key() and a value in one.
    JsonWriter& member(std::string_view name, std::string_view text) { return key(name).string(text); }
    JsonWriter& member(std::string_view name, const char* text) { return key(name).string(text); }
    JsonWriter& member(std::string_view name, const std::string& text) { return key(name).string(text); }
    JsonWriter& member(std::string_view name, bool value) { return key(name).boolean(value); }
    JsonWriter& member(std::string_view name, double value) { return key(name).number(value); }
    template <std::integral Number>
        requires(!std::same_as<Number, bool>)
    JsonWriter& member(std::string_view name, Number value) {
        return key(name).number(value);
    }

private:
    JsonWriter& signed_number(std::int64_t value);
    JsonWriter& unsigned_number(std::uint64_t value);
    void before_value();
    void append_quoted(std::string_view text);

    std::string& out_;
    bool comma_ = false;   // something stands before in the same array or object
};

}  // namespace warder
