// Grants of every kind but files, trees and sockets of old, and the shape of any.
#include <string>

#include "unit/config/one.h"

namespace warder::config {
namespace {

using policy::As;
using policy::Family;
using policy::Grant;
using policy::Placeholder;
using policy::Kind;
using testing::complaints;
using testing::good;
using testing::grant;
using testing::grant_complaints;
using testing::worker;

// What is complained of in a worker "web" with this grant "g", beside a worker "other".
std::string with_neighbour(const std::string& table, const std::string& keys = "") {
    return complaints("[worker.web]\nexec = \"/usr/bin/web\"\n" + keys + "grants.g = " + table +
                      "\n[worker.other]\nexec = \"/usr/bin/other\"\n");
}

Grant beside_neighbour(const std::string& table) {
    return good("[worker.web]\nexec = \"/usr/bin/web\"\ngrants.g = " + table +
                "\n[worker.other]\nexec = \"/usr/bin/other\"\n").workers.at(0).grants.at(0);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_CASE("operations on paths stand alone or beside others") {
    CHECK_EQ(grant("{ list = \"/a/\" }").rights, Operations{Operation::list});
    CHECK_EQ(grant("{ stat = \"/a\", rights = [\"access\", \"readlink\", \"chmod\", \"truncate\", \"watch\"] }").rights,
             Operations{Operation::stat, Operation::access, Operation::readlink, Operation::chmod, Operation::truncate,
                        Operation::watch});
    CHECK_EQ(grant("{ read = \"/a/\", rights = [\"mkdir\", \"rmdir\", \"link\", \"symlink\", \"list\"] }").rights,
             Operations{Operation::read, Operation::mkdir, Operation::rmdir, Operation::link, Operation::symlink,
                        Operation::list});
    CHECK_EQ(grant("{ read = \"/a/\", rights = [\"mkdir\"], mode = \"0700\" }").mode, 0700);
    CHECK(has(grant_complaints("{ list = \"/a\", type = \"file\" }"), "\"list\" goes with trees, and this is a file"));
    CHECK(has(grant_complaints("{ mkdir = \"/a\" }"), "\"mkdir\" comes beside another operation"));
    CHECK(has(grant_complaints("{ read = \"/a\", list = \"/a\" }"), "write rights = [\"list\"]"));
}

TEST_CASE("sockets of vsock, and one whose name the kernel chooses") {
    const Grant listener = grant("{ listen = \"vsock:*:1024\", backlog = 5 }");
    CHECK_EQ(format(listener.address), "vsock:*:1024");
    CHECK(listener.address.single());
    CHECK_EQ(listener.as, As::root);
    CHECK_EQ(format(grant("{ connect = \"vsock:2:1-1024\" }").address), "vsock:2:1-1024");
    CHECK_EQ(format(grant("{ listen = \"unix:@\" }").address), "unix:@");
    CHECK(has(grant_complaints("{ connect = \"unix:@\" }"), "is for listening: there is nothing to connect to"));
    CHECK(has(grant_complaints("{ listen = \"vsock:*:1-2\" }"), "this is a range"));
    CHECK(has(grant_complaints("{ listen = \"vsock:*:1\", reuse_port = true }"), "has no meaning"));
}

TEST_CASE("a name leads to private addresses only where that is said, and an address or a path has no need to say it") {
    CHECK_FALSE(grant("{ connect = \"tcp:db.example.org:5432\" }").private_addresses);
    CHECK(grant("{ connect = \"tcp:db.example.org:5432\", private = true }").private_addresses);
    for (const auto* other : {"{ connect = \"tcp:10.0.0.1:5432\", private = true }", "{ connect = \"unix:/run/a\", private = false }",
                              "{ listen = \"tcp:127.0.0.1:80\", private = true }"}) {
        CHECK(has(grant_complaints(other), "connections by name"));
    }
}

TEST_CASE("by name one connects, and does not listen") {
    const Grant db = grant("{ connect = \"tcp:DB.example.org:5432\" }");
    CHECK_EQ(db.address.family, Family::host);
    CHECK_EQ(format(db.address), "tcp:db.example.org:5432");
    CHECK_EQ(grant_complaints("{ listen = \"tcp:db.example.org:5432\" }"),
             "w.toml:4:16: error: a listener has an address, and this is a name\n"
             "    4 | g = { listen = \"tcp:db.example.org:5432\" }\n"
             "      |                ^~~~~~~~~~~~~~~~~~~~~~~~~ write it like \"tcp:127.0.0.1:8080\", \"tcp:[::1]:8080\" or "
             "\"unix:/run/a.sock\"\n");
    CHECK(has(grant_complaints("{ connect = \"db.example.org:5432\" }"), "did you mean \"tcp:db.example.org:5432\"?"));
}

TEST_CASE("raw sockets are of one protocol, by name or number, of IPv4 or IPv6") {
    const Grant ping = grant("{ raw = \"icmp\" }");
    CHECK_EQ(ping.kind, Kind::raw);
    CHECK_EQ(ping.rights, Operations{Operation::raw});
    CHECK_EQ(ping.protocol, 1);
    CHECK_EQ(ping.as, As::root);
    CHECK_EQ(ping.address.family, Family::ipv4);
    CHECK_EQ(grant("{ raw = \"icmpv6\" }").address.family, Family::ipv6);
    CHECK_EQ(grant("{ raw = \"ospf\", family = \"ipv6\" }").address.family, Family::ipv6);
    CHECK_EQ(grant("{ raw = 89 }").protocol, 89);
    CHECK_EQ(grant("{ raw = \"89\" }").protocol, 89);
    CHECK(has(grant_complaints("{ raw = \"icpm\" }"), "did you mean \"icmp\"?"));
    for (const auto* none : {"{ raw = 255 }", "{ raw = 0 }", "{ raw = -1 }", "{ raw = \"\" }", "{ raw = \"0x\" }"}) {
        CHECK(has(grant_complaints(none), "\"raw\" cannot be"));
    }
    CHECK(has(grant_complaints("{ raw = true }"), "must be a name or a number"));
    CHECK(has(grant_complaints("{ raw = \"icmp\", interface = \"eth0\" }"), "it goes with packet"));
}

TEST_CASE("packet and netlink sockets are of one protocol") {
    const Grant arp = grant("{ packet = \"arp\", interface = \"eth0\" }");
    CHECK_EQ(arp.kind, Kind::packet);
    CHECK_EQ(arp.protocol, 0x0806);
    CHECK_EQ(arp.interface, "eth0");
    CHECK_EQ(grant("{ packet = \"0x88cc\" }").protocol, 0x88cc);
    CHECK_EQ(grant("{ packet = \"all\" }").protocol, 3);
    CHECK(has(grant_complaints("{ packet = \"0x10000\" }"), "\"packet\" cannot be"));
    CHECK(has(grant_complaints("{ packet = \"arp\", interface = \"sixteen-letters-\" }"), "cannot name an interface"));
    CHECK(has(grant_complaints("{ packet = \"arp\", interface = \"a/b\" }"), "cannot name an interface"));
    CHECK_EQ(grant("{ netlink = \"kobject-uevent\" }").protocol, 15);
    CHECK_EQ(grant("{ netlink = \"route\" }").protocol, 0);
    CHECK(has(grant_complaints("{ netlink = 32 }"), "\"netlink\" cannot be 32"));
}

TEST_CASE("a device is opened to read, and a tun device for both") {
    const Grant kvm = grant("{ device = \"/dev/kvm\", access = \"read-write\" }");
    CHECK_EQ(kvm.kind, Kind::device);
    CHECK_EQ(kvm.path, "/dev/kvm");
    CHECK(kvm.writes);
    CHECK_FALSE(grant("{ device = \"/dev/input/event0\" }").writes);
    const Grant tun = grant("{ device = \"/dev/net/tun\", interface = \"vpn0\" }");
    CHECK_EQ(tun.interface, "vpn0");
    CHECK(tun.writes);
    CHECK(has(grant_complaints("{ device = \"/dev/kvm\", interface = \"a\" }"), "has no meaning"));
    CHECK(has(grant_complaints("{ device = \"/dev/kvm\", access = \"write\" }"), "\"access\" cannot be \"write\""));
    CHECK(has(grant_complaints("{ device = \"dev/kvm\" }"), "is not absolute"));
}

TEST_CASE("a lookup is of some kinds, of names that match") {
    const Grant names = grant("{ lookup = [\"user\", \"host\"], names = [\"*.lan\", \"web\"] }");
    CHECK_EQ(names.kind, Kind::lookup);
    CHECK_EQ(names.lookups, 5);
    CHECK_EQ(names.names.size(), 2);
    CHECK(has(grant_complaints("{ lookup = [\"users\"] }"), "did you mean \"user\"?"));
    CHECK(has(grant_complaints("{ lookup = [] }"), "\"lookup\" is empty"));
    CHECK(has(grant_complaints("{ lookup = \"user\" }"), "write [\"user\"]"));
    CHECK(has(grant_complaints("{ lookup = [\"user\"], names = [] }"), "nothing could be looked up"));
}

TEST_CASE("keys of the kernel are read, and written where that is said") {
    const Grant net = grant("{ sysctl = [\"net.core.*\", \"kernel/hostname\"] }");
    CHECK_EQ(net.kind, Kind::sysctl);
    CHECK_EQ(net.rights, Operations{Operation::sysctl_read});
    CHECK_EQ(net.names, std::vector<std::string>{"net.core.*", "kernel/hostname"});
    CHECK_EQ(grant("{ sysctl = [\"a\"], write = true }").rights, Operations{Operation::sysctl_read, Operation::sysctl_write});
    CHECK(has(grant_complaints("{ sysctl = [\"a b\"] }"), "\"a b\" is not a key"));
    CHECK(has(grant_complaints("{ sysctl = [\"*\"] }"), "warning: this covers every key"));
    CHECK(has(grant_complaints("{ sysctl = [\"a\"], write = \"/x\" }"), "must be true or false"));
}

TEST_CASE("a command has fixed words, and placeholders with a type") {
    const Grant run = grant("{ run = [\"/usr/bin/foo\", \"--name={who:word}\", \"{n:number}\", \"{file:path:/srv/www/}\", "
                            "\"{how:choice:fast|slow}\", \"{{literal}}\"], user = \"www\", stdin = true, stdout = false, "
                            "stderr = false, timeout = \"5s\", max_concurrent = 2 }");
    CHECK_EQ(run.kind, Kind::command);
    CHECK_EQ(run.rights, Operations{Operation::run});
    const auto& words = run.command.words;
    REQUIRE_EQ(words.size(), 6);
    CHECK_EQ(words[0].text, "/usr/bin/foo");
    CHECK_EQ(words[1].before, "--name=");
    CHECK_EQ(words[1].placeholder, Placeholder::word);
    CHECK_EQ(words[1].name, "who");
    CHECK_EQ(words[2].placeholder, Placeholder::number);
    CHECK_EQ(words[3].placeholder, Placeholder::path);
    CHECK_EQ(words[3].text, "/srv/www");
    CHECK_EQ(words[4].placeholder, Placeholder::choice);
    CHECK_EQ(words[4].text, "fast|slow");
    CHECK_EQ(words[5].placeholder, Placeholder::none);
    CHECK_EQ(words[5].text, "{literal}");
    CHECK_EQ(run.command.user, "www");
    CHECK(run.command.in);
    CHECK_FALSE(run.command.out);
    CHECK_FALSE(run.command.err);
    CHECK_EQ(run.command.timeout, std::chrono::seconds(5));
    CHECK_EQ(run.command.max_concurrent, 2);
}

TEST_CASE("T26: a command that could be read in two ways is refused") {
    const auto said = [](const std::string& word) { return grant_complaints("{ run = [\"/bin/x\", \"" + word + "\"] }"); };
    CHECK(has(said("{a:word}.txt"), "a placeholder ends its argument"));
    CHECK(has(said("{a:word}{b:word}"), "a placeholder ends its argument"));
    CHECK(has(said("{a:word"), "that nothing closes"));
    CHECK(has(said("a}"), "that closes nothing"));
    CHECK(has(said("{a}"), "placeholder \"a\" has no type"));
    CHECK(has(said("{:word}"), "cannot name a placeholder"));
    CHECK(has(said("{A:word}"), "cannot name a placeholder"));
    CHECK(has(said("{a:wrod}"), "did you mean \"word\"?"));
    CHECK(has(said("{a:word:b}"), "says more than its type"));
    CHECK(has(said("{a:path}"), "says no directory"));
    CHECK(has(said("{a:path:srv}"), "says no directory"));
    CHECK(has(said("{a:path:/srv/../etc}"), "says no directory"));
    CHECK(has(said("{a:choice}"), "to choose of"));
    CHECK(has(said("{a:choice:b||c}"), "to choose of"));
    CHECK(has(said("{a:choice:b\\nc}"), "to choose of"));
    CHECK(has(grant_complaints("{ run = [\"{a:path:/}\"] }"), "the program of \"run\" is fixed"));
    CHECK(has(grant_complaints("{ run = [\"foo\"] }"), "is not absolute"));
    CHECK(has(grant_complaints("{ run = [] }"), "\"run\" is empty"));
    CHECK(has(grant_complaints("{ run = \"/bin/x -a\" }"), "must be a list"));
}

TEST_CASE("another worker is signalled or restarted") {
    const Grant hup = beside_neighbour("{ signal = \"other\", signals = [\"HUP\", \"SIGUSR1\", 34] }");
    CHECK_EQ(hup.kind, Kind::worker);
    CHECK_EQ(hup.rights, Operations{Operation::signal});
    CHECK_EQ(hup.peer, "other");
    CHECK_EQ(hup.signals, (1ULL << 1) | (1ULL << 10) | (1ULL << 34));
    CHECK_EQ(beside_neighbour("{ restart = \"other\" }").rights, Operations{Operation::restart});
    CHECK(has(with_neighbour("{ signal = \"other\" }"), "add signals = [\"HUP\"]"));
    CHECK(has(with_neighbour("{ signal = \"other\", signals = [\"HPU\"] }"), "\"HPU\" is not a signal"));
    CHECK(has(with_neighbour("{ signal = \"other\", signals = [0] }"), "from 1 to 63"));
    CHECK(has(with_neighbour("{ signal = \"other\", signals = [64] }"), "from 1 to 63"));
    CHECK_EQ(with_neighbour("{ restart = \"othre\" }"),
             "w.toml:3:24: error: there is no worker \"othre\"\n"
             "    3 | grants.g = { restart = \"othre\" }\n"
             "      |                        ^~~~~~~ did you mean \"other\"?\n");
    CHECK(has(with_neighbour("{ restart = \"A B\" }"), "cannot name a worker"));
}

std::string two_ends(const std::string& here, const std::string& there) {
    return complaints("[worker.web]\nexec = \"/usr/bin/web\"\ngrants.g = " + here +
                      "\n[worker.other]\nexec = \"/usr/bin/other\"\n" + there);
}

TEST_CASE("a channel has two ends, each declared by its worker") {
    CHECK_EQ(two_ends("{ channel = \"other\" }", "grants.h = { channel = \"web\" }\n"), "");
    CHECK_EQ(two_ends("{ channel = \"other\", type = \"stream\", fds = true }",
                      "grants.h = { channel = \"web\", type = \"stream\", fds = true }\n"), "");
    CHECK_EQ(two_ends("{ channel = \"other\", fds = true }", ""),
             "w.toml:3:24: error: worker \"other\" does not declare its end of this channel\n"
             "    3 | grants.g = { channel = \"other\", fds = true }\n"
             "      |                        ^~~~~~~ add to [worker.other.grants]: g = { channel = \"web\", fds = true }\n");
    const std::string differ = two_ends("{ channel = \"other\", fds = true }", "grants.h = { channel = \"web\" }\n");
    CHECK(has(differ, "declares its end of this channel otherwise, as \"h\" at w.toml:6"));
    CHECK(has(differ, "make that { channel = \"web\", fds = true }"));
    CHECK(has(two_ends("{ channel = \"web\" }", ""), "a channel leads to another worker"));
    CHECK(has(two_ends("{ channel = \"other\" }\ngrants.i = { channel = \"other\" }", "grants.h = { channel = \"web\" }\n"),
              "a second channel to \"other\""));
    CHECK(has(two_ends("{ channel = \"othre\" }", ""), "did you mean \"other\"?"));
}

TEST_CASE("descriptors may be sent by who has a store or a channel for them, and not beside a datagram socket") {
    CHECK(worker("grants.s = { fd_store_max = 16 }\n").sandbox.calls.may_send_descriptors);
    CHECK_EQ(worker("grants.s = { fd_store_max = 16 }\n").grants.at(0).most, 16);
    CHECK_FALSE(worker("grants.s = { read = \"/a\" }\n").sandbox.calls.may_send_descriptors);
    CHECK(has(grant_complaints("{ fd_store_max = 0 }"), "\"fd_store_max\" must be from 1 to 253"));
    CHECK(has(grant_complaints("{ fd_store_max = \"16\" }"), "write 16, without quotes"));
    CHECK(has(testing::worker_complaints("grants.s = { fd_store_max = 16 }\ngrants.d = { listen = \"udp:*:53\" }\n"),
              "has a datagram socket lent, and so cannot send descriptors"));
}

TEST_CASE("lent sockets of every family but unix narrow the filter") {
    for (const auto* table : {"{ raw = \"icmp\" }", "{ packet = \"arp\" }", "{ netlink = \"route\" }",
                              "{ connect = \"vsock:2:1\" }", "{ connect = \"tcp:db.example:1\" }"}) {
        const auto calls = worker("grants.g = " + std::string(table) + "\n").sandbox.calls;
        CAPTURE(table);
        CHECK(calls.inet_sockets_lent);
        CHECK_FALSE(calls.datagram_sockets_lent);
    }
    CHECK(worker("grants.g = { connect = \"udp:db.example:1\" }\n").sandbox.calls.datagram_sockets_lent);
    CHECK_FALSE(worker("grants.g = { listen = \"unix:@\" }\n").sandbox.calls.inet_sockets_lent);
}

TEST_CASE("the log is the system's, or at another path") {
    CHECK_EQ(grant("{ syslog = true }").path, "/dev/log");
    CHECK_EQ(grant("{ syslog = true }").kind, Kind::syslog);
    CHECK_EQ(grant("{ syslog = \"/run/log\" }").path, "/run/log");
    CHECK(has(grant_complaints("{ syslog = false }"), "write true for"));
    CHECK(has(grant_complaints("{ syslog = \"/" + std::string(107, 'a') + "\" }"), "too long for a unix socket"));
}

TEST_CASE("any grant that is asked for has a shape") {
    const Grant shaped = worker("ready = \"libwarder\"\ngrants.g = { read = \"/a\", max_uses = 1, until = \"ready\", max_rate = 10 }\n")
                             .grants.at(0);
    CHECK_EQ(shaped.shape.uses, 1);
    CHECK(shaped.shape.until_ready);
    CHECK_EQ(shaped.shape.per_second, 10);
    for (const auto* table : {"{ secret = \"/a\", max_uses = 1 }", "{ raw = \"icmp\", max_uses = 1 }", "{ run = [\"/a\"], max_rate = 1 }",
                              "{ listen = \"unix:@a\", max_uses = 1 }", "{ sysctl = [\"a\"], max_rate = 1 }"}) {
        CAPTURE(table);
        CHECK_EQ(grant_complaints(table), "");
    }
    CHECK(has(grant_complaints("{ fd_store_max = 1, max_uses = 1 }"), "\"max_uses\" has no meaning"));
    CHECK(has(grant_complaints("{ read = \"/a\", max_uses = 0 }"), "\"max_uses\" must be from 1"));
    CHECK(has(grant_complaints("{ read = \"/a\", until = \"later\" }"), "\"until\" cannot be \"later\""));
    CHECK(has(grant_complaints("{ read = \"/a\", until = \"ready\" }"), "this grant is over before it begins"));
}

TEST_CASE("listeners of vsock clash by context and port, and those that the kernel names never") {
    const auto two = [](const std::string& first, const std::string& second) {
        return complaints("[worker.a]\nexec = \"/usr/bin/a\"\ngrants.x = { listen = \"" + first + "\" }\n" +
                          "grants.y = { listen = \"" + second + "\" }\n");
    };
    CHECK(has(two("vsock:*:1", "vsock:2:1"), "is taken already"));
    CHECK(has(two("vsock:2:1", "vsock-seqpacket:2:1"), "is taken already"));
    CHECK_EQ(two("vsock:2:1", "vsock:3:1"), "");
    CHECK_EQ(two("vsock:*:1", "vsock:*:2"), "");
    CHECK_EQ(two("unix:@", "unix:@"), "");
}

}  // namespace
}  // namespace warder::config
