#include "policy/sentence.h"

#include <doctest/doctest.h>

#include <string>

using namespace warder::policy;
using namespace std::string_view_literals;

namespace {

std::string quoted(std::string_view text) {
    Sentence out;
    append_quoted(out, text);
    return std::string(out.view());
}

std::string shown(std::string_view text, std::size_t limit = 60) {
    Sentence out;
    append_shown(out, text, limit);
    return std::string(out.view());
}

}  // namespace

TEST_CASE("quotes, backslashes and control characters are escaped as TOML reads them") {
    CHECK(quoted("plain") == "\"plain\"");
    CHECK(quoted("a\"b\\c") == R"("a\"b\\c")");
    CHECK(quoted("a\nb\rc\td") == R"("a\nb\rc\td")");
    CHECK(quoted("\x1b[31m\0\x7f"sv) == R"("\u001b[31m\u0000\u007f")");
}

TEST_CASE("UTF-8 stays, but for what hides, reverses or breaks a line") {
    CHECK(quoted("é漢😀") == "\"é漢😀\"");
    CHECK(quoted("\u202ea") == R"("\u202ea")");
    CHECK(quoted("a\u2028b") == R"("a\u2028b")");
    CHECK(quoted("\u0085") == R"("\u0085")");
    CHECK(quoted("\ufeff") == R"("\ufeff")");
    CHECK(quoted("\ufffc\ufffd") == R"("\ufffc\ufffd")");
    CHECK(quoted("a\u3164\u115f\u034fb") == R"("a\u3164\u115f\u034fb")");   // blanks that are letters, and a joiner of graphemes
    CHECK(quoted("\U000e0041") == R"("\U000e0041")");
}

TEST_CASE("bytes that are not UTF-8 are shown one by one") {
    CHECK(quoted("\xff") == R"("\xff")");
    CHECK(quoted("a\xc3") == R"("a\xc3")");
    CHECK(quoted("\xc3(") == R"("\xc3(")");
    CHECK(quoted("\xc0\x80") == R"("\xc0\x80")");
    CHECK(quoted("\xed\xa0\x80") == R"("\xed\xa0\x80")");
    CHECK(quoted("\xf4\x90\x80\x80") == R"("\xf4\x90\x80\x80")");
    CHECK(quoted("\xe2\x82") == R"("\xe2\x82")");
}

TEST_CASE("what is UTF-8 is told from what is not") {
    CHECK(is_utf8(""));
    CHECK(is_utf8("aé漢😀\x7f"));
    CHECK(is_utf8("\xf4\x8f\xbf\xbf"));
    for (const auto text :
         {"\x80"sv, "\xff"sv, "\xc1\xbf"sv, "\xe0\x80\x80"sv, "\xed\xbf\xbf"sv, "\xf5\x80\x80\x80"sv, "a\xe2\x82"sv}) {
        CHECK_FALSE(is_utf8(text));
    }
}

TEST_CASE("a text that is cut is cut between characters, outside of escapes, and says so") {
    Sentence out;
    append_quoted(out, "abcdef", 3);
    CHECK(out.view() == "\"abc\"...");
    out.clear();
    append_quoted(out, "ab\ncd", 3);
    CHECK(out.view() == "\"ab\"...");
    out.clear();
    append_quoted(out, "aé", 2);
    CHECK(out.view() == "\"a\"...");
    out.clear();
    append_quoted(out, "abc", 3);
    CHECK(out.view() == "\"abc\"");
}

TEST_CASE("only short texts of harmless characters are shown without quotes") {
    CHECK(shown("/srv/www/index.html") == "/srv/www/index.html");
    CHECK(shown("tcp:[::1]:80") == "tcp:[::1]:80");
    CHECK(shown("/a b") == "\"/a b\"");
    CHECK(shown("/a; to allow it") == "\"/a; to allow it\"");
    CHECK(shown("") == "\"\"");
    CHECK(shown("/abcdef", 4) == "\"/abc\"...");
}

TEST_CASE("a key is bare where TOML allows it") {
    const auto key = [](std::string_view name) {
        Sentence out;
        append_key(out, name);
        return std::string(out.view());
    };
    CHECK(key("site-2_b") == "site-2_b");
    CHECK(key("web@1") == "\"web@1\"");
    CHECK(key("a.b") == "\"a.b\"");
    CHECK(key("") == "\"\"");
}
