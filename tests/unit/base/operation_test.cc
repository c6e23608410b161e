#include "base/operation.h"

#include <doctest/doctest.h>

using namespace warder;

TEST_CASE("each operation has one name, and is found by it") {
    for (std::uint16_t value = 1; value <= last_operation; ++value) {
        const auto operation = static_cast<Operation>(value);
        CHECK(known(operation));
        CHECK(operation_of(name_of(operation)) == operation);
    }
    CHECK_FALSE(operation_of("reed"));
    CHECK_FALSE(operation_of(""));
}

TEST_CASE("T21: an operation that is not known has no name and is in no set") {
    const Operations all{Operation::read,    Operation::write,  Operation::append, Operation::create, Operation::listen,
                         Operation::connect, Operation::secret, Operation::rename, Operation::unlink};
    for (const unsigned value : {0U, last_operation + 1U, 63U, 64U, 65U, 0xffffU}) {
        const auto operation = static_cast<Operation>(value);
        CHECK_FALSE(known(operation));
        CHECK(name_of(operation) == "unknown");
        CHECK_FALSE(all.has(operation));
    }
}

TEST_CASE("a set of operations has what was added and nothing else") {
    Operations rights{Operation::read};
    CHECK(rights.has(Operation::read));
    CHECK_FALSE(rights.has(Operation::write));
    rights.add(Operation::write);
    CHECK(rights == Operations{Operation::write, Operation::read});
    CHECK(Operations{}.empty());
}
