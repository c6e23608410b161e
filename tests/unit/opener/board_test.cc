#include "opener/board.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <vector>

using namespace warder;
using namespace warder::opener;

TEST_CASE("what an opener puts down is what warderd takes") {
    const Board board = Board::create().value();
    CHECK_FALSE(board.has(7));
    const pid_t child = ::fork();
    if (child == 0) {
        board.put(7, bytes_of("as it ended"));
        ::_exit(0);
    }
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    CHECK(board.has(7));
    CHECK_FALSE(board.has(6));
    std::array<std::byte, Board::room> into;
    CHECK(text_of(board.take(into)) == "as it ended");
}

TEST_CASE("a word is awaited for one job, and not for the next") {
    const Board board = Board::create().value();
    CHECK_FALSE(board.put(1, {}));
    board.await(2);
    CHECK(board.put(2, {}));
    CHECK_FALSE(board.put(3, {}));
}

TEST_CASE("a report that is too long, or claims to be, does not reach beyond the board") {
    const Board board = Board::create().value();
    const std::vector<std::byte> much(2 * Board::room);
    board.put(1, much);
    std::vector<std::byte> into(3 * Board::room);
    CHECK(board.take(into).size() == Board::room);
    std::array<std::byte, 4> little;
    CHECK(board.take(little).size() == little.size());
}

TEST_CASE("whoever is forked later does not have the board") {
    const Board board = Board::create().value();
    REQUIRE(board.withhold());
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGSEGV, SIG_DFL);
        board.put(1, {});   // ends it
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK_FALSE(board.has(1));
}
