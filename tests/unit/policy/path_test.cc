#include "policy/path.h"

#include <doctest/doctest.h>

#include <string>

using namespace warder::policy;
using namespace std::string_view_literals;

TEST_CASE("a clean absolute path begins with one slash and has only real names") {
    CHECK(clean_absolute("/a"));
    CHECK(clean_absolute("/srv/www/index.html"));
    CHECK(clean_absolute("/a/..b/...c/.d"));
    CHECK(clean_absolute("/with space/\n/quote\""));
}

TEST_CASE("T22: relative, empty and unclean texts are not absolute paths") {
    for (const auto path : {""sv, "a"sv, "a/b"sv, "/"sv, "//"sv, "//a"sv, "/a//b"sv, "/a/"sv, "/."sv, "/.."sv,
                            "/a/./b"sv, "/a/../b"sv, "/a/.."sv, "/a/."sv, "./a"sv, "../a"sv}) {
        CAPTURE(path);
        CHECK_FALSE(clean_absolute(path));
    }
}

TEST_CASE("T22: an embedded NUL makes a path unclean, wherever it stands") {
    CHECK_FALSE(clean_absolute("/a\0"sv));
    CHECK_FALSE(clean_absolute("/a\0/b"sv));
    CHECK_FALSE(clean_absolute("/\0a"sv));
    CHECK_FALSE(clean_relative("\0"sv));
    CHECK_FALSE(clean_relative("a\0b"sv));
}

TEST_CASE("T22: bytes that are not UTF-8 are names like any other") {
    CHECK(clean_absolute("/\xff\xfe/\x80"));
    CHECK(clean_relative("\xc3\x28"));
}

TEST_CASE("T22: a path may have 4,095 bytes and not 4,096") {
    const std::string longest = "/" + std::string(max_path - 1, 'a');
    CHECK(clean_absolute(longest));
    CHECK_FALSE(clean_absolute(longest + "a"));
    CHECK(clean_relative(std::string(max_path, 'a')));
    CHECK_FALSE(clean_relative(std::string(max_path + 1, 'a')));
}

TEST_CASE("a clean relative path has no slash before or behind") {
    CHECK(clean_relative("a"));
    CHECK(clean_relative("a/b/c.d"));
    CHECK(clean_relative(".hidden"));
    for (const auto path : {""sv, "/a"sv, "a/"sv, "a//b"sv, "."sv, ".."sv, "a/.."sv, "./a"sv, "a/./b"sv, "../a"sv}) {
        CAPTURE(path);
        CHECK_FALSE(clean_relative(path));
    }
}

TEST_CASE("a directory covers what is below it, not itself and not its namesakes") {
    CHECK(covers("/srv/www", "/srv/www/a"));
    CHECK(covers("/srv/www", "/srv/www/a/b"));
    CHECK_FALSE(covers("/srv/www", "/srv/www"));
    CHECK_FALSE(covers("/srv/www", "/srv/wwwx"));
    CHECK_FALSE(covers("/srv/www", "/srv/wwwx/a"));
    CHECK_FALSE(covers("/srv/www", "/srv/ww/w"));
    CHECK_FALSE(covers("/srv/www", "/srv"));
    CHECK_FALSE(covers("/srv/www", "/other/srv/www/a"));
}

TEST_CASE("the root directory covers every path") {
    CHECK(covers("/", "/a"));
    CHECK(covers("/", "/a/b"));
    CHECK_FALSE(covers("/", "/"));
}

TEST_CASE("what remains below a directory has no slash in front") {
    CHECK(below("/srv/www", "/srv/www/a/b") == "a/b");
    CHECK(below("/", "/a/b") == "a/b");
}

TEST_CASE("a path is taken apart into directory and name") {
    CHECK(directory_of("/a/b") == "/a");
    CHECK(directory_of("/a") == "/");
    CHECK(directory_of("a/b") == "a");
    CHECK(directory_of("a") == "");
    CHECK(name_of_file("/a/b") == "b");
    CHECK(name_of_file("/a") == "a");
    CHECK(name_of_file("a") == "a");
}

TEST_CASE("a pattern's star takes any run of bytes, its question mark one byte") {
    CHECK(matches("*", "anything"));
    CHECK(matches("*.html", "index.html"));
    CHECK(matches("*.html", "a.html.html"));
    CHECK_FALSE(matches("*.html", "index.htm"));
    CHECK_FALSE(matches("*.html", "index.html.php"));
    CHECK(matches("a*b*c", "aXXbYYc"));
    CHECK(matches("a*b*c", "abc"));
    CHECK_FALSE(matches("a*b*c", "acb"));
    CHECK(matches("a?c", "abc"));
    CHECK_FALSE(matches("a?c", "ac"));
    CHECK_FALSE(matches("a?c", "abbc"));
    CHECK(matches("a**b", "ab"));
    CHECK(matches("log*", "log"));
    CHECK_FALSE(matches("", "a"));
    CHECK(matches("", ""));
    CHECK(matches("*", ""));
    CHECK_FALSE(matches("?", ""));
}

TEST_CASE("brackets and backslashes in a pattern stand for themselves") {
    CHECK(matches("[ab]", "[ab]"));
    CHECK_FALSE(matches("[ab]", "a"));
    CHECK(matches("a\\*", "a\\x"));
    CHECK_FALSE(matches("a\\*", "a*"));
}

TEST_CASE("a leading dot is matched only by a dot") {
    CHECK_FALSE(matches("*", ".htpasswd"));
    CHECK_FALSE(matches("?htpasswd", ".htpasswd"));
    CHECK(matches(".*", ".htpasswd"));
    CHECK(matches("*.x", "a.x"));
}

TEST_CASE("a pattern of many stars is answered at once") {
    std::string pattern;
    for (int i = 0; i < 60; ++i) pattern += "*a";
    CHECK_FALSE(matches(pattern + "b", std::string(4000, 'a')));
}
