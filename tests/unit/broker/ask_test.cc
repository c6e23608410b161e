// What an ask leads to beyond opening: names that are looked up first, quotas, narrowing, other workers, commands, and a worker
// that does not read.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>

#include "unit/broker/bench.h"

using namespace warder;
using namespace warder::broker;
using namespace warder::test;

namespace {

policy::Grant lookup_grant() {
    policy::Grant grant;
    grant.name = "people";
    grant.kind = policy::Kind::lookup;
    grant.rights = {Operation::lookup};
    grant.lookups = static_cast<std::uint8_t>(policy::Lookup::user);
    return grant;
}

policy::Grant peer_grant(std::string name, std::string_view address) {
    policy::Grant grant;
    grant.name = std::move(name);
    grant.kind = policy::Kind::peer;
    grant.rights = {Operation::connect};
    grant.address = policy::parse_address_pattern(address).value();
    return grant;
}

policy::Grant worker_grant() {
    policy::Grant grant;
    grant.name = "parser";
    grant.kind = policy::Kind::worker;
    grant.rights = {Operation::signal, Operation::restart};
    grant.peer = "parser";
    grant.signals = std::uint64_t{1} << SIGHUP;
    return grant;
}

policy::Grant command_grant() {
    policy::Grant grant;
    grant.name = "tell";
    grant.kind = policy::Kind::command;
    grant.rights = {Operation::run};
    grant.command.words = {{.before = {}, .placeholder = policy::Placeholder::none, .text = "/usr/bin/echo", .name = {}},
                           {.before = "--to=", .placeholder = policy::Placeholder::word, .text = {}, .name = "who"}};
    return grant;
}

// A second worker at the same broker: the resolver.
struct Town : Bench {
    static constexpr WorkerId resolver{8};
    ChannelPair line = make_channel_pair().value();
    Folder folder;

    explicit Town(std::vector<policy::Grant> grants, PrincipalSettings settings = {}) {
        folder.write("index.html", "hello");
        grants.push_back(tree_grant("site", folder.path, {Operation::read, Operation::stat}));
        CHECK(admit_with(std::move(settings), std::move(grants)).empty());
        PrincipalSettings its;
        its.id = resolver;
        its.name = "resolver";
        its.resolves = true;
        CHECK(broker->admit(std::move(its), now).empty());
        REQUIRE(begin());
        REQUIRE(broker->begin_session(resolver, line.ours, us, 0));
        REQUIRE(greet());
        REQUIRE(line.theirs.send(*protocol::encode_hello(*buffer, RequestId{1}, {})));
        turn();
    }
    ~Town() {
        broker->dismiss(resolver);
        privileges.become_root();
    }

    void resolver_finds(std::uint64_t query, int error, std::string_view text) {
        REQUIRE(line.theirs.send(*protocol::encode_found(*buffer, RequestId{2}, {query, error, text})));
        turn();
    }
    Result<protocol::Outcome> ask_one(const protocol::Request& request) {
        const auto outcomes = TRY(ask(std::span(&request, 1)));
        return outcomes.at(0);
    }
    Result<protocol::Outcome> hear_one() {
        const auto message = TRY(hear());
        return TRY(protocol::decode_answer(message)).at(0);
    }
    Result<protocol::Outcome> read_page() { return ask_one(request_for(Operation::read, "site", "index.html")); }
    const Session& session() { return *broker->principal(worker)->session; }
};

}  // namespace

TEST_CASE("a lookup waits for the resolver, and is then answered from what is known") {
    Town town({lookup_grant()});
    CHECK_FALSE(town.ask_one(request_for(Operation::lookup, "people", "user:web")));
    REQUIRE(town.outside.asked.size() == 1);
    CHECK(town.outside.asked[0].second == "user:web");
    CHECK(town.session().outstanding == 1);
    CHECK(town.read_page());   // others of the same worker do not wait
    town.resolver_finds(town.outside.asked[0].first, 0, "web:x:7:7::/:/\n");
    const auto outcome = town.hear_one();
    REQUIRE(outcome);
    CHECK(outcome->error == 0);
    CHECK(outcome->text == "web:x:7:7::/:/\n");
    CHECK(town.session().outstanding == 0);
    const auto again = town.ask_one(request_for(Operation::lookup, "people", "user:web"));
    REQUIRE(again);
    CHECK(again->text == "web:x:7:7::/:/\n");
    CHECK(town.outside.asked.size() == 1);
}

TEST_CASE("a wide ask asks the resolver for what is not known, a few names at once, and is then answered whole") {
    Town town({lookup_grant()});
    std::vector<std::string> names;
    for (int i = 0; i < 30; ++i) names.push_back("user:u" + std::to_string(i));
    std::vector<protocol::Request> requests(20, request_for(Operation::read, "site", "index.html"));
    for (const auto& name : names) requests.push_back(request_for(Operation::lookup, "people", name));
    CHECK_FALSE(town.ask(requests));
    REQUIRE(town.outside.asked.size() == Knowledge::open_of_each);
    CHECK(town.session().outstanding == 1);
    CHECK(town.broker->patience() == Duration::max());
    for (std::size_t i = 0; i < town.outside.asked.size(); ++i) {
        CHECK(town.outside.asked.size() <= i + Knowledge::open_of_each);
        const auto [query, name] = town.outside.asked[i];
        town.resolver_finds(query, 0, std::string(name) + ":x:7:7::/:/\n");
        while (town.broker->patience() == Duration::zero()) town.turn();
    }
    const auto message = town.hear();
    REQUIRE(message);
    const auto outcomes = protocol::decode_answer(*message);
    REQUIRE(outcomes);
    REQUIRE(outcomes->size() == 50);
    CHECK(town.fd_count == 20);
    CHECK(outcomes->at(20).text == "user:u0:x:7:7::/:/\n");
    CHECK(outcomes->at(49).text == "user:u29:x:7:7::/:/\n");
    CHECK(town.session().outstanding == 0);
    CHECK(town.outside.asked.size() == names.size());
}

TEST_CASE("what the resolver does not find has the errno that it says") {
    Town town({lookup_grant()});
    CHECK_FALSE(town.ask_one(request_for(Operation::lookup, "people", "user:nobody-here")));
    town.resolver_finds(town.outside.asked[0].first, ENOENT, {});
    const auto outcome = town.hear_one();
    REQUIRE(outcome);
    CHECK(outcome->error == ENOENT);
    CHECK(outcome->reason == Reason::system);
}

TEST_CASE("without a resolver a lookup is refused at once, and one that it does not answer at the deadline") {
    Town town({lookup_grant()});
    town.outside.error = EAGAIN;
    const auto refused = town.ask_one(request_for(Operation::lookup, "people", "user:a"));
    REQUIRE(refused);
    CHECK(refused->reason == Reason::unavailable);
    town.outside.error = 0;
    CHECK_FALSE(town.ask_one(request_for(Operation::lookup, "people", "user:b")));
    const Instant deadline = town.broker->next_deadline();
    CHECK(deadline == town.now + std::chrono::seconds(5));
    town.broker->run_due(deadline + std::chrono::seconds(1));
    const auto late = town.hear_one();
    REQUIRE(late);
    CHECK(late->error == ETIMEDOUT);
    CHECK(town.session().outstanding == 0);
    CHECK(town.broker->next_deadline() == Instant::never());
}

TEST_CASE("an ask that waits for one name after the other has one deadline, and what came until then") {
    Town town({lookup_grant()});
    const protocol::Request two[] = {request_for(Operation::lookup, "people", "user:a"), request_for(Operation::lookup, "people", "user:b")};
    CHECK_FALSE(town.ask(two));
    const Instant deadline = town.broker->next_deadline();
    town.now = town.now + std::chrono::seconds(4);
    town.resolver_finds(town.outside.asked[0].first, 0, "a:x:7:7::/:/\n");
    CHECK(town.session().outstanding == 1);
    CHECK(town.broker->next_deadline() == deadline);
    town.broker->run_due(deadline);
    const auto message = town.hear();
    REQUIRE(message);
    const auto outcomes = protocol::decode_answer(*message);
    REQUIRE(outcomes);
    CHECK(outcomes->at(0).text == "a:x:7:7::/:/\n");
    CHECK(outcomes->at(1).error == ETIMEDOUT);
    CHECK_FALSE(town.ask_one(request_for(Operation::lookup, "people", "user:b")));   // the question is still open
    CHECK(town.outside.asked.size() == 2);
}

TEST_CASE("what was found and does not fit into the reply is not said to be nothing") {
    Town town({lookup_grant()});
    const std::string long_line(20'000, 'x');
    std::vector<std::string> names;
    for (int i = 0; i < 3; ++i) names.push_back("user:u" + std::to_string(i));
    std::vector<protocol::Request> requests;
    for (const auto& name : names) requests.push_back(request_for(Operation::lookup, "people", name));
    CHECK_FALSE(town.ask(requests));
    for (const auto& [query, name] : std::vector(town.outside.asked)) town.resolver_finds(query, 0, long_line);
    const auto message = town.hear();
    REQUIRE(message);
    const auto outcomes = protocol::decode_answer(*message);
    REQUIRE(outcomes);
    CHECK(outcomes->at(1).text.size() == long_line.size());
    CHECK(outcomes->at(2).error == EMSGSIZE);
}

TEST_CASE("only the resolver may say what it found") {
    Town town({lookup_grant()});
    REQUIRE(town.pair.theirs.send(*protocol::encode_found(*town.buffer, RequestId{9}, {1, 0, "x"})));
    town.turn();
    CHECK(town.listener.broken == "a message of a type that workers do not send");
}

TEST_CASE("a connection by name goes to the address that was resolved for it, and to no other") {
    auto db = peer_grant("db", "tcp:db.example:5432");
    db.private_addresses = true;
    Town town({db, peer_grant("public", "tcp:db.example:5433")});
    town.openers.error = 0;
    CHECK_FALSE(town.ask_one(request_for(Operation::connect, "db")));
    REQUIRE(town.outside.asked.size() == 1);
    CHECK(town.outside.asked[0].second == "host:db.example");
    CHECK(town.openers.asked == 0);
    town.resolver_finds(town.outside.asked[0].first, 0, "127.0.0.1\n");
    REQUIRE(town.openers.items.size() == 1);
    CHECK(town.openers.items[0].task.operation == Operation::connect);
    CHECK(policy::format(town.openers.items[0].task.address).view() == "tcp:127.0.0.1:5432");
    protocol::Request second = request_for(Operation::connect, "db");
    second.argument = 1;
    const auto none = town.ask_one(second);
    REQUIRE(none);
    CHECK(none->error == EADDRNOTAVAIL);
    const auto rebound = town.ask_one(request_for(Operation::connect, "public"));
    REQUIRE(rebound);
    CHECK(rebound->reason == Reason::private_address);
    const auto elsewhere = town.ask_one(request_for(Operation::connect, "db", "tcp:127.0.0.1:22"));
    REQUIRE(elsewhere);
    CHECK(elsewhere->error == EACCES);
    CHECK(town.openers.asked == 1);
}

TEST_CASE("a grant of one use gives one, whatever else was asked for in the same message") {
    policy::Grant once = tree_grant("once", "/", {Operation::read});
    Town town({});
    once.path = town.folder.path;
    once.shape.uses = 1;
    CHECK(town.admit({once}).empty());
    const auto told = town.hear();   // that its other grant is gone
    REQUIRE(told);
    CHECK(told->type == protocol::Type::revoked);
    const auto then = town.hear();    // and that it has reason to look again at all of them
    REQUIRE(then);
    CHECK(then->type == protocol::Type::reload);
    const protocol::Request requests[] = {request_for(Operation::read, "once", "index.html"),
                                          request_for(Operation::read, "once", "index.html")};
    const auto both = town.ask(requests);
    REQUIRE(both);
    CHECK(both->at(0).error == 0);
    CHECK(both->at(1).reason == Reason::used_up);
    const auto gone = town.ask_one(request_for(Operation::read, "once", "index.html"));
    REQUIRE(gone);
    CHECK(gone->reason == Reason::used_up);
    CHECK_FALSE(gone->text.empty());
}

TEST_CASE("T41: a worker over its requests per second waits: what it asks is answered when its rate has room") {
    PrincipalSettings settings;
    settings.max_request_rate = 4;
    Town town({}, std::move(settings));
    town.now = monotonic_now();   // whose pauses are over by the clock
    for (int i = 0; i < 4; ++i) CHECK(town.read_page()->error == 0);
    const auto over = town.read_page();
    CHECK_FALSE(over);
    CHECK(town.session().resting);
    CHECK(town.listener.held > Duration::zero());
    CHECK(town.poller.wait(Duration::zero())->empty());   // what it sent does not wake anybody
    const std::size_t records = town.audit.size();
    town.now = town.now + std::chrono::seconds(2);
    std::optional<protocol::Outcome> late;
    for (int turns = 0; turns < 5 && !late; ++turns) {
        town.turn();
        if (auto outcome = town.hear_one()) late = *outcome;
    }
    REQUIRE(late);
    CHECK(late->error == 0);
    CHECK(town.audit.size() == records + 1);
    CHECK(town.listener.broken.empty());
}

TEST_CASE("T41: several at once that do not fit yet are kept whole, and answered once") {
    PrincipalSettings settings;
    settings.max_request_rate = 10;
    Town town({}, std::move(settings));
    town.now = monotonic_now();
    const std::vector<protocol::Request> eight(8, request_for(Operation::stat, "site", "index.html"));
    const auto first = town.ask(eight);
    REQUIRE(first);
    CHECK(first->at(7).error == 0);
    const auto message = protocol::encode_ask(*town.buffer, RequestId{9}, eight);
    REQUIRE(town.pair.theirs.send(*message));
    town.turn();
    CHECK_FALSE(town.hear());
    CHECK(town.session().resting);
    town.now = town.now + std::chrono::seconds(1);
    for (int turns = 0; turns < 3; ++turns) town.turn();
    const auto reply = town.hear();
    REQUIRE(reply);
    CHECK(reply->id == RequestId{9});
    CHECK(protocol::decode_answer(*reply)->at(7).error == 0);
    for (int turns = 0; turns < 3; ++turns) town.turn();
    CHECK_FALSE(town.hear());
    CHECK(town.broker->principal(Bench::worker)->allowed == 16);
}

TEST_CASE("T41: more at once than the worker's requests per second are refused at once, with one record") {
    PrincipalSettings settings;
    settings.max_request_rate = 10;
    Town town({}, std::move(settings));
    town.now = monotonic_now();
    const std::size_t records = town.audit.size();
    const std::vector<protocol::Request> many(200, request_for(Operation::read, "site", "index.html"));
    const auto outcomes = town.ask(many);
    REQUIRE(outcomes);
    REQUIRE(outcomes->size() == 200);
    CHECK(outcomes->at(0).reason == Reason::too_many);
    CHECK(outcomes->at(0).error == EDQUOT);
    CHECK(outcomes->at(0).text.find("max_request_rate") != std::string_view::npos);
    CHECK(outcomes->at(199).error == EDQUOT);
    REQUIRE(town.audit.size() == records + 1);
    CHECK(town.audit.at(records).kind == audit::Record::Kind::refusals);
    CHECK(town.audit.at(records).count == 200);
    CHECK(town.session().resting);   // it has cost what a second's requests cost
}

TEST_CASE("T41: what a worker says that is no request counts, too, and so does what its children ask") {
    PrincipalSettings settings;
    settings.max_request_rate = 5;
    Town town({}, std::move(settings));
    town.now = monotonic_now();
    for (int i = 0; i < 20; ++i) REQUIRE(town.pair.theirs.send(*protocol::encode_text(*town.buffer, protocol::Type::status, RequestId{5}, "x")));
    for (int turns = 0; turns < 20; ++turns) town.turn();
    int answered = 0;
    while (town.hear()) ++answered;
    CHECK(answered <= 5);
    CHECK(town.session().resting);
}

TEST_CASE("descriptors that the worker does not receive count against it until it does") {
    PrincipalSettings settings;
    settings.max_in_flight = 2;
    Town town({}, std::move(settings));
    const protocol::Request request = request_for(Operation::read, "site", "index.html");
    for (int i = 0; i < 3; ++i) {
        REQUIRE(town.pair.theirs.send(*protocol::encode_ask(*town.buffer, RequestId{9}, std::span(&request, 1))));
        town.turn();
    }
    CHECK(town.hear_one()->error == 0);
    CHECK(town.hear_one()->error == 0);
    const auto third = town.hear_one();
    REQUIRE(third);
    CHECK(third->error == EDQUOT);
    CHECK(town.fd_count == 0);
    CHECK(town.read_page()->error == 0);   // all was received: there is room again
}

TEST_CASE("T3: a message that is wider than its worker's quota passes alone, and only as far as there is to spare") {
    PrincipalSettings settings;
    settings.max_in_flight = 2;
    Town town({}, std::move(settings));
    const std::vector<protocol::Request> wide(5, request_for(Operation::read, "site", "index.html"));
    town.broker->set_spare_in_flight(2);
    CHECK(town.ask(wide)->at(0).error == EDQUOT);
    town.broker->set_spare_in_flight(3);
    CHECK(town.ask(wide)->at(4).error == 0);
}

TEST_CASE("T18: a grant that was narrowed stays so for this life, a reload included, and the next life has it whole") {
    Town town({});
    protocol::Request narrow = request_for(Operation::narrow, "site");
    narrow.argument = Operations{Operation::stat}.bits();
    REQUIRE(town.ask_one(narrow)->error == 0);
    const auto refused = town.read_page();
    REQUIRE(refused);
    CHECK(refused->reason == Reason::given_up);
    CHECK(town.ask_one(request_for(Operation::stat, "site", "index.html"))->error == 0);
    narrow.argument = ~std::uint64_t{0};   // asking for more gives nothing back
    CHECK(town.ask_one(narrow)->error == EINVAL);
    CHECK(town.read_page()->reason == Reason::given_up);
    CHECK(town.admit({tree_grant("site", town.folder.path, {Operation::read, Operation::stat})}).empty());
    CHECK(town.read_page()->reason == Reason::given_up);
    town.broker->end_session(Bench::worker);
    town.pair = make_channel_pair().value();
    REQUIRE(town.begin());
    REQUIRE(town.greet());
    CHECK(town.read_page()->error == 0);
}

TEST_CASE("T18: uses that were narrowed are no more after a reload") {
    policy::Grant once = tree_grant("few", "/", {Operation::stat});
    once.shape.uses = 3;
    Town town({});
    once.path = town.folder.path;
    const std::vector<policy::Grant> grants{once, tree_grant("site", town.folder.path, {Operation::read})};
    REQUIRE(town.admit(grants).empty());
    while (town.hear()) {}   // that they changed
    const auto look = [&] { return town.ask_one(request_for(Operation::stat, "few", "index.html")); };
    CHECK(look()->error == 0);
    CHECK(look()->error == 0);
    protocol::Request narrow = request_for(Operation::narrow, "few");
    narrow.argument = ~std::uint64_t{0};
    narrow.mode = 1'000'000;
    REQUIRE(town.ask_one(narrow)->error == 0);
    REQUIRE(town.admit(grants).empty());
    CHECK(look()->error == 0);
    CHECK(look()->reason == Reason::used_up);
}

TEST_CASE("a reload to what a worker has kept takes nothing from it") {
    Town town({});
    protocol::Request narrow = request_for(Operation::narrow, "site");
    narrow.argument = Operations{Operation::stat}.bits();
    REQUIRE(town.ask_one(narrow)->error == 0);
    CHECK(town.admit({tree_grant("site", town.folder.path, {Operation::stat})}).empty());
    while (town.hear()) {}   // that they changed
    CHECK(town.ask_one(request_for(Operation::stat, "site", "index.html"))->error == 0);
}

TEST_CASE("what an ask gave up before it had to wait is given up") {
    Town town({lookup_grant()});
    protocol::Request narrow = request_for(Operation::narrow, "site");
    narrow.argument = Operations{Operation::stat}.bits();
    const protocol::Request both[] = {narrow, request_for(Operation::lookup, "people", "user:web")};
    CHECK_FALSE(town.ask(both));
    town.resolver_finds(town.outside.asked.at(0).first, 0, "web:x:7:7::/:/\n");
    const auto message = town.hear();
    REQUIRE(message);
    CHECK(protocol::decode_answer(*message)->at(0).error == 0);
    CHECK(town.ask_one(narrow)->error == EINVAL);   // asked for once more
}

TEST_CASE("T18: what an ask has aimed at stays what it was, whatever the same ask narrows behind it") {
    constexpr std::string_view name = "a-name-that-lies-on-the-heap-for-sure";
    Town town({peer_grant("db", "unix:@" + std::string(name))});
    town.openers.error = 0;
    protocol::Request fewer = request_for(Operation::narrow, "db");
    fewer.argument = ~std::uint64_t{0};
    fewer.mode = 1000;
    REQUIRE(town.ask_one(fewer)->error == 0);
    fewer.mode = 999;
    std::vector<protocol::Request> requests{request_for(Operation::connect, "db"), fewer};
    const std::string other(name.size(), 'x');
    for (int i = 0; i < 4; ++i) {
        requests.push_back(request_for(Operation::narrow, "site"));
        requests.back().second = other;
    }
    CHECK_FALSE(town.ask(requests));
    REQUIRE(town.openers.items.size() == requests.size());
    CHECK(town.openers.items[0].task.address.name == name);
}

TEST_CASE("what failed here has its sentence and its use back although an opener does the rest") {
    policy::Grant once = tree_grant("once", "/", {Operation::read});
    once.shape.uses = 1;
    Town town({peer_grant("db", "unix:@database")});
    once.path = town.folder.path;
    REQUIRE(town.admit({once, peer_grant("db", "unix:@database"), tree_grant("site", "/", {Operation::read})}).empty());
    REQUIRE(::mkdir(town.folder.at("no-file").c_str(), 0755) == 0);
    town.openers.error = 0;
    const protocol::Request both[] = {request_for(Operation::read, "once", "no-file"), request_for(Operation::connect, "db")};
    CHECK_FALSE(town.ask(both));
    REQUIRE(town.openers.items.size() == 2);
    CHECK(town.openers.items[0].settled);
    CHECK(town.openers.items[0].outcome.error != 0);
    CHECK(town.openers.items[0].outcome.text.find("no-file") != std::string_view::npos);
    CHECK(town.session().allowances.used(GrantId{0}) == 0);
}

TEST_CASE("a secret that changes again and again is pushed once, and once more") {
    policy::Grant secret = file_grant("key", "/", {Operation::secret});
    secret.kind = policy::Kind::secret;
    Town town({});
    town.folder.write("key", "one", 0600);
    secret.path = town.folder.at("key");
    REQUIRE(town.broker->watch_rotations());
    REQUIRE(town.admit({secret, tree_grant("site", town.folder.path, {Operation::read})}).empty());
    town.openers.error = 0;
    CHECK_FALSE(town.ask_one(request_for(Operation::secret, "key")));   // an opener has it
    const std::vector<JobResult> done(1);
    town.broker->job_done(Bench::worker, town.session().generation, std::vector(town.openers.items), done, town.now);
    town.openers.asked = 0;
    for (int i = 0; i < 5; ++i) {
        town.folder.write("key", std::to_string(i), 0600);
        town.broker->handle_rotations(town.now);
    }
    CHECK(town.openers.asked == 1);
    CHECK(town.session().outstanding == 1);
    const auto items = town.openers.items;
    const auto finish = [&] {
        town.broker->job_done(Bench::worker, town.session().generation, items, done, town.now);
        if (town.broker->next_deadline() <= town.now) town.broker->run_due(town.now);
    };
    finish();
    CHECK(town.openers.asked == 2);
    finish();
    CHECK(town.openers.asked == 2);
    CHECK(town.session().outstanding == 0);
    CHECK(town.session().pushing.empty());
}

TEST_CASE("a worker cannot narrow for ever: what it gave up is remembered, and that has a bound") {
    Town town({});
    protocol::Request narrow = request_for(Operation::narrow, "site");
    narrow.argument = ~std::uint64_t{0};
    narrow.target = town.folder.path;
    for (std::size_t i = 0; i < max_session_narrowings; ++i) REQUIRE(town.ask_one(narrow)->error == 0);
    CHECK(town.ask_one(narrow)->error == EDQUOT);
}

TEST_CASE("another worker is signalled and restarted as the grant says, once") {
    Town town({worker_grant()});
    protocol::Request signal = request_for(Operation::signal, "parser");
    signal.argument = SIGHUP;
    CHECK(town.ask_one(signal)->error == 0);
    signal.argument = SIGKILL;
    CHECK(town.ask_one(signal)->error == EINVAL);
    CHECK(town.ask_one(request_for(Operation::restart, "parser"))->error == 0);
    CHECK(town.outside.reached == "signal parser 1;restart parser;");
    town.outside.error = ESRCH;
    CHECK(town.ask_one(request_for(Operation::restart, "parser"))->error == ESRCH);
}

TEST_CASE("T26: a command's argument stays one argument, and a command is asked for alone") {
    Town town({command_grant()});
    CHECK_FALSE(town.ask_one(request_for(Operation::run, "tell", "world")));   // the runner answers
    CHECK(town.outside.words == std::vector<std::string>{"/usr/bin/echo", "--to=world"});
    CHECK(town.session().outstanding == 1);
    town.broker->command_begun(Bench::worker, town.session().generation, {RequestId{2}, "tell", 0, true}, town.now);
    CHECK(town.session().outstanding == 0);
    for (const std::string_view value : {"a b", "a\nb", "-x", "$(id)", "a;b", ""}) {
        CAPTURE(value);
        const auto refused = town.ask_one(request_for(Operation::run, "tell", value));
        REQUIRE(refused);
        CHECK(refused->reason == Reason::bad_argument);
    }
    const protocol::Request two[] = {request_for(Operation::run, "tell", "world"), request_for(Operation::run, "tell", "world")};
    const auto together = town.ask(two);
    REQUIRE(together);
    CHECK(together->at(0).reason == Reason::bad_argument);
    CHECK(together->at(1).reason == Reason::bad_argument);
}

TEST_CASE("T3: what a command lends counts against what may be unread, from the moment it is asked for") {
    PrincipalSettings settings;
    settings.max_in_flight = 5;
    Town town({command_grant()}, std::move(settings));
    CHECK_FALSE(town.ask_one(request_for(Operation::run, "tell", "world")));
    CHECK(town.session().promised == 3);   // its output, its errors, its pidfd
    CHECK(town.ask_one(request_for(Operation::run, "tell", "world"))->reason == Reason::too_many);
    town.broker->command_begun(Bench::worker, town.session().generation, {RequestId{2}, "tell", 0, true, 3}, town.now);
    CHECK(town.session().promised == 0);
    CHECK(town.session().in_flight.bound() == 3);
    CHECK_FALSE(town.ask_one(request_for(Operation::run, "tell", "world")));   // nothing is unread in truth
    town.broker->command_begun(Bench::worker, town.session().generation, {RequestId{2}, "tell", ENOENT, true, 3}, town.now);
    CHECK(town.session().promised == 0);
    CHECK(town.session().in_flight.bound() == 0);
}

TEST_CASE("a command that the runner cannot take is refused, and what it would have used is not used") {
    policy::Grant command = command_grant();
    command.shape.uses = 1;
    Town town({command});
    town.outside.error = EDQUOT;
    CHECK(town.ask_one(request_for(Operation::run, "tell", "world"))->reason == Reason::too_many);
    town.outside.error = 0;
    CHECK_FALSE(town.ask_one(request_for(Operation::run, "tell", "world")));
    CHECK(town.session().outstanding == 1);
}

TEST_CASE("how a command ended is told to the life that ran it, later when its socket is full") {
    Town town({command_grant()});
    const std::uint32_t generation = town.session().generation;
    town.broker->command_ended(Bench::worker, generation + 1, {"tell", 1, 0, false, false}, town.now);
    std::uint64_t sent = 0;
    do {
        town.broker->command_ended(Bench::worker, generation, {"tell", 4711, static_cast<std::uint8_t>(sent++ & 63), true, true}, town.now);
    } while (town.session().untold.empty() && sent < 10'000);
    REQUIRE(town.session().untold.size() == 1);
    CHECK(town.broker->next_deadline() > town.now);
    CHECK(town.broker->next_deadline() < town.now + std::chrono::seconds(1));
    std::uint64_t heard = 0;
    const auto hear_all = [&] {
        for (;;) {
            const auto got = town.pair.theirs.receive(*town.buffer);
            if (!got || got->kind != Received::Kind::message) return;
            const auto message = protocol::decode(got->bytes).value();
            REQUIRE(message.type == protocol::Type::ended);
            const auto event = protocol::decode_event(message).value();
            CHECK(event.name == "tell");
            CHECK(event.value == (std::uint64_t{4711} << 32 | 0x300 | (heard++ & 63)));
        }
    };
    hear_all();
    CHECK(heard == sent - 1);
    town.broker->run_due(town.broker->next_deadline());
    hear_all();
    CHECK(heard == sent);
    CHECK(town.session().untold.empty());
    CHECK(town.broker->next_deadline() == Instant::never());
}

TEST_CASE("L2: a worker that does not read is put aside, costs no turn, and goes on where it was when it reads") {
    Town town({});
    const protocol::Request request = request_for(Operation::stat, "site", "index.html");
    const auto message = protocol::encode_ask(*town.buffer, RequestId{9}, std::span(&request, 1));
    std::vector<std::byte> bytes(message->begin(), message->end());
    int asked = 0;
    while (!town.session().clogged && asked < 10'000) {
        REQUIRE(town.pair.theirs.send(bytes));
        ++asked;
        town.turn();
    }
    REQUIRE(town.session().clogged);
    CHECK(town.poller.wait(Duration::zero())->empty());   // nothing is to be done for it
    int answered = 0;
    for (; answered < asked; ++answered) {
        const auto outcome = town.hear_one();
        if (!outcome) break;
        REQUIRE(outcome->error == 0);
        town.turn();
    }
    CHECK(answered == asked);
    CHECK_FALSE(town.session().clogged);
    CHECK(town.read_page()->error == 0);
}

namespace {

// Sends asks without reading an answer, until it is put aside; how many.
int clog(Bench& town, Bytes message) {
    const auto clogged = [&] { return town.broker->principal(Bench::worker)->session->clogged; };
    const std::vector<std::byte> bytes(message.begin(), message.end());
    int asked = 0;
    for (int i = 0; i < 10'000 && !clogged(); ++i) {
        if (town.pair.theirs.send(bytes)) ++asked;
        town.turn();
    }
    REQUIRE(clogged());
    return asked;
}

}  // namespace

TEST_CASE("what a worker waits for comes behind what it has not read, and nothing is lost") {
    Town town({lookup_grant()});
    for (const std::string_view name : {"user:a", "user:b"}) CHECK_FALSE(town.ask_one(request_for(Operation::lookup, "people", name)));
    const protocol::Request request = request_for(Operation::stat, "site", "index.html");
    const int asked = clog(town, *protocol::encode_ask(*town.buffer, RequestId{9}, std::span(&request, 1)));
    for (const auto& [query, name] : std::vector(town.outside.asked)) town.resolver_finds(query, 0, "x:x:7:7::/:/\n");
    CHECK(town.session().clogged);
    int looked = 0;
    int answered = 0;
    for (int i = 0; i < 10'000; ++i) {
        const auto outcome = town.hear_one();
        if (!outcome) break;
        REQUIRE(outcome->error == 0);
        ++(outcome->text == "x:x:7:7::/:/\n" ? looked : answered);
        town.turn();
    }
    CHECK(answered == asked);
    CHECK(looked == 2);
    CHECK_FALSE(town.session().clogged);
    CHECK(town.session().outstanding == 0);
    CHECK(town.listener.broken.empty());
    CHECK(town.read_page()->error == 0);
}

TEST_CASE("a worker that does not read its refusals is not within its quota for that") {
    PrincipalSettings settings;
    settings.max_request_rate = 10;
    Folder folder;
    folder.write("index.html", "hello");
    Bench town;
    REQUIRE(town.admit_with(std::move(settings), {tree_grant("site", folder.path, {Operation::stat})}).empty());
    REQUIRE(town.begin());
    REQUIRE(town.greet());
    const std::vector<protocol::Request> many(200, request_for(Operation::stat, "site", "index.html"));
    const auto message = protocol::encode_ask(*town.buffer, RequestId{9}, many);
    REQUIRE(message);
    const std::vector<std::byte> bytes(message->begin(), message->end());
    int asked = 0;
    int answered = 0;
    for (; asked < 10'000 && !town.broker->principal(Bench::worker)->session->clogged; ++asked) {
        REQUIRE(town.pair.theirs.send(bytes));
        for (int turns = 0; turns < 3; ++turns) town.turn();
        town.now = town.now + std::chrono::seconds(2);   // it has rested
    }
    for (; town.hear(); ++answered) {
        for (int turns = 0; turns < 3; ++turns) town.turn();
        town.now = town.now + std::chrono::seconds(2);
    }
    CHECK(answered == asked);
    CHECK(town.broker->principal(Bench::worker)->allowed == 0);
    CHECK(town.broker->principal(Bench::worker)->denied == 200 * static_cast<std::uint64_t>(asked));
}
