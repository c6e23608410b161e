// Random grants and requests, from a small world in which they often meet, against the slow obvious reference.
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>

#include "policy/explain.h"
#include "policy/sentence.h"
#include "unit/policy/reference.h"

using namespace warder;
using namespace warder::policy;

namespace {

class World {
public:
    explicit World(std::uint32_t seed) : random_(seed) {}

    std::vector<Grant> grants() {
        std::vector<Grant> list(below(12));
        for (auto& grant : list) fill(grant);
        return list;
    }

    // Owns the texts that the request points into.
    struct Asked {
        std::string grant;
        std::string target;
        std::string second;
        Request request() const { return {operation, flags, mode, grant, target, second}; }
        Operation operation{};
        std::uint16_t flags = 0;
        std::uint32_t mode = 0;
    };

    Asked asked(const std::vector<Grant>& grants) {
        Asked out = anything();
        if (!grants.empty() && below(3) != 0) aim(out, grants[below(static_cast<std::uint32_t>(grants.size()))]);
        return out;
    }

private:
    Asked anything() {
        Asked out;
        out.operation = static_cast<Operation>(rarely() ? below(65536) : 1 + below(9));
        out.flags = static_cast<std::uint16_t>(below(4) != 0 ? 0 : below(18));
        out.mode = rarely() ? below(02000) : 0;
        if (below(2) == 0) out.grant = name();
        if (below(5) != 0) out.target = target(out.operation);
        if ((out.operation == Operation::rename) != rarely()) out.second = path();
        return out;
    }

    // Something that this grant is likely to allow.
    void aim(Asked& out, const Grant& grant) {
        if (!out.grant.empty() && !rarely()) out.grant = grant.name;
        if (grant.kind == Kind::listener || grant.kind == Kind::peer) {
            out.operation = grant.kind == Kind::listener ? Operation::listen : Operation::connect;
            out.target = below(2) == 0 ? address(false) : std::string(format(grant.address.address()).view());
        } else {
            out.operation = static_cast<Operation>(1 + below(9));
            out.target = grant.kind == Kind::tree ? below_tree(grant, out.grant.empty()) : grant.path;
        }
        if (out.operation == Operation::rename)
            out.second = below_tree(grant, out.grant.empty());
        else if (!rarely())
            out.second.clear();
    }

    std::string below_tree(const Grant& grant, bool absolute) {
        const std::string prefix = grant.path == "/" ? "/" : grant.path + "/";
        return (absolute || below(2) == 0 ? prefix : "") + (below(2) == 0 ? component() + "/" : "") + component();
    }

    std::uint32_t below(std::uint32_t limit) { return limit == 0 ? 0 : static_cast<std::uint32_t>(random_()) % limit; }
    bool rarely() { return below(25) == 0; }

    template <std::size_t N>
    std::string one_of(const std::array<const char*, N>& words) {
        return words[below(N)];
    }

    std::string name() { return "g" + std::to_string(below(8)); }

    std::string component() {
        static constexpr std::array<const char*, 9> usual{"a",  "b",  "www",   "wwwx", "a.html",
                                                          ".x", "ab", "c\xff", "log.1"};
        static constexpr std::array<const char*, 4> odd{"", ".", "..", "..."};
        return rarely() ? one_of(odd) : one_of(usual);
    }

    std::string path() {
        std::string out;
        const std::uint32_t depth = 1 + below(4);
        for (std::uint32_t i = 0; i < depth; ++i) out += (i > 0 || below(4) != 0 ? "/" : "") + component();
        if (rarely()) out += '/';
        if (rarely()) out.insert(below(static_cast<std::uint32_t>(out.size())), 1, '\0');
        if (rarely()) out += std::string(4090, 'x');
        return out;
    }

    std::string clean_path() {
        for (;;) {
            std::string out = path();
            if (reference::clean(out, true)) return out;
        }
    }

    std::string ip_or_name(bool pattern) {
        static constexpr std::array<const char*, 6> hosts{"10.0.0.1", "10.0.0.2", "10.1.0.1",
                                                          "*",        "[::1]",    "[2001:db8::1]"};
        static constexpr std::array<const char*, 6> nets{"10.0.0.0/8",      "10.0.0.0/30", "*",
                                                         "[2001:db8::]/32", "[::]/0",      "10.0.0.1"};
        static constexpr std::array<const char*, 4> ports{"80", "81", "1-80", "81-90"};
        return (pattern ? one_of(nets) : one_of(hosts)) + ":" +
               (pattern ? one_of(ports) : std::to_string(79 + below(4)));
    }

    std::string address(bool pattern) {
        static constexpr std::array<const char*, 2> inet{"tcp:", "udp:"};
        static constexpr std::array<const char*, 3> local{"unix:", "unix-dgram:", "unix-seqpacket:"};
        static constexpr std::array<const char*, 3> names{"/a", "/b", "@a"};
        if (!pattern && rarely()) return path();
        return below(3) == 0 ? one_of(local) + one_of(names) : one_of(inet) + ip_or_name(pattern);
    }

    std::string target(Operation operation) {
        const bool sockets = operation == Operation::listen || operation == Operation::connect;
        return sockets != rarely() ? address(false) : path();
    }

    void fill(Grant& grant) {
        static constexpr std::array<const char*, 6> patterns{"*", "*.html", "?", ".*", "a*", "w*w"};
        grant.name = name();
        grant.kind = static_cast<Kind>(below(5));
        grant.path = grant.kind == Kind::tree && rarely() ? "/" : clean_path();
        for (std::uint16_t operation = 1; operation <= last_operation; ++operation) {
            if (below(2) == 0) grant.rights.add(static_cast<Operation>(operation));
        }
        for (auto left = below(3) == 0 ? below(3) : 0; left > 0; --left) grant.names.push_back(one_of(patterns));
        const auto parsed = grant.kind == Kind::peer ? parse_address_pattern(address(true)) : std::nullopt;
        grant.address = parsed ? *parsed : exactly(parse_address("tcp:10.0.0.1:80").value());
        grant.origin = "world.toml:1";
    }

    std::mt19937 random_;
};

bool one_harmless_line(const Sentence& sentence) {
    if (sentence.truncated() || sentence.empty() || !is_utf8(sentence.view())) return false;
    return std::all_of(sentence.view().begin(), sentence.view().end(), [](char one) {
        const auto byte = static_cast<unsigned char>(one);
        return byte >= 0x20 && byte != 0x7f;
    });
}

}  // namespace

TEST_CASE("on any grants and requests the decision is the obvious one, and its sentence is one harmless line") {
    World world(20260131);
    std::size_t allowed = 0;
    std::array<std::size_t, 9> reasons{};
    for (int round = 0; round < 4000; ++round) {
        const auto list = world.grants();
        const GrantSet grants("web", list);
        for (int i = 0; i < 25; ++i) {
            const auto asked = world.asked(list);
            const Request request = asked.request();
            const Decision decision = decide(grants, request);
            if (!reference::agrees(list, request, decision)) {
                INFO("round " << round << ": " << number(decision.grant) << ' ' << name_of(decision.reason));
                INFO(name_of(request.operation)
                     << " [" << asked.grant << "] [" << asked.target << "] [" << asked.second << ']');
                FAIL_CHECK("decide and the reference disagree");
            }
            if (!one_harmless_line(explain(grants, request, decision))) {
                FAIL_CHECK("not a harmless line: ", explain(grants, request, decision).view());
            }
            allowed += decision.verdict == Verdict::allow ? 1 : 0;
            ++reasons.at(static_cast<std::size_t>(decision.reason));
        }
    }
    // The world is one in which everything happens often.
    CHECK(allowed > 5000);
    for (const auto count : reasons) CHECK(count > 300);
}
