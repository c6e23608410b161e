// seccomp filters: built once as BPF, installed by a child between fork and exec. Which calls a worker may make is the
// sandbox's to say; this module turns lists into a program.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace warder::seccomp {

using Program = std::vector<sock_filter>;

// What seccomp_data.arch says of a call of our own ABI, and from which number on it is one of another that says the same.
#if defined(__x86_64__)
inline constexpr std::uint32_t native_abi = AUDIT_ARCH_X86_64;
inline constexpr std::uint32_t first_foreign_number = 0x40000000;   // x32
#elif defined(__aarch64__)
inline constexpr std::uint32_t native_abi = AUDIT_ARCH_AARCH64;
inline constexpr std::uint32_t first_foreign_number = 0xffffffff;
#else
#error "warder knows the calls of x86_64 and aarch64 only"
#endif

// One 32-bit half of a call's argument is compared. The kernel reads int arguments as 32 bits, so a test of all 64 would be
// walked around with a one in the upper half.
struct Test {
    enum class When : std::uint8_t { equal, differs };
    std::uint8_t argument = 0;       // 0 to 5
    When when = When::equal;
    std::uint32_t value = 0;
    std::uint32_t mask = 0xffffffffU;
    bool upper_half = false;
};

// This call answers `error` if every test holds, although it is in the list of allowed calls.
struct Denial {
    int call = -1;
    std::vector<Test> tests;
    int error = EPERM;
};

// Of two arguments of a call these pairs alone are let through, as setsockopt's level and option. What else has that first
// argument answers `error`.
struct AllowedPairs {
    struct Group {
        std::uint32_t first = 0;
        std::vector<std::uint32_t> seconds;
    };
    int call = -1;
    std::uint8_t first = 0, second = 1;   // the arguments
    std::vector<Group> groups;
    bool other_firsts = false;            // whether a first argument of no group is let through
    int error = EPERM;
};

struct Rules {
    std::vector<int> allowed;        // call numbers of the native ABI
    std::vector<Denial> denials;
    std::vector<AllowedPairs> pairs;
    std::vector<std::pair<int, int>> refused;   // of those not allowed: the call and its errno, where that is not EPERM
    std::vector<int> killed;         // end the process
    std::vector<int> logged;         // of those allowed: told to the audit
    std::vector<int> absent;         // answered ENOSYS, so that programs fall back to an older call
};

// The number of a call by name, or a negative number if libseccomp or this architecture has no such call.
int call_number(const std::string& name);

// A filter that allows `allowed`, answers EPERM to the calls that are known and not allowed, ENOSYS to unknown numbers, and
// kills on another ABI (i386, x32). Errors: ENOMEM, EINVAL, E2BIG (more than the kernel takes).
Result<Program> compile(const Rules& rules);

// A filter of nothing but `allowed`: every other call answers EPERM. For a process that needs a handful.
Result<Program> compile_few(const std::vector<int>& allowed);

// A filter that lets through all but `denied`, which answers EPERM on every ABI of this machine, and `marker`, which answers
// `marker_answer`. Names that no ABI here has are left out. Errors: as compile().
Result<Program> compile_denied(const std::vector<std::string>& denied, const std::string& marker, int marker_answer);

// Whether the kernel has seccomp filters and can kill a process.
bool available();

// ---- Telling somebody of what a filter denies (5.0) ----

// A call that no kernel has. A filter made by telling() gives it to the listener, who answers what no kernel would.
// From the first call with an argument that is not 0 on, what is denied counts: before it, it is the child's own trying.
inline constexpr std::uint32_t listener_call = 0x3ffe0000;
inline constexpr int listener_answer = EXFULL;

// The same filter, but what it would answer with an errno, and what it would kill for, waits for a listener's answer. ENOSYS
// stays an answer of its own: what a kernel may lack is asked for by programs that do without it.
Program telling(const Program& program);

// Installs a filter of telling() on this thread, without heap, and returns its listener, which closes at exec. A wait that the listener
// has begun to answer ends early by a fatal signal only, where the kernel can do that (5.19). Negative: an errno. EBUSY: a
// filter that this process is under has a listener already, and there can be one.
int install_telling(const sock_filter* program, unsigned short length, bool log_denials);

// Whether this process could: tried by a child, once.
bool can_tell();

// Before 5.16 a filter also turns speculation off, which makes every program below it slower, unless it is told not to.
enum class Speculation : std::uint8_t { as_filters_have_it, as_before };

// Installs it on this thread. Needs no_new_privs or CAP_SYS_ADMIN. No heap. 0 or an errno.
enum class Logging : std::uint8_t { none, denials };
int install(const sock_filter* program, unsigned short length, Speculation speculation = Speculation::as_filters_have_it,
            Logging logging = Logging::none);

}  // namespace warder::seccomp
