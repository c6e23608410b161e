// Whose turn it is: wide asks in parts, and pauses of those that press. Two workers at one broker, both this process.
#include <doctest/doctest.h>
#include <sys/un.h>

#include <thread>

#include "unit/broker/bench.h"

using namespace warder;
using namespace warder::broker;
using namespace warder::test;
using namespace std::chrono_literals;

namespace {

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
}

// Two workers of one site: `web` of the Bench, and a neighbour.
struct Street : Bench {
    static constexpr WorkerId next_door{8};
    ChannelPair line = make_channel_pair().value();
    Folder folder;

    Street() {
        for (int i = 0; i < 100; ++i) folder.write(std::to_string(i), std::to_string(i));
        CHECK(admit(grants()).empty());
        PrincipalSettings its;
        its.id = next_door;
        its.name = "neighbour";
        its.identity = somebody;
        its.grants = policy::GrantSet("neighbour", grants());
        CHECK(broker->admit(std::move(its), now).empty());
        REQUIRE(begin());
        REQUIRE(broker->begin_session(next_door, line.ours, us, 0));
        now = monotonic_now();
        REQUIRE(greet());
        REQUIRE(greet_next_door());
    }
    ~Street() {
        broker->dismiss(next_door);
        privileges.become_root();
    }

    std::vector<policy::Grant> grants() const {
        policy::Grant peer;
        peer.name = "peer";
        peer.kind = policy::Kind::peer;
        peer.rights = {Operation::connect};
        peer.address = policy::parse_address_pattern("unix:" + folder.at("nobody.sock")).value();
        return {tree_grant("site", folder.path, {Operation::read, Operation::stat}), std::move(peer)};
    }

    Result<void> greet_next_door() {
        TRY(line.theirs.send(*protocol::encode_hello(*buffer, RequestId{1}, {})));
        turn();
        (void)TRY(line.theirs.receive(*buffer));
        return {};
    }

    // The loop as it runs, on a machine where serving anybody takes long.
    void take_turn() {
        now = monotonic_now() + (-200us);
        turn();
    }

    void send(const ChannelPair& pair_of, std::size_t width, RequestId id = RequestId{2}) {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < width; ++i) names.push_back(std::to_string(i));
        std::vector<protocol::Request> requests;
        for (const auto& name : names) requests.push_back(request_for(Operation::read, "site", name));
        REQUIRE(pair_of.theirs.send(*protocol::encode_ask(*buffer, id, requests)));
    }

    // How many descriptors the answer brought that lies in a worker's socket; nothing: there is none.
    std::optional<std::size_t> answered(const ChannelPair& pair_of) {
        for (auto& fd : fds) fd.reset();
        const auto taken = pair_of.theirs.receive_with_fds(*buffer, fds, MSG_DONTWAIT);
        if (!taken || taken->received.kind != Received::Kind::message) return std::nullopt;
        return taken->fd_count;
    }

    char first_letter(std::size_t index) {
        char letter = '?';
        return ::pread(fds[index].get(), &letter, 1, 0) == 1 ? letter : '?';
    }
};

}  // namespace

TEST_CASE("L1: while others speak a wide ask is carried out in parts, and who asks for one thing is answered between") {
    Street street;
    street.send(street.pair, 60);
    street.take_turn();
    CHECK_FALSE(street.answered(street.pair));
    CHECK(street.broker->patience() == Duration::zero());
    street.send(street.line, 1);
    street.take_turn();
    CHECK(street.answered(street.line) == 1);
    CHECK_FALSE(street.answered(street.pair));
    int turns = 0;
    std::optional<std::size_t> count;
    for (; !count && turns < 20; ++turns) {
        street.take_turn();
        count = street.answered(street.pair);
    }
    REQUIRE(count == 60);
    CHECK(turns > 3);
    CHECK(street.first_letter(7) == '7');
    CHECK(street.first_letter(59) == '5');
    for (int rest = 0; rest < 20; ++rest) street.take_turn();   // what is recorded, in parts too
    CHECK(street.audit.size() >= 61);
    CHECK(street.broker->patience() == Duration::max());
}

TEST_CASE("a wide ask of a worker that speaks alone is answered in one turn") {
    Street street;
    street.now = monotonic_now() + 2s;   // the neighbour was heard long ago
    street.send(street.pair, 60);
    street.turn();
    CHECK(street.answered(street.pair) == 60);
}

TEST_CASE("of two wide asks the second waits for the first, and both are answered") {
    Street street;
    street.send(street.pair, 30);
    street.send(street.line, 20);
    std::optional<std::size_t> here;
    std::optional<std::size_t> there;
    for (int turns = 0; turns < 40 && (!here || !there); ++turns) {
        street.take_turn();
        if (!here) here = street.answered(street.pair);
        if (!there) there = street.answered(street.line);
    }
    CHECK(here == 30);
    CHECK(there == 20);
}

TEST_CASE("T19: a wide ask whose worker's life ends in the middle lends nothing and leaves nothing open") {
    Street street;
    const std::size_t before = open_descriptors();
    street.send(street.pair, 60);
    for (int turns = 0; turns < 20 && open_descriptors() <= before; ++turns) street.take_turn();
    CHECK(open_descriptors() > before);
    street.broker->end_session(Street::worker);
    CHECK(open_descriptors() <= before);
    CHECK(street.broker->patience() == Duration::max());
    street.take_turn();
    street.send(street.line, 20);
    for (int turns = 0; turns < 10; ++turns) street.take_turn();
    CHECK(street.answered(street.line) == 20);
}

TEST_CASE("T19: a wide ask whose worker's life ends just when it is answered is recorded whole, and nothing is left open") {
    Street street;
    const std::size_t before = open_descriptors();
    const std::size_t records = street.audit.size();
    street.send(street.pair, 60);
    std::optional<std::size_t> count;
    for (int turns = 0; turns < 40 && !count; ++turns) {
        street.take_turn();
        count = street.answered(street.pair);
    }
    REQUIRE(count == 60);
    for (auto& fd : street.fds) fd.reset();
    CHECK(open_descriptors() > before);   // ours, which are closed in parts
    CHECK(street.audit.size() - records < 60);
    street.broker->end_session(Street::worker);
    CHECK(open_descriptors() <= before);
    CHECK(street.audit.size() - records == 60);
    CHECK(street.broker->principal(Street::worker)->allowed == 60);
}

TEST_CASE("our copy of a large file that was unlinked meanwhile is closed by an opener, who may wait for its blocks") {
    Street street;
    for (const char* name : {"58", "59"}) street.folder.write(name, std::string(8 << 20, 'x'));
    street.send(street.pair, 60);
    std::optional<std::size_t> count;
    for (int turns = 0; turns < 40 && !count; ++turns) {
        street.take_turn();
        count = street.answered(street.pair);
    }
    REQUIRE(count == 60);
    street.privileges.become_root();
    for (const char* name : {"57", "59"}) REQUIRE(std::filesystem::remove(street.folder.at(name)));
    street.broker->end_session(Street::worker);
    CHECK(street.openers.disposed == 1);   // neither what is small nor what has its name
}

TEST_CASE("a worker that asks again as soon as it has the answer to a wide ask is answered again") {
    Street street;
    street.send(street.pair, 60);
    std::optional<std::size_t> first;
    for (int turns = 0; turns < 40 && !first; ++turns) {
        street.take_turn();
        first = street.answered(street.pair);
    }
    CHECK(first == 60);
    street.send(street.pair, 3);
    std::optional<std::size_t> second;
    for (int turns = 0; turns < 40 && !second; ++turns) {
        street.take_turn();
        second = street.answered(street.pair);
    }
    CHECK(second == 3);
    CHECK(street.broker->principal(Street::worker)->allowed == 63);
}

TEST_CASE("T19: a reload in the middle of a wide ask comes after it") {
    Street street;
    street.send(street.pair, 60);
    street.take_turn();
    CHECK(street.admit({}).empty());   // nothing is granted from here on
    CHECK(street.answered(street.pair) == 60);
    for (const auto type : {protocol::Type::revoked, protocol::Type::revoked, protocol::Type::reload}) {
        const auto told = street.hear();
        REQUIRE(told);
        CHECK(told->type == type);
    }
    street.send(street.pair, 1);
    street.take_turn();
    CHECK(street.answered(street.pair) == 0);
}

TEST_CASE("what was done here is not done again when the rest of an ask goes to an opener") {
    Street street;
    street.openers.error = 0;
    const protocol::Request both[] = {request_for(Operation::read, "site", "5"), request_for(Operation::connect, "peer")};
    REQUIRE(street.pair.theirs.send(*protocol::encode_ask(*street.buffer, RequestId{4}, both)));
    street.take_turn();
    REQUIRE(street.openers.items.size() == 2);
    CHECK(street.openers.items[0].settled);
    CHECK(street.openers.items[0].lend >= 0);
    CHECK(street.openers.items[0].outcome.fds == 1);
    CHECK_FALSE(street.openers.items[1].settled);
}

TEST_CASE("L1: a worker that does not wait for its answers pauses while others speak, and loses nothing") {
    Street street;
    constexpr std::size_t asks = 60;
    for (std::size_t i = 0; i < asks; ++i) street.send(street.pair, 1, static_cast<RequestId>(i + 2));
    std::size_t heard = 0;
    bool paused = false;
    const Instant end = monotonic_now() + 10s;
    while (heard < asks && monotonic_now() < end) {
        if (!paused) street.send(street.line, 1);
        street.take_turn();
        while (street.answered(street.pair)) ++heard;
        while (street.answered(street.line)) {}
        const Duration patience = street.broker->patience();
        paused = paused || (patience > Duration::zero() && patience < Duration::max());
    }
    CHECK(heard == asks);
    CHECK(paused);
}

TEST_CASE("workers that all press take turns, and none pauses") {
    Street street;
    struct Presser {
        const ChannelPair& pair;
        std::size_t waiting = 0;
        std::size_t heard = 0;
    };
    Presser pressers[] = {{street.pair}, {street.line}};
    const auto turn = [&] {
        for (Presser& one : pressers) {
            for (; one.waiting < 4; ++one.waiting) street.send(one.pair, 1);
        }
        street.take_turn();
        for (Presser& one : pressers) {
            for (; street.answered(one.pair); --one.waiting) ++one.heard;
        }
    };
    // Both waited for the answer to their hello: that is remembered for a while.
    const Instant forgotten = monotonic_now() + Attention::memory + 500ms;
    while (monotonic_now() < forgotten) turn();
    for (Presser& one : pressers) one.heard = 0;
    for (int i = 0; i < 100; ++i) {
        turn();
        CHECK(street.broker->patience() == Duration::max());
    }
    for (const Presser& one : pressers) CHECK(one.heard == 100);
}

TEST_CASE("a worker that closes its end while it pauses has broken no rule") {
    Street street;
    for (std::size_t i = 0; i < 60; ++i) street.send(street.pair, 1, static_cast<RequestId>(i + 2));
    while (street.broker->patience() == Duration::max()) street.take_turn();
    street.pair.theirs.close();
    const Instant end = monotonic_now() + 50ms;
    while (monotonic_now() < end) street.take_turn();
    CHECK(street.listener.broken == std::string());
    CHECK(street.broker->patience() == Duration::max());
}

TEST_CASE("T41: a worker that hangs up while it is not read wakes nobody, and neither does one that does not read and hangs up") {
    PrincipalSettings settings;
    settings.max_request_rate = 4;
    Folder folder;
    folder.write("a", "a");
    Bench bench;
    REQUIRE(bench.admit_with(std::move(settings), {tree_grant("site", folder.path, {Operation::stat})}).empty());
    REQUIRE(bench.begin());
    bench.now = monotonic_now();
    REQUIRE(bench.greet());
    const auto request = request_for(Operation::stat, "site", "a");
    for (int i = 0; i < 3; ++i) CHECK(bench.ask(std::span(&request, 1)));
    REQUIRE(bench.broker->principal(Bench::worker)->session->resting);
    REQUIRE(::shutdown(bench.pair.theirs.get(), SHUT_RDWR) == 0);
    CHECK(bench.poller.wait(Duration::zero())->empty());
    bench.now = bench.now + 2s;
    for (int turns = 0; turns < 5; ++turns) bench.turn();
    CHECK(bench.poller.wait(Duration::zero())->empty());
    CHECK(bench.broker->patience() == Duration::max());
    CHECK(bench.listener.broken.empty());
}

TEST_CASE("T41: a worker with a full socket that shuts it down in both directions wakes nobody any more") {
    Street street;
    const auto clogged = [&] { return street.broker->principal(Street::worker)->session->clogged; };
    for (int i = 0; i < 10'000 && !clogged(); ++i) {
        street.send(street.pair, 1, static_cast<RequestId>(i + 2));
        street.turn();
    }
    REQUIRE(clogged());
    REQUIRE(::shutdown(street.pair.theirs.get(), SHUT_RDWR) == 0);
    for (int turns = 0; turns < 20; ++turns) street.turn();
    CHECK(street.poller.wait(Duration::zero())->empty());
    CHECK(street.listener.broken.empty());
}

TEST_CASE("a worker that waits for each answer never pauses") {
    Street street;
    for (int i = 0; i < 200; ++i) {
        street.send(street.line, 1);
        street.send(street.pair, 1);
        street.take_turn();
        CHECK(street.broker->patience() == Duration::max());
        CHECK(street.answered(street.pair) == 1);
        CHECK(street.answered(street.line) == 1);
    }
}

TEST_CASE("who has just been answered is expected to ask again, and is answered without the poller") {
    Street street;
    street.send(street.pair, 1);
    street.turn();
    CHECK(street.answered(street.pair) == 1);
    const auto guessed = street.broker->next_likely(street.now);
    REQUIRE(guessed);
    street.send(street.pair, 1);
    street.broker->handle(*guessed, street.now);
    CHECK(street.answered(street.pair) == 1);
}

TEST_CASE("who had not asked again after all is not thought to have, for a while") {
    Street street;
    const auto ask = [&] {
        street.send(street.pair, 1);
        street.turn();
        CHECK(street.answered(street.pair) == 1);
    };
    ask();
    const auto guessed = street.broker->next_likely(street.now);
    REQUIRE(guessed);
    street.broker->handle(*guessed, street.now);   // in vain
    CHECK_FALSE(street.answered(street.pair));
    ask();
    CHECK_FALSE(street.broker->next_likely(street.now));
    ask();
    CHECK(street.broker->next_likely(street.now));
}

TEST_CASE("nobody is expected in a turn in which nobody spoke, nor while something else is to be done") {
    Street street;
    street.send(street.pair, 1);
    street.turn();
    CHECK_FALSE(street.broker->next_likely(street.now + 1ns));
    street.send(street.line, 60);
    street.take_turn();
    CHECK(street.broker->patience() == Duration::zero());
    CHECK_FALSE(street.broker->next_likely(street.now));
}

TEST_CASE("who is expected may be gone") {
    Street street;
    street.send(street.pair, 1);
    street.turn();
    const auto guessed = street.broker->next_likely(street.now);
    REQUIRE(guessed);
    SUBCASE("its life is over") { street.broker->end_session(Bench::worker); }
    SUBCASE("it closed its end") { street.pair.theirs.close(); }
    street.now = street.now + 1us;   // the next turn
    street.broker->handle(*guessed, street.now);
    CHECK(street.listener.broken == std::string());
    CHECK_FALSE(street.broker->next_likely(street.now));
}
