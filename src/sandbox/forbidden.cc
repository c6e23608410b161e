#include "sandbox/forbidden.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace warder::sandbox {
namespace {

static_assert(landlock_answer == EACCES);

constexpr unsigned long nothing = ~0UL;   // no descriptor, no flags, no process

struct Candidate {
    std::string_view name;
    long number;
    unsigned long arguments[6];
    std::array<int, 4> otherwise;   // the kernel's own answers; 0: it would succeed, and change nothing
};

// None of them is in warderd's own filter, which a worker inherits: it is the worker's own that shall be seen.
constexpr Candidate candidates[] = {
    {"unshare", SYS_unshare, {}, {0, ENOSYS}},
    {"pidfd_getfd", SYS_pidfd_getfd, {nothing, nothing, 0}, {EBADF, EINVAL, ENOSYS}},
    {"name_to_handle_at", SYS_name_to_handle_at, {nothing, 0, 0, 0, nothing}, {EINVAL, EFAULT, EOPNOTSUPP, ENOSYS}},
    {"mount_setattr", SYS_mount_setattr, {nothing, 0, nothing, 0, 0}, {EINVAL, EFAULT, ENOSYS}},
    {"keyctl", SYS_keyctl, {nothing}, {EOPNOTSUPP, EINVAL, ENOSYS}},
    {"add_key", SYS_add_key, {}, {EFAULT, EINVAL, ENOSYS}},
    {"kcmp", SYS_kcmp, {nothing, nothing, nothing}, {ESRCH, EINVAL, ENOSYS}},
    {"ptrace", SYS_ptrace, {nothing, nothing}, {ESRCH, EINVAL, EIO, ENOSYS}},
    {"fanotify_mark", SYS_fanotify_mark, {nothing, 0, 0, nothing}, {EINVAL, EBADF, EFAULT, ENOSYS}},
};

// What filters are made of (classic BPF on struct seccomp_data): loads, comparisons, masks, returns.
std::uint32_t run(const seccomp::Program& program, const seccomp_data& data) {
    std::uint32_t value = 0;
    for (std::size_t at = 0; at < program.size(); ++at) {
        const sock_filter& one = program[at];
        switch (one.code) {
            case BPF_LD | BPF_W | BPF_ABS:
                if (one.k > sizeof data - sizeof value) return SECCOMP_RET_KILL_PROCESS;
                std::memcpy(&value, reinterpret_cast<const char*>(&data) + one.k, sizeof value);
                break;
            case BPF_JMP | BPF_JA: at += one.k; break;
            case BPF_JMP | BPF_JEQ | BPF_K: at += value == one.k ? one.jt : one.jf; break;
            case BPF_JMP | BPF_JGT | BPF_K: at += value > one.k ? one.jt : one.jf; break;
            case BPF_JMP | BPF_JGE | BPF_K: at += value >= one.k ? one.jt : one.jf; break;
            case BPF_JMP | BPF_JSET | BPF_K: at += (value & one.k) != 0 ? one.jt : one.jf; break;
            case BPF_ALU | BPF_AND | BPF_K: value &= one.k; break;
            case BPF_RET | BPF_K: return one.k;
            default: return SECCOMP_RET_KILL_PROCESS;
        }
    }
    return SECCOMP_RET_KILL_PROCESS;
}

bool proves(const seccomp::Program& program, const Candidate& one) {
    const std::uint32_t verdict = verdict_of(program, one.number, one.arguments);
    const auto answer = static_cast<int>(verdict & SECCOMP_RET_DATA);
    if ((verdict & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO || answer == 0) return false;
    return std::ranges::find(one.otherwise, answer) == one.otherwise.end();
}

}  // namespace

std::uint32_t verdict_of(const seccomp::Program& program, long number, const unsigned long (&arguments)[6]) {
    seccomp_data data{};
    data.nr = static_cast<int>(number);
    data.arch = seccomp::native_abi;
    for (std::size_t i = 0; i < 6; ++i) data.args[i] = arguments[i];
    return run(program, data);
}

std::uint32_t verdict_of(const seccomp::Program& program, const seccomp_data& asked) { return run(program, asked); }

ForbiddenCall forbidden_by(const seccomp::Program& program) {
    for (const auto& one : candidates) {
        if (program.empty() || !proves(program, one)) continue;
        ForbiddenCall call{.number = one.number, .arguments = {}, .answer = 0, .name = one.name};
        std::ranges::copy(one.arguments, call.arguments);
        call.answer = static_cast<int>(verdict_of(program, one.number, one.arguments) & SECCOMP_RET_DATA);
        return call;
    }
    return {};
}

bool lets_through(const seccomp::Program& program, long number) {
    return program.empty() || (verdict_of(program, number, {}) & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW;
}

ForbiddenAct forbidden_by(const Rights& rights) {
    const bool root_listed = std::ranges::any_of(rights.paths, [](const PathRight& one) {
        return one.path == "/" && (one.rights & landlock::read_dir) != 0;
    });
    if ((rights.handled.files & landlock::read_dir) != 0 && !root_listed) return ForbiddenAct::list_root;
    if ((rights.handled.net & landlock::bind_tcp) != 0) return ForbiddenAct::bind_tcp;
    return ForbiddenAct::none;
}

std::string_view name_of(ForbiddenAct act) {
    switch (act) {
        case ForbiddenAct::none: return "nothing";
        case ForbiddenAct::list_root: return "reading /";
        case ForbiddenAct::bind_tcp: return "binding a port";
    }
    return "nothing";
}

}  // namespace warder::sandbox
