#include "broker/task.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "unit/broker/bench.h"

using namespace warder;
using namespace warder::broker;
using warder::test::Folder;
using warder::test::somebody;

namespace {

#define NEEDS_ROOT()                     \
    do {                                 \
        if (::geteuid() != 0) {          \
            MESSAGE("skipped: not root"); \
            return;                      \
        }                                \
    } while (false)

struct Stand {
    Folder folder;
    Fd directory{::open(folder.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    Privileges privileges;
    Texts texts;
    ~Stand() { privileges.become_root(); }

    Task task(Operation operation, std::string_view path) const {
        Task made;
        made.operation = operation;
        made.path = path;
        made.directory = directory.get();
        made.local = true;
        made.as = policy::As::root;
        return made;
    }
    Performed perform(const Task& task, Patience patience = Patience::until_deadline) {
        return broker::perform(task, patience, privileges, somebody, texts);
    }
};

struct stat about(const std::string& path) {
    struct stat raw {};
    CHECK(::lstat(path.c_str(), &raw) == 0);
    return raw;
}

constexpr std::uint16_t truncating = static_cast<std::uint16_t>(OpenFlag::truncate);
constexpr std::uint16_t exclusive = static_cast<std::uint16_t>(OpenFlag::exclusive);

}  // namespace

TEST_CASE("a file is opened for what was asked and no more, and close-on-exec") {
    NEEDS_ROOT();
    Stand stand;
    stand.folder.write("file", "hello");
    const auto reading = stand.perform(stand.task(Operation::read, "file"));
    REQUIRE(reading.reason == Reason::ok);
    CHECK(reading.inode == about(stand.folder.at("file")).st_ino);
    CHECK((::fcntl(reading.fd.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDONLY);
    CHECK((::fcntl(reading.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    const auto appending = stand.perform(stand.task(Operation::append, "file"));
    REQUIRE(appending.reason == Reason::ok);
    CHECK((::fcntl(appending.fd.get(), F_GETFL) & (O_ACCMODE | O_APPEND)) == (O_WRONLY | O_APPEND));
}

TEST_CASE("T22, T23: a symlink, a way up and a directory are not opened") {
    NEEDS_ROOT();
    Stand stand;
    stand.folder.write("file", "hello");
    REQUIRE(::symlink("file", stand.folder.at("link").c_str()) == 0);
    REQUIRE(::mkdir(stand.folder.at("directory").c_str(), 0755) == 0);
    REQUIRE(::symlink("/etc", stand.folder.at("away").c_str()) == 0);
    CHECK(stand.perform(stand.task(Operation::read, "link")).error == ELOOP);
    CHECK(stand.perform(stand.task(Operation::read, "away/passwd")).error == ELOOP);
    CHECK(stand.perform(stand.task(Operation::read, "../etc/passwd")).error == EXDEV);
    CHECK(stand.perform(stand.task(Operation::read, "/etc/passwd")).error == EXDEV);
    CHECK(stand.perform(stand.task(Operation::read, "directory")).reason == Reason::not_regular);
}

TEST_CASE("T6: a FIFO that nobody writes to is refused at once") {
    NEEDS_ROOT();
    Stand stand;
    REQUIRE(::mkfifo(stand.folder.at("fifo").c_str(), 0666) == 0);
    CHECK(stand.perform(stand.task(Operation::read, "fifo")).reason == Reason::not_regular);
    CHECK(stand.perform(stand.task(Operation::write, "fifo")).error == ENXIO);
}

TEST_CASE("T25: as root a file with two names, or another's, is refused, and is not emptied first") {
    NEEDS_ROOT();
    Stand stand;
    stand.folder.write("file", "precious");
    REQUIRE(::link(stand.folder.at("file").c_str(), stand.folder.at("second").c_str()) == 0);
    Task task = stand.task(Operation::write, "second");
    task.flags = truncating;
    CHECK(stand.perform(task).reason == Reason::foreign_owner);
    CHECK(stand.folder.read("file") == "precious");
    stand.folder.write("foreign", "precious");
    REQUIRE(::chown(stand.folder.at("foreign").c_str(), 61999, 0) == 0);
    task.path = "foreign";
    CHECK(stand.perform(task).reason == Reason::foreign_owner);
    CHECK(stand.folder.read("foreign") == "precious");
    task.owner = 61999;
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(stand.folder.read("foreign").empty());
}

TEST_CASE("a file that is made as root has the grant's mode and owner; one that was there keeps its own") {
    NEEDS_ROOT();
    Stand stand;
    const mode_t before = ::umask(0);
    Task task = stand.task(Operation::create, "new");
    task.mode = 0640;
    task.owned = true;
    task.owner = somebody.uid;
    task.owner_group = somebody.gid;
    CHECK(stand.perform(task).reason == Reason::ok);
    const auto made = about(stand.folder.at("new"));
    CHECK((made.st_mode & 07777) == 0640);
    CHECK(made.st_uid == somebody.uid);
    CHECK(made.st_gid == somebody.gid);
    stand.folder.write("there", "text", 0600);
    task.path = "there";
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(about(stand.folder.at("there")).st_uid == 0);
    CHECK((about(stand.folder.at("there")).st_mode & 07777) == 0600);
    task.flags = exclusive;
    CHECK(stand.perform(task).error == EEXIST);
    ::umask(before);
}

TEST_CASE("as the worker file permissions count, and what it makes is its own") {
    NEEDS_ROOT();
    Stand stand;
    stand.folder.write("private", "root's", 0600);
    Task task = stand.task(Operation::read, "private");
    task.as = policy::As::worker;
    CHECK(stand.perform(task).error == EACCES);
    task = stand.task(Operation::create, "new");
    task.as = policy::As::worker;
    task.mode = 0600;
    CHECK(stand.perform(task).error == EACCES);
    stand.privileges.become_root();
    REQUIRE(::chown(stand.folder.path.c_str(), somebody.uid, somebody.gid) == 0);
    CHECK(stand.perform(task).reason == Reason::ok);
    stand.privileges.become_root();
    CHECK(about(stand.folder.at("new")).st_uid == somebody.uid);
}

TEST_CASE("an operation as root begins as root, whoever was performed for before") {
    NEEDS_ROOT();
    Stand stand;
    stand.folder.write("private", "root's", 0600);
    REQUIRE(stand.privileges.become(somebody));
    CHECK(stand.perform(stand.task(Operation::read, "private")).reason == Reason::ok);
    CHECK(::geteuid() == 0);
    REQUIRE(stand.privileges.become(somebody));
    Task below = stand.task(Operation::read, "private");
    below.directory = -1;
    below.prefix = stand.folder.path;
    CHECK(stand.perform(below).reason == Reason::ok);
}

TEST_CASE("a file is renamed and unlinked below its directory, and nowhere else") {
    NEEDS_ROOT();
    Stand stand;
    stand.folder.write("a", "text");
    REQUIRE(::mkdir(stand.folder.at("sub").c_str(), 0755) == 0);
    REQUIRE(::symlink("/tmp", stand.folder.at("away").c_str()) == 0);
    Task task = stand.task(Operation::rename, "a");
    task.second = "away/warder-moved";
    CHECK(stand.perform(task).error == ELOOP);
    task.second = "sub/b";
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(stand.folder.read("sub/b") == "text");
    CHECK(stand.perform(stand.task(Operation::unlink, "sub/b")).reason == Reason::ok);
    CHECK(stand.perform(stand.task(Operation::unlink, "sub/b")).error == ENOENT);
    CHECK(stand.perform(stand.task(Operation::unlink, "sub")).error == EISDIR);
}

TEST_CASE("without patience nothing is made, emptied, renamed or looked for, and nothing has happened") {
    NEEDS_ROOT();
    Stand stand;
    stand.folder.write("file", "text");
    for (const auto operation : {Operation::create, Operation::rename, Operation::unlink, Operation::secret}) {
        Task task = stand.task(operation, "file");
        task.second = "other";
        CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
    }
    Task task = stand.task(Operation::write, "file");
    task.flags = truncating;
    CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
    task = stand.task(Operation::read, "never-looked-for");
    CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
    task = stand.task(Operation::read, "file");
    task.local = false;
    CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
    task = stand.task(Operation::read, "file");
    task.directory = -1;
    CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
    CHECK(stand.folder.read("file") == "text");
}

TEST_CASE("a secret is lent as a copy that nobody can change") {
    NEEDS_ROOT();
    Stand stand;
    stand.folder.write("key", std::string(10'000, 'k'), 0600);
    Task task = stand.task(Operation::secret, "key");
    auto performed = stand.perform(task);
    REQUIRE(performed.reason == Reason::ok);
    CHECK(performed.value == 10'000);
    char first = 0;
    CHECK(::read(performed.fd.get(), &first, 1) == 1);
    CHECK(first == 'k');
    CHECK(::write(performed.fd.get(), "x", 1) < 0);
    CHECK(::ftruncate(performed.fd.get(), 0) < 0);
    const int seals = ::fcntl(performed.fd.get(), F_GET_SEALS);
    CHECK((seals & (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)) ==
          (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
    stand.folder.write("large", std::string(max_secret + 1, 'k'), 0600);
    task.path = "large";
    CHECK(stand.perform(task).error == EFBIG);
}

TEST_CASE("what lies in the kernel's views is refused, by prefix too") {
    NEEDS_ROOT();
    Stand stand;
    Task task = stand.task(Operation::read, "version");
    task.directory = -1;
    task.prefix = "/proc";
    CHECK(stand.perform(task).reason == Reason::refused_filesystem);
}
