#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::broker;
using warder::test::nobody;
using warder::test::Stand;

namespace {

constexpr std::uint16_t truncating = static_cast<std::uint16_t>(OpenFlag::truncate);

}  // namespace

TEST_CASE("as the worker file permissions count, and what it makes is its own") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("private", "root's", 0600);
    Task task = stand.task(Operation::read, "private");
    task.as = policy::As::worker;
    CHECK(stand.perform(task).error == EACCES);
    task = stand.task(Operation::create, "new");
    task.as = policy::As::worker;
    task.mode = 0600;
    CHECK(stand.perform(task).error == EACCES);
    stand.privileges.become_root();
    REQUIRE(::chown(stand.path.c_str(), nobody.uid, nobody.gid) == 0);
    CHECK(stand.perform(task).reason == Reason::ok);
    stand.privileges.become_root();
    CHECK(stand.about("new").st_uid == nobody.uid);
}

TEST_CASE("an operation as root begins as root, whoever was performed for before") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("private", "root's", 0600);
    REQUIRE(stand.privileges.become(nobody));
    CHECK(stand.perform(stand.task(Operation::read, "private")).reason == Reason::ok);
    CHECK(::geteuid() == 0);
    REQUIRE(stand.privileges.become(nobody));
    Task below = stand.task(Operation::read, "private");
    below.directory = -1;
    below.prefix = stand.path;
    CHECK(stand.perform(below).reason == Reason::ok);
}

TEST_CASE("without patience nothing is made, emptied, renamed or looked for, and nothing has happened") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "text");
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
    CHECK(stand.read("file") == "text");
}

TEST_CASE("what lies in the kernel's views is refused, by prefix too") {
    NEEDS_ROOT();
    Stand stand;
    Task task = stand.task(Operation::read, "version");
    task.directory = -1;
    task.prefix = "/proc";
    CHECK(stand.perform(task).reason == Reason::refused_filesystem);
}

TEST_CASE("what was not made at load is made for its owner in front of an operation, by who may wait alone") {
    NEEDS_ROOT();
    Stand stand;
    Task task = stand.task(Operation::create, "log");
    task.directory = -1;
    const std::string prefix = stand.path + "/deep/made";
    task.prefix = prefix;
    task.as = policy::As::worker;
    task.owned = true;
    task.owner = nobody.uid;
    task.owner_group = nobody.gid;
    task.making = Making::tree;
    task.making_mode = 0750;
    CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
    CHECK_FALSE(std::filesystem::exists(prefix));
    task.mode = 0640;
    CHECK(stand.perform(task).reason == Reason::ok);
    stand.privileges.become_root();
    CHECK(stand.about("deep").st_uid == 0);
    CHECK(stand.about("deep/made").st_uid == nobody.uid);
    CHECK((stand.about("deep/made").st_mode & 0777) == 0750);
    CHECK(stand.about("deep/made/log").st_uid == nobody.uid);

    task.operation = Operation::append;
    task.making = Making::file;
    task.path = "other";
    CHECK(stand.perform(task).reason == Reason::ok);
    stand.privileges.become_root();
    CHECK(stand.about("deep/made/other").st_uid == nobody.uid);
    REQUIRE(::chown((prefix + "/other").c_str(), 0, 0) == 0);
    CHECK(stand.perform(task).error == EACCES);   // what is there belongs to whom it belongs
    stand.privileges.become_root();
    CHECK(stand.about("deep/made/other").st_uid == 0);
}

TEST_CASE("T25: an opener that acts as root goes through no symlink but root's to a prefix") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "text");
    const std::string link = stand.path + "-link";
    std::filesystem::create_symlink(stand.path, link);
    Task task = stand.task(Operation::read, "file");
    task.directory = -1;
    task.prefix = link;
    CHECK(stand.perform(task).reason == Reason::ok);
    stand.privileges.become_root();
    REQUIRE(::lchown(link.c_str(), nobody.uid, nobody.gid) == 0);
    CHECK(stand.perform(task).reason == Reason::foreign_owner);
    task.as = policy::As::worker;
    CHECK(stand.perform(task).reason == Reason::ok);
    const std::string prefix = link + "/made";
    task.prefix = prefix;
    task.making = Making::tree;
    CHECK(stand.perform(task).reason == Reason::foreign_owner);
    stand.privileges.become_root();
    CHECK_FALSE(std::filesystem::exists(stand.at("made")));
    std::filesystem::remove(link);
}
