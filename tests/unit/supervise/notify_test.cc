#include "supervise/notify.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

using namespace warder;
using namespace warder::supervise;

namespace {

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/warder-notify-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Folder() { ::rmdir(path.c_str()); }
};

// Sends `text` to `path`, with a descriptor if `fd` is not -1. Returns errno.
int send_to(const std::string& path, std::string_view text, int fd = -1) {
    Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
    Channel channel(std::move(socket));
    const std::span<const int> fds(&fd, fd < 0 ? 0 : 1);
    const auto sent = channel.send(bytes_of(text), fds);
    return sent ? 0 : sent.error().number;
}

std::optional<Notification> receive(NotifySocket& socket, pid_t main) {
    int budget = 16;
    return socket.receive_from(main, budget);
}

int open_descriptors() {
    int count = 0;
    for (int fd = 0; fd < 256; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

}  // namespace

TEST_CASE("a message of several lines says several things") {
    const Notification said = parse_notification("READY=1\nSTATUS=serving 3 sites\nMAINPID=1\nWATCHDOG=1\n");
    CHECK(said.ready);
    CHECK(said.watchdog);
    CHECK_FALSE(said.stopping);
    CHECK(said.has_status);
    CHECK(said.status.view() == "serving 3 sites");
}

TEST_CASE("only the exact words count") {
    CHECK_FALSE(parse_notification("READY=10").ready);
    CHECK_FALSE(parse_notification("READY=0").ready);
    CHECK_FALSE(parse_notification(" READY=1").ready);
    CHECK_FALSE(parse_notification("").has_status);
    CHECK(parse_notification("STOPPING=1").stopping);
}

TEST_CASE("T16: a status keeps no control characters and no broken text") {
    CHECK(parse_notification("STATUS=a\tb\x1b[31m\x7f").status.view() == "a?b?[31m?");
    CHECK(parse_notification("STATUS=gr\xc3\xbc\xc3\x9f" "e").status.view() == "gr\xc3\xbc\xc3\x9f" "e");
    CHECK(parse_notification("STATUS=\xff\xc3(\xe2\x82.").status.view() == "\x3f\x3f(\x3f\x3f.");
    CHECK(parse_notification("STATUS=\xed\xa0\x80\xc0\x80\xf4\x90\x80\x80").status.view() ==
          "\x3f\x3f\x3f\x3f\x3f\x3f\x3f\x3f\x3f");
}

TEST_CASE("a long status is cut between characters") {
    const Notification said = parse_notification("STATUS=" + std::string(255, 'x') + "\xc3\xbc" + "y");
    CHECK(said.status.view() == std::string(255, 'x'));
}

TEST_CASE("the last status of a message counts, and an empty one clears") {
    CHECK(parse_notification("STATUS=a\nSTATUS=b").status.view() == "b");
    const Notification said = parse_notification("STATUS=");
    CHECK(said.has_status);
    CHECK(said.status.empty());
}

TEST_CASE("what the main process says is heard, what others say is not") {
    const Folder folder;
    auto socket = NotifySocket::create(folder.path + "/notify");
    REQUIRE(socket);
    REQUIRE(send_to(socket->path(), "READY=1") == 0);
    CHECK_FALSE(receive(*socket, ::getpid() + 1));
    REQUIRE(send_to(socket->path(), "READY=1") == 0);
    const auto said = receive(*socket, ::getpid());
    REQUIRE(said);
    CHECK(said->ready);
    CHECK_FALSE(receive(*socket, ::getpid()));
}

TEST_CASE("T13: a child of the main process does not make it ready") {
    const Folder folder;
    auto socket = NotifySocket::create(folder.path + "/notify");
    REQUIRE(socket);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(send_to(socket->path(), "READY=1"));
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    CHECK_FALSE(receive(*socket, ::getpid()));
    CHECK_EQ(socket->take_unheard(), child);
    CHECK_FALSE(socket->take_unheard());   // told once
    socket->drain();
    REQUIRE(send_to(socket->path(), "STATUS=x") == 0);
    receive(*socket, 1);
    CHECK_FALSE(socket->take_unheard());   // it did not say that it is ready
}

TEST_CASE("no more messages than the budget are looked at in one turn") {
    const Folder folder;
    auto socket = NotifySocket::create(folder.path + "/notify");
    REQUIRE(socket);
    for (int i = 0; i < 3; ++i) REQUIRE(send_to(socket->path(), "WATCHDOG=1") == 0);
    int budget = 2;
    CHECK(socket->receive_from(::getpid(), budget));
    CHECK(socket->receive_from(::getpid(), budget));
    CHECK_FALSE(socket->receive_from(::getpid(), budget));
    CHECK(receive(*socket, ::getpid()));
}

TEST_CASE("drain throws away what was said before") {
    const Folder folder;
    auto socket = NotifySocket::create(folder.path + "/notify");
    REQUIRE(socket);
    REQUIRE(send_to(socket->path(), "READY=1") == 0);
    socket->drain();
    CHECK_FALSE(receive(*socket, ::getpid()));
}

TEST_CASE("T1: descriptors sent to NOTIFY_SOCKET do not stay") {
    const Folder folder;
    auto socket = NotifySocket::create(folder.path + "/notify");
    REQUIRE(socket);
    const int before = open_descriptors();
    const int refused = send_to(socket->path(), "READY=1", STDIN_FILENO);
    CHECK((refused == EPERM || refused == 0));
    const auto said = receive(*socket, ::getpid());
    CHECK(said.has_value() == (refused == 0));
    CHECK(open_descriptors() == before);
}

TEST_CASE("an empty message and one that is too long say nothing and break nothing") {
    const Folder folder;
    auto socket = NotifySocket::create(folder.path + "/notify");
    REQUIRE(socket);
    REQUIRE(send_to(socket->path(), "") == 0);
    const auto empty = receive(*socket, ::getpid());
    CHECK((!empty || !empty->ready));
    REQUIRE(send_to(socket->path(), "READY=1\n" + std::string(5000, 'x')) == 0);
    CHECK_FALSE(receive(*socket, ::getpid()));
}

TEST_CASE("the socket belongs to whom it was given and is gone with its owner") {
    const Folder folder;
    const std::string path = folder.path + "/notify";
    struct stat status {};
    {
        auto socket = NotifySocket::create(path);
        REQUIRE(socket);
        REQUIRE(socket->give_to(64123, 64124));
        REQUIRE(::stat(path.c_str(), &status) == 0);
        CHECK(status.st_uid == 64123);
        CHECK(status.st_gid == 64124);
        CHECK((status.st_mode & 07777) == 0600);
        NotifySocket moved = std::move(*socket);
        CHECK(::stat(path.c_str(), &status) == 0);
    }
    CHECK(::stat(path.c_str(), &status) != 0);
}

TEST_CASE("a socket of a warderd that died is replaced, and a path that is too long is refused") {
    const Folder folder;
    const std::string path = folder.path + "/notify";
    {
        auto first = NotifySocket::create(path);
        auto second = NotifySocket::create(path);
        REQUIRE(second);
        REQUIRE(send_to(path, "READY=1") == 0);
        CHECK(receive(*second, ::getpid()));
        CHECK_FALSE(receive(*first, ::getpid()));
    }
    const auto refused = NotifySocket::create(folder.path + "/" + std::string(120, 'x'));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().number == ENAMETOOLONG);
}

TEST_CASE("T48, T54: a socket that its owner made unwritable is as new, and one whose path was swept away is known") {
    const Folder folder;
    auto socket = NotifySocket::create(folder.path + "/web");
    REQUIRE(socket);
    REQUIRE(socket->give_to(::getuid(), ::getgid()));
    REQUIRE(::chmod(socket->path().c_str(), 0) == 0);
    REQUIRE(socket->give_to(::getuid(), ::getgid()));
    struct stat status {};
    REQUIRE(::lstat(socket->path().c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
    CHECK(socket->has_its_path());
    REQUIRE(::unlink(socket->path().c_str()) == 0);
    CHECK_FALSE(socket->has_its_path());
    const Fd other(::open(socket->path().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_FALSE(socket->has_its_path());
}
