#include "sys/path_walk.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "sys/files.h"

using namespace warder;

namespace {

// Nothing is mounted: where a mount would be is a matter of the table alone.
struct Tree {
    Tree() {
        char name[] = "/tmp/warder-leads-XXXXXX";
        path = std::filesystem::canonical(::mkdtemp(name));
        std::filesystem::create_directories(path + "/plain/below");
        std::filesystem::create_directories(path + "/far/away");
        mounts = "21 1 8:1 / / rw - ext4 /dev/root rw\n22 21 0:40 / " + path + "/far rw - nfs4 server:/ rw\n";
    }
    ~Tree() { std::filesystem::remove_all(path); }
    void link(const std::string& name, const std::string& target) const {
        std::filesystem::create_symlink(target, path + "/" + name);
    }
    std::string behind(const std::string& name) const { return mount_behind(mounts, path + "/" + name).type; }

    std::string path;
    std::string mounts;
};

}  // namespace

TEST_CASE("a path without symlinks lies where the table says") {
    const Tree tree;
    CHECK_EQ(tree.behind("plain/below"), "ext4");
    CHECK_EQ(tree.behind("plain/absent/deeper"), "ext4");
    CHECK_EQ(tree.behind("far/away/file"), "nfs4");
    CHECK_EQ(mount_behind(tree.mounts, "/").type, "ext4");
}

TEST_CASE("T6: symlinks are followed to the mount of others, and no further") {
    const Tree tree;
    tree.link("absolute", tree.path + "/far/away");
    tree.link("relative", "far");
    tree.link("plain/up", "../far/away/x");
    tree.link("chain", "relative");
    tree.link("inside", "plain/below");
    CHECK_EQ(tree.behind("absolute"), "nfs4");
    CHECK_EQ(tree.behind("relative/away/file"), "nfs4");
    CHECK_EQ(tree.behind("plain/up"), "nfs4");
    CHECK_EQ(tree.behind("chain/x"), "nfs4");
    CHECK_EQ(tree.behind("inside/file"), "ext4");
    CHECK_EQ(tree.behind("inside/../../far/x"), "nfs4");
}

TEST_CASE("a symlink that leads to itself ends somewhere") {
    const Tree tree;
    tree.link("loop", "loop");
    CHECK_EQ(tree.behind("loop"), "ext4");
}

TEST_CASE("what is mounted over a mount of others hides it") {
    const Tree tree;
    const std::string over = tree.mounts + "23 22 8:2 / " + tree.path + "/far rw - xfs /dev/other rw\n";
    CHECK_EQ(mount_behind(over, tree.path + "/far/away").type, "xfs");
}

TEST_CASE("where nothing is mounted that others answer for, no symlink is looked at") {
    const Tree tree;
    tree.link("relative", "far");
    CHECK_EQ(mount_behind("21 1 8:1 / / rw - ext4 /dev/root rw\n", tree.path + "/relative").type, "ext4");
    CHECK_EQ(mount_behind("", "/").type, "");
}

TEST_CASE("T25: root goes through root's symlinks and through nobody else's") {
    if (::getuid() != 0) return;
    const Tree tree;
    std::filesystem::create_directories(tree.path + "/releases/43/pages");
    tree.link("current", "releases/43");
    tree.link("releases/up", "../current");
    tree.link("absolute", tree.path + "/releases/up");
    tree.link("loop", "loop");
    const auto same = [&](const std::string& name) {
        const auto opened = open_directory_as_root(tree.path + name);
        if (!opened) return opened.error().number;
        return *identify(opened->get()) == *identify(open_directory_as_root(tree.path + "/releases/43/pages")->get()) ? 0 : -1;
    };
    CHECK_EQ(same("/releases/43/pages"), 0);
    CHECK_EQ(same("/current/pages"), 0);
    CHECK_EQ(same("/absolute/./../43/pages"), 0);
    CHECK_EQ(same("/current"), -1);
    CHECK_EQ(same("/loop/pages"), ELOOP);
    CHECK_EQ(same("/current/absent"), ENOENT);
    const std::string file = tree.path + "/releases/43/file";
    REQUIRE(::close(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
    CHECK_EQ(same("/current/file"), ENOTDIR);
    CHECK_EQ(same("/current/file/pages"), ENOTDIR);
    REQUIRE(::lchown((tree.path + "/releases/up").c_str(), 61999, 61999) == 0);
    CHECK_EQ(same("/absolute/pages"), EPERM);
    CHECK_EQ(same("/current/pages"), 0);
    CHECK_EQ(open_directory_as_root(tree.path + "/absolute", RESOLVE_CACHED).error().number, EPERM);
}

TEST_CASE("T46: root's permissions go as far as root's directories, and behind another's name its own count") {
    if (::getuid() != 0) return;
    const Tree tree;
    REQUIRE(::chmod(tree.path.c_str(), 0755) == 0);
    constexpr Identity whom{.uid = 61999, .gid = 61999};
    Privileges privileges;
    const auto make = [&](const std::string& name, uid_t owner, mode_t mode) {
        std::filesystem::create_directories(tree.path + name);
        REQUIRE(::lchown((tree.path + name).c_str(), owner, owner) == 0);
        REQUIRE(::chmod((tree.path + name).c_str(), mode) == 0);
    };
    make("/private/inner", 0, 0755);
    make("/private", 0, 0700);
    make("/own", whom.uid, 0755);
    make("/another", 61998, 0755);
    make("/open", 0, 0777);
    make("/sticky", 0, 01777);
    make("/closed/inner", 0, 0755);
    make("/closed", 61998, 0700);
    make("/open/kept/inner", 0, 0755);
    make("/open/kept", 0, 0700);
    make("/sticky/kept/inner", 0, 0755);
    make("/sticky/kept", 0, 0700);
    const auto opened = [&](const std::string& name) {
        privileges.become_root();
        const auto found = open_directory_for(whom, privileges, tree.path + name);
        privileges.become_root();
        return found ? 0 : found.error().number;
    };
    const auto link = [&](const std::string& name, const std::string& target, uid_t owner) {
        tree.link(name, target);
        REQUIRE(::lchown((tree.path + "/" + name).c_str(), owner, owner) == 0);
    };
    CHECK_EQ(opened("/private/inner"), 0);
    CHECK_EQ(opened("/own"), 0);
    CHECK_EQ(opened("/private/absent"), ENOENT);
    CHECK_EQ(opened("/closed/inner"), EACCES);
    CHECK_EQ(opened("/open/kept/inner"), EACCES);   // somebody could have moved it there
    CHECK_EQ(opened("/sticky/kept/inner"), 0);
    link("roots", "private", 0);
    CHECK_EQ(opened("/roots/inner"), 0);
    CHECK_EQ(opened("/private/../own/../private/inner"), EACCES);
    for (const auto& [place, owner] : {std::pair("own", whom.uid), std::pair("another", uid_t{61998}), std::pair("open", uid_t{0}),
                                       std::pair("sticky", whom.uid)}) {
        const std::string door = place + std::string("/door");
        link(door, tree.path + "/private", owner);
        CHECK_EQ(opened("/" + door + "/inner"), EACCES);
        CHECK_EQ(opened("/" + door), 0);   // it may look at the directory itself, as anybody may
        link(door + "-relative", "../own", owner);
        CHECK_EQ(opened("/" + door + "-relative"), 0);
    }
    link("sticky/roots", "../private", 0);
    CHECK_EQ(opened("/sticky/roots/inner"), 0);
}

TEST_CASE("directories are made on the way, and what was there keeps its mode") {
    const Tree tree;
    REQUIRE(::chmod(tree.path.c_str(), 0700) == 0);
    const mode_t before = ::umask(077);
    CHECK(make_directories(tree.path + "/a/b/c", 0755));
    ::umask(before);
    struct stat about;
    REQUIRE(::stat((tree.path + "/a/b").c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0755);
    REQUIRE(::stat(tree.path.c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0700);
    CHECK(make_directories(tree.path + "/a/b/c", 0755));
}

TEST_CASE("T25: root makes no directory behind somebody else's symlink") {
    if (::getuid() != 0) return;
    const Tree tree;
    std::filesystem::create_directories(tree.path + "/theirs");
    std::filesystem::create_directories(tree.path + "/roots");
    REQUIRE(::chown((tree.path + "/theirs").c_str(), 61999, 61999) == 0);
    tree.link("theirs/door", "../roots");
    CHECK(make_directories(tree.path + "/theirs/door/a/b", 0755));
    CHECK(std::filesystem::exists(tree.path + "/roots/a/b"));
    REQUIRE(::lchown((tree.path + "/theirs/door").c_str(), 61999, 61999) == 0);
    const auto made = make_directories(tree.path + "/theirs/door/c/d", 0755);
    REQUIRE_FALSE(made);
    CHECK_EQ(made.error().number, EPERM);
    CHECK_FALSE(std::filesystem::exists(tree.path + "/roots/c"));
}

TEST_CASE("T25: root shows a worker what a symlink of root's leads to, or what is of whoever made the symlink") {
    if (::getuid() != 0) return;
    const Tree tree;
    std::filesystem::create_directories(tree.path + "/releases/43");
    std::filesystem::create_directories(tree.path + "/roots");
    tree.link("current", "releases/43");
    tree.link("again", "current");
    const std::string file = tree.path + "/releases/43/file";
    REQUIRE(::close(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
    const auto shown = [&](const std::string& name) {
        const auto opened = open_to_show(tree.path + name);
        return opened ? 0 : opened.error().number;
    };
    const auto give = [&](const std::string& name, uid_t owner) { return ::lchown((tree.path + name).c_str(), owner, owner); };
    CHECK_EQ(shown("/again"), 0);
    CHECK_EQ(shown("/again/file"), 0);
    CHECK_EQ(shown("/again/file/"), 0);
    CHECK_EQ(shown("/again/file/deeper"), ENOTDIR);
    CHECK_EQ(shown("/absent"), ENOENT);
    REQUIRE(give("/current", 61999) == 0);
    CHECK_EQ(shown("/current"), EPERM);
    CHECK_EQ(shown("/again/file"), EPERM);
    REQUIRE(give("/releases/43", 61999) == 0);
    CHECK_EQ(shown("/current"), 0);
    CHECK_EQ(shown("/again"), 0);
    CHECK_EQ(shown("/again/file"), EPERM);
    REQUIRE(give("/again", 61998) == 0);
    CHECK_EQ(shown("/again"), EPERM);
    CHECK_EQ(open_to_show(tree.path + "/" + std::string(PATH_MAX * 2, 'x')).error().number, ENAMETOOLONG);
}

TEST_CASE("T25: root uses what the kernel leads to, unless another than root has led there") {
    if (::getuid() != 0) return;
    const Tree tree;
    tree.link("network", "/proc/self/ns/net");
    tree.link("again", "network");
    struct stat expected {};
    REQUIRE(::stat("/proc/self/ns/net", &expected) == 0);
    const auto leads_there = [&expected](const std::string& path) {
        const auto used = open_to_use(path);
        struct stat about {};
        return used && ::fstat(used->get(), &about) == 0 && about.st_dev == expected.st_dev && about.st_ino == expected.st_ino;
    };
    CHECK(leads_there("/proc/self/ns/net"));
    CHECK(leads_there(tree.path + "/network"));
    CHECK(leads_there(tree.path + "/again"));
    REQUIRE(::lchown((tree.path + "/again").c_str(), 61999, 61999) == 0);
    CHECK_FALSE(leads_there(tree.path + "/again"));
    CHECK(leads_there(tree.path + "/network"));
    REQUIRE(::lchown((tree.path + "/network").c_str(), 61999, 61999) == 0);
    CHECK_FALSE(leads_there(tree.path + "/network"));
    CHECK_FALSE(open_to_show("/proc/self/ns/net").has_value());
}

TEST_CASE("T25: what the kernel tells of a process is not its user's to lead to") {
    if (::getuid() != 0) return;
    const Tree tree;
    const pid_t child = ::fork();
    if (child == 0) {
        if (::setresuid(61999, 61999, 61999) != 0 || ::prctl(PR_SET_DUMPABLE, 1) != 0) ::_exit(1);
        for (;;) ::pause();
    }
    const std::string theirs = "/proc/" + std::to_string(child);
    tree.link("process", theirs);
    REQUIRE(::lchown((tree.path + "/process").c_str(), 61999, 61999) == 0);
    struct stat about {};
    for (int i = 0; i < 1000 && about.st_uid != 61999; ++i) {
        ::usleep(1000);
        REQUIRE(::stat(theirs.c_str(), &about) == 0);
    }
    CHECK_EQ(about.st_uid, 61999);
    const auto opened = open_to_show(tree.path + "/process");
    CHECK_EQ(opened ? 0 : opened.error().number, EPERM);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}
