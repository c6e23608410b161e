#include "supervise/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sys/files.h"
#include "sys/path_walk.h"
#include "sys/process.h"

namespace warder::supervise {

std::optional<BorrowedTerminal> BorrowedTerminal::look_at(const std::string& path, uid_t worker) {
    if (!path.starts_with("/dev/")) return std::nullopt;
    const auto place = open_to_use(path);
    if (!place) return std::nullopt;
    BorrowedTerminal terminal(Fd(::open(own_path(place->get()).c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)));
    if (!terminal.fd_ || ::fstat(terminal.fd_.get(), &terminal.before_) != 0) return std::nullopt;
    if (terminal.before_.st_uid == worker) terminal.before_.st_uid = ::getuid();
    const int fd = terminal.fd_.get();
    terminal.set_ = ::tcgetattr(fd, &terminal.settings_) == 0 && ::ioctl(fd, TIOCGWINSZ, &terminal.size_) == 0 &&
                    ::ioctl(fd, TIOCGETD, &terminal.discipline_) == 0;
    return terminal;
}

// Signals are held back: who sets a terminal that is its own, and is in the background, would be stopped.
BorrowedTerminal::~BorrowedTerminal() {
    if (!fd_) return;
    const int fd = fd_.get();
    const SignalsBlocked blocked;
    if (set_) {
        ::ioctl(fd, TIOCNXCL);
        ::ioctl(fd, TIOCSETD, &discipline_);
        ::tcsetattr(fd, TCSANOW, &settings_);
        ::ioctl(fd, TIOCSWINSZ, &size_);
    }
    ::tcflush(fd, TCIFLUSH);   // what was typed, or pushed, for the run that is over
    [[maybe_unused]] const int mode = ::fchmod(fd, before_.st_mode & 07777);
    [[maybe_unused]] const int owner = ::fchown(fd, before_.st_uid, before_.st_gid);
}

}  // namespace warder::supervise
