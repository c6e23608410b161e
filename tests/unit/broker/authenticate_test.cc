#include "broker/authenticate.h"

#include <doctest/doctest.h>

using namespace warder;
using namespace warder::broker;

namespace {

Session session_of(Credentials who) {
    Session session;
    session.who = who;
    return session;
}

Received from(Credentials sender) {
    Received received;
    received.kind = Received::Kind::message;
    received.authenticated = true;
    received.sender = sender;
    return received;
}

constexpr Credentials main_process{100, 61001, 61002};

}  // namespace

TEST_CASE("the worker's own process may ask") {
    const PrincipalSettings settings;
    CHECK(identify_sender(settings, session_of(main_process), from(main_process)) == Sender::requester);
}

TEST_CASE("T9: without the kernel's word nobody is known, whatever the numbers say") {
    const PrincipalSettings settings;
    Received received = from(main_process);
    received.authenticated = false;
    CHECK(identify_sender(settings, session_of(main_process), received) == Sender::unknown);
}

TEST_CASE("T13: another pid, uid or gid is not the one that may ask") {
    const PrincipalSettings settings;
    const Session session = session_of(main_process);
    CHECK(identify_sender(settings, session, from({101, 61001, 61002})) == Sender::relative);
    CHECK(identify_sender(settings, session, from({100, 0, 61002})) == Sender::relative);
    CHECK(identify_sender(settings, session, from({100, 61001, 0})) == Sender::relative);
}

TEST_CASE("T4: under request_access = \"all\" a descendant without a pidfd, or a life without a cgroup, proves nothing") {
    PrincipalSettings settings;
    settings.requesters = protocol::Requesters::group;
    Session session = session_of(main_process);
    session.cgroup_id = 77;
    CHECK(identify_sender(settings, session, from({101, 61001, 61002})) == Sender::relative);
    session.cgroup_id = 0;
    CHECK(identify_sender(settings, session, from({101, 61001, 61002})) == Sender::relative);
    CHECK(identify_sender(settings, session, from({101, 61009, 61002})) == Sender::relative);
}
