#include "base/fixed_string.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

using namespace warder;

TEST_CASE("a fixed string holds what was appended, with a NUL behind") {
    FixedString<16> text("one");
    text.append(", ").append("two").append('!');
    CHECK(text.view() == "one, two!");
    CHECK(std::strlen(text.c_str()) == text.size());
    CHECK_FALSE(text.truncated());
}

TEST_CASE("a fixed string can be filled to the last byte") {
    FixedString<4> text("abcd");
    CHECK(text.view() == "abcd");
    CHECK_FALSE(text.truncated());
    CHECK(text.c_str()[4] == '\0');
}

TEST_CASE("what does not fit is cut, and that is remembered until it is cleared") {
    FixedString<4> text("abcde");
    CHECK(text.view() == "abcd");
    CHECK(text.truncated());
    text.append("");
    CHECK(text.truncated());
    text.clear();
    CHECK(text.empty());
    CHECK_FALSE(text.truncated());
    CHECK(text.append("x").view() == "x");
}

TEST_CASE("one byte too many is cut, and nothing behind it is written") {
    struct {
        FixedString<4> text;
        char guard = 'g';
    } both;
    for (int i = 0; i < 100; ++i) both.text.append("abc");
    CHECK(both.text.view() == "abca");
    CHECK(both.guard == 'g');
}

TEST_CASE("numbers are appended in any base") {
    FixedString<80> text;
    text.append_number(0).append(' ').append_number(UINT64_MAX).append(' ').append_number(0x2f, 16).append(' ');
    text.append_number(0644, 8);
    CHECK(text.view() == "0 18446744073709551615 2f 644");
    FixedString<64> bits;
    CHECK(bits.append_number(UINT64_MAX, 2).view() == std::string(64, '1'));
}

TEST_CASE("an embedded NUL is a byte like any other") {
    FixedString<8> text(std::string_view("a\0b", 3));
    CHECK(text.size() == 3);
    CHECK(text.view() == std::string_view("a\0b", 3));
}
