// Many workers at once.
#include "loop.h"

using namespace life;

namespace {

Instant now() { return monotonic_now(); }

// A fork of a process with shadow memory is a hundred times dearer.
#if defined(__SANITIZE_ADDRESS__)
constexpr int many = 20;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr int many = 20;
#else
constexpr int many = 100;
#endif
#else
constexpr int many = 100;
#endif

std::vector<Worker*> add_many(Loop& loop, int count) {
    std::vector<Worker*> workers;
    for (int i = 0; i < count; ++i) {
        workers.push_back(&loop.add(sleeper("many" + std::to_string(i))));
    }
    return workers;
}

bool all_in(const std::vector<Worker*>& workers, State state) {
    return std::all_of(workers.begin(), workers.end(), [state](const Worker* one) { return one->state() == state; });
}

}  // namespace

TEST_CASE("a hundred workers killed at once all come back, and all stop side by side") {
    Loop loop;
    const auto workers = add_many(loop, many);
    loop.roster->start_all(now());
    REQUIRE(loop.until([&] { return all_in(workers, State::ready); }, 60s));
    CHECK(loop.sessions.size() == many);
    const int descriptors = open_descriptors();

    for (const Worker* worker : workers) REQUIRE(::kill(worker->pid(), SIGKILL) == 0);
    REQUIRE(loop.until(
        [&] {
            return all_in(workers, State::ready) && std::all_of(workers.begin(), workers.end(), [](const Worker* one) {
                       return one->life_number() >= 2;
                   });
        },
        60s));
    CHECK(open_descriptors() == descriptors);
    CHECK(loop.sessions_begun >= 2 * many);

    const Instant asked = now();
    loop.roster->stop_all(asked);
    REQUIRE(loop.until([&] { return loop.roster->everything_stopped(); }, 60s));
    CHECK(now() - asked < 10s);
    CHECK_FALSE(has_children());
}

TEST_CASE("workers that are ready cost no wake-ups") {
    Loop loop;
    const auto workers = add_many(loop, 10);
    loop.roster->start_all(now());
    REQUIRE(loop.until([&] { return all_in(workers, State::ready); }, 60s));
    CHECK(loop.roster->next_deadline() == Instant::never());
    const int events = loop.events_seen;
    loop.run_for(500ms);
    CHECK(loop.events_seen == events);
}

TEST_CASE("those who are due are woken in their order, a few in each turn") {
    Loop loop;
    std::vector<Worker*> workers;
    for (int i = 0; i < 40; ++i) {
        WorkerSettings settings = worker("due" + std::to_string(i), {"/bin/false"});
        settings.rule.restart.delay = 1h;
        settings.rule.restart.cap = 1h;
        workers.push_back(&loop.add(std::move(settings)));
    }
    loop.roster->start_all(now());
    REQUIRE(loop.until([&] { return all_in(workers, State::waiting); }, 60s));
    const Instant later = now() + 2h;
    const auto begun = [&] {
        return std::count_if(workers.begin(), workers.end(), [](const Worker* one) { return one->life_number() == 2; });
    };
    loop.roster->run_due(later);
    CHECK(begun() >= 1);
    CHECK(begun() < 40);
    CHECK(loop.roster->next_deadline() < later);
    for (long before = 0; before < begun();) {
        before = begun();
        loop.roster->run_due(later);
    }
    CHECK(begun() == 40);
}

TEST_CASE("snapshots come by name") {
    Loop loop;
    loop.add(sleeper("b"));
    loop.add(sleeper("c"));
    loop.add(sleeper("a"));
    const auto seen = loop.roster->snapshots();
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].name == "a");
    CHECK(seen[2].name == "c");
    CHECK(seen[0].state == State::stopped);
    CHECK(seen[0].why == "not started yet");
    CHECK(seen[0].last_exit.empty());
}
