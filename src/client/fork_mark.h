// ForkMark: whether this process is the one that set the mark, without asking the kernel each time. The mark lies in a page
// that the kernel clears in a forked child (MADV_WIPEONFORK, 4.14); where it will not, pids are compared. A child that shares
// the memory (vfork) is not told apart: it may do nothing but exec.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace warder::client {

class ForkMark {
public:
    ForkMark() = default;
    ForkMark(const ForkMark&) = delete;
    ForkMark& operator=(const ForkMark&) = delete;
    ~ForkMark();

    void set();
    bool here() const;

private:
    volatile std::byte* mark_ = nullptr;
    std::size_t size_ = 0;
    pid_t owner_ = 0;
};

}  // namespace warder::client
