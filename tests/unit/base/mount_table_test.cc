#include "base/mount_table.h"

#include <doctest/doctest.h>

using namespace warder;

namespace {

constexpr std::string_view table =
    "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "25 21 0:22 / /proc rw - proc proc rw\n"
    "40 21 0:40 / /mnt/far rw shared:7 master:2 - nfs4 server:/export rw,hard\n"
    "41 21 0:41 / /mnt/far/near rw - tmpfs tmpfs rw\n"
    "42 21 0:42 / /mnt/two\\040words rw - fuse.sshfs me@there: rw\n"
    "43 21 0:43 / /mnt/twice rw - ext4 /dev/vdb rw\n"
    "44 43 0:44 / /mnt/twice rw - fuse silent rw\n";

}  // namespace

TEST_CASE("a path lies on the deepest mount above it") {
    CHECK(mount_of(table, "/srv/www").type == "ext4");
    CHECK(mount_of(table, "/mnt/far").type == "nfs4");
    CHECK(mount_of(table, "/mnt/far/a/b").type == "nfs4");
    CHECK(mount_of(table, "/mnt/far/near/a").type == "tmpfs");
    CHECK(mount_of(table, "/mnt/farther").type == "ext4");
}

TEST_CASE("of two mounts at one place the last is on top") { CHECK(mount_of(table, "/mnt/twice/x").type == "fuse"); }

TEST_CASE("words of the table are read as they are escaped") {
    CHECK(mount_of(table, "/mnt/two words/file").type == "fuse.sshfs");
    CHECK(unescape_mount_word("a\\040b\\134c") == "a b\\c");
    CHECK(unescape_mount_word("a\\9zz") == "a\\9zz");
    CHECK(unescape_mount_word("a\\04") == "a\\04");
}

TEST_CASE("a table that says nothing says nothing") {
    CHECK(mount_of("", "/srv").type == "");
    CHECK(mount_of("no mounts here\n\n", "/srv").type == "");
}

TEST_CASE("file systems that others answer for are known by their type") {
    for (const auto* type : {"fuse", "fuse.sshfs", "nfs", "nfs4", "cifs", "9p"}) CHECK(answered_by_others(type));
    for (const auto* type : {"ext4", "tmpfs", "overlay", "proc", "fusectl", ""}) CHECK_FALSE(answered_by_others(type));
}

TEST_CASE("where others answer, as the table has it") {
    CHECK(mount_points_of_others(table) == std::vector<std::string>{"/mnt/far", "/mnt/two words", "/mnt/twice"});
    CHECK(mount_points_of_others("").empty());
    CHECK(mount_points_of_others("no line of a mount\n").empty());
    CHECK(lies_in("/mnt/far", "/mnt/far"));
    CHECK(lies_in("/mnt/far", "/mnt/far/a"));
    CHECK_FALSE(lies_in("/mnt/far", "/mnt/farther"));
    CHECK(lies_in("/", "/mnt"));
}
