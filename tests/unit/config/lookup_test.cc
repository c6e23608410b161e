#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "config/check.h"
#include "unit/config/one.h"

namespace warder::config {
namespace {

using Type = PathFacts::Type;

TEST_CASE("users and groups are found by name and by number") {
    const Lookup here = host_lookup();
    REQUIRE(here.user("root").has_value());
    CHECK_EQ(here.user("root")->uid, 0);
    CHECK_EQ(here.user("0")->gid, 0);
    CHECK_EQ(here.group("root"), gid_t{0});
    CHECK_EQ(here.user("daemon")->uid, here.user("1")->uid);
    CHECK_FALSE(here.user("no-such-user-here").has_value());
    CHECK_FALSE(here.group("no-such-group-here").has_value());
}

TEST_CASE("a number that is in no user database is a user with the group of that number") {
    const auto account = host_lookup().user("612345");
    REQUIRE(account.has_value());
    CHECK_EQ(account->uid, 612345);
    CHECK_EQ(account->gid, 612345);
    CHECK_FALSE(host_lookup().user("4294967295").has_value());
    CHECK_FALSE(host_lookup().user("12x").has_value());
}

TEST_CASE("paths are looked at through symlinks") {
    const Lookup here = host_lookup();
    CHECK_EQ(here.path("/usr/bin/env").type, Type::file);
    CHECK(here.path("/usr/bin/env").executable);
    CHECK_FALSE(here.path("/etc/passwd").executable);
    CHECK_EQ(here.path("/bin").type, Type::directory);
    CHECK_EQ(here.path("/dev/null").type, Type::other);
    CHECK_EQ(here.path("/no/such/path").type, Type::absent);
    CHECK_EQ(here.path("/no/such/path").error, ENOENT);
    CHECK_EQ(here.path("/etc/passwd/x").error, ENOTDIR);
    CHECK_EQ(here.path("").type, Type::absent);
}

TEST_CASE("the kernel's own file systems are told, also for what is not there") {
    const Lookup here = host_lookup();
    CHECK_EQ(here.path("/proc/self/status").kernel_filesystem, "proc");
    CHECK_EQ(here.path("/proc/no/such").kernel_filesystem, "proc");
    CHECK_EQ(here.path("/sys/kernel").kernel_filesystem, "sysfs");
    CHECK_EQ(here.path("/etc/passwd").kernel_filesystem, "");
    CHECK_EQ(here.path("/no/such/path").kernel_filesystem, "");
}

TEST_CASE("T25: who put a symlink on the way is told") {
    if (::getuid() != 0) return;
    char folder[] = "/tmp/warder-lookup-XXXXXX";
    REQUIRE(::mkdtemp(folder) != nullptr);
    const std::string link = std::string(folder) + "/link";
    REQUIRE(::symlink("/usr", link.c_str()) == 0);
    CHECK_FALSE(host_lookup().path(link + "/bin/env").led_by_another);
    REQUIRE(::lchown(link.c_str(), 61999, 61999) == 0);
    CHECK(host_lookup().path(link + "/bin/env").led_by_another);
    CHECK(host_lookup().path(link).led_by_another);
    CHECK(host_lookup().path(link).led_astray);
    const std::string own = std::string(folder) + "/own";
    REQUIRE(::mkdir(own.c_str(), 0700) == 0);
    REQUIRE(::chown(own.c_str(), 61999, 61999) == 0);
    ::unlink(link.c_str());
    REQUIRE(::symlink("own", link.c_str()) == 0);
    REQUIRE(::lchown(link.c_str(), 61999, 61999) == 0);
    CHECK(host_lookup().path(link).led_by_another);
    CHECK_FALSE(host_lookup().path(link).led_astray);
    ::rmdir(own.c_str());
    ::unlink(link.c_str());
    ::rmdir(folder);
}

}  // namespace
}  // namespace warder::config
