#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::complaints;
using testing::good;

const std::string web = "[worker.web]\nexec = \"/usr/bin/web\"\n[[expect]]\n";

Expectation one(const std::string& keys) { return good(web + keys).expectations.at(0); }

TEST_CASE("an expectation says who asks for what, and what becomes of it") {
    const Expectation made = one("worker = \"web\"\nrequest = \"create /srv/a b\"\nverdict = \"deny\"\nmode = \"0640\"\n"
                                 "grant = \"site\"\nby = \"site\"\nflags = [\"truncate\", \"exclusive\"]\n");
    CHECK_EQ(made.worker, "web");
    CHECK_EQ(made.operation, Operation::create);
    CHECK_EQ(made.target, "/srv/a b");
    CHECK_FALSE(made.allowed);
    CHECK_EQ(made.mode, 0640);
    CHECK_EQ(made.grant, "site");
    CHECK_EQ(made.by, "site");
    CHECK_EQ(made.flags, 6);
    CHECK_EQ(made.mark.where.line, 5);
}

TEST_CASE("an operation may have no target, a second one or a number") {
    CHECK_EQ(one("worker = \"web\"\nrequest = \"syslog\"\nverdict = \"deny\"\n").target, "");
    CHECK_EQ(one("worker = \"web\"\nrequest = \"rename /a/b\"\nsecond = \"/a/c\"\nverdict = \"deny\"\n").second, "/a/c");
    CHECK_EQ(one("worker = \"web\"\nrequest = \"signal db\"\nargument = 1\nverdict = \"deny\"\n").argument, 1);
    CHECK_EQ(one("worker = \"web\"\nrequest = \"access /a\"\nverdict = \"deny\"\n").mode, 4);
}

TEST_CASE("several expectations are kept in their order, of all files") {
    const std::string more = "worker = \"web\"\nverdict = \"deny\"\nrequest = \"read /";
    const Parsed parsed = parse({{"a.toml", web + more + "a\"\n[[expect]]\n" + more + "b\"\n"},
                                 {"b.toml", "[[expect]]\n" + more + "c\"\n"}});
    REQUIRE(parsed.ok());
    REQUIRE_EQ(parsed.config.expectations.size(), 3);
    CHECK_EQ(parsed.config.expectations[1].target, "/b");
    CHECK_EQ(parsed.config.expectations[2].mark.where.file, "b.toml");
}

TEST_CASE("what is missing or misspelt in an expectation is told") {
    CHECK_EQ(complaints(web + "worker = \"web\"\nrequest = \"raed /a\"\nverdict = \"alow\"\n"),
             "w.toml:5:11: error: \"raed\" is no operation\n"
             "    5 | request = \"raed /a\"\n"
             "      |           ^~~~~~~~~ did you mean \"read\"?\n"
             "w.toml:6:11: error: \"verdict\" cannot be \"alow\"\n"
             "    6 | verdict = \"alow\"\n"
             "      |           ^~~~~~ did you mean \"allow\"?\n");
    const std::string bare = complaints(web + "wroker = \"web\"\n");
    for (const auto* part : {"has no \"worker\"", "has no \"request\"", "has no \"verdict\"", "did you mean \"worker\"?"}) {
        CAPTURE(part);
        CHECK_NE(bare.find(part), std::string::npos);
    }
    CHECK_NE(complaints("[worker.web]\nexec = \"/usr/bin/web\"\n[expect]\n").find("\"expect\" is a table, but must be a list"),
             std::string::npos);
    CHECK_NE(complaints("expect = [1]\n").find("an entry of \"expect\" is a whole number"), std::string::npos);
}

}  // namespace
}  // namespace warder::config
