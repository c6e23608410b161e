// What a denial suggests is tried: the line of TOML is put into a config, read by the config's own parser, and the same
// request asked again.
#include <doctest/doctest.h>

#include <string>

#include "config/parse.h"
#include "policy/explain.h"

using namespace warder;
using namespace warder::policy;

namespace {

constexpr std::string_view opening = "; to allow it, add to [worker.web.grants]: ";

// The line of TOML in a sentence, or nothing.
std::string suggested(const Sentence& sentence) {
    const auto at = sentence.view().find(opening);
    if (at == std::string_view::npos) return {};
    std::string line(sentence.view().substr(at + opening.size()));
    if (line.starts_with("NAME")) line.replace(0, 4, "new");
    return line;
}

GrantSet with_line(const std::string& line) {
    const std::string toml = "[worker.db]\nexec = [\"/usr/bin/true\"]\n"
                             "[worker.web]\nexec = [\"/usr/bin/true\"]\n[worker.web.grants]\n" + line + "\n";
    const auto parsed = config::parse({{"web.toml", toml}});
    for (const auto& problem : parsed.problems) INFO(config::format(problem));
    REQUIRE(parsed.ok());
    return GrantSet("web", parsed.config.workers.at(1).grants);
}

}  // namespace

TEST_CASE("the suggested line of TOML, put into the config, allows what was denied") {
    const GrantSet none("web", {});
    const Request requests[] = {
        {Operation::read, 0, 0, {}, "/etc/shadow", {}},
        {Operation::write, 1, 0, {}, "/srv/a b/\"quoted\"\\\n\t\x7f", {}},
        {Operation::append, 0, 0, {}, "/var/log/é漢\u202e.log", {}},
        {Operation::create, 2, 0640, "data", "/var/lib/data", {}},
        {Operation::secret, 0, 0, "key.pem", "/etc/key.pem", {}},
        {Operation::listen, 0, 0, {}, "tcp:*:8080", {}},
        {Operation::listen, 0, 0, "web@1", "unix-seqpacket:@na me", {}},
        {Operation::connect, 8, 0, {}, "tcp:[2001:db8::1]:443", {}},
        {Operation::connect, 0, 0, {}, "unix:/run/db.sock", {}},
        {Operation::unlink, 0, 0, {}, "/var/spool/x", {}},
        {Operation::rename, 0, 0, {}, "/var/spool/x", "/var/spool/y"},
        {Operation::stat, 0, 0, {}, "/etc/hosts", {}},
        {Operation::access, 0, 4, {}, "/etc/hosts", {}},
        {Operation::readlink, 0, 0, {}, "/etc/localtime", {}},
        {Operation::list, 0, 0, {}, "/srv/www", {}},
        {Operation::watch, 0, 0, {}, "/srv/www", {}, 2},
        {Operation::mkdir, 0, 0755, {}, "/srv/www/new", {}},
        {Operation::rmdir, 0, 0, {}, "/srv/www/new", {}},
        {Operation::link, 0, 0, {}, "/srv/a", "/srv/b"},
        {Operation::symlink, 0, 0, {}, "/srv/a", "b"},
        {Operation::symlink, 0, 0, {}, "/srv/a", "/srv/b/c"},
        {Operation::chmod, 0, 0600, {}, "/srv/a", {}},
        {Operation::truncate, 0, 0, {}, "/srv/a", {}, 1},
        {Operation::listen, 0, 0, {}, "unix:@", {}},
        {Operation::listen, 0, 0, {}, "vsock:*:1024", {}},
        {Operation::connect, 0, 0, {}, "vsock:2:1024", {}},
        {Operation::connect, 0, 0, {}, "tcp:Db.example.org:5432", {}, 3},
        {Operation::device, 0, 0, {}, "/dev/kvm", {}},
        {Operation::raw, 0, 0, {}, {}, {}},
        {Operation::packet, 0, 0, {}, {}, {}},
        {Operation::netlink, 0, 0, {}, {}, {}},
        {Operation::syslog, 0, 0, {}, {}, {}},
        {Operation::lookup, 0, 0, {}, "user:www-data", {}},
        {Operation::lookup, 0, 0, {}, "host:DB.example", {}},
        {Operation::lookup, 0, 0, {}, "service:http/tcp", {}},
        {Operation::sysctl_read, 0, 0, {}, "net.core.somaxconn", {}},
        {Operation::sysctl_write, 0, 0, {}, "net/core/somaxconn", "1"},
        {Operation::signal, 0, 0, {}, "db", {}, 10},
        {Operation::signal, 0, 0, {}, "db", {}, 40},
        {Operation::restart, 0, 0, "again", "db", {}},
    };
    for (const Request& request : requests) {
        const Decision before = decide(none, request);
        REQUIRE(before.verdict == Verdict::deny);
        const std::string line = suggested(explain(none, request, before));
        CAPTURE(line);
        REQUIRE_FALSE(line.empty());
        GrantSet grants = with_line(line);
        // Whether it is a file or a tree the disk would say.
        std::vector<Grant> list(grants.all().begin(), grants.all().end());
        if (request.operation == Operation::list) list.at(0).kind = Kind::tree;
        CHECK(decide(GrantSet("web", list), request).verdict == Verdict::allow);
    }
}
