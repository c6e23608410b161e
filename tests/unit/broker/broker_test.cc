#include "broker/broker.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "sys/process.h"
#include "unit/broker/bench.h"

using namespace warder;
using namespace warder::broker;
using namespace warder::test;

namespace {

struct Site : Bench {
    Folder folder;
    Site() {
        folder.write("index.html", "hello");
        CHECK(admit({tree_grant("site", folder.path, {Operation::read, Operation::create})}).empty());
        REQUIRE(begin());
    }
    ~Site() { privileges.become_root(); }   // before the folder goes
    Result<protocol::Outcomes> ask_one(Operation operation, std::string_view grant, std::string_view target) {
        const protocol::Request request = request_for(operation, grant, target);
        return ask(std::span(&request, 1));
    }
};

}  // namespace

TEST_CASE("hello tells the worker its name and what this side takes; before it nothing is answered") {
    Site site;
    const auto reply = site.greet();
    REQUIRE(reply);
    CHECK(reply->error == 0);
    CHECK(reply->worker == "web");
    CHECK(reply->max_message == max_message);
    Site silent;
    CHECK_FALSE(silent.ask_one(Operation::read, "site", "index.html"));
    CHECK(silent.listener.broken == "the first message was not hello");
}

TEST_CASE("a worker of another version is told so, and is not greeted") {
    Site site;
    const auto message = protocol::encode_hello(*site.buffer, RequestId{1}, {.version_min = 2, .version_max = 9});
    const auto reply = site.exchange(message);
    REQUIRE(reply);
    CHECK(protocol::decode_hello_reply(*reply)->error == EPROTONOSUPPORT);
    CHECK_FALSE(site.ask_one(Operation::read, "site", "index.html"));
}

TEST_CASE("one ask of many requests is answered in order, with the descriptors of those that were allowed") {
    Site site;
    REQUIRE(site.greet());
    const std::string file = site.folder.at("index.html");
    const protocol::Request requests[] = {request_for(Operation::read, {}, "/etc/shadow"),
                                          request_for(Operation::read, {}, file),
                                          request_for(Operation::write, "site", "index.html")};
    Result<protocol::Outcomes> outcomes = site.ask(requests);
    for (int i = 0; i < 100 && outcomes && outcomes->at(1).reason == Reason::too_many; ++i) outcomes = site.ask(requests);
    REQUIRE(outcomes);
    REQUIRE(outcomes->size() == 3);
    CHECK(outcomes->at(0).reason == Reason::not_granted);
    CHECK(outcomes->at(0).fds == 0);
    CHECK_FALSE(outcomes->at(0).text.empty());
    CHECK(outcomes->at(1).reason == Reason::ok);
    CHECK(outcomes->at(1).fds == 1);
    CHECK(outcomes->at(2).reason == Reason::wrong_operation);
    REQUIRE(site.fd_count == 1);
    char text[8] = {};
    CHECK(::read(site.fds[0].get(), text, sizeof text) == 5);
    CHECK(std::string_view(text) == "hello");
}

TEST_CASE("T1: a worker that sends a descriptor loses its session, and no other worker is asked") {
    Site site;
    REQUIRE(site.greet());
    const int number = 0;
    const auto message = protocol::encode_hello(*site.buffer, RequestId{1}, {});
    REQUIRE(site.pair.theirs.send(*message, std::span(&number, 1)));
    site.turn();
    CHECK(site.listener.broken == "it sent descriptors, and has no right to");
    CHECK_FALSE(site.broker->principal(Bench::worker)->session.has_value());
    REQUIRE(site.audit.size() > 0);
    CHECK(site.audit.at(site.audit.size() - 1).kind == audit::Record::Kind::violation);
}

TEST_CASE("T14, T15: bytes that are no message end the session") {
    for (const std::string_view text : {std::string_view(), std::string_view("x"), std::string_view("0123456789abcdef")}) {
        Site site;
        REQUIRE(site.pair.theirs.send(bytes_of(text)));
        site.turn();
        CHECK_FALSE(site.listener.broken.empty());
    }
}

TEST_CASE("T14: a message with id 0, which is that of events, ends the session and does nothing") {
    for (const bool greeted : {false, true}) {
        Site site;
        if (greeted) REQUIRE(site.greet());
        const protocol::Request request = request_for(Operation::read, "site", "index.html");
        const auto message = greeted ? protocol::encode_ask(*site.buffer, RequestId::event, std::span(&request, 1))
                                     : protocol::encode_hello(*site.buffer, RequestId::event, {});
        REQUIRE(site.pair.theirs.send(*message));
        site.turn();
        CHECK(site.listener.broken == "a message with id 0, which is that of events");
        CHECK_FALSE(site.hear());
        CHECK(site.broker->principal(Bench::worker)->allowed == 0);
    }
}

TEST_CASE("T13: a child of the worker is told no, and the worker goes on") {
    Site site;
    REQUIRE(site.greet());
    const protocol::Request request = request_for(Operation::read, "site", "index.html");
    const auto message = protocol::encode_ask(*site.buffer, RequestId{9}, std::span(&request, 1));
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) ::_exit(site.pair.theirs.send(*message) ? 0 : 1);
    REQUIRE(ended_within(child->pidfd.get(), 10'000));
    (void)reap(child->pidfd.get());
    site.turn();
    const auto reply = site.hear();
    REQUIRE(reply);
    const auto outcomes = protocol::decode_answer(*reply);
    REQUIRE(outcomes);
    CHECK(outcomes->at(0).reason == Reason::not_requester);
    CHECK(outcomes->at(0).error == EPERM);
    CHECK(site.fd_count == 0);
    CHECK(site.listener.broken.empty());
    CHECK(site.audit.at(site.audit.size() - 1).pid == child->pid);
}

TEST_CASE("ready and status reach the daemon") {
    Site site;
    REQUIRE(site.greet());
    REQUIRE(site.exchange(protocol::encode_text(*site.buffer, protocol::Type::status, RequestId{3}, "warming up")));
    CHECK(site.listener.status == "warming up");
    CHECK(site.listener.ready == 0);
    REQUIRE(site.exchange(protocol::encode_text(*site.buffer, protocol::Type::ready, RequestId{4}, "")));
    CHECK(site.listener.ready == 1);
}

TEST_CASE("what cannot be done here goes to an opener whole, and the end of it is recorded by name after a reload") {
    Site site;
    REQUIRE(site.greet());
    site.openers.error = 0;
    CHECK_FALSE(site.ask_one(Operation::create, "site", "new.html"));   // no reply yet: the opener gives it
    REQUIRE(site.openers.asked == 1);
    REQUIRE(site.openers.items.size() == 1);
    CHECK(site.broker->principal(Bench::worker)->session->outstanding == 1);

    // The names travel with a job, as its bytes do in the pool.
    auto items = site.openers.items;
    const std::string name(items[0].grant_name);
    const std::string shown(items[0].shown);
    items[0].grant_name = name;
    items[0].shown = shown;
    items[0].grant = GrantId{0};
    SUBCASE("the grant has another number") {
        site.admit({tree_grant("first", site.folder.path, {Operation::read}),
                    tree_grant("site", site.folder.path, {Operation::read, Operation::create})});
    }
    SUBCASE("the grant is gone, and so are all") { site.admit({}); }
    const std::size_t left = site.broker->principal(Bench::worker)->settings.grants.all().size();
    const JobResult result{Reason::ok, 0, 1, 2};
    site.broker->job_done(Bench::worker, site.openers.generation, items, std::span(&result, 1), site.now);
    REQUIRE(site.audit.size() > 0);
    const auto& record = site.audit.at(site.audit.size() - 1);
    CHECK(record.grant_name.view() == (left == 0 ? "" : "site"));
    CHECK(site.broker->principal(Bench::worker)->session->outstanding == 0);
    for (const auto& lent : site.broker->principal(Bench::worker)->session->lent.entries()) {
        CHECK(number(lent.grant) < left);
    }
}

TEST_CASE("what was lent is told by the new numbers after a reload, and not at all when its grant is gone") {
    const std::string address = "unix:@warder-broker-test-" + std::to_string(::getpid());
    Bench bench;
    bench.admit({listener_grant("other", address + "-2"), listener_grant("socket", address)});
    REQUIRE(bench.begin());
    REQUIRE(bench.greet());
    const protocol::Request request = request_for(Operation::listen, "socket");
    REQUIRE(bench.ask(std::span(&request, 1)));
    const auto lent = [&] { return bench.broker->principal(Bench::worker)->session->lent.entries(); };
    REQUIRE(lent().size() == 1);
    CHECK(lent()[0].grant == GrantId{1});
    bench.admit({listener_grant("socket", address)});
    REQUIRE(lent().size() == 1);
    CHECK(lent()[0].grant == GrantId{0});
    bench.admit({});
    CHECK(lent().empty());
}

TEST_CASE("a listener that stays in the config is one socket over a reload") {
    const std::string address = "unix:@warder-broker-test-" + std::to_string(::getpid());
    Bench bench;
    CHECK(bench.admit({listener_grant("socket", address)}).empty());
    const int before = bench.broker->principal(Bench::worker)->held[0].listener.get();
    CHECK(bench.admit({listener_grant("renamed", address)}).empty());
    CHECK(bench.broker->principal(Bench::worker)->held[0].listener.get() == before);
}

TEST_CASE("T40: what a child of a run did to its listener after that had ended is undone before the next begins") {
    Bench bench;
    bench.admit({listener_grant("socket", "tcp:127.0.0.1:0")});
    REQUIRE(bench.begin());
    REQUIRE(bench.greet());
    const protocol::Request request = request_for(Operation::listen, "socket");
    REQUIRE(bench.ask(std::span(&request, 1)));
    const auto linger_of = [](int fd) {
        linger value{};
        socklen_t size = sizeof value;
        REQUIRE(::getsockopt(fd, SOL_SOCKET, SO_LINGER, &value, &size) == 0);
        return value.l_onoff;
    };
    const int kept = bench.broker->principal(Bench::worker)->held[0].listener.get();
    const Fd lent(::fcntl(kept, F_DUPFD_CLOEXEC, 0));   // what the child has
    const linger at_once{1, 0};
    REQUIRE(::setsockopt(lent.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    bench.broker->end_session(Bench::worker);
    CHECK(linger_of(kept) == 0);
    REQUIRE(::setsockopt(lent.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    REQUIRE(bench.begin());
    CHECK(bench.broker->principal(Bench::worker)->held[0].listener.get() == kept);
    CHECK(linger_of(kept) == 0);
    std::size_t told = 0;
    for (std::size_t i = 0; i < bench.audit.size(); ++i) told += bench.audit.at(i).kind == audit::Record::Kind::hold ? 1 : 0;
    CHECK(told == 2);
}

TEST_CASE("an opener's failure is told to the worker with its reason") {
    Site site;
    REQUIRE(site.greet());
    site.openers.error = 0;
    CHECK_FALSE(site.ask_one(Operation::create, "site", "new.html"));
    site.broker->job_failed(Bench::worker, site.openers.generation, site.openers.request, site.openers.items,
                            Reason::deadline, site.now);
    const auto reply = site.hear();
    REQUIRE(reply);
    const auto outcomes = protocol::decode_answer(*reply);
    REQUIRE(outcomes);
    CHECK(outcomes->at(0).reason == Reason::deadline);
    CHECK(outcomes->at(0).error == ETIMEDOUT);
}

TEST_CASE("the answer to a life that is over goes nowhere") {
    Site site;
    REQUIRE(site.greet());
    site.openers.error = 0;
    CHECK_FALSE(site.ask_one(Operation::create, "site", "new.html"));
    site.broker->end_session(Bench::worker);
    REQUIRE(site.begin());
    site.broker->job_failed(Bench::worker, site.openers.generation, site.openers.request, site.openers.items,
                            Reason::deadline, site.now);
    CHECK_FALSE(site.hear());
}
