// What a denied call is told as, and the smallest change that would allow it.
#include "sandbox/seen_call.h"

#include <doctest/doctest.h>
#include <linux/seccomp.h>

#include "sandbox/calls.h"
#include "sandbox/forbidden.h"
#include "sys/seccomp.h"
#include "sys/socket_options.h"

using namespace warder;
using namespace warder::sandbox;

namespace {

SeenCall denied(const std::string& name, std::array<std::uint64_t, 6> arguments = {}) {
    SeenCall call;
    call.name = name;
    call.error = EPERM;
    call.arguments = arguments;
    call.plain = plain_arguments(name);
    return call;
}

SeenCall fatal(const std::string& name) {
    SeenCall call = denied(name);
    call.error = 0;
    return call;
}

bool matches(const Remedy& remedy, const std::string& key, const std::string& change) { return remedy.key == key && remedy.change == change; }

}  // namespace

TEST_CASE("only arguments that are plain numbers are told") {
    CHECK(in_words(denied("ioctl", {7, 0x5412, 0x7fff0000})) == "ioctl(_, 21522)");
    CHECK(in_words(denied("mount", {0x7fff0000})) == "mount");
    CHECK(in_words(denied("socket", {16, 3, 0})) == "socket(16, 3, 0)");
    CHECK(in_words(denied("ptrace", {0, 0xffffffffffffffff})) == "ptrace(0, -1)");
}

TEST_CASE("a call that no list has wants to be allowed, beside those that are") {
    Calls calls;
    CHECK(matches(remedy_for(calls, denied("ptrace")), "allow_calls", "allow_calls = [\"ptrace\"]"));
    calls.allow = {"@mount", "bpf"};
    CHECK(matches(remedy_for(calls, denied("ptrace")), "allow_calls", "allow_calls = [\"@mount\", \"bpf\", \"ptrace\"]"));
}

TEST_CASE("a call that a list denies or kills for wants out of it") {
    Calls calls;
    calls.deny = {{"chmod", EPERM}, {"@timer", EACCES}};
    CHECK(matches(remedy_for(calls, denied("chmod")), "deny_calls", "take \"chmod\" out of deny_calls"));
    CHECK(remedy_for(calls, denied("timer_create")).change == "take \"@timer\" out of deny_calls, or name its members without \"timer_create\"");
    calls.kill = {"ptrace", "read"};
    CHECK(remedy_for(calls, fatal("ptrace")).change == "take \"ptrace\" out of kill_calls, and allow_calls = [\"ptrace\"]");
    CHECK(matches(remedy_for(calls, fatal("read")), "kill_calls", "take \"read\" out of kill_calls"));
}

TEST_CASE("of a call that is allowed an argument was not") {
    Calls calls;
    CHECK(remedy_for(calls, denied("socket", {2, 1, 0})).key == "network");
    CHECK(remedy_for(calls, denied("socket", {17, 3, 0})).key.empty());
    CHECK(remedy_for(calls, denied("personality", {8})).key == "lock_personality");
    CHECK(remedy_for(calls, denied("ioctl", {0, 0x5412})).change.starts_with("nothing: with these arguments"));
    calls.rules = {{.call = "prctl", .argument = 0, .value = 4}};
    CHECK(remedy_for(calls, denied("prctl", {4})).key == "call_rules");
    CHECK(remedy_for(calls, denied("prctl", {5})).key.empty());
}

TEST_CASE("what lent sockets take away no key gives back") {
    Calls calls;
    calls.network = true;
    calls.inet_sockets_lent = true;
    calls.may_send_descriptors = true;
    CHECK(remedy_for(calls, denied("connect")).change.starts_with("nothing: its grants lend it sockets"));
    CHECK(remedy_for(calls, denied("socket", {2, 1, 0})).key.empty());
    calls.datagram_sockets_lent = true;
    CHECK(remedy_for(calls, denied("sendmsg")).change.find("send(2) is allowed") != std::string::npos);
}

TEST_CASE("nothing allows a call of another ABI") {
    SeenCall call = fatal("write");
    call.foreign = true;
    CHECK(remedy_for({}, call).key.empty());
    CHECK(in_words(call) == "write of another ABI");
}

TEST_CASE("a telling filter asks about what the plain one denies or kills for, and about nothing else") {
    std::string unknown;
    Calls calls;
    calls.kill = {"ptrace"};
    calls.deny = {{"chmod", EACCES}, {"chown", ENOSYS}};
    const auto rules = rules_of(calls, SentDescriptors::refused_by_socket, unknown);
    REQUIRE(rules);
    const auto plain = seccomp::compile(*rules);
    REQUIRE(plain);
    const auto telling = seccomp::telling(*plain);
    for (int number = 0; number < 1024; ++number) {
        const std::uint32_t before = verdict_of(*plain, number, {});
        const bool absent = (before & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO && (before & SECCOMP_RET_DATA) == ENOSYS;
        const bool passes = (before & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW;
        CAPTURE(number);
        CHECK(verdict_of(telling, number, {}) == (absent || passes ? before : SECCOMP_RET_USER_NOTIF));
    }
    seccomp_data foreign{};
    foreign.nr = 1;
    foreign.arch = 3;   // AUDIT_ARCH of nobody here
    CHECK(verdict_of(*plain, foreign) == SECCOMP_RET_KILL_PROCESS);
    CHECK(verdict_of(telling, foreign) == SECCOMP_RET_USER_NOTIF);
    CHECK(verdict_of(telling, seccomp::listener_call, {}) == SECCOMP_RET_USER_NOTIF);
}

TEST_CASE("of two calls beside listeners the key for the other is told, and an option by its name") {
    Calls calls;
    calls.inet_sockets_lent = calls.listeners_lent = true;
    calls.lent_sockets = socket_options::lent_ipv4 | socket_options::lent_tcp;
    CHECK(remedy_for(calls, denied("connect")).change.starts_with("beside_listeners = \"connect\", which takes listen away"));
    calls.beside_listeners = BesideListeners::connect;
    CHECK(remedy_for(calls, denied("listen")).change.starts_with("beside_listeners = \"listen\", which takes connect away"));
    calls.only_listeners_lent = false;
    calls.beside_listeners = BesideListeners::neither;
    CHECK(remedy_for(calls, denied("connect")).change.starts_with("nothing: its grants lend it sockets"));
    SeenCall option = denied("setsockopt", {3, 6, 13});
    option.error = ENOPROTOOPT;
    CHECK(remedy_for(calls, option).key == "allow_socket_options");
    CHECK(remedy_for(calls, option).change.starts_with("allow_socket_options = [\"TCP_CONGESTION\"]"));
    option.arguments[2] = 999;
    CHECK(remedy_for(calls, option).key.empty());
}
