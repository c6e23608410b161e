// Output: what 1 and 2 of a worker's runs are. A run may change more of it than what is written: the flags and the owner of the open
// file, locks on it, the size of the pipe. Nothing of that is for the next run, nor for others who write to the same place.
#pragma once

#include "sys/fd.h"

namespace warder::supervise {

class Output {
public:
    Output() = default;
    explicit Output(Fd fd);

    // For the next run: an open file of its own where the kernel gives another for the same place (pipes, terminals), otherwise ours
    // (the returned Fd is empty, and number() is to be used), with what the last one changed put back. Never waits.
    Fd for_next_run();
    int number() const { return fd_.get(); }   // -1: none
    // It is a FIFO with a name, which gives whoever opens it no more than the descriptor does: nobody may read it. One whose name
    // was swept away has none.
    bool is_named() const;

private:
    void put_back();

    Fd fd_;
    int flags_ = 0;
    int pipe_size_ = 0;        // 0: it is no pipe
    bool opens_again_ = false;
};

}  // namespace warder::supervise
