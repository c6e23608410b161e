#include "supervise/group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

#include "sandbox/group_limits.h"

namespace warder::supervise {
namespace {

Result<Fd> open_in(int directory, const char* name, int flags) {
    Fd fd(::openat(directory, name, flags | O_CLOEXEC));
    if (!fd) return failure("open in a cgroup");
    return fd;
}

}  // namespace

Result<Group> Group::create(const std::string& parent, const std::string& name) {
    std::string path = parent + "/w." + name;
    ::rmdir(path.c_str());   // what an earlier warderd left may be spent
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return failure("making a cgroup");
    Group group = TRY(open(std::move(path)));
    if (group.populated()) TRY(group.kill());
    return group;
}

Result<Group> Group::open(std::string path) {
    Fd directory = TRY(open_in(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY));
    Fd events = TRY(open_in(directory.get(), "cgroup.events", O_RDONLY));
    struct stat status {};
    if (::fstat(directory.get(), &status) != 0) return failure("fstat of a cgroup");
    return Group(std::move(path), std::move(directory), std::move(events), status.st_ino);
}

Result<void> Group::renew() {
    if (!killed_) return {};
    if (::rmdir(path_.c_str()) != 0 && errno != ENOENT) return failure("removing a cgroup");
    events_.reset();   // of a directory that is gone: a poller would tell of it without end, should we not get another
    if (::mkdir(path_.c_str(), 0755) != 0) return failure("making a cgroup");
    Group fresh = TRY(open(path_));
    directory_ = std::move(fresh.directory_);
    events_ = std::move(fresh.events_);
    id_ = fresh.id_;
    killed_ = false;
    return {};
}

Group::~Group() {
    if (directory_) ::rmdir(path_.c_str());
}

Result<void> Group::limit(const std::vector<sandbox::GroupLimit>& limits, std::string& which) {
    for (const auto& one : limits) {
        which = sandbox::name_of(one);
        TRY(sandbox::set_limit(directory_.get(), one));
    }
    return {};
}

// SIGKILL reaches what is frozen. A kernel without freezing kills all the same.
void Group::freeze() {
    if (!populated()) return;
    const auto file = open_in(directory_.get(), "cgroup.freeze", O_WRONLY);
    if (file) [[maybe_unused]] const ssize_t size = ::write(file->get(), "1", 1);
}

Result<void> Group::kill() {
    killed_ = true;
    freeze();
    const Fd file = TRY(open_in(directory_.get(), "cgroup.kill", O_WRONLY));
    if (::write(file.get(), "1", 1) != 1) return failure("cgroup.kill");
    return {};
}

bool Group::populated() const {
    char text[256];
    const ssize_t size = ::pread(events_.get(), text, sizeof text, 0);
    if (size < 0 && (errno == ENODEV || errno == EBADF)) return false;   // the directory is gone, with whoever was in it
    if (size <= 0) return true;
    return std::string_view(text, static_cast<std::size_t>(size)).find("populated 0") == std::string_view::npos;
}

}  // namespace warder::supervise
