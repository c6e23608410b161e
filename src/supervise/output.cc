#include "supervise/output.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "sys/files.h"

namespace warder::supervise {

Output::Output(Fd fd) : fd_(std::move(fd)) {
    if (!fd_) return;
    struct stat about {};
    flags_ = std::max(::fcntl(fd_.get(), F_GETFL), 0);
    pipe_size_ = std::max(::fcntl(fd_.get(), F_GETPIPE_SZ), 0);
    // Of a regular file another open file would have a place of its own to write at.
    opens_again_ = ::fstat(fd_.get(), &about) == 0 && (S_ISFIFO(about.st_mode) || (S_ISCHR(about.st_mode) && ::isatty(fd_.get()) == 1));
}

// O_NONBLOCK while it is opened: nobody may be reading.
Fd Output::for_next_run() {
    if (!fd_) return {};
    put_back();
    if (!opens_again_) return {};
    Fd fresh(::open(own_path(fd_.get()).c_str(), (flags_ & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (fresh && ::fcntl(fresh.get(), F_SETFL, flags_) == 0) return fresh;
    return {};
}

bool Output::is_named() const {
    struct stat about;
    if (::fstat(fd_.get(), &about) != 0) return false;
    return S_ISFIFO(about.st_mode) && about.st_nlink != 0 && (about.st_mode & (S_IRUSR | S_IRGRP | S_IROTH)) == 0;
}

void Output::put_back() {
    const int fd = fd_.get();
    if (pipe_size_ != 0 && ::fcntl(fd, F_GETPIPE_SZ) != pipe_size_) ::fcntl(fd, F_SETPIPE_SZ, pipe_size_);
    if (opens_again_) return;   // no run had this one
    if (::fcntl(fd, F_GETFL) != flags_) ::fcntl(fd, F_SETFL, flags_);
    f_owner_ex owner{};
    if (::fcntl(fd, F_GETOWN_EX, &owner) == 0 && owner.pid != 0) ::fcntl(fd, F_SETOWN, 0);
    if (::fcntl(fd, F_GETSIG) > 0) ::fcntl(fd, F_SETSIG, 0);
    ::flock(fd, LOCK_UN);
}

}  // namespace warder::supervise
