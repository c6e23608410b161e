#include "control/report.h"

#include <doctest/doctest.h>

// The texts here are the shape that scripts read: a change that breaks one of them breaks somebody's script.

using namespace warder;
using namespace warder::control;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t second = 1'000'000'000;
const Clock clock_now{Instant{1000 * second}, 1'767'225'600 * second};   // 2026-01-01T00:00:00Z

WorkerReport web() {
    WorkerReport worker;
    worker.name = "web";
    worker.id = WorkerId{3};
    worker.state = supervise::State::ready;
    worker.desired = supervise::Desired::up;
    worker.since = Instant{818 * second};
    worker.pid = 4242;
    worker.user = "w-web";
    worker.uid = 64000;
    worker.gid = 64000;
    worker.restarts = 2;
    worker.last_exit = "signal 9 (KILL)";
    worker.status = "serving \"all\"\n";
    worker.allowed = 10;
    worker.denied = 1;
    worker.failed = 3;
    worker.fds = 4;
    worker.cgroup = "/sys/fs/cgroup/warder/w.web";
    worker.memory = 1 << 20;
    worker.cpu = 1500ms;
    worker.tasks = 2;
    worker.evidence = "full";
    worker.syscall_monitor = 72;
    worker.denied_calls = {{.call = "ptrace", .words = "ptrace(0, 0)", .error = 1, .count = 3, .first = clock_now.wall - 2 * second,
                            .last = clock_now.wall - second, .pid = 71, .section = "[worker.web.sandbox]", .origin = "warder.toml:12",
                            .key = "allow_calls", .change = "allow_calls = [\"ptrace\"]"}};
    return worker;
}

constexpr const char* web_json =
    R"({"name":"web","id":3,"state":"ready","wanted":"up",)"
    R"("since":{"at":"2025-12-31T23:56:58.000000Z","ms_ago":182000},"pid":4242,"user":"w-web","uid":64000,"gid":64000,)"
    R"~("restarts":2,"last_exit":"signal 9 (KILL)","next_start":null,"status":"serving \"all\"\n","allowed":10,"denied":1,"failed":3,)~"
    R"("fds":4,"cgroup":"/sys/fs/cgroup/warder/w.web","memory":1048576,"cpu_ms":1500,"tasks":2,)"
    R"~("evidence":"full","syscall_monitor":72,"denied_calls":[{"call":"ptrace","words":"ptrace(0, 0)","answer":"EPERM","count":3,)~"
    R"("first":{"at":"2025-12-31T23:59:58.000000Z","ms_ago":2000},"last":{"at":"2025-12-31T23:59:59.000000Z","ms_ago":1000},"pid":71,"section":"[worker.web.sandbox]",)"
    R"("origin":"warder.toml:12","key":"allow_calls","change":"allow_calls = [\"ptrace\"]"}],"other_denied_calls":0,"helper":false})";

GrantReport site() {
    GrantReport grant;
    grant.id = GrantId{1};
    grant.name = "site";
    grant.kind = policy::Kind::tree;
    grant.rights = {Operation::read};
    grant.target = "/srv/www";
    grant.names = {"*.html"};
    grant.origin = "warder.toml:12";
    grant.uses = 7;
    grant.held = Held::held;
    return grant;
}

constexpr const char* site_json =
    R"({"id":1,"name":"site","kind":"tree","rights":["read"],"target":"/srv/www","as":"worker","owner":null,)"
    R"("names":["*.html"],"origin":"warder.toml:12","uses":7,"held":"held",)"
    R"("limits":{"max_uses":null,"until":null,"max_rate":null},"narrowed":false,"details":[]})";

}  // namespace

TEST_CASE("report: status has every member of a running worker") {
    CHECK(status_json({web()}, clock_now) == R"({"warder":1,"verb":"status","workers":[)" + std::string(web_json) + "]}");
    CHECK(status_json({}, clock_now) == R"({"warder":1,"verb":"status","workers":[]})");
}

TEST_CASE("report: what is unknown or does not apply is null, never left out") {
    WorkerReport waiting;
    waiting.name = "db";
    waiting.state = supervise::State::waiting;
    waiting.since = clock_now.now;
    waiting.next_start = clock_now.now + 250ms;
    CHECK(status_json({waiting}, clock_now) ==
          R"({"warder":1,"verb":"status","workers":[{"name":"db","id":0,"state":"waiting","wanted":"down",)"
          R"("since":{"at":"2026-01-01T00:00:00.000000Z","ms_ago":0},"pid":null,"user":null,"uid":65534,"gid":65534,)"
          R"("restarts":0,"last_exit":null,"next_start":{"at":"2026-01-01T00:00:00.250000Z","ms_ahead":250},"status":null,)"
          R"("allowed":0,"denied":0,"failed":0,"fds":0,"cgroup":null,"memory":null,"cpu_ms":null,"tasks":null,)"
          R"("evidence":null,"syscall_monitor":null,"denied_calls":[],"other_denied_calls":0,"helper":false}]})");
}

TEST_CASE("report: a worker that was never started is in its state since no moment at all") {
    CHECK(status_json({WorkerReport{}}, clock_now).find(R"("since":null)") != std::string::npos);
}

TEST_CASE("report: list is the names, without those of warderd's own helpers") {
    WorkerReport keeper;
    keeper.name = "log-keeper";
    keeper.helper = true;
    CHECK(list_json({web(), WorkerReport{}, keeper}) == R"({"warder":1,"verb":"list","workers":["web",""]})");
}

TEST_CASE("report: a change of life says whether it is done, and a disappointment says why") {
    CHECK(life_json("stop", web(), false, clock_now) ==
          R"({"warder":1,"verb":"stop","done":false,"worker":)" + std::string(web_json) + "}");
    CHECK(failed_life_json("start", {EIO, "web did not get ready"}, web(), clock_now) ==
          R"({"warder":1,"verb":"start","error":"web did not get ready","errno":"EIO","worker":)" + std::string(web_json) + "}");
}

TEST_CASE("report: grants") {
    CHECK(grants_json("web", {site()}) ==
          R"({"warder":1,"verb":"grants","worker":"web","grants":[)" + std::string(site_json) + "]}");
}

TEST_CASE("report: fds have their number and state only where they are known") {
    FdReport known{7, "site", Operation::read, "/srv/www/index.html", Instant{999 * second}, true};
    FdReport unknown{{}, "http", Operation::listen, "tcp:127.0.0.1:80", Instant{990 * second}, {}};
    CHECK(fds_json("web", {known, unknown}, clock_now) ==
          R"({"warder":1,"verb":"fds","worker":"web","fds":[)"
          R"({"number":7,"grant":"site","operation":"read","target":"/srv/www/index.html",)"
          R"("since":{"at":"2025-12-31T23:59:59.000000Z","ms_ago":1000},"open":true},)"
          R"({"number":null,"grant":"http","operation":"listen","target":"tcp:127.0.0.1:80",)"
          R"("since":{"at":"2025-12-31T23:59:50.000000Z","ms_ago":10000},"open":null}]})");
}

TEST_CASE("report: show joins life, rules, sandbox, what stays open, and grants") {
    ShowReport show;
    show.worker = web();
    show.origin = "warder.toml:4";
    show.program = {"/usr/bin/web", "--port", "80"};
    show.requesters = "main";
    show.ready = "libwarder";
    show.restart = "always";
    show.stop = "TERM";
    show.sandbox = {{"capabilities", "none", "none", Evidence::read, true}, {"landlock", "on", "", Evidence::none, false}};
    show.open = {"http: its holder can shut it down"};
    show.grants = {site()};
    CHECK(show_json(show, clock_now) ==
          R"({"warder":1,"verb":"show","worker":)" + std::string(web_json) +
          R"(,"origin":"warder.toml:4","program":["/usr/bin/web","--port","80"],"request_access":"main","ready":"libwarder",)"
          R"("restart":"always","stop":"TERM","sandbox":[)"
          R"({"name":"capabilities","wanted":"none","effective":"none","evidence":"read","matches":true},)"
          R"({"name":"landlock","wanted":"on","effective":null,"evidence":"none","matches":false}],)"
          R"("open":["http: its holder can shut it down"],"grants":[)" + site_json + "]}");
}

TEST_CASE("report: why has verdict, reason and sentence") {
    WhyReport why{false, Reason::not_granted, "web", "read", "/etc/shadow", "", "", "no grant of web covers it"};
    CHECK(why_json(why) ==
          R"({"warder":1,"verb":"why","worker":"web","operation":"read","target":"/etc/shadow","verdict":"deny",)"
          R"("reason":")" + std::string(warder::name_of(Reason::not_granted)) +
          R"(","grant":null,"origin":null,"sentence":"no grant of web covers it"})");
}

TEST_CASE("report: check is ok with warnings alone") {
    CheckReport check;
    check.files = {"warder.toml"};
    check.workers = {"web"};
    check.problems = {{Weight::warning, "warder.toml", 3, 7, 4, "odd", "even", "x = odd"}};
    check.capabilities = {{"CAP_SETUID", {"each worker has ids of its own"}}};
    check.protections = {{"landlock", true, ""}, {"passrights", false, "needs Linux 6.16"}};
    CHECK(check_json(check) ==
          R"({"warder":1,"verb":"check","ok":true,"files":["warder.toml"],"workers":["web"],"problems":[)"
          R"({"weight":"warning","file":"warder.toml","line":3,"column":7,"length":4,"what":"odd","suggestion":"even",)"
          R"("text":"x = odd"}],"capabilities":["CAP_SETUID"],"needs":[{"capability":"CAP_SETUID","for":["each worker has ids of its own"]}],"protections":[{"name":"landlock","on":true,"note":null},)"
          R"({"name":"passrights","on":false,"note":"needs Linux 6.16"}]})");
    check.problems[0].weight = Weight::error;
    CHECK_FALSE(check.ok());
}

TEST_CASE("report: reload lists changes, or says that nothing was changed and why") {
    ReloadReport good;
    good.changes = {{"web", ChangeKind::restart, {"command"}, {}}, {"db", ChangeKind::add, {}, {"it keeps"}}};
    CHECK(reload_json(good) ==
          R"({"warder":1,"verb":"reload","mode":"apply","ok":true,"changes":[{"worker":"web","kind":"restart",)"
          R"("keys":["command"],"left":[]},{"worker":"db","kind":"add","keys":[],"left":["it keeps"]}],"problems":[]})");
    ReloadReport bad;
    bad.mode = ReloadMode::plan;
    bad.ok = false;
    bad.problems = {{Weight::error, "", 0, 0, 1, "no file", "", ""}};
    CHECK(reload_json(bad) ==
          R"({"warder":1,"verb":"reload","mode":"plan","ok":false,)"
          R"("error":"the configuration has errors: nothing was changed","errno":"EINVAL","changes":[],"problems":[)"
          R"({"weight":"error","file":null,"line":0,"column":0,"length":1,"what":"no file","suggestion":null,"text":null}]})");
}

TEST_CASE("report: logs, version, shutdown and refusals") {
    CHECK(logs_json({"/var/log/warder", {{"web", "web.log"}}, "audit.jsonl", ""}) ==
          R"({"warder":1,"verb":"logs","directory":"/var/log/warder","files":[{"worker":"web","file":"web.log"}],)"
          R"("audit":"audit.jsonl","elsewhere":null})");
    CHECK(version_json({"0.1.0", 1, 99, Instant{1000 * second}, "/etc/warder", 12, 1, 7ms}, clock_now) ==
          R"({"warder":1,"verb":"version","version":"0.1.0","protocol":1,"pid":99,)"
          R"("since":{"at":"2026-01-01T00:00:00.000000Z","ms_ago":0},"config":"/etc/warder",)"
          R"("loop":{"turns":12,"over_5ms":1,"longest_us":7000}})");
    CHECK(shutdown_json() == R"({"warder":1,"verb":"shutdown"})");
    CHECK(refusal_json("show", {ENOENT, "no worker \"x\ny\""}) ==
          R"({"warder":1,"verb":"show","error":"no worker \"x\ny\"","errno":"ENOENT"})");
}

TEST_CASE("report: a socket has its queues only where they are known") {
    SocketReport listener{.protocol = "tcp", .queues = true, .state = "listen", .send_queue = 511, .local = "127.0.0.1:80", .peer = {},
                          .inode = 5, .peer_worker = {}, .worker = "web", .kept = true, .pid = 1, .fd = 9,
                          .grant = "http"};
    SocketReport pair{.protocol = "socket", .state = {}, .local = {}, .peer = {}, .inode = 6, .peer_inode = 7, .peer_pid = 4242,
                      .peer_worker = "db", .worker = "web", .pid = 4243, .fd = 3, .grant = {}};
    CHECK(sockets_json({{listener, pair}, false}) ==
          R"({"warder":1,"verb":"sockets","complete":false,"sockets":[)"
          R"({"protocol":"tcp","state":"listen","recv_queue":0,"send_queue":511,"local":"127.0.0.1:80","peer":null,"inode":5,)"
          R"("peer_inode":null,"peer_pid":null,"peer_worker":null,"holder":"warderd","worker":"web","pid":1,"fd":9,"grant":"http"},)"
          R"({"protocol":"socket","state":null,"recv_queue":null,"send_queue":null,"local":null,"peer":null,"inode":6,)"
          R"("peer_inode":7,"peer_pid":4242,"peer_worker":"db","holder":"worker","worker":"web","pid":4243,"fd":3,"grant":null}]})");
}

TEST_CASE("report: a store says what is kept, since when and how much room there is") {
    StoreReport store{.worker = "web", .most = 8, .total = 2, .names = 1, .descriptor_store = 77, .kept = {{"conns", 2, clock_now.wall - second}}};
    CHECK(stores_json({store}, clock_now) ==
          R"({"warder":1,"verb":"store","stores":[{"worker":"web","most":8,"total":2,"names":1,"descriptor_store":77,"refused":0,)"
          R"("strays":0,"kept":[{"name":"conns","count":2,"since":{"at":"2025-12-31T23:59:59.000000Z","ms_ago":1000}}]}]})");
    CHECK(stores_json({}, clock_now) == R"({"warder":1,"verb":"store","stores":[]})");
}
