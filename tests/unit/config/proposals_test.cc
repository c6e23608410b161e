// What `why` proposes is TOML that the config takes, and that allows what was asked: for each kind of file grant and each request.
#include <doctest/doctest.h>

#include "config/parse.h"
#include "policy/decide.h"
#include "policy/explain.h"

using namespace warder;

namespace {

config::Parsed with_grants(const std::string& grants) {
    return config::parse({{"w.toml", "[worker.w]\nexec = [\"/bin/true\"]\n[worker.w.grants]\n" + grants +
                                      "[worker.x]\nexec = [\"/bin/true\"]\n"}});
}

std::string behind(const std::string& sentence, std::string_view words) {
    const std::size_t at = sentence.find(words);
    return at == std::string::npos ? "" : sentence.substr(at + words.size());
}

// The grants as the sentence would have them; empty: it proposes nothing.
std::string proposed(const std::string& sentence, const std::string& key, const std::string& path, const std::string& line) {
    if (const auto also = behind(sentence, "give it rights = "); !also.empty()) {
        return "g = { " + key + " = \"" + path + "\", rights = " + also + " }\n";
    }
    std::string own = behind(sentence, "add to [worker.w.grants]: ");
    if (own.starts_with("NAME")) own.replace(0, 4, "name");   // which is the reader's to choose
    return own.empty() ? "" : line + own + "\n";
}

}  // namespace

TEST_CASE("proposals: what would allow a request is taken by the config, and allows it") {
    int tried = 0;
    for (const std::string path : {"/srv/f", "/srv/d/"}) {
        for (const std::string key : {"read", "write", "append", "create", "stat", "access", "readlink", "list", "watch"}) {
            const std::string line = "g = { " + key + " = \"" + path + "\" }\n";
            const auto before = with_grants(line);
            if (!before.ok()) continue;
            const policy::GrantSet grants("w", before.config.workers.at(0).grants);
            for (const auto& [operation, name] : operation_names) {
                for (const std::string target : {"", "x", "/srv/f", "/srv/d/x", "/etc/hosts"}) {
                    const bool two = takes_two_paths(operation) || operation == Operation::symlink;
                    const std::string second = two ? target : "";
                    const policy::Request request{operation, 0, operation == Operation::access ? 4U : 0U,
                                                  target.starts_with('/') ? "" : "g", target, second, 0};
                    const auto decision = policy::decide(grants, request);
                    const std::string sentence(policy::explain(grants, request, decision).view());
                    const std::string next = proposed(sentence, key, path, line);
                    if (next.empty()) continue;
                    ++tried;
                    CAPTURE(sentence);
                    CAPTURE(next);
                    const auto after = with_grants(next);
                    CHECK(after.ok());
                    // A request that names the grant goes on to name it, and a tree itself is nothing to open.
                    if (after.ok() && target.starts_with('/')) {
                        const policy::GrantSet more("w", after.config.workers.at(0).grants);
                        CHECK(policy::decide(more, request).verdict == policy::Verdict::allow);
                    }
                }
            }
        }
    }
    CHECK(tried > 100);
}
