#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::complaints;

const std::vector<std::string_view> keys = {"listen", "read", "environment", "supplementary_groups", "user", "exec"};

TEST_CASE("a typing error is near to what was meant") {
    CHECK_EQ(nearest("lisen", keys), "listen");
    CHECK_EQ(nearest("Listen", keys), "listen");
    CHECK_EQ(nearest("raed", keys), "read");
    CHECK_EQ(nearest("usr", keys), "user");
    CHECK_EQ(nearest("enviroment", keys), "environment");
}

TEST_CASE("the beginning or the end of a key is near to it") {
    CHECK_EQ(nearest("env", keys), "environment");
    CHECK_EQ(nearest("groups", keys), "supplementary_groups");
}

TEST_CASE("another word is near to nothing") {
    CHECK_EQ(nearest("banana", keys), "");
    CHECK_EQ(nearest("", keys), "");
    CHECK_EQ(nearest("x", keys), "");
    CHECK_EQ(nearest(std::string(5000, 'l'), keys), "");
    CHECK_EQ(nearest("listen", {}), "");
}

TEST_CASE("a problem without a place names its file alone") {
    Problem problem;
    problem.where.file = "/etc/warder/warder.toml";
    problem.what = "cannot be read: No such file or directory";
    CHECK_EQ(format(problem), "/etc/warder/warder.toml: error: cannot be read: No such file or directory\n");
    problem.suggestion = "make it";
    CHECK_EQ(format(problem),
             "/etc/warder/warder.toml: error: cannot be read: No such file or directory\n      make it\n");
}

TEST_CASE("a warning says that it is one") {
    Problem problem{Severity::warning, {"w.toml", 12, 3}, "odd", "", "a = b", 1, 1};
    CHECK_EQ(format(problem), "w.toml:12:3: warning: odd\n   12 | a = b\n      |   ^\n");
}

TEST_CASE("line numbers of six digits push the margin, and the caret stays right") {
    Problem problem{Severity::error, {"w.toml", 123456, 5}, "odd", "try c", "a = bb", 2, 1};
    CHECK_EQ(format(problem), "w.toml:123456:5: error: odd\n 123456 | a = bb\n        |     ^~ try c\n");
}

TEST_CASE("under a tab stands a tab, so that the caret is right at any width") {
    CHECK_EQ(complaints("\t\topeners\t= 1\n"),
             "w.toml:1:3: error: unknown key \"openers\" in the file\n"
             "    1 | \t\topeners\t= 1\n"
             "      | \t\t^~~~~~~ there are [daemon], [worker.NAME] and [[expect]]\n");
}

TEST_CASE("columns count characters, not bytes") {
    CHECK_EQ(complaints("[daemon]\nlog_keeper = { \"\xc3\xa9t\xc3\xa9\" = 1, a = 2 }\n"),
             "w.toml:2:14: error: \"log_keeper\" is a table, but must be true or false\n"
             "    2 | log_keeper = { \"\xc3\xa9t\xc3\xa9\" = 1, a = 2 }\n"
             "      |              ^~~~~~~~~~~~~~~~~~~~ write true or false\n");
}

TEST_CASE("what goes on over lines is underlined to the end of its first") {
    CHECK_EQ(complaints("[daemon]\nopener_processes = [1,\n  2]\n"),
             "w.toml:2:20: error: \"opener_processes\" is a list, but must be a whole number\n"
             "    2 | opener_processes = [1,\n"
             "      |                    ^~~\n");
}

TEST_CASE("of a very long line the part around the place is shown") {
    const std::string text = "[daemon]\n" + std::string(5000, ' ') + "opener_processez = 1 # " + std::string(5000, 'x') + "\n";
    const std::string shown = complaints(text);
    CHECK(shown.starts_with("w.toml:2:5001: error: unknown key \"opener_processez\" in [daemon]\n    2 | "));
    CHECK_NE(shown.find("      | " + std::string(59, ' ') + "^~~~~~~~~~~~~~~~ did you mean \"opener_processes\"?\n"), std::string::npos);
    CHECK_LT(shown.size(), 500);
}

TEST_CASE("control characters of a file do not reach the terminal") {
    Problem problem{Severity::error, {"w.toml", 1, 1}, "odd", "", "a\x1b[31m\xc2\x9b\xff\x01", 1, 1};
    CHECK_EQ(format(problem), "w.toml:1:1: error: odd\n    1 | a?[31m???\n      | ^\n");
}

}  // namespace
}  // namespace warder::config
