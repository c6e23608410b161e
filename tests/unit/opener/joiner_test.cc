#include "opener/joiner.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "protocol/codec.h"
#include "sys/channel.h"
#include "unit/opener/lingering.h"

using namespace warder;
using namespace warder::opener;
using namespace warder::test;
using namespace std::chrono_literals;

namespace {

std::ptrdiff_t own_descriptors() {
    const std::filesystem::path table = "/proc/self/fd";
    return std::distance(std::filesystem::directory_iterator(table), std::filesystem::directory_iterator());
}

struct Workers {
    Privileges privileges{Identity{.uid = ::geteuid(), .gid = ::getegid()}};
    ChannelPair one = *make_channel_pair();
    ChannelPair two = *make_channel_pair();

    Cloned begin(JoinOptions options = {}) {
        auto joiner = join(privileges, {one.ours.get(), "to-two"}, {two.ours.get(), "to-one"}, options);
        REQUIRE(joiner);
        return std::move(*joiner);
    }
    Joined wait(const Cloned& joiner) {
        REQUIRE(ended_within(joiner.pidfd.get(), 10'000));
        const auto end = reap(joiner.pidfd.get());
        REQUIRE((end && *end));
        CHECK_FALSE((*end)->by_signal);
        return static_cast<Joined>((*end)->value);
    }
};

// The end that an event brings, and what the event says.
struct Brought {
    std::string name;
    Fd end;
};

Brought take_event(const Channel& worker) {
    std::array<std::byte, 4096> buffer;
    std::array<Fd, 2> fds;
    auto taken = worker.receive_with_fds(buffer, fds, MSG_DONTWAIT);
    REQUIRE(taken);
    REQUIRE(taken->received.kind == Received::Kind::message);
    const auto message = protocol::decode(taken->received.bytes);
    REQUIRE(message);
    CHECK(message->type == protocol::Type::channel);
    const auto event = protocol::decode_event(*message);
    REQUIRE(event);
    CHECK(event->fds == 1);
    REQUIRE(taken->fd_count == 1);
    return {std::string(event->name), std::move(fds[0])};
}

int type_of(const Fd& socket) {
    int type = 0;
    socklen_t size = sizeof type;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size);
    return type;
}

// Sends a descriptor of its own; 0 or an errno.
int send_descriptor(const Fd& end, int fd) {
    const auto said = std::as_bytes(std::span("x", 1));
    const Channel channel(Fd(::dup(end.get())));
    const auto sent = channel.send(said, std::span(&fd, 1));
    return sent ? 0 : sent.error().number;
}

}  // namespace

TEST_CASE("two workers get the two ends of one socket, each under its own grant's name, and here nothing of it is open") {
    Workers workers;
    const auto before = own_descriptors();
    {
        const Cloned joiner = workers.begin();
        CHECK(workers.wait(joiner) == Joined::both);
    }
    CHECK(own_descriptors() == before);
    const Brought one = take_event(workers.one.theirs);
    const Brought two = take_event(workers.two.theirs);
    CHECK(one.name == "to-two");
    CHECK(two.name == "to-one");
    CHECK(type_of(one.end) == SOCK_SEQPACKET);
    REQUIRE(::send(one.end.get(), "hello", 5, 0) == 5);
    char said[16];
    CHECK(::recv(two.end.get(), said, sizeof said, MSG_DONTWAIT) == 5);
}

TEST_CASE("a channel is of the type that its grants say, and shows who sends to who wants to know") {
    Workers workers;
    const Cloned joiner = workers.begin({.stream = true, .carries_fds = true});
    CHECK(workers.wait(joiner) == Joined::both);
    const Brought one = take_event(workers.one.theirs);
    const Brought two = take_event(workers.two.theirs);
    CHECK(type_of(two.end) == SOCK_STREAM);
    const Channel listening(Fd(::dup(two.end.get())));
    REQUIRE(listening.pass_credentials());
    REQUIRE(::send(one.end.get(), "hello", 5, 0) == 5);
    std::array<std::byte, 16> buffer;
    const auto received = listening.receive(buffer);
    REQUIRE(received);
    CHECK(received->authenticated);
    CHECK(received->sender.pid == ::getpid());
    CHECK(received->sender.uid == ::getuid());
}

TEST_CASE("D6: descriptors pass over a channel only if its grants carry them") {
    Workers workers;
    CHECK(workers.wait(workers.begin({.stream = false, .carries_fds = true})) == Joined::both);
    const Brought open = take_event(workers.one.theirs);
    const Brought open_peer = take_event(workers.two.theirs);
    CHECK(send_descriptor(open.end, 0) == 0);
    CHECK(workers.wait(workers.begin({.stream = false, .carries_fds = false})) == Joined::both);
    const Brought closed = take_event(workers.one.theirs);
    const Brought closed_peer = take_event(workers.two.theirs);
    const auto probe = make_channel_pair();
    if (probe && !probe->ours.refuse_descriptors()) {
        MESSAGE("skipped: this kernel cannot refuse descriptors");
        return;
    }
    CHECK(send_descriptor(closed.end, 0) == EPERM);
    CHECK(send_descriptor(closed_peer.end, 0) == EPERM);
}

TEST_CASE("when one of the two is gone, or does not read, the other gets no end") {
    Workers workers;
    SUBCASE("gone") { workers.two.theirs.close(); }
    SUBCASE("does not read") {
        const std::array<std::byte, 32 * 1024> noise{};
        while (workers.two.ours.send(noise)) {}
    }
    const Instant before = monotonic_now();
    const Cloned joiner = workers.begin();
    CHECK(monotonic_now() - before < 500ms);   // the parent's part of it
    CHECK(workers.wait(joiner) != Joined::both);
}

TEST_CASE("T37: a descriptor whose close waits, in the queue of an end that nobody took, is not the parent's to close") {
    Lingering lingering(3);
    Workers workers;
    const Cloned joiner = workers.begin({.stream = false, .carries_fds = true});
    CHECK(workers.wait(joiner) == Joined::both);
    const Brought one = take_event(workers.one.theirs);
    REQUIRE(send_descriptor(one.end, lingering.socket.get()) == 0);
    lingering.socket.reset();
    // The second worker dies without having taken its end: in a child, since whoever closes waits.
    const pid_t dying = ::fork();
    if (dying == 0) {
        workers.one.ours.close();
        workers.two.ours.close();
        ::sleep(1);
        workers.two.theirs.close();   // the last to hold it
        ::_exit(0);
    }
    const Instant before = monotonic_now();
    workers.two.theirs.close();
    workers.two.ours.close();
    CHECK(monotonic_now() - before < 500ms);
    const auto pidfd = open_pidfd(dying);
    REQUIRE(pidfd);
    CHECK_FALSE(ended_within(pidfd->get(), 2'000));   // it does wait: this is what the parent was spared
    CHECK(ended_within(pidfd->get(), 10'000));
    CHECK(reap(pidfd->get()));
}
