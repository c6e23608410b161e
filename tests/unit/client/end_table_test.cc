#include "client/end_table.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <thread>

using namespace warder::client;

namespace {

std::uint64_t ended(std::uint64_t pid, std::uint64_t code = 0) { return pid << 32 | code; }

}  // namespace

TEST_CASE("an end is taken once, by its pid") {
    const auto table = std::make_unique<EndTable>();
    CHECK(table->empty());
    table->record(ended(7, 3), "backup");
    table->record(ended(8, 4), std::string(63, 'n'));
    CHECK(!table->take(9));
    CHECK(table->take(8)->grant.view() == std::string(63, 'n'));
    const auto end = table->take(7);
    REQUIRE(end);
    CHECK(end->value == ended(7, 3));
    CHECK(end->grant.view() == "backup");
    CHECK(!table->take(7));
    CHECK(table->empty());
}

TEST_CASE("of two ends with one pid the newest is kept, and none for a command that begins") {
    const auto table = std::make_unique<EndTable>();
    table->record(ended(7, 1), "a");
    table->record(ended(7, 2), "b");
    CHECK(table->take(7)->value == ended(7, 2));
    CHECK(!table->take(7));
    table->record(ended(7, 3), "c");
    table->forget(7);
    CHECK(!table->take(7));
    CHECK(table->dropped() == 0);
}

TEST_CASE("a full table of ends drops the oldest and counts it") {
    const auto table = std::make_unique<EndTable>();
    for (std::uint64_t pid = 1; pid <= EndTable::capacity; ++pid) table->record(ended(pid), "a");
    CHECK(table->dropped() == 0);
    table->record(ended(5000), "a");
    CHECK(table->dropped() == 1);
    CHECK(!table->take(1));
    CHECK(table->take(2));
    table->record(ended(5001), "a");   // there is room again
    CHECK(table->dropped() == 1);
    CHECK(table->take(5000));
}

TEST_CASE("the oldest end comes first, and a value without a pid is none") {
    const auto table = std::make_unique<EndTable>();
    table->record(3, "no pid");
    CHECK(!table->take_oldest());
    for (std::uint64_t pid = 1; pid <= 1500; ++pid) {
        table->record(ended(pid), "a");
        CHECK(table->take_oldest()->value == ended(pid));
    }
    table->record(ended(1), "a");
    table->record(ended(2), "a");
    CHECK(table->take_oldest()->value == ended(1));
    CHECK(table->take_oldest()->value == ended(2));
}

TEST_CASE("each end is taken by one of many who try") {
    const auto table = std::make_unique<EndTable>();
    std::atomic<int> taken = 0;
    std::atomic<bool> over = false;
    const auto take = [&] {
        while (!over || !table->empty()) {
            if (table->take_oldest()) ++taken;
        }
    };
    std::thread one(take), another(take);
    for (std::uint64_t pid = 1; pid <= 5000; ++pid) table->record(ended(pid), "grant");
    over = true;
    one.join();
    another.join();
    CHECK(static_cast<std::uint64_t>(taken) + table->dropped() == 5000);
}
