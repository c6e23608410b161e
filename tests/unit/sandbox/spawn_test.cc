#include "sandbox/spawn.h"

#include "cell.h"

using namespace cell;

TEST_CASE("a program runs in a whole cell") {
    NEEDS_ROOT();
    const auto outcome = run(plan_for({"/usr/bin/id"}));
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(outcome.failure.error == 0);
    CHECK_FALSE(outcome.ended.by_signal);
    CHECK(outcome.ended.value == 0);
    CHECK(outcome.text == "uid=64123(tester) gid=64123(tester) groups=64123(tester)\n");
}
