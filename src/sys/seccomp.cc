#include "sys/seccomp.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>

#include "sys/fd.h"
#include "sys/process.h"

namespace warder::seccomp {
namespace {

constexpr std::uint32_t number_at = offsetof(seccomp_data, nr);
constexpr std::uint32_t abi_at = offsetof(seccomp_data, arch);
// Above this no call is known to libseccomp 2.5 by number; both ABIs count densely from 0.
constexpr int last_number = 1023;

struct Release {
    void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

sock_filter statement(unsigned code, std::uint32_t value) {
    return {static_cast<std::uint16_t>(code), 0, 0, value};
}

sock_filter jump_if_equal(std::uint32_t value, std::uint8_t then, std::uint8_t otherwise) {
    return {BPF_JMP | BPF_JEQ | BPF_K, then, otherwise, value};
}

sock_filter load(std::uint32_t offset) { return statement(BPF_LD | BPF_W | BPF_ABS, offset); }
sock_filter answer(std::uint32_t action) { return statement(BPF_RET | BPF_K, action); }

std::uint32_t offset_of(const Test& test) {
    const auto low = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + test.argument * sizeof(std::uint64_t));
    return test.upper_half ? low + 4 : low;   // little-endian on both ABIs
}

// Foreign ABIs first: the numbers below mean other calls there.
void append_abi_check(Program& program) {
    program.push_back(load(abi_at));
    program.push_back(jump_if_equal(native_abi, 1, 0));
    program.push_back(answer(SECCOMP_RET_KILL_PROCESS));
    program.push_back(load(number_at));
    program.push_back({BPF_JMP | BPF_JGE | BPF_K, 0, 1, first_foreign_number});
    program.push_back(answer(SECCOMP_RET_KILL_PROCESS));
}

// The same bits of the same argument as the test before: they are loaded already.
bool follows(const std::vector<Test>& tests, std::size_t i) {
    return i > 0 && tests[i - 1].argument == tests[i].argument && tests[i - 1].upper_half == tests[i].upper_half && tests[i - 1].mask == tests[i].mask;
}

// "load, mask, compare" for each test; the first that does not hold leaves this denial.
void append_denial(Program& program, const Denial& denial) {
    std::size_t left = 1;
    for (std::size_t i = 0; i < denial.tests.size(); ++i) left += follows(denial.tests, i) ? 1 : 3;
    for (std::size_t i = 0; i < denial.tests.size(); ++i) {
        const auto& test = denial.tests[i];
        const bool loaded = follows(denial.tests, i);
        left -= loaded ? 1 : 3;
        const auto leave = static_cast<std::uint8_t>(left);
        const bool equal = test.when == Test::When::equal;
        if (!loaded) {
            program.push_back(load(offset_of(test)));
            program.push_back(statement(BPF_ALU | BPF_AND | BPF_K, test.mask));
        }
        program.push_back(jump_if_equal(test.value, equal ? 0 : leave, equal ? leave : 0));
    }
    program.push_back(answer(SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(denial.error)));
}

// One comparison for each call that has denials, and its tests only behind that: the kernel walks the filter once for each
// call number when it is installed, at every start of a worker. Errors: E2BIG, more tests than a jump can pass.
Result<void> append_denials(Program& program, const std::vector<Denial>& denials) {
    std::map<int, Program> blocks;
    for (const auto& denial : denials) append_denial(blocks[denial.call], denial);
    for (auto& [call, block] : blocks) {
        block.push_back(load(number_at));
        if (block.size() > UINT8_MAX) return failure(E2BIG, "compiling a seccomp filter");
        program.push_back(jump_if_equal(static_cast<std::uint32_t>(call), 0, static_cast<std::uint8_t>(block.size())));
        program.insert(program.end(), block.begin(), block.end());
    }
    return {};
}

// "load, compare with each": one comparison for a first argument that is not the one asked for, and then its seconds in a row. A
// jump by a comparison passes 255 instructions, one without reaches as far as it is told.
Result<void> append_pairs(Program& program, const AllowedPairs& pairs) {
    Program block{load(offset_of({.argument = pairs.first}))};
    std::vector<std::size_t> exits;   // jumps to the end, which is not known yet
    for (const auto& group : pairs.groups) {
        Program body{load(offset_of({.argument = pairs.second}))};
        const std::size_t count = group.seconds.size();
        if (count + 3 > UINT8_MAX) return failure(E2BIG, "compiling a seccomp filter");
        for (std::size_t i = 0; i < count; ++i) body.push_back(jump_if_equal(group.seconds[i], static_cast<std::uint8_t>(count - i), 0));
        body.push_back(answer(SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(pairs.error)));
        body.push_back(statement(BPF_JMP | BPF_JA, 0));
        block.push_back(jump_if_equal(group.first, 0, static_cast<std::uint8_t>(body.size())));
        block.insert(block.end(), body.begin(), body.end());
        exits.push_back(block.size() - 1);
    }
    if (!pairs.other_firsts) block.push_back(answer(SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(pairs.error)));
    for (const std::size_t exit : exits) block[exit].k = static_cast<std::uint32_t>(block.size() - exit - 1);
    block.push_back(load(number_at));
    program.push_back(jump_if_equal(static_cast<std::uint32_t>(pairs.call), 1, 0));
    program.push_back(statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(block.size())));
    program.insert(program.end(), block.begin(), block.end());
    return {};
}

Result<Program> export_program(scmp_filter_ctx context) {
    const Fd file(::memfd_create("seccomp", MFD_CLOEXEC));
    if (!file) return failure("memfd_create");
    if (const int error = seccomp_export_bpf(context, file.get()); error != 0) return failure(-error, "seccomp_export_bpf");
    const off_t size = ::lseek(file.get(), 0, SEEK_END);
    Program program(static_cast<std::size_t>(size) / sizeof(sock_filter));
    if (::pread(file.get(), program.data(), static_cast<std::size_t>(size), 0) != size) return failure("reading a filter");
    return program;
}

bool has(const std::vector<int>& numbers, int number) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

bool known(int number) {
    char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
    std::free(name);
    return name != nullptr;
}

Result<void> add(scmp_filter_ctx context, std::uint32_t action, int number) {
    const int error = seccomp_rule_add_exact(context, action, number, 0);
    if (error != 0) return failure(-error, "seccomp_rule_add");
    return {};
}

Result<Context> make_context(std::uint32_t otherwise) {
    Context context(seccomp_init(otherwise));
    if (!context) return failure(ENOMEM, "seccomp_init");
    int error = seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (error == 0) error = seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (error != 0) return failure(-error, "seccomp_attr_set");
    return context;
}

std::uint32_t action_for(const Rules& rules, int number) {
    if (has(rules.killed, number)) return SCMP_ACT_KILL_PROCESS;
    if (has(rules.allowed, number)) return has(rules.logged, number) ? SCMP_ACT_LOG : SCMP_ACT_ALLOW;
    const auto refused = std::ranges::find(rules.refused, number, &std::pair<int, int>::first);
    return SCMP_ACT_ERRNO(static_cast<std::uint16_t>(refused == rules.refused.end() ? EPERM : refused->second));
}

// Every number that libseccomp knows gets its answer; all others are calls of a newer kernel, and absent.
Result<Program> compile_numbers(const Rules& rules) {
    const Context context = TRY(make_context(SCMP_ACT_ERRNO(ENOSYS)));
    for (int number = 0; number <= last_number; ++number) {
        if (!known(number)) continue;
        if (has(rules.absent, number) && !has(rules.killed, number)) continue;
        // libseccomp refuses a rule that says what would be said anyway.
        const std::uint32_t action = action_for(rules, number);
        if (action != SCMP_ACT_ERRNO(ENOSYS)) TRY(add(context.get(), action, number));
    }
    return export_program(context.get());
}

}  // namespace

int call_number(const std::string& name) { return seccomp_syscall_resolve_name(name.c_str()); }

Result<Program> compile(const Rules& rules) {
    Program program;
    append_abi_check(program);
    TRY(append_denials(program, rules.denials));
    for (const auto& pairs : rules.pairs) TRY(append_pairs(program, pairs));
    // Jumps only count forwards from where they are, so programs can be put one behind the other.
    const Program numbers = TRY(compile_numbers(rules));
    program.insert(program.end(), numbers.begin(), numbers.end());
    if (program.size() > BPF_MAXINSNS) return failure(E2BIG, "compiling a seccomp filter");
    return program;
}

Result<Program> compile_few(const std::vector<int>& allowed) {
    const Context context = TRY(make_context(SCMP_ACT_ERRNO(EPERM)));
    for (const int number : allowed) TRY(add(context.get(), SCMP_ACT_ALLOW, number));
    return export_program(context.get());
}

// The other ABIs of this machine: to them the numbers of this one mean nothing.
#if defined(__x86_64__)
constexpr std::uint32_t foreign_abis[] = {static_cast<std::uint32_t>(SCMP_ARCH_X86), static_cast<std::uint32_t>(SCMP_ARCH_X32)};
#else
constexpr std::uint32_t foreign_abis[] = {static_cast<std::uint32_t>(SCMP_ARCH_ARM)};
#endif

Result<void> add_foreign_abis(scmp_filter_ctx context) {
    for (const std::uint32_t abi : foreign_abis) {
        const int error = seccomp_arch_add(context, abi);
        if (error != 0 && error != -EEXIST) return failure(-error, "seccomp_arch_add");
    }
    return {};
}

Result<Program> compile_denied(const std::vector<std::string>& denied, const std::string& marker, int marker_answer) {
    const Context context(seccomp_init(SCMP_ACT_ALLOW));
    if (!context) return failure(ENOMEM, "seccomp_init");
    int error = seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (error == 0) error = seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (error != 0) return failure(-error, "seccomp_attr_set");
    TRY(add_foreign_abis(context.get()));
    const auto answer_with = [&](const std::string& name, int number) -> Result<void> {
        const int call = call_number(name);
        if (call == __NR_SCMP_ERROR) return {};
        const int wrong = seccomp_rule_add(context.get(), SCMP_ACT_ERRNO(static_cast<std::uint32_t>(number)), call, 0);
        if (wrong != 0) return failure(-wrong, "seccomp_rule_add");
        return {};
    };
    for (const auto& name : denied) TRY(answer_with(name, EPERM));
    TRY(answer_with(marker, marker_answer));
    return export_program(context.get());
}

bool available() {
    const std::uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int install(const sock_filter* program, unsigned short length, Speculation speculation, Logging logging) {
    const sock_fprog filter{length, const_cast<sock_filter*>(program)};
    unsigned flags = speculation == Speculation::as_before ? SECCOMP_FILTER_FLAG_SPEC_ALLOW : 0;
    if (logging == Logging::denials) flags |= SECCOMP_FILTER_FLAG_LOG;
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter) == 0 ? 0 : errno;
}

// Jumps only count forwards, so what is put in front of a program and what changes its answers leaves them right.
Program telling(const Program& program) {
    Program changed{load(number_at), jump_if_equal(listener_call, 0, 1), answer(SECCOMP_RET_USER_NOTIF)};
    for (sock_filter one : program) {
        const bool answers = one.code == (BPF_RET | BPF_K);
        const std::uint32_t action = one.k & SECCOMP_RET_ACTION_FULL;
        const bool denies = action == SECCOMP_RET_ERRNO && (one.k & SECCOMP_RET_DATA) != ENOSYS;
        const bool kills = action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_KILL_THREAD;
        if (answers && (denies || kills)) one.k = SECCOMP_RET_USER_NOTIF;
        changed.push_back(one);
    }
    return changed;
}

int install_telling(const sock_filter* program, unsigned short length, bool log_denials) {
    constexpr unsigned wait_killable = 1U << 5;   // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, of 5.19
    const sock_fprog filter{length, const_cast<sock_filter*>(program)};
    const unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | (log_denials ? SECCOMP_FILTER_FLAG_LOG : 0U);
    long listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | wait_killable, &filter);
    if (listener < 0 && errno == EINVAL) listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
    return listener < 0 ? -errno : static_cast<int>(listener);
}

// Its listener goes with it. It installs nothing but "allow", so it can end itself.
[[noreturn]] void try_to_tell() {
    const sock_filter allow = answer(SECCOMP_RET_ALLOW);
    const bool good = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && install_telling(&allow, 1, false) >= 0;
    for (;;) ::syscall(SYS_exit_group, good ? 0 : 1);
}

bool a_child_can_tell() {
    constexpr int patience_ms = 1000;
    seccomp_notif_sizes sizes{};
    if (::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0) return false;
    const SignalsBlocked blocked;
    auto child = clone_process(0, -1);
    if (!child) return false;
    if (child->pid == 0) try_to_tell();
    if (!ended_within(child->pidfd.get(), patience_ms)) (void)send_signal(child->pidfd.get(), SIGKILL);
    ended_within(child->pidfd.get(), patience_ms);
    const auto ended = reap(child->pidfd.get());
    return ended && ended->has_value() && !(*ended)->by_signal && (*ended)->value == 0;
}

bool can_tell() {
    static const bool can = a_child_can_tell();
    return can;
}

}  // namespace warder::seccomp
