#include "broker/make.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/path.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/path_walk.h"

namespace warder::broker {
namespace {

constexpr std::uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;

// Of what was there already. Where others may write they could have put something of root's under this name, by a rename: there it is its
// owner's already, or is left alone.
uid_t may_have_made(int parent, const Identity& owner) { return names_are_roots(parent) ? own_identity().uid : owner.uid; }

// Without any permission for anybody, as nothing else is: what somebody puts in its place meanwhile is told from it.
Result<void> still_as_made(int directory) {
    struct stat about;
    if (::fstat(directory, &about) != 0) return failure("fstat");
    if (about.st_uid != ::geteuid() || (about.st_mode & 0777) != 0) return failure(EPERM, "giving a directory that another put there to its owner");
    return {};
}

Result<void> make_tree(int parent, const char* name, mode_t mode, const Identity& owner) {
    const bool made = ::mkdirat(parent, name, 0) == 0;
    if (!made && errno != EEXIST) return failure("mkdirat");
    const Fd directory = TRY(open_at(parent, name, O_PATH | O_DIRECTORY, 0, resolve));
    if (made) TRY(still_as_made(directory.get()));
    TRY(give(directory.get(), owner, made ? own_identity().uid : may_have_made(parent, owner)));
    if (made && ::chmod(own_path(directory.get()).c_str(), mode) != 0) return failure("chmod");
    return {};
}

Result<void> make_file(int parent, const char* name, mode_t mode, const Identity& owner) {
    auto file = open_at(parent, name, O_WRONLY | O_CREAT | O_EXCL, 0600, resolve);
    const bool made = file.has_value();
    if (!made && file.error().number != EEXIST) return Failure(file.error());
    if (!made) file = open_at(parent, name, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0, resolve);
    if (!file) return Failure(file.error());
    TRY(give(file->get(), owner, made ? own_identity().uid : may_have_made(parent, owner)));
    if (made && ::fchmod(file->get(), mode) != 0) return failure("fchmod");
    return {};
}

}  // namespace

Making making_of(const policy::Grant& grant) {
    if (grant.owner == policy::Owner::unset) return Making::nothing;
    if (grant.kind == policy::Kind::tree) return Making::tree;
    return grant.kind == policy::Kind::file ? Making::file : Making::nothing;
}

mode_t making_mode(const policy::Grant& grant) {
    if (grant.kind == policy::Kind::file) return grant.mode != 0 ? grant.mode : 0640;
    return grant.mode == 0 ? 0750 : grant.mode | ((grant.mode & 0444) >> 2);
}

Identity owner_of(const policy::Grant& grant, const Identity& worker) {
    return grant.owner == policy::Owner::worker ? worker : own_identity();
}

Result<void> give(int fd, const Identity& owner, uid_t maker) {
    struct stat about;
    if (::fstat(fd, &about) != 0) return failure("fstat");
    if (about.st_uid == owner.uid && about.st_gid == owner.gid) return {};
    const bool one_name = S_ISDIR(about.st_mode) || about.st_nlink == 1;
    if (about.st_uid != maker || !one_name) return failure(EPERM, "giving a file that belongs to another to its owner");
    if (::fchownat(fd, "", owner.uid, owner.gid, AT_EMPTY_PATH) != 0) return failure("fchownat");
    return {};
}

Result<void> make(Making what, const std::string& path, mode_t mode, const Identity& owner) {
    if (what == Making::nothing) return {};
    const Fd parent = TRY(made_directory_as_root(std::string(policy::directory_of(path)), 0755));
    const std::string name(policy::name_of_file(path));
    return what == Making::tree ? make_tree(parent.get(), name.c_str(), mode, owner)
                                : make_file(parent.get(), name.c_str(), mode, owner);
}

}  // namespace warder::broker
