#include "base/reason.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <set>
#include <string>

using namespace warder;

TEST_CASE("each reason has a name of its own") {
    std::set<std::string_view> names;
    for (std::uint16_t reason = 0; reason <= 19; ++reason) names.insert(name_of(static_cast<Reason>(reason)));
    CHECK(names.size() == 20);
    CHECK(name_of(Reason::not_granted) == "not-granted");
    CHECK(name_of(Reason::stopping) == "stopping");
}

TEST_CASE("each reason but ok and system goes with an errno") {
    CHECK(errno_of(Reason::ok) == 0);
    CHECK(errno_of(Reason::system) == 0);
    for (std::uint16_t reason = 1; reason <= 19; ++reason) {
        if (static_cast<Reason>(reason) != Reason::system) CHECK(errno_of(static_cast<Reason>(reason)) > 0);
    }
    CHECK(errno_of(Reason::bad_path) == EINVAL);
    CHECK(errno_of(Reason::would_block) == EAGAIN);
}

TEST_CASE("what failed was permitted, and what was denied was not") {
    for (const Reason failed : {Reason::system, Reason::deadline, Reason::would_block, Reason::unavailable, Reason::listener_lost}) {
        CHECK(failed_beyond_policy(failed));
    }
    for (const Reason denied : {Reason::ok, Reason::not_granted, Reason::wrong_operation, Reason::bad_path, Reason::too_many,
                                Reason::not_regular, Reason::given_up, Reason::not_requester}) {
        CHECK_FALSE(failed_beyond_policy(denied));
    }
}

TEST_CASE("T24: a grant that is not there and a path that is not granted give the same errno") {
    CHECK(errno_of(Reason::no_such_grant) == errno_of(Reason::not_granted));
    CHECK(errno_of(Reason::wrong_operation) == errno_of(Reason::not_granted));
    CHECK(errno_of(Reason::name_not_matched) == errno_of(Reason::not_granted));
}

TEST_CASE("T21: a reason that is not known has a name and an errno all the same") {
    for (const unsigned reason : {static_cast<unsigned>(Reason::private_address) + 1, 255U, 256U, 0xffffU}) {
        CHECK(name_of(static_cast<Reason>(reason)) == "unknown");
        CHECK(errno_of(static_cast<Reason>(reason)) == EPROTO);
    }
}
