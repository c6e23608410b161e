// Proof: what a child saw of its own sandbox just before exec, where the kernel tells nobody else. It goes down the status pipe as
// it is; the receipt holds it against the plan.
#pragma once

#include <linux/securebits.h>

#include <cstdint>

namespace warder::sandbox {

// Root means nothing in a sandbox, capabilities come by no change of uid, and none of it can be taken back.
inline constexpr unsigned long worker_securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                                   SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                                   SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

// Answers of the kernel: a value, or the negative of an errno.
struct Proof {
    std::int32_t securebits = -1;
    std::int32_t parent_death_signal = -1;
    std::int32_t memory_deny = -1;       // PR_GET_MDWE
    std::int32_t personality = -1;
    std::int32_t landlock = 0;           // what the forbidden act was answered; 0: it was let through
    std::int32_t calls = 0;              // ... and the forbidden call
    std::int32_t syscall_monitor = 0;            // what the listener's own call was answered
    std::int32_t keyring = 0;            // the serial of its session keyring, and
    std::int32_t keyring_made = 0;       // ... of the one that it made; -EPERM, -ENOSYS: nobody here reaches keyrings
    std::int32_t keyring_size = 0;       // bytes that listing it takes: 0 is empty
    char hostname[65]{};                 // NUL-terminated
    std::uint32_t descriptors = 0;       // bit N: N is open and stays open over exec; nothing is open above those that close
};

}  // namespace warder::sandbox
