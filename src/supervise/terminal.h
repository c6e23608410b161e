// BorrowedTerminal: a terminal of the host that is a worker's for one run. Whose it was, what others may do with it and how it was set
// are kept, and are so again when the run is over: the worker's user cannot open it any more, and who comes next finds it as it was.
#pragma once

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include <optional>
#include <string>

#include "sys/fd.h"

namespace warder::supervise {

class BorrowedTerminal {
public:
    // Looks at it before the worker has it. Empty where it cannot be opened (the run's set-up then tells why), and where the path is not
    // below /dev: somebody else might have to answer for it. One that is the worker's already was never given back, and becomes root's.
    static std::optional<BorrowedTerminal> look_at(const std::string& path, uid_t worker);
    BorrowedTerminal(BorrowedTerminal&&) = default;
    BorrowedTerminal& operator=(BorrowedTerminal&&) = default;
    // Gives it back. Never waits.
    ~BorrowedTerminal();

private:
    explicit BorrowedTerminal(Fd fd) : fd_(std::move(fd)) {}

    Fd fd_;
    struct stat before_ {};
    termios settings_{};
    winsize size_{};
    int discipline_ = 0;
    bool set_ = false;   // the three above are known
};

}  // namespace warder::supervise
