// What a life goes through when its program ends, fails, or is told to.
#include "loop.h"

using namespace life;

namespace {

Instant now() { return monotonic_now(); }

// A worker that ends with `code` at once.
WorkerSettings exits_with(int code, RestartPolicy policy) {
    WorkerSettings settings = shell("exits", "exit " + std::to_string(code));
    settings.rule.restart.policy = policy;
    settings.rule.restart.success = {0, 5};
    return settings;
}

}  // namespace

TEST_CASE("a program in a sandbox becomes ready, has a session, and stops when it is asked to") {
    Loop loop;
    Worker& worker = loop.start_until_ready(sleeper("web"));
    CHECK(loop.sessions.size() == 1);
    const Snapshot seen = worker.snapshot();
    CHECK(seen.pid > 0);
    CHECK(seen.stub > 0);
    CHECK(uid_of(std::to_string(seen.pid)) == worker_uid);
    CHECK(seen.ready_at >= seen.started);
    worker.stop(now());
    REQUIRE(loop.until_state(worker, State::stopped));
    CHECK(worker.snapshot().last_exit == "killed by SIGTERM");
    CHECK(worker.snapshot().why == "asked to stop");
    CHECK(loop.sessions.empty());
}

TEST_CASE("messages of a session carry the credentials that were told when it began") {
    Loop loop;
    Worker& worker = loop.start_until_ready(python("speaker", "import os, time; os.write(3, b'hello'); time.sleep(1000)"));
    const auto [channel, who] = loop.sessions.at(number(worker.id()));
    std::array<std::byte, 64> buffer;
    const auto received = channel->receive_waiting(buffer);
    REQUIRE(received);
    CHECK(text_of(received->bytes) == "hello");
    CHECK(received->authenticated);
    CHECK(received->sender == who);
    CHECK(who.pid == worker.pid());
    CHECK(who.uid == worker_uid);
}

TEST_CASE("kill -9 of the main process: it comes back after the delay, with a new session") {
    Loop loop;
    Worker& worker = loop.start_until_ready(sleeper("web"));
    const pid_t first = worker.pid();
    const Instant killed = now();
    REQUIRE(::kill(first, SIGKILL) == 0);
    REQUIRE(loop.until_life(worker, 2));
    CHECK(worker.pid() != first);
    CHECK(loop.sessions_begun == 2);
    CHECK(worker.snapshot().last_exit == "killed by SIGKILL");
    CHECK(worker.snapshot().restarts == 1);
    CHECK(loop.when(worker, State::starting) - killed >= 50ms);
}

TEST_CASE("kill -9 of the stub ends the main process with it, and both come back") {
    Loop loop;
    Worker& worker = loop.start_until_ready(sleeper("web"));
    REQUIRE(::kill(worker.snapshot().stub, SIGKILL) == 0);
    REQUIRE(loop.until_life(worker, 2));
    CHECK(worker.snapshot().last_exit == "killed by SIGKILL");
}

TEST_CASE("waits get longer from crash to crash") {
    Loop loop;
    WorkerSettings settings = shell("crasher", "sleep 0.1; kill -SEGV $$");
    settings.rule.restart.cap = 200ms;
    settings.rule.restart.limit = 5;
    settings.plan.limits.push_back({RLIMIT_CORE, 0, 0});
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until_state(worker, State::failed));
    std::vector<std::string> waits;
    for (const Change& change : loop.changes) {
        if (change.to == State::waiting) waits.push_back(change.why);
    }
    CHECK(waits == std::vector<std::string>{"killed by SIGSEGV; next start in 50ms", "killed by SIGSEGV; next start in 100ms",
                                            "killed by SIGSEGV; next start in 200ms", "killed by SIGSEGV; next start in 200ms"});
}

TEST_CASE("on_failure restarts after a bad exit code, and leaves a good one stopped") {
    for (const int code : {0, 5}) {
        Loop loop;
        Worker& worker = loop.start(exits_with(code, RestartPolicy::on_failure));
        REQUIRE(loop.until_state(worker, State::stopped));
        CHECK(worker.life_number() == 1);
        CHECK(worker.snapshot().last_exit == "exit code " + std::to_string(code));
    }
    Loop loop;
    Worker& worker = loop.start(exits_with(3, RestartPolicy::on_failure));
    CHECK(loop.until([&] { return worker.life_number() == 3; }));
}

TEST_CASE("always restarts after a good exit too, and never leaves a bad one failed") {
    {
        Loop loop;
        Worker& worker = loop.start(exits_with(0, RestartPolicy::always));
        CHECK(loop.until([&] { return worker.life_number() == 3; }));
    }
    Loop loop;
    Worker& worker = loop.start(exits_with(3, RestartPolicy::never));
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(worker.snapshot().why == "exit code 3, and the restart policy is never");
    CHECK(worker.life_number() == 1);
}

TEST_CASE("at its start limit a worker is failed with a reason, until it is started by hand") {
    Loop loop;
    WorkerSettings settings = exits_with(1, RestartPolicy::always);
    settings.rule.restart.limit = 3;
    settings.rule.restart.factor = 1;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(worker.life_number() == 3);
    CHECK(worker.snapshot().why == "start limit: 3 starts within 1min are allowed; last: exit code 1");
    CHECK(worker.snapshot().deaths.size() == 3);
    worker.start(now());
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(worker.life_number() == 6);
}

TEST_CASE("a program that ignores the stop signal is killed when its time is over") {
    Loop loop;
    WorkerSettings settings = python("deaf", "import signal, os, time; signal.signal(15, signal.SIG_IGN)\n"
                                             "os.write(3, b'.'); time.sleep(1000)");
    settings.rule.stop.timeout = 300ms;
    Worker& worker = loop.start_until_ready(std::move(settings));
    std::array<std::byte, 8> buffer;
    REQUIRE(loop.sessions.at(number(worker.id())).first->receive_waiting(buffer));
    const Instant asked = now();
    worker.stop(asked);
    REQUIRE(loop.until_state(worker, State::stopped));
    CHECK(now() - asked >= 300ms);
    CHECK(now() - asked < 3s);
    CHECK(worker.snapshot().last_exit == "killed by SIGKILL: it did not stop in time");
}

TEST_CASE("a program that heeds another stop signal gets that one, and may end well") {
    Loop loop;
    WorkerSettings settings = python("polite", "import signal, os, time, sys\n"
                                               "signal.signal(signal.SIGQUIT, lambda *_: sys.exit(7))\n"
                                               "os.write(3, b'.'); time.sleep(1000)");
    settings.rule.stop.signal = SIGQUIT;
    Worker& worker = loop.start_until_ready(std::move(settings));
    std::array<std::byte, 8> buffer;
    REQUIRE(loop.sessions.at(number(worker.id())).first->receive_waiting(buffer));
    worker.stop(now());
    REQUIRE(loop.until_state(worker, State::stopped));
    CHECK(worker.snapshot().last_exit == "exit code 7");
}

TEST_CASE("a program that was stopped with SIGSTOP is woken, so that it can heed the stop signal") {
    Loop loop;
    Worker& worker = loop.start_until_ready(python("frozen", "import signal, os, time, sys\n"
                                                             "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
                                                             "os.write(3, b'.'); time.sleep(1000)"));
    std::array<std::byte, 8> buffer;
    REQUIRE(loop.sessions.at(number(worker.id())).first->receive_waiting(buffer));
    REQUIRE(::kill(worker.pid(), SIGSTOP) == 0);
    worker.stop(now());
    REQUIRE(loop.until_state(worker, State::stopped));
    CHECK(worker.snapshot().last_exit == "exit code 7");
}

TEST_CASE("a restart by hand begins another life, a start while stopping too") {
    Loop loop;
    Worker& worker = loop.start_until_ready(sleeper("web"));
    const pid_t first = worker.pid();
    worker.restart(now());
    CHECK(worker.state() == State::stopping);
    REQUIRE(loop.until_life(worker, 2));
    CHECK(worker.pid() != first);
    CHECK(worker.snapshot().restarts == 0);
    worker.stop(now());
    worker.start(now());
    REQUIRE(loop.until_life(worker, 3));
}

TEST_CASE("a worker that breaks the protocol is killed and started again by its policy") {
    Loop loop;
    Worker& worker = loop.start_until_ready(sleeper("web"));
    worker.protocol_broken(now());
    REQUIRE(loop.until_life(worker, 2));
    CHECK(worker.snapshot().last_exit == "broke the protocol; killed by SIGKILL");
}

TEST_CASE("a set-up that fails tells its stage and errno, and is tried again") {
    Loop loop;
    WorkerSettings settings = sleeper("lost");
    settings.plan.directory = "/nonexistent";
    settings.rule.restart.limit = 2;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(worker.life_number() == 2);
    const std::string last = worker.snapshot().last_exit;
    CHECK(last == "set-up failed: directory: No such file or directory: the working directory /nonexistent: bind_read_only = [\"/nonexistent\"] in "
                     "[worker.lost.sandbox] shows it");
    CHECK(worker.life().last_exit.kind == Exit::Kind::setup);
}

TEST_CASE("a set-up in the stub that fails is told too, and no main process is made") {
    Loop loop;
    WorkerSettings settings = sleeper("lost");
    settings.plan.oom_score_adjust = 100'000;
    settings.rule.restart.policy = RestartPolicy::never;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(loop.sessions_begun == 0);
    const std::string why = worker.snapshot().why;
    CHECK_MESSAGE(why.starts_with("set-up failed: "), why);
    CHECK(why.find("Invalid argument") != std::string::npos);
}

TEST_CASE("a plan that cannot be carried out here fails at its first start, and runs when a person starts it again and it can") {
    Loop loop;
    const std::string absent = loop.folder() + "/absent";
    WorkerSettings settings = sleeper("ghost");
    settings.plan.binds.push_back({.source = absent, .target = "/data"});
    std::string why;
    const auto id = loop.roster->add(std::move(settings), Fd(), why);
    REQUIRE(id);
    CHECK_MESSAGE(why.find(absent) != std::string::npos, why);
    Worker& ghost = *loop.roster->find(*id);
    CHECK(ghost.cannot_run());
    ghost.start(now());
    CHECK(ghost.state() == State::failed);
    CHECK_MESSAGE(ghost.snapshot().why.find(absent) != std::string::npos, ghost.snapshot().why);
    REQUIRE(::mkdir(absent.c_str(), 0755) == 0);
    ghost.start(now());
    CHECK(loop.until_state(ghost, State::ready));
    REQUIRE(::rmdir(absent.c_str()) == 0);
    // It has run: what it lacks now may come back by itself, and its policy tries.
    ghost.restart(now());
    CHECK(loop.until_state(ghost, State::waiting));
}

TEST_CASE("a worker with a fault never starts, and is as any other when it has none any more") {
    Loop loop;
    WorkerSettings settings = sleeper("web");
    settings.fault = "there is no user \"web\"";
    std::string why;
    const auto id = loop.roster->add(std::move(settings), Fd(), why);
    REQUIRE(id);
    CHECK(why == "there is no user \"web\"");
    Worker& web = *loop.roster->find(*id);
    web.start(now());
    CHECK(web.state() == State::failed);
    CHECK(web.snapshot().why == "it cannot run on this machine: there is no user \"web\"");
    CHECK(loop.sessions_begun == 0);
    sandbox::Unfit unfit;
    REQUIRE(web.change(sleeper("web"), unfit));
    web.start(now());
    CHECK(loop.until_state(web, State::ready));
}

TEST_CASE("T4: without free descriptors a start fails and is tried again until there are some") {
    Loop loop;
    WorkerSettings settings = sleeper("web");
    settings.rule.restart.limit = 0;
    Worker& worker = loop.add(std::move(settings));
    const NoFreeDescriptors full;
    worker.start(now());
    loop.until([&] { return worker.life_number() == 2; }, 5s);
    const std::string last = worker.snapshot().last_exit;
    full.free();
    CHECK_MESSAGE(last.find("Too many open files") != std::string::npos, last);
    CHECK(loop.until_state(worker, State::ready));
}

TEST_CASE("what a life has used is kept with its death") {
    Loop loop;
    WorkerSettings settings = python("busy", "sum(range(3_000_000))");
    settings.rule.restart.policy = RestartPolicy::never;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until([&] { return worker.at_rest() && worker.life_number() == 1; }));
    const auto deaths = worker.snapshot().deaths;
    REQUIRE(deaths.size() == 1);
    CHECK(deaths[0].exit == Exit{Exit::Kind::code, 0});
    CHECK(deaths[0].user_time > 1ms);
    CHECK(deaths[0].largest_memory > 1'000'000);
    CHECK(deaths[0].died > deaths[0].started);
    CHECK(deaths[0].life == 1);
    CHECK(deaths[0].pid > 0);
}

TEST_CASE("only the latest deaths are kept") {
    Loop loop;
    WorkerSettings settings = exits_with(1, RestartPolicy::always);
    settings.rule.restart.limit = 12;
    settings.rule.restart.cap = 1ms;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until_state(worker, State::failed));
    const auto deaths = worker.snapshot().deaths;
    REQUIRE(deaths.size() == 8);
    CHECK(deaths.front().life == 5);
    CHECK(deaths.back().life == 12);
}

TEST_CASE("an observer may stop a worker from within its news") {
    Loop loop;
    loop.when_state_changes = [](Worker& worker, State to) {
        if (to == State::ready) worker.stop(monotonic_now());
    };
    Worker& worker = loop.start(sleeper("web"));
    CHECK(loop.until_state(worker, State::stopped));
    loop.when_state_changes = nullptr;
    loop.when_session_begins = [](Worker& begun, Credentials) { begun.stop(monotonic_now()); };
    worker.start(now());
    CHECK(worker.state() == State::starting);
    CHECK(loop.until_state(worker, State::stopped));
}

TEST_CASE("start_all leaves those without autostart alone") {
    Loop loop;
    Worker& yes = loop.add(sleeper("yes"));
    WorkerSettings settings = sleeper("no");
    settings.rule.autostart = false;
    Worker& no = loop.add(std::move(settings));
    loop.roster->start_all(now());
    REQUIRE(loop.until_state(yes, State::ready));
    CHECK(no.state() == State::stopped);
}

TEST_CASE("a removed worker is stopped, then gone; then its name is free, its id never again") {
    Loop loop;
    const WorkerId first = loop.start_until_ready(sleeper("web")).id();
    std::string why;
    CHECK(loop.roster->add(sleeper("web"), Fd(), why).error().number == EEXIST);
    loop.roster->remove(first, now());
    CHECK(loop.roster->find("web") == nullptr);
    CHECK(loop.roster->is_leaving("web"));
    CHECK(loop.roster->add(sleeper("web"), Fd(), why).error().number == EBUSY);   // its group is still its own
    REQUIRE(loop.until([&] { return loop.roster->find(first) == nullptr; }));
    CHECK_FALSE(loop.roster->is_leaving("web"));
    Worker& second = loop.start_until_ready(sleeper("web"));
    CHECK(second.id() != first);
    CHECK(loop.gone == std::vector<std::string>{"web"});
    CHECK(loop.roster->size() == 1);
}

TEST_CASE("a worker at rest is gone as soon as it is removed, also from within another's news") {
    Loop loop;
    const WorkerId idle = loop.add(sleeper("idle")).id();
    Worker& web = loop.add(sleeper("web"));
    loop.when_state_changes = [&](Worker&, State to) {
        if (to == State::ready) loop.roster->remove(idle, monotonic_now());
    };
    web.start(now());
    REQUIRE(loop.until_state(web, State::ready));
    CHECK(loop.until([&] { return loop.roster->find(idle) == nullptr; }, 1s));
    CHECK(loop.gone == std::vector<std::string>{"idle"});
    loop.when_state_changes = nullptr;
}

TEST_CASE("changed settings count from the next life on, and bad ones change nothing") {
    Loop loop;
    Worker& worker = loop.start_until_ready(shell("web", "exec sleep 1000"));
    const pid_t first = worker.pid();
    WorkerSettings next = shell("web", "sleep 0.05; exit 9");
    next.rule.restart.policy = RestartPolicy::never;
    sandbox::Unfit unfit;
    REQUIRE(worker.change(std::move(next), unfit));
    CHECK(worker.pid() == first);
    worker.restart(now());
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(worker.snapshot().last_exit == "exit code 9");

    CHECK_FALSE(worker.change(life::worker("web", {"not-absolute"}), unfit));
    CHECK_FALSE(unfit.item.empty());
    worker.start(now());
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK(worker.snapshot().last_exit == "exit code 9");
    CHECK(worker.change(sleeper("other"), unfit).error().number == EINVAL);
}

TEST_CASE("a program that was replaced on the host is the one that the next life runs") {
    const Folder folder;
    const std::string program = folder.path + "/program";
    const auto write_program = [&](const std::string& body) {
        const std::string beside = folder.path + "/new";
        std::ofstream(beside) << "#!/bin/sh\n" << body << "\n";
        ::chmod(beside.c_str(), 0755);
        ::rename(beside.c_str(), program.c_str());
    };
    write_program("exit 11");
    WorkerSettings settings = worker("upgraded", {program});
    settings.plan.binds.push_back({.source = program, .target = program, .writable = false, .execute = true});
    settings.rule.restart.policy = RestartPolicy::never;
    {
        Loop loop;
        Worker& worker = loop.start(std::move(settings));
        REQUIRE(loop.until_state(worker, State::failed));
        CHECK(worker.snapshot().last_exit == "exit code 11");
        write_program("exit 12");
        worker.start(now());
        REQUIRE(loop.until_state(worker, State::failed));
        CHECK(worker.snapshot().last_exit == "exit code 12");
        ::unlink(program.c_str());
        worker.start(now());
        REQUIRE(loop.until_state(worker, State::failed));
        CHECK(worker.snapshot().why.find(program) != std::string::npos);
    }
}
