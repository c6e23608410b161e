#include "sandbox/reach.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <vector>

#include "base/mount_table.h"
#include "sandbox/program.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/where_it_leads.h"

namespace warder::sandbox {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto not_asked_again_for = std::chrono::seconds(10);
constexpr int patience_ms = 1000;
constexpr int patience_with_silent_ms = 20;
constexpr int dies_within_ms = 100;

Seen seen_at(const std::string& path, int directory, const char* name, int flags) {
    struct statx about;
    constexpr unsigned wanted = STATX_TYPE | STATX_INO | STATX_CTIME;
    if (::statx(directory, name, flags | AT_NO_AUTOMOUNT, wanted, &about) != 0) return {.path = path};
    const std::int64_t changed = about.stx_ctime.tv_sec * 1'000'000'000 + about.stx_ctime.tv_nsec;
    const bool changes_by_itself = S_ISDIR(about.stx_mode) || S_ISCHR(about.stx_mode);
    return {path, true, S_ISDIR(about.stx_mode) != 0, ::makedev(about.stx_dev_major, about.stx_dev_minor), about.stx_ino, changes_by_itself ? 0 : changed, false};
}

// What the child tells.
struct Answer {
    bool exists;
    bool directory;
    std::uint64_t device;
    std::uint64_t inode;
    std::int64_t changed;
};

// A program is read too, as it will be afterwards.
[[noreturn]] void look_and_tell(const std::string& path, int to) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const Seen seen = seen_at(path, AT_FDCWD, path.c_str(), 0);
    const Answer answer{seen.exists, seen.directory, seen.device, seen.inode, seen.changed};
    char byte;
    const int file = seen.directory ? -1 : ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file >= 0) [[maybe_unused]] const ssize_t read = ::read(file, &byte, 1);
    [[maybe_unused]] const ssize_t told = ::write(to, &answer, sizeof answer);
    for (;;) ::syscall(SYS_exit_group, 0);
}

// A child that hangs in the kernel is left behind: it has been told to die.
void end(const Fd& child) {
    (void)send_signal(child.get(), SIGKILL);
    if (ended_within(child.get(), dies_within_ms)) (void)reap(child.get());
}

// Nothing: no answer.
Result<std::optional<Seen>> ask(const std::string& path, int patience) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    const Fd reading(ends[0]);
    Fd writing(ends[1]);
    const SignalsBlocked blocked;
    const Cloned child = TRY(clone_process(0, -1));
    if (child.pid == 0) look_and_tell(path, writing.get());
    writing.reset();
    pollfd ready{reading.get(), POLLIN, 0};
    Answer answer;
    const bool told = ::poll(&ready, 1, patience) == 1 && ::read(reading.get(), &answer, sizeof answer) == sizeof answer;
    end(child.pidfd);
    if (!told) return std::nullopt;
    return Seen{path, answer.exists, answer.directory, answer.device, answer.inode, answer.changed, true};
}

// By their mounts, and when they were asked last: a server that hangs is waited for once, not once for each worker.
std::map<std::string, Clock::time_point> silent;

// What the mounts are made from.
std::vector<std::string> sources_of(const Plan& plan) {
    std::vector<std::string> sources;
    for (const auto& bind : plan.binds) sources.push_back(bind.source);
    for (const auto& one : plan.overlays) sources.insert(sources.end(), one.lower.begin(), one.lower.end());
    for (const auto& own : plan.own_directories) sources.push_back(own.path);
    return sources;
}

Result<void> reach(const std::string& source, std::string_view mountinfo, Facts& facts, Unfit& unfit) {
    const Mount mount = mount_behind(mountinfo, source);
    if (!answered_by_others(mount.type)) return {};
    const auto known = silent.find(mount.point);
    if (known == silent.end() || Clock::now() - known->second > not_asked_again_for) {
        const auto seen = TRY(ask(source, known == silent.end() ? patience_ms : patience_with_silent_ms));
        if (seen) {
            facts[source] = *seen;
            silent.erase(mount.point);
            return {};
        }
        silent[mount.point] = Clock::now();
    }
    unfit = {source, "lies on " + mount.type + " at " + mount.point + ", whose server does not answer"};
    return failure(ETIMEDOUT, "asking the servers of a cell's sources");
}

}  // namespace

Seen look_at(const std::string& path) {
    return seen_at(path, AT_FDCWD, path.c_str(), 0);
}

// Where descriptors are exhausted, what needs the next one says so.
bool may_have_changed(const Seen& seen) {
    const auto found = open_at(AT_FDCWD, seen.path.c_str(), O_PATH, 0, RESOLVE_CACHED);
    const int error = found ? 0 : found.error().number;
    if (error == EMFILE || error == ENFILE) return false;
    return error == EAGAIN || seen_at(seen.path, found ? found->get() : -1, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC) != seen;
}

// The program may lie in one of the sources, and is looked for in them.
Result<Facts> reach(const Plan& plan, std::string_view mountinfo, Unfit& unfit) {
    Facts facts;
    if (mount_points_of_others(mountinfo).empty()) return facts;
    for (const auto& source : sources_of(plan)) TRY(reach(source, mountinfo, facts, unfit));
    TRY(reach(host_path(plan.program, plan), mountinfo, facts, unfit));
    return facts;
}

}  // namespace warder::sandbox
