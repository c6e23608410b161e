#include "broker/hold.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "broker/socket_name.h"
#include "sys/kernel.h"
#include "unit/broker/bench.h"
#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::broker;
using warder::test::file_grant;
using warder::test::Folder;
using warder::test::listener_grant;
using warder::test::somebody;
using warder::test::tree_grant;

namespace {

constexpr Instant start{1'000'000'000};
constexpr Instant later = start + recheck_after;

// Looks until what the kernel has in memory suffices; another process' mount in the middle of a look may say otherwise.
Recheck look(Held& held, const policy::Grant& grant, Privileges& privileges, Instant now) {
    Recheck seen = Recheck::unknown;
    for (int i = 0; i < 100 && seen == Recheck::unknown; ++i) seen = recheck(held, grant, privileges, somebody, now);
    privileges.become_root();   // who removes the folder
    return seen;
}

struct Socket {
    Folder folder;
    policy::Grant grant = listener_grant("socket", "unix:" + folder.path + "/socket");
    Privileges privileges;
    Held held;
    Socket() {
        grant.as = policy::As::root;
        held = hold(grant, privileges, somebody);
    }
    ~Socket() { privileges.become_root(); }
    bool there() const { return std::filesystem::exists(folder.at("socket")); }
};

}  // namespace

TEST_CASE("a file's directory is held, a tree's is itself, and an absent one is none yet") {
    const Folder folder;
    Privileges privileges;
    const Held file = hold(file_grant("f", folder.at("file"), {Operation::read}), privileges, somebody);
    CHECK(file.directory_path == folder.path);
    CHECK(file.leaf == "file");
    CHECK(static_cast<bool>(file.directory));
    const Held tree = hold(tree_grant("t", folder.path, {Operation::read}), privileges, somebody);
    CHECK(tree.leaf.empty());
    CHECK(tree.identity == file.identity);
    CHECK_FALSE(static_cast<bool>(hold(tree_grant("a", folder.at("absent"), {Operation::read}), privileges, somebody).directory));
    CHECK(hold(tree_grant("p", "/proc/sys", {Operation::read}), privileges, somebody).kernel_view);
}

TEST_CASE("a held directory is looked at again after a while: the same, changed, gone") {
    const Folder folder;
    const std::string path = folder.at("site");
    Privileges privileges;
    std::filesystem::create_directory(path);
    const auto grant = tree_grant("t", path, {Operation::read});
    Held held = hold(grant, privileges, somebody);
    held.checked = start;
    const FileIdentity first = held.identity;
    CHECK(look(held, grant, privileges, later) == Recheck::same);
    std::filesystem::rename(path, path + "2");
    std::filesystem::create_directory(path);
    (void)std::filesystem::exists(path);
    CHECK(recheck(held, grant, privileges, somebody, later) == Recheck::same);   // too soon
    CHECK(look(held, grant, privileges, later + recheck_after) == Recheck::changed);
    CHECK_FALSE(held.identity == first);
    std::filesystem::remove(path);
    (void)std::filesystem::exists(path);
    const Recheck seen = look(held, grant, privileges, later + recheck_after + recheck_after);
    const auto type = file_system_of(held.directory.get());
    if (type && *type == kernel::magic_tmpfs) {
        CHECK(seen == Recheck::unknown);   // it does not keep in memory what is not there
        return;
    }
    CHECK(seen == Recheck::gone);
    CHECK_FALSE(static_cast<bool>(held.directory));
}

TEST_CASE("a pinned directory stays held though its name is given to another") {
    const Folder folder;
    const std::string path = folder.at("site");
    Privileges privileges;
    std::filesystem::create_directory(path);
    auto grant = tree_grant("t", path, {Operation::read});
    grant.pin = true;
    Held held = hold(grant, privileges, somebody);
    std::filesystem::remove(path);
    CHECK(recheck(held, grant, privileges, somebody, later) == Recheck::same);
}

TEST_CASE("D13: a listener is sound until its holder shuts it down, and is made again at its place") {
    Socket socket;
    REQUIRE(open_listener(socket.held, socket.grant, socket.privileges, somebody));
    CHECK(sound(socket.held));
    const auto lent = socket.held.listener.duplicate();
    REQUIRE(lent);
    REQUIRE(::shutdown(lent->get(), SHUT_RDWR) == 0);
    close_listener(socket.held, socket.privileges);
    CHECK_FALSE(socket.there());
    CHECK_FALSE(sound(socket.held));
    CHECK(open_listener(socket.held, socket.grant, socket.privileges, somebody));
    CHECK(sound(socket.held));
}

TEST_CASE("D13: a TCP listener that was shut down is no longer sound") {
    const auto grant = listener_grant("tcp", "tcp:127.0.0.1:0");
    Privileges privileges;
    Held held = hold(grant, privileges, somebody);
    REQUIRE(open_listener(held, grant, privileges, somebody));
    CHECK(sound(held));
    REQUIRE(::shutdown(held.listener.get(), SHUT_RDWR) == 0);
    CHECK_FALSE(sound(held));
}

TEST_CASE("D13: a listener whose packets no longer reach everybody is not sound") {
    struct Spoiling {
        int level, option, value;
    };
    const auto sound_after = [](std::string_view address, Spoiling how) {
        const auto grant = listener_grant("far", std::string(address));
        Privileges privileges;
        Held held = hold(grant, privileges, somebody);
        REQUIRE(open_listener(held, grant, privileges, somebody));
        CHECK(sound(held));
        REQUIRE(::setsockopt(held.listener.get(), how.level, how.option, &how.value, sizeof how.value) == 0);
        return sound(held);
    };
    CHECK_FALSE(sound_after("tcp:127.0.0.1:0", {IPPROTO_IP, IP_TTL, 1}));
    CHECK_FALSE(sound_after("udp:127.0.0.1:0", {IPPROTO_IP, IP_TTL, 1}));
    CHECK_FALSE(sound_after("tcp:[::1]:0", {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1}));
    CHECK_FALSE(sound_after("tcp:127.0.0.1:0", {SOL_SOCKET, SO_DONTROUTE, 1}));
    CHECK_FALSE(sound_after("tcp:127.0.0.1:0", {IPPROTO_IP, IP_OPTIONS, 0x01010101}));   // four that do nothing
    CHECK(sound_after("tcp:127.0.0.1:0", {IPPROTO_TCP, TCP_NODELAY, 1}));
    CHECK(sound_after("tcp:127.0.0.1:0", {SOL_SOCKET, SO_KEEPALIVE, 1}));
}

TEST_CASE("a socket's path has the grant's mode, and goes when the listener is let go") {
    Socket socket;
    socket.grant.mode = 0600;
    REQUIRE(open_listener(socket.held, socket.grant, socket.privileges, somebody));
    struct stat about;
    REQUIRE(::stat(socket.folder.at("socket").c_str(), &about) == 0);
    CHECK((about.st_mode & 0777) == 0600);
    close_listener(socket.held, socket.privileges);
    CHECK_FALSE(socket.there());
}

TEST_CASE("a socket's path that nobody answers on is replaced; a living one is in use, and so is what is no socket") {
    Socket first;
    REQUIRE(open_listener(first.held, first.grant, first.privileges, somebody));
    Held second = hold(first.grant, first.privileges, somebody);
    const auto living = open_listener(second, first.grant, first.privileges, somebody);
    REQUIRE_FALSE(living);
    CHECK(living.error().number == EADDRINUSE);
    first.held.listener.reset();   // its holder died: the path stays, dead
    REQUIRE(first.there());
    CHECK(open_listener(second, first.grant, first.privileges, somebody));
    close_listener(second, first.privileges);
    first.folder.write("socket", "a file");
    const auto file = open_listener(second, first.grant, first.privileges, somebody);
    REQUIRE_FALSE(file);
    CHECK(file.error().number == EADDRINUSE);
    CHECK(first.folder.read("socket") == "a file");
}

TEST_CASE("a socket's path is its owner's, whoever bound it, and its peers still see whom the grant says") {
    if (::geteuid() != 0) return;
    for (const auto as : {policy::As::root, policy::As::worker}) {
        Socket socket;
        socket.grant.as = as;
        socket.grant.mode = 0600;
        for (const auto owner : {policy::Owner::worker, policy::Owner::root}) {
            socket.grant.owner = owner;
            REQUIRE(::chown(socket.folder.path.c_str(), somebody.uid, somebody.gid) == 0);
            REQUIRE(open_listener(socket.held, socket.grant, socket.privileges, somebody));
            socket.privileges.become_root();
            struct stat about;
            REQUIRE(::lstat(socket.folder.at("socket").c_str(), &about) == 0);
            CHECK(about.st_uid == (owner == policy::Owner::worker ? somebody.uid : 0));
            CHECK((about.st_mode & 0777) == 0600);
            Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
            const auto name = unix_socket_name(socket.folder.at("socket"), Abstract::no);
            REQUIRE(::connect(client.get(), name.get(), name.size) == 0);
            ucred peer{};
            socklen_t size = sizeof peer;
            REQUIRE(::getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0);
            CHECK(peer.uid == (as == policy::As::worker ? somebody.uid : 0));   // T35
            close_listener(socket.held, socket.privileges);
            CHECK_FALSE(socket.there());
        }
    }
}

TEST_CASE("T45: a listener's path is removed where it was bound, as whoever bound it, and only if it still is what was bound") {
    if (::geteuid() != 0) return;
    Socket socket;
    socket.grant.as = policy::As::worker;
    std::filesystem::create_directory(socket.folder.at("run"));
    REQUIRE(::chown(socket.folder.at("run").c_str(), somebody.uid, somebody.gid) == 0);
    socket.grant.address.name = socket.folder.at("run/socket");
    socket.held = hold(socket.grant, socket.privileges, somebody);
    REQUIRE(open_listener(socket.held, socket.grant, socket.privileges, somebody));
    socket.privileges.become_root();
    // A reload holds what the directory's name means by then, and carries the listener over.
    std::filesystem::rename(socket.folder.at("run"), socket.folder.at("old"));
    std::filesystem::create_directory(socket.folder.at("run"));
    socket.folder.write("run/socket", "root's", 0600);
    Held again = hold(socket.grant, socket.privileges, somebody);
    again.listener = std::move(socket.held.listener);
    again.bound = std::move(socket.held.bound);
    close_listener(again, socket.privileges);
    CHECK(socket.privileges.current() == somebody);
    socket.privileges.become_root();
    CHECK(std::filesystem::exists(socket.folder.at("run/socket")));
    CHECK_FALSE(std::filesystem::exists(socket.folder.at("old/socket")));
    std::filesystem::remove(socket.folder.at("run/socket"));
    REQUIRE(::chown(socket.folder.at("run").c_str(), somebody.uid, somebody.gid) == 0);
    REQUIRE(open_listener(again, socket.grant, socket.privileges, somebody));
    socket.privileges.become_root();
    std::filesystem::remove(socket.folder.at("run/socket"));
    socket.folder.write("run/socket", "another", 0666);
    close_listener(again, socket.privileges);
    CHECK(std::filesystem::exists(socket.folder.at("run/socket")));
}

TEST_CASE("T54: a listener whose path was swept away, or is another's, or whose directory is gone, is known") {
    Socket socket;
    REQUIRE(open_listener(socket.held, socket.grant, socket.privileges, somebody));
    CHECK(has_its_path(socket.held));
    REQUIRE(::unlink(socket.folder.at("socket").c_str()) == 0);
    CHECK_FALSE(has_its_path(socket.held));
    const Fd other(::open(socket.folder.at("socket").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_FALSE(has_its_path(socket.held));
    const auto tcp = listener_grant("tcp", "tcp:127.0.0.1:0");
    Held without = hold(tcp, socket.privileges, somebody);
    CHECK(has_its_path(without));
    socket.held.listener.reset();
    ::unlink(socket.folder.at("socket").c_str());
}

TEST_CASE("a listener that cannot be made leaves no path behind") {
    if (::geteuid() != 0) return;
    Socket socket;
    socket.grant.owner = policy::Owner::worker;
    socket.held = hold(socket.grant, socket.privileges, somebody);
    REQUIRE(open_listener(socket.held, socket.grant, socket.privileges, somebody));
    close_listener(socket.held, socket.privileges);
    CHECK_FALSE(socket.there());
    socket.held.directory.reset();
    CHECK_FALSE(open_listener(socket.held, socket.grant, socket.privileges, somebody));
    CHECK_FALSE(static_cast<bool>(socket.held.bound.directory));
}

TEST_CASE("a listener that lets the kernel choose its name is shown by the name that it has") {
    const auto grant = listener_grant("any", "unix-seqpacket:@");
    Privileges privileges;
    Held held = hold(grant, privileges, somebody);
    CHECK(held.shown == "unix-seqpacket:@");
    REQUIRE(open_listener(held, grant, privileges, somebody));
    sockaddr_un name{};
    socklen_t size = sizeof name;
    REQUIRE(::getsockname(held.listener.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0);
    REQUIRE(size > sizeof(sa_family_t) + 1);
    const std::string chosen(name.sun_path + 1, size - sizeof(sa_family_t) - 1);
    CHECK(name.sun_path[0] == '\0');
    CHECK(held.shown == "unix-seqpacket:@" + chosen);
    CHECK(sound(held));
    Fd client(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const auto to = unix_socket_name(chosen, Abstract::yes);
    CHECK(::connect(client.get(), to.get(), to.size) == 0);
    privileges.become_root();
}

TEST_CASE("a vsock listener is bound where the grant says, if this kernel has vsock") {
    if (::geteuid() != 0) return;
    if (!Fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0))) {
        MESSAGE("skipped: no vsock");
        return;
    }
    const auto grant = listener_grant("vm", "vsock:*:70123");
    Privileges privileges;
    Held first = hold(grant, privileges, somebody);
    REQUIRE(open_listener(first, grant, privileges, somebody));
    CHECK(sound(first));
    Held second = hold(grant, privileges, somebody);
    const auto taken = open_listener(second, grant, privileges, somebody);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().number == EADDRINUSE);
}

TEST_CASE("a device is held by its directory, and the log by what its symlink leads to, when that changes too") {
    const Folder folder;
    Privileges privileges;
    policy::Grant device = file_grant("tun", "/dev/net/tun", {Operation::device});
    device.kind = policy::Kind::device;
    const Held tun = hold(device, privileges, somebody);
    CHECK(tun.directory_path == "/dev/net");
    CHECK(tun.leaf == "tun");
    policy::Grant log = file_grant("log", folder.at("log"), {Operation::syslog});
    log.kind = policy::Kind::syslog;
    Held held = hold(log, privileges, somebody);
    CHECK(held.directory_path == folder.path);
    CHECK(held.leaf == "log");
    std::filesystem::create_directory(folder.at("journal"));
    folder.write("journal/dev-log", "");
    std::filesystem::create_symlink("journal/dev-log", folder.at("log"));
    REQUIRE(std::filesystem::exists(folder.at("log")));
    held.checked = start;
    CHECK(look(held, log, privileges, later) == Recheck::changed);
    CHECK(held.directory_path == folder.at("journal"));
    CHECK(held.leaf == "dev-log");
    CHECK(held.shown == folder.at("log"));
    CHECK(hold(log, privileges, somebody).directory_path == folder.at("journal"));
}

TEST_CASE("T6: a file system whose server never answers is mounted over a held directory, and nobody waits for it") {
    if (::geteuid() != 0) return;
    const Folder folder;
    std::filesystem::create_directory(folder.at("site"));
    std::filesystem::create_directory(folder.at("site/below"));
    const auto grant = tree_grant("t", folder.at("site"), {Operation::read});
    const int line = warder::test::in_namespaces(CLONE_NEWNS, [&] {
        const Fd server(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
        if (!server) return 253;
        const std::string options = "fd=" + std::to_string(server.get()) + ",rootmode=40000,user_id=0,group_id=0";
        HOLDS(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        Privileges privileges;
        Held held = hold(grant, privileges, somebody);
        HOLDS(held.local || held.overlay);
        // Below it first: a lookup that would go there is told that it would leave the file system.
        HOLDS(::mount("fuse", folder.at("site/below").c_str(), "fuse", 0, options.c_str()) == 0);
        broker::Texts texts;
        broker::Task task;
        task.directory = held.directory.get();
        task.local = true;
        task.as = policy::As::root;
        for (const auto operation : {Operation::read, Operation::stat, Operation::access, Operation::watch}) {
            task.operation = operation;
            for (const char* path : {"below", "below/file"}) {
                task.path = path;
                const auto seen = broker::perform(task, Patience::never, privileges, somebody, texts);
                HOLDS(seen.error == EXDEV || seen.reason == Reason::would_block);
            }
        }
        const Fd another(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
        const std::string others = "fd=" + std::to_string(another.get()) + ",rootmode=40000,user_id=0,group_id=0";
        HOLDS(::mount("fuse", folder.at("site").c_str(), "fuse", 0, others.c_str()) == 0);
        held.checked = start;
        const Recheck seen = recheck(held, grant, privileges, somebody, later);
        HOLDS(seen == Recheck::changed || seen == Recheck::unknown);
        HOLDS(seen == Recheck::unknown || (!held.local && !held.overlay));
        return 0;
    });
    if (line == 253) MESSAGE("skipped: no /dev/fuse");
    CHECK((line == 0 || line == 253));
}

TEST_CASE("T25: what is made for its owner has its mode; somebody else's file is left alone") {
    if (::geteuid() != 0) return;
    const Folder folder;
    Privileges privileges;
    auto grant = file_grant("log", folder.at("deep/log"), {Operation::append});
    grant.owner = policy::Owner::worker;
    REQUIRE(make_owned(grant, privileges, somebody));
    struct stat about;
    REQUIRE(::stat(grant.path.c_str(), &about) == 0);
    CHECK(about.st_uid == somebody.uid);
    CHECK((about.st_mode & 0777) == 0640);
    REQUIRE(::chown(grant.path.c_str(), 61999, 61999) == 0);
    const auto refused = make_owned(grant, privileges, somebody);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().number == EPERM);
    folder.write("victim", "root's", 0600);
    REQUIRE(::link(folder.at("victim").c_str(), folder.at("planted").c_str()) == 0);
    grant.path = folder.at("planted");
    CHECK_FALSE(make_owned(grant, privileges, somebody));
    REQUIRE(::stat(folder.at("victim").c_str(), &about) == 0);
    CHECK(about.st_uid == 0);
}

TEST_CASE("T46: what is root's where others may write is not given away: they could have moved it there") {
    if (::geteuid() != 0) return;
    const Folder folder;
    Privileges privileges;
    std::filesystem::create_directory(folder.at("open"));
    for (const mode_t mode : {0777U, 01777U, 0755U}) {
        auto tree = tree_grant("t", folder.at("open/tree" + std::to_string(mode)), {Operation::read});
        auto file = file_grant("f", folder.at("open/file" + std::to_string(mode)), {Operation::read});
        tree.owner = file.owner = policy::Owner::worker;
        REQUIRE(::chmod(folder.at("open").c_str(), mode) == 0);
        std::filesystem::create_directory(tree.path);
        folder.write("open/file" + std::to_string(mode), "", 0600);
        CHECK(make_owned(tree, privileges, somebody).has_value() == (mode != 0777));
        CHECK(make_owned(file, privileges, somebody).has_value() == (mode != 0777));
        tree.path += "-new";
        file.path += "-new";
        struct stat about;
        REQUIRE(make_owned(tree, privileges, somebody));
        REQUIRE(::stat(tree.path.c_str(), &about) == 0);
        CHECK(about.st_uid == somebody.uid);
        CHECK((about.st_mode & 07777) == 0750);
        CHECK(make_owned(file, privileges, somebody));
        CHECK(make_owned(tree, privileges, somebody));   // it is its owner's already
    }
}

TEST_CASE("T6: nothing is made and nothing looked at where the mount table says that others answer") {
    const Folder folder;
    Privileges privileges;
    auto grant = tree_grant("data", folder.at("far/data"), {Operation::create});
    grant.owner = policy::Owner::worker;
    const std::string mountinfo = "9 1 0:99 / " + folder.at("far") + " rw - nfs4 server:/ rw\n";
    CHECK(make_owned(grant, privileges, somebody, mountinfo));
    CHECK_FALSE(std::filesystem::exists(folder.at("far")));
    const Held held = hold(grant, privileges, somebody, mountinfo);
    CHECK(held.elsewhere);
    CHECK_FALSE(static_cast<bool>(held.directory));
    CHECK_FALSE(hold(grant, privileges, somebody).elsewhere);
}

TEST_CASE("T25: behind a symlink that is not root's nothing is held for root, nor made for an owner") {
    if (::geteuid() != 0) return;
    const Folder folder;
    Privileges privileges;
    std::filesystem::create_directory(folder.at("real"));
    std::filesystem::create_directory(folder.at("drop"));
    REQUIRE(::chown(folder.at("drop").c_str(), somebody.uid, somebody.gid) == 0);
    std::filesystem::create_symlink("../real", folder.at("drop/door"));
    auto grant = tree_grant("t", folder.at("drop/door"), {Operation::read});
    grant.as = policy::As::root;
    Held held = hold(grant, privileges, somebody);
    CHECK(static_cast<bool>(held.directory));
    CHECK(look(held, grant, privileges, later) == Recheck::same);
    REQUIRE(::lchown(folder.at("drop/door").c_str(), somebody.uid, somebody.gid) == 0);
    CHECK(look(held, grant, privileges, later + recheck_after) == Recheck::foreign);
    CHECK_FALSE(static_cast<bool>(held.directory));
    CHECK_FALSE(static_cast<bool>(hold(grant, privileges, somebody).directory));
    grant.as = policy::As::worker;   // whose own permissions count
    CHECK(static_cast<bool>(hold(grant, privileges, somebody).directory));
    grant.path = folder.at("drop/door/made");
    grant.owner = policy::Owner::worker;
    const auto made = make_owned(grant, privileges, somebody);
    REQUIRE_FALSE(made);
    CHECK(made.error().number == EPERM);
    CHECK_FALSE(std::filesystem::exists(folder.at("real/made")));
}
