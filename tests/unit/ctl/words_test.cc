#include "ctl/words.h"

#include <doctest/doctest.h>

using namespace warder::ctl;

TEST_CASE("words: a duration is its two largest units") {
    CHECK(duration_in_words(0) == "0ms");
    CHECK(duration_in_words(-5) == "0ms");
    CHECK(duration_in_words(250) == "250ms");
    CHECK(duration_in_words(1'999) == "1s");
    CHECK(duration_in_words(182'000) == "3min 2s");
    CHECK(duration_in_words(180'000) == "3min");
    CHECK(duration_in_words(3'600'000) == "1h");
    CHECK(duration_in_words(3'605'000) == "1h");   // seconds are no news after an hour
    CHECK(duration_in_words(86'400'000LL * 12 + 3'600'000 * 3 + 60'000) == "12d 3h");
}

TEST_CASE("words: sizes keep two or three digits") {
    CHECK(size_in_words(0) == "0 B");
    CHECK(size_in_words(1023) == "1023 B");
    CHECK(size_in_words(1536) == "1.5 KiB");
    CHECK(size_in_words(200ULL << 20) == "200 MiB");
    CHECK(size_in_words(3ULL << 40) == "3.0 TiB");
}

TEST_CASE("words: one is singular") {
    CHECK(counted(0, "error") == "0 errors");
    CHECK(counted(1, "error") == "1 error");
    CHECK(counted(2, "error") == "2 errors");
}

TEST_CASE("words: a worker's text cannot steer the terminal") {
    CHECK(printable("plain é € 𝄞\ttab") == "plain é € 𝄞\ttab");
    CHECK(printable("\x1b[2J") == "\\x1b[2J");
    CHECK(printable("a\rb\nc\x7f") == "a\\x0db\\x0ac\\x7f");
    CHECK(printable("\xc2\x9b" "31m") == "\\xc2\\x9b31m");   // CSI as one code point
    CHECK(printable("\xff\xc3") == "\\xff\\xc3");
    CHECK(printable(std::string_view("\0", 1)) == "\\x00");
}

TEST_CASE("words: text of a worker can neither be turned around nor hidden (T55)") {
    CHECK(printable("a\xe2\x80\xae" "b") == "a\\xe2\\x80\\xaeb");           // U+202E
    CHECK(printable("\xe2\x81\xa6\xe2\x80\x8b") == "\\xe2\\x81\\xa6\\xe2\\x80\\x8b");   // U+2066, U+200B
    CHECK(printable("\xe2\x80\xa8") == "\\xe2\\x80\\xa8");                  // a line separator
    CHECK(printable("\xed\xa0\x80\xc0\xaf") == "\\xed\\xa0\\x80\\xc0\\xaf");   // a surrogate, an overlong slash
    CHECK(printable("\xf3\xa0\x81\x81") == "\\xf3\\xa0\\x81\\x81");         // a tag character
}

TEST_CASE("words: a column is a code point, not a byte") {
    CHECK(width_of("abc") == 3);
    CHECK(width_of("né…") == 3);
}
