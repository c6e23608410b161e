#include "supervise/output.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

using namespace warder;
using namespace warder::supervise;

namespace {

struct Pipe {
    Fd reading;
    Fd writing;
    Pipe() {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        reading = Fd(ends[0]);
        writing = Fd(ends[1]);
    }
};

// Everything that a run can make of the open file that it has.
void spoil(int fd) {
    REQUIRE(::fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND | O_DIRECT) == 0);
    ::fcntl(fd, F_SETOWN, ::getpid());
    ::fcntl(fd, F_SETSIG, SIGUSR1);
}

// open(2) adds O_LARGEFILE, which glibc has as 0.
int flags_of(int fd) {
    constexpr int large_file = 0100000;
    return ::fcntl(fd, F_GETFL) & ~large_file;
}

}  // namespace

TEST_CASE("T48: what a run makes of the flags and the size of its output is not for the next") {
    Pipe pipe;
    const int size = ::fcntl(pipe.writing.get(), F_GETPIPE_SZ);
    const int flags = flags_of(pipe.writing.get());
    Output output(std::move(pipe.writing));
    {
        const Fd first = output.for_next_run();
        REQUIRE(first);
        CHECK(flags_of(first.get()) == flags);
        spoil(first.get());
        REQUIRE(::fcntl(first.get(), F_SETPIPE_SZ, 4096) == 4096);
        CHECK(flags_of(output.number()) == flags);
    }
    const Fd second = output.for_next_run();
    REQUIRE(second);
    CHECK(flags_of(second.get()) == flags);
    CHECK(::fcntl(second.get(), F_GETOWN) == 0);
    CHECK(::fcntl(second.get(), F_GETSIG) == 0);
    CHECK(::fcntl(second.get(), F_GETPIPE_SZ) == size);
    REQUIRE(::write(second.get(), "x", 1) == 1);
    char byte = 0;
    CHECK(::read(pipe.reading.get(), &byte, 1) == 1);
}

TEST_CASE("T48: a pipe that nobody reads keeps no run from beginning") {
    Pipe pipe;
    Output output(std::move(pipe.writing));
    pipe.reading.reset();
    (void)output.for_next_run();   // which does not wait; a pipe of no name may be opened even so
    CHECK(output.number() >= 0);
}

TEST_CASE("T48: a file is written to at one place by all, and is put back as it was") {
    char name[] = "/tmp/warder-output-XXXXXX";
    Fd file(::mkstemp(name));
    REQUIRE(file);
    const int flags = ::fcntl(file.get(), F_GETFL);
    Output output(std::move(file));
    CHECK_FALSE(output.for_next_run());
    REQUIRE(::fcntl(output.number(), F_SETFL, O_NONBLOCK | O_APPEND) == 0);
    REQUIRE(::fcntl(output.number(), F_SETOWN, ::getpid()) == 0);
    REQUIRE(::fcntl(output.number(), F_SETSIG, SIGUSR1) == 0);
    CHECK_FALSE(output.for_next_run());
    CHECK(::fcntl(output.number(), F_GETFL) == flags);
    CHECK(::fcntl(output.number(), F_GETOWN) == 0);
    CHECK(::fcntl(output.number(), F_GETSIG) == 0);
    ::unlink(name);
}

TEST_CASE("no output is none for each run") {
    Output none;
    CHECK_FALSE(none.for_next_run());
    CHECK(none.number() == -1);
}
