// The opener itself: a process with the parent's code and nothing else of it, that does what may take its time. It takes a
// job, performs it, answers the worker on the worker's own channel, and puts down for the parent how it went. If it hangs,
// only the requests that it holds wait; the parent kills it at their deadline and makes another.
#pragma once

#include "opener/board.h"
#include "sys/fd.h"

namespace warder::opener {

// The life of an opener, from just after the fork. `socket` is its end of the pair with the parent; every other descriptor
// but 0 to 2 is closed. Reports go to `board`. Never returns.
[[noreturn]] void run(Fd socket, const Board& board);

}  // namespace warder::opener
