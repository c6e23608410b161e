// The spare sandbox, made ahead of need: it is taken once or by nobody, and whatever becomes of it is no event in a life.
#include <filesystem>

#include "loop.h"

using namespace life;

namespace {

Instant now() { return monotonic_now(); }

std::string namespace_of(pid_t pid, const char* kind) {
    char text[64]{};
    const std::string path = "/proc/" + std::to_string(pid) + "/ns/" + kind;
    [[maybe_unused]] const ssize_t size = ::readlink(path.c_str(), text, sizeof text - 1);
    return text;
}

pid_t wait_for_spare(Loop& loop, const Worker& worker) {
    REQUIRE(loop.until([&] { return worker.snapshot().spare_sandbox > 0; }, 10s));
    return worker.snapshot().spare_sandbox;
}

void kill_until_life(Loop& loop, const Worker& worker, std::uint32_t life) {
    REQUIRE(::kill(worker.pid(), SIGKILL) == 0);
    REQUIRE(loop.until_life(worker, life));
}

WorkerSettings quick(const std::string& name) {
    WorkerSettings settings = sleeper(name);
    settings.rule.restart.delay = 0ms;
    settings.rule.restart.limit = 0;
    return settings;
}

}  // namespace

TEST_CASE("the next life moves into the spare sandbox that stands already, and no spare sandbox is used twice") {
    Loop loop({}, 4);
    Worker& worker = loop.start_until_ready(quick("web"));
    std::vector<pid_t> spares{worker.snapshot().stub};
    const std::string ours = namespace_of(::getpid(), "net");
    for (std::uint32_t life = 2; life < 5; ++life) {
        const pid_t spare = wait_for_spare(loop, worker);
        CHECK(uid_of(std::to_string(spare)) == 0);   // not the worker's, which could set its limits then
        CHECK(std::ranges::find(spares, spare) == spares.end());
        const std::string network = namespace_of(spare, "net");
        CHECK(network != ours);
        CHECK(network != namespace_of(worker.pid(), "net"));
        spares.push_back(spare);
        kill_until_life(loop, worker, life);
        CHECK(worker.snapshot().stub == spare);
        for (const char* kind : {"net", "mnt", "ipc", "uts"}) CHECK(namespace_of(worker.pid(), kind) == namespace_of(spare, kind));
        CHECK(worker.receipt().taken);
        CHECK(sandbox::mismatch(worker.receipt()) == nullptr);
    }
    worker.stop(now());
    REQUIRE(loop.until([&] { return worker.gone(); }));
    CHECK(processes_of(worker_uid) == 0);
    CHECK_FALSE(has_children());
}

TEST_CASE("a restart that is waited for has its spare sandbox made meanwhile, even after a short life") {
    Loop loop({}, 1);
    WorkerSettings settings = sleeper("web");
    settings.rule.restart.delay = 150ms;
    Worker& worker = loop.start_until_ready(std::move(settings));
    REQUIRE(::kill(worker.pid(), SIGKILL) == 0);
    REQUIRE(loop.until_state(worker, State::waiting));
    const pid_t spare = wait_for_spare(loop, worker);
    CHECK(worker.state() == State::waiting);
    REQUIRE(loop.until_life(worker, 2));
    CHECK(worker.snapshot().stub == spare);
}

TEST_CASE("without places nobody has a spare sandbox, and a life makes its own") {
    Loop loop;
    Worker& worker = loop.start_until_ready(quick("web"));
    loop.run_for(400ms);
    CHECK(worker.snapshot().spare_sandbox == -1);
    CHECK(processes_of(worker_uid) == 2);
    kill_until_life(loop, worker, 2);
    CHECK(worker.snapshot().stub > 0);
}

TEST_CASE("the places are shared by all, and one that is free again is given away") {
    Loop loop({}, 1);
    Worker& first = loop.start_until_ready(quick("first"));
    wait_for_spare(loop, first);
    Worker& second = loop.start_until_ready(quick("second"));
    loop.run_for(400ms);
    CHECK(second.snapshot().spare_sandbox == -1);
    CHECK(processes_of(worker_uid) == 5);
    first.stop(now());
    REQUIRE(loop.until([&] { return first.gone(); }));
    CHECK(processes_of(worker_uid) == 2);
    kill_until_life(loop, second, 2);
    wait_for_spare(loop, second);
}

TEST_CASE("who is not started again has no a spare sandbox") {
    Loop loop({}, 4);
    WorkerSettings settings = sleeper("once");
    settings.rule.restart.policy = RestartPolicy::never;
    Worker& worker = loop.start_until_ready(std::move(settings));
    loop.run_for(400ms);
    CHECK(worker.snapshot().spare_sandbox == -1);
    CHECK(processes_of(worker_uid) == 2);
}

TEST_CASE("a spare sandbox that dies is no event in a life: the next one makes its own") {
    Loop loop({}, 4);
    Worker& worker = loop.start_until_ready(quick("web"));
    const pid_t spare = wait_for_spare(loop, worker);
    SUBCASE("and is seen") {
        REQUIRE(::kill(spare, SIGKILL) == 0);
        REQUIRE(loop.until([&] { return worker.snapshot().spare_sandbox == -1; }));
        CHECK(worker.state() == State::ready);
        CHECK(worker.life_number() == 1);
        const int turns = loop.turns;
        loop.run_for(400ms);
        CHECK(loop.turns - turns < 3);   // nor is it made again and again
        CHECK(processes_of(worker_uid) == 2);
    }
    SUBCASE("in the same moment as the program") {
        REQUIRE(::kill(spare, SIGKILL) == 0);
        ::usleep(50'000);
    }
    kill_until_life(loop, worker, 2);
    CHECK(worker.snapshot().stub != spare);
    CHECK(worker.snapshot().restarts == 1);
}

TEST_CASE("one that cannot be made is missed by nobody, and its place is free again") {
    Loop loop({}, 1);
    Worker& worker = loop.start_until_ready(quick("web"));
    {
        const NoFreeDescriptors full;
        loop.until([] { return false; }, 400ms);
        full.free();
    }
    CHECK(worker.state() == State::ready);
    CHECK(worker.snapshot().spare_sandbox == -1);
    kill_until_life(loop, worker, 2);
    wait_for_spare(loop, worker);
}

TEST_CASE("a sandbox that was changed puts the old spare sandbox away, and the next life has the new one") {
    Loop loop({}, 4);
    Worker& worker = loop.start_until_ready(quick("web"));
    const pid_t old = wait_for_spare(loop, worker);
    WorkerSettings other = quick("web");
    other.plan.hostname = "elsewhere";
    sandbox::Unfit unfit;
    REQUIRE(worker.change(std::move(other), unfit));
    CHECK(worker.snapshot().spare_sandbox == -1);
    const pid_t spare = wait_for_spare(loop, worker);
    CHECK(spare != old);
    CHECK_FALSE(std::filesystem::exists("/proc/" + std::to_string(old)));
    kill_until_life(loop, worker, 2);
    CHECK(worker.snapshot().stub == spare);
    CHECK(sandbox::mismatch(worker.receipt()) == nullptr);
}

TEST_CASE("what the sandbox shows of the host and was replaced there meanwhile makes the spare sandbox stale") {
    Loop loop({}, 4);
    const std::string file = "/tmp/warder-life-shown-" + std::to_string(::getpid());
    std::ofstream(file) << "old";
    WorkerSettings settings = quick("web");
    settings.plan.binds.push_back({.source = file, .target = "/shown"});
    Worker& worker = loop.start_until_ready(std::move(settings));
    const pid_t old = wait_for_spare(loop, worker);
    std::ofstream(file + ".new") << "new";
    REQUIRE(::rename((file + ".new").c_str(), file.c_str()) == 0);
    kill_until_life(loop, worker, 2);
    CHECK(worker.snapshot().stub != old);
    std::ifstream shown("/proc/" + std::to_string(worker.pid()) + "/root/shown");
    std::string text;
    std::getline(shown, text);
    CHECK(text == "new");
    CHECK(wait_for_spare(loop, worker) != old);
    ::unlink(file.c_str());
}

TEST_CASE("a removed worker is gone when its spare sandbox is, and its spare sandbox with it") {
    Loop loop({}, 4);
    Worker& worker = loop.start_until_ready(quick("web"));
    wait_for_spare(loop, worker);
    loop.roster->remove(worker.id(), now());
    REQUIRE(loop.until([&] { return loop.roster->size() == 0; }));
    CHECK(processes_of(worker_uid) == 0);
    CHECK_FALSE(has_children());
}

TEST_CASE("after fifty restarts there are as many descriptors, children and places as before") {
    Loop loop({}, 1);
    WorkerSettings settings = quick("web");
    settings.rule.restart.delay = 20ms;
    settings.rule.restart.factor = 1;
    Worker& worker = loop.start_until_ready(std::move(settings));
    wait_for_spare(loop, worker);
    const int before = open_descriptors();
    for (std::uint32_t life = 2; life < 52; ++life) kill_until_life(loop, worker, life);
    wait_for_spare(loop, worker);
    CHECK(open_descriptors() == before);
    CHECK(processes_of(worker_uid) == 3);
    loop.run_for(300ms);
    const int turns = loop.turns;
    loop.run_for(500ms);
    CHECK(loop.turns - turns <= 2);   // a spare sandbox that stands wakes nobody
}

TEST_CASE("the end of the parent ends the spare sandbox too") {
    const pid_t parent = ::fork();
    if (parent == 0) {
        Loop loop({}, 4);
        Worker& worker = loop.start_until_ready(quick("web"));
        wait_for_spare(loop, worker);
        ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(parent, &status, 0) == parent);
    CHECK(WIFSIGNALED(status));
    const Instant end = now() + 5s;
    while (processes_of(worker_uid) > 0 && now() < end) ::usleep(2000);
    CHECK(processes_of(worker_uid) == 0);
}
