#include "sandbox/stage.h"

#include <doctest/doctest.h>

#include <set>

using namespace warder::sandbox;

TEST_CASE("stages end with the exit numbers of systemd.exec") {
    CHECK(exit_status_of(Stage::directory) == 200);
    CHECK(exit_status_of(Stage::nice) == 201);
    CHECK(exit_status_of(Stage::descriptors) == 202);
    CHECK(exit_status_of(Stage::exec) == 203);
    CHECK(exit_status_of(Stage::limits) == 205);
    CHECK(exit_status_of(Stage::oom_score) == 206);
    CHECK(exit_status_of(Stage::group) == 216);
    CHECK(exit_status_of(Stage::user) == 217);
    CHECK(exit_status_of(Stage::capabilities) == 218);
    CHECK(exit_status_of(Stage::cgroup) == 219);
    CHECK(exit_status_of(Stage::network) == 225);
    CHECK(exit_status_of(Stage::mounts) == 226);
    CHECK(exit_status_of(Stage::no_new_privileges) == 227);
    CHECK(exit_status_of(Stage::seccomp) == 228);
    CHECK(exit_status_of(Stage::memory) == 204);
    CHECK(exit_status_of(Stage::standard_input) == 208);
    CHECK(exit_status_of(Stage::io_priority) == 211);
    CHECK(exit_status_of(Stage::secure_bits) == 213);
    CHECK(exit_status_of(Stage::scheduling) == 214);
    CHECK(exit_status_of(Stage::affinity) == 215);
    CHECK(exit_status_of(Stage::personality) == 230);
    CHECK(exit_status_of(Stage::keyring) == 237);
}

TEST_CASE("every stage has a name of its own, and a number that is no stage has none") {
    std::set<std::string_view> names;
    for (int number = 0; number <= static_cast<int>(Stage::evidence); ++number) {
        const auto stage = static_cast<Stage>(number);
        if (number == 21) continue;   // given up
        CHECK(name_of(stage) != "unknown");
        names.insert(name_of(stage));
        if (stage != Stage::none) CHECK(exit_status_of(stage) != 0);
    }
    CHECK(names.size() == 29);
    for (const int number : {21, 99}) {
        CHECK(name_of(static_cast<Stage>(number)) == "unknown");
        CHECK(exit_status_of(static_cast<Stage>(number)) == 1);
    }
}
