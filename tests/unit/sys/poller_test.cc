#include "sys/poller.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

using namespace warder;

namespace {

std::array<Fd, 2> socket_pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

TEST_CASE("a tag comes back as it was given, at its largest too") {
    auto poller = Poller::create();
    REQUIRE(poller);
    const auto pair = socket_pair();
    const PollTag tag{255, 0xffffffffU, 0xffffffU};
    REQUIRE(poller->watch(pair[0].get(), tag));
    REQUIRE(::write(pair[1].get(), "x", 1) == 1);
    const auto events = poller->wait(Duration::zero());
    REQUIRE(events);
    REQUIRE(events->size() == 1);
    CHECK(events->front().tag == tag);
    CHECK(events->front().readable);
    CHECK_FALSE(events->front().hung_up);
}

TEST_CASE("of a generation the lowest 24 bits are kept, and nothing of it runs into the kind") {
    auto poller = Poller::create();
    REQUIRE(poller);
    const auto pair = socket_pair();
    REQUIRE(poller->watch(pair[0].get(), {1, 2, 0xff000003U}));
    REQUIRE(::write(pair[1].get(), "x", 1) == 1);
    const auto events = poller->wait(Duration::zero());
    REQUIRE(events);
    REQUIRE(events->size() == 1);
    CHECK(events->front().tag == PollTag{1, 2, 3});
}

TEST_CASE("what is watched for hang-up only is quiet while its peer writes") {
    auto poller = Poller::create();
    REQUIRE(poller);
    auto pair = socket_pair();
    REQUIRE(poller->watch_hangup(pair[0].get(), {1, 1, 1}));
    REQUIRE(::write(pair[1].get(), "x", 1) == 1);
    const auto quiet = poller->wait(Duration::zero());
    REQUIRE(quiet);
    CHECK(quiet->empty());
    pair[1].reset();
    const auto events = poller->wait(Duration::zero());
    REQUIRE(events);
    REQUIRE(events->size() == 1);
    CHECK(events->front().hung_up);
}

TEST_CASE("what is watched can change between reading, writing and hang-up, and be forgotten") {
    auto poller = Poller::create();
    REQUIRE(poller);
    const auto pair = socket_pair();
    const PollTag tag{1, 1, 1};
    REQUIRE(poller->watch(pair[0].get(), tag));
    CHECK(poller->wait(Duration::zero())->empty());
    REQUIRE(poller->change_to_write(pair[0].get(), tag));
    const auto events = poller->wait(Duration::zero());
    REQUIRE(events->size() == 1);
    CHECK(events->front().writable);
    REQUIRE(::write(pair[1].get(), "x", 1) == 1);
    REQUIRE(poller->change_to_hangup(pair[0].get(), tag));
    CHECK(poller->wait(Duration::zero())->empty());
    REQUIRE(poller->change_to_read(pair[0].get(), tag));
    CHECK(poller->wait(Duration::zero())->size() == 1);
    poller->forget(pair[0].get());
    CHECK(poller->wait(Duration::zero())->empty());
}

TEST_CASE("a timer fires for a moment that has passed, is quiet when acknowledged, and never for never") {
    auto timer = Timer::create();
    REQUIRE(timer);
    pollfd ready{timer->get(), POLLIN, 0};
    REQUIRE(timer->set(Instant{0}));
    CHECK(::poll(&ready, 1, 10'000) == 1);
    timer->acknowledge();
    CHECK(::poll(&ready, 1, 0) == 0);
    timer->acknowledge();   // nothing to take, and nobody waits for it
    REQUIRE(timer->set(Instant{1}));
    REQUIRE(timer->set(Instant::never()));
    CHECK(::poll(&ready, 1, 0) == 0);
}
