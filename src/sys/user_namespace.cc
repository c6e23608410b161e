#include "sys/user_namespace.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/process.h"

namespace warder {
namespace {

// `name` is a file of the process's directory, and a literal: an Error keeps it.
Result<void> write_text(const std::string& process, const char* name, const std::string& text) {
    const Fd file(::open((process + name).c_str(), O_WRONLY | O_CLOEXEC));
    if (!file || ::write(file.get(), text.data(), text.size()) < 0) return failure(name + 1);
    return {};
}

std::string only(unsigned id) { return std::to_string(id) + " " + std::to_string(id) + " 1\n"; }

// Until it is killed. A parent that dies takes it along.
[[noreturn]] void hold_open() {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::poll(nullptr, 0, -1);
}

Result<Fd> fill_and_open(const std::string& process, const std::string& uid_map, const std::string& gid_map) {
    TRY(write_text(process, "/setgroups", "deny"));
    TRY(write_text(process, "/uid_map", uid_map));
    TRY(write_text(process, "/gid_map", gid_map));
    Fd made(::open((process + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
    if (!made) return failure("opening a user namespace");
    return made;
}

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
    TRY(write_text("/proc/self", "/uid_map", only(uid)));
    TRY(write_text("/proc/self", "/setgroups", "deny"));
    TRY(write_text("/proc/self", "/gid_map", only(gid)));
    return try_mount_namespace();
}

// The child is in it from its first instruction on, so there is nothing to wait for.
Result<Fd> make_user_namespace(const std::string& uid_map, const std::string& gid_map) {
    constexpr int patience_ms = 5000;
    const SignalsBlocked blocked;
    const Cloned child = TRY(clone_process(CLONE_NEWUSER, -1));
    if (child.pid == 0) hold_open();
    auto made = fill_and_open("/proc/" + std::to_string(child.pid), uid_map, gid_map);
    TRY(send_signal(child.pidfd.get(), SIGKILL));
    if (ended_within(child.pidfd.get(), patience_ms)) TRY(reap(child.pidfd.get()));
    return made;
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
