#include "broker/make.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/path.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace warder::broker {
namespace {

Result<void> make_tree(const std::string& path, mode_t mode, const Identity& owner) {
    const bool made = ::mkdir(path.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return failure("mkdir");
    Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) return failure("open");
    TRY(give(directory.get(), owner));
    if (made && ::fchmod(directory.get(), mode) != 0) return failure("fchmod");
    return {};
}

Result<void> make_file(const std::string& path, mode_t mode, const Identity& owner) {
    Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    const bool made = static_cast<bool>(file);
    if (!made && errno != EEXIST) return failure("open");
    if (!made) file = Fd(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file) return failure("open");
    TRY(give(file.get(), owner));
    if (made && ::fchmod(file.get(), mode) != 0) return failure("fchmod");
    return {};
}

}  // namespace

Making making_of(const policy::Grant& grant) {
    if (grant.owner == policy::Owner::nobody_in_particular) return Making::nothing;
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
    TRY(make_directories(std::string(policy::directory_of(path)), 0755));
    return what == Making::tree ? make_tree(path, mode, owner) : make_file(path, mode, owner);
}

}  // namespace warder::broker
