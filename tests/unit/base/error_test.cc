#include "base/error.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

using namespace warder;

namespace {

Result<int> half(int value) {
    if (value % 2 != 0) return failure(EINVAL, "halving");
    return value / 2;
}

Result<int> quarter(int value) { return TRY(half(TRY(half(value)))); }

Result<void> check(int value) {
    TRY(half(value));
    return {};
}

Result<void> check_twice(int value) {
    TRY(check(value));
    TRY(check(value / 2));
    return {};
}

Result<std::unique_ptr<int>> boxed(int value) { return std::make_unique<int>(TRY(half(value))); }

}  // namespace

TEST_CASE("TRY gives the value, or returns the error") {
    CHECK(quarter(8).value() == 2);
    CHECK(quarter(6).error() == Error{EINVAL, "halving"});
    CHECK(check_twice(8).has_value());
    CHECK_FALSE(check_twice(6).has_value());
}

TEST_CASE("TRY moves what cannot be copied") {
    const auto take = []() -> Result<int> {
        const auto box = TRY(boxed(10));
        return *box;
    };
    CHECK(take().value() == 5);
}

TEST_CASE("a failure takes errno as it is, or as it is told") {
    errno = ENOENT;
    const Result<int> from_errno = failure("openat2");
    CHECK(from_errno.error().number == ENOENT);
    CHECK(std::string(from_errno.error().doing) == "openat2");
    const Result<int> told = failure(EPERM, "deciding");
    CHECK(told.error().number == EPERM);
}

TEST_CASE("an error is described by what was being done, in words and by name") {
    CHECK(describe({ENOENT, "openat2"}) == "openat2: No such file or directory (ENOENT)");
    CHECK(describe({4095, "x"}) == "x: unknown error (errno 4095)");
}

TEST_CASE("an errno has its symbolic name, or its number") {
    CHECK(std::string(errno_name(EAGAIN)) == "EAGAIN");
    CHECK(std::string(errno_name(4095)) == "errno 4095");
    CHECK(std::string(errno_name(-1)) == "errno -1");
}
