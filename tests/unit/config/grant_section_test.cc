#include "unit/config/one.h"

namespace warder::config {
namespace {

using policy::As;
using policy::Grant;
using policy::Kind;
using policy::Owner;
using testing::grant;
using testing::grant_complaints;
using testing::worker;

TEST_CASE("a grant to read covers the one file that it names") {
    const Grant site = grant("{ read = \"/srv/www\" }");
    CHECK_EQ(site.name, "g");
    CHECK_EQ(site.kind, Kind::file);
    CHECK_EQ(site.rights, Operations{Operation::read});
    CHECK_EQ(site.path, "/srv/www");
    CHECK_EQ(site.as, As::worker);
    CHECK_EQ(site.owner, Owner::unset);
    CHECK_EQ(site.mode, 0);
    CHECK_EQ(site.origin, "w.toml:4");
}

TEST_CASE("the origin of a grant is its file without directories, and its line") {
    const Parsed parsed = parse({{"/etc/warder/conf.d/a.toml", "[worker.a]\nexec = \"/usr/bin/a\"\n\ngrants.x = { read = \"/x\" }\n"}});
    REQUIRE(parsed.ok());
    CHECK_EQ(parsed.config.workers.at(0).grants.at(0).origin, "a.toml:4");
    CHECK_EQ(parsed.config.workers.at(0).marks.at("grants.x").where.file, "/etc/warder/conf.d/a.toml");
}

TEST_CASE("file or tree is written down, by a slash, a word or type, and by nothing else") {
    CHECK_EQ(grant("{ read = \"/srv/www/\" }").kind, Kind::tree);
    CHECK_EQ(grant("{ read = \"/srv/www/\" }").path, "/srv/www");
    CHECK_EQ(grant("{ read = \"/srv/www\" }").kind, Kind::file);
    CHECK_EQ(grant("{ create = \"/srv/www\", owner = \"worker\" }").kind, Kind::file);
    CHECK_EQ(grant("{ read = \"/srv/www\", type = \"tree\" }").kind, Kind::tree);
    CHECK_EQ(grant("{ read = \"/srv/www\", type = \"file\" }").kind, Kind::file);
    CHECK_EQ(grant("{ read = \"/srv/www/\", names = [\"*.html\", \"a?\"] }").names, std::vector<std::string>{"*.html", "a?"});
    CHECK_EQ(grant_complaints("{ read = \"/srv/www\", names = [\"*.html\"] }"),
             "w.toml:4:26: error: \"names\" has no meaning in grant \"g\" of worker \"web\": it goes with trees and lookups, and this is a file\n"
             "    4 | g = { read = \"/srv/www\", names = [\"*.html\"] }\n"
             "      |                          ^~~~~ end the path in \"/\": write read = \"/srv/www/\"\n");
    CHECK_NE(grant_complaints("{ list = \"/srv/www\" }").find("end the path in \"/\": write list = \"/srv/www/\""), std::string::npos);
}

TEST_CASE("a file or a tree may be named first, and its rights in one list") {
    const Grant file = grant("{ file = \"/etc/a\", rights = [\"read\", \"stat\"], open_as = \"root\" }");
    CHECK_EQ(file.kind, Kind::file);
    CHECK_EQ(file.path, "/etc/a");
    CHECK_EQ(file.rights, Operations{Operation::read, Operation::stat});
    CHECK_EQ(file.as, As::root);
    const Grant tree = grant("{ tree = \"/srv/www\", rights = [\"list\", \"create\"], names = [\"*.html\"], cross_mounts = true }");
    CHECK_EQ(tree.kind, Kind::tree);
    CHECK_EQ(tree.rights, Operations{Operation::list, Operation::create, Operation::write});
    CHECK_EQ(grant("{ tree = \"/srv/www/\", rights = [\"read\"] }").path, "/srv/www");
    const auto says = [](const char* table, const char* part) { return grant_complaints(table).find(part) != std::string::npos; };
    CHECK(says("{ file = \"/srv/www/\", rights = [\"read\"] }", "but \"file\" says file"));
    CHECK(says("{ file = \"/a\", rights = [\"unlink\"] }", "\"unlink\" goes with trees, and this is a file"));
    CHECK(says("{ file = \"/a\" }", "says no right"));
    CHECK(says("{ tree = \"/a\", rights = [] }", "says no right"));
    CHECK(says("{ file = \"/a\", rights = [\"raed\"] }", "did you mean \"read\"?"));
    CHECK_EQ(grant("{ read = \"/a\", rights = [\"stat\"] }").rights, Operations{Operation::read, Operation::stat});
    CHECK(says("{ read = \"/a\", also = [\"stat\"] }", "did you mean \"rights\"?"));
    CHECK(says("{ file = \"/a\", rights = [\"read\"], type = \"file\" }", "\"type\" has no meaning in grant"));
    CHECK(says("{ file = \"/a\", read = \"/b\" }", "has two operations"));
}

TEST_CASE("a path of a unix socket that is too long says how long it may be") {
    const std::string path = "/run/" + std::string(103, 'a');
    CHECK_NE(grant_complaints("{ listen = \"unix:" + path + "\" }").find("the path of a unix socket has at most 107 bytes, and this one has 108"), std::string::npos);
    CHECK_NE(grant_complaints("{ connect = \"unix-dgram:" + path + "\" }").find("and this one has 108"), std::string::npos);
}

TEST_CASE("each operation on files gives its rights") {
    CHECK_EQ(grant("{ write = \"/a\" }").rights, Operations{Operation::write});
    CHECK_EQ(grant("{ append = \"/a\" }").rights, Operations{Operation::append});
    CHECK_EQ(grant("{ create = \"/a\" }").rights, Operations{Operation::create, Operation::write});
    CHECK_EQ(grant("{ append = \"/a/\", rights = [\"read\", \"rename\", \"unlink\"] }").rights,
             Operations{Operation::append, Operation::read, Operation::rename, Operation::unlink});
    CHECK_EQ(grant("{ read = \"/a\", rights = [\"create\"] }").rights,
             Operations{Operation::read, Operation::create, Operation::write});
}

TEST_CASE("options of files are read") {
    const Grant log = grant("{ append = \"/var/log/a.log\", owner = \"worker\", mode = \"0640\", open_as = \"root\", pin = true }");
    CHECK_EQ(log.owner, Owner::worker);
    CHECK_EQ(log.mode, 0640);
    CHECK_EQ(log.as, As::root);
    CHECK(log.pin);
    CHECK(grant("{ read = \"/a/\", cross_mounts = true }").cross_mounts);
    CHECK_EQ(grant("{ create = \"/a\", owner = \"root\" }").owner, Owner::root);
}

TEST_CASE("a listener on tcp is root's doing, one on a unix path the worker's") {
    const Grant http = grant("{ listen = \"tcp:127.0.0.1:8080\", backlog = 9, reuse_port = true }");
    CHECK_EQ(http.kind, Kind::listener);
    CHECK_EQ(http.rights, Operations{Operation::listen});
    CHECK_EQ(http.as, As::root);
    CHECK_EQ(http.backlog, 9);
    CHECK(http.reuse_port);
    CHECK_EQ(format(http.address), "tcp:127.0.0.1:8080");
    const Grant path = grant("{ listen = \"unix:/run/a.sock\", owner = \"worker\", mode = \"0660\" }");
    CHECK_EQ(path.as, As::worker);
    CHECK_EQ(path.owner, Owner::worker);
    CHECK_EQ(path.mode, 0660);
}

TEST_CASE("a listener on every address is one address") {
    const Grant every = grant("{ listen = \"tcp:*:80\" }");
    CHECK(every.address.single());
    CHECK_EQ(format(every.address.address()).view(), "tcp:0.0.0.0:80");
    CHECK_FALSE(grant("{ listen = \"tcp:[::]:80\", v6_only = false }").v6_only);
}

TEST_CASE("a peer may be a range") {
    const Grant peer = grant("{ connect = \"tcp:10.0.0.0/8:1-1024\" }");
    CHECK_EQ(peer.kind, Kind::peer);
    CHECK_EQ(peer.rights, Operations{Operation::connect});
    CHECK_EQ(peer.address.prefix_bits, 8);
    CHECK_EQ(grant("{ connect = \"unix:/run/db.sock\", open_as = \"root\" }").as, As::root);
    CHECK_EQ(grant("{ connect = \"unix:@db\" }").as, As::worker);
}

TEST_CASE("a secret is read by root") {
    const Grant key = grant("{ secret = \"/etc/site.key\" }");
    CHECK_EQ(key.kind, Kind::secret);
    CHECK_EQ(key.rights, Operations{Operation::secret});
    CHECK_EQ(key.path, "/etc/site.key");
    CHECK_EQ(key.as, As::root);
}

TEST_CASE("a misspelt operation is told as what was meant, and no more is said") {
    CHECK_EQ(grant_complaints("{ lisen = \"tcp:127.0.0.1:8080\", backlog = 3 }"),
             "w.toml:4:7: error: unknown key \"lisen\" in grant \"g\" of worker \"web\"\n"
             "    4 | g = { lisen = \"tcp:127.0.0.1:8080\", backlog = 3 }\n"
             "      |       ^~~~~ did you mean \"listen\"?\n");
}

TEST_CASE("a grant has one operation") {
    CHECK_EQ(grant_complaints("{ open_as = \"root\" }"),
             "w.toml:4:1: error: grant \"g\" of worker \"web\" says no operation\n"
             "    4 | g = { open_as = \"root\" }\n"
             "      | ^ one of read, write, append, create, stat, access, readlink, list, watch, file, tree, listen, connect, secret, raw, "
             "packet, netlink, device, channel, fd_store_max, lookup, sysctl, run, signal, restart, syslog\n");
    CHECK_EQ(grant_complaints("{ read = \"/a\", write = \"/a\" }"),
             "w.toml:4:20: error: grant \"g\" of worker \"web\" has two operations: \"read\" and \"write\"\n"
             "    4 | g = { read = \"/a\", write = \"/a\" }\n"
             "      |                    ^~~~~ write rights = [\"write\"]\n");
    CHECK_EQ(grant_complaints("{ read = \"/a\", secret = \"/a\" }"),
             "w.toml:4:20: error: grant \"g\" of worker \"web\" has two operations: \"read\" and \"secret\"\n"
             "    4 | g = { read = \"/a\", secret = \"/a\" }\n"
             "      |                    ^~~~~~ make two grants of it\n");
    CHECK_EQ(grant_complaints("{ unlink = \"/a\" }"),
             "w.toml:4:7: error: \"unlink\" comes beside another operation\n"
             "    4 | g = { unlink = \"/a\" }\n"
             "      |       ^~~~~~ write rights = [\"unlink\"]\n");
}

TEST_CASE("a grant is a table of strings") {
    CHECK_EQ(grant_complaints("\"/srv/www\""),
             "w.toml:4:5: error: \"g\" is a string, but must be a table\n"
             "    4 | g = \"/srv/www\"\n"
             "      |     ^~~~~~~~~~ write { read = \"/srv/www\" }\n");
    CHECK_EQ(grant_complaints("{ listen = 8080 }"),
             "w.toml:4:16: error: \"listen\" is a whole number, but must be a string\n"
             "    4 | g = { listen = 8080 }\n"
             "      |                ^~~~\n");
}

TEST_CASE("an option that has no meaning here says where it has one") {
    CHECK_EQ(grant_complaints("{ read = \"/a\", backlog = 3 }"),
             "w.toml:4:20: error: \"backlog\" has no meaning in grant \"g\" of worker \"web\"\n"
             "    4 | g = { read = \"/a\", backlog = 3 }\n"
             "      |                    ^~~~~~~ it goes with listeners of tcp, unix and unix-seqpacket\n");
    for (const char* table : {"{ secret = \"/a\", owner = \"root\" }", "{ secret = \"/a\", open_as = \"root\" }",
                              "{ listen = \"tcp:*:80\", mode = \"0600\" }", "{ listen = \"tcp:*:80\", open_as = \"worker\" }",
                              "{ listen = \"udp:*:80\", backlog = 1 }", "{ listen = \"tcp:*:80\", v6_only = true }",
                              "{ listen = \"unix:@a\", mode = \"0600\" }", "{ connect = \"tcp:*:80\", open_as = \"root\" }",
                              "{ read = \"/a\", type = \"file\", names = [\"a\"] }",
                              "{ read = \"/a\", type = \"file\", cross_mounts = true }"}) {
        CAPTURE(table);
        CHECK_NE(grant_complaints(table).find("has no meaning in grant"), std::string::npos);
    }
}

TEST_CASE("paths are absolute and clean") {
    CHECK_EQ(grant_complaints("{ read = \"srv/www\" }"),
             "w.toml:4:14: error: path of \"read\" is not absolute\n"
             "    4 | g = { read = \"srv/www\" }\n"
             "      |              ^~~~~~~~~ write the whole path, from \"/\"\n");
    CHECK_EQ(grant_complaints("{ read = \"/srv/../etc//shadow\" }"),
             "w.toml:4:14: error: path of \"read\" is not clean: it has an empty, \".\" or \"..\" part\n"
             "    4 | g = { read = \"/srv/../etc//shadow\" }\n"
             "      |              ^~~~~~~~~~~~~~~~~~~~~ did you mean \"/etc/shadow\"?\n");
    CHECK_EQ(grant_complaints("{ secret = \"\" }"),
             "w.toml:4:16: error: path of \"secret\" is empty\n"
             "    4 | g = { secret = \"\" }\n"
             "      |                ^~ write the whole path, from \"/\"\n");
    CHECK_EQ(grant_complaints("{ secret = \"/etc/keys/\" }"),
             "w.toml:4:16: error: path of \"secret\" is not clean: it has an empty, \".\" or \"..\" part\n"
             "    4 | g = { secret = \"/etc/keys/\" }\n"
             "      |                ^~~~~~~~~~~~ did you mean \"/etc/keys\"?\n");
    CHECK_EQ(grant_complaints("{ read = \"/srv\\u0000/www\" }"),
             "w.toml:4:14: error: \"read\" has a NUL byte in it\n"
             "    4 | g = { read = \"/srv\\u0000/www\" }\n"
             "      |              ^~~~~~~~~~~~~~~~\n");
    CHECK_NE(grant_complaints("{ read = \"/" + std::string(5000, 'a') + "\" }").find("is longer than 4095 bytes"),
             std::string::npos);
    CHECK_NE(grant_complaints("{ read = \"//\" }").find("warning: \"read\" covers every file"), std::string::npos);
}

TEST_CASE("the root directory may be granted, with a warning") {
    const Parsed parsed = parse({{"w.toml", "[worker.web]\nexec = \"/usr/bin/web\"\ngrants = { g = { read = \"/\" } }\n"}});
    CHECK(parsed.ok());
    CHECK_EQ(testing::shown(parsed.problems),
             "w.toml:3:25: warning: \"read\" covers every file of this machine\n"
             "    3 | grants = { g = { read = \"/\" } }\n"
             "      |                         ^~~\n");
    CHECK_EQ(parsed.config.workers.at(0).grants.at(0).path, "/");
    CHECK_EQ(parsed.config.workers.at(0).grants.at(0).kind, Kind::tree);
}

TEST_CASE("a path that ends in a slash is no file") {
    CHECK_EQ(grant_complaints("{ read = \"/a/\", type = \"file\" }"),
             "w.toml:4:14: error: a path that ends in \"/\" is a tree, but \"type\" says file\n"
             "    4 | g = { read = \"/a/\", type = \"file\" }\n"
             "      |              ^~~~~\n");
}

TEST_CASE("rename and unlink need a tree") {
    CHECK_EQ(grant_complaints("{ write = \"/a\", type = \"file\", rights = [\"unlink\", \"exec\"] }"),
             "w.toml:4:46: error: \"unlink\" goes with trees, and this is a file\n"
             "    4 | g = { write = \"/a\", type = \"file\", rights = [\"unlink\", \"exec\"] }\n"
             "      |                                              ^~~~~~~~\n"
             "w.toml:4:56: error: \"rights\" cannot be \"exec\"\n"
             "    4 | g = { write = \"/a\", type = \"file\", rights = [\"unlink\", \"exec\"] }\n"
             "      |                                                        ^~~~~~ write one such as \"read\", \"write\", \"append\", \"create\", \"rename\", \"unlink\", \"stat\", \"access\", \"readlink\", \"list\", \"mkdir\", \"rmdir\", \"link\", \"symlink\", \"chmod\", \"truncate\", \"watch\"\n");
}

TEST_CASE("patterns of names are of one name") {
    CHECK_EQ(grant_complaints("{ read = \"/a/\", names = [\"css/*.css\", \"\"] }"),
             "w.toml:4:30: error: a pattern of \"names\" is of one name: not empty, without \"/\"\n"
             "    4 | g = { read = \"/a/\", names = [\"css/*.css\", \"\"] }\n"
             "      |                              ^~~~~~~~~~~\n"
             "w.toml:4:43: error: a pattern of \"names\" is of one name: not empty, without \"/\"\n"
             "    4 | g = { read = \"/a/\", names = [\"css/*.css\", \"\"] }\n"
             "      |                                           ^~\n");
    CHECK_NE(grant_complaints("{ read = \"/a/\", names = [] }").find("\"names\" is empty"), std::string::npos);
}

TEST_CASE("a mode where nothing is made is a warning") {
    CHECK_EQ(grant_complaints("{ read = \"/a\", mode = \"0640\" }"),
             "w.toml:4:20: warning: \"mode\" has no effect: nothing is made here\n"
             "    4 | g = { read = \"/a\", mode = \"0640\" }\n"
             "      |                    ^~~~ it goes with create, mkdir or owner\n");
    CHECK_EQ(grant_complaints("{ create = \"/a\", mode = 640 }"),
             "w.toml:4:29: error: \"mode\" is octal and stands in quotes\n"
             "    4 | g = { create = \"/a\", mode = 640 }\n"
             "      |                             ^~~ write \"0640\"\n");
    CHECK_NE(grant_complaints("{ create = \"/a\", mode = \"4755\" }").find("is not octal from"), std::string::npos);
}

TEST_CASE("an address that is none is told as what was perhaps meant") {
    const auto meant = [](const std::string& text) {
        const std::string shown = grant_complaints("{ listen = \"" + text + "\" }");
        const std::size_t at = shown.find("did you mean ");
        return at == std::string::npos ? "" : shown.substr(at + 13, shown.rfind('?') - at - 13);
    };
    CHECK_EQ(meant("8080"), "\"tcp:127.0.0.1:8080\"");
    CHECK_EQ(meant(":8080"), "\"tcp:*:8080\"");
    CHECK_EQ(meant("tcp:8080"), "\"tcp:127.0.0.1:8080\"");
    CHECK_EQ(meant("127.0.0.1:8080"), "\"tcp:127.0.0.1:8080\"");
    CHECK_EQ(meant("localhost:8080"), "\"tcp:127.0.0.1:8080\"");
    CHECK_EQ(meant("tcp:localhost:8080"), "\"tcp:127.0.0.1:8080\"");
    CHECK_EQ(meant("[::1]:80"), "\"tcp:[::1]:80\"");
    CHECK_EQ(meant("/run/a.sock"), "\"unix:/run/a.sock\"");
    CHECK_EQ(meant("tpc:127.0.0.1:80"), "\"tcp:127.0.0.1:80\"");
    CHECK_EQ(grant_complaints("{ connect = \"example.org\" }"),
             "w.toml:4:17: error: \"example.org\" is not an address\n"
             "    4 | g = { connect = \"example.org\" }\n"
             "      |                 ^~~~~~~~~~~~~ write it like \"tcp:127.0.0.1:8080\", \"tcp:[::1]:8080\" or "
             "\"unix:/run/a.sock\"\n");
}

TEST_CASE("a listener on a range is an error") {
    CHECK_EQ(grant_complaints("{ listen = \"tcp:10.0.0.0/8:80\", backlog = 3 }"),
             "w.toml:4:16: error: a listener has one address and one port, and this is a range\n"
             "    4 | g = { listen = \"tcp:10.0.0.0/8:80\", backlog = 3 }\n"
             "      |                ^~~~~~~~~~~~~~~~~~~\n");
}

TEST_CASE("names of grants are as those of workers") {
    CHECK_EQ(testing::worker_complaints("grants = { Site = { read = \"/a\" }, \"a b\" = { read = \"/a\" }, \"a/b\" = {} }\n"),
             "w.toml:3:12: error: \"Site\" cannot name a grant\n"
             "    3 | grants = { Site = { read = \"/a\" }, \"a b\" = { read = \"/a\" }, \"a/b\" = {} }\n"
             "      |            ^~~~ did you mean \"site\"?\n"
             "w.toml:3:36: error: \"a b\" cannot name a grant\n"
             "    3 | grants = { Site = { read = \"/a\" }, \"a b\" = { read = \"/a\" }, \"a/b\" = {} }\n"
             "      |                                    ^~~~~ did you mean \"a-b\"?\n"
             "w.toml:3:61: error: \"a/b\" cannot name a grant\n"
             "    3 | grants = { Site = { read = \"/a\" }, \"a b\" = { read = \"/a\" }, \"a/b\" = {} }\n"
             "      |                                                             ^~~~~ names are of a-z, 0-9, \"_\", "
             "\".\", \"@\" and \"-\", at most 63\n");
}

TEST_CASE("the grants of the manual are all read") {
    const Worker site = worker(R"(
[worker.web.grants]
http = { listen = "tcp:127.0.0.1:8080" }
site = { read = "/srv/www/" }
log  = { append = "/var/log/site.log", owner = "worker" }
data = { create = "/var/lib/site/", owner = "worker", mode = "0640" }
db   = { connect = "unix:/run/db.sock" }
key  = { secret = "/etc/site.key" }
)");
    CHECK_EQ(site.grants.size(), 6);
}

}  // namespace
}  // namespace warder::config
