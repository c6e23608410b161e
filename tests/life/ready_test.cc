// When a worker counts as ready, and what its own words do.
#include "loop.h"

using namespace life;

namespace {

Instant now() { return monotonic_now(); }

// What sd_notify(3) does: a datagram to the path in NOTIFY_SOCKET.
const std::string notify_helper =
    "import os, socket, time\n"
    "def notify(text):\n"
    "    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
    "    s.connect(os.environ['NOTIFY_SOCKET'])\n"
    "    s.sendmsg([text.encode()])\n";

WorkerSettings notifier(const std::string& script) {
    WorkerSettings settings = python("notifier", notify_helper + script);
    settings.rule.ready = ReadyBy::notify;
    return settings;
}

}  // namespace

TEST_CASE("READY=1 makes a worker ready, and not before") {
    Loop loop;
    const Instant begun = now();
    Worker& worker = loop.start(notifier("time.sleep(0.3); notify('STATUS=up and\\tserving\\nREADY=1'); time.sleep(1000)"));
    REQUIRE(loop.until_state(worker, State::ready));
    CHECK(now() - begun >= 300ms);
    CHECK(worker.snapshot().why == "it said that it is ready");
    CHECK(worker.snapshot().status == "up and?serving");
    CHECK(loop.statuses == std::vector<std::string>{"up and?serving"});
}

TEST_CASE("every life has to say it anew, through the same socket") {
    Loop loop;
    Worker& worker = loop.start_until_ready(notifier("notify('READY=1'); time.sleep(1000)"));
    REQUIRE(::kill(worker.pid(), SIGKILL) == 0);
    REQUIRE(loop.until_life(worker, 2));
    CHECK(loop.when(worker, State::ready) > loop.when(worker, State::starting));
}

TEST_CASE("T13: a child of the main process cannot make the worker ready, nor name another main process") {
    Loop loop;
    Worker& worker = loop.start(
        notifier("child = os.fork()\n"
                 "notify('READY=1\\nSTATUS=child') if child == 0 else (os.waitpid(child, 0), notify('MAINPID=1\\nSTATUS=main'))\n"
                 "time.sleep(1000) if child else os._exit(0)"));
    REQUIRE(loop.until([&] { return !loop.statuses.empty(); }));
    CHECK(loop.statuses == std::vector<std::string>{"main"});
    CHECK(worker.state() == State::starting);
}

TEST_CASE("a worker that is not ready in time is stopped, and that was a failure") {
    Loop loop;
    WorkerSettings settings = notifier("time.sleep(1000)");
    settings.rule.ready_timeout = 200ms;
    settings.rule.restart.policy = RestartPolicy::never;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(worker.snapshot().last_exit == "not ready in time; killed by SIGTERM");
    CHECK(worker.snapshot().why == "not ready in time, and the restart policy is never");
}

TEST_CASE("a program that ends well before it was ready has failed") {
    Loop loop;
    WorkerSettings settings = notifier("pass");
    settings.rule.restart.policy = RestartPolicy::on_failure;
    settings.rule.restart.limit = 2;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(worker.life_number() == 2);
    CHECK(worker.snapshot().last_exit == "exit code 0 before it was ready");
}

TEST_CASE("WATCHDOG=1 is noted") {
    Loop loop;
    Worker& worker = loop.start_until_ready(notifier("notify('READY=1'); notify('WATCHDOG=1'); time.sleep(1000)"));
    CHECK(loop.until([&] { return worker.snapshot().watchdog_at != Instant::never(); }));
}

TEST_CASE("a worker that is ready by the channel is not made ready by NOTIFY_SOCKET's word, but by the broker's") {
    Loop loop;
    WorkerSettings settings = sleeper("web");
    settings.rule.ready = ReadyBy::libwarder;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until([&] { return worker.life().program_runs; }));
    worker.said_ready(ReadyBy::notify, now());
    CHECK(worker.state() == State::starting);
    worker.said_ready(ReadyBy::libwarder, now());
    CHECK(worker.state() == State::ready);
    worker.said_status("warm\x07");
    CHECK(worker.snapshot().status == "warm?");
}

TEST_CASE("a worker that floods NOTIFY_SOCKET does not keep the loop from others") {
    Loop loop;
    Worker& noisy = loop.start_until_ready(notifier("notify('READY=1')\nwhile True: notify('WATCHDOG=1')"));
    Worker& other = loop.start(sleeper("other"));
    const Instant begun = now();
    REQUIRE(loop.until_state(other, State::ready));
    CHECK(now() - begun < 5s);
    CHECK(noisy.state() == State::ready);
}

TEST_CASE("the socket is found in the host's own tree where the sandbox has no root of its own") {
    Loop loop;
    WorkerSettings settings = notifier("notify('READY=1'); time.sleep(1000)");
    settings.plan.root = sandbox::Root::host;
    settings.plan.mount_namespace = settings.plan.private_tmp = false;
    settings.plan.binds.clear();
    settings.plan.landlock = false;
    Worker& worker = loop.start(std::move(settings));
    CHECK_MESSAGE(loop.until_state(worker, State::ready, 5s), worker.snapshot().why);
}
