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
    board.open(7);
    CHECK_FALSE(board.has(7));
    const pid_t child = ::fork();
    if (child == 0) {
        if (board.claim(7, bytes_of("as it ended"))) board.answered(7);
        ::_exit(0);
    }
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    CHECK(board.has(7));
    CHECK_FALSE(board.is_unanswered(7));
    CHECK_FALSE(board.is_over(7));
    CHECK_FALSE(board.has(6));
    std::array<std::byte, Board::room> into;
    CHECK(text_of(board.take(into)) == "as it ended");
}

TEST_CASE("T50: a job is either answered or withdrawn, and never both") {
    const Board board = Board::create().value();
    board.open(1);
    CHECK(board.withdraw(1));
    CHECK_FALSE(board.claim(1, bytes_of("late")));
    board.answered(1);
    CHECK_FALSE(board.has(1));
    board.open(2);
    REQUIRE(board.claim(2, bytes_of("sent")));
    CHECK_FALSE(board.withdraw(2));
    CHECK_FALSE(board.has(2));   // its sender may be alive, and not done
    board.answered(2);
    CHECK(board.has(2));
    CHECK_FALSE(board.withdraw(2));
    board.open(3);
    CHECK_FALSE(board.is_open(2));   // what was left behind by another is none of this one's
    REQUIRE(board.claim(3, bytes_of("tried")));
    board.unclaim(3);
    CHECK(board.withdraw(3));
    board.unanswered(3, bytes_of("not sent"));
    CHECK_FALSE(board.has(3));
}

TEST_CASE("what could not be sent says so, with what is true then") {
    const Board board = Board::create().value();
    board.open(4);
    REQUIRE(board.claim(4, bytes_of("lent")));
    board.unclaim(4);
    board.unanswered(4, bytes_of("not lent"));
    CHECK(board.has(4));
    CHECK(board.is_unanswered(4));
    std::array<std::byte, Board::room> into;
    CHECK(text_of(board.take(into)) == "not lent");
}

TEST_CASE("a word is awaited for one job, and not for the next") {
    const Board board = Board::create().value();
    CHECK_FALSE(board.over(1, 0));
    board.await(2);
    CHECK(board.over(2, 5));
    CHECK(board.is_over(2));
    CHECK(board.spent() == 5);
    CHECK_FALSE(board.over(3, 0));
}

TEST_CASE("a report that is too long, or claims to be, does not reach beyond the board") {
    const Board board = Board::create().value();
    const std::vector<std::byte> much(2 * Board::room);
    board.open(1);
    REQUIRE(board.claim(1, much));
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
        board.over(1, 0);   // ends it
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK_FALSE(board.is_over(1));
}
