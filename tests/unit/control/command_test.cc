#include "control/command.h"

#include <doctest/doctest.h>

#include <cerrno>

using namespace warder;
using namespace warder::control;
using protocol::Command;
using protocol::Verb;

namespace {

Command command(Verb verb, std::string_view worker = {}, std::string_view argument = {}, std::string_view second = {}) {
    return {verb, 0, 0, worker, argument, second};
}

int error_of(const Answer<Order>& answer) { return answer ? 0 : answer.error().error; }

}  // namespace

TEST_CASE("command: status and logs are of one worker or of all") {
    for (const Verb verb : {Verb::status, Verb::logs, Verb::sockets, Verb::store, Verb::security}) {
        CHECK(understand(command(verb))->worker == "");
        CHECK(understand(command(verb, "web"))->worker == "web");
    }
}

TEST_CASE("command: verbs about one worker need its name, others take none") {
    for (const Verb verb : {Verb::show, Verb::start, Verb::stop, Verb::restart, Verb::grants, Verb::fds, Verb::forget}) {
        CHECK(error_of(understand(command(verb))) == EINVAL);
        CHECK(understand(command(verb, "web"))->worker == "web");
    }
    for (const Verb verb : {Verb::list, Verb::reload, Verb::check, Verb::version, Verb::shutdown}) {
        CHECK(error_of(understand(command(verb, "web"))) == EINVAL);
        CHECK(understand(command(verb)));
    }
}

TEST_CASE("command: why needs a known operation, and takes words and flags") {
    const auto order = understand(command(Verb::why, "web", "read", "/etc/shadow"));
    REQUIRE(order);
    CHECK(order->question.operation == Operation::read);
    CHECK(order->question.words == std::vector<std::string>{"/etc/shadow"});
    const auto two = understand(command(Verb::why, "web", "rename", std::string_view("a\0b c", 5)));
    REQUIRE(two);
    CHECK(two->question.words == std::vector<std::string>{"a", "b c"});
    CHECK(understand(command(Verb::why, "web", "raw"))->question.words.empty());
    Command flagged = command(Verb::why, "web", "write", "/a");
    flagged.number = 2;
    CHECK(understand(flagged)->question.flags == 2);
    flagged.number = 16;
    CHECK(error_of(understand(flagged)) == EINVAL);
    const auto unknown = understand(command(Verb::why, "web", "reed", "/etc/shadow"));
    CHECK(error_of(unknown) == EINVAL);
    CHECK(unknown.error().sentence.find("read, write, append") != std::string::npos);
}

TEST_CASE("command: a signal has a name, with SIG or without, or a number") {
    const auto signal = [](std::string_view word) { return understand(command(Verb::signal, "web", word)); };
    CHECK(signal("HUP")->signal == 1);
    CHECK(signal("SIGHUP")->signal == 1);
    CHECK(signal("10")->signal == 10);
    CHECK(signal("64")->signal == 64);
    for (const char* word : {"", "hup", "HUPP", "0", "65", "-1", "1x", "SIG", "SIG1x", "99999999999"}) CHECK_MESSAGE(error_of(signal(word)) == EINVAL, word);
    CHECK(signal("HUPP").error().sentence.find("a name of signal(7)") != std::string::npos);
    CHECK(error_of(understand(command(Verb::signal, "", "HUP"))) == EINVAL);
    CHECK(error_of(understand(command(Verb::signal, "web", "HUP", "more"))) == EINVAL);
    CHECK(understand(command(Verb::stop, "web"))->signal == 0);
}

TEST_CASE("command: only start, stop and restart can wait") {
    for (int number = 1; number <= 16; ++number) {
        const auto verb = static_cast<Verb>(number);
        Command one = command(verb, "web", "read", "/a");
        if (verb != Verb::why) one.argument = one.second = {};
        if (verb == Verb::list || verb == Verb::reload || (number >= 12 && number <= 14)) one.worker = {};
        CHECK_MESSAGE(understand(one), name_of(verb));
        one.flags = static_cast<std::uint16_t>(protocol::CommandFlag::wait);
        const bool waits = verb == Verb::start || verb == Verb::stop || verb == Verb::restart;
        CHECK_MESSAGE(understand(one).has_value() == waits, name_of(verb));
    }
}

TEST_CASE("command: unknown flags, numbers and surplus arguments are refused, so that they can mean something later") {
    Command flagged = command(Verb::start, "web");
    flagged.flags = 2;
    CHECK(error_of(understand(flagged)) == EINVAL);
    Command numbered = command(Verb::status);
    numbered.number = 1;
    CHECK(error_of(understand(numbered)) == EINVAL);
    CHECK(error_of(understand(command(Verb::status, "web", "x"))) == EINVAL);
    CHECK(error_of(understand(command(Verb::start, "web", {}, "x"))) == EINVAL);
    CHECK(error_of(understand(command(Verb::reload, {}, "plane"))) == EINVAL);
    CHECK(error_of(understand(command(Verb::reload, {}, "plan", "x"))) == EINVAL);
}

TEST_CASE("command: reload applies unless it is asked for a plan") {
    CHECK(understand(command(Verb::reload))->reload == ReloadMode::apply);
    CHECK(understand(command(Verb::reload, {}, "plan"))->reload == ReloadMode::plan);
}

TEST_CASE("command: a verb of a newer warderctl is refused by its number") {
    for (const int number : {0, 20, 99, 65535}) {
        const auto answer = understand(command(static_cast<Verb>(number), "web"));
        CHECK(error_of(answer) == ENOSYS);
        CHECK(answer.error().sentence == "this warderd does not know verb " + std::to_string(number));
    }
}
