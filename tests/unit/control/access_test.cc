#include "control/access.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "sys/process.h"

using namespace warder;
using namespace warder::control;
using protocol::Verb;

namespace {

constexpr uid_t somebody = 64990;
constexpr gid_t own_group = 64991;
constexpr gid_t operators = 64992;

// A listener with an abstract name of the kernel's choice, as the control socket is set up.
struct Listener {
    Fd fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    socklen_t size = sizeof address;

    Listener() {
        address.sun_family = AF_UNIX;
        REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) == 0);
        REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
        Channel passing(Fd(::dup(fd.get())));
        REQUIRE(passing.pass_credentials());
        REQUIRE(::listen(fd.get(), 4) == 0);
    }
};

struct Who {
    uid_t uid = somebody;
    gid_t gid = own_group;
    std::vector<gid_t> groups;
};

[[noreturn]] void child(const Listener& listener, const Who& who, bool send_as_root) {
    // With the change of user still to come for the connection of a root that hands its socket on.
    const auto become = [&] {
        return ::setgroups(who.groups.size(), who.groups.data()) == 0 && ::setresgid(who.gid, who.gid, who.gid) == 0 &&
               ::setresuid(who.uid, who.uid, who.uid) == 0;
    };
    if (!send_as_root && !become()) ::_exit(1);
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&listener.address), listener.size) != 0) ::_exit(2);
    if (send_as_root && !become()) ::_exit(3);
    if (::send(fd, "x", 1, 0) != 1) ::_exit(4);
    char byte = 0;
    ::_exit(::recv(fd, &byte, 1, 0) == 0 ? 0 : 5);   // until the test closes
}

struct Visit {
    Peer peer;
    Received received;
};

// Lets a child connect as `who`, and returns what the kernel says of it. `changes_after_connect`: it connects as root first.
Visit visit(const Who& who, bool changes_after_connect = false) {
    Listener listener;
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) child(listener, who, changes_after_connect);
    Channel channel(Fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    REQUIRE(channel);
    REQUIRE(channel.pass_credentials());
    auto peer = peer_of(channel.get());
    REQUIRE(peer);
    std::array<std::byte, 64> buffer;
    auto received = channel.receive_waiting(buffer);
    REQUIRE(received);
    channel.close();
    int status = -1;
    ::waitpid(pid, &status, 0);
    CHECK(status == 0);
    CHECK(peer->pid == pid);
    return {std::move(*peer), std::move(*received)};
}

bool has_group(const Peer& peer, gid_t gid) {
    return std::find(peer.groups.begin(), peer.groups.end(), gid) != peer.groups.end();
}

}  // namespace

TEST_CASE("access: root may do everything, by its uid alone") {
    const auto [peer, received] = visit({0, 0, {}});
    CHECK(peer.uid == 0);
    CHECK(same_user(peer, received));
    CHECK(may(Access::root_only(), peer, Verb::shutdown));
    CHECK(may(Access::root_only(), peer, Verb::status));
}

TEST_CASE("access: a supplementary member of the group may look and change, though no message carries that group") {
    const auto [peer, received] = visit({somebody, own_group, {operators}});
    CHECK(peer.uid == somebody);
    CHECK(has_group(peer, operators));
    CHECK(has_group(peer, own_group));
    CHECK(received.sender.gid == own_group);
    CHECK(same_user(peer, received));
    const Access access = Access::root_and(operators, "warder");
    CHECK(may(access, peer, Verb::status));
    CHECK(may(access, peer, Verb::stop));
}

TEST_CASE("access: a member by its main group may, too") {
    const auto [peer, received] = visit({somebody, operators, {}});
    CHECK(may(Access::root_and(operators, "warder"), peer, Verb::restart));
}

TEST_CASE("access: a stranger may neither look nor change, and is told who may") {
    const auto [peer, received] = visit({somebody, own_group, {}});
    const Access access = Access::root_and(operators, "warder");
    CHECK_FALSE(may(access, peer, Verb::status));
    CHECK_FALSE(may(access, peer, Verb::stop));
    CHECK_FALSE(may(Access::root_only(), peer, Verb::list));
    CHECK(explain_refusal(access, peer, Verb::stop) ==
          "uid 64990 may not stop: the control socket lets in root and members of group warder");
}

TEST_CASE("access: more groups than fit a first guess are all read") {
    std::vector<gid_t> many;
    for (gid_t gid = 70000; gid < 70300; ++gid) many.push_back(gid);
    many.push_back(operators);
    const auto [peer, received] = visit({somebody, own_group, many});
    CHECK(peer.groups.size() == 302);
    CHECK(may(Access::root_and(operators, "warder"), peer, Verb::stop));
}

TEST_CASE("access: a connection made by root and used by another user is that of neither (T8)") {
    const auto [peer, received] = visit({somebody, own_group, {}}, true);
    CHECK(peer.uid == 0);
    CHECK(received.sender.uid == somebody);
    CHECK_FALSE(same_user(peer, received));
}

TEST_CASE("access: a message without the kernel's word is nobody's, not root's (T9)") {
    Peer root;
    root.uid = 0;
    Received unauthenticated;
    unauthenticated.sender = {0, 0, 0};
    CHECK_FALSE(same_user(root, unauthenticated));
    unauthenticated.authenticated = true;   // pid 0: queued before SO_PASSCRED
    CHECK_FALSE(same_user(root, unauthenticated));
}

TEST_CASE("access: a group that may look may not change, and an unknown verb counts as change") {
    Access access;
    access.look_groups = {operators};
    Peer member;
    member.uid = somebody;
    member.groups = {operators};
    for (const Verb verb : {Verb::status, Verb::list, Verb::show, Verb::logs, Verb::grants, Verb::fds, Verb::why,
                            Verb::check, Verb::version, Verb::sockets, Verb::store, Verb::security}) {
        CHECK(may(access, member, verb));
    }
    for (const Verb verb : {Verb::start, Verb::stop, Verb::restart, Verb::reload, Verb::signal, Verb::forget, Verb::shutdown, static_cast<Verb>(99)}) {
        CHECK_FALSE(may(access, member, verb));
    }
}

// A peer in the pid namespace that `namespaces` makes, connected, and alive until the test closes.
bool lives_with_us(std::uint64_t namespaces) {
    const Listener listener;
    const auto peer = clone_process(namespaces, -1);
    REQUIRE(peer);
    if (peer->pid == 0) child(listener, {::getuid(), ::getgid(), {}}, false);
    const Fd connection(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(connection);
    const auto who = peer_of(connection.get());
    REQUIRE(who);
    CHECK(who->pid == peer->pid);   // by that number alone the two cannot be told apart
    const bool found = in_own_pid_namespace(connection.get(), *who);
    (void)send_signal(peer->pidfd.get(), SIGKILL);
    REQUIRE(ended_within(peer->pidfd.get(), 10'000));
    (void)reap(peer->pidfd.get());
    CHECK_FALSE(in_own_pid_namespace(connection.get(), *who));   // who is gone is not known to
    return found;
}

TEST_CASE("access: a peer in a worker's pid namespace is told from one that lives beside warderd") {
    CHECK(lives_with_us(0));
    CHECK_FALSE(lives_with_us(CLONE_NEWPID));
}

TEST_CASE("access: without root it is the one user that is let in, and the sentence says which") {
    const Access access = Access::only(somebody);
    Peer peer;
    peer.uid = somebody;
    CHECK(may(access, peer, Verb::stop));
    peer.uid = 0;
    CHECK_FALSE(may(access, peer, Verb::status));
    CHECK(explain_refusal(access, peer, Verb::stop) == "uid 0 may not stop: the control socket lets in uid 64990");
}
