// In a child with a mount namespace of its own, so that nothing here touches the host.
#include "sys/mounts.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>

using namespace warder;

namespace {

int seen(const char* path) { return ::open(path, O_PATH | O_CLOEXEC); }

// 0 if all went well, or the number of the step that did not.
int apart(const std::function<int()>& steps) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (::unshare(CLONE_NEWNS) != 0 || mounts::make_private() != 0) ::_exit(200);
        ::_exit(steps());
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 201;
}

unsigned long flags_of(const char* path) {
    struct statvfs status {};
    ::statvfs(path, &status);
    return status.f_flag;
}

#define NEEDS_ROOT()                              \
    do {                                          \
        if (::geteuid() != 0) {                   \
            std::puts("skipped: mounts need root"); \
            return;                               \
        }                                         \
    } while (false)

}  // namespace

TEST_CASE("a copied tree is nosuid and nodev, and read-only unless it is to be writable") {
    NEEDS_ROOT();
    CHECK(apart([] {
        const int place = ::open("/mnt", O_PATH | O_CLOEXEC);
        const int copy = mounts::copy_tree(seen("/usr"), mounts::Access::read_only, mounts::Devices::hidden);
        if (copy < 0 || mounts::attach(copy, place) != 0) return 1;
        if ((flags_of("/mnt") & (ST_RDONLY | ST_NOSUID | ST_NODEV)) != (ST_RDONLY | ST_NOSUID | ST_NODEV)) return 2;
        if (::access("/mnt/bin/env", F_OK) != 0) return 3;
        const int writable = mounts::copy_tree(seen("/run"), mounts::Access::writable, mounts::Devices::hidden);
        const int second = ::open("/srv", O_PATH | O_CLOEXEC);
        if (writable < 0 || mounts::attach(writable, second) != 0) return 4;
        if ((flags_of("/srv") & ST_RDONLY) != 0 || (flags_of("/srv") & ST_NOSUID) == 0) return 5;
        return 0;
    }) == 0);
    CHECK(mounts::copy_tree(-1, mounts::Access::read_only, mounts::Devices::hidden) == -EBADF);
}

TEST_CASE("a tmpfs becomes the root, read-only, with nothing of the old one left") {
    NEEDS_ROOT();
    CHECK(apart([] {
        const int root = mounts::make_tmpfs("1m", "0755");
        if (root < 0 || ::mkdirat(root, "made", 0755) != 0) return 1;
        const int place = ::open("/usr", O_PATH | O_CLOEXEC);
        if (mounts::attach(root, place) != 0 || ::fchdir(root) != 0) return 2;
        if (mounts::make_read_only(root) != 0 || mounts::become_root_of_namespace() != 0) return 3;
        if (::access("/made", F_OK) != 0 || ::access("/etc", F_OK) == 0) return 4;
        if (::mkdir("/more", 0755) == 0 || errno != EROFS) return 5;
        return 0;
    }) == 0);
}

TEST_CASE("places inside are found as if the root were ours, whatever links say") {
    NEEDS_ROOT();
    CHECK(apart([] {
        const int root = mounts::make_tmpfs("1m", "0755");
        if (root < 0 || ::mkdirat(root, "real", 0755) != 0 || ::symlinkat("/real", root, "link") != 0) return 1;
        if (::symlinkat("/etc", root, "out") != 0) return 2;
        if (mounts::open_inside(root, "link", mounts::Symlinks::followed) < 0) return 3;
        if (mounts::open_inside(root, "link", mounts::Symlinks::refused) != -ELOOP) return 6;
        if (mounts::open_inside(root, "real", mounts::Symlinks::refused) < 0) return 7;
        if (mounts::open_inside(root, "out", mounts::Symlinks::followed) != -ENOENT) return 4;
        if (mounts::open_inside(root, "../../etc", mounts::Symlinks::followed) != -ENOENT) return 5;
        return 0;
    }) == 0);
}
