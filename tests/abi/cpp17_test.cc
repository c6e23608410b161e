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

TEST_CASE("a connection that cannot be made throws and leaves the descriptor alone") {
    int end = -1;
    peer* other = peer_start(PEER_NO_VERSION, &end);
    CHECK(error_of([&] { warder::Connection::over(end); }).code() == std::errc::protocol_not_supported);
    CHECK(::close(end) == 0);
    peer_end(other);
}
