#include "base/json.h"

#include <doctest/doctest.h>

#include <limits>

using warder::JsonWriter;

namespace {

std::string quoted(std::string_view text) {
    std::string out;
    JsonWriter(out).string(text);
    return out;
}

std::string as_number(double value) {
    std::string out;
    JsonWriter(out).number(value);
    return out;
}

}  // namespace

TEST_CASE("json: commas and colons stand where they belong, at every depth") {
    std::string out;
    JsonWriter json(out);
    json.begin_object().member("a", 1).key("b").begin_array().number(1).number(2).begin_object().end_object().end_array();
    json.key("c").begin_object().member("d", true).end_object().key("e").null().end_object();
    CHECK(out == R"({"a":1,"b":[1,2,{}],"c":{"d":true},"e":null})");
}

TEST_CASE("json: a text that is appended to a used buffer leaves what stood there") {
    std::string out = "before ";
    JsonWriter(out).begin_array().string("x").end_array();
    CHECK(out == "before [\"x\"]");
}

TEST_CASE("json: quotes, backslashes and control characters are escaped, so that a record is one line") {
    CHECK(quoted("a\"b\\c") == R"("a\"b\\c")");
    CHECK(quoted("line\nreturn\rtab\t") == R"("line\nreturn\rtab\t")");
    CHECK(quoted(std::string_view("\0\x01\x1f\x7f", 4)) == "\"\\u0000\\u0001\\u001f\\u007f\"");
    CHECK(quoted("\x1b[31m") == R"("\u001b[31m")");
}

TEST_CASE("json: keys are escaped like any string") {
    std::string out;
    JsonWriter(out).begin_object().member("a\"\n", "b").end_object();
    CHECK(out == R"({"a\"\n":"b"})");
}

TEST_CASE("json: UTF-8 of one to four bytes stays as it is") {
    const std::string text = "é € 𝄞 \xed\x9f\xbf";
    CHECK(quoted(text) == "\"" + text + "\"");
}

TEST_CASE("json: bytes that are no UTF-8 become U+FFFD, one by one") {
    const std::string bad = "\xef\xbf\xbd";
    CHECK(quoted("\xff") == "\"" + bad + "\"");
    CHECK(quoted("a\x80z") == "\"a" + bad + "z\"");
    CHECK(quoted("\xc3") == "\"" + bad + "\"");                      // cut short
    CHECK(quoted("\xc0\xaf") == "\"" + bad + bad + "\"");            // overlong '/'
    CHECK(quoted("\xed\xa0\x80") == "\"" + bad + bad + bad + "\"");  // a surrogate
    CHECK(quoted("\xf4\x90\x80\x80") == "\"" + bad + bad + bad + bad + "\"");   // above U+10FFFF
    CHECK(quoted("\xe2\x82\"") == "\"" + bad + bad + "\\\"\"");      // the quote after a cut sequence is still escaped
}

TEST_CASE("json: integers keep all their digits") {
    std::string out;
    JsonWriter json(out);
    json.begin_array();
    json.number(std::numeric_limits<std::int64_t>::min()).number(std::numeric_limits<std::uint64_t>::max());
    json.number(std::uint16_t{7}).end_array();
    CHECK(out == "[-9223372036854775808,18446744073709551615,7]");
}

TEST_CASE("json: doubles are the shortest that reads back, and null where JSON has no number") {
    CHECK(as_number(0.1) == "0.1");
    CHECK(as_number(1e300) == "1e+300");
    CHECK(as_number(std::numeric_limits<double>::infinity()) == "null");
    CHECK(as_number(std::numeric_limits<double>::quiet_NaN()) == "null");
}

TEST_CASE("json: what turns or hides text is escaped, and reads back as it was (T55)") {
    std::string out;
    JsonWriter(out).string("a\xe2\x80\xae" "b\xc2\x9b" "\xf3\xa0\x81\x81 \xc3\xa9");
    CHECK(out == "\"a\\u202eb\\u009b\\udb40\\udc41 \xc3\xa9\"");
}
