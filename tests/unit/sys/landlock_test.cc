#include "sys/landlock.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <functional>

using namespace warder;

namespace {

// In a child that may read /usr and nothing else: the errno of `attempt`.
int confined(const std::function<long()>& attempt) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        const int ruleset = landlock::create_ruleset(landlock::all_of(landlock::abi()));
        const int usr = ::open("/usr", O_PATH | O_CLOEXEC);
        if (landlock::allow_beneath(ruleset, usr, landlock::read_file | landlock::read_dir) != 0) ::_exit(253);
        if (landlock::restrict_self(ruleset) != 0) ::_exit(254);
        const long result = attempt();
        ::_exit(result < 0 ? errno : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

#define NEEDS_ABI(least)                                                             \
    do {                                                                             \
        if (landlock::abi() < (least)) {                                             \
            std::puts("skipped: this kernel's Landlock is older than ABI " #least);  \
            return;                                                                  \
        }                                                                            \
    } while (false)

}  // namespace

TEST_CASE("each ABI restricts what it knows, and no more") {
    CHECK(landlock::all_of(0).files == 0);
    CHECK(landlock::all_of(1).files == 0x1fff);
    CHECK(landlock::all_of(2).files == 0x3fff);
    CHECK(landlock::all_of(3).files == 0x7fff);
    CHECK(landlock::all_of(3).net == 0);
    CHECK(landlock::all_of(4).net == 3);
    CHECK(landlock::all_of(5).files == 0xffff);
    CHECK(landlock::all_of(5).scoped == 0);
    CHECK(landlock::all_of(6).scoped == 3);
    CHECK(landlock::all_of(7).files == 0xffff);
    CHECK(landlock::all_of(8).files == 0xffff);
    CHECK(landlock::all_of(99).files == 0x1ffff);
}

TEST_CASE("every ABI up to the kernel's makes a ruleset") {
    for (int abi = 1; abi <= landlock::abi(); ++abi) {
        CAPTURE(abi);
        const int ruleset = landlock::create_ruleset(landlock::all_of(abi));
        CHECK(ruleset >= 0);
        ::close(ruleset);
    }
    CHECK(landlock::create_ruleset({}) < 0);
}

TEST_CASE("only what was allowed can be opened") {
    NEEDS_ABI(1);
    CHECK(confined([] { return ::open("/usr/bin/env", O_RDONLY); }) == 0);
    CHECK(confined([] { return ::open("/usr/bin/env", O_WRONLY); }) == EACCES);
    CHECK(confined([] { return ::open("/etc/passwd", O_RDONLY); }) == EACCES);
    CHECK(confined([] { return ::execl("/usr/bin/env", "env", "true", nullptr); }) == EACCES);
}

TEST_CASE("rights of directories are left out for a file") {
    NEEDS_ABI(1);
    const int ruleset = landlock::create_ruleset(landlock::all_of(landlock::abi()));
    const int file = ::open("/etc/passwd", O_PATH | O_CLOEXEC);
    CHECK(landlock::allow_beneath(ruleset, file, landlock::read_file | landlock::read_dir | landlock::make_reg) == 0);
    CHECK(landlock::allow_beneath(ruleset, file, landlock::read_dir) == 0);
    CHECK(landlock::allow_beneath(ruleset, -1, landlock::read_dir) == EBADF);
    ::close(file);
    ::close(ruleset);
}

TEST_CASE("tcp is neither bound nor connected") {
    NEEDS_ABI(4);
    const auto reach = [](auto operation) {
        return [operation] {
            const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_port = htons(1);
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            return static_cast<long>(operation(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
        };
    };
    CHECK(confined(reach(::connect)) == EACCES);
    CHECK(confined(reach(::bind)) == EACCES);
}

TEST_CASE("D12: signals and abstract sockets stay inside") {
    NEEDS_ABI(6);
    CHECK(confined([] { return ::kill(::getppid(), 0); }) == EPERM);
    CHECK(confined([] { return ::kill(::getpid(), 0); }) == 0);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socklen_t size = sizeof(sa_family_t);   // the kernel picks an abstract name
    REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener, 1) == 0);
    size = sizeof address;
    REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    CHECK(confined([&] {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        return static_cast<long>(::connect(fd, reinterpret_cast<const sockaddr*>(&address), size));
    }) == EPERM);
    ::close(listener);
}
