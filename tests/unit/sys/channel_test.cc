#include "sys/channel.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <vector>

#include "sys/process.h"

using namespace warder;

namespace {

int open_descriptors() {
    int count = 0;
    for (int fd = 0; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

ChannelPair plain_pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    return {Channel(Fd(ends[0])), Channel(Fd(ends[1]))};
}

Credentials ourselves() { return {::getpid(), ::getuid(), ::getgid()}; }

// Runs `in_child` in a child, which must exit with 0.
template <typename Function>
void hold_in_child(const Function& in_child) {
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) ::_exit(in_child() ? 0 : 1);
    REQUIRE(ended_within(child->pidfd.get(), 10'000));
    const auto ended = reap(child->pidfd.get());
    REQUIRE((ended && ended->has_value()));
    CHECK_FALSE((*ended)->by_signal);
    CHECK((*ended)->value == 0);
}

}  // namespace

TEST_CASE("a message arrives whole, with the kernel's word on who sent it") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    REQUIRE(pair->theirs.send(bytes_of("hello")));
    std::array<std::byte, 64> buffer;
    const auto received = pair->ours.receive(buffer);
    REQUIRE(received);
    CHECK(received->kind == Received::Kind::message);
    CHECK(text_of(received->bytes) == "hello");
    CHECK(received->authenticated);
    CHECK(received->sender == ourselves());
    CHECK_FALSE(received->truncated);
    CHECK(received->stray_fds == 0);
}

TEST_CASE("an empty queue is nothing, and nobody waits for it") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    std::array<std::byte, 64> buffer;
    const auto received = pair->ours.receive(buffer);
    REQUIRE(received);
    CHECK(received->kind == Received::Kind::nothing);
    CHECK_FALSE(received->authenticated);
}

TEST_CASE("T1, T2: descriptors that a peer sends are closed and counted, be it 1, 2, 3 or 253") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    std::array<std::byte, 64> buffer;
    const int before = open_descriptors();
    for (const std::size_t count : {1U, 2U, 3U, 253U}) {
        const std::vector<int> numbers(count, 0);
        REQUIRE(pair->theirs.send(bytes_of("x"), numbers));
        const auto received = pair->ours.receive(buffer);
        REQUIRE(received);
        CHECK(received->kind == Received::Kind::message);
        CHECK(received->stray_fds == static_cast<int>(count));
        CHECK_FALSE(received->truncated);
        CHECK(received->authenticated);
        CHECK(open_descriptors() == before);
    }
}

TEST_CASE("T1, T15: a datagram of zero bytes with a descriptor is a message, and the descriptor is closed") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    const int number = 0;
    const int before = open_descriptors();
    REQUIRE(pair->theirs.send({}, std::span(&number, 1)));
    std::array<std::byte, 64> buffer;
    const auto received = pair->ours.receive(buffer);
    REQUIRE(received);
    CHECK(received->kind == Received::Kind::message);
    CHECK(received->bytes.empty());
    CHECK(received->stray_fds == 1);
    CHECK(open_descriptors() == before);
}

TEST_CASE("T15: a datagram of zero bytes is a message; only a hang-up closes") {
    auto pair = make_channel_pair();
    REQUIRE(pair);
    REQUIRE(pair->theirs.send({}));
    pair->theirs.close();
    std::array<std::byte, 64> buffer;
    const auto first = pair->ours.receive(buffer);
    REQUIRE(first);
    CHECK(first->kind == Received::Kind::message);
    CHECK(first->bytes.empty());
    CHECK(first->sender == ourselves());
    const auto second = pair->ours.receive(buffer);
    REQUIRE(second);
    CHECK(second->kind == Received::Kind::closed);
}

TEST_CASE("T15: without credentials, too, zero bytes of a peer that lives are a message") {
    const auto pair = plain_pair();
    REQUIRE(pair.theirs.send({}));
    std::array<std::byte, 64> buffer;
    const auto received = pair.ours.receive(buffer);
    REQUIRE(received);
    CHECK(received->kind == Received::Kind::message);
    CHECK_FALSE(received->authenticated);
}

TEST_CASE("T8: SO_PEERCRED of a pair names its creator, even to a child that holds the other end") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    const pid_t creator = ::getpid();
    hold_in_child([&] {
        ucred peer{};
        socklen_t size = sizeof peer;
        return ::getsockopt(pair->theirs.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == creator &&
               ::getpid() != creator && pair->theirs.send(bytes_of("x")).has_value();
    });
    ucred peer{};
    socklen_t size = sizeof peer;
    REQUIRE(::getsockopt(pair->ours.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0);
    CHECK(peer.pid == creator);
    std::array<std::byte, 64> buffer;
    const auto received = pair->ours.receive(buffer);
    REQUIRE(received);
    CHECK(received->authenticated);
    CHECK(received->sender.pid != creator);
}

TEST_CASE("T9: what was queued before SO_PASSCRED comes from nobody, and nobody is not root") {
    const auto pair = plain_pair();
    REQUIRE(pair.theirs.send(bytes_of("early")));
    REQUIRE(pair.ours.pass_credentials());
    std::array<std::byte, 64> buffer;
    const auto received = pair.ours.receive(buffer);
    REQUIRE(received);
    CHECK(text_of(received->bytes) == "early");
    CHECK_FALSE(received->authenticated);
    CHECK(received->sender.pid == 0);
    CHECK(received->sender.uid == 65534);
}

TEST_CASE("a datagram that is longer than the buffer says that it was cut") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    const std::vector<std::byte> long_one(65);
    REQUIRE(pair->theirs.send(long_one));
    REQUIRE(pair->theirs.send(Bytes(long_one).first(64)));
    std::array<std::byte, 64> buffer;
    const auto cut = pair->ours.receive(buffer);
    REQUIRE(cut);
    CHECK(cut->truncated);
    CHECK(cut->bytes.size() == 64);
    const auto whole = pair->ours.receive(buffer);
    REQUIRE(whole);
    CHECK_FALSE(whole->truncated);
    CHECK(whole->bytes.size() == 64);
}

TEST_CASE("T37: a channel that refuses descriptors gives its peer EPERM, and takes messages without them") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    const auto refused = pair->ours.refuse_descriptors();
    if (!refused) {
        MESSAGE("skipped: this kernel has no SO_PASSRIGHTS");
        CHECK(refused.error().number == ENOPROTOOPT);
        return;
    }
    const int number = 0;
    const auto sent = pair->theirs.send(bytes_of("x"), std::span(&number, 1));
    REQUIRE_FALSE(sent);
    CHECK(sent.error().number == EPERM);
    CHECK(pair->theirs.send(bytes_of("y")));
    CHECK(pair->ours.send(bytes_of("z"), std::span(&number, 1)));
}

TEST_CASE("sending to a peer that is gone is EPIPE, and no signal") {
    auto pair = make_channel_pair();
    REQUIRE(pair);
    hold_in_child([&] {
        std::signal(SIGPIPE, SIG_DFL);
        pair->theirs.close();
        ::shutdown(pair->ours.get(), SHUT_WR);
        const auto sent = pair->ours.send(bytes_of("x"));
        return !sent && sent.error().number == EPIPE;
    });
    pair->theirs.close();
    const auto sent = pair->ours.send(bytes_of("x"));
    REQUIRE_FALSE(sent);
    CHECK(sent.error().number == EPIPE);
}

TEST_CASE("253 descriptors go out in one message and 254 do not") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    const std::vector<int> numbers(254, 0);
    REQUIRE(pair->ours.send(bytes_of("x"), std::span(numbers).first(253)));
    const auto too_many = pair->ours.send(bytes_of("x"), numbers);
    REQUIRE_FALSE(too_many);
    CHECK(too_many.error().number == EMSGSIZE);
    std::array<std::byte, 64> buffer;
    std::array<Fd, 253> fds;
    const auto taken = pair->theirs.receive_with_fds(buffer, fds, MSG_DONTWAIT);
    REQUIRE(taken);
    CHECK(taken->fd_count == 253);
    CHECK(taken->received.stray_fds == 0);
    CHECK((::fcntl(fds[252].get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("descriptors beyond what the caller has room for are closed and counted") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    const std::vector<int> numbers(5, 0);
    const int before = open_descriptors();
    REQUIRE(pair->ours.send(bytes_of("x"), numbers));
    std::array<std::byte, 64> buffer;
    {
        std::array<Fd, 2> fds;
        const auto taken = pair->theirs.receive_with_fds(buffer, fds, MSG_DONTWAIT);
        REQUIRE(taken);
        CHECK(taken->fd_count == 2);
        CHECK(taken->received.stray_fds == 3);
        CHECK(open_descriptors() == before + 2);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("a peer that does not read makes sending EAGAIN, not waiting") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    const std::vector<std::byte> message(max_message);
    Result<void> sent;
    for (int i = 0; i < 10'000 && sent; ++i) sent = pair->ours.send(message);
    REQUIRE_FALSE(sent);
    CHECK(sent.error().number == EAGAIN);
}

TEST_CASE("a pidfd that comes along is the sender's and does not count as a descriptor that was sent") {
    const auto pair = make_channel_pair();
    REQUIRE(pair);
    if (const auto passing = pair->ours.pass_pidfd(); !passing) {
        MESSAGE("skipped: this kernel has no SO_PASSPIDFD");
        return;
    }
    hold_in_child([&] { return pair->theirs.send(bytes_of("x")).has_value(); });
    std::array<std::byte, 64> buffer;
    const auto received = pair->ours.receive(buffer);
    REQUIRE(received);
    CHECK(received->authenticated);
    CHECK(received->stray_fds == 0);
    REQUIRE(pair->theirs.send(bytes_of("y")));
    const auto own = pair->ours.receive(buffer);
    REQUIRE(own);
    REQUIRE(own->pidfd);
    CHECK_FALSE(ended_within(own->pidfd.get(), 0));
    CHECK((::fcntl(own->pidfd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}
