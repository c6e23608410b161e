#include <sys/mman.h>

#include <csignal>

#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::broker;
using warder::test::nobody;
using warder::test::Stand;

namespace {

constexpr std::uint16_t truncating = static_cast<std::uint16_t>(OpenFlag::truncate);
constexpr std::uint16_t exclusive = static_cast<std::uint16_t>(OpenFlag::exclusive);

Task cut_to(Task task, std::uint64_t size) {
    task.argument = size;
    return task;
}

}  // namespace

TEST_CASE("a file is opened for what was asked and no more, and close-on-exec") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "hello");
    const auto reading = stand.perform(stand.task(Operation::read, "file"));
    REQUIRE(reading.reason == Reason::ok);
    CHECK(reading.inode == stand.about("file").st_ino);
    CHECK((::fcntl(reading.fd.get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK((::fcntl(reading.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    const auto appending = stand.perform(stand.task(Operation::append, "file"));
    REQUIRE(appending.reason == Reason::ok);
    CHECK((::fcntl(appending.fd.get(), F_GETFL) & (O_ACCMODE | O_APPEND)) == (O_WRONLY | O_APPEND));
}

TEST_CASE("an opener, which may be on a file system that is told of O_NONBLOCK, lends without it") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "hello");
    for (const Operation operation : {Operation::read, Operation::append}) {
        const auto lent = stand.perform(stand.task(operation, "file"), Patience::until_deadline);
        REQUIRE(lent.reason == Reason::ok);
        const int kept = operation == Operation::append ? O_WRONLY | O_APPEND : O_RDONLY;
        CHECK((::fcntl(lent.fd.get(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK)) == kept);
    }
}

TEST_CASE("T22, T23: a symlink, a way up and a directory are not opened") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "hello");
    REQUIRE(::symlink("file", stand.at("link").c_str()) == 0);
    REQUIRE(::mkdir(stand.at("directory").c_str(), 0755) == 0);
    REQUIRE(::symlink("/etc", stand.at("away").c_str()) == 0);
    CHECK(stand.perform(stand.task(Operation::read, "link")).error == ELOOP);
    CHECK(stand.perform(stand.task(Operation::read, "away/passwd")).error == ELOOP);
    CHECK(stand.perform(stand.task(Operation::read, "../etc/passwd")).error == EXDEV);
    CHECK(stand.perform(stand.task(Operation::read, "/etc/passwd")).error == EXDEV);
    CHECK(stand.perform(stand.task(Operation::read, "directory")).reason == Reason::not_regular);
}

TEST_CASE("T6: a FIFO that nobody writes to is refused at once") {
    NEEDS_ROOT();
    Stand stand;
    REQUIRE(::mkfifo(stand.at("fifo").c_str(), 0666) == 0);
    CHECK(stand.perform(stand.task(Operation::read, "fifo")).reason == Reason::not_regular);
    CHECK(stand.perform(stand.task(Operation::write, "fifo")).error == ENXIO);
}

TEST_CASE("T25: as root a file with two names, or another's, is refused, and is not emptied first") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "precious");
    REQUIRE(::link(stand.at("file").c_str(), stand.at("second").c_str()) == 0);
    Task task = stand.task(Operation::write, "second");
    task.flags = truncating;
    CHECK(stand.perform(task).reason == Reason::foreign_owner);
    CHECK(stand.read("file") == "precious");
    stand.write("foreign", "precious");
    REQUIRE(::chown(stand.at("foreign").c_str(), 61999, 0) == 0);
    task.path = "foreign";
    CHECK(stand.perform(task).reason == Reason::foreign_owner);
    CHECK(stand.read("foreign") == "precious");
    task.owner = 61999;
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(stand.read("foreign").empty());
}

TEST_CASE("a file that is made as root has the grant's mode and owner; one that was there keeps its own") {
    NEEDS_ROOT();
    Stand stand;
    const mode_t before = ::umask(0);
    Task task = stand.task(Operation::create, "new");
    task.mode = 0640;
    task.owned = true;
    task.owner = nobody.uid;
    task.owner_group = nobody.gid;
    CHECK(stand.perform(task).reason == Reason::ok);
    const auto made = stand.about("new");
    CHECK((made.st_mode & 07777) == 0640);
    CHECK(made.st_uid == nobody.uid);
    CHECK(made.st_gid == nobody.gid);
    stand.write("there", "text", 0600);
    task.path = "there";
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(stand.about("there").st_uid == 0);
    CHECK((stand.about("there").st_mode & 07777) == 0600);
    task.flags = exclusive;
    CHECK(stand.perform(task).error == EEXIST);
    ::umask(before);
}

TEST_CASE("a secret is lent as a copy that nobody can change") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("key", std::string(10'000, 'k'), 0600);
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
    stand.write("large", std::string(max_secret + 1, 'k'), 0600);
    task.path = "large";
    CHECK(stand.perform(task).error == EFBIG);
}

TEST_CASE("a file is cut and grown to a size") {
    NEEDS_ROOT();
    for (const char* base : {"/tmp", "/dev/shm"}) {
        Stand stand(base);
        stand.write("file", "hello");
        CHECK(stand.perform(cut_to(stand.task(Operation::truncate, "file"), 2)).reason == Reason::ok);
        CHECK(stand.read("file") == "he");
        CHECK(stand.perform(cut_to(stand.task(Operation::truncate, "file"), 4)).reason == Reason::ok);
        CHECK(stand.read("file") == std::string("he\0\0", 4));
        CHECK(stand.perform(cut_to(stand.task(Operation::truncate, "absent"), 0)).error == ENOENT);
        CHECK(stand.perform(cut_to(stand.worker_task(Operation::truncate, "file"), 0)).error == EACCES);
        CHECK(stand.perform(cut_to(stand.task(Operation::truncate, "file"), 1ULL << 63)).reason == Reason::bad_argument);
        CHECK(stand.read("file").size() == 4);
    }
    Stand on_disk;
    on_disk.write("file", "hello");
    const auto largest = on_disk.perform(cut_to(on_disk.task(Operation::truncate, "file"), INT64_MAX));
    const bool has_room = largest.reason == Reason::ok;   // tmpfs and xfs do, in placeholders
    CHECK(largest.error == (has_room ? 0 : EFBIG));
    CHECK(on_disk.about("file").st_size == (has_room ? INT64_MAX : 5));
}

TEST_CASE("T25: as root a file with two names, or another's, is not cut") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("target", "precious");
    REQUIRE(::link(stand.at("target").c_str(), stand.at("planted").c_str()) == 0);
    CHECK(stand.perform(stand.task(Operation::truncate, "planted")).reason == Reason::foreign_owner);
    CHECK(stand.read("target") == "precious");
    stand.write("foreign", "precious");
    REQUIRE(::chown(stand.at("foreign").c_str(), 61999, 61999) == 0);
    CHECK(stand.perform(stand.task(Operation::truncate, "foreign")).reason == Reason::foreign_owner);
    CHECK(stand.read("foreign") == "precious");
    Task task = stand.task(Operation::truncate, "foreign");
    task.owner = 61999;
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(stand.read("foreign").empty());
}

TEST_CASE("a program that runs is not cut: ETXTBSY") {
    NEEDS_ROOT();
    Stand stand;
    std::filesystem::copy_file("/bin/sleep", stand.at("program"));
    int begun[2];   // closed by exec
    REQUIRE(::pipe2(begun, O_CLOEXEC) == 0);
    const Fd waiting(begun[0]);
    Fd running(begun[1]);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::execl(stand.at("program").c_str(), "program", "20", nullptr));
    running.reset();
    char none;
    CHECK(::read(waiting.get(), &none, 1) == 0);
    const auto size = static_cast<std::uint64_t>(stand.about("program").st_size);
    const int error = stand.perform(cut_to(stand.task(Operation::truncate, "program"), size)).error;
    CHECK(error == ETXTBSY);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}
