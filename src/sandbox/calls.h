// Which system calls a worker may make, as rules for sys/seccomp. A value from values: it touches nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "sandbox/plan.h"
#include "sys/seccomp.h"

namespace warder::sandbox {

// What the kernel does about descriptors that a worker sends although it has no right to.
enum class SentDescriptors : std::uint8_t {
    refused_by_socket,   // SO_PASSRIGHTS = 0 on warderd's end (6.16)
    refused_by_filter,   // older: sendmsg and sendmmsg are denied whole
};

// Errors: EINVAL for a name in `allow` or `deny` that is no system call; `unknown` then holds it.
Result<seccomp::Rules> rules_of(const Calls& calls, SentDescriptors sent, std::string& unknown);

// Whether this call is one that would set a set-user-id or set-group-id bit.
bool sets_ids(std::string_view call, std::span<const std::uint64_t, 6> arguments);

// Whether `program` refuses every call that would.
bool refuses_set_ids(const seccomp::Program& program);

// Whether a socket of this family and protocol becomes TCP without Landlock's rules for TCP: MPTCP, SMC.
bool gets_past_ports(int family, std::uint64_t protocol);

// Whether this call is in the lists and denied all the same, since the sandbox shows /proc/self/fd; `allow` gives it back.
bool withheld(const Calls& calls, std::string_view call);

// What the stub needs: to sleep, and to start, or to say that it could not. It holds nothing that could be written to.
std::vector<int> stub_calls();

}  // namespace warder::sandbox
