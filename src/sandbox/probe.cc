#include "sandbox/probe.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "sys/cgroup.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/kernel.h"
#include "sys/landlock.h"
#include "sys/mounts.h"
#include "sys/process.h"
#include "sys/seccomp.h"

namespace warder::sandbox {
namespace {

bool has_namespace(const char* path) { return ::access(path, F_OK) == 0; }

bool has_socket_option(int option) {
    const Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    int value = 0;
    socklen_t size = sizeof value;
    return socket && ::getsockopt(socket.get(), SOL_SOCKET, option, &value, &size) == 0;
}

// A call that exists complains about its arguments.
bool has_mount_attributes() {
    mount_attr none{};
    return ::mount_setattr(-1, "", 0, &none, sizeof none) == 0 || errno != ENOSYS;
}

bool has_close_range() { return ::syscall(SYS_close_range, UINT_MAX, 0U, 0U) == 0 || errno == EINVAL; }

// A kernel that knows the field says that there is no such descriptor; an older one that the structure is too long.
bool has_clone_into_cgroup() {
    clone_args arguments{};
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = INT_MAX;
    return ::syscall(SYS_clone3, &arguments, sizeof arguments) < 0 && errno == EBADF;
}

// Joins our own uts namespace, which changes nothing. Before 5.8 a pidfd is no descriptor of a namespace: EINVAL.
bool has_pidfd_setns() {
    const auto self = open_pidfd(::getpid());
    return self && (::setns(self->get(), CLONE_NEWUTS) == 0 || errno == EPERM);
}

// Asking which of it is on changes nothing; a kernel that lacks it does not know the question.
bool has_refusal_of_executable_memory() { return ::prctl(kernel::pr_get_mdwe, 0, 0, 0, 0) >= 0; }

// A serial number that no key has: EINVAL or ENOKEY from a kernel with keyrings.
bool has_keyrings() { return ::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, 0, 0) >= 0 || (errno != ENOSYS && errno != EPERM); }

// What the child that tries found out, as its exit code.
enum class Trial : int { works = 0, lacking = 1, not_permitted = 2 };

Trial outcome_of_failure() { return errno == EPERM || errno == EACCES ? Trial::not_permitted : Trial::lacking; }

// In a mount namespace that ends with the child. A directory that is made where one of a layer was deleted must hide what was in that:
// the kernel notes that down in an extended attribute, which not every tmpfs has.
Trial try_overlay() {
    ::umask(0);
    if (::unshare(CLONE_NEWNS) != 0 || mounts::make_private() != 0) return outcome_of_failure();
    if (::mount("tmpfs", "/usr", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") != 0) return outcome_of_failure();
    for (const char* path : {"/usr/lower", "/usr/lower/there", "/usr/upper", "/usr/work", "/usr/merged"}) {
        if (::mkdir(path, 0755) != 0) return outcome_of_failure();
    }
    const char* const options = "lowerdir=/usr/lower,upperdir=/usr/upper,workdir=/usr/work";
    if (::mount("overlay", "/usr/merged", "overlay", MS_NOSUID | MS_NODEV, options) != 0) return outcome_of_failure();
    const bool replaced = ::rmdir("/usr/merged/there") == 0 && ::mkdir("/usr/merged/there", 0755) == 0;
    return replaced ? Trial::works : outcome_of_failure();
}

// In a child that leaves nothing behind.
Trial tried(Trial (*trial)()) {
    constexpr int patience_ms = 5000;
    const SignalsBlocked blocked;
    const auto child = clone_process(0, -1);
    if (!child) return Trial::not_permitted;
    if (child->pid == 0) ::_exit(static_cast<int>(trial()));
    if (!ended_within(child->pidfd.get(), patience_ms)) [[maybe_unused]] const auto killed = send_signal(child->pidfd.get(), SIGKILL);
    ended_within(child->pidfd.get(), patience_ms);
    const auto ended = reap(child->pidfd.get());
    if (!ended || !*ended || (*ended)->by_signal) return Trial::lacking;
    return static_cast<Trial>((*ended)->value);
}

bool kernel_lists_overlay() {
    const auto types = read_file("/proc/filesystems", 64 * 1024);
    return types && types->find("\toverlay\n") != std::string::npos;
}

// Tried until it worked once. Who may not try goes by what the kernel says that it has.
bool has_overlays() {
    static bool worked = false;
    if (worked) return true;
    const Trial trial = ::geteuid() == 0 ? tried(try_overlay) : Trial::not_permitted;
    worked = trial == Trial::works;
    return worked || (trial == Trial::not_permitted && kernel_lists_overlay());
}

Trial try_user_namespace() { return ::unshare(CLONE_NEWUSER) == 0 ? Trial::works : outcome_of_failure(); }

bool has_user_namespaces() {
    static bool worked = false;
    if (!worked) worked = tried(try_user_namespace) == Trial::works;
    return worked;
}

// What cgroup v2 has at its top; what of it warderd's own group is given is another question, and warderd's to ask.
std::string controllers_of_kernel() {
    const auto top = cgroup::mount_point();
    const auto text = top ? read_file(*top + "/cgroup.controllers", 1024) : Result<std::string>(std::string());
    return text ? text->substr(0, text->find('\n')) : std::string();
}

// Those that its ABI has and that it does not say are mended.
std::string faults_of(const KernelFeatures& features) {
    struct Fault {
        unsigned bit;
        int since;
        const char* words;
    };
    constexpr Fault faults[] = {
        {landlock::tcp_only, 4, "ports bind MPTCP and SMC too"},
        {landlock::signals_of_threads, 6, "scope_signals binds threads among themselves"},
        {landlock::disconnected, 1, "what leaves a bind mount can gain rights"},
    };
    std::string words;
    for (const auto& fault : faults) {
        const bool there = features.landlock >= fault.since && (features.landlock_errata & fault.bit) == 0;
        if (there) words += (words.empty() ? "" : "; ") + std::string(fault.words);
    }
    return words;
}

}  // namespace

KernelFeatures probe_kernel() {
    KernelFeatures features;
    features.seccomp = seccomp::available();
    features.landlock = landlock::abi();
    features.pass_rights = has_socket_option(kernel::so_passrights);
    features.pass_pidfd = has_socket_option(kernel::so_passpidfd);
    features.mount_namespaces = has_namespace("/proc/self/ns/mnt");
    features.pid_namespaces = has_namespace("/proc/self/ns/pid");
    features.ipc_namespaces = has_namespace("/proc/self/ns/ipc");
    features.uts_namespaces = has_namespace("/proc/self/ns/uts");
    features.network_namespaces = has_namespace("/proc/self/ns/net");
    features.mount_attributes = has_mount_attributes();
    features.close_range = has_close_range();
    features.clone_into_cgroup = has_clone_into_cgroup();
    features.pidfd_setns = has_pidfd_setns();
    features.memory_deny_write_execute = has_refusal_of_executable_memory();
    features.keyrings = has_keyrings();
    features.cgroup_namespaces = has_namespace("/proc/self/ns/cgroup");
    features.time_namespaces = has_namespace("/proc/self/ns/time_for_children");
    features.user_notification = seccomp::can_tell();
    features.overlays = has_overlays();
    features.user_namespaces = has_user_namespaces();
    features.landlock_errata = landlock::errata();
    features.controllers = controllers_of_kernel();
    return features;
}

std::vector<Feature> list_features(const KernelFeatures& features) {
    std::string abi = features.landlock > 0 ? "ABI " + std::to_string(features.landlock) : std::string();
    if (const std::string faults = faults_of(features); !faults.empty()) abi += ", not mended: " + faults;
    return {
        {"seccomp", features.seccomp, {}},
        {"landlock", features.landlock > 0, abi},
        {"landlock network", features.landlock >= 4, {}},
        {"landlock scope", features.landlock >= 6, {}},
        {"SO_PASSRIGHTS", features.pass_rights, {}},
        {"SO_PASSPIDFD", features.pass_pidfd, {}},
        {"mount namespaces", features.mount_namespaces, {}},
        {"pid namespaces", features.pid_namespaces, {}},
        {"ipc namespaces", features.ipc_namespaces, {}},
        {"uts namespaces", features.uts_namespaces, {}},
        {"network namespaces", features.network_namespaces, {}},
        {"mount_setattr", features.mount_attributes, {}},
        {"close_range", features.close_range, {}},
        {"clone into a cgroup", features.clone_into_cgroup, {}},
        {"setns by pidfd", features.pidfd_setns, {}},
        {"memory-deny-write-execute", features.memory_deny_write_execute, {}},
        {"keyrings", features.keyrings, {}},
        {"cgroup namespaces", features.cgroup_namespaces, {}},
        {"time namespaces", features.time_namespaces, {}},
        {"cgroup controllers", !features.controllers.empty(), features.controllers},
        {"seccomp user notification", features.user_notification, {}},
        {"overlays over tmpfs", features.overlays, {}},
        {"user namespaces", features.user_namespaces, {}},
    };
}

}  // namespace warder::sandbox
