#include "sys/fd.h"

#include <doctest/doctest.h>
#include <fcntl.h>

using namespace warder;

namespace {

Fd some_fd() { return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }
bool is_open(int number) { return ::fcntl(number, F_GETFD) >= 0; }

}  // namespace

TEST_CASE("a descriptor is closed when its owner goes") {
    int number = -1;
    {
        const Fd fd = some_fd();
        number = fd.get();
        REQUIRE(is_open(number));
    }
    CHECK_FALSE(is_open(number));
}

TEST_CASE("a descriptor that is moved has one owner, and the one it replaces is closed") {
    Fd first = some_fd();
    Fd second = some_fd();
    const int kept = first.get();
    const int replaced = second.get();
    second = std::move(first);
    CHECK(second.get() == kept);
    CHECK_FALSE(static_cast<bool>(first));
    CHECK(is_open(kept));
    CHECK_FALSE(is_open(replaced));
    Fd& itself = second;
    second = std::move(itself);
    CHECK(second.get() == kept);
    CHECK(is_open(kept));
}

TEST_CASE("a descriptor that is given away is not closed") {
    int number = -1;
    {
        Fd fd = some_fd();
        number = fd.release();
        CHECK_FALSE(static_cast<bool>(fd));
    }
    CHECK(is_open(number));
    const Fd again(number);
}

TEST_CASE("a second descriptor is close-on-exec, above the standard three, and outlives the first") {
    Fd first = some_fd();
    const auto second = first.duplicate();
    REQUIRE(second);
    CHECK(second->get() > 2);
    CHECK((::fcntl(second->get(), F_GETFD) & FD_CLOEXEC) != 0);
    first.reset();
    CHECK(is_open(second->get()));
    const auto none = first.duplicate();
    REQUIRE_FALSE(none);
    CHECK(none.error().number == EBADF);
}
