#include "base/bytes.h"

#include <doctest/doctest.h>

#include <array>

using namespace warder;

TEST_CASE("what a writer puts a reader takes, in the same order") {
    std::array<std::byte, 32> buffer{};
    Writer writer(buffer);
    writer.put(std::uint32_t{0xdeadbeef});
    writer.put(std::uint16_t{7});
    writer.put_bytes(bytes_of("text"));
    REQUIRE(writer.ok());
    CHECK(writer.used() == 10);
    Reader reader(writer.written());
    CHECK(reader.take<std::uint32_t>() == 0xdeadbeef);
    CHECK(reader.take<std::uint16_t>() == 7);
    CHECK(text_of(reader.take_bytes(4)) == "text");
    CHECK(reader.ok());
    CHECK(reader.left().empty());
}

TEST_CASE("a reader that once failed stays failed and gives zeroes") {
    Reader reader(bytes_of("abc"));
    CHECK(reader.take<std::uint32_t>() == 0);
    CHECK_FALSE(reader.ok());
    CHECK(reader.take<std::uint8_t>() == 0);
    CHECK(reader.take_bytes(1).empty());
    CHECK(reader.left().empty());
}

TEST_CASE("T14: no length, however large, gets a reader past its end") {
    for (const std::size_t size : {std::size_t{4}, std::size_t{5}, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1}) {
        Reader reader(bytes_of("abc"));
        CHECK(reader.take_bytes(size).empty());
        CHECK_FALSE(reader.ok());
    }
    Reader exact(bytes_of("abc"));
    CHECK(exact.take_bytes(3).size() == 3);
    CHECK(exact.take_bytes(0).empty());
    CHECK(exact.ok());
}

TEST_CASE("a poisoned reader has nothing left") {
    Reader reader(bytes_of("abc"));
    reader.poison();
    CHECK_FALSE(reader.ok());
    CHECK(reader.left().empty());
}

TEST_CASE("a writer stops at its end, and then has written nothing") {
    std::array<std::byte, 4> buffer{};
    Writer writer(buffer);
    writer.put(std::uint16_t{1});
    writer.put(std::uint32_t{2});
    CHECK_FALSE(writer.ok());
    CHECK(writer.written().empty());
    writer.put(std::uint8_t{3});
    CHECK_FALSE(writer.ok());
}

TEST_CASE("a size can be written over afterwards, inside of what was put and nowhere else") {
    std::array<std::byte, 8> buffer{};
    Writer writer(buffer);
    writer.put(std::uint32_t{0});
    writer.put_at(0, std::uint32_t{9});
    REQUIRE(writer.ok());
    CHECK(Reader(writer.written()).take<std::uint32_t>() == 9);
    for (const std::size_t offset : {std::size_t{1}, std::size_t{4}, SIZE_MAX, SIZE_MAX - 3}) {
        Writer other(buffer);
        other.put(std::uint32_t{0});
        other.put_at(offset, std::uint32_t{9});
        CHECK_FALSE(other.ok());
    }
}
