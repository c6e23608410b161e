// Something forbidden, to be tried by a child just before exec: one call that its filter must deny, one act that Landlock must
// deny. Each is harmless where it is let through after all, and is answered otherwise there, so that the answer is a proof.
// Values from values: nothing is tried here.
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <string_view>

#include "sandbox/rights.h"
#include "sys/seccomp.h"

namespace warder::sandbox {

struct ForbiddenCall {
    long number = -1;            // -1: none is known that would prove anything
    unsigned long arguments[6]{};
    int answer = 0;              // the errno of the filter
    std::string_view name;
};

// The first of a list of harmless calls that `program` answers with an errno that the kernel would not have given.
ForbiddenCall forbidden_by(const seccomp::Program& program);

// Whether `program` lets this call through whatever it is called with, as far as it tests no argument.
bool lets_through(const seccomp::Program& program, long number);

// What the program says to a call: SECCOMP_RET_* with its data.
std::uint32_t verdict_of(const seccomp::Program& program, long number, const unsigned long (&arguments)[6]);

// The same of what a listener was told, or a kernel asks.
std::uint32_t verdict_of(const seccomp::Program& program, const seccomp_data& asked);

enum class ForbiddenAct : std::uint8_t {
    none,        // the ruleset forbids nothing that could be tried without harm
    list_root,   // opening "/" for reading: EACCES
    bind_tcp,    // binding a TCP socket to any free port: EACCES
};

ForbiddenAct forbidden_by(const Rights& rights);
std::string_view name_of(ForbiddenAct act);
inline constexpr int landlock_answer = 13;   // EACCES

}  // namespace warder::sandbox
