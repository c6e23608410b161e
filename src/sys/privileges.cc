#include "sys/privileges.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "sys/fd.h"

namespace warder {
namespace {

constexpr uid_t unchanged = static_cast<uid_t>(-1);

// The raw calls: glibc's would stop every thread to change them all, and there is only one.
bool set_effective_uid(uid_t uid) { return ::syscall(SYS_setresuid, unchanged, uid, unchanged) == 0; }
bool set_effective_gid(gid_t gid) { return ::syscall(SYS_setresgid, unchanged, gid, unchanged) == 0; }
bool set_groups(std::span<const gid_t> groups) { return ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0; }

// To go on with somebody else's credentials would be worse than to end.
[[noreturn]] void give_up() {
    std::perror("warder: cannot take back its own credentials");
    std::abort();
}

}  // namespace

bool operator==(const Identity& a, const Identity& b) {
    return a.uid == b.uid && a.gid == b.gid && std::ranges::equal(a.supplementary(), b.supplementary());
}

Identity own_identity() {
    const uid_t uid = ::getuid();
    return uid == 0 ? root_identity : Identity{.uid = uid, .gid = ::getgid()};
}

bool settle_as(uid_t uid, gid_t gid) {
    if (uid != 0 && ::getuid() == uid && ::getgid() == gid) return true;
    return ::syscall(SYS_setgroups, 0, nullptr) == 0 && ::syscall(SYS_setresgid, gid, gid, gid) == 0 &&
           ::syscall(SYS_setresuid, uid, uid, uid) == 0;
}

Result<void> Privileges::become(const Identity& identity) {
    if (identity == current_) return {};
    if (identity == own_) {
        become_root();
        return {};
    }
    // From one worker to another only the uid goes back to root, for the right to change the rest: that is two calls fewer. It
    // is taken again last, after which that right is gone.
    if (current_ != own_ && !set_effective_uid(own_.uid)) give_up();
    if (set_groups(identity.supplementary()) && set_effective_gid(identity.gid) && set_effective_uid(identity.uid)) {
        current_ = identity;
        if (parent_death_signal_ != 0) ::prctl(PR_SET_PDEATHSIG, parent_death_signal_);
        return {};
    }
    const int error = errno;
    current_ = identity;   // some of it is: come back from all of it
    become_root();
    return failure(error, "taking a worker's credentials");
}

void Privileges::become_root() {
    if (current_ == own_) return;
    if (!set_effective_uid(own_.uid) || !set_effective_gid(own_.gid) || !set_groups(own_.supplementary())) give_up();
    current_ = own_;
    if (parent_death_signal_ != 0) ::prctl(PR_SET_PDEATHSIG, parent_death_signal_);
}

Result<void> Privileges::self_test(Privileges& privileges, const char* directory) {
    privileges.become_root();
    Fd proof(::open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!proof) return failure("making a file for the self-test of credentials");
    char name[64];
    std::snprintf(name, sizeof name, "/proc/self/fd/%d", proof.get());
    struct stat about;
    if (::stat(name, &about) != 0) return failure("self-test: /proc must be mounted, and shows no /proc/self/fd");
    TRY(privileges.become(Identity{.uid = 65534, .gid = 65534}));
    Fd opened(::open(name, O_RDONLY | O_CLOEXEC));
    const int error = errno;
    privileges.become_root();
    if (opened || error != EACCES) return failure(opened ? EPERM : error, "self-test: a worker's credentials must not open root's files");
    return {};
}

}  // namespace warder
