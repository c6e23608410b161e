#include "daemon/afresh.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <tuple>

#include "sys/fd.h"
#include "sys/files.h"
#include "sys/own_limits.h"

namespace warder::daemon {
namespace {

using Sentences = std::vector<std::string>;

constexpr int last_signal = 64;

struct KernelAction {
    unsigned long handler = 0;   // 0: SIG_DFL, 1: SIG_IGN
    unsigned long flags = 0;
    unsigned long restorer = 0;
    unsigned long mask = 0;
};

bool set_action(int signal, unsigned long handler) {
    const KernelAction action{.handler = handler};
    return ::syscall(SYS_rt_sigaction, signal, &action, nullptr, sizeof action.mask) == 0;
}

// Of those that were held back for us, what was sent meanwhile was meant for somebody else: to ignore a signal forgets it.
void reset_signals() {
    unsigned long blocked = 0;
    unsigned long pending = 0;
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, nullptr, &blocked, sizeof blocked);
    ::syscall(SYS_rt_sigpending, &pending, sizeof pending);
    for (int signal = 1; signal <= last_signal; ++signal) {
        KernelAction action;
        if (::syscall(SYS_rt_sigaction, signal, nullptr, &action, sizeof action.mask) != 0) continue;
        if ((blocked & pending) >> (signal - 1) & 1) set_action(signal, 1);
        if (action.handler == 1 || ((blocked & pending) >> (signal - 1) & 1)) set_action(signal, 0);
    }
    const unsigned long none = 0;
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
}

void stop_timers() {
    const itimerval none{};
    for (const auto which : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) ::setitimer(which, &none, nullptr);
}

// A number below three that is free would be given to something that nobody may write to.
void open_standard_descriptors() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)::open("/dev/null", O_RDWR);
    }
}

// For these alone there is a reader: the service manager, and where an ordinary user's files are.
constexpr std::array<std::string_view, 9> kept_variables = {
    "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "JOURNAL_STREAM=", "HOME=",
    "XDG_RUNTIME_DIR=", "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "XDG_CACHE_HOME="};

void clear_environment() {
    static std::vector<std::string> texts;
    static std::vector<char*> variables;
    for (char** one = environ; one != nullptr && *one != nullptr; ++one) {
        const std::string_view text = *one;
        if (std::ranges::any_of(kept_variables, [text](auto name) { return text.starts_with(name); })) texts.emplace_back(text);
    }
    for (auto& text : texts) variables.push_back(text.data());
    variables.push_back(nullptr);
    environ = variables.data();
}

struct FixedLimit {
    int resource;
    rlim_t soft;
    rlim_t hard;
    const char* name;
};

constexpr rlim_t no_limit = RLIM_INFINITY;
constexpr rlim_t mebibyte = 1 << 20;

// The kernel's own beginning: half of what the machine has room for.
rlim_t half_of_all_threads() {
    const auto text = read_file("/proc/sys/kernel/threads-max", 32);
    rlim_t most = 0;
    if (!text || std::from_chars(text->data(), text->data() + text->size(), most).ec != std::errc{} || most < 2) return no_limit;
    return most / 2;
}

void set_limit(const FixedLimit& wanted, Sentences& kept) {
    const rlimit values{wanted.soft, wanted.hard};
    if (::setrlimit(static_cast<__rlimit_resource_t>(wanted.resource), &values) == 0) return;
    rlimit own{};
    ::getrlimit(static_cast<__rlimit_resource_t>(wanted.resource), &own);
    own.rlim_cur = std::min(wanted.soft, own.rlim_max);
    ::setrlimit(static_cast<__rlimit_resource_t>(wanted.resource), &own);
    kept.push_back(std::string("limit ") + wanted.name + " cannot be raised, and is at most " + std::to_string(own.rlim_max));
}

void set_limits(Sentences& kept) {
    const rlim_t threads = half_of_all_threads();
    const rlim_t descriptors = own_descriptor_limit();
    const FixedLimit limits[] = {
        {RLIMIT_AS, no_limit, no_limit, "as"},           {RLIMIT_CORE, no_limit, no_limit, "core"},
        {RLIMIT_CPU, no_limit, no_limit, "cpu"},         {RLIMIT_DATA, no_limit, no_limit, "data"},
        {RLIMIT_FSIZE, no_limit, no_limit, "fsize"},     {RLIMIT_LOCKS, no_limit, no_limit, "locks"},
        {RLIMIT_MEMLOCK, 8 * mebibyte, 8 * mebibyte, "memlock"}, {RLIMIT_MSGQUEUE, 819'200, 819'200, "msgqueue"},
        {RLIMIT_NICE, 0, 0, "nice"},                     {RLIMIT_NOFILE, descriptors, descriptors, "nofile"},
        {RLIMIT_NPROC, threads, threads, "nproc"},       {RLIMIT_RSS, no_limit, no_limit, "rss"},
        {RLIMIT_RTPRIO, 0, 0, "rtprio"},                 {RLIMIT_RTTIME, no_limit, no_limit, "rttime"},
        {RLIMIT_SIGPENDING, threads, threads, "sigpending"}, {RLIMIT_STACK, 8 * mebibyte, no_limit, "stack"},
    };
    for (const auto& one : limits) set_limit(one, kept);
}

// struct sched_attr of sched_setattr(2), under a name of our own: newer C libraries have it, and the kernel's headers too.
struct Scheduling {
    std::uint32_t size = sizeof(Scheduling);
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0, deadline = 0, period = 0;
    std::uint32_t util_min = ~0U, util_max = ~0U;   // -1: as the system has them
};

// The policy, niceness, slice and utilization clamps; then where it may run, and how late its timers may be.
bool set_scheduling(std::uint64_t flags) {
    Scheduling ordinary;
    ordinary.flags = flags;
    return ::syscall(SYS_sched_setattr, 0, &ordinary, 0U) == 0;
}

void reset_scheduling(Sentences& kept) {
    constexpr std::uint64_t clamps = 0x60;   // SCHED_FLAG_UTIL_CLAMP_MIN and _MAX, where the kernel has them
    const bool set = set_scheduling(clamps) || set_scheduling(0);
    if (!set) kept.push_back("its scheduling stays as it was given (no CAP_SYS_NICE)");
    constexpr int this_process = 1;
    ::syscall(SYS_ioprio_set, this_process, 0, 0);
    std::array<unsigned long, 128> everywhere;   // 8192 processors
    everywhere.fill(~0UL);
    ::syscall(SYS_sched_setaffinity, 0, sizeof everywhere, everywhere.data());
    constexpr unsigned long timer_slack = 50'000;   // nanoseconds, as the kernel begins
    ::prctl(PR_SET_TIMERSLACK, timer_slack, 0, 0, 0);
}

void write_to(const char* file, std::string_view text) {
    const Fd fd(::open(file, O_WRONLY | O_CLOEXEC));
    [[maybe_unused]] const ssize_t size = fd ? ::write(fd.get(), text.data(), text.size()) : 0;
}

void reset_speculation() {
    for (const int which : {PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_L1D_FLUSH}) {
        const int told = ::prctl(PR_GET_SPECULATION_CTRL, static_cast<unsigned long>(which), 0, 0, 0);
        const auto state = static_cast<unsigned long>(told);
        const bool ours = told > 0 && (state & PR_SPEC_PRCTL) != 0 && (state & PR_SPEC_FORCE_DISABLE) == 0;
        const bool as_begun = which == PR_SPEC_L1D_FLUSH ? (state & PR_SPEC_DISABLE) != 0 : (state & PR_SPEC_ENABLE) != 0;
        if (ours && !as_begun) ::prctl(PR_SET_SPECULATION_CTRL, static_cast<unsigned long>(which), which == PR_SPEC_L1D_FLUSH ? PR_SPEC_DISABLE : PR_SPEC_ENABLE, 0, 0);
    }
}

// Each of these a child has from its parent. A kernel that does not know one has not handed it down either.
void reset_process() {
    constexpr int set_memory_merge = 67;   // PR_SET_MEMORY_MERGE (6.4)
    constexpr int memory_policy_default = 0;
    ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    ::prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0);
    ::prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    ::prctl(set_memory_merge, 0, 0, 0, 0);
    ::prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
    ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    reset_speculation();
    ::syscall(SYS_set_mempolicy, memory_policy_default, nullptr, 0UL);
    ::munlockall();
    write_to("/proc/self/coredump_filter", "0x33");
    write_to("/proc/self/oom_score_adj", "0");
}

// What root had in its session is not for what warderd starts; a key that is asked for goes where it goes by default.
void leave_keyrings() {
    ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
    ::syscall(SYS_keyctl, KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_DEFAULT);
}

// Children would be born elsewhere than we live.
void come_back_to_own_namespaces() {
    for (const auto& [own, children, flag] : {std::tuple{"/proc/self/ns/pid", "/proc/self/ns/pid_for_children", CLONE_NEWPID},
                                              std::tuple{"/proc/self/ns/time", "/proc/self/ns/time_for_children", CLONE_NEWTIME}}) {
        std::array<char, 64> here{};
        std::array<char, 64> there{};
        if (::readlink(own, here.data(), here.size() - 1) <= 0 || ::readlink(children, there.data(), there.size() - 1) <= 0) continue;
        if (std::strcmp(here.data(), there.data()) == 0) continue;
        const Fd home(::open(own, O_RDONLY | O_CLOEXEC));
        if (home) ::setns(home.get(), flag);
    }
}

// Who gives up root's rights by its uid counts on them.
void reset_secure_bits(Sentences& kept) {
    const int bits = ::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    if (bits == 0 || ::prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == 0) return;
    kept.push_back("its secure bits are locked as they are (" + std::to_string(bits) + ")");
}

void tell_what_stays(Sentences& kept) {
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) kept.push_back("no_new_privs is set: commands of grants cannot be set-uid");
    if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2) kept.push_back("a seccomp filter is in force, and holds for every worker too");
}

// Not at random, or executable wherever it can be read: that was decided when this program was laid out. Once only: a sanitizer's
// runtime may have reasons of its own, and would set it again.
void lay_out_anew(char** argv) {
    constexpr unsigned long ask = 0xffffffff;
    constexpr const char* done = "WARDER_LAID_OUT";
    const int persona = ::personality(ask);
    if (persona <= 0 || ::personality(0) < 0 || ::personality(ask) != 0) return;
    if (::getenv(done) != nullptr || ::setenv(done, "1", 1) != 0) return;
    ::execv("/proc/self/exe", argv);
}

}  // namespace

std::vector<std::string> begin_afresh(char** argv) {
    Sentences kept;
    lay_out_anew(argv);
    reset_signals();
    stop_timers();
    open_standard_descriptors();
    clear_environment();
    set_limits(kept);
    reset_scheduling(kept);
    reset_process();
    leave_keyrings();
    come_back_to_own_namespaces();
    reset_secure_bits(kept);
    tell_what_stays(kept);
    ::umask(0077);
    return kept;
}

}  // namespace warder::daemon
