#include "audit/ring.h"

#include <doctest/doctest.h>

#include <string>

using namespace warder::audit;

namespace {

bool put(Ring& ring, int number) {
    Record* record = ring.push();
    if (record == nullptr) return false;
    *record = Record{};
    record->pid = number;
    return true;
}

}  // namespace

TEST_CASE("records come out in the order they went in, around the end of the ring too") {
    Ring ring(4);
    int in = 0;
    int out = 0;
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < 3; ++i) REQUIRE(put(ring, in++));
        for (std::size_t i = 0; i < ring.size(); ++i) CHECK(ring.at(i).pid == out + static_cast<int>(i));
        out += static_cast<int>(ring.size());
        ring.pop(ring.size());
    }
    CHECK(ring.empty());
}

TEST_CASE("a full ring drops the newest") {
    Ring ring(2);
    CHECK(put(ring, 1));
    CHECK(put(ring, 2));
    CHECK_FALSE(put(ring, 3));
    CHECK(ring.at(0).pid == 1);
    CHECK(ring.at(1).pid == 2);
    ring.pop(2);
    CHECK(ring.empty());
    CHECK(put(ring, 5));
}

TEST_CASE("T41: an account that floods gets half of the ring, two get two thirds, and who is quiet finds a place") {
    Ring ring(90);
    ring.make_room_for(4);
    int first = 0;
    int second = 0;
    while (ring.push(1) != nullptr) ++first;
    CHECK(first == 45);
    while (ring.push(2) != nullptr) ++second;
    CHECK(second == 23);
    CHECK(ring.push(3) != nullptr);
    CHECK(ring.push() != nullptr);   // warderd's own
    ring.pop(45);                    // what is written gives its place back to whose it was
    CHECK(ring.push(1) != nullptr);
}

TEST_CASE("a ring presses from half full") {
    Ring ring(4);
    put(ring, 1);
    CHECK_FALSE(ring.pressing());
    put(ring, 2);
    CHECK(ring.pressing());
}
