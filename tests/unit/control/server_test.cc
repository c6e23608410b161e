#include "control/server.h"

#include <doctest/doctest.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "control/command.h"
#include "protocol/codec.h"
#include "sys/channel.h"
#include "sys/poll_kind.h"
#include "unit/control/fake_operator.h"

using namespace warder;
using namespace warder::control;
using protocol::Verb;
using supervise::State;

namespace {

struct Directory {
    std::string path = "/tmp/warder-control-XXXXXX";
    Directory() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    ~Directory() {
        ::unlink((path + "/control.sock").c_str());
        ::rmdir(path.c_str());
    }
};

struct Operated {
    Directory directory;
    FakeOperator world;
    Poller poller = std::move(*Poller::create());
    Clock clock = Clock::read();
    std::string path = directory.path + "/control.sock";
    std::optional<Server> server;

    explicit Operated(Access access = Access::root_only(), gid_t group = 0) {
        auto made = Server::create({path, std::move(access), group}, world, poller);
        REQUIRE(made);
        server.emplace(std::move(*made));
    }

    // Handles what is ready, until there is nothing for 20 ms.
    void run() {
        for (int rounds = 0; rounds < 10000; ++rounds) {
            const auto events = poller.wait(std::chrono::milliseconds(20));
            REQUIRE(events);
            if (events->empty()) return;
            for (const auto& event : *events) {
                REQUIRE(is_of_control(event.tag.kind));
                server->handle(event, clock);
            }
        }
        FAIL("the server never comes to rest");
    }
};

Channel connect_to(const std::string& path) {
    Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    Channel channel(std::move(fd));
    REQUIRE(channel.pass_credentials());
    return channel;
}

std::uint16_t wait_flag() { return static_cast<std::uint16_t>(protocol::CommandFlag::wait); }

void send(Channel& channel, std::uint32_t id, const protocol::Command& command) {
    std::array<std::byte, 4096> buffer;
    const auto bytes = protocol::encode_command(buffer, static_cast<RequestId>(id), command);
    REQUIRE(bytes);
    REQUIRE(channel.send(*bytes));
}

struct Reply {
    std::uint32_t id = 0;
    int error = 0;
    std::string text;
    int parts = 0;
};

// One whole report, or nothing if none has come.
std::optional<Reply> take_reply(Channel& channel) {
    std::array<std::byte, max_message> buffer;
    Reply reply;
    while (true) {
        const auto received = channel.receive(buffer);
        REQUIRE(received);
        if (received->kind != Received::Kind::message) return std::nullopt;
        const auto message = protocol::decode(received->bytes);
        REQUIRE(message);
        const auto report = protocol::decode_report(*message);
        REQUIRE(report);
        reply.id = number(message->id);
        reply.error = report->error;
        reply.text += report->text;
        ++reply.parts;
        if (!report->more) return reply;
    }
}

bool is_closed(Channel& channel) {
    std::array<std::byte, max_message> buffer;
    const auto received = channel.receive(buffer);
    return received && received->kind == Received::Kind::closed;
}

Reply ask(Operated& operated, Channel& channel, const protocol::Command& command) {
    send(channel, 7, command);
    operated.run();
    auto reply = take_reply(channel);
    REQUIRE(reply);
    CHECK(reply->id == 7);
    return *reply;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::size_t open_descriptors() {
    std::size_t count = 0;
    DIR* directory = ::opendir("/proc/self/fd");
    while (::readdir(directory) != nullptr) ++count;
    ::closedir(directory);
    return count;
}

}  // namespace

TEST_CASE("server: each verb is asked of the operator and answered under its own name") {
    Operated operated;
    Channel client = connect_to(operated.path);
    const auto shape = [](std::string_view verb) { return "{\"warder\":1,\"verb\":\"" + std::string(verb) + "\""; };
    for (const Verb verb : {Verb::status, Verb::list, Verb::logs, Verb::check, Verb::version, Verb::reload, Verb::shutdown}) {
        const auto reply = ask(operated, client, {verb, 0, 0, {}, {}, {}});
        CHECK(reply.error == 0);
        CHECK(reply.text.starts_with(shape(name_of(verb))));
    }
    for (const Verb verb : {Verb::status, Verb::show, Verb::grants, Verb::fds, Verb::start, Verb::stop, Verb::restart}) {
        const auto reply = ask(operated, client, {verb, 0, 0, "web", {}, {}});
        CHECK(reply.error == 0);
        CHECK(reply.text.starts_with(shape(name_of(verb))));
        const auto unknown = ask(operated, client, {verb, 0, 0, "wbe", {}, {}});
        CHECK(unknown.error == ENOENT);
        CHECK(contains(unknown.text, "no worker"));
    }
    const auto why = ask(operated, client, {Verb::why, 0, 0, "web", "read", "/etc/shadow"});
    CHECK(contains(why.text, "\"target\":\"/etc/shadow\",\"verdict\":\"deny\""));
    CHECK(operated.world.done == std::vector<std::string>{"reload", "shutdown", "start web", "stop web", "restart web"});
}

TEST_CASE("server: every change is noted with who asked for it") {
    Operated operated;
    Channel client = connect_to(operated.path);
    ask(operated, client, {Verb::status, 0, 0, {}, {}, {}});
    CHECK(operated.world.notes.empty());
    ask(operated, client, {Verb::stop, 0, 0, "web", {}, {}});
    REQUIRE(operated.world.notes.size() == 1);
    CHECK(operated.world.notes[0] == "uid 0 (pid " + std::to_string(::getpid()) + "): stop web");
}

TEST_CASE("server: hello is answered with the version, and a foreign version with an error") {
    Operated operated;
    Channel client = connect_to(operated.path);
    std::array<std::byte, 256> buffer;
    std::array<std::byte, 4096> incoming;
    const std::pair<std::uint32_t, int> cases[] = {{1, 0}, {2, EPROTONOSUPPORT}};
    for (const auto& [version, error] : cases) {
        REQUIRE(client.send(*protocol::encode_hello(buffer, RequestId{5}, {version, version + 3, 0})));
        operated.run();
        const auto received = client.receive(incoming);
        REQUIRE(received->kind == Received::Kind::message);
        const auto reply = protocol::decode_hello_reply(*protocol::decode(received->bytes));
        CHECK(reply->error == error);
        CHECK(reply->version == 1);
    }
}

TEST_CASE("server: a start that waits is answered when the worker is ready, not before") {
    Operated operated;
    Channel client = connect_to(operated.path);
    send(client, 1, {Verb::start, wait_flag(), 0, "parser", {}, {}});
    send(client, 2, {Verb::status, 0, 0, {}, {}, {}});
    operated.run();
    CHECK(take_reply(client)->id == 2);   // other commands do not wait behind it
    CHECK_FALSE(take_reply(client));

    operated.world.at("parser").status = "warming up";
    operated.server->worker_changed("parser", operated.clock);
    CHECK_FALSE(take_reply(client));
    operated.world.at("parser").state = State::ready;
    operated.server->worker_changed("web", operated.clock);
    CHECK_FALSE(take_reply(client));
    operated.server->worker_changed("parser", operated.clock);
    const auto reply = take_reply(client);
    REQUIRE(reply);
    CHECK(reply->id == 1);
    CHECK(reply->error == 0);
    CHECK(contains(reply->text, "\"done\":true"));
    operated.server->worker_changed("parser", operated.clock);
    CHECK_FALSE(take_reply(client));
}

TEST_CASE("server: a start that waits tells of a worker that does not get ready, and when it is tried again") {
    Operated operated;
    Channel client = connect_to(operated.path);
    send(client, 1, {Verb::start, wait_flag(), 0, "parser", {}, {}});
    operated.run();
    auto& parser = operated.world.at("parser");
    parser.state = State::waiting;
    parser.last_exit = "exit code 3";
    parser.next_start = operated.clock.now + std::chrono::milliseconds(200);
    operated.server->worker_changed("parser", operated.clock);
    const auto reply = take_reply(client);
    REQUIRE(reply);
    CHECK(reply->error == EIO);
    CHECK(contains(reply->text, "parser did not get ready: exit code 3; tried again in 200ms"));
}

TEST_CASE("server: a stop that waits is over when the worker is down, or was started again by somebody else") {
    for (const State end : {State::stopped, State::failed, State::starting}) {
        Operated operated;
        Channel client = connect_to(operated.path);
        send(client, 1, {Verb::stop, wait_flag(), 0, "web", {}, {}});
        operated.run();
        CHECK_FALSE(take_reply(client));
        auto& web = operated.world.at("web");
        web.state = end;
        if (end == State::starting) web.desired = supervise::Desired::up;
        operated.server->worker_changed("web", operated.clock);
        const auto reply = take_reply(client);
        REQUIRE(reply);
        CHECK(reply->error == (end == State::starting ? EAGAIN : 0));
    }
}

TEST_CASE("server: a restart that waits passes through stopping and starting until ready") {
    Operated operated;
    Channel client = connect_to(operated.path);
    send(client, 1, {Verb::restart, wait_flag(), 0, "web", {}, {}});
    operated.run();
    for (const State passing : {State::stopped, State::starting}) {
        operated.world.at("web").state = passing;
        operated.server->worker_changed("web", operated.clock);
        CHECK_FALSE(take_reply(client));
    }
    operated.world.at("web").state = State::ready;
    operated.server->worker_changed("web", operated.clock);
    CHECK(take_reply(client)->error == 0);
}

TEST_CASE("server: what is reached at once is answered at once, wait or not") {
    Operated operated;
    operated.world.at("parser").state = State::stopped;
    Channel client = connect_to(operated.path);
    const auto unwaited = ask(operated, client, {Verb::stop, 0, 0, "web", {}, {}});
    CHECK(contains(unwaited.text, "\"done\":false"));
}

TEST_CASE("server: those who wait for a worker that a reload removes are told") {
    Operated operated;
    Channel client = connect_to(operated.path);
    send(client, 1, {Verb::start, wait_flag(), 0, "parser", {}, {}});
    operated.run();
    operated.world.all.pop_back();
    operated.server->worker_changed("parser", operated.clock);
    CHECK(take_reply(client)->error == ENOENT);
}

TEST_CASE("server: a connection that waits and goes away is forgotten") {
    Operated operated;
    {
        Channel client = connect_to(operated.path);
        send(client, 1, {Verb::start, wait_flag(), 0, "parser", {}, {}});
        operated.run();
        CHECK(operated.server->clients() == 1);
    }
    operated.run();
    CHECK(operated.server->clients() == 0);
    operated.world.at("parser").state = State::ready;
    operated.server->worker_changed("parser", operated.clock);
}

TEST_CASE("server: a reload that finds errors is an error with the report") {
    Operated operated;
    operated.world.reload_is_good = false;
    Channel client = connect_to(operated.path);
    const auto reply = ask(operated, client, {Verb::reload, 0, 0, {}, "plan", {}});
    CHECK(reply.error == EINVAL);
    CHECK(contains(reply.text, "\"problems\":[]"));
    CHECK(operated.world.done == std::vector<std::string>{"plan"});
}

TEST_CASE("server: a large report comes in parts that join to one text") {
    Operated operated;
    operated.world.grant_count = 3000;
    Channel client = connect_to(operated.path);
    send(client, 1, {Verb::grants, 0, 0, "web", {}, {}});
    std::string text;
    int parts = 0;
    for (bool more = true; more;) {
        operated.run();
        std::array<std::byte, max_message> buffer;
        const auto received = client.receive(buffer);
        REQUIRE(received->kind == Received::Kind::message);
        const auto report = protocol::decode_report(*protocol::decode(received->bytes));
        text += report->text;
        more = report->more;
        ++parts;
    }
    CHECK(parts > 8);
    CHECK(text == grants_json("web", std::vector<GrantReport>(3000)));
}

TEST_CASE("server: hostile bytes end their own connection and disturb nobody (T20, T21)") {
    Operated operated;
    Channel good = connect_to(operated.path);
    ask(operated, good, {Verb::list, 0, 0, {}, {}, {}});
    const std::size_t descriptors = open_descriptors();

    std::vector<std::vector<std::byte>> attacks;
    attacks.emplace_back();   // zero length (T15)
    attacks.emplace_back(1, std::byte{0xff});
    attacks.emplace_back(16, std::byte{0});
    attacks.emplace_back(16, std::byte{0xff});
    attacks.emplace_back(max_message, std::byte{0x41});
    attacks.emplace_back(max_message + 4096, std::byte{0});   // longer than any message
    std::array<std::byte, 256> buffer;
    const auto valid = protocol::encode_command(buffer, RequestId{1}, {Verb::list, 0, 0, "w", "a", "s"});
    REQUIRE(valid);
    for (std::size_t at = 0; at < 16 + 32; ++at) {   // each byte of header and body made large, then cut short there
        std::vector<std::byte> changed(valid->begin(), valid->end());
        changed[at] ^= std::byte{0xf0};
        attacks.push_back(changed);
        changed.assign(valid->begin(), valid->begin() + static_cast<std::ptrdiff_t>(at));
        attacks.push_back(changed);
    }
    std::mt19937 random(20);
    for (int i = 0; i < 200; ++i) {
        std::vector<std::byte> noise(random() % 300);
        for (auto& byte : noise) byte = static_cast<std::byte>(random());
        attacks.push_back(noise);
    }
    for (const auto& attack : attacks) {
        Channel hostile = connect_to(operated.path);
        ::send(hostile.get(), attack.data(), attack.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        operated.run();
        CHECK(operated.world.done.empty());
    }
    operated.run();
    CHECK(operated.server->clients() == 1);
    CHECK(open_descriptors() == descriptors);
    CHECK(ask(operated, good, {Verb::list, 0, 0, {}, {}, {}}).error == 0);
}

TEST_CASE("server: a message that is no command, or that has no kernel's word, ends the connection") {
    Operated operated;
    std::array<std::byte, 256> buffer;
    for (const auto type : {protocol::Type::ready, protocol::Type::status}) {
        Channel client = connect_to(operated.path);
        REQUIRE(client.send(*protocol::encode_text(buffer, type, RequestId{1}, "x")));
        operated.run();
        CHECK(is_closed(client));
    }
    CHECK(operated.server->clients() == 0);
    CHECK(contains(operated.world.notes.back(), "a message that is no command"));
}

TEST_CASE("server: descriptors sent to it stay the sender's (T1)") {
    Operated operated;
    const std::size_t before = open_descriptors();
    {
        Channel client = connect_to(operated.path);
        std::array<std::byte, 256> buffer;
        const auto bytes = protocol::encode_command(buffer, RequestId{1}, {Verb::list, 0, 0, {}, {}, {}});
        // Before accept and after it: the first goes to a connection that warderd has not seen yet.
        const std::array<int, 2> fds{0, 1};
        const auto early = client.send(*bytes, fds);
        operated.run();
        const auto late = client.send(*bytes, fds);
        operated.run();
        CHECK((!early || operated.server->clients() == 0));
        CHECK((!late || operated.server->clients() == 0));
    }
    operated.run();
    CHECK(open_descriptors() == before);
}

TEST_CASE("server: a client that never reads is not read from either, and is dropped when its time is over") {
    Operated operated;
    operated.world.grant_count = 3000;
    Channel lazy = connect_to(operated.path);
    Channel good = connect_to(operated.path);
    for (int i = 0; i < 50; ++i) {
        std::array<std::byte, 256> buffer;
        const auto bytes = protocol::encode_command(buffer, RequestId{1}, {Verb::grants, 0, 0, "web", {}, {}});
        if (!lazy.send(*bytes)) break;
    }
    operated.run();   // comes to rest: no spinning on a socket that has no room
    CHECK(operated.server->clients() == 2);
    CHECK(ask(operated, good, {Verb::list, 0, 0, {}, {}, {}}).error == 0);

    operated.clock.now = operated.clock.now + (patience - std::chrono::milliseconds(1));
    operated.server->handle({{static_cast<std::uint8_t>(PollKind::control_timer), 0, 0}, true, false, false}, operated.clock);
    CHECK(operated.server->clients() == 2);
    operated.clock.now = operated.clock.now + std::chrono::milliseconds(1);
    operated.server->handle({{static_cast<std::uint8_t>(PollKind::control_timer), 0, 0}, true, false, false}, operated.clock);
    CHECK(operated.server->clients() == 1);
    CHECK(ask(operated, good, {Verb::list, 0, 0, {}, {}, {}}).error == 0);
}

TEST_CASE("server: a client that waits for much and reads nothing is dropped when its queue is full") {
    Operated operated;
    operated.world.at("parser").status = std::string(4000, 'x');
    Channel lazy = connect_to(operated.path);
    for (std::uint32_t i = 0; i < 900; ++i) {
        send(lazy, i, {Verb::start, wait_flag(), 0, "parser", {}, {}});
        if (i % 50 == 0) operated.run();
    }
    operated.run();
    CHECK(operated.server->clients() == 1);
    operated.world.at("parser").state = State::ready;
    operated.server->worker_changed("parser", operated.clock);
    CHECK(operated.server->clients() == 0);
}

TEST_CASE("server: commands that wait are counted, and too many are refused") {
    Operated operated;
    Channel client = connect_to(operated.path);
    for (std::uint32_t i = 0; i < max_waiting; ++i) {
        send(client, i, {Verb::start, wait_flag(), 0, "parser", {}, {}});
        if (i % 50 == 0) operated.run();
    }
    operated.run();
    CHECK_FALSE(take_reply(client));
    CHECK(ask(operated, client, {Verb::start, wait_flag(), 0, "parser", {}, {}}).error == EDQUOT);
}

TEST_CASE("server: one idle connection too many ends the one that was idle longest, never a busy one") {
    Operated operated;
    std::vector<Channel> clients;
    for (std::size_t i = 0; i < max_clients; ++i) {
        clients.push_back(connect_to(operated.path));
        operated.clock.now = operated.clock.now + std::chrono::milliseconds(1);
        operated.run();
    }
    send(clients[0], 1, {Verb::start, wait_flag(), 0, "parser", {}, {}});   // the oldest is busy
    operated.run();
    Channel newest = connect_to(operated.path);
    CHECK(ask(operated, newest, {Verb::list, 0, 0, {}, {}, {}}).error == 0);
    CHECK(operated.server->clients() == max_clients);
    CHECK_FALSE(is_closed(clients[0]));
    CHECK(is_closed(clients[1]));
    CHECK_FALSE(is_closed(clients[2]));
}

TEST_CASE("server: a stranger's commands are refused in words, and nothing is done") {
    Access nobody;
    nobody.users = {64990};
    nobody.group_name = "warder";
    Operated operated(nobody);
    Channel client = connect_to(operated.path);
    for (const Verb verb : {Verb::stop, Verb::status, static_cast<Verb>(99)}) {
        const auto reply = ask(operated, client, {verb, 0, 0, "web", {}, {}});
        CHECK(reply.error == EACCES);
        CHECK(contains(reply.text, "uid 0 may not " + name_of(verb)));
    }
    CHECK(operated.world.done.empty());
    operated.server->set_access(Access::root_only());
    CHECK(ask(operated, client, {Verb::status, 0, 0, "web", {}, {}}).error == 0);
}

TEST_CASE("server: a connection handed to another user is worth nothing to that user") {
    Operated operated;
    Channel client = connect_to(operated.path);
    const pid_t pid = ::fork();
    if (pid == 0) {
        if (::setresgid(64991, 64991, 64991) != 0 || ::setresuid(64990, 64990, 64990) != 0) ::_exit(1);
        std::array<std::byte, 256> buffer;
        const auto bytes = protocol::encode_command(buffer, RequestId{1}, {Verb::shutdown, 0, 0, {}, {}, {}});
        ::_exit(client.send(*bytes) ? 0 : 2);
    }
    int status = -1;
    ::waitpid(pid, &status, 0);
    CHECK(status == 0);
    operated.run();
    CHECK(operated.world.done.empty());
    CHECK(is_closed(client));
    CHECK(contains(operated.world.notes.back(), "a message of another user"));
}

TEST_CASE("server: the socket belongs to root and the group, and to nobody else") {
    Operated with_group(Access::root_and(64992, "warder"), 64992);
    struct stat found{};
    REQUIRE(::stat(with_group.path.c_str(), &found) == 0);
    CHECK(found.st_gid == 64992);
    CHECK((found.st_mode & 07777) == 0660);
    Operated alone;
    REQUIRE(::stat(alone.path.c_str(), &found) == 0);
    CHECK((found.st_mode & 07777) == 0600);
}

TEST_CASE("server: a socket left over is replaced, one that answers is not, and another kind of file never") {
    Operated operated;
    CHECK(Server::create({operated.path, {}, 0}, operated.world, operated.poller).error().number == EADDRINUSE);
    operated.server.reset();   // as after a crash: the name stays
    struct stat found{};
    CHECK(::stat(operated.path.c_str(), &found) == 0);
    auto again = Server::create({operated.path, {}, 0}, operated.world, operated.poller);
    REQUIRE(again);
    again->close();
    CHECK(::stat(operated.path.c_str(), &found) != 0);
    const Fd file(::open(operated.path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK(Server::create({operated.path, {}, 0}, operated.world, operated.poller).error().number == EEXIST);
    const std::string too_long(200, 'x');
    CHECK(Server::create({"/tmp/" + too_long, {}, 0}, operated.world, operated.poller).error().number == ENAMETOOLONG);
}

TEST_CASE("server: at rest no timer is armed, and events of a connection that has gone find nothing") {
    Operated operated;
    { Channel client = connect_to(operated.path); }
    operated.run();
    CHECK(operated.server->clients() == 0);
    operated.server->handle({{static_cast<std::uint8_t>(PollKind::control_client), 0, 1}, true, true, true}, operated.clock);
    operated.server->handle({{static_cast<std::uint8_t>(PollKind::control_client), 9999, 1}, true, true, true}, operated.clock);
    const auto events = operated.poller.wait(std::chrono::milliseconds(50));
    REQUIRE(events);
    CHECK(events->empty());
}
