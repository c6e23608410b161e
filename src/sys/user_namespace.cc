#include "sys/user_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/process.h"

namespace warder {
namespace {

Result<void> write_text(const char* path, const std::string& text) {
    const Fd file(::open(path, O_WRONLY | O_CLOEXEC));
    if (!file || ::write(file.get(), text.data(), text.size()) < 0) return failure(path);
    return {};
}

std::string only(unsigned id) { return std::to_string(id) + " " + std::to_string(id) + " 1\n"; }

// In a child, which leaves nothing behind.
Result<void> try_mount_namespace() {
    const Cloned child = TRY(clone_process(0, -1));
    if (child.pid == 0) ::_exit(::unshare(CLONE_NEWNS) == 0 ? 0 : 1);
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED) != 0) return failure("waitid");
    if (info.si_code != CLD_EXITED || info.si_status != 0) return failure(EACCES, "making namespaces in a user namespace");
    return {};
}

}  // namespace

// The kernel lets an ordinary user map its own gid only after supplementary groups were given up as something to change.
Result<void> enter_user_namespace() {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    if (::unshare(CLONE_NEWUSER) != 0) return failure("unshare(CLONE_NEWUSER)");
    TRY(write_text("/proc/self/uid_map", only(uid)));
    TRY(write_text("/proc/self/setgroups", "deny"));
    TRY(write_text("/proc/self/gid_map", only(gid)));
    return try_mount_namespace();
}

std::string explain_no_user_namespace(const Error& error) {
    const std::string text = "no user namespace for an ordinary user: " + describe(error) + "; ";
    switch (error.number) {
        case ENOSPC: return text + "root can raise user.max_user_namespaces (sysctl)";
        case EPERM:
            return text + "root can set kernel.unprivileged_userns_clone = 1 where that sysctl is, and a container has to be started with a "
                          "seccomp profile that lets unshare(2) through";
        case EACCES:
            return text + "AppArmor gives no rights in it: root can set kernel.apparmor_restrict_unprivileged_userns = 0, or give warderd a "
                          "profile with \"userns,\"";
        default: return text + "the kernel may lack CONFIG_USER_NS";
    }
}

}  // namespace warder
