#include "sys/namespaces.h"

#include <fcntl.h>
#include <sched.h>

#include <cstdlib>

#include "base/fixed_string.h"

namespace warder {
namespace {

Result<Fd> open_namespace(const char* path) {
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return failure("opening a namespace");
    return Fd(fd);
}

}  // namespace

Result<Fd> open_own_pid_namespace() { return open_namespace("/proc/self/ns/pid"); }

Result<Fd> open_mount_namespace(int child_pid) {
    FixedString<64> path("/proc/");
    path.append_number(static_cast<std::uint64_t>(child_pid)).append("/ns/mnt");
    return open_namespace(path.c_str());
}

Result<PidNamespaceScope> PidNamespaceScope::enter(int pidfd, const Fd& own_pid_namespace) {
    if (::setns(pidfd, CLONE_NEWPID) != 0) return failure("setns(CLONE_NEWPID)");
    return PidNamespaceScope(own_pid_namespace.get());
}

PidNamespaceScope::~PidNamespaceScope() {
    if (back_ >= 0 && ::setns(back_, CLONE_NEWPID) != 0) std::abort();
}

}  // namespace warder
