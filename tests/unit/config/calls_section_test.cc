#include "unit/config/one.h"

namespace warder::config {
namespace {

sandbox::Calls calls(const std::string& keys) { return testing::worker("[worker.web.sandbox]\n" + keys).sandbox.calls; }
std::string complaints_of(const std::string& keys) { return testing::worker_complaints("[worker.web.sandbox]\n" + keys); }

TEST_CASE("the filter begins with the calls of a usual program, or with what is written") {
    CHECK_EQ(calls("").base, std::vector<std::string>{"@strict-service"});
    CHECK_EQ(calls("profile = \"service\"\n").base, std::vector<std::string>{"@system-service"});
    CHECK_EQ(calls("calls = [\"@default\", \"read\"]\n").base, std::vector<std::string>{"@default", "read"});
}

TEST_CASE("a denied call may have an errno of its own") {
    const auto denied = calls("deny_calls = [\"ptrace\", \"@mount:ENOSYS\"]\n").deny;
    REQUIRE_EQ(denied.size(), 2);
    CHECK_EQ(denied[0].error, EPERM);
    CHECK_EQ(denied[1].name, "@mount");
    CHECK_EQ(denied[1].error, ENOSYS);
    CHECK_NE(complaints_of("deny_calls = [\"ptrace:EWHAT\"]\n").find("names no errno"), std::string::npos);
}

TEST_CASE("a name that is no call or group is told, with what was perhaps meant") {
    CHECK_NE(complaints_of("allow_calls = [\"ptrase\"]\n").find("did you mean \"ptrace\"?"), std::string::npos);
    CHECK_NE(complaints_of("kill_calls = [\"@mounts\"]\n").find("there is no group of calls \"@mounts\""), std::string::npos);
    CHECK_NE(complaints_of("kill_calls = [\"@mounts\"]\n").find("did you mean \"@mount\"?"), std::string::npos);
    CHECK_NE(complaints_of("allow_calls = [\"bpf\"]\ndeny_calls = [\"bpf\"]\n").find("both allowed and denied"), std::string::npos);
}

TEST_CASE("a rule is about one argument of one call") {
    const auto rules = calls("call_rules = [{ call = \"prctl\", argument = 0, equals = 4, errno = \"EACCES\" },\n"
                             "{ call = \"socket\", argument = 1, differs = 1, mask = 0xf }]\n").rules;
    REQUIRE_EQ(rules.size(), 2);
    CHECK_EQ(rules[0].call, "prctl");
    CHECK_EQ(rules[0].value, 4);
    CHECK_EQ(rules[0].error, EACCES);
    CHECK_FALSE(rules[0].differs);
    CHECK(rules[1].differs);
    CHECK_EQ(rules[1].mask, 0xf);
    for (const char* rule : {"{ call = \"prctl\" }", "{ equals = 1 }", "{ call = \"@mount\", equals = 1 }",
                             "{ call = \"prctl\", equals = 1, differs = 2 }", "{ call = \"prctl\", equals = 1, argument = 6 }",
                             "{ call = \"prctl\", equals = 1, errno = \"E\" }", "\"prctl\""}) {
        CAPTURE(rule);
        CHECK_NE(complaints_of("call_rules = [" + std::string(rule) + "]\n"), "");
    }
}

}  // namespace
}  // namespace warder::config
