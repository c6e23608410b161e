// In children, so that nothing here changes this process or the machine.
#include "sys/user_namespace.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>

using namespace warder;

namespace {

// 0 if all went well, or the number of the step that did not.
int apart(const std::function<int()>& steps) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(steps());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 201;
}

bool write_to(const char* path, const char* text, std::size_t size) {
    const Fd file(::open(path, O_WRONLY | O_CLOEXEC));
    return file && ::write(file.get(), text, size) == static_cast<ssize_t>(size);
}

#define NEEDS_ROOT()                                        \
    do {                                                    \
        if (::geteuid() != 0) {                             \
            std::puts("skipped: other ids need root");      \
            return;                                         \
        }                                                   \
    } while (false)

}  // namespace

TEST_CASE("a user namespace that was made can be joined later: its ids are those of its maps, and groups are fixed") {
    NEEDS_ROOT();
    const auto made = make_user_namespace("0 64123 1\n1 100000 10\n", "5 64124 1\n");
    if (!made) {
        const int number = made.error().number;
        CHECK((number == ENOSPC || number == EPERM));
        return;
    }
    CHECK((::fcntl(made->get(), F_GETFD) & FD_CLOEXEC) != 0);
    for (int life = 0; life < 2; ++life) {
        CHECK(apart([&] {
            if (::setns(made->get(), CLONE_NEWUSER) != 0) return 1;
            if (::setgroups(0, nullptr) == 0 || errno != EPERM) return 2;
            if (::setresgid(5, 5, 5) != 0 || ::setresuid(0, 0, 0) != 0) return 3;
            if (::setresuid(7, 7, 7) != 0 || ::getuid() != 7) return 4;
            if (::setresuid(11, 11, 11) == 0 || errno != EINVAL) return 5;
            return 0;
        }) == 0);
    }
}

TEST_CASE("maps that overlap or name what is not there are refused, and no child is left behind") {
    NEEDS_ROOT();
    for (const char* map : {"0 64123 1\n1 64123 1\n", "0 64123 1\n0 64124 1\n", "nonsense", ""}) {
        CAPTURE(map);
        CHECK(apart([&] {
            if (make_user_namespace(map, "0 64123 1\n")) return 1;
            return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD ? 0 : 2;
        }) == 0);
    }
}

TEST_CASE("where there may be no more user namespaces, none is made") {
    NEEDS_ROOT();
    CHECK(apart([] {
        if (::unshare(CLONE_NEWUSER) != 0) return errno == ENOSPC || errno == EPERM ? 0 : 1;
        if (!write_to("/proc/self/setgroups", "deny", 4) || !write_to("/proc/self/uid_map", "0 0 1", 5) || !write_to("/proc/self/gid_map", "0 0 1", 5)) return 2;
        // The limit of this namespace alone, which ends with the child.
        if (!write_to("/proc/sys/user/max_user_namespaces", "0", 1)) return errno == EROFS ? 0 : 3;
        const auto made = make_user_namespace("0 0 1\n", "0 0 1\n");
        return !made && made.error().number == ENOSPC ? 0 : 4;
    }) == 0);
}
