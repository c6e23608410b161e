#include "daemon/state_lock.h"

#include <fcntl.h>

namespace warder::daemon {

Result<StateLock> StateLock::take(const std::string& state_directory, pid_t& owner) {
    Fd file(::open((state_directory + "/lock").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return failure("opening the lock");
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(file.get(), F_SETLK, &whole) == 0) return StateLock(std::move(file));
    if (errno != EAGAIN && errno != EACCES) return failure("taking the lock");
    owner = ::fcntl(file.get(), F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK ? whole.l_pid : 0;
    return failure(EBUSY, "taking the lock");
}

}  // namespace warder::daemon
