#include "broker/session.h"

#include <doctest/doctest.h>

using namespace warder;
using namespace warder::broker;

namespace {

Lent lent(std::uint32_t grant, std::uint64_t inode) { return {GrantId{grant}, Operation::read, 1, inode, {}, 0}; }

}  // namespace

TEST_CASE("one thing that is lent many times is one entry, and every time counts") {
    LentTable table;
    for (int i = 0; i < 100; ++i) table.note(lent(1, 5));
    CHECK(table.entries().size() == 1);
    CHECK(table.total() == 100);
}

TEST_CASE("a worker cannot make the table grow: the oldest give way") {
    LentTable table;
    for (std::uint64_t i = 0; i < LentTable::capacity + 2; ++i) table.note(lent(1, i));
    CHECK(table.entries().size() == LentTable::capacity);
    CHECK(table.entries()[0].inode == LentTable::capacity);
    CHECK(table.entries()[1].inode == LentTable::capacity + 1);
    CHECK(table.entries()[2].inode == 2);
}

TEST_CASE("after a reload entries go by the new numbers, and those of grants that are gone go") {
    LentTable table;
    for (std::uint32_t grant = 0; grant < 4; ++grant) table.note(lent(grant, grant));
    table.renumber([](GrantId id) { return number(id) < 2 ? GrantId::none : GrantId{number(id) - 2}; });
    REQUIRE(table.entries().size() == 2);
    CHECK(table.entries()[0].grant == GrantId{0});
    CHECK(table.entries()[0].inode == 2);
    CHECK(table.entries()[1].grant == GrantId{1});
    table.note(lent(0, 9));
    CHECK(table.entries().size() == 3);
}
