#include "sys/privileges.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iterator>
#include <vector>

#include "sys/process.h"

using namespace warder;

namespace {

std::vector<gid_t> groups_now() {
    std::vector<gid_t> groups(64);
    groups.resize(static_cast<std::size_t>(::getgroups(64, groups.data())));
    return groups;
}

// As a root that somebody started with groups of theirs: what forgets to take them away is seen.
bool inherit_groups() {
    constexpr gid_t inherited[] = {4, 24, 27};
    return ::setgroups(std::size(inherited), inherited) == 0;
}

// In a child, so that nothing of the credentials is left in the tests.
template <typename Function>
void as_root_in_child(const Function& in_child) {
    if (::geteuid() != 0) {
        MESSAGE("skipped: needs root");
        return;
    }
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) ::_exit(inherit_groups() ? in_child() : 99);
    REQUIRE(ended_within(child->pidfd.get(), 10'000));
    const auto ended = reap(child->pidfd.get());
    REQUIRE((ended && ended->has_value()));
    CHECK_FALSE((*ended)->by_signal);
    CHECK_MESSAGE((*ended)->value == 0, "step ", (*ended)->value);
}

Identity with_groups() {
    Identity identity{.uid = 61001, .gid = 61002};
    identity.groups = {61003, 61004};
    identity.group_count = 2;
    return identity;
}

}  // namespace

TEST_CASE("becoming a worker changes the effective ids and groups, and becoming root takes them back") {
    as_root_in_child([] {
        Privileges privileges;
        if (!privileges.become(with_groups())) return 1;
        if (::geteuid() != 61001 || ::getegid() != 61002) return 2;
        if (groups_now() != std::vector<gid_t>{61003, 61004}) return 3;
        if (::getuid() != 0 || ::getgid() != 0) return 4;
        if (!(privileges.current() == with_groups())) return 5;
        privileges.become_root();
        if (::geteuid() != 0 || ::getegid() != 0 || !groups_now().empty()) return 6;
        return privileges.current() == root_identity ? 0 : 7;
    });
}

TEST_CASE("from one worker to another nothing of the first is left") {
    as_root_in_child([] {
        Privileges privileges;
        if (!privileges.become(with_groups())) return 1;
        if (!privileges.become(Identity{.uid = 61010, .gid = 61011})) return 2;
        return ::geteuid() == 61010 && ::getegid() == 61011 && groups_now().empty() ? 0 : 3;
    });
}

TEST_CASE("a worker's credentials drop the right to override permissions, and root has it again") {
    as_root_in_child([] {
        char path[] = "/tmp/warder-privileges-XXXXXX";
        const Fd made(::mkostemp(path, O_CLOEXEC));
        Privileges privileges;
        if (!made || !privileges.become(Identity{.uid = 61001, .gid = 61002})) return 1;
        const bool refused = ::open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES;
        privileges.become_root();
        const bool allowed = static_cast<bool>(Fd(::open(path, O_RDONLY | O_CLOEXEC)));
        ::unlink(path);
        return refused ? (allowed ? 0 : 3) : 2;
    });
}

TEST_CASE("T35: a socket that is connected with a worker's credentials shows them, not root's") {
    as_root_in_child([] {
        Privileges privileges;
        const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sa_family_t family = AF_UNIX;   // autobind: the kernel gives an abstract name
        if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&family), sizeof family) != 0) return 1;
        if (::listen(listener.get(), 1) != 0) return 2;
        sockaddr_storage name;
        socklen_t size = sizeof name;
        if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) return 3;
        const Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!privileges.become(Identity{.uid = 61001, .gid = 61002})) return 4;
        if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&name), size) != 0) return 5;
        privileges.become_root();
        const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        ucred peer{};
        socklen_t peer_size = sizeof peer;
        if (::getsockopt(accepted.get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0) return 6;
        return peer.uid == 61001 && peer.gid == 61002 ? 0 : 7;
    });
}

TEST_CASE("credentials that the kernel refuses leave us root") {
    as_root_in_child([] {
        Privileges privileges;
        Identity impossible{.uid = 61001, .gid = 61002};
        impossible.groups[0] = static_cast<gid_t>(-1);   // no such group can be
        impossible.group_count = 1;
        const auto became = privileges.become(impossible);
        if (became || became.error().number != EINVAL) return 1;
        return ::geteuid() == 0 && ::getegid() == 0 && privileges.current() == root_identity ? 0 : 2;
    });
}

TEST_CASE("who settles as somebody has none of root's ids or groups left, and no way back") {
    as_root_in_child([] {
        if (!settle_as(61001, 61002)) return 1;
        if (!groups_now().empty()) return 2;
        uid_t uids[3];
        gid_t gids[3];
        if (::getresuid(&uids[0], &uids[1], &uids[2]) != 0 || ::getresgid(&gids[0], &gids[1], &gids[2]) != 0) return 3;
        for (const uid_t uid : uids) if (uid != 61001) return 4;
        for (const gid_t gid : gids) if (gid != 61002) return 5;
        if (::setresuid(0, 0, 0) == 0 || ::setresgid(0, 0, 0) == 0 || ::setgroups(0, nullptr) == 0) return 6;
        return settle_as(61001, 61002) ? 0 : 7;   // it is so already
    });
}

TEST_CASE("what comes back to root has none of the groups that root was started with") {
    as_root_in_child([] {
        Privileges privileges;
        if (!privileges.become(with_groups())) return 1;
        privileges.become_root();
        return groups_now().empty() ? 0 : 2;
    });
}

TEST_CASE("without root there is nothing to switch: becoming what one is does nothing") {
    const Identity own{.uid = ::geteuid(), .gid = ::getegid()};
    Privileges privileges(own);
    CHECK(privileges.become(own));
    privileges.become_root();
    CHECK(::geteuid() == own.uid);
}

TEST_CASE("the self-test passes as root, and leaves root") {
    as_root_in_child([] {
        Privileges privileges;
        if (!Privileges::self_test(privileges, "/tmp")) return 1;
        return ::geteuid() == 0 ? 0 : 2;
    });
}

TEST_CASE("the self-test fails where switching does not drop the right to override permissions") {
    as_root_in_child([] {
        // With its own idea of root being the very ids of the test, become() changes nothing.
        Privileges privileges(Identity{.uid = 65534, .gid = 65534});
        const auto tested = Privileges::self_test(privileges, "/tmp");
        return !tested && tested.error().number == EPERM ? 0 : 1;
    });
}
