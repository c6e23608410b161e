// After the end of a life nothing of it is left: no child of the program, however it hid, and no zombie.
#include "loop.h"

using namespace life;

namespace {

Instant now() { return monotonic_now(); }

// Children in sessions of their own, whose parents are gone.
const std::string hide_children = "for i in 1 2 3; do (setsid sleep 1000 & ) ; setsid setsid sleep 1000 & done; ";

bool have_no_cgroup() { return cgroup_root().empty(); }

struct Delegated {
    std::string path = cgroup_root() + "/warder-life-" + std::to_string(::getpid());
    Delegated() { REQUIRE(::mkdir(path.c_str(), 0755) == 0); }
    ~Delegated() { CHECK(::rmdir(path.c_str()) == 0); }
    Delegated(const Delegated&) = delete;
    Delegated& operator=(const Delegated&) = delete;
};

void without_pid_namespace(WorkerSettings& settings) { settings.plan.pid_namespace = false; }

// The stub, the main process and the six that it made.
void wait_for_processes(Loop& loop, int count) {
    REQUIRE(loop.until([count] { ::usleep(2000); return processes_of(worker_uid) == count; }, 10s));
}

}  // namespace

TEST_CASE("children that double-forked into sessions of their own are gone after a stop") {
    Loop loop;
    Worker& worker = loop.start_until_ready(shell("forker", hide_children + "exec sleep 1000"));
    wait_for_processes(loop, 8);
    worker.stop(now());
    REQUIRE(loop.until_state(worker, State::stopped));
    CHECK(processes_of(worker_uid) == 0);
    CHECK_FALSE(has_children());
}

TEST_CASE("they are gone after a kill -9 of the main process, before its next life begins") {
    Loop loop;
    Worker& worker = loop.start_until_ready(shell("forker", hide_children + "exec sleep 1000"));
    wait_for_processes(loop, 8);
    int left = -1;
    loop.when_state_changes = [&](Worker&, State to) {
        if (to == State::waiting) left = processes_of(worker_uid);
    };
    REQUIRE(::kill(worker.pid(), SIGKILL) == 0);
    REQUIRE(loop.until_life(worker, 2));
    CHECK(left == 0);
}

TEST_CASE("without a pid namespace the cgroup ends what hid" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    {
        Loop loop(delegated.path);
        WorkerSettings settings = shell("forker", hide_children + "exec sleep 1000");
        without_pid_namespace(settings);
        settings.group = GroupWish::required;
        Worker& worker = loop.start_until_ready(std::move(settings));
        wait_for_processes(loop, 7);
        CHECK(worker.snapshot().cgroup == delegated.path + "/w.forker");
        CHECK(worker.snapshot().stub == -1);
        CHECK(worker.cgroup_id() != 0);
        for (std::uint32_t life = 2; life < 5; ++life) {
            REQUIRE(::kill(worker.pid(), SIGKILL) == 0);
            REQUIRE(loop.until([&] { return worker.life_number() == life && worker.state() == State::ready; }));
            wait_for_processes(loop, 7);
        }
        const int turns = loop.turns;
        loop.run_for(300ms);
        CHECK(loop.turns - turns < 5);   // a populated group does not wake us, a renewed one neither
        CHECK(worker.life_number() == 4);
        worker.stop(now());
        REQUIRE(loop.until_state(worker, State::stopped));
        CHECK(processes_of(worker_uid) == 0);
    }
    CHECK(::access((delegated.path + "/w.forker").c_str(), F_OK) != 0);
}

TEST_CASE("with both, every process of the worker is in its cgroup, and no other" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    Loop loop(delegated.path);
    Worker& worker = loop.start_until_ready(shell("forker", hide_children + "exec sleep 1000"));
    wait_for_processes(loop, 8);
    std::ifstream members(worker.snapshot().cgroup + "/cgroup.procs");
    int count = 0;
    for (std::string line; std::getline(members, line);) ++count;
    CHECK(count == 7);   // the stub is not the worker's
    const int turns = loop.turns;
    loop.run_for(300ms);
    CHECK(loop.turns - turns < 5);   // a populated group does not wake us
}

// A group that was killed once is made anew for the next life, which takes descriptors, as all else of a start does.
TEST_CASE("T4: wherever a start runs out of descriptors it says so, and holds none" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    for (const bool own_namespace : {true, false}) {
        CAPTURE(own_namespace);
        Loop loop(delegated.path);
        WorkerSettings settings = sleeper("web");
        settings.plan.pid_namespace = own_namespace;
        settings.rule.restart.policy = RestartPolicy::never;
        Worker& worker = loop.start_until_ready(std::move(settings));
        worker.stop(now());
        REQUIRE(loop.until_state(worker, State::stopped));
        const int at_rest = open_descriptors();
        std::size_t free = 0;
        for (; worker.state() != State::ready && free < 64; ++free) {
            const NoFreeDescriptors full;
            full.free_some(free);
            const auto life = worker.life_number();
            worker.start(now());
            REQUIRE(loop.until([&] { return worker.life_number() > life && (worker.at_rest() || worker.state() == State::ready); }));
            const std::string why = worker.snapshot().why;
            full.free();
            if (worker.state() == State::ready) break;
            CAPTURE(free);
            CHECK_MESSAGE(why.find("Too many open files") != std::string::npos, why);
            CHECK(open_descriptors() <= at_rest);   // a group that could not be made anew has none
        }
        CHECK(free > 3);
        REQUIRE(worker.state() == State::ready);
        worker.stop(now());
        REQUIRE(loop.until_state(worker, State::stopped));
        CHECK(open_descriptors() == at_rest);
    }
}

TEST_CASE("T4: a kill for which there was no descriptor is done when there is one" * doctest::skip(have_no_cgroup())) {
    const Delegated delegated;
    Loop loop(delegated.path);
    WorkerSettings settings = shell("forker", "trap '' TERM; " + hide_children + "while :; do sleep 1; done");
    without_pid_namespace(settings);
    settings.rule.stop.timeout = 100ms;
    Worker& worker = loop.start_until_ready(std::move(settings));
    wait_for_processes(loop, 8);
    const NoFreeDescriptors full;
    worker.stop(now());
    const bool main_gone = loop.until([&] { return worker.pid() == -1; });
    full.free();
    CHECK(main_gone);
    REQUIRE(loop.until_state(worker, State::stopped, 10s));
    CHECK(processes_of(worker_uid) == 0);
}

TEST_CASE("T53: without a pid namespace and without a cgroup a worker does not start, since its stop would leave what hid") {
    Loop loop;
    WorkerSettings settings = sleeper("web");
    without_pid_namespace(settings);
    std::string why;
    const auto id = loop.roster->add(std::move(settings), Fd(), why);
    REQUIRE(id);
    CHECK_MESSAGE(why.starts_with("pid_namespace: is off, and there is no cgroup"), why);
    Worker& worker = *loop.roster->find(*id);
    worker.start(now());
    CHECK(worker.state() == State::failed);
    CHECK_FALSE(has_children());
}

TEST_CASE("a cgroup that is required and cannot be had fails the worker") {
    Loop loop;
    WorkerSettings settings = sleeper("web");
    settings.group = GroupWish::required;
    std::string why;
    const auto id = loop.roster->add(std::move(settings), Fd(), why);
    REQUIRE(id);
    CHECK_MESSAGE(why.find("needs a cgroup") != std::string::npos, why);
    loop.roster->find(*id)->start(now());
    CHECK(loop.roster->find(*id)->state() == State::failed);
}

TEST_CASE("a stop during set-up leaves nothing, whenever it comes") {
    Loop loop;
    Worker& worker = loop.add(sleeper("web"));
    for (int turns = 0; turns < 6; ++turns) {
        worker.start(now());
        for (int i = 0; i < turns && worker.state() == State::starting; ++i) loop.turn(1s);
        worker.stop(now());
        REQUIRE(loop.until_state(worker, State::stopped));
        CHECK(processes_of(worker_uid) == 0);
        CHECK_FALSE(has_children());
    }
}

TEST_CASE("L5: a stub that is stopped during its set-up delays nobody, and is killed at its deadline") {
    Loop loop;
    WorkerSettings settings = sleeper("stuck");
    settings.rule.setup_timeout = 2s;
    settings.rule.restart.policy = RestartPolicy::never;
    const Instant begun = now();
    Worker& stuck = loop.start(std::move(settings));
    REQUIRE(::kill(stuck.snapshot().stub, SIGSTOP) == 0);
    Worker& other = loop.start_until_ready(sleeper("other"));
    CHECK(stuck.state() == State::starting);
    REQUIRE(loop.until_state(stuck, State::failed));
    CHECK(now() - begun >= 2s);
    CHECK(stuck.snapshot().last_exit == "set-up took too long");
    CHECK(other.state() == State::ready);
}

TEST_CASE("a main process that is killed during its set-up was never ready") {
    Loop loop;
    bool was_ready = false;
    loop.when_session_begins = [](Worker&, Credentials who) { CHECK(::kill(who.pid, SIGKILL) == 0); };
    loop.when_state_changes = [&](Worker&, State to) { was_ready = was_ready || to == State::ready; };
    WorkerSettings settings = sleeper("web");
    settings.rule.restart.policy = RestartPolicy::never;
    Worker& worker = loop.start(std::move(settings));
    REQUIRE(loop.until_state(worker, State::failed));
    CHECK_FALSE(was_ready);
    CHECK(worker.snapshot().last_exit == "killed by SIGKILL before it was ready");
}

TEST_CASE("L5: a main process that is stopped during its set-up delays nobody, and is killed at its deadline") {
    Loop loop;
    WorkerSettings settings = sleeper("stuck");
    settings.rule.setup_timeout = 2s;
    settings.rule.restart.policy = RestartPolicy::never;
    loop.when_session_begins = [](Worker& worker, Credentials who) {
        if (worker.name() == "stuck") CHECK(::kill(who.pid, SIGSTOP) == 0);
    };
    Worker& stuck = loop.start(std::move(settings));
    REQUIRE(loop.until([&] { return stuck.pid() != -1; }));
    Worker& other = loop.start_until_ready(sleeper("other"));
    CHECK(stuck.state() == State::starting);
    REQUIRE(loop.until_state(stuck, State::failed));
    CHECK(stuck.snapshot().last_exit == "set-up took too long; killed by SIGKILL");
    CHECK(other.state() == State::ready);
}

TEST_CASE("a roster that goes while workers run takes them along") {
    int left = -1;
    {
        Loop loop;
        loop.start_until_ready(sleeper("web"));
        const pid_t stub = loop.roster->find("web")->snapshot().stub;
        const pid_t main = loop.roster->find("web")->pid();
        loop.sessions.clear();
        loop.new_roster({});
        CHECK(::waitpid(main, nullptr, 0) == main);
        CHECK(::waitpid(stub, nullptr, 0) == stub);
        left = processes_of(worker_uid);
    }
    CHECK(left == 0);
}
