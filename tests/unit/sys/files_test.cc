#include "sys/files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include <filesystem>

#include "sys/kernel.h"
#include "sys/path_walk.h"

using namespace warder;

namespace {

struct Folder {
    std::string path;
    Fd fd;
    Folder() {
        char name[] = "/tmp/warder-files-XXXXXX";
        path = ::mkdtemp(name);
        fd = Fd(::open(name, O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("a whole file is replaced and read again, with its mode, and nothing is left beside it") {
    const Folder folder;
    const std::string path = folder.path + "/record";
    REQUIRE(replace_file(path, "first", 0600));
    REQUIRE(replace_file(path, "second\n", 0640));
    const auto text = read_file(path, 100);
    REQUIRE(text);
    CHECK(*text == "second\n");
    struct stat about;
    REQUIRE(::stat(path.c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0640);
    CHECK_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_CASE("a file longer than the most is EFBIG, one just as long is read") {
    const Folder folder;
    const std::string path = folder.path + "/file";
    REQUIRE(replace_file(path, std::string(5000, 'x'), 0600));
    CHECK(read_file(path, 5000)->size() == 5000);
    const auto longer = read_file(path, 4999);
    REQUIRE_FALSE(longer);
    CHECK(longer.error().number == EFBIG);
    const auto absent = read_file(folder.path + "/absent", 1);
    REQUIRE_FALSE(absent);
    CHECK(absent.error().number == ENOENT);
}

TEST_CASE("replacing does not follow a link that somebody put where it writes first") {
    const Folder folder;
    const std::string victim = folder.path + "/victim";
    REQUIRE(replace_file(victim, "untouched", 0600));
    REQUIRE(::symlink(victim.c_str(), (folder.path + "/record.new").c_str()) == 0);
    const auto replaced = replace_file(folder.path + "/record", "text", 0600);
    REQUIRE_FALSE(replaced);
    CHECK(replaced.error().number == ELOOP);
    CHECK(*read_file(victim, 100) == "untouched");
}

TEST_CASE("what openat2 opens is close-on-exec, and a path that leads out is refused") {
    const Folder folder;
    REQUIRE(replace_file(folder.path + "/file", "x", 0600));
    const auto file = open_at(folder.fd.get(), "file", O_RDONLY, 0, RESOLVE_BENEATH);
    REQUIRE(file);
    CHECK((::fcntl(file->get(), F_GETFD) & FD_CLOEXEC) != 0);
    const auto out = open_at(folder.fd.get(), "../etc", O_RDONLY, 0, RESOLVE_BENEATH);
    REQUIRE_FALSE(out);
    CHECK(out.error().number == EXDEV);
}

TEST_CASE("a directory keeps its identity over a rename, and a new one of its name has another") {
    const Folder folder;
    const std::string path = folder.path + "/directory";
    REQUIRE(make_directories(path, 0755));
    const auto open = [&](const std::string& name) { return Fd(::open(name.c_str(), O_PATH | O_CLOEXEC)); };
    const Fd first = open(path);
    const auto identity = identify(first.get());
    REQUIRE(identity);
    REQUIRE(::rename(path.c_str(), (path + "2").c_str()) == 0);
    REQUIRE(make_directories(path, 0755));
    CHECK(*identify(open(path + "2").get()) == *identity);
    CHECK_FALSE(*identify(open(path).get()) == *identity);
}

TEST_CASE("the kernel's views are told from file systems with files") {
    const Fd proc(::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto type = file_system_of(proc.get());
    REQUIRE(type);
    CHECK(*type == kernel::magic_proc);
    CHECK(is_kernel_view(*type));
    CHECK_FALSE(is_local(*type));
    for (const auto local : {kernel::magic_ext4, kernel::magic_xfs, kernel::magic_btrfs, kernel::magic_tmpfs}) {
        CHECK(is_local(local));
        CHECK_FALSE(is_kernel_view(local));
    }
    CHECK_FALSE(is_local(0x6969));       // NFS
    CHECK_FALSE(is_local(0x65735546));   // FUSE
}
