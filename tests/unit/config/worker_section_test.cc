#include <csignal>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using namespace std::chrono_literals;
using testing::complaints;
using testing::good;
using testing::worker;
using testing::worker_complaints;

using Texts = std::vector<std::string>;

TEST_CASE("a worker of one line has the defaults") {
    const Worker web = worker("");
    CHECK_EQ(web.name, "web");
    CHECK_EQ(web.where.line, 1);
    CHECK_EQ(web.where.column, 9);
    CHECK_EQ(web.sandbox.program, "/usr/bin/web");
    CHECK_EQ(web.sandbox.arguments, Texts{"/usr/bin/web"});
    CHECK(web.sandbox.environment.empty());
    CHECK_EQ(web.sandbox.user, "web");
    CHECK_EQ(web.sandbox.umask, 0077);
    CHECK_EQ(web.requesters, Requesters::main);
    CHECK_EQ(web.max_pending_requests, 64);
    CHECK_EQ(web.rule.ready, supervise::ReadyBy::exec);
    CHECK(web.rule.autostart);
    CHECK_EQ(web.rule.restart.policy, supervise::RestartPolicy::always);
}

TEST_CASE("every key of a worker is read") {
    const Worker web = good(R"(
[worker.web]
exec = ["/usr/bin/web", "-v", "two words", ""]
user = "www"
group = "web"
supplementary_groups = ["adm", "ssl"]
environment = { B = "1", A = "x = y" }
working_directory = "/srv"
request_access = "all"
ready = "notify"
autostart = false
setup_timeout = "1s"
ready_timeout = "2min"
stop_signal = "SIGQUIT"
stop_timeout = "250ms"
max_pending_requests = 8
umask = "0027"
nice = -5
oom_score_adjust = 500
[worker.web.restart]
policy = "on-failure"
delay = "1s"
backoff_factor = 1.5
max_delay = "1min"
jitter = 0
reset_after = "1h"
start_limit_burst = 3
start_limit_interval = "10s"
success = [0, 75]
[worker.web.logging]
max_size = "1MiB"
keep = 0
)").workers.at(0);
    CHECK_EQ(web.sandbox.arguments, Texts{"/usr/bin/web", "-v", "two words", ""});
    CHECK_EQ(web.user, "www");
    CHECK_EQ(web.sandbox.user, "www");
    CHECK_EQ(web.group, "web");
    CHECK_EQ(web.supplementary_groups, Texts{"adm", "ssl"});
    CHECK_EQ(web.sandbox.environment, Texts{"B=1", "A=x = y"});
    CHECK_EQ(web.sandbox.directory, "/srv");
    CHECK_EQ(web.requesters, Requesters::group);
    CHECK_EQ(web.rule.ready, supervise::ReadyBy::notify);
    CHECK_FALSE(web.rule.autostart);
    CHECK_EQ(web.rule.setup_timeout, Duration(1s));
    CHECK_EQ(web.rule.ready_timeout, Duration(120s));
    CHECK_EQ(web.rule.stop.signal, SIGQUIT);
    CHECK_EQ(web.rule.stop.timeout, Duration(250ms));
    CHECK_EQ(web.max_pending_requests, 8);
    CHECK_EQ(web.sandbox.umask, 0027);
    CHECK_EQ(web.sandbox.nice, -5);
    CHECK_EQ(web.sandbox.oom_score_adjust, 500);
    const supervise::Restart& restart = web.rule.restart;
    CHECK_EQ(restart.policy, supervise::RestartPolicy::on_failure);
    CHECK_EQ(restart.delay, Duration(1s));
    CHECK_EQ(restart.factor, 1.5);
    CHECK_EQ(restart.cap, Duration(60s));
    CHECK_EQ(restart.jitter, 0.0);
    CHECK_EQ(restart.reset_after, Duration(3600s));
    CHECK_EQ(restart.limit, 3);
    CHECK_EQ(restart.window, Duration(10s));
    CHECK_EQ(restart.success, std::vector<int>{0, 75});
    CHECK_EQ(web.logging.max_size, 1U << 20);
    CHECK_EQ(web.logging.keep, 0);
}

TEST_CASE("restart may be one word") {
    CHECK_EQ(worker("restart = \"never\"\n").rule.restart.policy, supervise::RestartPolicy::never);
    CHECK_EQ(worker_complaints("restart = \"on_failure\"\n"),
             "w.toml:3:11: error: \"restart\" cannot be \"on_failure\"\n"
             "    3 | restart = \"on_failure\"\n"
             "      |           ^~~~~~~~~~~~ did you mean \"on-failure\"?\n");
    CHECK_EQ(worker_complaints("restart = true\n"),
             "w.toml:3:11: error: \"restart\" is true or false, but must be a policy or a table\n"
             "    3 | restart = true\n"
             "      |           ^~~~ write \"always\", \"on-failure\" or \"never\"\n");
}

TEST_CASE("the keys of restart are held to their ranges") {
    CHECK_EQ(worker_complaints("restart = { delay = \"1min\", jitter = 1.5, start_limit_burst = 64, success = [256, \"0\"] }\n"),
             "w.toml:3:11: error: \"max_delay\" of restart is shorter than its \"delay\"\n"
             "    3 | restart = { delay = \"1min\", jitter = 1.5, start_limit_burst = 64, success = [256, \"0\"] }\n"
             "      |           ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n"
             "w.toml:3:38: error: \"jitter\" must be from 0 to 1\n"
             "    3 | restart = { delay = \"1min\", jitter = 1.5, start_limit_burst = 64, success = [256, \"0\"] }\n"
             "      |                                      ^~~\n"
             "w.toml:3:63: error: \"start_limit_burst\" must be from 0 to 63\n"
             "    3 | restart = { delay = \"1min\", jitter = 1.5, start_limit_burst = 64, success = [256, \"0\"] }\n"
             "      |                                                               ^~\n"
             "w.toml:3:78: error: exit codes are from 0 to 255\n"
             "    3 | restart = { delay = \"1min\", jitter = 1.5, start_limit_burst = 64, success = [256, \"0\"] }\n"
             "      |                                                                              ^~~\n"
             "w.toml:3:83: error: an entry of \"success\" is a string, but must be an exit code from 0 to 255\n"
             "    3 | restart = { delay = \"1min\", jitter = 1.5, start_limit_burst = 64, success = [256, \"0\"] }\n"
             "      |                                                                                   ^~~\n");
    CHECK_NE(worker_complaints("restart = { backoff_factor = nan }\n").find("must be from 1 to 100"), std::string::npos);
}

TEST_CASE("a worker without a program is told so at its name") {
    CHECK_EQ(complaints("[worker.web]\n"),
             "w.toml:1:9: error: worker \"web\" has no \"exec\"\n"
             "    1 | [worker.web]\n"
             "      |         ^~~ add exec = [\"/usr/bin/program\"]\n");
}

TEST_CASE("a command line as one string is told as the list that was meant") {
    CHECK_EQ(complaints("[worker.web]\nexec = \"/usr/bin/web  -v x\"\n"),
             "w.toml:2:8: error: \"exec\" as a string is one program without arguments\n"
             "    2 | exec = \"/usr/bin/web  -v x\"\n"
             "      |        ^~~~~~~~~~~~~~~~~~~~ write [\"/usr/bin/web\", \"-v\", \"x\"]\n");
}

TEST_CASE("a program is named by its whole path") {
    CHECK_EQ(complaints("[worker.web]\nexec = [\"nginx\", \"-g\"]\n"),
             "w.toml:2:9: error: path of \"exec\" is not absolute\n"
             "    2 | exec = [\"nginx\", \"-g\"]\n"
             "      |         ^~~~~~~ write the whole path, from \"/\"\n");
    CHECK_EQ(complaints("[worker.web]\nexec = []\n"),
             "w.toml:2:8: error: \"exec\" is empty\n"
             "    2 | exec = []\n"
             "      |        ^~\n");
    CHECK_EQ(complaints("[worker.web]\nexec = [\"/usr/bin/web\", 80]\n"),
             "w.toml:2:25: error: an entry of \"exec\" is a whole number, but must be a string\n"
             "    2 | exec = [\"/usr/bin/web\", 80]\n"
             "      |                         ^~ write \"80\"\n");
    CHECK_EQ(complaints("[worker.web]\nexec = true\n"),
             "w.toml:2:8: error: \"exec\" is true or false, but must be a list of strings\n"
             "    2 | exec = true\n"
             "      |        ^~~~ write [\"/usr/bin/program\", \"argument\"]\n");
}

TEST_CASE("a NUL byte is refused wherever the kernel would end a string at it") {
    CHECK_EQ(complaints("[worker.web]\nexec = [\"/usr/bin/web\", \"a\\u0000b\"]\n"),
             "w.toml:2:25: error: \"exec\" has a NUL byte in it\n"
             "    2 | exec = [\"/usr/bin/web\", \"a\\u0000b\"]\n"
             "      |                         ^~~~~~~~~~\n");
    CHECK_NE(worker_complaints("environment = { A = \"\\u0000\" }\n").find("\"A\" has a NUL byte"), std::string::npos);
    CHECK_NE(worker_complaints("user = \"root\\u0000x\"\n").find("\"user\" has a NUL byte"), std::string::npos);
    CHECK_NE(worker_complaints("working_directory = \"/a\\u0000\"\n").find("\"working_directory\" has a NUL byte"), std::string::npos);
}

TEST_CASE("the environment is of named strings, and some names are warderd's") {
    CHECK_EQ(worker_complaints("environment = { PORT = 80, \"A B\" = \"\", WARDER_SOCKET = \"3\" }\n"),
             "w.toml:3:24: error: \"PORT\" is a whole number, but must be a string\n"
             "    3 | environment = { PORT = 80, \"A B\" = \"\", WARDER_SOCKET = \"3\" }\n"
             "      |                        ^~ write \"80\"\n"
             "w.toml:3:28: error: \"A B\" cannot name a variable of the environment\n"
             "    3 | environment = { PORT = 80, \"A B\" = \"\", WARDER_SOCKET = \"3\" }\n"
             "      |                            ^~~~~ names are of letters, digits and \"_\"\n"
             "w.toml:3:40: error: \"WARDER_SOCKET\" is set by warderd itself\n"
             "    3 | environment = { PORT = 80, \"A B\" = \"\", WARDER_SOCKET = \"3\" }\n"
             "      |                                        ^~~~~~~~~~~~~\n");
    CHECK_NE(worker_complaints("environment = { NOTIFY_SOCKET = \"/x\" }\n").find("set by warderd itself"), std::string::npos);
}

TEST_CASE("names of workers") {
    for (const char* name : {"web", "web@1", "a.b-c_d", "9"}) {
        CHECK_EQ(good("[worker.\"" + std::string(name) + "\"]\nexec = \"/usr/bin/web\"\n").workers.at(0).name, name);
    }
    CHECK_EQ(good("[worker." + std::string(63, 'a') + "]\nexec = \"/usr/bin/web\"\n").workers.size(), 1);
    CHECK_EQ(complaints("[worker.Web]\nexec = \"/usr/bin/web\"\n"),
             "w.toml:1:9: error: \"Web\" cannot name a worker\n"
             "    1 | [worker.Web]\n"
             "      |         ^~~ did you mean \"web\"?\n");
    for (const std::string name : {"", "-a", ".", "a/b", "\xc3\xa9", "a\\nb"}) {
        CHECK_NE(complaints("[worker.\"" + name + "\"]\nexec = \"/usr/bin/web\"\n").find("cannot name a worker"), std::string::npos);
    }
    CHECK_NE(complaints("[worker." + std::string(64, 'a') + "]\n").find("at most 63"), std::string::npos);
}

TEST_CASE("warderd's own names are reserved") {
    CHECK_EQ(complaints("[worker.log-keeper]\nexec = \"/usr/bin/web\"\n"),
             "w.toml:1:9: error: the name \"log-keeper\" is reserved\n"
             "    1 | [worker.log-keeper]\n"
             "      |         ^~~~~~~~~~\n");
}

TEST_CASE("a worker is a table") {
    CHECK_EQ(complaints("worker = { web = \"/usr/bin/web\" }\n"),
             "w.toml:1:18: error: worker \"web\" must be a table\n"
             "    1 | worker = { web = \"/usr/bin/web\" }\n"
             "      |                  ^~~~~~~~~~~~~~ write [worker.web]\n");
}

TEST_CASE("durations have units") {
    CHECK_EQ(worker_complaints("stop_timeout = 1.5\nready_timeout = \"5\"\nsetup_timeout = \"0s\"\n"),
             "w.toml:3:16: error: \"stop_timeout\" needs a unit\n"
             "    3 | stop_timeout = 1.5\n"
             "      |                ^~~ write \"1.5s\"\n"
             "w.toml:4:17: error: \"ready_timeout\" is not a duration\n"
             "    4 | ready_timeout = \"5\"\n"
             "      |                 ^~~ write it like \"5s\"\n"
             "w.toml:5:17: error: \"setup_timeout\" must be more than 0s\n"
             "    5 | setup_timeout = \"0s\"\n"
             "      |                 ^~~~\n");
}

TEST_CASE("permissions are octal, in quotes") {
    CHECK_EQ(worker_complaints("umask = 022\n").find("leading zeroes are prohibited") == std::string::npos, false);
    CHECK_EQ(worker_complaints("umask = 27\n"),
             "w.toml:3:9: error: \"umask\" is octal and stands in quotes\n"
             "    3 | umask = 27\n"
             "      |         ^~ write \"027\"\n");
    CHECK_EQ(worker_complaints("umask = \"0888\"\n"),
             "w.toml:3:9: error: \"umask\" is not octal from \"0000\" to \"0777\"\n"
             "    3 | umask = \"0888\"\n"
             "      |         ^~~~~~ write it like \"0640\"\n");
}

TEST_CASE("choices are from a list") {
    CHECK_EQ(worker_complaints("ready = \"listening\"\nrequest_access = \"gruop\"\nstop_signal = \"TERM\"\n"),
             "w.toml:3:9: error: \"ready\" cannot be \"listening\"\n"
             "    3 | ready = \"listening\"\n"
             "      |         ^~~~~~~~~~~ write one of \"exec\", \"libwarder\", \"notify\"\n"
             "w.toml:4:18: error: \"request_access\" cannot be \"gruop\"\n"
             "    4 | request_access = \"gruop\"\n"
             "      |                  ^~~~~~~ write one of \"main\", \"all\"\n"
             "w.toml:5:15: error: \"stop_signal\" cannot be \"TERM\"\n"
             "    5 | stop_signal = \"TERM\"\n"
             "      |               ^~~~~~ did you mean \"SIGTERM\"?\n");
}

TEST_CASE("numbers are held to their ranges") {
    CHECK_EQ(worker_complaints("nice = 20\nmax_pending_requests = 0\n"),
             "w.toml:3:8: error: \"nice\" must be from -20 to 19\n"
             "    3 | nice = 20\n"
             "      |        ^~\n"
             "w.toml:4:24: error: \"max_pending_requests\" must be from 1 to 4096\n"
             "    4 | max_pending_requests = 0\n"
             "      |                        ^\n");
}

TEST_CASE("a list is a list, and each entry a string") {
    CHECK_EQ(worker_complaints("supplementary_groups = \"adm\"\n"),
             "w.toml:3:24: error: \"supplementary_groups\" is a string, but must be a list\n"
             "    3 | supplementary_groups = \"adm\"\n"
             "      |                        ^~~~~ write [\"adm\"]\n");
    CHECK_EQ(worker_complaints("supplementary_groups = [4]\n"),
             "w.toml:3:25: error: an entry of \"supplementary_groups\" is a whole number, but must be a string\n"
             "    3 | supplementary_groups = [4]\n"
             "      |                         ^ write \"4\"\n");
}

TEST_CASE("keys of other supervisors are told by what they mean, and only then by their letters") {
    const auto says = [](const std::string& keys, const char* part) {
        CAPTURE(keys);
        CHECK_NE(worker_complaints(keys).find(part), std::string::npos);
    };
    says("command = \"/bin/a\"\n", "did you mean \"exec\"?");
    says("ExecStart = \"/bin/a\"\n", "did you mean \"exec\"?");
    says("cwd = \"/\"\n", "did you mean \"working_directory\"?");
    says("groups = []\n", "did you mean \"supplementary_groups\"?");
    says("depends_on = []\n", "workers start together and in no order");
    says("memory_max = \"64MiB\"\n", "did you mean \"limits\"? limits = { memory_max = \"64MiB\" }");
    says("ulimits = {}\n", "did you mean \"limits\"?");
    says("ports = []\n", "http = { listen = ");
    says("environment_file = \"/a\"\n", "no file of variables is read");
    says("restart_sec = 1\n", "did you mean \"restart\"? restart = {");
    says("volumes = []\n", "did you mean \"sandbox\"? bind_read_only and bind_writable in [worker.NAME.sandbox]");
    says("profile = \"strict\"\n", "\"profile\" stands in [worker.NAME.sandbox]");
    says("[worker.web.sandbox]\nbind_rw = []\n", "did you mean \"bind_writable\"?");
    says("[worker.web.sandbox]\nbind_ro = []\n", "did you mean \"bind_read_only\"? it is read-only");
    says("[worker.web.sandbox]\nvolumes = []\n", "did you mean \"bind_read_only\"? bind is read-only, bind_writable is not");
    says("[worker.web.sandbox]\nmounts = []\n", "did you mean \"bind_read_only\"?");
    says("[worker.web.sandbox]\nmemory_directories = []\n", "did you mean \"tmpfs\"?");
    says("[worker.web.sandbox]\nbind = []\n", "did you mean \"bind_read_only\"? or bind_writable: which of the two is always said");
    says("[worker.web.sandbox]\nexecute = []\n", "did you mean \"exec_paths\"?");
    says("[worker.web.sandbox]\ntmpfs = [{ target = \"/a\", size = \"1MiB\", execute = true }]\n", "did you mean \"noexec\"?");
    says("requesters = \"main\"\n", "did you mean \"request_access\"?");
    says("restart = { window = \"1s\" }\n", "did you mean \"start_limit_interval\"?");
    says("[worker.web.cell]\n", "did you mean \"sandbox\"?");
    says("grants.a = { read = \"/a\", as = \"root\" }\n", "did you mean \"open_as\"?");
    says("grants.a = { store = 4 }\n", "did you mean \"fd_store_max\"?");
    says("[worker.web.sandbox]\ncaps = []\n", "did you mean \"capabilities\"?");
    says("[worker.web.sandbox]\nnice = 1\n", "\"nice\" stands in [worker.NAME]");
    says("[worker.web.sandbox]\nprivileged = true\n", "did you mean \"profile\"?");
    says("[worker.web.grants]\na = { path = \"/a\" }\n", "did you mean \"file\"?");
    says("[worker.web.grants]\na = { read = \"/a\", permissions = [] }\n", "did you mean \"rights\"?");
    says("limits = { cpu_quota = 3 }\n", "did you mean \"cpu_max\"?");
}

TEST_CASE("every hint of a wrong value can be written as it stands") {
    const auto hint_of = [](const std::string& keys) {
        const std::string said = worker_complaints(keys);
        const std::size_t at = said.find("write ");
        const std::size_t from = at == std::string::npos ? at : said.find('"', at);
        return from == std::string::npos ? said : said.substr(from, said.find('"', from + 1) - from + 1);
    };
    for (const std::string value : {"50", "0.5", "\"50\"", "\"50 %\"", "\"half\"", "true", "-1", "0", "\"0%\""}) {
        CAPTURE(value);
        const std::string hint = hint_of("limits = { cpu_max = " + value + " }\n");
        CHECK_EQ(worker_complaints("limits = { cpu_max = " + hint + " }\n"), "");
    }
    for (const std::string value : {"64", "\"64M\"", "\"64 mb\"", "\"64\"", "\"1.5g\"", "\"a lot\"", "-5", "1.5"}) {
        CAPTURE(value);
        const std::string hint = hint_of("limits = { memory_max = " + value + " }\n");
        CHECK_EQ(worker_complaints("limits = { memory_max = " + hint + " }\n"), "");
    }
    CHECK_EQ(hint_of("limits = { memory_max = \"64M\" }\n"), "\"64MiB\"");
    for (const std::string value : {"5", "\"5\"", "\"5 seconds\"", "\"5mins\"", "\"soon\"", "-5", "0.5"}) {
        CAPTURE(value);
        const std::string hint = hint_of("stop_timeout = " + value + "\n");
        CHECK_EQ(worker_complaints("stop_timeout = " + hint + "\n"), "");
    }
    CHECK_EQ(hint_of("stop_timeout = \"5mins\"\n"), "\"5min\"");
    CHECK_EQ(worker_complaints("io_priority = 3\n").find("write \"3\""), std::string::npos);
}

TEST_CASE("keys that others would use are near to ours") {
    CHECK_EQ(worker_complaints("env = {}\n"),
             "w.toml:3:1: error: unknown key \"env\" in worker \"web\"\n"
             "    3 | env = {}\n"
             "      | ^~~ did you mean \"environment\"?\n");
    CHECK_EQ(worker_complaints("\"ex\\u001bec\" = 1\n"),
             "w.toml:3:1: error: unknown key \"ex?ec\" in worker \"web\"\n"
             "    3 | \"ex\\u001bec\" = 1\n"
             "      | ^~~~~~~~~~~~ did you mean \"exec\"?\n");
}

}  // namespace
}  // namespace warder::config
