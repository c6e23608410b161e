#include "sandbox/seen_call.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "sandbox/call_groups.h"
#include "sandbox/calls.h"
#include "sys/socket_options.h"

namespace warder::sandbox {
namespace {

struct Plain {
    std::string_view call;
    std::uint8_t arguments;
};

constexpr Plain plain_calls[] = {
    {"chmod", 0b10},      {"creat", 0b10},       {"fchmod", 0b10},       {"fchmodat", 0b100},   {"fchmodat2", 0b100},
    {"mkdir", 0b10},      {"mkdirat", 0b100},    {"mknodat", 0b1100},    {"open", 0b110},       {"openat", 0b1100},
    {"bpf", 0b1},         {"clone", 0b1},        {"fcntl", 0b10},        {"getsockopt", 0b110}, {"ioctl", 0b10},
    {"ioprio_set", 0b111}, {"kcmp", 0b100},      {"keyctl", 0b1},        {"kill", 0b11},        {"mknod", 0b110},
    {"personality", 0b1}, {"prctl", 0b1},        {"ptrace", 0b11},       {"quotactl", 0b1},     {"reboot", 0b100},
    {"recvfrom", 0b1000}, {"recvmsg", 0b100},    {"recvmmsg", 0b1000},   {"sendmmsg", 0b1000},  {"sendmsg", 0b100},
    {"sendto", 0b1000},   {"setns", 0b10},       {"setpriority", 0b111}, {"setsockopt", 0b110}, {"socket", 0b111},
    {"socketpair", 0b111}, {"syslog", 0b1},      {"tgkill", 0b111},      {"tkill", 0b11},       {"unshare", 0b1},
};

bool holds(const std::vector<std::string>& names, std::string_view call) {
    return std::ranges::any_of(names, [call](const std::string& name) {
        if (!name.starts_with('@')) return name == call;
        const auto members = calls_of(name);
        return std::ranges::find(members, call) != members.end();
    });
}

// As it stands in the list: a group may hold it.
std::string as_written(const std::vector<std::string>& names, std::string_view call) {
    const auto exact = std::ranges::find(names, call);
    if (exact != names.end()) return *exact;
    const auto found = std::ranges::find_if(names, [call](const std::string& name) { return holds({name}, call); });
    return found == names.end() ? std::string(call) : *found;
}

std::vector<std::string> denied_names(const Calls& calls) {
    std::vector<std::string> names;
    for (const auto& one : calls.deny) names.push_back(one.name);
    return names;
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

// The whole list, ready to be written: a key that is there already is replaced by it.
std::string allowing(const Calls& calls, std::string_view call) {
    std::string list;
    for (const auto& name : calls.allow) list += quoted(name) + ", ";
    return "allow_calls = [" + list + quoted(call) + "]";
}

std::string allowing_ioctl(const Calls& calls, std::uint32_t request) {
    std::string list;
    char text[16];
    for (const auto one : calls.allow_ioctls) {
        std::snprintf(text, sizeof text, "0x%x, ", one);
        list += text;
    }
    std::snprintf(text, sizeof text, "0x%x", request);
    return "allow_ioctls = [" + list + text + "]";
}

bool matches(const CallRule& rule, const SeenCall& call) {
    if (rule.call != call.name || (call.plain >> rule.argument & 1) == 0) return false;
    const bool equal = (static_cast<std::uint32_t>(call.arguments[rule.argument]) & rule.mask) == (rule.value & rule.mask);
    return equal != rule.differs;
}

bool has_rule(const Calls& calls, const SeenCall& call) {
    return std::ranges::any_of(calls.rules, [&](const CallRule& rule) {
        const bool not_seen = (call.plain >> rule.argument & 1) == 0;
        return rule.call == call.name && (not_seen || matches(rule, call));
    });
}

bool is_one_of(std::string_view call, std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, call) != names.end();
}

Remedy out_of(const std::string& key, const std::vector<std::string>& names, std::string_view call) {
    const std::string written = as_written(names, call);
    const std::string whole = written == call ? "" : ", or name its members without " + quoted(call);
    return {key, "take " + quoted(written) + " out of " + key + whole};
}

// How the key for it begins, where the grants would let it; empty otherwise.
std::string_view beside_listeners(const Calls& calls, std::string_view call) {
    Calls other = calls;
    other.beside_listeners = call == "connect" ? BesideListeners::connect : BesideListeners::listen;
    if (call == "connect" && leaves_connect(other)) return "beside_listeners = \"connect\", which takes listen away; otherwise nothing: ";
    if (call == "listen" && leaves_listen(other)) return "beside_listeners = \"listen\", which takes connect away; otherwise nothing: ";
    return "nothing: ";
}

// What is denied to a worker whose grants lend it sockets, whatever its lists say.
std::string for_lent_sockets(const Calls& calls, std::string_view call) {
    const bool lent = lends_what_leads_elsewhere(calls);
    const bool denied = (lent && call == "bind") || (call == "connect" && !leaves_connect(calls)) || (call == "listen" && !leaves_listen(calls));
    if (denied) return std::string(beside_listeners(calls, call)) + "its grants lend it sockets, which it could lead elsewhere; ask for a listen or connect grant";
    if (calls.datagram_sockets_lent && is_one_of(call, {"sendmsg", "sendmmsg", "sendto"})) {
        return "nothing: its grants lend it datagram sockets, which it could send anywhere by; send(2) is allowed";
    }
    if (!calls.may_send_descriptors && is_one_of(call, {"sendmsg", "sendmmsg"})) {
        return "nothing: this kernel cannot refuse descriptors on a socket (Linux 6.16 can), so that call is denied; send(2) is allowed";
    }
    return {};
}

Remedy of_socket(const Calls& calls, const SeenCall& call) {
    const auto family = static_cast<int>(call.arguments[0]);
    const bool internet = family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
    const bool lent = !leaves_connect(calls);
    if (call.name == "socket" && calls.ports_restricted && gets_past_ports(static_cast<int>(call.arguments[0]), call.arguments[2])) {
        return {"tcp_connect", "no tcp_bind and tcp_connect, which MPTCP and SMC would get past; or a plain TCP socket"};
    }
    if (call.name == "socket" && internet && lent) return {"", "nothing: its grants lend it sockets; ask for a listen, connect or netlink grant"};
    if (call.name == "socket" && internet) return {"network", "network = \"host\", or a listen, connect or netlink grant"};
    return {"", "nothing makes sockets of this family; a raw, packet, netlink or listen grant lends some"};
}

// The whole list, as allow_calls is written.
Remedy of_option(const Calls& calls, const SeenCall& call) {
    const auto* option = socket_options::find(static_cast<std::uint32_t>(call.arguments[1]), static_cast<std::uint32_t>(call.arguments[2]));
    if (option == nullptr) return {"", "nothing: beside the sockets that its grants lend no such option of sockets can be set"};
    std::string list;
    for (const auto& name : calls.socket_options) list += quoted(name) + ", ";
    return {"allow_socket_options", "allow_socket_options = [" + list + quoted(option->name) + "]: " + std::string(option->about)};
}

// Its number is allowed: an argument of it was not.
Remedy of_argument(const Calls& calls, const SeenCall& call) {
    if (has_rule(calls, call)) return {"call_rules", "take the rule for " + quoted(call.name) + " out of call_rules"};
    if (is_one_of(call.name, {"socket", "socketpair"})) return of_socket(calls, call);
    if (call.name == "setsockopt" && calls.lent_sockets != 0 && call.error == ENOPROTOOPT) return of_option(calls, call);
    if (call.name == "prctl" && call.arguments[0] == PR_SET_DUMPABLE) return {"dumpable", "dumpable = true"};
    if (call.name == "ioctl" && call.error == ENOTTY) return {"allow_ioctls", allowing_ioctl(calls, static_cast<std::uint32_t>(call.arguments[1]))};
    if (call.name == "shmat") return {"memory_deny_write_execute", "memory_deny_write_execute = false"};
    if (calls.restrict_suid_sgid && sets_ids(call.name, call.arguments)) return {"restrict_suid_sgid", "restrict_suid_sgid = false"};
    if (call.name == "personality") return {"lock_personality", "lock_personality = false"};
    return {"", "nothing: with these arguments it is denied to every worker under a filter"};
}

Remedy of_killing(const Calls& calls, const SeenCall& call) {
    if (call.foreign) return {"", "nothing: calls of another ABI (i386, x32) are never allowed; use a program of this machine's own"};
    Remedy remedy = out_of("kill_calls", calls.kill, call.name);
    if (!holds(calls.base, call.name) && !holds(calls.allow, call.name)) remedy.change += ", and " + allowing(calls, call.name);
    return remedy;
}

}  // namespace

std::uint8_t plain_arguments(std::string_view call) {
    const auto* found = std::ranges::find(plain_calls, call, &Plain::call);
    return found == std::end(plain_calls) ? std::uint8_t{0} : found->arguments;
}

std::string in_words(const SeenCall& call) {
    std::string words = call.name + (call.foreign ? " of another ABI" : "");
    if (call.plain == 0) return words;
    words += "(";
    for (unsigned i = 0; (call.plain >> i) != 0; ++i) {
        if (i > 0) words += ", ";
        words += (call.plain >> i & 1) != 0 ? std::to_string(static_cast<std::int32_t>(call.arguments[i])) : "_";
    }
    return words + ")";
}

Remedy remedy_for(const Calls& calls, const SeenCall& call) {
    if (call.error == 0) return of_killing(calls, call);
    const auto denied = denied_names(calls);
    if (holds(denied, call.name)) return out_of("deny_calls", denied, call.name);
    if (const auto words = for_lent_sockets(calls, call.name); !words.empty()) return {"", words};
    if (withheld(calls, call.name)) return {"allow_calls", allowing(calls, call.name) + ", or proc = \"hidden\": a name in /proc/self/fd could be that of a lent file"};
    const bool allowed = holds(calls.base, call.name) || holds(calls.allow, call.name) || holds(calls.log, call.name);
    if (allowed) return of_argument(calls, call);
    if (!names_calls(call.name)) return {"", "nothing: libseccomp has no name for it"};
    return {"allow_calls", allowing(calls, call.name)};
}

}  // namespace warder::sandbox
