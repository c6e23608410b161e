#include "ctl/table.h"

#include <doctest/doctest.h>

using namespace warder::ctl;

TEST_CASE("table: columns are aligned, by code points, and nothing stands behind the last word") {
    Table table({"NAME", "STATE", "PID"});
    table.add({"wéb", "ready", "1"});
    table.add({"parser", "up", ""});
    CHECK(table.render(Colors::off) ==
          "NAME    STATE  PID\n"
          "wéb     ready  1\n"
          "parser  up\n");
}

TEST_CASE("table: a column that nobody fills is left out") {
    Table table({"NAME", "MEMORY", "PID"});
    table.add({"web", "", "1"});
    CHECK(table.render(Colors::off) == "NAME  PID\nweb   1\n");
}

TEST_CASE("table: colours do not count as columns, and hostile cells cannot bring their own") {
    Table table({"A", "B"});
    table.add({Cell("x", Tint::bad), "y"});
    table.add({"\x1b[31m", "z"});
    CHECK(table.render(Colors::on) ==
          "\x1b[2mA\x1b[0m         \x1b[2mB\x1b[0m\n"
          "\x1b[31mx\x1b[0m         y\n"
          "\\x1b[31m  z\n");
}

TEST_CASE("table: a block has its names to the right, and no line for what is empty") {
    Block block;
    block.add("pid", "12");
    block.add("cgroup", "");
    block.add("status", "two\nlines");
    CHECK(block.render(Colors::off) ==
          "   pid: 12\n"
          "status: two\n"
          "        lines\n");
}

TEST_CASE("table: tints are off without colours and never wrap nothing") {
    CHECK(tinted("x", Tint::good, Colors::off) == "x");
    CHECK(tinted("x", Tint::plain, Colors::on) == "x");
    CHECK(tinted("", Tint::good, Colors::on) == "");
}
