#include "sandbox/id_map.h"

#include <doctest/doctest.h>

using namespace warder::sandbox;

TEST_CASE("a map has the worker's own number where it says so, and is in the order of the numbers inside") {
    const std::vector<IdRange> map = resolved({{1, 100000, 65536}, {0, own_id, 1}}, 64001);
    CHECK(map == std::vector<IdRange>{{0, 64001, 1}, {1, 100000, 65536}});
    CHECK(resolved({{own_id, own_id, 1}}, 64001) == std::vector<IdRange>{{64001, 64001, 1}});
    CHECK(text_of(map) == "0 64001 1\n1 100000 65536\n");
    CHECK(in_words(map) == "0:64001:1 1:100000:65536");
    CHECK(in_words({{own_id, own_id, 1}}) == "self:self:1");
    CHECK(in_words({}) == "none");
}

TEST_CASE("a number outside has one inside where a range covers it") {
    const std::vector<IdRange> map{{0, 64001, 1}, {1, 100000, 10}};
    CHECK(inside_of(map, 64001) == 0U);
    CHECK(inside_of(map, 100009) == 10U);
    for (const std::uint32_t stranger : {0U, 64000U, 64002U, 99999U, 100010U, own_id}) CHECK_FALSE(inside_of(map, stranger));
}

TEST_CASE("what the kernel tells of a map is read, and nothing else") {
    CHECK(parse_id_map("         0      64001          1\n         1     100000      65536\n") == std::vector<IdRange>{{0, 64001, 1}, {1, 100000, 65536}});
    CHECK(parse_id_map("") == std::vector<IdRange>{});
    for (const char* text : {"0 64001 1", "0 64001\n", "a 64001 1\n", "0 64001 1 2\n", "0 64001 4294967296\n", "\n"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_id_map(text));
    }
}
