#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "protocol/message.h"
#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::broker;
using warder::test::in_namespaces;
using warder::test::nobody;
using warder::test::Stand;

namespace {

constexpr const char* file_systems[] = {"/tmp", "/dev/shm"};

protocol::wire::Stat stat_in(std::string_view data) {
    protocol::wire::Stat wire{};
    REQUIRE(data.size() == sizeof wire);
    std::memcpy(&wire, data.data(), sizeof wire);
    return wire;
}

std::vector<std::string> names_in(const Performed& performed) {
    std::string text(performed.value, '\0');
    REQUIRE(::pread(performed.fd.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    std::vector<std::string> names;
    for (std::size_t at = 0; at < text.size(); at += names.back().size() + 1) names.emplace_back(text.c_str() + at);
    std::ranges::sort(names);
    return names;
}

Task with_mode(Task task, std::uint32_t mode) {
    task.mode = mode;
    return task;
}

Task given_to_worker(Task task) {
    task.owned = true;
    task.owner = nobody.uid;
    task.owner_group = nobody.gid;
    return task;
}

void make_socket(const std::string& path) {
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
}

}  // namespace

TEST_CASE("stat tells what a file is, and a symlink at the end is itself") {
    NEEDS_ROOT();
    for (const char* base : file_systems) {
        Stand stand(base);
        stand.write("file", "hello", 0640);
        REQUIRE(::chown(stand.at("file").c_str(), 5, 6) == 0);
        REQUIRE(::symlink("file", stand.at("link").c_str()) == 0);
        const auto about = stand.about("file");
        auto performed = stand.perform(stand.task(Operation::stat, "file"));
        REQUIRE(performed.reason == Reason::ok);
        CHECK_FALSE(static_cast<bool>(performed.fd));
        const auto wire = stat_in(performed.data);
        CHECK(wire.inode == about.st_ino);
        CHECK(wire.device == about.st_dev);
        CHECK(wire.mode == (S_IFREG | 0640));
        CHECK(wire.size == 5);
        CHECK(wire.links == 1);
        CHECK(wire.uid == 5);
        CHECK(wire.gid == 6);
        CHECK(wire.modified == about.st_mtim.tv_sec);
        CHECK(wire.modified_ns == about.st_mtim.tv_nsec);
        performed = stand.perform(stand.task(Operation::stat, "link"));
        REQUIRE(performed.reason == Reason::ok);
        CHECK(S_ISLNK(stat_in(performed.data).mode));
        CHECK(stand.perform(stand.task(Operation::stat, "link/file")).error == ELOOP);
        CHECK(stand.perform(stand.task(Operation::stat, "absent")).error == ENOENT);
    }
}

TEST_CASE("the tree's own directory is looked at, tested, listed and watched by an empty path") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "");
    const auto looked = stand.perform(stand.task(Operation::stat, ""));
    REQUIRE(looked.reason == Reason::ok);
    CHECK(stat_in(looked.data).inode == stand.about(".").st_ino);
    CHECK(stand.perform(with_mode(stand.worker_task(Operation::access, ""), R_OK | X_OK)).reason == Reason::ok);
    CHECK(stand.perform(with_mode(stand.worker_task(Operation::access, ""), W_OK)).error == EACCES);
    const auto listed = stand.perform(stand.task(Operation::list, ""));
    REQUIRE(listed.reason == Reason::ok);
    CHECK(names_in(listed) == std::vector<std::string>{"ffile"});
    const auto watched = stand.perform(stand.task(Operation::watch, ""));
    REQUIRE(watched.reason == Reason::ok);
    stand.write("new", "");
    std::array<char, 4096> events;
    CHECK(::read(watched.fd.get(), events.data(), events.size()) > 0);
}

TEST_CASE("an empty path changes nothing") {
    NEEDS_ROOT();
    Stand stand;
    for (const auto operation : {Operation::mkdir, Operation::rmdir, Operation::unlink, Operation::rename, Operation::symlink}) {
        CHECK(stand.perform(stand.task(operation, "", "text")).error == ENOENT);
    }
    CHECK(stand.perform(stand.task(Operation::read, "")).reason == Reason::not_regular);
    CHECK(stand.perform(stand.task(Operation::truncate, "")).error == EISDIR);
    CHECK(stand.perform(stand.task(Operation::link, "", "other")).reason == Reason::not_regular);
    CHECK(stand.perform(stand.task(Operation::readlink, "")).error == EINVAL);
    CHECK(stand.there("."));
}

TEST_CASE("as the worker nothing is told of what lies behind a directory that it may not search") {
    NEEDS_ROOT();
    Stand stand;
    REQUIRE(::mkdir(stand.at("closed").c_str(), 0700) == 0);
    stand.write("closed/file", "text");
    REQUIRE(::symlink("text", stand.at("closed/link").c_str()) == 0);
    for (const auto operation : {Operation::stat, Operation::readlink, Operation::watch, Operation::list}) {
        const auto name = operation == Operation::readlink ? "closed/link" : "closed/file";
        CHECK(stand.perform(stand.worker_task(operation, name)).error == EACCES);
    }
    CHECK(stand.perform(with_mode(stand.worker_task(Operation::access, "closed/file"), R_OK)).error == EACCES);
    CHECK(stand.perform(stand.worker_task(Operation::list, "closed")).error == EACCES);
}

TEST_CASE("access answers for the worker's effective ids, and a symlink is ELOOP as it would be to open it") {
    NEEDS_ROOT();
    for (const char* base : file_systems) {
        Stand stand(base);
        stand.write("file", "text", 0644);
        REQUIRE(::symlink("file", stand.at("link").c_str()) == 0);
        const auto asked = [&](std::string_view name, std::uint32_t mode) {
            return stand.perform(with_mode(stand.worker_task(Operation::access, name), mode));
        };
        CHECK(asked("file", R_OK).reason == Reason::ok);
        CHECK(asked("file", W_OK).error == EACCES);
        CHECK(asked("file", R_OK | W_OK).error == EACCES);
        CHECK(asked("file", X_OK).error == EACCES);
        CHECK(asked("absent", R_OK).error == ENOENT);
        CHECK(asked("link", R_OK).error == ELOOP);
        CHECK(asked("file", 8).reason == Reason::bad_argument);
        REQUIRE(::chown(stand.at("file").c_str(), nobody.uid, nobody.gid) == 0);
        CHECK(asked("file", R_OK | W_OK).reason == Reason::ok);
    }
}

TEST_CASE("a symlink's text is read whole, whatever it is; what is no symlink is EINVAL") {
    NEEDS_ROOT();
    Stand stand;
    const std::string text = "/nowhere/" + std::string(4000, 'x');
    REQUIRE(::symlink(text.c_str(), stand.at("link").c_str()) == 0);
    stand.write("file", "");
    const auto performed = stand.perform(stand.task(Operation::readlink, "link"));
    REQUIRE(performed.reason == Reason::ok);
    CHECK(performed.data == text);
    CHECK(performed.value == text.size());
    CHECK(stand.perform(stand.task(Operation::readlink, "file")).error == EINVAL);
}

TEST_CASE("data for which the reply has no room is not lost in silence") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "");
    REQUIRE(::symlink("elsewhere", stand.at("link").c_str()) == 0);
    Texts texts;
    (void)texts.keep(std::string(Texts::capacity - 1, 'x'));
    const auto looked = broker::perform(stand.task(Operation::stat, "file"), Patience::until_deadline, stand.privileges,
                                        nobody, texts);
    CHECK(looked.error == EMSGSIZE);
    const auto read = broker::perform(stand.task(Operation::readlink, "link"), Patience::until_deadline, stand.privileges,
                                      nobody, texts);
    CHECK(read.error == EMSGSIZE);
}

TEST_CASE("a list says what each name is, and nobody can change it") {
    NEEDS_ROOT();
    for (const char* base : file_systems) {
        Stand stand(base);
        REQUIRE(::mkdir(stand.at("all").c_str(), 0755) == 0);
        stand.write("all/file", "");
        stand.write("all/two words\nand a line", "");
        REQUIRE(::mkdir(stand.at("all/directory").c_str(), 0755) == 0);
        REQUIRE(::mkfifo(stand.at("all/fifo").c_str(), 0600) == 0);
        REQUIRE(::symlink("file", stand.at("all/link").c_str()) == 0);
        REQUIRE(::mknod(stand.at("all/null").c_str(), S_IFCHR | 0600, ::makedev(1, 3)) == 0);
        REQUIRE(::mknod(stand.at("all/ram").c_str(), S_IFBLK | 0600, ::makedev(1, 0)) == 0);
        make_socket(stand.at("all/socket"));
        const auto performed = stand.perform(stand.worker_task(Operation::list, "all"));
        REQUIRE(performed.reason == Reason::ok);
        CHECK(names_in(performed) == std::vector<std::string>{"bram", "cnull", "ddirectory", "ffile", "ftwo words\nand a line",
                                                              "llink", "pfifo", "ssocket"});
        CHECK(::write(performed.fd.get(), "x", 1) < 0);
        CHECK(::ftruncate(performed.fd.get(), 0) < 0);
        CHECK((::fcntl(performed.fd.get(), F_GET_SEALS) & F_SEAL_SEAL) != 0);
        CHECK((::fcntl(performed.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(::lseek(performed.fd.get(), 0, SEEK_CUR) == 0);
        CHECK(stand.perform(stand.task(Operation::list, "all/file")).error == ENOTDIR);
        CHECK(stand.perform(stand.task(Operation::list, "all/link")).error == ELOOP);
        CHECK(stand.perform(stand.task(Operation::list, "all/fifo")).error == ENOTDIR);
    }
}

TEST_CASE("an empty directory is an empty list, and many names are all there") {
    NEEDS_ROOT();
    Stand stand("/dev/shm");
    REQUIRE(::mkdir(stand.at("empty").c_str(), 0755) == 0);
    const auto empty = stand.perform(stand.task(Operation::list, "empty"));
    REQUIRE(empty.reason == Reason::ok);
    CHECK(empty.value == 0);
    REQUIRE(::mkdir(stand.at("many").c_str(), 0755) == 0);
    for (int i = 0; i < 3000; ++i) REQUIRE(::mknod(stand.at("many/" + std::to_string(i)).c_str(), S_IFREG, 0) == 0);
    auto names = names_in(stand.perform(stand.task(Operation::list, "many")));
    CHECK(names.size() == 3000);
    names.erase(std::unique(names.begin(), names.end()), names.end());
    CHECK(names.size() == 3000);
}

TEST_CASE("a list of more than 16 MiB is refused, not cut") {
    NEEDS_ROOT();
    Stand stand("/dev/shm");
    const Fd directory(::open(stand.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::string name(250, 'x');
    for (int i = 0; i < 66'700; ++i) {
        name.replace(0, 6, std::to_string(100'000 + i));
        REQUIRE(::mknodat(directory.get(), name.c_str(), S_IFREG, 0) == 0);
    }
    CHECK(stand.perform(stand.task(Operation::list, "")).error == EOVERFLOW);
}

TEST_CASE("a directory is made with its mode, by the worker or given to it, and goes again when it is empty") {
    NEEDS_ROOT();
    for (const char* base : file_systems) {
        Stand stand(base);
        CHECK(stand.perform(with_mode(stand.task(Operation::mkdir, "of-root"), 0710)).reason == Reason::ok);
        CHECK(stand.about("of-root").st_mode == (S_IFDIR | 0710));
        CHECK(stand.about("of-root").st_uid == 0);
        CHECK(stand.perform(with_mode(given_to_worker(stand.task(Operation::mkdir, "given")), 0750)).reason == Reason::ok);
        CHECK(stand.about("given").st_mode == (S_IFDIR | 0750));
        CHECK(stand.about("given").st_uid == nobody.uid);
        CHECK(stand.about("given").st_gid == nobody.gid);
        const auto own = with_mode(given_to_worker(stand.worker_task(Operation::mkdir, "given/own")), 0700);
        CHECK(stand.perform(own).reason == Reason::ok);
        CHECK(stand.about("given/own").st_uid == nobody.uid);
        CHECK(stand.about("given/own").st_mode == (S_IFDIR | 0700));
        CHECK(stand.perform(stand.worker_task(Operation::mkdir, "denied")).error == EACCES);
        CHECK(stand.perform(stand.task(Operation::mkdir, "given")).error == EEXIST);
        CHECK(stand.perform(stand.task(Operation::mkdir, "absent/a")).error == ENOENT);
        CHECK(stand.perform(with_mode(stand.task(Operation::mkdir, "bits"), 04755)).reason == Reason::bad_argument);
        CHECK(stand.perform(stand.task(Operation::rmdir, "given")).error == ENOTEMPTY);
        CHECK(stand.perform(stand.worker_task(Operation::rmdir, "given/own")).reason == Reason::ok);
        CHECK(stand.perform(stand.worker_task(Operation::rmdir, "of-root")).error == EACCES);
        CHECK(stand.perform(stand.task(Operation::rmdir, "given")).reason == Reason::ok);
        CHECK_FALSE(stand.there("given"));
        stand.write("file", "");
        CHECK(stand.perform(stand.task(Operation::rmdir, "file")).error == ENOTDIR);
        CHECK(stand.perform(stand.task(Operation::unlink, "of-root")).error == EISDIR);
    }
}

TEST_CASE("a directory that is made and given keeps the group bit of the one that it is in") {
    NEEDS_ROOT();
    Stand stand;
    REQUIRE(::mkdir(stand.at("shared").c_str(), 0755) == 0);
    REQUIRE(::chmod(stand.at("shared").c_str(), 02755) == 0);
    CHECK(stand.perform(with_mode(given_to_worker(stand.task(Operation::mkdir, "shared/a")), 0750)).reason == Reason::ok);
    CHECK(stand.about("shared/a").st_mode == (S_IFDIR | 02750));
}

TEST_CASE("a file is renamed and unlinked below its directory, and nowhere else") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("a", "text");
    REQUIRE(::mkdir(stand.at("sub").c_str(), 0755) == 0);
    REQUIRE(::symlink("/tmp", stand.at("away").c_str()) == 0);
    Task task = stand.task(Operation::rename, "a");
    task.second = "away/warder-moved";
    CHECK(stand.perform(task).error == ELOOP);
    task.second = "sub/b";
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(stand.read("sub/b") == "text");
    CHECK(stand.perform(stand.task(Operation::unlink, "sub/b")).reason == Reason::ok);
    CHECK(stand.perform(stand.task(Operation::unlink, "sub/b")).error == ENOENT);
    CHECK(stand.perform(stand.task(Operation::unlink, "sub")).error == EISDIR);
}

TEST_CASE("a file gets a second name, and neither a symlink nor anything but a file does") {
    NEEDS_ROOT();
    for (const char* base : file_systems) {
        Stand stand(base);
        REQUIRE(::chown(stand.path.c_str(), nobody.uid, nobody.gid) == 0);
        stand.write("file", "text");
        REQUIRE(::chown(stand.at("file").c_str(), nobody.uid, nobody.gid) == 0);
        REQUIRE(::symlink("/etc/passwd", stand.at("symlink").c_str()) == 0);
        REQUIRE(::mkfifo(stand.at("fifo").c_str(), 0666) == 0);
        REQUIRE(::mkdir(stand.at("directory").c_str(), 0777) == 0);
        CHECK(stand.perform(stand.worker_task(Operation::link, "file", "directory/second")).reason == Reason::ok);
        CHECK(stand.about("directory/second").st_ino == stand.about("file").st_ino);
        CHECK(stand.perform(stand.worker_task(Operation::link, "file", "directory/second")).error == EEXIST);
        for (const char* name : {"symlink", "fifo", "directory"}) {
            CHECK(stand.perform(stand.worker_task(Operation::link, name, "another")).reason == Reason::not_regular);
        }
        CHECK(stand.perform(stand.worker_task(Operation::link, "absent", "another")).error == ENOENT);
        CHECK_FALSE(stand.there("another"));
        CHECK(stand.perform(stand.worker_task(Operation::link, "file", "../another")).error == EXDEV);
    }
}

TEST_CASE("T25: as root no name is made for somebody else's file") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("foreign", "precious");
    REQUIRE(::chown(stand.at("foreign").c_str(), 61999, 61999) == 0);
    CHECK(stand.perform(stand.task(Operation::link, "foreign", "mine")).reason == Reason::foreign_owner);
    stand.write("own", "");
    CHECK(stand.perform(stand.task(Operation::link, "own", "second")).reason == Reason::ok);
    CHECK(stand.perform(stand.task(Operation::link, "own", "third")).reason == Reason::foreign_owner);
}

TEST_CASE("a symlink is made with the text that was decided on, and given to its owner") {
    NEEDS_ROOT();
    for (const char* base : file_systems) {
        Stand stand(base);
        CHECK(stand.perform(stand.task(Operation::symlink, "a", "b/c")).reason == Reason::ok);
        CHECK(std::filesystem::read_symlink(stand.at("a")) == "b/c");
        CHECK(stand.about("a").st_uid == 0);
        CHECK(stand.perform(given_to_worker(stand.task(Operation::symlink, "given", "b"))).reason == Reason::ok);
        CHECK(stand.about("given").st_uid == nobody.uid);
        CHECK(stand.about("given").st_gid == nobody.gid);
        CHECK(stand.perform(stand.task(Operation::symlink, "a", "b")).error == EEXIST);
        CHECK(stand.perform(stand.task(Operation::symlink, "empty", "")).error == ENOENT);
        CHECK(stand.perform(stand.worker_task(Operation::symlink, "denied", "b")).error == EACCES);
        REQUIRE(::symlink("/tmp", stand.at("away").c_str()) == 0);
        CHECK(stand.perform(stand.task(Operation::symlink, "away/warder-link", "b")).error == ELOOP);
    }
}

TEST_CASE("a mode is changed of files and directories, in permission bits alone") {
    NEEDS_ROOT();
    for (const char* base : file_systems) {
        Stand stand(base);
        stand.write("file", "", 0600);
        REQUIRE(::mkdir(stand.at("directory").c_str(), 0700) == 0);
        CHECK(stand.perform(with_mode(stand.task(Operation::chmod, "file"), 0644)).reason == Reason::ok);
        CHECK(stand.about("file").st_mode == (S_IFREG | 0644));
        CHECK(stand.perform(with_mode(stand.task(Operation::chmod, "directory"), 0751)).reason == Reason::ok);
        CHECK(stand.about("directory").st_mode == (S_IFDIR | 0751));
        for (const unsigned bits : {04755U, 02755U, 01777U, 0100644U}) {
            CHECK(stand.perform(with_mode(stand.task(Operation::chmod, "file"), bits)).reason == Reason::bad_argument);
        }
        CHECK(stand.perform(with_mode(stand.worker_task(Operation::chmod, "file"), 0777)).error == EPERM);
        REQUIRE(::chown(stand.at("file").c_str(), nobody.uid, nobody.gid) == 0);
        CHECK(stand.perform(with_mode(stand.worker_task(Operation::chmod, "file"), 0)).reason == Reason::ok);
        CHECK(stand.perform(with_mode(stand.worker_task(Operation::chmod, "file"), 0400)).reason == Reason::ok);
        CHECK(stand.about("file").st_mode == (S_IFREG | 0400));
    }
}

TEST_CASE("T6, T23, T25: what is no file, a symlink, or as root somebody else's, keeps its mode") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("target", "", 0600);
    REQUIRE(::symlink("target", stand.at("symlink").c_str()) == 0);
    REQUIRE(::mkfifo(stand.at("fifo").c_str(), 0600) == 0);
    REQUIRE(::mknod(stand.at("null").c_str(), S_IFCHR | 0600, ::makedev(1, 3)) == 0);
    for (const char* name : {"symlink", "fifo", "null"}) {
        CHECK(stand.perform(with_mode(stand.task(Operation::chmod, name), 0666)).reason == Reason::not_regular);
    }
    CHECK(stand.about("target").st_mode == (S_IFREG | 0600));
    CHECK(stand.about("fifo").st_mode == (S_IFIFO | 0600));
    CHECK(stand.about("null").st_mode == (S_IFCHR | 0600));
    REQUIRE(::link(stand.at("target").c_str(), stand.at("planted").c_str()) == 0);
    CHECK(stand.perform(with_mode(stand.task(Operation::chmod, "planted"), 0666)).reason == Reason::foreign_owner);
    CHECK(stand.about("target").st_mode == (S_IFREG | 0600));
    REQUIRE(::mkdir(stand.at("foreign").c_str(), 0700) == 0);
    REQUIRE(::chown(stand.at("foreign").c_str(), 61999, 61999) == 0);
    CHECK(stand.perform(with_mode(stand.task(Operation::chmod, "foreign"), 0777)).reason == Reason::foreign_owner);
    CHECK(stand.about("foreign").st_mode == (S_IFDIR | 0700));
}

TEST_CASE("a watch tells of exactly what was looked up, and of no other bits than events") {
    NEEDS_ROOT();
    for (const char* base : file_systems) {
        Stand stand(base);
        stand.write("file", "");
        Task task = stand.worker_task(Operation::watch, "file");
        task.argument = IN_MODIFY;
        task.flags = static_cast<std::uint16_t>(OpenFlag::nonblock);
        const auto performed = stand.perform(task);
        REQUIRE(performed.reason == Reason::ok);
        CHECK(performed.value == 1);
        CHECK((::fcntl(performed.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
        std::array<char, 4096> buffer;
        CHECK(::read(performed.fd.get(), buffer.data(), buffer.size()) < 0);
        CHECK(errno == EAGAIN);
        REQUIRE(::rename(stand.at("file").c_str(), stand.at("moved").c_str()) == 0);
        stand.write("file", "not this one");
        CHECK(::read(performed.fd.get(), buffer.data(), buffer.size()) < 0);
        std::ofstream(stand.at("moved")) << "this one";
        REQUIRE(::read(performed.fd.get(), buffer.data(), buffer.size()) >= static_cast<ssize_t>(sizeof(inotify_event)));
        CHECK(reinterpret_cast<const inotify_event*>(buffer.data())->mask == IN_MODIFY);
        task.argument = IN_ONLYDIR;
        CHECK(stand.perform(task).error == ENOTDIR);
        task.argument = IN_MODIFY | IN_ONESHOT | IN_EXCL_UNLINK | IN_DONT_FOLLOW;
        const auto once = stand.perform(task);
        REQUIRE(once.reason == Reason::ok);
        stand.write("file", "twice, with two events of which one is told");
        std::ofstream(stand.at("file")) << "again";
        REQUIRE(::read(once.fd.get(), buffer.data(), buffer.size()) == 2 * sizeof(inotify_event));
        CHECK(reinterpret_cast<const inotify_event*>(buffer.data())->mask == IN_MODIFY);
        CHECK(reinterpret_cast<const inotify_event*>(buffer.data())[1].mask == IN_IGNORED);
        for (const std::uint64_t bits : {std::uint64_t{IN_MASK_ADD}, std::uint64_t{IN_MASK_CREATE}, std::uint64_t{1} << 32}) {
            task.argument = bits;
            CHECK(stand.perform(task).reason == Reason::bad_argument);
        }
    }
}

TEST_CASE("T44: what watches as root is counted for the worker and not for root, whose own are still made") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "", 0600);
    std::vector<broker::Performed> watched;
    int error = 0;
    for (int i = 0; i < 4096 && error == 0; ++i) {
        watched.push_back(stand.perform(stand.task(Operation::watch, "file")));
        error = watched.back().error;
    }
    CHECK(error == EMFILE);
    CHECK(watched.size() > 1);
    stand.privileges.become_root();
    const Fd own(::inotify_init1(IN_CLOEXEC));
    CHECK(own);
}

TEST_CASE("as the worker only what it may read is watched") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("private", "", 0600);
    CHECK(stand.perform(stand.worker_task(Operation::watch, "private")).error == EACCES);
}

TEST_CASE("T6: a FIFO or a device at the path keeps nobody waiting") {
    NEEDS_ROOT();
    Stand stand;
    REQUIRE(::mkfifo(stand.at("fifo").c_str(), 0666) == 0);
    REQUIRE(::mknod(stand.at("tty").c_str(), S_IFCHR | 0666, ::makedev(5, 0)) == 0);
    CHECK(stand.perform(stand.task(Operation::stat, "fifo")).reason == Reason::ok);
    CHECK(stand.perform(with_mode(stand.task(Operation::access, "fifo"), R_OK)).reason == Reason::ok);
    CHECK(stand.perform(stand.task(Operation::watch, "fifo")).reason == Reason::ok);
    CHECK(stand.perform(stand.task(Operation::truncate, "fifo")).error == ENXIO);
    CHECK(stand.perform(stand.task(Operation::link, "fifo", "second")).reason == Reason::not_regular);
    for (const auto operation : {Operation::read, Operation::truncate, Operation::write}) {
        const auto performed = stand.perform(stand.task(operation, "tty"));
        CHECK((performed.reason == Reason::not_regular || performed.error == ENXIO));
    }
    CHECK(stand.perform(stand.task(Operation::stat, "tty")).reason == Reason::ok);
    CHECK(stand.perform(stand.task(Operation::rename, "fifo", "moved")).reason == Reason::ok);
    CHECK(stand.perform(stand.task(Operation::unlink, "moved")).reason == Reason::ok);
}

TEST_CASE("without patience stat, access and readlink are done, and nothing that takes a directory's lock") {
    NEEDS_ROOT();
    Stand stand("/dev/shm");
    stand.write("file", "text");
    REQUIRE(::symlink("file", stand.at("link").c_str()) == 0);
    const auto never = [&](const Task& task) { return stand.perform(task, Patience::never).reason; };
    CHECK(never(stand.task(Operation::stat, "file")) == Reason::ok);
    CHECK(never(with_mode(stand.task(Operation::access, "file"), R_OK)) == Reason::ok);
    CHECK(never(stand.task(Operation::readlink, "link")) == Reason::ok);
    CHECK(never(stand.task(Operation::watch, "file")) == Reason::would_block);   // to close it takes a grace period
    CHECK(never(stand.task(Operation::stat, "")) == Reason::ok);
    for (const auto operation : {Operation::list, Operation::mkdir, Operation::rmdir, Operation::unlink, Operation::rename,
                                 Operation::link, Operation::symlink, Operation::chmod, Operation::truncate}) {
        CHECK(never(stand.task(operation, "file", "other")) == Reason::would_block);
    }
    CHECK(stand.read("file") == "text");
    CHECK(stand.there("file"));
}

TEST_CASE("without patience overlays are looked at and read, and other file systems are not touched") {
    NEEDS_ROOT();
    Stand stand("/dev/shm");
    stand.write("file", "text");
    Task task = stand.task(Operation::stat, "file");
    task.local = false;
    CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
    task.overlay = true;
    CHECK(stand.perform(task, Patience::never).reason == Reason::ok);
    task.operation = Operation::read;
    CHECK(stand.perform(task, Patience::never).reason == Reason::ok);
    task.operation = Operation::append;
    CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
    task.operation = Operation::stat;
    task.cross_mounts = true;
    CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
}

TEST_CASE("what is mounted below is another's, and the kernel's views are refused even where mounts may be crossed") {
    NEEDS_ROOT();
    Stand stand;
    REQUIRE(::mkdir(stand.at("proc").c_str(), 0755) == 0);
    const int line = in_namespaces(CLONE_NEWNS, [&] {
        HOLDS(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
        HOLDS(::mount("proc", stand.at("proc").c_str(), "proc", 0, nullptr) == 0);
        stand.directory = Fd(::open(stand.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        for (const auto operation : {Operation::stat, Operation::list, Operation::watch, Operation::chmod}) {
            const auto task = stand.task(operation, "proc/sys");
            HOLDS(stand.perform(task).error == EXDEV);
        }
        Task task = stand.task(Operation::stat, "proc/version");
        task.cross_mounts = true;
        HOLDS(stand.perform(task).reason == Reason::refused_filesystem);
        task.operation = Operation::read;
        HOLDS(stand.perform(task).reason == Reason::refused_filesystem);
        task.operation = Operation::truncate;
        HOLDS(stand.perform(task).error != 0);
        task.path = "proc/self";
        task.operation = Operation::readlink;
        HOLDS(stand.perform(task).reason == Reason::refused_filesystem);
        task.path = "proc/sys";
        for (const auto operation : {Operation::list, Operation::watch, Operation::chmod}) {
            task.operation = operation;
            HOLDS(stand.perform(task).reason == Reason::refused_filesystem);
        }
        return 0;
    });
    CHECK(line == 0);
}
