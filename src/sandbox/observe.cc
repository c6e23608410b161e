// Looking at a process: the side of the receipt that touches the world.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "sandbox/calls.h"
#include "sandbox/group_limits.h"
#include "sandbox/prepared.h"
#include "sandbox/receipt.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"

namespace warder::sandbox {
namespace {

constexpr std::size_t max_text = 256 * 1024;
constexpr std::size_t max_descriptors = 1024;

std::string read_at(const Fd& directory, const char* name) {
    std::string text;
    const Fd file(::openat(directory.get(), name, O_RDONLY | O_CLOEXEC));
    char buffer[8192];
    for (ssize_t size = 0; file && text.size() < max_text && (size = ::read(file.get(), buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<std::size_t>(size));
    }
    return text;
}

// stat(2) would follow the link into the file of the namespace, which costs more; its text is "net:[4026531840]".
std::uint64_t namespace_at(const Fd& process, const char* kind) {
    char text[64];
    const std::string name = std::string("ns/") + kind;
    const ssize_t size = ::readlinkat(process.get(), name.c_str(), text, sizeof text);
    std::uint64_t inode = 0;
    const std::string_view link(text, size > 0 ? static_cast<std::size_t>(size) : 0);
    if (const auto at = link.find('['); at != link.npos) std::from_chars(link.data() + at + 1, link.data() + link.size(), inode);
    return inode;
}

Namespaces namespaces_at(const Fd& process) {
    Namespaces all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = namespace_at(process, namespace_kinds[i]);
    return all;
}

Fd open_process(const std::string& name) {
    return Fd(::open(("/proc/" + name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::optional<std::vector<int>> descriptors_at(const Fd& process) {
    const int directory = ::openat(process.get(), "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* stream = directory < 0 ? nullptr : ::fdopendir(directory);
    if (stream == nullptr) return std::nullopt;
    std::vector<int> numbers;
    // The program may have opened any number by now.
    while (numbers.size() < max_descriptors) {
        const dirent* entry = ::readdir(stream);
        if (entry == nullptr) break;
        const std::string_view name = entry->d_name;
        int number = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), number).ec == std::errc{}) numbers.push_back(number);
    }
    ::closedir(stream);
    std::ranges::sort(numbers);
    return numbers;
}

std::optional<int> nice_of(pid_t pid) {
    errno = 0;
    const int nice = ::getpriority(PRIO_PROCESS, static_cast<id_t>(pid));
    return errno == 0 ? std::optional(nice) : std::nullopt;
}

std::optional<IoPriority> io_priority_of(pid_t pid) {
    constexpr int one_process = 1;
    constexpr int class_shift = 13;
    const long value = ::syscall(SYS_ioprio_get, one_process, pid);
    if (value < 0) return std::nullopt;
    return IoPriority{static_cast<IoClass>(value >> class_shift & 7), static_cast<int>(value & 7)};
}

std::optional<Scheduling> scheduling_of(pid_t pid) {
    const int scheduler = ::sched_getscheduler(pid);
    sched_param parameters{};
    if (scheduler < 0 || ::sched_getparam(pid, &parameters) != 0) return std::nullopt;
    return Scheduling{static_cast<Scheduler>(scheduler & ~SCHED_RESET_ON_FORK), parameters.sched_priority};
}

// proc(5): what is in /proc/PID belongs to root if the process may not be dumped, otherwise to its effective user. (In a user
// namespace without root's number that root is shown as 65534.)
std::optional<bool> dumpable_at(const Fd& process, uid_t uid) {
    struct stat status;
    if (uid == 0 || ::fstatat(process.get(), "status", &status, 0) != 0) return std::nullopt;
    return status.st_uid == uid;
}

Observed observe(const Expected& expected, pid_t pid, const std::optional<Proof>& proof) {
    static const Namespaces ours = namespaces_of(::getpid());
    Observed seen;
    const Fd process = open_process(std::to_string(pid));
    if (!process) return seen;
    // What the program is quickest to change comes first.
    seen.descriptors = descriptors_at(process);
    seen.status = read_at(process, "status");
    seen.limits = read_at(process, "limits");
    if (!expected.mounts.empty()) seen.mountinfo = read_at(process, "mountinfo");
    seen.cgroup = read_at(process, "cgroup");
    for (const auto& limit : expected.plan.group_limits) seen.group_limits.push_back(read_limit(expected.cgroup, limit));
    if (expected.plan.user_namespace) {
        seen.uid_map = read_at(process, "uid_map");
        seen.gid_map = read_at(process, "gid_map");
        seen.setgroups = read_at(process, "setgroups");
    }
    seen.oom_score = read_at(process, "oom_score_adj");
    seen.theirs = namespaces_at(process);
    seen.ours = ours;
    seen.nice = nice_of(pid);
    seen.io_priority = io_priority_of(pid);
    seen.scheduling = scheduling_of(pid);
    seen.dumpable = dumpable_at(process, expected.plan.uid);
    seen.proof = proof;
    // A zombie has a status, but nothing that it was held in any more.
    seen.there = !seen.status.empty() && !status_field(seen.status, "State").starts_with('Z');
    return seen;
}

std::vector<ExpectedMount> mounts_of(const Prepared& prepared, const Descriptors& descriptors) {
    std::vector<ExpectedMount> mounts;
    const Plan& plan = prepared.plan;
    if (!plan.mount_namespace) return mounts;
    mounts.push_back({"/", true, false});
    for (const auto& one : prepared.tree.attachments) {
        mounts.push_back({.path = "/" + one.target, .read_only = one.access == mounts::Access::read_only,
                          .devices = one.devices == mounts::Devices::usable, .at_path = one.at_path});
    }
    for (const auto& one : prepared.tree.unreadable) {
        const std::string path = "/" + one.target;
        if (std::ranges::find(mounts, path, &ExpectedMount::path) == mounts.end()) mounts.push_back({path, true, false});
    }
    if (plan.private_tmp) mounts.push_back({"/tmp", false, false});
    for (const auto& target : prepared.memory_targets) mounts.push_back({.path = target, .at_path = true});
    if (!plan.secret_files.empty()) mounts.push_back({.path = secrets_directory, .read_only = true, .at_path = true});
    const bool named = descriptors.output_is_named && prepared.tree.names_output && plan.terminal.empty();
    if (named) mounts.push_back({.path = output_name, .read_only = true, .at_path = true});
    if (plan.ptys) mounts.push_back({.path = "/dev/pts", .devices = true, .at_path = true});
    for (std::size_t i = 0; i < prepared.tree.layers.size(); ++i) {
        const Layers& layers = prepared.tree.layers[i];
        mounts.push_back({layers.top, false, false});
        mounts.push_back({.path = layers.target, .overlay = ExpectedOverlay{plan.overlays[i], layers.lower, layers.top}});
    }
    if (plan.proc != ProcView::hidden) mounts.push_back({"/proc", false, false});
    for (const auto& late : prepared.tree.late) {
        const auto kept = std::ranges::find(mounts, late.kept, &ExpectedMount::path);
        mounts.push_back({.path = late.target, .read_only = kept == mounts.end() || kept->read_only, .at_path = true});
    }
    return mounts;
}

std::uint32_t bits_of(const Descriptors& descriptors) {
    std::uint32_t bits = 0b111;
    if (descriptors.broker >= 0) bits |= 1U << worker_socket;
    if (descriptors.store >= 0) bits |= 1U << worker_store;
    return bits;
}

// Their own scope came with ABI 6; before that nothing was left out.
bool signals_left_out(const Prepared& prepared) {
    const bool wanted = prepared.plan.landlock && prepared.plan.scope_signals && landlock::abi() >= 6;
    return wanted && (prepared.rights.handled.scoped & landlock::scope_signal) == 0;
}

}  // namespace

Namespaces namespaces_of(pid_t pid) {
    const Fd process = open_process(std::to_string(pid));
    return process ? namespaces_at(process) : Namespaces{};
}

Expected expected_of(const Prepared& prepared, const Descriptors& descriptors, std::string cgroup) {
    return {.plan = prepared.plan,
            .mounts = mounts_of(prepared, descriptors),
            .call = prepared.forbidden_call,
            .act = prepared.forbidden_act,
            .landlock = landlock::abi(),
            .signals_left_out = signals_left_out(prepared),
            .inherited_filters = prepared.inherited_filters,
            .set_ids_refused = refuses_set_ids(prepared.filters->calls),
            .proof_can_be_sent = lets_through(prepared.filters->calls, SYS_write),
            .descriptors = bits_of(descriptors),
            .cgroup = std::move(cgroup)};
}

Receipt take_receipt(const Expected& expected, pid_t pid, const std::optional<Proof>& proof) {
    return compare(expected, observe(expected, pid, proof));
}

}  // namespace warder::sandbox
