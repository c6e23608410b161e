#include "config/run_mode.h"

#include "config/check.h"
#include "unit/config/one.h"

namespace warder::config {
namespace {

RunMode ordinary() {
    RunMode standing;
    standing.without_root = true;
    standing.uid = 1000;
    standing.gid = 1001;
    standing.nice = 5;
    return standing;
}

const Places places{"/run/user/1000/warder", "/home/u/.local/state/warder", "/home/u/.cache/warder"};

// As warderd --user reads it; resolve() has nothing to look up in these.
Parsed without_root(const std::string& text) {
    Parsed parsed = parse({{"w.toml", text}}, initial_daemon(ordinary(), places));
    settle(parsed.config, parsed.problems);
    return parsed;
}

Parsed worker_without_root(const std::string& keys) { return without_root("[worker.web]\nexec = \"/usr/bin/web\"\n" + keys); }

std::string said(const std::string& keys) { return testing::shown(worker_without_root(keys).problems); }

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

TEST_CASE("standing: of root nothing changes") {
    Parsed parsed = parse({{"w.toml", "[worker.web]\nexec = \"/usr/bin/web\"\nuser = \"www\"\n"}}, initial_daemon({}, places));
    settle(parsed.config, parsed.problems);
    CHECK_EQ(testing::shown(parsed.problems), "");
    CHECK_EQ(parsed.config.daemon.runtime_directory, "/run/warder");
    CHECK_EQ(parsed.config.workers.at(0).profile, "strict");
    CHECK_FALSE(parsed.config.workers.at(0).sandbox.without_root);
}

TEST_CASE("standing: an ordinary user's worker has the profile user, warderd's own ids, niceness and directories") {
    const Parsed parsed = worker_without_root("[worker.web.sandbox]\nmanaged_directories = [\"state\", \"cache\", \"runtime\"]\n");
    REQUIRE_EQ(testing::shown(parsed.problems), "");
    const Worker& web = parsed.config.workers.at(0);
    CHECK_EQ(web.profile, "user");
    CHECK(web.sandbox.without_root);
    CHECK(web.sandbox.memory_deny_write_execute);
    CHECK_EQ(web.sandbox.uid, 1000);
    CHECK_EQ(web.sandbox.gid, 1001);
    CHECK_EQ(web.sandbox.nice, 5);
    CHECK_EQ(web.sandbox.own_directories.at(0).path, "/home/u/.local/state/warder/state/web");
    CHECK_EQ(web.sandbox.own_directories.at(1).path, "/home/u/.cache/warder/private/web");
    CHECK_EQ(web.sandbox.own_directories.at(2).path, "/run/user/1000/warder/worker/web");
    CHECK_EQ(parsed.config.daemon.log_directory, "/home/u/.local/state/warder/log");
    CHECK_EQ(parsed.config.daemon.control_group, "");
}

TEST_CASE("standing: what a file says itself is taken, also without root") {
    const Parsed parsed = without_root("[daemon]\nruntime_directory = \"/home/u/run\"\n[worker.web]\nexec = \"/usr/bin/web\"\nnice = 7\n");
    REQUIRE_EQ(testing::shown(parsed.problems), "");
    CHECK_EQ(parsed.config.daemon.runtime_directory, "/home/u/run");
    CHECK_EQ(parsed.config.workers.at(0).sandbox.nice, 7);
}

TEST_CASE("standing: the uid says nothing of who asks, so what rests on it is refused at its place") {
    const std::string text = said("request_access = \"all\"\nuser = \"www\"\ngroup = \"www\"\nsupplementary_groups = [\"adm\"]\n");
    CHECK(says(text, "w.toml:3:"));
    CHECK(says(text, "request_access = \"all\" cannot be had"));
    CHECK(says(text, "it cannot become another user"));
    CHECK(says(text, "it cannot be put into another group"));
    CHECK(says(text, "it cannot be put into other groups"));
}

TEST_CASE("standing: what keeps workers of one uid apart is not optional") {
    CHECK(says(said("[worker.web.sandbox]\nscope_signals = false\n"), "scope_signals = false cannot be had"));
    CHECK(says(said("[worker.web.sandbox]\nprofile = \"unconfined\"\n"), "profile = \"unconfined\" cannot be had"));
    for (const std::string wall : {"pid_namespace", "landlock", "landlock_scope", "seccomp"}) {
        CHECK(says(said("[worker.web.sandbox]\noptional_features = [\"" + wall + "\"]\n"), "\"" + wall + "\" is required"));
    }
    // A keyring is its uid's.
    for (const std::string name : {"@keyring", "keyctl"}) {
        CHECK(says(said("[worker.web.sandbox]\nallow_calls = [\"" + name + "\"]\n"), "keyrings cannot be had"));
    }
    CHECK_EQ(said("[worker.web.sandbox]\nprofile = \"service\"\noptional_features = [\"memory_deny_write_execute\"]\n"), "");
}

TEST_CASE("standing: an overlay takes rights over files, which warderd gives up without root") {
    const std::string text = said("[worker.web.sandbox]\noverlays = [{ target = \"/srv/tree\", lower = [\"/opt/a\"], size = \"1MiB\" }]\n");
    CHECK(says(text, "w.toml:4:"));
    CHECK(says(text, "an overlay cannot be had"));
}

TEST_CASE("standing: a worker is in warderd's user namespace, and gets none of its own") {
    CHECK(says(said("[worker.web.sandbox]\nuser_namespace = \"self\"\n"), "it is in warderd's user namespace"));
    CHECK_EQ(said("[worker.web.sandbox]\nuser_namespace = \"none\"\n"), "");
}

TEST_CASE("standing: what is better than warderd's own is refused, what is not is taken") {
    CHECK(says(said("nice = 4\n"), "its niceness cannot be below warderd's own, 5"));
    CHECK_EQ(said("nice = 5\n"), "");
    CHECK(says(said("oom_score_adjust = -1\n"), "its oom score cannot be below warderd's own, 0"));
    CHECK_EQ(said("oom_score_adjust = 1\n"), "");
    CHECK(says(said("[worker.web.grants]\nhttp = { listen = \"tcp:127.0.0.1:1023\" }\n"), "port 1023 cannot be listened on"));
    CHECK_EQ(said("[worker.web.grants]\nhttp = { listen = \"tcp:127.0.0.1:1024\" }\n"), "");
}

TEST_CASE("standing: nothing is done as root, nor given to root") {
    CHECK(says(said("[worker.web.grants]\nf = { listen = \"unix:/srv/s\", open_as = \"root\" }\n"), "nothing can be done as root"));
    CHECK(says(said("[worker.web.grants]\nf = { listen = \"unix:/srv/s\", owner = \"root\" }\n"), "nothing can be given to root"));
    CHECK_EQ(said("[worker.web.grants]\nf = { listen = \"unix:/srv/s\", owner = \"worker\" }\n"), "");
    const Parsed parsed = worker_without_root("[worker.web.grants]\nf = { run = [\"/usr/bin/id\"] }\n");
    REQUIRE_EQ(testing::shown(parsed.problems), "");
    CHECK_EQ(parsed.config.workers.at(0).grants.at(0).command.uid, 1000);
    CHECK_EQ(parsed.config.workers.at(0).grants.at(0).command.gid, 1001);
}

TEST_CASE("standing: of [daemon] what takes root is refused, each at its line") {
    const std::string text = testing::shown(
        without_root("[daemon]\ncontrol_group = \"warder\"\nuid_range = \"5000-5999\"\nreserve_capabilities = [\"CAP_NET_ADMIN\"]\n").problems);
    for (const std::string place : {"w.toml:2:1", "w.toml:3:1", "w.toml:4:1"}) CHECK(says(text, place));
    CHECK_EQ(testing::shown(without_root("[daemon]\ncontrol_group = \"\"\n").problems), "");
}

TEST_CASE("standing: without a home the directories have to be written") {
    Parsed parsed = parse({{"w.toml", ""}}, initial_daemon(ordinary(), {}));
    settle(parsed.config, parsed.problems);
    CHECK(says(testing::shown(parsed.problems), "neither HOME nor XDG_STATE_HOME"));
}

TEST_CASE("standing: the profile user goes with warderd --user only") {
    CHECK(says(testing::worker_complaints("[worker.web.sandbox]\nprofile = \"user\"\n"), "goes with warderd --user only"));
    CHECK_EQ(said("[worker.web.sandbox]\nprofile = \"user\"\n"), "");
}

TEST_CASE("standing: groups that cannot be given up are told") {
    RunMode standing = ordinary();
    const std::size_t before = lacks_without_root(standing).size();
    standing.groups = {27, 998};
    const auto lacks = lacks_without_root(standing);
    REQUIRE_EQ(lacks.size(), before + 1);
    CHECK(says(lacks.back(), "27 998"));
}

}  // namespace
}  // namespace warder::config
