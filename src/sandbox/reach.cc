#include "sandbox/reach.h"

#include <fcntl.h>
#include <linux/magic.h>
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
#include "sys/path_walk.h"
#include "sys/process.h"

namespace warder::sandbox {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto not_asked_again_for = std::chrono::seconds(10);
constexpr int patience_ms = 1000;
constexpr int patience_with_silent_ms = 20;
constexpr int dies_within_ms = 100;

Look look_of(const struct statx& about) {
    const std::int64_t changed = about.stx_ctime.tv_sec * 1'000'000'000 + about.stx_ctime.tv_nsec;
    const bool changes_by_itself = S_ISDIR(about.stx_mode) || S_ISCHR(about.stx_mode);
    return {true, S_ISDIR(about.stx_mode) != 0, ::makedev(about.stx_dev_major, about.stx_dev_minor), about.stx_ino,
            changes_by_itself ? 0 : changed};
}

bool find(int directory, const char* name, int flags, struct statx& about) {
    return ::statx(directory, name, flags | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO | STATX_CTIME, &about) == 0;
}

// A program is read afterwards, so a file is read.
void read_a_byte(const char* path) {
    const Fd file(::open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    char byte;
    if (file) (void)!::read(file.get(), &byte, 1);
}

// Between fork and exit: without the heap.
[[noreturn]] void look_and_tell(const char* path, int to) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct statx about;
    const bool found = find(AT_FDCWD, path, 0, about);
    const Look look = found ? look_of(about) : Look();
    if (found && S_ISREG(about.stx_mode)) read_a_byte(path);
    (void)!::write(to, &look, sizeof look);
    for (;;) ::syscall(SYS_exit_group, 0);
}

// A child that hangs in the kernel is left behind: it has been told to die.
void end(const Fd& child) {
    (void)send_signal(child.get(), SIGKILL);
    if (ended_within(child.get(), dies_within_ms)) (void)reap(child.get());
}

// Nothing: no answer.
Result<std::optional<Look>> ask(const std::string& path, int patience) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    const Fd reading(ends[0]);
    Fd writing(ends[1]);
    const SignalsBlocked blocked;
    const Cloned child = TRY(clone_process(0, -1));
    if (child.pid == 0) look_and_tell(path.c_str(), writing.get());
    writing.reset();
    pollfd ready{reading.get(), POLLIN, 0};
    Look look;
    const bool told = ::poll(&ready, 1, patience) == 1 && ::read(reading.get(), &look, sizeof look) == sizeof look;
    end(child.pidfd);
    return told ? std::optional(look) : std::nullopt;
}

// By their mounts, and when they were asked last: a server that hangs is waited for once, not once for each worker.
std::map<std::string, Clock::time_point> silent;

// What the mounts are made from.
std::vector<std::string> sources_of(const Plan& plan) {
    std::vector<std::string> sources;
    for (const auto& bind : plan.binds) sources.push_back(bind.source);
    for (const auto& one : plan.overlays) sources.insert(sources.end(), one.lower.begin(), one.lower.end());
    for (const auto& own : plan.own_directories) sources.push_back(own.path);
    for (const auto& one : plan.secret_files) sources.push_back(one.source);
    return sources;
}

Result<void> reach(const std::string& source, std::string_view mountinfo, Facts& facts, Unfit& unfit) {
    if (facts.contains(source)) return {};   // an own directory is bound too
    const Mount mount = mount_behind(mountinfo, source);
    if (!answered_by_others(mount.type)) return {};
    const auto known = silent.find(mount.point);
    if (known == silent.end() || Clock::now() - known->second > not_asked_again_for) {
        const auto look = TRY(ask(source, known == silent.end() ? patience_ms : patience_with_silent_ms));
        if (look) {
            facts[source] = {source, *look, true};
            silent.erase(mount.point);
            return {};
        }
        silent[mount.point] = Clock::now();
    }
    unfit = {source, "lies on " + mount.type + " at " + mount.point + ", whose server does not answer"};
    return failure(ETIMEDOUT, "asking the servers of a sandbox's sources");
}

// Nobody else answers for it, and it keeps no memory of names that are not there: RESOLVE_CACHED says EAGAIN for those.
bool lies_in_memory(const Fd& directory) {
    const auto type = file_system_in_memory(directory.get());
    return type && (*type == TMPFS_MAGIC || *type == RAMFS_MAGIC);
}

bool is_absent(const Fd& directory, const std::string& name) {
    const auto found = open_at(directory.get(), name.c_str(), O_PATH | O_NOFOLLOW, 0, 0);
    return !found && found.error().number == ENOENT;
}

// Whether a name that the kernel does not remember is missing in a file system in memory, or its directory is.
bool is_absent_in_memory(const std::string& path) {
    for (std::size_t slash = path.rfind('/'), end = path.size(); slash != std::string::npos; slash = path.rfind('/', end - 1)) {
        const auto directory = open_at(AT_FDCWD, slash == 0 ? "/" : path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY, 0, RESOLVE_CACHED);
        if (directory) return lies_in_memory(*directory) && is_absent(*directory, path.substr(slash + 1, end - slash - 1));
        if (directory.error().number != EAGAIN || slash == 0) return false;
        end = slash;
    }
    return false;
}

}  // namespace

Seen look_at(const std::string& path) {
    struct statx about;
    return {path, find(AT_FDCWD, path.c_str(), 0, about) ? look_of(about) : Look()};
}

// Where descriptors are exhausted, what needs the next one says so.
bool may_have_changed(const Seen& seen) {
    const auto found = open_at(AT_FDCWD, seen.path.c_str(), O_PATH, 0, RESOLVE_CACHED);
    const int error = found ? 0 : found.error().number;
    if (error == EMFILE || error == ENFILE) return false;
    if (error == EAGAIN) return seen.found.exists || !is_absent_in_memory(seen.path);
    struct statx about;
    return seen.found != (found && find(found->get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, about) ? look_of(about) : Look());
}

bool is_another(const Seen& seen) {
    const auto found = open_at(AT_FDCWD, seen.path.c_str(), O_PATH, 0, RESOLVE_CACHED);
    if (!found) return found.error().number == ENOENT;
    struct statx about;
    if (!find(found->get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, about)) return false;
    const Look look = look_of(about);
    return look.device != seen.found.device || look.inode != seen.found.inode;
}

// The program and what it runs with may lie in the sources, and are looked for in them; or anywhere else (in the PATH of
// "#!/usr/bin/env NAME").
Result<Facts> reach(const Plan& plan, std::string_view mountinfo, Unfit& unfit) {
    Facts facts;
    if (mount_points_of_others(mountinfo).empty()) return facts;
    for (const auto& source : sources_of(plan)) TRY(reach(source, mountinfo, facts, unfit));
    Result<void> reached;
    (void)chain_of(plan, [&](const std::string& path) {
        if (reached) reached = reach(path, mountinfo, facts, unfit);
        return reached.has_value();
    });
    TRY(std::move(reached));
    return facts;
}

}  // namespace warder::sandbox
