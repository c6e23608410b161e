#include "opener/pool.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <sstream>

#include "sys/files.h"
#include "sys/poll_kind.h"
#include "unit/broker/bench.h"
#include "unit/opener/lingering.h"

using namespace warder;
using namespace warder::opener;
using namespace warder::test;
using namespace std::chrono_literals;

namespace {

#define NEEDS_ROOT()                     \
    do {                                 \
        if (::geteuid() != 0) {          \
            MESSAGE("skipped: not root"); \
            return;                      \
        }                                \
    } while (false)

std::vector<pid_t> children() {
    const auto text = read_file("/proc/thread-self/children", 1 << 16);
    std::istringstream words(text ? *text : std::string());
    std::vector<pid_t> pids;
    for (pid_t pid = 0; words >> pid;) pids.push_back(pid);
    return pids;
}

struct Openers : Bench {
    Folder folder;
    std::vector<pid_t> before = children();
    std::unique_ptr<Pool> pool;

    explicit Openers(std::uint32_t count) {
        pool = std::make_unique<Pool>(poller, privileges, PoolSettings{.openers = count});
        openers.real = pool.get();
        auto grant = tree_grant("site", folder.path, {Operation::read, Operation::create});
        grant.as = policy::As::root;
        CHECK(admit({grant}).empty());
        REQUIRE(begin());
        REQUIRE(greet());
        REQUIRE(pool->start(*broker));
        pool->collect(now);
    }
    ~Openers() {
        pool->stop();
        privileges.become_root();
    }

    // The one opener of a pool of one.
    pid_t pid() const {
        for (const pid_t child : children()) {
            if (std::ranges::find(before, child) == before.end()) return child;
        }
        return -1;
    }

    void send(std::string_view name, RequestId id, Operation operation = Operation::create) {
        const protocol::Request request = request_for(operation, "site", name);
        const auto message = protocol::encode_ask(*buffer, id, std::span(&request, 1));
        REQUIRE((message && pair.theirs.send(*message)));
        turn();
    }

    // What the daemon's loop does, until the worker has a reply. By the clock, not by turns: of a process that is killed the
    // socket hangs up first, and tells so in each turn until its end is known too.
    Result<protocol::Message> wait_for_reply(Duration patience = std::chrono::seconds(30)) {
        for (const Instant until = monotonic_now() + patience; monotonic_now() < until;) {
            if (auto reply = hear()) return reply;
            const auto events = poller.wait(std::chrono::milliseconds(5));
            if (!events) return Failure(events.error());
            for (const auto& event : std::vector<PollEvent>(events->begin(), events->end())) {
                if (event.tag.kind == static_cast<std::uint8_t>(PollKind::session)) broker->handle(event, now);
                else pool->handle(event, now);
            }
            pool->collect(now);
        }
        return failure(ETIMEDOUT, "waiting for an opener");
    }

    protocol::Outcome outcome() {
        const auto reply = wait_for_reply();
        REQUIRE(reply);
        const auto outcomes = protocol::decode_answer(*reply);
        REQUIRE(outcomes);
        REQUIRE(outcomes->size() == 1);
        return outcomes->at(0);
    }

    // Stops the opener, so that it takes nothing up.
    void freeze() const {
        REQUIRE(pid() > 0);
        REQUIRE(::kill(pid(), SIGSTOP) == 0);
        siginfo_t info{};
        REQUIRE(::waitid(P_PID, static_cast<id_t>(pid()), &info, WSTOPPED) == 0);
    }
};

}  // namespace

TEST_CASE("a file is made through an opener, which answers the worker itself") {
    NEEDS_ROOT();
    Openers stand(2);
    stand.send("new.html", RequestId{5});
    const auto outcome = stand.outcome();
    CHECK(outcome.reason == Reason::ok);
    REQUIRE(stand.fd_count == 1);
    CHECK(::write(stand.fds[0].get(), "made", 4) == 4);
    CHECK(stand.folder.read("new.html") == "made");
}

TEST_CASE("T6: a FIFO is refused by an opener without waiting for a writer") {
    NEEDS_ROOT();
    Openers stand(1);
    REQUIRE(::mkfifo(stand.folder.at("fifo").c_str(), 0666) == 0);
    stand.send("fifo", RequestId{5}, Operation::read);
    CHECK(stand.outcome().reason == Reason::not_regular);
}

TEST_CASE("T37: a stranger's socket in a listener's queue, whose close waits, is not the parent's to close") {
    NEEDS_ROOT();
    Openers stand(1);
    sockaddr_un any{};
    any.sun_family = AF_UNIX;
    socklen_t size = sizeof any.sun_family;
    auto* const raw = reinterpret_cast<sockaddr*>(&any);
    Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    REQUIRE((::bind(listener.get(), raw, size) == 0 && ::listen(listener.get(), 1) == 0));
    size = sizeof any;
    REQUIRE(::getsockname(listener.get(), raw, &size) == 0);
    const Channel stranger(Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
    REQUIRE(::connect(stranger.get(), raw, size) == 0);
    Lingering lingering(3);
    const int number = lingering.socket.get();
    REQUIRE(stranger.send(Bytes(*stand.buffer).first(1), std::span(&number, 1)));
    lingering.socket.reset();   // in the queue is the last
    const Instant before = monotonic_now();
    stand.pool->dispose(std::move(listener));
    CHECK(monotonic_now() - before < 1s);
    stand.send("later.html", RequestId{5});
    CHECK_FALSE(stand.wait_for_reply(1s));   // the opener does wait: this is what the parent was spared
    CHECK(stand.outcome().reason == Reason::ok);
}

TEST_CASE("T50: a job that its opener had not begun when it died is done by the next one") {
    NEEDS_ROOT();
    Openers stand(1);
    stand.freeze();
    const pid_t first = stand.pid();
    stand.send("new.html", RequestId{5});
    REQUIRE(::kill(first, SIGKILL) == 0);
    CHECK(stand.outcome().reason == Reason::ok);
    CHECK(stand.pid() != first);
    stand.send("second.html", RequestId{6});
    CHECK(stand.outcome().reason == Reason::ok);
    CHECK(stand.broker->principal(Bench::worker)->session->outstanding <= 1);
}

TEST_CASE("T6: one that hangs is given up at the deadline and not before; what waits behind it is answered too") {
    NEEDS_ROOT();
    Openers stand(1);
    stand.freeze();
    stand.send("new.html", RequestId{5});
    stand.pool->run_due(stand.pool->next_deadline());   // it is not done yet: from here on its end is told
    const Instant deadline = stand.now + PoolSettings{}.deadline;
    stand.pool->run_due(Instant{deadline.nanoseconds - 1});
    CHECK_FALSE(stand.hear());
    stand.send("second.html", RequestId{6});   // behind the first: one job of a worker at a time
    stand.pool->run_due(deadline);
    CHECK(stand.outcome().reason == Reason::deadline);
    const auto waited = stand.outcome().reason;
    CHECK((waited == Reason::deadline || waited == Reason::ok));
    stand.send("third.html", RequestId{7});
    CHECK(stand.outcome().reason == Reason::ok);
    CHECK_FALSE(std::filesystem::exists(stand.folder.at("new.html")));
}

TEST_CASE("how a job ended is seen in the next turn, and at the latest when the pool looks by itself") {
    NEEDS_ROOT();
    Openers stand(1);
    stand.send("new.html", RequestId{5});
    const auto& session = *stand.broker->principal(Bench::worker)->session;
    CHECK(session.outstanding == 1);
    const Instant look = stand.pool->next_deadline();
    CHECK(look < stand.now + PoolSettings{}.deadline);
    CHECK(stand.outcome().reason == Reason::ok);
    for (int i = 0; i < 1000 && session.outstanding != 0; ++i) {
        ::usleep(1000);
        stand.pool->run_due(look);
    }
    CHECK(session.outstanding == 0);
    CHECK(stand.pool->next_deadline() == Instant::never());
}

TEST_CASE("who waits behind another job is taken up when that ends, without a turn in between") {
    NEEDS_ROOT();
    Openers stand(1);
    stand.freeze();
    stand.send("first.html", RequestId{5});
    stand.send("second.html", RequestId{6});
    CHECK(stand.pool->next_deadline() == stand.now + PoolSettings{}.slice);   // a word will come, or one more be made
    REQUIRE(::kill(stand.pid(), SIGCONT) == 0);
    CHECK(stand.outcome().reason == Reason::ok);
    CHECK(stand.outcome().reason == Reason::ok);
}

TEST_CASE("T50: openers that die again and again lose no job that was not begun, and no worker has two answers or none") {
    NEEDS_ROOT();
    Openers stand(2);
    std::map<std::uint32_t, int> answers;
    const auto hear_all = [&] {
        while (auto reply = stand.wait_for_reply(0ms)) ++answers[number(reply->id)];
    };
    constexpr std::uint32_t asks = 300;
    for (std::uint32_t id = 1; id <= asks; ++id) {
        stand.send("file" + std::to_string(id), RequestId{id});
        if (id % 3 == 0) {
            for (const pid_t child : children()) {
                if (std::ranges::find(stand.before, child) == stand.before.end()) ::kill(child, SIGKILL);
            }
        }
        while (stand.broker->principal(Bench::worker)->session->outstanding > 20) {
            if (auto reply = stand.wait_for_reply()) ++answers[number(reply->id)];
        }
    }
    for (const Instant until = monotonic_now() + 30s; answers.size() < asks && monotonic_now() < until;) {
        if (auto reply = stand.wait_for_reply()) ++answers[number(reply->id)];
    }
    hear_all();
    CHECK(answers.size() == asks);
    CHECK(std::ranges::all_of(answers, [](const auto& one) { return one.second == 1; }));
}

TEST_CASE("T51: where all openers take long one more is made, and who took little is served at once") {
    NEEDS_ROOT();
    Openers stand(1);
    stand.freeze();
    stand.send("first.html", RequestId{5});
    const auto theirs = make_channel_pair().value();
    const Fd directory(::open(stand.folder.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    broker::JobItem item;
    item.task.operation = Operation::create;
    item.task.as = policy::As::root;
    item.task.directory = directory.get();
    item.task.path = "of-another";
    item.task.mode = 0600;
    const broker::Job job{WorkerId{77}, 1, RequestId{1}, &root_identity, theirs.ours.get(), std::span(&item, 1)};
    REQUIRE(stand.pool->take(job));
    const Instant slice = stand.now + PoolSettings{}.slice;
    stand.pool->run_due(slice);
    for (int i = 0; i < 1000 && !std::filesystem::exists(stand.folder.at("of-another")); ++i) ::usleep(10'000);
    CHECK(std::filesystem::exists(stand.folder.at("of-another")));
    CHECK_FALSE(std::filesystem::exists(stand.folder.at("first.html")));
}

TEST_CASE("T19: what waits for an opener by a grant that a reload takes away or changes is not done; what stays is") {
    NEEDS_ROOT();
    for (const bool changed : {true, false}) {
        Openers stand(1);
        stand.freeze();
        stand.send("first.html", RequestId{5});    // the opener's, as it was granted
        stand.send("second.html", RequestId{6});   // waits
        const auto& now = stand.broker->principal(Bench::worker)->settings.grants.at(GrantId{0});
        auto next = now;
        next.origin = "another.toml:9";
        if (changed) next.rights = {Operation::read};
        CHECK(stand.admit({next}).empty());
        REQUIRE(::kill(stand.pid(), SIGCONT) == 0);
        bool made = false;
        bool refused = false;
        while (!made && !refused) {
            const auto reply = stand.wait_for_reply();
            REQUIRE(reply);
            if (reply->id != RequestId{6}) continue;
            const auto outcome = protocol::decode_answer(*reply)->at(0);
            made = outcome.error == 0;
            refused = outcome.reason == Reason::not_granted && outcome.text.find("reload") != std::string_view::npos;
            CHECK((made || refused));
            if (!made && !refused) break;
        }
        CHECK(refused == changed);
        CHECK(std::filesystem::exists(stand.folder.at("second.html")) == !changed);
    }
}
