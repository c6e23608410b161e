#include "ctl/render.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace warder::ctl;
using nlohmann::json;

namespace {

json worker(const char* name, const char* state, const char* wanted) {
    return {{"name", name},   {"state", state},     {"wanted", wanted},    {"since", {{"at", "x"}, {"ms_ago", 182000}}},
            {"pid", 4242},    {"user", name},       {"uid", 64000},        {"gid", 64000},
            {"restarts", 0},  {"last_exit", nullptr}, {"next_start", nullptr}, {"status", nullptr},
            {"allowed", 10},  {"denied", 0}, {"failed", 2},        {"fds", 4},            {"cgroup", nullptr},
            {"memory", 1 << 20}, {"cpu_ms", nullptr}, {"tasks", nullptr}};
}

json waiting() {
    json one = worker("parser", "waiting", "up");
    one["pid"] = nullptr;
    one["memory"] = nullptr;
    one["restarts"] = 3;
    one["last_exit"] = "exit code 1";
    one["next_start"] = {{"at", "x"}, {"ms_ahead", 1500}};
    return one;
}

json status_of(std::initializer_list<json> workers) { return {{"warder", 1}, {"verb", "status"}, {"workers", workers}}; }

}  // namespace

TEST_CASE("render: status is a table with what one wants to know next behind each worker") {
    json web = worker("web", "ready", "up");
    web["status"] = "serving 3 sites";
    CHECK(render_status(status_of({web, waiting()}), Colors::off) ==
          "WORKER  STATE    SINCE        PID   USER            RESTARTS  DENIED  MEMORY\n"
          "web     ready    3min 2s ago  4242  web (64000)     0         0       1.0 MiB  serving 3 sites\n"
          "parser  waiting  3min 2s ago        parser (64000)  3         0                exit code 1; next start in 1s\n");
    CHECK(render_status(status_of({}), Colors::off) == "no workers are configured\n");
}

TEST_CASE("render: a long remark comes last and whole, since what helps stands at its end") {
    json web = worker("web", "ready", "up");
    web["status"] = std::string(200, 'x');
    const std::string text = render_status(status_of({web}), Colors::off);
    CHECK(text.find(std::string(200, 'x') + "\n") != std::string::npos);
}

TEST_CASE("render: one worker is a block, and says when it is not as it should be") {
    CHECK(render_worker(waiting(), Colors::off) ==
          "    worker: parser\n"
          "     state: waiting since 3min 2s ago, wanted up\n"
          "      user: parser (64000)\n"
          "  restarts: 3\n"
          " last exit: exit code 1\n"
          "next start: in 1s\n"
          "  requests: 10 allowed, 0 denied, 2 failed\n"
          "      lent: 4 descriptors in this life\n");
}

TEST_CASE("render: exit codes of status follow LSB") {
    CHECK(exit_of_worker(worker("web", "ready", "up")) == 0);
    for (const char* state : {"stopped", "waiting", "starting", "stopping", "failed"}) {
        CHECK(exit_of_worker(worker("web", state, "up")) == 3);
    }
    CHECK(exit_of_status(status_of({worker("web", "ready", "up")})) == 0);
    CHECK(exit_of_status(status_of({worker("web", "ready", "up"), worker("db", "stopped", "down")})) == 0);
    CHECK(exit_of_status(status_of({worker("web", "ready", "up"), waiting()})) == 3);
    CHECK(exit_of_status(status_of({worker("db", "failed", "down")})) == 3);
    CHECK(exit_of_status(status_of({})) == 0);
}

TEST_CASE("render: a report of another version, with members missing or of another type, is still shown") {
    CHECK_NOTHROW(render_status(json::parse(R"({"workers":[{"name":7,"state":[],"since":"yesterday"},5,null]})"), Colors::off));
    CHECK_NOTHROW(render_worker(json::parse("[]"), Colors::off));
    CHECK_NOTHROW(render_show(json::parse("{}"), Colors::off));
    CHECK_NOTHROW(render_fds(json::parse(R"({"fds":[{}]})"), Colors::off));
    CHECK_NOTHROW(render_check(json::parse(R"({"problems":[{"column":-4,"length":-1,"text":"x"}]})"), Colors::off));
    CHECK_NOTHROW(render_reload(json::parse("null"), Colors::off));
    CHECK(error_of(json::parse("[1]")) == "");
}

TEST_CASE("render: grants tell target, rights, use and whether they are held") {
    const json site = {{"name", "site"}, {"kind", "tree"}, {"rights", {"read"}}, {"target", "/srv/www"}, {"as", "worker"},
                       {"owner", nullptr}, {"names", json::array()}, {"origin", "w.toml:12"}, {"uses", 7}, {"held", "held"}};
    const json db = {{"name", "db"}, {"kind", "peer"}, {"rights", {"connect"}}, {"target", "unix:/run/db.sock"}, {"as", "worker"},
                     {"owner", nullptr}, {"names", json::array()}, {"origin", "w.toml:13"}, {"uses", 0}, {"held", "unneeded"}};
    CHECK(render_grants({{"worker", "web"}, {"grants", {site, db}}}, Colors::off) ==
          "GRANT  RIGHTS   TARGET             AS      USES  HELD  FROM\n"
          "site   read     /srv/www/          worker  7     held  w.toml:12\n"
          "db     connect  unix:/run/db.sock  worker  0     -     w.toml:13\n");
    CHECK(render_grants({{"worker", "web"}, {"grants", json::array()}}, Colors::off) == "web has no grants: it may open nothing\n");
}

TEST_CASE("render: descriptors whose number or state nobody can tell have a question mark") {
    const json fd = {{"number", nullptr}, {"grant", "http"}, {"operation", "listen"}, {"target", "tcp:127.0.0.1:80"},
                     {"since", {{"ms_ago", 5000}}}, {"open", nullptr}};
    CHECK(render_fds({{"worker", "web"}, {"fds", {fd}}}, Colors::off) ==
          "FD  GRANT  FOR     TARGET            LENT    OPEN\n"
          "?   http   listen  tcp:127.0.0.1:80  5s ago  ?\n");
    CHECK(render_fds({{"worker", "web"}, {"fds", json::array()}}, Colors::off) == "web was lent nothing in this life\n");
}

TEST_CASE("render: why is the verdict and its sentence") {
    CHECK(render_why({{"verdict", "deny"}, {"sentence", "no grant covers it"}, {"grant", nullptr}}, Colors::off) ==
          "denied: no grant covers it\n");
    CHECK(render_why({{"verdict", "allow"}, {"sentence", "yes"}, {"grant", "site"}, {"origin", "w.toml:3"}}, Colors::off) ==
          "allowed: yes\n");
}

TEST_CASE("render: a problem stands as compilers print it, with the caret below what is meant") {
    const json problem = {{"weight", "error"}, {"file", "w.toml"}, {"line", 3}, {"column", 2}, {"length", 5},
                          {"what", "unknown key \"lisen\""}, {"suggestion", "did you mean \"listen\"?"}, {"text", "\tlisen = 1"}};
    CHECK(render_check({{"problems", {problem}}, {"files", {"w.toml"}}, {"workers", json::array()}}, Colors::off) ==
          "w.toml:3:2: error: unknown key \"lisen\"\n"
          "    3 | \tlisen = 1\n"
          "      | \t^~~~~ did you mean \"listen\"?\n"
          "not ok: 0 workers in 1 file, 1 error\n");
}

TEST_CASE("render: a reload says what was done to whom and why, or that nothing has changed") {
    const json changes = {{{"worker", "web"}, {"kind", "restart"}, {"keys", {"command", "grants.site"}}}};
    CHECK(render_reload({{"mode", "apply"}, {"ok", true}, {"changes", changes}, {"problems", json::array()}}, Colors::off) ==
          "WORKER  DONE     BECAUSE OF\nweb     restart  command grants.site\n");
    const json live = {{{"worker", "web"}, {"kind", "live"}, {"keys", {"grants.db"}}, {"left", {"grant db: it stays"}}}};
    CHECK(render_reload({{"mode", "plan"}, {"ok", true}, {"changes", live}, {"problems", json::array()}}, Colors::off) ==
          "WORKER  WOULD                 BECAUSE OF\nweb     change while it runs  grants.db\nweb: grant db: it stays\n");
    CHECK(render_reload({{"mode", "plan"}, {"ok", true}, {"changes", json::array()}, {"problems", json::array()}}, Colors::off) ==
          "nothing has changed\n");
}

TEST_CASE("render: a change of life is one line") {
    CHECK(render_life({{"done", true}, {"worker", worker("web", "ready", "up")}}, Colors::off) == "web: ready (pid 4242)\n");
    json stopping = worker("web", "stopping", "down");
    CHECK(render_life({{"done", false}, {"worker", stopping}}, Colors::off) == "web: stopping (pid 4242), under way\n");
}

TEST_CASE("render: names of workers in a list cannot steer the terminal") {
    CHECK(render_list({{"workers", {"web", "\x1b[31mred"}}}) == "web\n\\x1b[31mred\n");
}
