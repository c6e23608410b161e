#include "sys/account.h"

#include <doctest/doctest.h>

using namespace warder;

TEST_CASE("root is found by name and by number") {
    const auto by_name = find_user("root");
    REQUIRE(by_name);
    CHECK(by_name->uid == 0);
    CHECK(by_name->gid == 0);
    CHECK(find_user(0) == by_name);
    CHECK(user_name(0) == "root");
    CHECK(group_name(0) == "root");
    CHECK(find_group("root") == gid_t{0});
}

TEST_CASE("the own group is not among the supplementary ones") {
    const auto user = find_user("root");
    REQUIRE(user);
    for (const gid_t group : user->groups) CHECK(group != user->gid);
}

TEST_CASE("who does not exist is ENOENT, and keeps a number for a name") {
    const auto user = find_user("no-such-user-here");
    REQUIRE_FALSE(user);
    CHECK(user.error().number == ENOENT);
    const auto group = find_group("no-such-group-here");
    REQUIRE_FALSE(group);
    CHECK(group.error().number == ENOENT);
    CHECK_FALSE(find_user(uid_t{64998}));
    CHECK(user_name(64998) == "64998");
    CHECK(group_name(64998) == "64998");
}
