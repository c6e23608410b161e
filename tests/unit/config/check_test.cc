#include "config/check.h"

#include <map>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using policy::Kind;
using testing::shown;
using Type = PathFacts::Type;

// A machine of three users and a few paths.
struct Machine {
    std::map<std::string, Account> users = {{"www", {1001, 1002}}, {"root", {0, 0}}, {"nobody", {65534, 65534}},
                                            {"low", {70001, 70001}}, {"same", {1001, 9}}};
    std::map<std::string, gid_t> groups = {{"www", 1002}, {"adm", 4}, {"root", 0}};
    std::map<std::string, PathFacts> paths = {
        {"/", {Type::directory, false, {}, 0}},         {"/usr/bin/web", {Type::file, true, {}, 0}},
        {"/srv", {Type::directory, false, {}, 0}},      {"/srv/a.txt", {Type::file, false, {}, 0}},
        {"/srv/socket", {Type::other, false, {}, 0}},   {"/proc/1/status", {Type::file, false, "proc", 0}},
        {"/sys", {Type::directory, false, "sysfs", 0}}, {"/srv/current", {Type::directory, false, {}, 0, {}, true}},
        {"/srv/astray", {Type::directory, false, {}, 0, {}, true, true}},
    };
    std::uint64_t descriptors = 0;

    Lookup lookup() const {
        const auto find = [](const auto& map) {
            return [&map](const std::string& name) {
                const auto found = map.find(name);
                return found == map.end() ? std::nullopt : std::optional(found->second);
            };
        };
        return {find(users), find(groups),
                [this](const std::string& path) {
                    const auto found = paths.find(path);
                    return found == paths.end() ? PathFacts{Type::absent, false, {}, ENOENT} : found->second;
                },
                descriptors};
    }
};

struct Resolved {
    Config config;
    std::vector<Problem> problems;
    const Worker& web() const { return config.workers.at(0); }
};

Resolved resolved_text(const std::string& text, const Machine& machine = {}) {
    Resolved result{testing::good(text), {}};
    resolve(result.config, result.problems, machine.lookup());
    return result;
}

Resolved resolved(const std::string& keys, const Machine& machine = {}) {
    return resolved_text("[worker.web]\nexec = \"/usr/bin/web\"\n" + keys, machine);
}

std::string said(const std::string& keys, const Machine& machine = {}) { return shown(resolved(keys, machine).problems); }

// The complaint about one grant, which stands in line 3.
std::string said_of(const std::string& grant) { return said("grants.g = " + grant + "\n"); }

TEST_CASE("layers of an overlay are directories that are there, and of no view of the kernel's") {
    const auto with = [](const std::string& layer) {
        return said("[worker.web.sandbox]\noverlays = [{ target = \"/a\", lower = [\"" + layer + "\"], size = \"1MiB\" }]\n");
    };
    CHECK_EQ(with("/srv"), "");
    CHECK_NE(with("/srv/a.txt").find("layer \"/srv/a.txt\" is no directory"), std::string::npos);
    CHECK_NE(with("/nowhere").find("layer \"/nowhere\" is not there: the worker cannot start without it"), std::string::npos);
    CHECK_NE(with("/sys").find("lies in sysfs, which no sandbox shows"), std::string::npos);
}

TEST_CASE("T25: where root acts a symlink that is not root's is told") {
    const std::string warning = "the way to \"/srv/current\" leads through a symlink that is not root's";
    CHECK_EQ(said_of("{ read = \"/srv/current/\" }"), "");
    CHECK_NE(said_of("{ read = \"/srv/current\", open_as = \"root\" }").find(warning), std::string::npos);
    CHECK_NE(said_of("{ create = \"/srv/current\", owner = \"worker\" }").find("chown -h root"), std::string::npos);
}

TEST_CASE("T25: what a sandbox is to show behind a symlink of another's is told, unless it is that other's too") {
    const auto bound = [](const std::string& path) { return said("sandbox.bind_read_only = [\"" + path + "\"]\n"); };
    CHECK_EQ(bound("/srv/current"), "");
    CHECK_NE(bound("/srv/astray").find("bound path \"/srv/astray\" is reached through a symlink that is not root's"), std::string::npos);
    CHECK_NE(said("[worker.web.sandbox]\noverlays = [{ target = \"/a\", lower = [\"/srv/astray\"], size = \"1MiB\" }]\n")
                 .find("layer \"/srv/astray\" is reached through a symlink"), std::string::npos);
    for (const std::string key : {"network = ", "terminal = "}) {
        CHECK_NE(said("sandbox." + key + "\"/srv/astray\"\n").find("\"/srv/astray\" is reached through a symlink"), std::string::npos);
        CHECK_NE(said("sandbox." + key + "\"/srv/nothing\"\n").find("the worker cannot start without it"), std::string::npos);
        CHECK_EQ(said("sandbox." + key + "\"/srv/current\"\n"), "");
    }
}

TEST_CASE("maps of a user namespace hold the worker's own numbers, and a warning tells whose else") {
    const auto with = [](const std::string& keys, const std::string& uids) {
        return said(keys + "[worker.web.sandbox]\nuser_namespace = { uid_map = [" + uids + "], gid_map = [\"0:self:1\"] }\n");
    };
    CHECK_EQ(with("", "\"0:self:1\""), "");
    CHECK_NE(with("", "\"0:1001:1\"").find("\"uid_map\" does not hold the worker's own number"), std::string::npos);
    CHECK_EQ(with("user = \"www\"\n", "\"0:1001:1\""), "");
    CHECK_NE(with("user = \"www\"\n", "\"0:1002:1\"").find("own number, 1001"), std::string::npos);
    const std::string other = shown(resolved_text("[worker.web]\nexec = \"/usr/bin/web\"\n[worker.web.sandbox]\n"
                                                  "user_namespace = { uid_map = [\"0:self:1\", \"1:1000:10\"], gid_map = [\"0:self:1\"] }\n"
                                                  "[worker.other]\nexec = \"/usr/bin/web\"\nuser = \"www\"\n").problems);
    CHECK_NE(other.find("holds the uid of worker \"other\", which it could become"), std::string::npos);
}

TEST_CASE("a worker with a door is told its grants, with what lies on the disk decided") {
    const auto told = [](const std::string& grants) {
        const auto web = resolved("door = \"python\"\n[worker.web.grants]\n" + grants).web();
        REQUIRE_FALSE(web.sandbox.environment.empty());
        return web.sandbox.environment.back();
    };
    CHECK_EQ(told("site = { read = \"/srv/\", rights = [\"stat\"] }\n"),
             R"(WARDER_GRANTS=[{"name":"site","kind":"tree","operations":["read","stat"],"path":"/srv"}])");
    CHECK_EQ(told("http = { listen = \"tcp:127.0.0.1:80\" }\n"),
             R"(WARDER_GRANTS=[{"name":"http","kind":"listener","operations":["listen"],"address":"tcp:127.0.0.1:80"}])");
    CHECK_EQ(told("who = { lookup = [\"user\", \"host\"], names = [\"a*\"] }\n"),
             R"(WARDER_GRANTS=[{"name":"who","kind":"lookup","operations":["lookup"],"lookups":["user","host"],"names":["a*"]}])");
    CHECK_EQ(told("go = { run = [\"/usr/bin/web\", \"-n{n:number}\"], stdin = true }\n"),
             R"(WARDER_GRANTS=[{"name":"go","kind":"command","operations":["run"],"words":[)"
             R"({"before":"","placeholder":"none","text":"/usr/bin/web"},{"before":"-n","placeholder":"number","text":""}],)"
             R"("stdin":true,"stdout":true,"stderr":true}])");
    CHECK(resolved("[worker.web.grants]\nsite = { read = \"/srv\" }\n").web().sandbox.environment.empty());
}

TEST_CASE("what an unmodified program would miss behind its door is told") {
    const auto of = [](const std::string& keys) { return said("door = \"python\"\n" + keys); };
    CHECK_EQ(of("grants.g = { read = \"/srv/\", rights = [\"stat\"] }\n"), "");
    CHECK_EQ(of("grants.g = { read = \"/srv/a.txt\" }\n"), "");
    CHECK_NE(of("grants.g = { read = \"/srv/\" }\n").find("add rights = [\"stat\", \"list\"]"), std::string::npos);
    CHECK_NE(of("ready = \"libwarder\"\n").find("does not say that it is ready"), std::string::npos);
    const auto run = [](const std::string& exec, const std::string& keys) {
        return shown(resolved_text("[worker.web]\nexec = [\"/usr/bin/web\", " + exec + "]\n" + keys).problems);
    };
    CHECK_NE(run("\"-m\", \"warder.monkey\"", "").find("add door = \"python\""), std::string::npos);
    CHECK_EQ(run("\"-m\", \"warder.monkey\"", "door = \"python\"\n"), "");
    CHECK_NE(run("\"/usr/bin/gunicorn\"", "door = \"python\"\n").find("add request_access = \"all\""), std::string::npos);
    const std::string group = "door = \"python\"\nrequest_access = \"all\"\n";
    CHECK_NE(run("\"/usr/bin/gunicorn\"", group).find("add allow_calls = [\"fchmod\"]"), std::string::npos);
    CHECK_EQ(run("\"/usr/bin/gunicorn\"", group + "sandbox.allow_calls = [\"fchmod\"]\n"), "");
    CHECK_EQ(run("\"/usr/bin/gunicorn\"", group + "sandbox.profile = \"service\"\n"), "");
}

TEST_CASE("grants that do not fit into one variable are refused before the program is") {
    std::string grants;
    for (int i = 0; i < 1200; ++i) grants += "g" + std::to_string(i) + " = { connect = \"unix:/run/" + std::string(60, 'a') + std::to_string(i) + "\" }\n";
    CHECK_NE(said("door = \"python\"\n[worker.web.grants]\n" + grants).find("the kernel passes 131072 in one variable"), std::string::npos);
    CHECK_EQ(said("[worker.web.grants]\n" + grants), "");
}

TEST_CASE("a program in an overlay is looked for in its layers") {
    const auto with = [](const std::string& exec) {
        return shown(resolved_text("[worker.web]\nexec = \"" + exec + "\"\n[worker.web.sandbox]\n"
                                   "overlays = [{ target = \"/app\", lower = [\"/srv\", \"/usr/bin\"], size = \"1MiB\", noexec = false }]\n").problems);
    };
    CHECK_NE(with("/app/web").find("layer \"/usr/bin\" is not there"), std::string::npos);   // of this machine: a warning, and nothing else
    CHECK_EQ(with("/app/web").find("program"), std::string::npos);
    CHECK_NE(with("/app/other").find("program \"/app/other\" is not there"), std::string::npos);
    CHECK_NE(with("/app/a.txt").find("program \"/app/a.txt\" is not executable"), std::string::npos);
}

TEST_CASE("a worker without a user keeps its open numbers") {
    const Resolved result = resolved("");
    CHECK_EQ(shown(result.problems), "");
    CHECK_EQ(result.web().sandbox.uid, 65534);
    CHECK(result.web().user.empty());
}

TEST_CASE("names become numbers") {
    const Resolved result = resolved("user = \"www\"\nsupplementary_groups = [\"adm\"]\n");
    CHECK_EQ(shown(result.problems), "");
    CHECK_EQ(result.web().sandbox.uid, 1001);
    CHECK_EQ(result.web().sandbox.gid, 1002);
    CHECK_EQ(result.web().sandbox.groups, std::vector<gid_t>{4});
    CHECK_EQ(resolved("user = \"www\"\ngroup = \"adm\"\n").web().sandbox.gid, 4);
}

TEST_CASE("names that are not there are told in their places, and are their worker's fault alone") {
    CHECK_EQ(said("user = \"wwww\"\ngroup = \"x\"\nsupplementary_groups = [\"y\"]\n"),
             "w.toml:3:8: warning: there is no user \"wwww\": the worker cannot start\n"
             "    3 | user = \"wwww\"\n"
             "      |        ^~~~~~\n"
             "w.toml:4:9: warning: there is no group \"x\": the worker cannot start\n"
             "    4 | group = \"x\"\n"
             "      |         ^~~\n"
             "w.toml:5:24: warning: there is no group \"y\": the worker cannot start\n"
             "    5 | supplementary_groups = [\"y\"]\n"
             "      |                        ^~~~~\n");
}

TEST_CASE("no worker runs as root, as nobody or with a number of the range") {
    CHECK_EQ(said("user = \"root\"\ngroup = \"root\"\n"),
             "w.toml:3:8: error: a worker does not run as root\n"
             "    3 | user = \"root\"\n"
             "      |        ^~~~~~ name another user, or none\n"
             "w.toml:4:9: error: a worker does not run in the group root\n"
             "    4 | group = \"root\"\n"
             "      |         ^~~~~~\n");
    CHECK_EQ(said("user = \"nobody\"\n"),
             "w.toml:3:8: error: a worker does not run as 65534: the kernel gives that number to senders it cannot name\n"
             "    3 | user = \"nobody\"\n"
             "      |        ^~~~~~~~\n");
    CHECK_EQ(said("user = \"low\"\n"),
             "w.toml:3:8: warning: user \"low\" has a number of \"uid_range\": 70001: the worker cannot start\n"
             "    3 | user = \"low\"\n"
             "      |        ^~~~~\n");
}

TEST_CASE("two workers of one uid are a warning") {
    const Resolved result = resolved_text("[worker.a]\nexec = \"/usr/bin/web\"\nuser = \"www\"\n[worker.b]\nexec = "
                                          "\"/usr/bin/web\"\nuser = \"same\"\n[worker.c]\nexec = \"/usr/bin/web\"\n"
                                          "[worker.d]\nexec = \"/usr/bin/web\"\n");
    CHECK_FALSE(any_error(result.problems));
    CHECK_EQ(shown(result.problems),
             "w.toml:6:8: warning: worker \"b\" has the same uid as worker \"a\": nothing keeps them apart\n"
             "    6 | user = \"same\"\n"
             "      |        ^~~~~~\n");
}

TEST_CASE("a program must be there, a file, and executable") {
    const auto exec = [](const std::string& path, const PathFacts& facts) {
        Machine machine;
        machine.paths[path] = facts;
        return shown(resolved_text("[worker.a]\nexec = [\"" + path + "\", \"x\"]\n", machine).problems);
    };
    CHECK_EQ(exec("/usr/bin/x", {Type::file, true, {}, 0}), "");
    CHECK_EQ(exec("/usr/bin/x", {Type::absent, false, {}, ENOENT}),
             "w.toml:2:8: warning: program \"/usr/bin/x\" is not there: the worker cannot start\n"
             "    2 | exec = [\"/usr/bin/x\", \"x\"]\n"
             "      |        ^~~~~~~~~~~~~~~~~~~\n");
    CHECK_NE(exec("/usr/bin/x", {Type::absent, false, {}, ELOOP}).find("cannot be looked at (ELOOP)"), std::string::npos);
    CHECK_NE(exec("/usr/bin/x", {Type::directory, true, {}, 0}).find("is not a regular file"), std::string::npos);
    CHECK_NE(exec("/usr/bin/x", {Type::file, false, {}, 0}).find("is not executable"), std::string::npos);
}

TEST_CASE("a program that is bound to another place is looked for where it comes from") {
    Machine machine;
    machine.paths["/opt/build/web"] = {Type::file, true, {}, 0};
    machine.paths["/opt/build"] = {Type::directory, false, {}, 0};
    CHECK_EQ(shown(resolved_text("[worker.a]\nexec = \"/app/web\"\nsandbox.bind_read_only = [{ source = \"/opt/build\", target = "
                                 "\"/app\" }]\n", machine).problems), "");
}

TEST_CASE("what is bound into a sandbox must be there, and not the kernel's") {
    CHECK_EQ(said("sandbox.bind_read_only = [\"/opt/app\"]\n"),
             "w.toml:3:27: warning: bound path \"/opt/app\" is not there: the worker cannot start without it\n"
             "    3 | sandbox.bind_read_only = [\"/opt/app\"]\n"
             "      |                           ^~~~~~~~~~\n");
    CHECK_NE(said("[worker.web.sandbox]\nbind_read_only = [\n  \"/usr/share\",\n  { source = \"/opt/app\", target = \"/x\" },\n]\n").find("w.toml:6:3: warning"),
             std::string::npos);
    CHECK_NE(said("[worker.web.sandbox]\nbind_read_only = [{ source = \"/sys\", target = \"/x\" }]\n").find("lies in sysfs, which no sandbox shows"),
             std::string::npos);
}

TEST_CASE("file or tree is what the file says, whatever lies there") {
    CHECK_EQ(resolved("grants.g = { read = \"/srv\" }\n").web().grants[0].kind, Kind::file);
    CHECK_EQ(resolved("grants.g = { read = \"/srv/a.txt/\" }\n").web().grants[0].kind, Kind::tree);
    CHECK_EQ(resolved("grants.g = { create = \"/srv/new\", owner = \"worker\" }\n").web().grants[0].kind, Kind::file);
    CHECK_EQ(said_of("{ read = \"/srv/\" }"), "");
    CHECK_EQ(said_of("{ read = \"/srv/a.txt\" }"), "");
    CHECK_EQ(said_of("{ create = \"/srv/new/\", owner = \"worker\" }"), "");
    CHECK_EQ(said_of("{ read = \"/srv/new\" }"),
             "w.toml:3:21: warning: \"/srv/new\" is not there: asking for it answers ENOENT until it is\n"
             "    3 | grants.g = { read = \"/srv/new\" }\n"
             "      |                     ^~~~~~~~~~\n");
}

TEST_CASE("what is made at start or on asking may be absent, if it has a directory to be made in") {
    CHECK_EQ(said_of("{ append = \"/srv/log\", type = \"file\", owner = \"worker\" }"), "");
    CHECK_EQ(said_of("{ create = \"/srv/new\", type = \"file\" }"), "");
    CHECK_EQ(said_of("{ create = \"/new/\", owner = \"root\" }"), "");
    CHECK_EQ(said_of("{ create = \"/srv/no/new\", type = \"file\" }"),
             "w.toml:3:23: warning: \"/srv/no/new\" cannot be made: there is no directory \"/srv/no\"\n"
             "    3 | grants.g = { create = \"/srv/no/new\", type = \"file\" }\n"
             "      |                       ^~~~~~~~~~~~~\n");
}

TEST_CASE("a prefix that is not there is a warning") {
    CHECK_EQ(said_of("{ create = \"/var/lib/site/\" }"),
             "w.toml:3:23: warning: \"/var/lib/site\" is not there: asking for it answers ENOENT until it is\n"
             "    3 | grants.g = { create = \"/var/lib/site/\" }\n"
             "      |                       ^~~~~~~~~~~~~~~~\n");
    CHECK_NE(said_of("{ secret = \"/etc/key\" }").find("warning: \"/etc/key\" is not there"), std::string::npos);
}

TEST_CASE("a grant that says tree or file is held against the disk, and the way out is told") {
    CHECK_EQ(said_of("{ read = \"/srv/a.txt/\" }"),
             "w.toml:3:21: warning: \"/srv/a.txt\" is granted as a tree, but is no directory: asking for what is below it is denied\n"
             "    3 | grants.g = { read = \"/srv/a.txt/\" }\n"
             "      |                     ^~~~~~~~~~~~~ for the file itself write \"/srv/a.txt\"\n");
    CHECK_EQ(said_of("{ read = \"/srv\" }"),
             "w.toml:3:21: warning: \"/srv\" is granted as a file, but is a directory: nothing below it can be asked for\n"
             "    3 | grants.g = { read = \"/srv\" }\n"
             "      |                     ^~~~~~ for the tree write \"/srv/\"\n");
    CHECK_NE(said_of("{ secret = \"/srv\" }").find("warning: \"/srv\" is a directory, but a file is meant: the worker cannot start"), std::string::npos);
}

TEST_CASE("files of the kernel's own file systems are not granted") {
    CHECK_EQ(said_of("{ read = \"/proc/1/status\" }"),
             "w.toml:3:21: error: \"/proc/1/status\" lies in proc, of which no file is lent\n"
             "    3 | grants.g = { read = \"/proc/1/status\" }\n"
             "      |                     ^~~~~~~~~~~~~~~~ grant a file of another file system\n");
    CHECK_NE(said_of("{ secret = \"/proc/1/status\" }").find("lies in proc"), std::string::npos);
}

TEST_CASE("descriptors in flight of all workers, and what is held for them, stay within half of warderd's") {
    Machine machine;
    machine.descriptors = 2 * 256;
    CHECK_EQ(said("max_fds_in_flight = 256\n", machine), "");
    --machine.descriptors;
    CHECK_EQ(said("max_fds_in_flight = 255\n", machine), "");
    CHECK_EQ(said("max_fds_in_flight = 256\n", machine),
             "w.toml:3:21: error: descriptors in flight of all workers (256) are more than half of warderd's 511\n"
             "    3 | max_fds_in_flight = 256\n"
             "      |                     ^~~ lower max_fds_in_flight, or raise LimitNOFILE\n");
    const std::string two = "[worker.a]\nexec = \"/usr/bin/web\"\n[worker.b]\nexec = \"/usr/bin/web\"\n"
                            "max_fds_in_flight = 300\n";
    CHECK_NE(shown(resolved_text(two, machine).problems).find("w.toml:5:21: error: descriptors in flight of all workers (308)"),
             std::string::npos);
    machine.descriptors = 8;
    CHECK_NE(said("max_fds_in_flight = 1\n", machine).find("descriptors held for all workers (about 8) are more than three quarters"),
             std::string::npos);
    machine.descriptors = 0;
    CHECK_EQ(said("max_fds_in_flight = 65536\n", machine), "");
}

TEST_CASE("workers that say no number share what is left of the descriptors in flight, never none and never without end") {
    const auto shares = [](std::size_t workers, std::uint64_t limit, const std::string& said = "") {
        std::string text;
        for (std::size_t i = 0; i < workers; ++i) text += "[worker.w" + std::to_string(i) + "]\nexec = \"/usr/bin/web\"\n";
        Machine machine;
        machine.descriptors = limit;
        const auto resolved = resolved_text(text + said, machine);
        CHECK_EQ(shown(resolved.problems), "");
        return resolved.config.workers.front().max_in_flight;
    };
    CHECK_EQ(shares(1, 1024), 256);
    CHECK_EQ(shares(1, 0), 256);
    CHECK_EQ(shares(39, 20'000), 256);
    CHECK_EQ(shares(100, 20'000), 64);
    CHECK_EQ(shares(1000, 20'000), 8);
    CHECK_EQ(shares(1000, 65'536), 32);
    CHECK_EQ(shares(1000, 1 << 19), 256);
    CHECK_EQ(shares(10, 4096, "max_fds_in_flight = 1500\n"), 32);   // the last one's
}

TEST_CASE("a command's program is there, and so is the user that it runs as") {
    CHECK_EQ(said_of("{ run = [\"/usr/bin/web\"], user = \"www\" }"), "");
    const auto web = resolved("grants.g = { run = [\"/usr/bin/web\"], user = \"www\" }\n").web();
    CHECK_EQ(web.grants[0].command.uid, Machine{}.users.at("www").uid);
    CHECK_EQ(web.grants[0].command.gid, Machine{}.users.at("www").gid);
    CHECK_EQ(said_of("{ run = [\"/usr/bin/web\"], user = \"nobody-here\" }"),
             "w.toml:3:20: warning: there is no user \"nobody-here\": the worker cannot start\n"
             "    3 | grants.g = { run = [\"/usr/bin/web\"], user = \"nobody-here\" }\n"
             "      |                    ^~~~~~~~~~~~~~~~\n");
    CHECK_NE(said_of("{ run = [\"/usr/bin/none\"] }").find("program \"/usr/bin/none\" is not there"), std::string::npos);
    CHECK_NE(said_of("{ run = [\"/srv\"] }").find("is not a regular file"), std::string::npos);
    CHECK_NE(said_of("{ run = [\"/srv/a.txt\"] }").find("is not executable"), std::string::npos);
}

TEST_CASE("a device is a device, and what lists a directory is a tree") {
    Machine machine;
    machine.paths["/dev/net/tun"] = {Type::other, false, {}, 0};
    CHECK_EQ(said("grants.g = { device = \"/dev/net/tun\" }\n", machine), "");
    CHECK_NE(said_of("{ device = \"/srv/a.txt\" }").find("\"/srv/a.txt\" is no device"), std::string::npos);
    CHECK_NE(said_of("{ device = \"/srv\" }").find("\"/srv\" is no device"), std::string::npos);
    CHECK_NE(said_of("{ device = \"/dev/none\" }").find("warning: \"/dev/none\" is not there"), std::string::npos);
    CHECK_EQ(resolved("grants.g = { list = \"/srv/new/\" }\n").web().grants[0].kind, Kind::tree);
    CHECK_EQ(resolved("grants.g = { stat = \"/srv/a.txt\" }\n").web().grants[0].kind, Kind::file);
}

TEST_CASE("what is expected of a config is held against it") {
    const std::string worker = "grants.site = { read = \"/srv/\" }\n";
    const auto expecting = [&](const std::string& keys) { return said(worker + "[[expect]]\n" + keys); };
    CHECK_EQ(expecting("worker = \"web\"\nrequest = \"read /srv/a b.html\"\nverdict = \"allow\"\nby = \"site\"\n"), "");
    CHECK_EQ(expecting("worker = \"web\"\nrequest = \"read a.html\"\ngrant = \"site\"\nverdict = \"allow\"\n"), "");
    CHECK_EQ(expecting("worker = \"web\"\nrequest = \"write /srv/a\"\nverdict = \"deny\"\n"), "");
    CHECK_EQ(expecting("worker = \"web\"\nrequest = \"read /etc/shadow\"\nverdict = \"allow\"\n"),
             "w.toml:6:11: error: expected to be allowed: no grant of web covers reading /etc/shadow; to allow it, add to "
             "[worker.web.grants]: NAME = { read = \"/etc/shadow\" }\n"
             "    6 | request = \"read /etc/shadow\"\n"
             "      |           ^~~~~~~~~~~~~~~~~~\n");
    CHECK_NE(expecting("worker = \"web\"\nrequest = \"read /srv/a\"\nverdict = \"deny\"\n")
                 .find("expected to be denied: grant \"site\" (w.toml:3) of web allows reading /srv/a"), std::string::npos);
    CHECK_NE(expecting("worker = \"web\"\nrequest = \"read /srv/a\"\nverdict = \"allow\"\nby = \"other\"\n")
                 .find("expected to be allowed by grant \"other\": grant \"site\""), std::string::npos);
    CHECK_NE(expecting("worker = \"wep\"\nrequest = \"read /srv/a\"\nverdict = \"deny\"\n")
                 .find("there is no worker \"wep\""), std::string::npos);
    CHECK_NE(expecting("worker = \"wep\"\nrequest = \"read /srv/a\"\nverdict = \"deny\"\n")
                 .find("did you mean \"web\"?"), std::string::npos);
}

TEST_CASE("what is expected of a config with errors is not looked at") {
    const std::string text = said("user = \"root\"\n[[expect]]\nworker = \"web\"\nrequest = \"read /a\"\nverdict = \"allow\"\n");
    CHECK_NE(text.find("does not run as root"), std::string::npos);
    CHECK_EQ(text.find("expected"), std::string::npos);
}

TEST_CASE("errors of the file and of the machine are told together") {
    Parsed parsed = parse({{"w.toml", "[worker.a]\nexec = \"x\"\nuser = \"y\"\ngrants.g = { read = \"z\" }\n"}});
    resolve(parsed.config, parsed.problems, Machine{}.lookup());
    CHECK_EQ(shown(parsed.problems),
             "w.toml:2:8: error: path of \"exec\" is not absolute\n"
             "    2 | exec = \"x\"\n"
             "      |        ^~~ write the whole path, from \"/\"\n"
             "w.toml:3:8: warning: there is no user \"y\": the worker cannot start\n"
             "    3 | user = \"y\"\n"
             "      |        ^~~\n"
             "w.toml:4:21: error: path of \"read\" is not absolute\n"
             "    4 | grants.g = { read = \"z\" }\n"
             "      |                     ^~~ write the whole path, from \"/\"\n");
}

TEST_CASE("fingerprints follow what was resolved") {
    Machine moved;
    moved.users["www"] = {2001, 2002};
    const std::string keys = "user = \"www\"\n";
    CHECK_EQ(fingerprint_of(resolved(keys).web()), fingerprint_of(resolved(keys).web()));
    CHECK_NE(fingerprint_of(resolved(keys).web()), fingerprint_of(resolved(keys, moved).web()));
}

TEST_CASE("what a machine lacks is the fault of one worker, which says it, and no error of the config") {
    const auto fault = [](const std::string& text) {
        const Resolved result = resolved(text);
        CHECK_FALSE(any_error(result.problems));
        return result.web().fault;
    };
    CHECK_EQ(fault("user = \"www\"\n"), "");
    CHECK_EQ(fault("user = \"wwww\"\ngroup = \"x\"\n"), "there is no user \"wwww\"");
    CHECK_EQ(fault("group = \"x\"\n"), "there is no group \"x\"");
    CHECK_EQ(fault("supplementary_groups = [\"adm\", \"y\"]\n"), "there is no group \"y\"");
    CHECK_EQ(fault("grants.g = { run = [\"/usr/bin/web\"], user = \"nobody-here\" }\n"), "there is no user \"nobody-here\"");
    CHECK_EQ(fault("grants.g = { run = [\"/usr/bin/none\"] }\n"), "");   // asking for it fails, and nothing else
    CHECK_NE(fault("grants.g = { secret = \"/srv\" }\n").find("is a directory, but a file is meant"), std::string::npos);
    CHECK_NE(fault("sandbox.overlays = [{ target = \"/a\", lower = [\"/srv/a.txt\"], size = \"1MiB\" }]\n").find("is no directory"), std::string::npos);
}

}  // namespace
}  // namespace warder::config
