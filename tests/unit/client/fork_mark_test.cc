#include "client/fork_mark.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

using warder::client::ForkMark;

namespace {

bool here_in_child(const ForkMark& mark) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(mark.here() ? 1 : 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WEXITSTATUS(status) == 1;
}

}  // namespace

TEST_CASE("a mark is here where it was set, and in no child") {
    ForkMark mark;
    CHECK(!mark.here());
    mark.set();
    CHECK(mark.here());
    CHECK(!here_in_child(mark));
    CHECK(mark.here());
}

TEST_CASE("a child that sets a mark of its own leaves its parent's alone") {
    ForkMark mark;
    mark.set();
    const pid_t child = ::fork();
    if (child == 0) {
        ForkMark own;
        own.set();
        ::_exit(own.here() && !mark.here() && !here_in_child(own) ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(mark.here());
}
