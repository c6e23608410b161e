// Evidence: what is known of why a sandbox ended its worker, in words: the call, path or limit as far as the kernel tells it, the place in the
// config, and the smallest change that would allow it. Looking and saying are apart: the words come from values.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sandbox/plan.h"
#include "sandbox/seen_call.h"
#include "supervise/lifecycle.h"

namespace warder::supervise {

// What was found out about a program that could not be started.
struct ProgramFacts {
    std::string path;            // what exec was about: the program, or the first of its interpreters that is not there
    bool interpreter = false;    // it is not the program itself
    bool on_host = true;         // the host has it
    bool runnable = true;        // its mode lets the worker run it, as far as the file itself says
    std::string noexec = {};     // what keeps everything from running where it lies: "the mount at /srv is noexec"
    bool may_execute = false;    // execute lets it run already
};

// Looks at the host. Touches only what the plan names.
ProgramFacts look_at_program(const sandbox::Plan& plan);

// What the memory controller says of a group: how many of its processes the kernel killed for want of memory, and the limit.
struct MemoryFacts {
    std::uint64_t kills = 0;
    std::string limit;           // "67108864"; empty or "max": none
};
// Of a directory of cgroup v2; nothing where there is no such controller.
std::optional<MemoryFacts> look_at_memory(const std::string& cgroup);
std::uint64_t oom_kills_in(std::string_view memory_events);

struct Suspects {
    std::string_view worker;
    std::string_view origin;                  // "warder.toml:12", or empty
    const sandbox::Plan* plan = nullptr;
    std::optional<ProgramFacts> program;      // of a failed exec
    std::string_view object = {};             // what a failed set-up was about, in the child's words
    std::optional<MemoryFacts> memory;        // what has changed in this life
    const sandbox::SeenCalls* calls = nullptr;   // what its syscall monitor saw denied in this life
};

// More than in_words(exit) says, or empty: "out of memory: ...; raise ...".
std::string evidence_in_words(const Exit& exit, const Suspects& suspects);

}  // namespace warder::supervise
