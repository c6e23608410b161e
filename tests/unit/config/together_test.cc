#include "config/check.h"
#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::complaints;

std::string two_listeners(const std::string& first, const std::string& second) {
    return complaints("[worker.a]\nexec = \"/usr/bin/a\"\ngrants.x = { listen = " + first +
                      " }\n[worker.b]\nexec = \"/usr/bin/b\"\ngrants.y = { listen = " + second + " }\n");
}

TEST_CASE("an address that two grants listen on is told with both places") {
    CHECK_EQ(two_listeners("\"tcp:127.0.0.1:80\"", "\"tcp:127.0.0.1:80\""),
             "w.toml:6:23: error: \"tcp:127.0.0.1:80\" is taken already by grant \"x\" of worker \"a\" at w.toml:3\n"
             "    6 | grants.y = { listen = \"tcp:127.0.0.1:80\" }\n"
             "      |                       ^~~~~~~~~~~~~~~~~~ both may say reuse_port = true, to share it\n");
    CHECK_EQ(two_listeners("\"unix:/run/a\"", "\"unix-dgram:/run/a\""),
             "w.toml:6:23: error: \"unix-dgram:/run/a\" is taken already by grant \"x\" of worker \"a\" at w.toml:3\n"
             "    6 | grants.y = { listen = \"unix-dgram:/run/a\" }\n"
             "      |                       ^~~~~~~~~~~~~~~~~~~\n");
}

TEST_CASE("every address takes a port from each") {
    CHECK_NE(two_listeners("\"tcp:*:80\"", "\"tcp:10.0.0.1:80\""), "");
    CHECK_NE(two_listeners("\"tcp:[::1]:80\"", "\"tcp:[::]:80\""), "");
    CHECK_NE(two_listeners("\"tcp:[::]:80\", v6_only = false", "\"tcp:10.0.0.1:80\""), "");
}

TEST_CASE("listeners that do not meet are two") {
    CHECK_EQ(two_listeners("\"tcp:127.0.0.1:80\"", "\"tcp:127.0.0.1:81\""), "");
    CHECK_EQ(two_listeners("\"tcp:127.0.0.1:80\"", "\"udp:127.0.0.1:80\""), "");
    CHECK_EQ(two_listeners("\"tcp:127.0.0.1:80\"", "\"tcp:127.0.0.2:80\""), "");
    CHECK_EQ(two_listeners("\"tcp:*:80\"", "\"tcp:[::]:80\""), "");
    CHECK_EQ(two_listeners("\"tcp:*:0\"", "\"tcp:*:0\""), "");
    CHECK_EQ(two_listeners("\"unix:@a\"", "\"unix-dgram:@a\""), "");
    CHECK_EQ(two_listeners("\"unix:@a\"", "\"unix:/a\""), "");
    CHECK_EQ(two_listeners("\"tcp:*:80\", reuse_port = true", "\"tcp:*:80\", reuse_port = true"), "");
    CHECK_NE(two_listeners("\"tcp:*:80\", reuse_port = true", "\"tcp:*:80\""), "");
}

TEST_CASE("a range of uids that is too small is told at the first worker that gets none") {
    const std::string text = "[daemon]\nuid_range = \"70000-70001\"\n[worker.a]\nexec = \"/usr/bin/a\"\n"
                             "[worker.named]\nexec = \"/usr/bin/a\"\nuser = \"www\"\n"
                             "[worker.b]\nexec = \"/usr/bin/a\"\n";
    CHECK_EQ(complaints(text), "");
    CHECK_EQ(complaints(text + "[worker.c]\nexec = \"/usr/bin/a\"\n[worker.d]\nexec = \"/usr/bin/a\"\n"),
             "w.toml:10:9: error: \"uid_range\" of [daemon] has only 2 numbers, one for each worker\n"
             "   10 | [worker.c]\n"
             "      |         ^ widen it, or name a user\n");
}

TEST_CASE("who asks for a group needs cgroups") {
    CHECK_EQ(complaints("[daemon]\ncgroup = \"none\"\n[worker.a]\nexec = \"/usr/bin/a\"\nrequest_access = \"all\"\n"),
             "w.toml:5:18: error: request_access = \"all\" needs cgroups, and [daemon] says cgroup = \"none\"\n"
             "    5 | request_access = \"all\"\n"
             "      |                  ^~~~~\n");
}

TEST_CASE("problems are sorted by the order of the files, not by their names") {
    std::vector<Problem> problems(4);
    problems[0].where = {"a", 9, 1};
    problems[1].where = {"z", 2, 7};
    problems[2].where = {"z", 2, 3};
    problems[3].where = {"elsewhere", 0, 0};
    sort_problems(problems, {"z", "a"});
    CHECK_EQ(problems[0].where.column, 3);
    CHECK_EQ(problems[1].where.column, 7);
    CHECK_EQ(problems[2].where.file, "a");
    CHECK_EQ(problems[3].where.file, "elsewhere");
}

TEST_CASE("a warning is no error") {
    std::vector<Problem> problems(1);
    problems[0].severity = Severity::warning;
    CHECK_FALSE(any_error(problems));
    problems.emplace_back();
    CHECK(any_error(problems));
}

}  // namespace
}  // namespace warder::config
