#include "policy/narrow.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "policy/decide.h"

using namespace warder;
using namespace warder::policy;

namespace {

constexpr std::uint64_t everything = ~std::uint64_t{0};

Grant site() {
    Grant grant;
    grant.name = "site";
    grant.kind = Kind::tree;
    grant.path = "/srv/www";
    grant.rights = {Operation::read, Operation::write, Operation::list};
    return grant;
}

Grant lan() {
    Grant grant;
    grant.name = "lan";
    grant.kind = Kind::peer;
    grant.address = parse_address_pattern("tcp:10.0.0.0/8:1-1023").value();
    grant.rights = {Operation::connect};
    return grant;
}

struct Narrowing {
    std::uint64_t keep = everything;
    std::string_view target = {};
    std::string_view pattern = {};
    std::uint32_t uses = 0;
};

Result<Grant> narrow(const Grant& grant, const Narrowing& by) {
    return narrowed(grant, {Operation::narrow, 0, by.uses, grant.name, by.target, by.pattern, by.keep});
}

int error_of(const Grant& grant, const Narrowing& by) {
    const auto result = narrow(grant, by);
    return result ? 0 : result.error().number;
}

std::uint64_t bit(Operation operation) { return std::uint64_t{1} << static_cast<unsigned>(operation); }

}  // namespace

TEST_CASE("operations that are not kept are gone, and none of them comes back") {
    const Grant reads = narrow(site(), {.keep = bit(Operation::read)}).value();
    CHECK(reads.rights == Operations{Operation::read});
    CHECK(reads.narrowed);
    CHECK(narrow(reads, {.keep = everything, .uses = 1}).value().rights == Operations{Operation::read});
    CHECK(narrow(reads, {.keep = bit(Operation::write)}).value().rights.empty());
    CHECK(narrow(site(), {.keep = 0}).value().rights.empty());
}

TEST_CASE("a tree is narrowed to a path in it, again and again inwards") {
    const Grant pages = narrow(site(), {.target = "/srv/www/pages"}).value();
    CHECK(pages.within == "/srv/www/pages");
    CHECK(pages.path == "/srv/www");
    CHECK(narrow(pages, {.target = "pages/new"}).value().within == "/srv/www/pages/new");
    CHECK(narrow(pages, {.target = "/srv/www/pages"}).value().within == "/srv/www/pages");
    CHECK(error_of(pages, {.target = "/srv/www"}) == EINVAL);
    CHECK(error_of(pages, {.target = "/srv/www/pagesx"}) == EINVAL);
    CHECK(error_of(pages, {.target = "new"}) == EINVAL);   // names are below the grant, as in any request
    for (const auto target : {"/etc", "/srv/wwwx", "..", "pages/..", "/srv/www/../..", "/srv/www/", "/"}) {
        CAPTURE(target);
        CHECK(error_of(site(), {.target = target}) == EINVAL);
    }
    Grant root = site();
    root.path = "/";
    CHECK(narrow(root, {.target = "etc"}).value().within == "/etc");
    CHECK(narrow(root, {.target = "/etc"}).value().within == "/etc");
}

TEST_CASE("a peer is narrowed to an address or a range within its own") {
    CHECK(format(narrow(lan(), {.target = "tcp:10.1.0.0/16:80"}).value().address) == "tcp:10.1.0.0/16:80");
    CHECK(format(narrow(lan(), {.target = "tcp:10.1.2.3:80-90"}).value().address) == "tcp:10.1.2.3:80-90");
    for (const auto target : {"tcp:*:80", "tcp:11.0.0.0/8:80", "tcp:10.0.0.0/8:1-1024", "udp:10.0.0.1:80",
                              "tcp:[::1]:80", "unix:/a", "tcp:db:80", "80"}) {
        CAPTURE(target);
        CHECK(error_of(lan(), {.target = target}) == EINVAL);
    }
}

TEST_CASE("patterns add up, to a number of them") {
    Grant grant = site();
    for (std::size_t i = 0; i < max_narrowings; ++i) {
        grant = narrow(grant, {.pattern = "*" + std::to_string(i) + "*"}).value();
    }
    CHECK(grant.every_name.size() == max_narrowings);
    CHECK(error_of(grant, {.pattern = "one more"}) == EDQUOT);
    CHECK(error_of(grant, {.pattern = "*0*"}) == 0);   // is there already
    CHECK(error_of(site(), {.pattern = std::string(256, 'a')}) == EINVAL);
    CHECK(error_of(lan(), {.pattern = "*"}) == EINVAL);
}

TEST_CASE("uses only become fewer") {
    CHECK(narrow(site(), {.uses = 3}).value().shape.uses == 3);
    Grant few = site();
    few.shape.uses = 2;
    CHECK(narrow(few, {.uses = 3}).value().shape.uses == 2);
    CHECK(narrow(few, {.uses = 1}).value().shape.uses == 1);
}

TEST_CASE("a grant without parts is narrowed by what it permits and how often, not by a target") {
    Grant key = site();
    key.kind = Kind::secret;
    key.rights = {Operation::secret};
    CHECK(error_of(key, {.target = "/srv/www/a"}) == EINVAL);
    CHECK(error_of(key, {.keep = 0}) == 0);
    CHECK(error_of(key, {.uses = 1}) == 0);
}

TEST_CASE("a narrowing that takes nothing away is told so, and a failed one changes nothing") {
    CHECK(error_of(site(), {}) == EINVAL);
    CHECK(error_of(site(), {.keep = bit(Operation::read) | bit(Operation::write) | bit(Operation::list)}) == EINVAL);
    CHECK(error_of(site(), {.keep = 0, .target = "/etc"}) == EINVAL);
}

TEST_CASE("T18: what is decided after a narrowing is what is left") {
    const GrantSet grants("web", {narrow(site(), {.target = "pages", .pattern = "*.html", .uses = 4}).value()});
    const auto reason = [&](std::string_view target) {
        return decide(grants, {Operation::read, 0, 0, {}, target, {}}).reason;
    };
    CHECK(reason("/srv/www/pages/a.html") == Reason::ok);
    CHECK(reason("/srv/www/pages/a.php") == Reason::given_up);
    CHECK(reason("/srv/www/a.html") == Reason::given_up);
    CHECK(reason("/srv/a.html") == Reason::not_granted);
}
