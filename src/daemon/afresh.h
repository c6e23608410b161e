// What a process keeps of whoever started it, over fork(2) and exec(2), and hands on: warderd puts it to fixed values before anything
// else (warderd(8) lists them), so that it and its workers are the same whoever started it.
#pragma once

#include <string>
#include <vector>

namespace warder::daemon {

// Signals, timers, limits, scheduling, memory, keyrings, environment, directory and the like. Returns a sentence for each thing that
// whoever started us has fixed for good. May execute this program anew, once: memory is laid out at random only from the beginning.
std::vector<std::string> begin_afresh(char** argv);

}  // namespace warder::daemon
