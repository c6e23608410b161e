#include "supervise/snapshot.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <csignal>

using namespace warder;
using namespace warder::supervise;

TEST_CASE("ends are told in words") {
    CHECK(in_words({Exit::Kind::code, 3}) == "exit code 3");
    CHECK(in_words({Exit::Kind::code, 0, 0, true}) == "exit code 0 before it was ready");
    CHECK(in_words({Exit::Kind::signal, SIGKILL}) == "killed by SIGKILL");
    CHECK(in_words({Exit::Kind::signal, SIGRTMIN + 1}) == "killed by signal " + std::to_string(SIGRTMIN + 1));
    CHECK(in_words({Exit::Kind::setup, 4, ENOENT}) == "set-up failed: mounts: No such file or directory");
    CHECK(in_words({Exit::Kind::setup, 0, EMFILE}) == "set-up failed: Too many open files");
    CHECK(in_words({Exit::Kind::timeout}) == "not ready in time");
    CHECK(in_words({Exit::Kind::setup_timeout}) == "set-up took too long");
    CHECK(in_words({Exit::Kind::protocol}) == "broke the protocol");
    CHECK(in_words({Exit::Kind::sandbox}) == "its sandbox was not as planned");
    CHECK(in_words({Exit::Kind::unfit}) == "it cannot run on this machine");
}

TEST_CASE("a worker that waits says why and how long") {
    Life life;
    life.state = State::waiting;
    life.cause = Cause::policy;
    life.since = Instant{1'000'000'000};
    life.deadline = life.since + 200ms + 345us;
    CHECK(why_in_words(life, {}, "killed by SIGSEGV") == "killed by SIGSEGV; next start in 200ms");
}

TEST_CASE("a worker at its start limit says what the limit is and what happened last") {
    Life life;
    life.state = State::failed;
    life.cause = Cause::start_limit;
    CHECK(why_in_words(life, {}, "exit code 1") ==
          "start limit: 10 starts within 1min are allowed; last: exit code 1");
}

TEST_CASE("a failure that policy does not answer says so") {
    Life life;
    life.state = State::failed;
    life.cause = Cause::not_answered;
    CHECK(why_in_words(life, {}, "exit code 1") == "exit code 1, and the restart policy is never");
}

TEST_CASE("starts by persons and by policy are told apart") {
    Life life;
    life.state = State::starting;
    life.cause = Cause::asked;
    CHECK(why_in_words(life, {}, "") == "asked to start");
    life.cause = Cause::policy;
    life.restarts = 3;
    CHECK(why_in_words(life, {}, "") == "restart 3 by policy");
}

TEST_CASE("a stop says whether it was asked for, or what ended the life") {
    Life life;
    life.state = State::stopping;
    life.cause = Cause::asked;
    CHECK(why_in_words(life, {}, "exit code 0") == "asked to stop");
    life.restart_asked = true;
    CHECK(why_in_words(life, {}, "exit code 0") == "asked to restart");
    life.cause = Cause::ended;
    CHECK(why_in_words(life, {}, "exit code 1") == "exit code 1");
}
