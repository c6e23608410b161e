// Between receive and send there is no heap: operator new is counted here while requests are decided and explained.
#include <cstdio>
#include <string>

#include "policy/explain.h"
#include "unit/policy/counted_new.h"

using namespace warder;
using namespace warder::policy;
using warder::test::allocations;

namespace {

GrantSet a_thousand_grants() {
    std::vector<Grant> list;
    for (int i = 0; i < 1000; ++i) {
        Grant grant;
        grant.name = "a-name-too-long-for-the-small-string-" + std::to_string(i);
        grant.kind = static_cast<Kind>(i < 900 ? i % 5 : i % static_cast<int>(kind_count));
        for (const auto& entry : operation_names) grant.rights.add(entry.operation);
        grant.path = "/srv/a-directory-with-a-long-name/" + std::to_string(i);
        grant.names = {"*.html"};
        const std::string range = i % 2 == 0 ? "/24:1-1023" : ":80";
        const std::string network = std::to_string(i / 250) + "." + std::to_string(i % 250) + ".0";
        grant.address = parse_address_pattern("tcp:10." + network + range).value();
        grant.lookups = 15;
        grant.signals = 2;
        grant.peer = "another-worker-with-a-long-name";
        grant.every_name = {"*"};
        grant.narrowed = true;
        grant.command.words = {{"", Placeholder::none, "/usr/bin/a-program-with-a-long-name", ""},
                               {"--a-long-literal-part=", Placeholder::path, "/srv", "file"}};
        grant.origin = "a/rather/long/path/of/a/config.toml:" + std::to_string(i);
        list.push_back(std::move(grant));
    }
    return GrantSet("a-worker-with-a-long-name-too", std::move(list));
}

std::size_t asked = 0;

void ask(const GrantSet& grants, const Request& request) {
    const Decision decision = decide(grants, request);
    asked += explain(grants, request, decision).empty() ? 0 : 1;
}

}  // namespace

int main() {
    const GrantSet grants = a_thousand_grants();
    const std::string longest = "/" + std::string(4000, 'x');
    const std::string name = grants.at(GrantId{506}).name;
    const std::string far = grants.at(GrantId{998}).name;
    const std::string tree = grants.at(GrantId{501}).path + "/index.html";
    const std::size_t before = allocations();
    if (before < 1000) return std::puts("operator new is not counted"), 1;
    for (std::uint16_t operation = 0; operation <= last_operation + 1; ++operation) {
        for (const std::string_view grant :
             {std::string_view(), std::string_view(name), std::string_view(far), std::string_view("no-such-grant")}) {
            for (const std::string_view target : {std::string_view(), std::string_view(longest), std::string_view(tree),
                                                  std::string_view("index.html"), std::string_view("tcp:10.1.1.0:80"),
                                                  std::string_view("tcp:10.1.2.7:80"), std::string_view("\xff\n\""),
                                                  std::string_view("tcp:A-Host-With-A-Long-Name.Example:80"),
                                                  std::string_view("host:A-Host-With-A-Long-Name.Example"),
                                                  std::string_view("net.core.a_key_with_a_long_name"),
                                                  std::string_view("/srv/a-file-with-a-long-name-for-a-command")}) {
                for (const std::string_view second : {std::string_view(), std::string_view(tree)}) {
                    for (const std::uint64_t argument : {0U, 1U}) {
                        ask(grants, {static_cast<Operation>(operation), 0, 0, grant, target, second, argument});
                    }
                }
            }
        }
    }
    const std::size_t made = allocations() - before;
    std::printf("%zu requests decided and explained, %zu allocations\n", asked, made);
    return made == 0 && asked > 400 ? 0 : 1;
}
