#include "sys/capabilities.h"

#include <doctest/doctest.h>
#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace warder;

TEST_CASE("capabilities are told by their names, in any spelling") {
    CHECK_EQ(capabilities::name_of(CAP_SYS_ADMIN), "CAP_SYS_ADMIN");
    CHECK_EQ(capabilities::named("CAP_KILL"), CAP_KILL);
    CHECK_EQ(capabilities::named("net_bind_service"), CAP_NET_BIND_SERVICE);
    CHECK_FALSE(capabilities::named("CAP_EVERYTHING"));
    CHECK_FALSE(capabilities::named(""));
    CHECK_EQ(capabilities::in_words(0), "none");
    CHECK_EQ(capabilities::in_words(capabilities::bit(CAP_CHOWN) | capabilities::bit(CAP_KILL)), "CAP_CHOWN CAP_KILL");
}

TEST_CASE("what is dropped is gone from every set, and does not come back") {
    if (::geteuid() != 0) return;
    const pid_t child = ::fork();
    if (child == 0) {
        const capabilities::Set kept = capabilities::bit(CAP_KILL) | capabilities::bit(CAP_SETUID);
        const bool dropped = capabilities::keep_only(kept).has_value();
        const auto now = capabilities::held();
        const bool right = now && now->effective == kept && now->permitted == kept && now->bounding == kept &&
                           now->inheritable == 0 && now->ambient == 0;
        ::_exit(dropped && right ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
}

TEST_CASE("what this process has is a part of what the kernel knows") {
    const auto now = capabilities::held();
    REQUIRE(now);
    CHECK_EQ(now->permitted & ~capabilities::all(), 0);
    CHECK_EQ(now->effective & ~now->permitted, 0);
}
