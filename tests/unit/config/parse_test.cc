#include <algorithm>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using testing::complaints;
using testing::good;
using testing::shown;

TEST_CASE("an empty file is a config with defaults and no workers") {
    const Config config = good("");
    CHECK(config.workers.empty());
    CHECK_EQ(config.daemon.runtime_directory, "/run/warder");
    CHECK_EQ(config.daemon.openers, 2);
    CHECK_EQ(config.files, std::vector<std::string>{"w.toml"});
}

TEST_CASE("no file at all is a config too") { CHECK(parse({}).ok()); }

TEST_CASE("a syntax error is shown in its place") {
    CHECK_EQ(complaints("[worker.web\nexec = 1\n"),
             "w.toml:1:12: error: syntax error: parsing table header: expected ']', saw '\\n'\n"
             "    1 | [worker.web\n"
             "      |            ^\n");
}

TEST_CASE("a key given twice is a syntax error") {
    CHECK_EQ(complaints("[daemon]\nopener_processes = 1\nopener_processes = 2\n"),
             "w.toml:3:20: error: syntax error: parsing key-value pair: cannot redefine existing integer 'opener_processes'\n"
             "    3 | opener_processes = 2\n"
             "      |                    ^\n");
}

TEST_CASE("a string that is not closed is a syntax error on one line") {
    const std::string text = complaints("a = \"x\nb = 1\n");
    CHECK(text.starts_with("w.toml:1:7: error: syntax error: parsing string: "));
    CHECK_EQ(std::count(text.begin(), text.end(), '\n'), 3);
}

TEST_CASE("where toml++ would abort, there is a complaint") {
    CHECK_EQ(complaints("# \xc3\xa9\na = [1, \"\xc3\xa9\", }]\n"),
             "w.toml:2:14: error: syntax error: this cannot stand here\n"
             "    2 | a = [1, \"\xc3\xa9\", }]\n"
             "      |              ^\n");
    CHECK_EQ(complaints("a=[}"),
             "w.toml:1:4: error: syntax error: this cannot stand here\n"
             "    1 | a=[}\n"
             "      |    ^\n");
}

TEST_CASE("bytes that are not UTF-8 are a syntax error") {
    CHECK_EQ(complaints("a = \"\xff\"\n"),
             "w.toml:1:5: error: syntax error: Encountered invalid utf-8 sequence\n"
             "    1 | a = \"?\"\n"
             "      |     ^\n");
}

TEST_CASE("of each file the first syntax error is told, and all else of the files that can be read") {
    const Parsed parsed = parse({{"a.toml", "x = \n"}, {"b.toml", "[daemon]\nopener_processez = 1\n"}, {"c.toml", "y = \n"}});
    CHECK_FALSE(parsed.ok());
    CHECK_EQ(shown(parsed.problems),
             "a.toml:1:5: error: syntax error: parsing key-value pair: expected value, saw '\\n'\n"
             "    1 | x = \n"
             "      |     ^\n"
             "b.toml:2:1: error: unknown key \"opener_processez\" in [daemon]\n"
             "    2 | opener_processez = 1\n"
             "      | ^~~~~~~~~~~~~~~~ did you mean \"opener_processes\"?\n"
             "c.toml:1:5: error: syntax error: parsing key-value pair: expected value, saw '\\n'\n"
             "    1 | y = \n"
             "      |     ^\n");
}

TEST_CASE("all errors of a file come at once, in the order of their places") {
    CHECK_EQ(complaints("[worker.web]\n"
                        "exec = \"/usr/bin/web\"\n"
                        "redy = \"exec\"\n"
                        "stop_timeout = 10\n"
                        "[worker.web.grants]\n"
                        "http = { lisen = \"tcp:127.0.0.1:8080\" }\n"
                        "[daemon]\n"
                        "opener_processes = 0\n"),
             "w.toml:3:1: error: unknown key \"redy\" in worker \"web\"\n"
             "    3 | redy = \"exec\"\n"
             "      | ^~~~ did you mean \"ready\"?\n"
             "w.toml:4:16: error: \"stop_timeout\" needs a unit\n"
             "    4 | stop_timeout = 10\n"
             "      |                ^~ write \"10s\"\n"
             "w.toml:6:10: error: unknown key \"lisen\" in grant \"http\" of worker \"web\"\n"
             "    6 | http = { lisen = \"tcp:127.0.0.1:8080\" }\n"
             "      |          ^~~~~ did you mean \"listen\"?\n"
             "w.toml:8:20: error: \"opener_processes\" must be from 1 to 64\n"
             "    8 | opener_processes = 0\n"
             "      |                    ^\n");
}

TEST_CASE("a byte order mark and CRLF change no column") {
    CHECK_EQ(complaints("\xef\xbb\xbfopener_processez = 1\r\n[daemon]\r\nlog_keeper = 3\r\n"),
             "w.toml:1:1: error: unknown key \"opener_processez\" in the file\n"
             "    1 | opener_processez = 1\n"
             "      | ^~~~~~~~~~~~~~~~ there are [daemon], [worker.NAME] and [[expect]]\n"
             "w.toml:3:14: error: \"log_keeper\" is a whole number, but must be true or false\n"
             "    3 | log_keeper = 3\n"
             "      |              ^ write true or false\n");
}

TEST_CASE("workers and grants stand in the order of the files, not of their names") {
    const Config config = good("[worker.z]\nexec = \"/usr/bin/z\"\n[worker.z.grants]\nb = { read = \"/b\" }\na = { read = "
                               "\"/a\" }\n[worker.a]\nexec = \"/usr/bin/a\"\n");
    REQUIRE_EQ(config.workers.size(), 2);
    CHECK_EQ(config.workers[0].name, "z");
    CHECK_EQ(config.workers[1].name, "a");
    CHECK_EQ(config.workers[0].grants.at(0).name, "b");
    CHECK_EQ(config.workers[0].grants.at(1).name, "a");
}

TEST_CASE("later files override keys of [daemon] one by one and add workers") {
    const Parsed parsed = parse({{"a.toml", "[daemon]\nopener_processes = 3\ncontrol_group = \"a\"\n[worker.x]\nexec = \"/usr/bin/x\"\n"},
                                 {"b.toml", "[daemon]\nopener_processes = 4\n[daemon.logging]\nkeep = 9\n"},
                                 {"c.toml", "[worker.y]\nexec = \"/usr/bin/y\"\n"}});
    REQUIRE_EQ(shown(parsed.problems), "");
    CHECK_EQ(parsed.config.daemon.openers, 4);
    CHECK_EQ(parsed.config.daemon.control_group, "a");
    REQUIRE_EQ(parsed.config.workers.size(), 2);
    CHECK_EQ(parsed.config.workers[1].where.file, "c.toml");
    // A worker inherits from [daemon] of whatever file.
    CHECK_EQ(parsed.config.workers[0].logging.keep, 9);
}

TEST_CASE("a worker of two files is an error that names both places") {
    const std::string worker = "[worker.web]\nexec = \"/usr/bin/web\"\n";
    CHECK_EQ(shown(parse({{"a.toml", "\n" + worker}, {"b.toml", worker}}).problems),
             "b.toml:1:9: error: worker \"web\" is already at a.toml:2\n"
             "    1 | [worker.web]\n"
             "      |         ^~~\n");
}

TEST_CASE("a table of another name is an error") {
    CHECK_EQ(complaints("[workers.web]\nexec = \"/usr/bin/web\"\n"),
             "w.toml:1:2: error: unknown key \"workers\" in the file\n"
             "    1 | [workers.web]\n"
             "      |  ^~~~~~~ did you mean \"worker\"? each worker is a table [worker.NAME]\n");
    CHECK_EQ(complaints("daemon = 3\nworker = []\n"),
             "w.toml:1:10: error: \"daemon\" is a whole number, but must be a table\n"
             "    1 | daemon = 3\n"
             "      |          ^ write [daemon]\n"
             "w.toml:2:10: error: \"worker\" is a list, but must be a table\n"
             "    2 | worker = []\n"
             "      |          ^~ write [worker.NAME]\n");
}

TEST_CASE("a file of 1 MiB is read whole") {
    std::string text;
    std::size_t workers = 0;
    while (text.size() < (1U << 20)) {
        const std::string name = "w" + std::to_string(workers++);
        text += "[worker." + name + "]\nexec = \"/usr/bin/web\"\nuser = \"" + name + "\"\n[worker." + name +
                ".grants]\nsite = { read = \"/srv/" + name + "\" }\n";
    }
    CHECK_EQ(good(text).workers.size(), workers);
}

TEST_CASE("nesting without end is an error, not the end of the stack") {
    const std::string lists = complaints("a = " + std::string(500'000, '[') + "\n");
    CHECK_NE(lists.find("error: syntax error: parsing value: exceeded maximum nested value depth"), std::string::npos);
    std::string dots = "[a";
    for (int i = 0; i < 500'000; ++i) dots += ".a";
    CHECK(complaints(dots + "]\n").starts_with("w.toml:1:67: error: a key of more than 32 parts\n"));
}

TEST_CASE("dots in strings and comments are not counted") {
    const std::string dots(100, '.');
    CHECK_EQ(good("# " + dots + "\n[daemon]\ncontrol_group = \"\\\"" + dots + "\" # " + dots + "\n").daemon.control_group,
             "\"" + dots);
    CHECK_EQ(good("[daemon]\ncontrol_group = '''\n" + dots + "'''\n").daemon.control_group, dots);
}

}  // namespace
}  // namespace warder::config
