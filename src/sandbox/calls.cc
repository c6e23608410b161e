#include "sandbox/calls.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "sandbox/call_groups.h"
#include "sandbox/forbidden.h"
#include "sandbox/ioctls.h"
#include "sys/socket_options.h"

namespace warder::sandbox {
namespace {

using seccomp::Denial;
using seccomp::Rules;
using seccomp::Test;

constexpr std::uint32_t namespace_flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                          CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;

// Numbers that are the same on both ABIs; terminal requests of asm-generic/ioctls.h.
constexpr std::uint32_t denied_terminal_requests[] = {
    0x5412,   // TIOCSTI: types into the terminal
    0x541c,   // TIOCLINUX: pastes into the console
    0x541d,   // TIOCCONS: takes the console's output
    0x5423,   // TIOCSETD: changes the line discipline
    0x5437,   // TIOCVHANGUP
};
constexpr std::uint32_t takes_terminal = 0x540e;   // TIOCSCTTY

// The calls that give a file its mode, and which argument that is.
struct ModeArgument {
    std::string_view call;
    std::uint8_t mode;
};
constexpr ModeArgument calls_with_mode[] = {
    {"chmod", 1}, {"fchmod", 1}, {"fchmodat", 2}, {"fchmodat2", 2}, {"creat", 1},
    {"mkdir", 1}, {"mkdirat", 2}, {"mknod", 1}, {"mknodat", 2},
};
// The same of those whose mode counts only where they make a file; the flags come before it.
constexpr ModeArgument calls_that_open[] = {{"open", 2}, {"openat", 3}};
constexpr std::uint32_t set_id_bits = S_ISUID | S_ISGID;
constexpr std::uint32_t makes_a_file = O_CREAT | (O_TMPFILE & ~O_DIRECTORY);

// Options of SOL_SOCKET that no worker under a filter sets, be sockets lent to it or not. While some are lent the table of
// sys/socket_options.h says what may be set, and the last of these is not in it.
constexpr std::uint32_t denied_socket_options[] = {
    26,   // SO_ATTACH_FILTER
    27,   // SO_DETACH_FILTER
    44,   // SO_LOCK_FILTER
    50,   // SO_ATTACH_BPF
    51,   // SO_ATTACH_REUSEPORT_CBPF
    52,   // SO_ATTACH_REUSEPORT_EBPF
    25,   // SO_BINDTODEVICE
    62,   // SO_BINDTOIFINDEX
    83,   // SO_PASSRIGHTS: whether the end of a channel takes descriptors is the grant's to say
};

// The same of the protocols: options by which a listener drops connections from then on, for all its holders.
struct ProtocolOption {
    std::uint32_t level, option;
};
constexpr ProtocolOption denied_protocol_options[] = {
    {0, 21},    // IP_MINTTL: what came through a router
    {41, 73},   // IPV6_MINHOPCOUNT
    {6, 14},    // TCP_MD5SIG: what is not signed
    {6, 32},    // TCP_MD5SIG_EXT
    {6, 38},    // TCP_AO_ADD_KEY
    {6, 40},    // TCP_AO_INFO
};

// Protocols of these families of which Landlock's rules for TCP say nothing, and which become TCP on the way: one falls back to
// it, the other begins with it.
constexpr std::uint32_t internet_families[] = {AF_INET, AF_INET6};
constexpr std::uint32_t not_quite_tcp[] = {
    262,   // IPPROTO_MPTCP (5.6)
    256,   // IPPROTO_SMC (6.11)
};

constexpr std::uint32_t denied_file_commands[] = {
    1024,   // F_SETLEASE: makes the opens of others wait
    1026,   // F_NOTIFY
};

Test equals(std::uint8_t argument, std::uint32_t value) { return {argument, Test::When::equal, value}; }
Test differs(std::uint8_t argument, std::uint32_t value) { return {argument, Test::When::differs, value}; }
Test has_any_of(std::uint8_t argument, std::uint32_t bits) { return {argument, Test::When::differs, 0, bits}; }

class RuleMaker {
public:
    // Each of these takes the name of a call or of a @group.
    void allow(std::string_view names) {
        for (const auto& name : calls_of(names)) add_to(rules_.allowed, name);
    }
    void log(std::string_view names) {
        allow(names);
        for (const auto& name : calls_of(names)) add_to(rules_.logged, name);
    }
    void kill(std::string_view names) {
        for (const auto& name : calls_of(names)) add_to(rules_.killed, name);
    }
    void refuse(const DeniedCall& denied) {
        for (const auto& name : calls_of(denied.name)) {
            deny(name);
            rules_.refused.emplace_back(seccomp::call_number(name), denied.error);
        }
    }
    void refuse_if(const CallRule& rule) {
        const auto when = rule.differs ? Test::When::differs : Test::When::equal;
        rules_.denials.push_back({seccomp::call_number(rule.call),
                                  {{static_cast<std::uint8_t>(rule.argument), when, rule.value & rule.mask, rule.mask}}, rule.error});
    }
    void absent(std::string_view name) { add_to(rules_.absent, name); }
    void deny(std::string_view name) {
        std::erase(rules_.allowed, seccomp::call_number(std::string(name)));
    }
    void deny_if(std::string_view name, std::vector<Test> tests, int error = EPERM) {
        const int call = seccomp::call_number(std::string(name));
        if (call >= 0) rules_.denials.push_back({call, std::move(tests), error});
    }
    void allow_pairs(seccomp::AllowedPairs pairs) { rules_.pairs.push_back(std::move(pairs)); }
    Rules take() { return std::move(rules_); }

private:
    // A negative number is a call that this architecture does not have.
    static void add_to(std::vector<int>& numbers, std::string_view name) {
        const int call = seccomp::call_number(std::string(name));
        if (call >= 0) numbers.push_back(call);
    }
    Rules rules_;
};

// Asking, and giving it up once more, stay allowed.
void deny_dumps(RuleMaker& rules) { rules.deny_if("prctl", {equals(0, PR_SET_DUMPABLE), differs(1, 0)}); }

// A program of the worker's uid that a stranger runs has that uid, outside of the sandbox. What openat2(2) would make cannot be seen: it
// is not there, and programs do without it.
void deny_set_ids(RuleMaker& rules) {
    for (const auto& one : calls_with_mode) rules.deny_if(one.call, {has_any_of(one.mode, set_id_bits)});
    for (const auto& one : calls_that_open) {
        rules.deny_if(one.call, {has_any_of(static_cast<std::uint8_t>(one.mode - 1), makes_a_file), has_any_of(one.mode, set_id_bits)});
    }
    rules.absent("openat2");
}

// Asking which it is stays allowed.
void deny_personalities(RuleMaker& rules) { rules.deny_if("personality", {differs(0, 0), differs(0, 0xffffffffU)}); }

void deny_terminals_and_leases(RuleMaker& rules, bool ptys) {
    for (const auto request : denied_terminal_requests) rules.deny_if("ioctl", {equals(1, request)});
    if (!ptys) rules.deny_if("ioctl", {equals(1, takes_terminal)});
    for (const auto command : denied_file_commands) rules.deny_if("fcntl", {equals(1, command)});
}

// Out-of-band bytes over unix sockets: nobody uses them, and the kernel's code for them has been broken into.
void deny_out_of_band(RuleMaker& rules) {
    rules.deny_if("sendto", {has_any_of(3, MSG_OOB)});
    rules.deny_if("recvfrom", {has_any_of(3, MSG_OOB)});
    rules.deny_if("sendmsg", {has_any_of(2, MSG_OOB)});
    rules.deny_if("recvmsg", {has_any_of(2, MSG_OOB)});
    rules.deny_if("sendmmsg", {has_any_of(3, MSG_OOB)});
    rules.deny_if("recvmmsg", {has_any_of(3, MSG_OOB)});
}

// MSG_FASTOPEN connects by sending: a lent listener that its holder shut down, or a socket whose connection is still under way,
// would go anywhere from our network, and Landlock's ports are not asked (tcp(7); security_socket_connect is not on that way).
void deny_connecting_by_sending(RuleMaker& rules) {
    rules.deny_if("sendto", {has_any_of(3, MSG_FASTOPEN)});
    rules.deny_if("sendmsg", {has_any_of(2, MSG_FASTOPEN)});
    rules.deny_if("sendmmsg", {has_any_of(3, MSG_FASTOPEN)});
}

// A program that hears that there is no such protocol takes TCP.
void deny_other_ways_to_ports(RuleMaker& rules) {
    for (const std::uint32_t family : internet_families) {
        for (const std::uint32_t protocol : not_quite_tcp) {
            rules.deny_if("socket", {equals(0, family), equals(2, protocol)}, EPROTONOSUPPORT);
        }
    }
}

void deny_families(RuleMaker& rules, bool network) {
    std::vector<Test> foreign{differs(0, AF_UNIX)};
    if (network) {
        for (const int family : {AF_INET, AF_INET6, AF_NETLINK}) foreign.push_back(differs(0, static_cast<std::uint32_t>(family)));
    }
    rules.deny_if("socket", foreign);
    rules.deny_if("socketpair", {differs(0, AF_UNIX)});
}

bool sets(const Calls& calls, const socket_options::Option& option) {
    return option.harmless || std::ranges::any_of(calls.socket_options, [&](const auto& name) { return socket_options::find(name) == &option; });
}

// A program that hears that there is no such option goes on without it.
void allow_options(RuleMaker& rules, const Calls& calls) {
    seccomp::AllowedPairs pairs{.call = seccomp::call_number("setsockopt"), .first = 1, .second = 2, .groups = {}, .error = ENOPROTOOPT};
    for (const auto& level : socket_options::levels()) {
        if (!socket_options::is_held(level, calls.lent_sockets)) continue;
        auto& group = pairs.groups.emplace_back(level.number);
        for (const auto& option : socket_options::all()) {
            if (option.level == level.number && sets(calls, option)) group.seconds.push_back(option.number);
        }
    }
    pairs.other_firsts = calls.lent_sockets == socket_options::lent_unix;
    rules.allow_pairs(std::move(pairs));
}

void deny_options(RuleMaker& rules, const Calls& calls) {
    const auto held = [&](std::uint32_t level) { return socket_options::is_held(*socket_options::find_level(level), calls.lent_sockets); };
    for (const auto option : denied_socket_options) {
        if (!held(SOL_SOCKET)) rules.deny_if("setsockopt", {equals(1, SOL_SOCKET), equals(2, option)});
    }
    for (const auto& one : denied_protocol_options) {
        if (!held(one.level)) rules.deny_if("setsockopt", {equals(1, one.level), equals(2, one.option)});
    }
    if (calls.lent_sockets != 0) allow_options(rules, calls);
}

Test is_type(std::uint32_t type) { return {1, Test::When::equal, type << 8, 0xff00U}; }

// Answered as a file does that knows no such request: programs try, and go on without.
void deny_ioctls(RuleMaker& rules, const Calls& calls) {
    if (!calls.few_ioctls || calls.any_ioctl) return;
    std::vector<Test> strange;
    for (const auto& one : harmless_ioctls()) strange.push_back(differs(1, one.request));
    for (const auto request : calls.allow_ioctls) strange.push_back(differs(1, request));
    if (calls.ptys) strange.push_back(differs(1, takes_terminal));
    if (!calls.devices_lent) return rules.deny_if("ioctl", strange, ENOTTY);
    for (const auto type : file_system_types()) {
        std::vector<Test> tests{is_type(type)};
        std::ranges::copy_if(strange, std::back_inserter(tests), [type](const Test& one) { return (one.value >> 8 & 0xff) == type; });
        rules.deny_if("ioctl", std::move(tests), ENOTTY);
    }
}

constexpr std::string_view by_name_of_descriptor[] = {"chmod", "fchmodat", "removexattr", "setxattr"};

bool lists(const std::vector<std::string>& names, std::string_view call) {
    return std::ranges::any_of(names, [call](const std::string& name) {
        const auto members = calls_of(name);
        return std::ranges::find(members, call) != members.end();
    });
}

// A link of /proc leads to the open file itself, whatever became of its name, and Landlock is not asked about these.
void deny_names_of_descriptors(RuleMaker& rules, const Calls& calls) {
    for (const auto name : by_name_of_descriptor) {
        if (withheld(calls, name)) rules.deny(name);
    }
}

void deny_executable_shared_memory(RuleMaker& rules, const Calls& calls) {
    constexpr std::uint32_t shm_exec = 0100000;
    if (calls.no_code_in_shared_memory) rules.deny_if("shmat", {has_any_of(2, shm_exec)});
}

// seccomp sees neither the address nor whose socket it is, so what could lead a lent socket elsewhere is denied whole.
void deny_for_lent_sockets(RuleMaker& rules, const Calls& calls) {
    if (lends_what_leads_elsewhere(calls)) rules.deny("bind");
    if (!leaves_connect(calls)) rules.deny("connect");
    if (!leaves_listen(calls)) rules.deny("listen");
    if (!calls.datagram_sockets_lent) return;
    for (const auto* name : {"sendmsg", "sendmmsg"}) rules.deny(name);
    rules.deny_if("sendto", {differs(4, 0)});
    rules.deny_if("sendto", {{4, Test::When::differs, 0, 0xffffffffU, true}});
}

void deny_namespaces(RuleMaker& rules, bool wanted) {
    // glibc falls back to clone, whose flags a filter can see.
    if (!wanted) rules.absent("clone3");
    if (!wanted) rules.deny_if("clone", {has_any_of(0, namespace_flags)});
    if (wanted) rules.allow("unshare");
    if (wanted) rules.allow("clone3");
}

// The first name that names nothing.
std::string find_unknown(const Calls& calls) {
    std::vector<std::string> names;
    for (const auto* list : {&calls.base, &calls.allow, &calls.kill, &calls.log}) names.insert(names.end(), list->begin(), list->end());
    for (const auto& denied : calls.deny) names.push_back(denied.name);
    for (const auto& rule : calls.rules) names.push_back(rule.call.starts_with('@') ? "@" : rule.call);
    const auto found = std::ranges::find_if_not(names, names_calls);
    return found == names.end() ? std::string() : *found;
}

}  // namespace

Result<Rules> rules_of(const Calls& calls, SentDescriptors sent, std::string& unknown) {
    unknown = find_unknown(calls);
    if (!unknown.empty()) return failure(EINVAL, "naming a system call");
    RuleMaker rules;
    for (const auto* list : {&calls.base, &calls.allow}) {
        for (const auto& name : *list) rules.allow(name);
    }
    for (const auto& name : calls.log) rules.log(name);
    deny_terminals_and_leases(rules, calls.ptys);
    deny_ioctls(rules, calls);
    deny_names_of_descriptors(rules, calls);
    deny_executable_shared_memory(rules, calls);
    if (calls.restrict_suid_sgid) deny_set_ids(rules);
    if (calls.lock_personality) deny_personalities(rules);
    if (calls.stays_undumpable) deny_dumps(rules);
    deny_out_of_band(rules);
    deny_connecting_by_sending(rules);
    if (calls.ports_restricted || connects_beside_listeners(calls)) deny_other_ways_to_ports(rules);
    // With sockets that nothing can be done with it needs none of its own.
    deny_families(rules, calls.network && leaves_connect(calls));
    deny_options(rules, calls);
    deny_namespaces(rules, calls.namespaces);
    deny_for_lent_sockets(rules, calls);
    if (!calls.may_send_descriptors && sent == SentDescriptors::refused_by_filter) {
        for (const auto* name : {"sendmsg", "sendmmsg"}) rules.deny(name);
    }
    for (const auto& denied : calls.deny) rules.refuse(denied);
    for (const auto& name : calls.kill) rules.kill(name);
    for (const auto& rule : calls.rules) rules.refuse_if(rule);
    return rules.take();
}

bool withheld(const Calls& calls, std::string_view call) {
    const bool one_of_these = std::ranges::find(by_name_of_descriptor, call) != std::end(by_name_of_descriptor);
    return calls.descriptors_have_names && one_of_these && !lists(calls.allow, call);
}

bool sets_ids(std::string_view call, std::span<const std::uint64_t, 6> arguments) {
    const auto bits = [&](const ModeArgument& one) { return one.call == call && (arguments[one.mode] & set_id_bits) != 0; };
    return std::ranges::any_of(calls_with_mode, bits) || std::ranges::any_of(calls_that_open, bits);
}

bool refuses_set_ids(const seccomp::Program& program) {
    if (program.empty()) return false;
    const auto denied = [&](std::string_view name, const unsigned long (&arguments)[6]) {
        const int call = seccomp::call_number(std::string(name));
        return call < 0 || (verdict_of(program, call, arguments) & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ALLOW;
    };
    for (const unsigned long bit : {static_cast<unsigned long>(S_ISUID), static_cast<unsigned long>(S_ISGID)}) {
        for (const auto& one : calls_with_mode) {
            unsigned long arguments[6]{};
            arguments[one.mode] = bit | 0755;
            if (!denied(one.call, arguments)) return false;
        }
        for (const unsigned long flags : {static_cast<unsigned long>(O_CREAT), static_cast<unsigned long>(O_TMPFILE)}) {
            for (const auto& one : calls_that_open) {
                unsigned long arguments[6]{};
                arguments[one.mode - 1] = flags;
                arguments[one.mode] = bit | 0755;
                if (!denied(one.call, arguments)) return false;
            }
        }
    }
    return denied("openat2", {});
}

bool gets_past_ports(int family, std::uint64_t protocol) {
    return std::ranges::find(internet_families, static_cast<std::uint32_t>(family)) != std::end(internet_families) &&
           std::ranges::find(not_quite_tcp, static_cast<std::uint32_t>(protocol)) != std::end(not_quite_tcp);
}

std::vector<int> stub_calls() {
    std::vector<int> numbers;
    for (const auto* name : {"execveat", "exit_group", "ppoll", "prctl", "restart_syscall", "rt_sigaction", "write"}) {
        numbers.push_back(seccomp::call_number(name));
    }
    return numbers;
}

}  // namespace warder::sandbox
