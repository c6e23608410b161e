#include "client/event_queue.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

using namespace warder;
using namespace warder::client;
using protocol::Type;

namespace {

bool readable(int fd) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, 0) == 1;
}

Event named(std::uint64_t value, Fd fd = Fd()) {
    Event event;
    event.type = Type::secret;
    event.name.append("key");
    event.value = value;
    event.fd = std::move(fd);
    return event;
}

bool open_now(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

struct Queue {
    PendingSignals pending{};
    EndTable ends;
    EventQueue events;
    Queue() { REQUIRE(events.create(&pending, &ends)); }
};

}  // namespace

TEST_CASE("an event queue gives events in their order and is readable while it has some") {
    Queue queue;
    CHECK(!readable(queue.events.wake_fd()));
    CHECK(!queue.events.take());
    queue.events.push(named(1));
    queue.events.push(named(2));
    CHECK(readable(queue.events.wake_fd()));
    CHECK(queue.events.take()->value == 1);
    CHECK(readable(queue.events.wake_fd()));
    CHECK(queue.events.take()->value == 2);
    CHECK(!readable(queue.events.wake_fd()));
    CHECK(!queue.events.take());
}

TEST_CASE("a full event queue drops its oldest, closes its descriptor and counts it") {
    Queue queue;
    Fd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int number = first.get();
    queue.events.push(named(0, std::move(first)));
    for (std::uint64_t i = 1; i <= 33; ++i) queue.events.push(named(i));
    CHECK(!open_now(number));
    const auto event = queue.events.take();
    REQUIRE(event);
    CHECK(event->value == 2);
    CHECK(event->lost == 2);
    CHECK(queue.events.take()->lost == 0);
}

TEST_CASE("stop comes before everything, once, however often it was raised, and is never dropped") {
    Queue queue;
    queue.events.raise(Type::reload);
    for (std::uint64_t i = 0; i < 100; ++i) queue.events.push(named(i));
    queue.events.raise(Type::stop);
    queue.events.raise(Type::stop);
    CHECK(queue.events.take()->type == Type::stop);
    CHECK(queue.events.take()->type == Type::reload);
    for (int i = 0; i < 32; ++i) CHECK(queue.events.take()->type == Type::secret);
    CHECK(!queue.events.take());
    CHECK(!readable(queue.events.wake_fd()));
}

TEST_CASE("an event queue gives a descriptor away with its event") {
    Queue queue;
    Fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int number = fd.get();
    queue.events.push(named(1, std::move(fd)));
    auto event = queue.events.take();
    CHECK(event->fd.get() == number);
    event.reset();
    CHECK(!open_now(number));
}

TEST_CASE("a channel's newest end is taken, older ones are closed, and others keep their order") {
    Queue queue;
    const auto channel = [](const char* name, std::uint64_t value, Fd fd = Fd()) {
        Event event = named(value, std::move(fd));
        event.type = Type::channel;
        event.name.clear();
        event.name.append(name);
        return event;
    };
    Fd old(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int number = old.get();
    for (std::uint64_t i = 0; i < 30; ++i) queue.events.push(named(i));   // so that the ring is in its middle
    for (std::uint64_t i = 0; i < 30; ++i) CHECK(queue.events.take()->value == i);
    queue.events.push(named(1));
    queue.events.push(channel("parser", 2, std::move(old)));
    queue.events.push(channel("other", 3));
    queue.events.push(channel("parser", 4));
    queue.events.push(named(5));
    CHECK(!queue.events.take_channel("nobody"));
    CHECK(queue.events.take_channel("parser")->value == 4);
    CHECK(!open_now(number));
    CHECK(!queue.events.take_channel("parser"));
    CHECK(!queue.events.take_channel("key"));   // a secret of that name is no channel
    CHECK(readable(queue.events.wake_fd()));
    CHECK(queue.events.take()->value == 1);
    CHECK(queue.events.take()->name.view() == "other");
    CHECK(queue.events.take()->value == 5);
    CHECK(!readable(queue.events.wake_fd()));
}

TEST_CASE("how a command ended is an event like others, with its grant, and makes the queue readable") {
    Queue queue;
    queue.events.command_ended(std::uint64_t{17} << 32 | 3, "backup");
    CHECK(readable(queue.events.wake_fd()));
    queue.events.push(named(1));
    CHECK(queue.events.take()->type == Type::secret);
    const auto event = queue.events.take();
    REQUIRE(event);
    CHECK(event->type == Type::ended);
    CHECK(event->name.view() == "backup");
    CHECK(event->value == (std::uint64_t{17} << 32 | 3));
    CHECK(!queue.events.take());
    CHECK(!readable(queue.events.wake_fd()));
}

TEST_CASE("in a forked child the queue is empty and leaves stop to its parent") {
    Queue queue;
    queue.events.push(named(1));
    queue.events.raise(Type::stop);
    const pid_t child = ::fork();
    if (child == 0) {
        queue.events.after_fork_in_child();
        const bool empty = !queue.events.take() && !readable(queue.events.wake_fd());
        queue.events.push(named(7));
        const bool own = readable(queue.events.wake_fd()) && queue.events.take()->value == 7 && !queue.events.take();
        ::_exit(empty && own ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(queue.events.take()->type == Type::stop);
    CHECK(queue.events.take()->value == 1);
}
