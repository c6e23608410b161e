#include "unit/config/one.h"

namespace warder::config {
namespace {

using namespace std::chrono_literals;
using testing::complaints;
using testing::good;

TEST_CASE("every key of [daemon] is read") {
    const Daemon daemon = good(R"(
[daemon]
runtime_directory = "/run/w"
state_directory = "/var/lib/w"
log_directory = "/var/log/w"
control_socket = "/run/other.sock"
control_group = "adm"
cgroup = "/sys/fs/cgroup/warder"
uid_range = "70000-70009"
opener_processes = 7
spare_sandboxes = 3
request_timeout = "250ms"
log_keeper = false
[daemon.logging]
max_size = "1MiB"
keep = 2
)").daemon;
    CHECK_EQ(daemon.runtime_directory, "/run/w");
    CHECK_EQ(daemon.state_directory, "/var/lib/w");
    CHECK_EQ(daemon.log_directory, "/var/log/w");
    CHECK_EQ(daemon.control_socket, "/run/other.sock");
    CHECK_EQ(daemon.control_group, "adm");
    CHECK_EQ(daemon.cgroup, "/sys/fs/cgroup/warder");
    CHECK_EQ(daemon.uid_first, 70000);
    CHECK_EQ(daemon.uid_last, 70009);
    CHECK_EQ(daemon.openers, 7);
    CHECK_EQ(daemon.spare_sandboxes, 3);
    CHECK_EQ(daemon.request_timeout, Duration(250ms));
    CHECK_FALSE(daemon.log_keeper);
    CHECK_EQ(daemon.logging.max_size, 1U << 20);
    CHECK_EQ(daemon.logging.keep, 2);
}

std::string daemon_complaints(const std::string& key) { return complaints("[daemon]\n" + key + "\n"); }

TEST_CASE("a range of uids is two numbers in order, without root and nobody") {
    CHECK_EQ(daemon_complaints("uid_range = 64000"),
             "w.toml:2:13: error: \"uid_range\" is a whole number, but must be a string\n"
             "    2 | uid_range = 64000\n"
             "      |             ^~~~~ write it like \"70000-89999\"\n");
    CHECK_EQ(daemon_complaints("uid_range = \"64000\""),
             "w.toml:2:13: error: \"uid_range\" is not a range\n"
             "    2 | uid_range = \"64000\"\n"
             "      |             ^~~~~~~ write it like \"70000-89999\"\n");
    CHECK_EQ(daemon_complaints("uid_range = \"2-1\""),
             "w.toml:2:13: error: \"uid_range\" ends before it begins\n"
             "    2 | uid_range = \"2-1\"\n"
             "      |             ^~~~~\n");
    for (const char* range : {"0-10", "65000-66000", "65534-65534", "70000-4294967295"}) {
        CHECK_NE(daemon_complaints("uid_range = \"" + std::string(range) + "\"").find("may hold neither"), std::string::npos);
    }
    for (const char* range : {"-", "1-", "-1", "1-2-3", "1-2 ", "a-b", "1-99999999999"}) {
        CHECK_NE(daemon_complaints("uid_range = \"" + std::string(range) + "\"").find("is not a range"), std::string::npos);
    }
}

TEST_CASE("cgroup is a word or a directory") {
    CHECK_EQ(good("[daemon]\ncgroup = \"none\"\n").daemon.cgroup, "none");
    CHECK_EQ(daemon_complaints("cgroup = \"nnoe\""),
             "w.toml:2:10: error: \"cgroup\" cannot be \"nnoe\"\n"
             "    2 | cgroup = \"nnoe\"\n"
             "      |          ^~~~~~ did you mean \"none\"?\n");
    CHECK_EQ(daemon_complaints("cgroup = \"warder\""),
             "w.toml:2:10: error: \"cgroup\" cannot be \"warder\"\n"
             "    2 | cgroup = \"warder\"\n"
             "      |          ^~~~~~~~ write \"auto\", \"none\" or a directory of cgroup v2\n");
}

TEST_CASE("directories are absolute and clean") {
    CHECK_EQ(daemon_complaints("log_directory = \"/var/log//w/\""),
             "w.toml:2:17: error: path of \"log_directory\" is not clean: it has an empty, \".\" or \"..\" part\n"
             "    2 | log_directory = \"/var/log//w/\"\n"
             "      |                 ^~~~~~~~~~~~~~ did you mean \"/var/log/w\"?\n");
    CHECK_EQ(daemon_complaints("log_directory = \"logs\""),
             "w.toml:2:17: error: path of \"log_directory\" is not absolute\n"
             "    2 | log_directory = \"logs\"\n"
             "      |                 ^~~~~~ write the whole path, from \"/\"\n");
}

TEST_CASE("a control socket that no sockaddr holds is an error") {
    const std::string longest = "/" + std::string(106, 'a');
    CHECK(complaints("[daemon]\ncontrol_socket = \"" + longest + "\"\n").empty());
    CHECK_NE(complaints("[daemon]\ncontrol_socket = \"" + longest + "a\"\n").find("too long for a unix socket: at most 107"),
             std::string::npos);
    CHECK_NE(complaints("[daemon]\nruntime_directory = \"" + longest + "\"\n").find("at most 94 bytes"), std::string::npos);
}

TEST_CASE("sizes have units and a least value") {
    CHECK_EQ(daemon_complaints("logging = { max_size = 1048576, kep = 1 }"),
             "w.toml:2:24: error: \"max_size\" needs a unit\n"
             "    2 | logging = { max_size = 1048576, kep = 1 }\n"
             "      |                        ^~~~~~~ write \"1048576B\"\n"
             "w.toml:2:33: error: unknown key \"kep\" in logging of [daemon]\n"
             "    2 | logging = { max_size = 1048576, kep = 1 }\n"
             "      |                                 ^~~ did you mean \"keep\"?\n");
    CHECK_EQ(daemon_complaints("logging = { max_size = \"1\" }"),
             "w.toml:2:24: error: \"max_size\" is not a size\n"
             "    2 | logging = { max_size = \"1\" }\n"
             "      |                        ^~~ write it like \"1B\"\n");
    CHECK_EQ(daemon_complaints("logging = { max_size = \"1KiB\" }"),
             "w.toml:2:24: error: \"max_size\" must be at least 4KiB\n"
             "    2 | logging = { max_size = \"1KiB\" }\n"
             "      |                        ^~~~~~\n");
}

TEST_CASE("numbers and words in quotes are told apart from strings") {
    CHECK_EQ(daemon_complaints("opener_processes = \"3\""),
             "w.toml:2:20: error: \"opener_processes\" is a string, but must be a whole number\n"
             "    2 | opener_processes = \"3\"\n"
             "      |                    ^~~ write 3, without quotes\n");
    CHECK_EQ(daemon_complaints("log_keeper = \"yes\""),
             "w.toml:2:14: error: \"log_keeper\" is a string, but must be true or false\n"
             "    2 | log_keeper = \"yes\"\n"
             "      |              ^~~~~ write true, without quotes\n");
    CHECK_EQ(daemon_complaints("control_group = 1979-05-27"),
             "w.toml:2:17: error: \"control_group\" is a date or time, but must be a string\n"
             "    2 | control_group = 1979-05-27\n"
             "      |                 ^~~~~~~~~~\n");
}

}  // namespace
}  // namespace warder::config
