// warder.hpp from a file compiled as C++17, against the same peer as the C test.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <sys/wait.h>

#include <type_traits>

#include "peer.h"
#include "warder/warder.hpp"

static_assert(__cplusplus < 202000L, "this file is about C++17");
static_assert(!std::is_copy_constructible_v<warder::Connection> && std::is_nothrow_move_constructible_v<warder::Connection>);
static_assert(!std::is_copy_constructible_v<warder::Descriptor> && std::is_nothrow_move_assignable_v<warder::Descriptor>);
static_assert(std::is_base_of_v<std::system_error, warder::RequestError>);

namespace {

using namespace std::chrono_literals;

class Session {
public:
    explicit Session(peer_mode mode = PEER_MAIN) : other_(peer_start(mode, &end_)), connection_(warder::Connection::over(end_)) {}
    ~Session() { peer_end(other_); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    warder::Connection* operator->() { return &connection_; }
    warder::Connection& operator*() { return connection_; }
    peer* other() { return other_; }

private:
    int end_ = -1;
    peer* other_;
    warder::Connection connection_;
};

std::string contents(const warder::Descriptor& file) {
    char text[64];
    const ssize_t size = ::pread(file.get(), text, sizeof text, 0);
    return std::string(text, size > 0 ? static_cast<std::size_t>(size) : 0);
}

template <typename Call>
warder::RequestError error_of(Call call) {
    try {
        call();
    } catch (const warder::RequestError& error) {
        return error;
    }
    return warder::RequestError(0, "nothing was thrown", -1);
}

}  // namespace

TEST_CASE("a time of more than an int's milliseconds does not become for ever, nor the past") {
    Session parent;
    peer_send_event(parent.other(), 0x4004, "key", 1, 0);
    const auto event = parent->next_event(1000h);
    REQUIRE(event);
    CHECK(event->value == 1);
    peer_send_event(parent.other(), 0x4003, "parser", 1, 1);
    CHECK(parent->channel("parser", 1000h));
    warder::Process process;
    process.pid = 4711;
    peer_send_event(parent.other(), 0x4007, "backup", 4711UL << 32, 0);
    CHECK(parent->wait(process, std::chrono::hours(24 * 365 * 200)));
    peer_send_event(parent.other(), 0x4004, "key", 2, 0);
    CHECK(parent->next_event(std::chrono::milliseconds::min()));   // negative: for ever, not 0
}

TEST_CASE("a connection that was moved from has no name and refuses everything") {
    Session parent;
    warder::Connection taken = std::move(*parent);
    CHECK(taken.worker() == "tester");
    CHECK(parent->worker().empty());
    CHECK(error_of([&] { parent->open("echo", "a"); }).code().value() == EINVAL);
    CHECK(error_of([&] { parent->ready(); }).code().value() == EINVAL);
    CHECK(error_of([&] { parent->next_event(0ms); }).code().value() == EINVAL);
    CHECK(error_of([&] { parent->stored(); }).code().value() == EINVAL);
    CHECK(error_of([&] { parent->poll_descriptor(); }).code().value() == EINVAL);
    *parent = std::move(taken);
    CHECK(parent->worker() == "tester");
}

TEST_CASE("a descriptor is lent, moved and closed") {
    Session parent;
    CHECK(parent->worker() == "tester");
    warder::Descriptor file = parent->open("echo", "a/b");
    CHECK(contents(file) == "a/b");
    const int number = file.get();
    warder::Descriptor other = std::move(file);
    CHECK(!file);
    CHECK(other.get() == number);
    other.reset();
    CHECK(::fcntl(number, F_GETFD) == -1);
}

TEST_CASE("a denial throws its errno, its reason and its sentence") {
    Session parent;
    const auto error = error_of([&] { parent->open("denied", "x"); });
    CHECK(error.code() == std::errc::permission_denied);
    CHECK(error.reason() == WARDER_REASON_NOT_GRANTED);
    CHECK(std::string(error.what()).find("worker tester has no grant that covers this") != std::string::npos);
}

TEST_CASE("try_ gives nothing for a denial and throws when the session is over") {
    Session parent;
    CHECK(!parent->try_open("denied", "x"));
    CHECK(errno == EACCES);
    CHECK(!parent->try_open("absent", "x"));
    CHECK(errno == ENOENT);
    CHECK(contents(*parent->try_open("echo", "here")) == "here");
    CHECK(contents(*parent->try_dial("echo", "tcp:127.0.0.1:1")) == "tcp:127.0.0.1:1");
    CHECK(error_of([&] { (void)parent->try_open("close", "x"); }).code() == std::errc::connection_reset);
}

TEST_CASE("a name with a NUL in it is refused, not cut") {
    Session parent;
    const std::string path("allowed\0denied", 14);
    CHECK(error_of([&] { parent->open("echo", path); }).code() == std::errc::invalid_argument);
    CHECK(!parent->try_open("echo", path));
    CHECK(errno == EINVAL);
    CHECK(peer_messages(parent.other()) == 1);
}

TEST_CASE("many at once have an answer each") {
    Session parent;
    const auto answers = parent->ask({{WARDER_READ, "echo", "one", "", 0, 0}, {WARDER_READ, "denied", "two", "", 0, 0}});
    REQUIRE(answers.size() == 2);
    CHECK(contents(answers[0].descriptor) == "one");
    CHECK(answers[1].error == EACCES);
    CHECK(answers[1].why == "a denial of one among many");
    CHECK(error_of([&] { parent->ask({}); }).code() == std::errc::invalid_argument);
}

TEST_CASE("a secret is read whole") {
    Session parent;
    CHECK(parent->secret("echo").empty());
    CHECK(parent->secret_file("echo"));
}

TEST_CASE("ready, status and events") {
    Session parent;
    parent->ready("well");
    parent->status("still well");
    CHECK(error_of([&] { parent->status("refuse"); }).code().value() == EDQUOT);
    CHECK(!parent->next_event(0ms));
    peer_send_event(parent.other(), 0x4004, "key", 5, 1);
    const auto event = parent->next_event(5s);
    REQUIRE(event);
    CHECK(event->type == warder::Event::Type::secret);
    CHECK(event->name == "key");
    CHECK(event->value == 5);
    CHECK(contents(event->descriptor) == "key");
    CHECK(parent->poll_descriptor() >= 0);
}

namespace {

std::string last_request(peer* other) {
    char text[512];
    peer_last_request(other, text, sizeof text);
    return text;
}

}  // namespace

TEST_CASE("paths: each call is its request") {
    Session parent;
    const auto file = parent->stat("said", "a");
    CHECK(file.is_regular());
    CHECK(!file.is_directory());
    CHECK(file.size() == 6);
    CHECK(file.permissions() == 0640);
    CHECK(!parent->try_stat("absent", "a"));
    CHECK(error_of([&] { parent->try_stat("denied", "a"); }).code() == std::errc::permission_denied);
    CHECK(parent->access("said", "a", R_OK));
    CHECK(error_of([&] { parent->access("denied", "a", R_OK); }).reason() == WARDER_REASON_NOT_GRANTED);
    CHECK(parent->readlink("said", "a") == "12 0 0 0 said|a|");
    const std::string longer(400, 'a');
    CHECK(parent->readlink("said", longer) == "12 0 0 0 said|" + longer + "|");
    parent->mkdir("said", "a", 0750);
    CHECK(last_request(parent.other()) == "14 0 488 0 said|a|");
    parent->rmdir("said", "a");
    parent->link("said", "a", "b");
    CHECK(last_request(parent.other()) == "16 0 0 0 said|a|b");
    parent->symlink("said", "a", "b");
    parent->chmod("said", "a", 0600);
    parent->truncate("said", "a", 5);
    CHECK(last_request(parent.other()) == "19 0 0 5 said|a|");
    CHECK(contents(parent->watch("said", "a", 2)) == "20 0 0 2 said|a|");
}

TEST_CASE("a list is its entries, and what is none throws") {
    Session parent;
    const auto entries = parent->list("list");
    REQUIRE(entries.size() == 3);
    CHECK(entries[0].name == "a.txt");
    CHECK(entries[1].type == 'd');
    CHECK(entries[2].name == "\xff");
    CHECK(error_of([&] { parent->list("no-list"); }).code().value() == EPROTO);
}

TEST_CASE("sockets, devices, names, keys and other workers: each call is its request") {
    Session parent;
    CHECK(contents(parent->raw("said")) == "21 0 0 0 said||");
    CHECK(contents(parent->packet("said")) == "22 0 0 0 said||");
    CHECK(contents(parent->netlink("said")) == "23 0 0 0 said||");
    CHECK(contents(parent->syslog("said")) == "32 0 0 0 said||");
    CHECK(contents(parent->device("said", "/dev/x")) == "24 0 0 0 said|/dev/x|");
    CHECK(contents(parent->dial_nth("said", "tcp:a.b:1", 3)) == "6 0 0 3 said|tcp:a.b:1|");
    CHECK(parent->lookup("said", "user:web") == "26 0 0 0 said|user:web|");
    CHECK(parent->sysctl("said", "kernel.x") == "27 0 0 0 said|kernel.x|");
    parent->set_sysctl("said", "kernel.x", "");
    CHECK(last_request(parent.other()) == "28 0 0 0 said|kernel.x|");
    parent->signal("said", 1);
    parent->signal("said", 15, "web");
    CHECK(last_request(parent.other()) == "30 0 0 15 said|web|");
    parent->restart("said");
    warder::Narrowing kept;
    kept.names = "*.csv";
    parent->narrow("said", kept);
    CHECK(last_request(parent.other()) == "33 0 0 18446744073709551615 said||*.csv");
    parent->give_up("said");
    CHECK(last_request(parent.other()) == "33 0 0 0 said||");
    parent->found(7, 0, "192.0.2.1");
    parent->ready();
}

TEST_CASE("a command has the ends that its grant lends") {
    Session parent;
    const auto whole = parent->run("run-all", {"daily", "/srv"});
    CHECK(last_request(parent.other()) == "29 0 0 0 run-all|daily\n/srv|");
    CHECK(contents(whole.in) == "in");
    CHECK(contents(whole.pidfd) == "pidfd");
    CHECK(whole.pid == 4711);
    const auto some = parent->run("run-some");
    CHECK(!some.in);
    CHECK(contents(some.out) == "out");
    CHECK(error_of([&] { parent->run("run-all", {"a\nb"}); }).code() == std::errc::invalid_argument);
    auto answers = parent->ask({{WARDER_RUN, "run-all", "", "", 0, 0, 0, 0}});
    REQUIRE(answers[0].more.size() == 3);
    CHECK(contents(answers[0].more[2]) == "pidfd");
    answers = parent->ask({{WARDER_READLINK, "said", "a", "", 0, 0, 0, 100}});
    CHECK(answers[0].data == "12 0 0 0 said|a|");
    CHECK(answers[0].more.empty());
}

TEST_CASE("channels and the store") {
    Session parent;
    CHECK(!parent->channel("parser", 0ms));
    peer_send_event(parent.other(), 0x4003, "parser", 1, 1);
    CHECK(contents(*parent->channel("parser", 5s)) == "parser");
    CHECK(error_of([&] { parent->stored(); }).code().value() == ENOENT);
    int end = -1;
    descriptor_store* keeper = descriptor_store_start(&end);
    parent->use_store(end);
    CHECK(parent->stored().empty());
    const auto first = parent->open("echo", "one");
    const auto second = parent->open("echo", "two");
    parent->store("both", {first.get(), second.get()});
    REQUIRE(parent->stored().size() == 1);
    CHECK(parent->stored()[0].name == "both");
    CHECK(parent->stored()[0].count == 2);
    const auto back = parent->fetch("both");
    REQUIRE(back.size() == 2);
    CHECK(contents(back[1]) == "two");
    CHECK(error_of([&] { parent->fetch("both"); }).code() == std::errc::no_such_file_or_directory);
    descriptor_store_end(keeper);
}

TEST_CASE("a connection that cannot be made throws and leaves the descriptor alone") {
    int end = -1;
    peer* other = peer_start(PEER_NO_VERSION, &end);
    CHECK(error_of([&] { warder::Connection::over(end); }).code() == std::errc::protocol_not_supported);
    CHECK(::close(end) == 0);
    peer_end(other);
}
