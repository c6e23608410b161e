// SeenCall: a system call that a worker's filter denied it, as its syscall monitor saw it; and what of the plan denied it. Values from values:
// nothing is looked up in the world.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/plan.h"

namespace warder::sandbox {

struct SeenCall {
    std::string name;                       // "ptrace"; a number in words where libseccomp knows no name
    bool foreign = false;                   // of another ABI than this machine's own
    int number = -1;
    int error = 0;                          // what it was answered; 0: it ends the worker
    pid_t pid = 0;                          // who made it last
    std::uint64_t count = 0;
    std::int64_t first = 0;                 // nanoseconds since 1970
    std::int64_t last = 0;
    std::array<std::uint64_t, 6> arguments{};   // of the last one; only those that are plain numbers
    std::uint8_t plain = 0;                 // bit N: argument N is one
};

struct SeenCalls {
    std::vector<SeenCall> list;             // in the order in which they were first made
    std::uint64_t others = 0;               // calls for which there was no room
    bool killed = false;                    // the last of the list with error 0 is what it is ended for
};

// Which arguments of a call are plain numbers that say what it is about: bit N for argument N. The others are never told: they may
// be addresses.
std::uint8_t plain_arguments(std::string_view call);

// "socket(16, 3, 0)", "ioctl(_, 21522)", "ptrace".
std::string in_words(const SeenCall& call);

// What of the plan denied it, and the smallest change that would allow it.
struct Remedy {
    std::string key;      // of [worker.NAME.sandbox]: "allow_calls"; empty: no key allows it
    std::string change;   // "allow_calls = [\"ptrace\"]", or why nothing does
};
Remedy remedy_for(const Calls& calls, const SeenCall& call);

}  // namespace warder::sandbox
