// What the C ABI does not show; tests/abi has the rest, with threads, forks and broken answers.
#include "client/client.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "abi/peer.h"

using namespace warder;
using namespace warder::client;

namespace {

struct Kept {
    std::size_t index = 0;
    int error = 0;
    Reason reason{};
    std::string why;
    Fd fd;
};

class Keeper : public Taker {
public:
    void take(std::size_t index, Answer answer) override {
        kept.push_back({index, answer.error, answer.reason, std::string(answer.text), {}});
        if (!answer.fds.empty()) kept.back().fd = std::move(answer.fds.front());
    }
    void refused(Reason reason, std::string_view why) override {
        refusal = reason;
        sentence = why;
    }
    std::vector<Kept> kept;
    Reason refusal = Reason::ok;
    std::string sentence;
};

protocol::Request read_of(std::string_view grant, std::string_view target) {
    protocol::Request request;
    request.operation = static_cast<std::uint16_t>(Operation::read);
    request.grant = grant;
    request.target = target;
    return request;
}

struct Session {
    int end = -1;
    peer* other;
    Result<std::unique_ptr<Client>> client;
    explicit Session(peer_mode mode = PEER_MAIN) : other(peer_start(mode, &end)), client(Client::connect(end)) {}
    ~Session() { peer_end(other); }
};

}  // namespace

TEST_CASE("a client takes its answers in the order of its requests") {
    Session session;
    REQUIRE(session.client);
    CHECK(std::string((*session.client)->worker()) == "tester");
    const std::vector<protocol::Request> requests{read_of("echo", "a"), read_of("denied", "b"), read_of("echo", "c")};
    Keeper keeper;
    REQUIRE((*session.client)->ask(requests, keeper));
    REQUIRE(keeper.kept.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(keeper.kept[i].index == i);
    CHECK(keeper.kept[0].fd);
    CHECK(keeper.kept[1].error == EACCES);
    CHECK(keeper.kept[1].reason == Reason::not_granted);
    CHECK(!keeper.kept[1].fd);
    char byte = 0;
    CHECK(::pread(keeper.kept[2].fd.get(), &byte, 1, 0) == 1);
    CHECK(byte == 'c');
}

TEST_CASE("an ask that is refused whole takes no answer and keeps the sentence") {
    Session session;
    const auto request = read_of("done", "a");
    Keeper keeper;
    const auto asked = (*session.client)->ask({&request, 1}, keeper);
    REQUIRE(!asked);
    CHECK(asked.error().number == EDQUOT);
    CHECK(keeper.kept.empty());
    CHECK(keeper.refusal == Reason::too_many);
    CHECK(keeper.sentence == "over the quota of requests");
}

TEST_CASE("a broken answer takes nothing, and breaks the client for good") {
    Session session;
    const auto request = read_of("two-fds", "a");
    Keeper keeper;
    CHECK((*session.client)->ask({&request, 1}, keeper).error().number == EPROTO);
    CHECK(keeper.kept.empty());
    const auto good = read_of("echo", "a");
    CHECK((*session.client)->ask({&good, 1}, keeper).error().number == EPROTO);
    CHECK(peer_messages(session.other) == 2);
}

TEST_CASE("more requests than one message holds are refused before anything is sent") {
    Session session;
    const std::vector<protocol::Request> requests(254, read_of("echo", "a"));
    Keeper keeper;
    CHECK((*session.client)->ask(requests, keeper).error().number == EMSGSIZE);
    CHECK((*session.client)->ask({}, keeper).error().number == EMSGSIZE);
    CHECK(peer_messages(session.other) == 1);
}

// A worker's end could have been made non-blocking by whoever holds it too: the client waits all the same.
TEST_CASE("a client over a non-blocking socket waits without spinning on an error") {
    int end = -1;
    peer* other = peer_start(PEER_MAIN, &end);
    REQUIRE(::fcntl(end, F_SETFL, O_NONBLOCK) == 0);
    auto client = Client::connect(end);
    REQUIRE(client);
    const auto request = read_of("slow", "a");
    Keeper keeper;
    CHECK((*client)->ask({&request, 1}, keeper));
    CHECK(keeper.kept.size() == 1);
    client->reset();
    peer_end(other);
}
