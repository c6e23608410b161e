#include "daemon/named_pipes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "sys/files.h"
#include "sys/path_walk.h"

namespace warder::daemon {
namespace {

// Not waiting, as each end does for the other; what is read and written through them may wait.
Fd open_end(int directory, const std::string& name, int access) {
    Fd end(::openat(directory, name.c_str(), access | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    return end && ::fcntl(end.get(), F_SETFL, access) == 0 ? std::move(end) : Fd();
}

Result<NamedPipes::Pipe> open_ends(int directory, const std::string& name, gid_t group) {
    NamedPipes::Pipe pipe;
    pipe.reading = open_end(directory, name, O_RDONLY);
    if (pipe.reading) pipe.writing = open_end(directory, name, O_WRONLY);
    if (!pipe.writing) return failure("opening a FIFO");
    if (::fchown(pipe.writing.get(), static_cast<uid_t>(-1), group) != 0) return failure("fchown");
    if (::fchmod(pipe.writing.get(), 0220) != 0) return failure("fchmod");
    return pipe;
}

}  // namespace

Result<void> NamedPipes::begin(const std::string& directory) {
    path_ = directory;
    TRY(make_directory());
    const Fd listed = TRY(open_at(directory_.get(), ".", O_RDONLY | O_DIRECTORY, 0, 0));
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(own_path(listed.get()).c_str()), ::closedir);
    if (!entries) return failure("opendir");
    while (const dirent* entry = ::readdir(entries.get())) ::unlinkat(directory_.get(), entry->d_name, 0);
    return {};
}

Result<void> NamedPipes::make_directory() {
    directory_ = TRY(made_directory_as_root(path_, 0755));
    if (::chmod(own_path(directory_.get()).c_str(), 0700) != 0) return failure("chmod");
    return {};
}

Result<void> NamedPipes::make_node(const std::string& name) {
    if (!directory_) return failure(ENOTDIR, "mkfifo");
    if (::mkfifoat(directory_.get(), name.c_str(), 0600) == 0) return {};
    if (errno != ENOENT) return failure("mkfifo");
    TRY(make_directory());
    return ::mkfifoat(directory_.get(), name.c_str(), 0600) == 0 ? Result<void>() : failure("mkfifo");
}

Result<NamedPipes::Pipe> NamedPipes::make(gid_t group) {
    const std::string name = std::to_string(made_ + 1);
    TRY(make_node(name));
    const std::uint64_t number = ++made_;
    auto pipe = open_ends(directory_.get(), name, group);
    if (pipe) pipe->name = number;
    else remove(number);
    return pipe;
}

void NamedPipes::remove(std::uint64_t name) {
    if (directory_ && name != 0) ::unlinkat(directory_.get(), std::to_string(name).c_str(), 0);
}

}  // namespace warder::daemon
