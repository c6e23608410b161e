// Random grants and requests, from a small world in which they often meet, against the slow obvious reference.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <random>
#include <string>

#include "policy/explain.h"
#include "policy/narrow.h"
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
        Request request() const { return {operation, flags, mode, grant, target, second, argument}; }
        Operation operation{};
        std::uint16_t flags = 0;
        std::uint32_t mode = 0;
        std::uint64_t argument = 0;
    };

    Asked asked(const std::vector<Grant>& grants) {
        Asked out = anything();
        if (!grants.empty() && below(4) != 0) aim(out, grants[below(static_cast<std::uint32_t>(grants.size()))]);
        return out;
    }

    // A narrowing of this grant: mostly one that is possible.
    Asked narrowing(const Grant& grant) {
        Asked out;
        out.operation = Operation::narrow;
        out.grant = grant.name;
        out.argument = below(3) == 0 ? (std::uint64_t{random_()} << 32 | random_()) : ~std::uint64_t{0};
        if (below(20) == 0) out.argument = 0;
        if (below(2) == 0) out.target = narrower(grant);
        if (below(3) == 0) out.second = pattern();
        if (below(4) == 0) out.mode = below(5);
        return out;
    }

    std::uint32_t below(std::uint32_t limit) { return limit == 0 ? 0 : static_cast<std::uint32_t>(random_()) % limit; }

private:
    Asked anything() {
        Asked out;
        out.operation = static_cast<Operation>(rarely() ? below(65536) : 1 + below(last_operation));
        out.flags = static_cast<std::uint16_t>(below(4) != 0 ? 0 : below(18));
        out.mode = rarely() ? below(02000) : 0;
        if (out.operation == Operation::access && !rarely()) out.mode = 1 + below(7);
        if (below(2) == 0) out.grant = name();
        if (below(5) != 0) out.target = target(out.operation);
        const bool two = takes_two_paths(out.operation) || out.operation == Operation::symlink;
        if (two != rarely()) out.second = path();
        if (out.operation == Operation::signal) out.argument = below(66);
        if (rarely()) out.argument = below(40);
        return out;
    }

    // Something that this grant is likely to allow.
    void aim(Asked& out, const Grant& grant) {
        if (!out.grant.empty() && !rarely()) out.grant = grant.name;
        const auto suited = reference::of_kind(grant.kind);
        if (suited.empty()) return;
        out.operation = *std::next(suited.begin(), below(static_cast<std::uint32_t>(suited.size())));
        out.mode = out.operation == Operation::access ? 1 + below(7) : 0;
        out.argument = out.operation == Operation::signal ? 1 + below(9) : 0;
        out.target = aimed(grant, out.grant.empty());
        if (takes_two_paths(out.operation) || (out.operation == Operation::symlink && below(2) == 0)) {
            out.second = below_tree(grant, out.grant.empty());
        } else if (out.operation == Operation::symlink) {
            out.second = component();
        } else if (out.operation == Operation::sysctl_write) {
            out.second = rarely() ? "1\n2" : "1";
        } else if (!rarely()) {
            out.second.clear();
        }
    }

    std::string aimed(const Grant& grant, bool absolute) {
        switch (grant.kind) {
            case Kind::listener:
            case Kind::peer:
                return below(2) == 0 ? address(false) : std::string(format(grant.address.address()).view());
            case Kind::tree:
                return below(6) == 0 ? (absolute || below(2) == 0 ? grant.path : "") : below_tree(grant, absolute);
            case Kind::file:
            case Kind::secret:
            case Kind::device: return grant.path;
            case Kind::lookup: return lookup_key();
            case Kind::sysctl: return sysctl_key();
            case Kind::command: return arguments(grant.command);
            case Kind::worker: return below(2) == 0 ? grant.peer : "";
            default: return {};
        }
    }

    std::string below_tree(const Grant& grant, bool absolute) {
        const std::string prefix = grant.path == "/" ? "/" : grant.path + "/";
        return (absolute || below(2) == 0 ? prefix : "") + (below(2) == 0 ? component() + "/" : "") + component();
    }

    std::string narrower(const Grant& grant) {
        if (rarely()) return below(2) == 0 ? path() : address(true);
        if (grant.kind == Kind::tree) return below(4) == 0 ? grant.path : below_tree(grant, false);
        return grant.kind == Kind::peer ? address(below(2) == 0) : std::string();
    }

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
        static constexpr std::array<const char*, 8> hosts{"10.0.0.1", "10.0.0.2",      "10.1.0.1", "*",
                                                          "[::1]",    "[2001:db8::1]", "db.lan",   "DB.Lan"};
        static constexpr std::array<const char*, 7> nets{"10.0.0.0/8", "10.0.0.0/30", "*",     "[2001:db8::]/32",
                                                         "[::]/0",     "10.0.0.1",    "db.lan"};
        static constexpr std::array<const char*, 4> ports{"80", "81", "1-80", "81-90"};
        return (pattern ? one_of(nets) : one_of(hosts)) + ":" +
               (pattern ? one_of(ports) : std::to_string(79 + below(4)));
    }

    std::string address(bool pattern) {
        static constexpr std::array<const char*, 2> inet{"tcp:", "udp:"};
        static constexpr std::array<const char*, 3> local{"unix:", "unix-dgram:", "unix-seqpacket:"};
        static constexpr std::array<const char*, 4> names{"/a", "/b", "@a", "@"};
        static constexpr std::array<const char*, 4> contexts{"vsock:2:80", "vsock:3:80", "vsock:*:80",
                                                             "vsock-seqpacket:2:80"};
        static constexpr std::array<const char*, 3> ranges{"vsock:*:80-90", "vsock:2:1-80", "vsock:*:80"};
        if (!pattern && rarely()) return path();
        if (below(6) == 0) return pattern ? one_of(ranges) : one_of(contexts);
        return below(3) == 0 ? one_of(local) + one_of(names) : one_of(inet) + ip_or_name(pattern);
    }

    std::string lookup_key() {
        static constexpr std::array<const char*, 12> keys{"user:a",  "user:ab",     "uid:0",       "uid:00",
                                                          "group:a", "gid:1",       "host:db.lan", "host:DB.lan",
                                                          "host:1",  "service:a/b", "service:a",   "user:-a"};
        return one_of(keys);
    }

    std::string sysctl_key() {
        static constexpr std::array<const char*, 8> keys{"a", "a.b", "a/b", "a..b", "net.a", "a./b", "ab.c-d_e", ".a"};
        return one_of(keys);
    }

    std::string arguments(const Command& command) {
        static constexpr std::array<const char*, 12> values{"a", "ab", "7", "-a", "..", "/a", "/a/b", "/a/../b",
                                                            "fast", "slow", "", "a b"};
        std::string out;
        for (const Word& word : command.words) {
            if (word.placeholder != Placeholder::none) out += (out.empty() ? "" : "\n") + one_of(values);
        }
        return rarely() ? out + "\na" : out;
    }

    std::string target(Operation operation) {
        switch (operation) {
            case Operation::listen:
            case Operation::connect: return rarely() ? path() : address(false);
            case Operation::lookup: return lookup_key();
            case Operation::sysctl_read:
            case Operation::sysctl_write: return sysctl_key();
            case Operation::run: return rarely() ? "a\nb" : "a";
            case Operation::signal:
            case Operation::restart: return below(2) == 0 ? "w1" : "w2";
            default: return rarely() ? address(false) : path();
        }
    }

    std::string pattern() {
        static constexpr std::array<const char*, 9> patterns{"*", "*.html", "?", ".*", "a*", "w*w", "*.lan", "a.?", "*b"};
        return one_of(patterns);
    }

    Command command() {
        static constexpr std::array<const char*, 3> before{"", "--x=", "-y"};
        Command out;
        out.words.push_back({"", Placeholder::none, "/usr/bin/a", ""});
        for (auto left = below(4); left > 0; --left) {
            const auto placeholder = static_cast<Placeholder>(below(5));
            const char* text = placeholder == Placeholder::path ? "/a" : placeholder == Placeholder::choice ? "fast|slow|a" : "b";
            out.words.push_back({placeholder == Placeholder::none ? "" : one_of(before), placeholder, text, "x"});
        }
        return out;
    }

    void fill(Grant& grant) {
        grant.name = name();
        grant.kind = static_cast<Kind>(below(3) == 0 ? below(5) : below(kind_count));
        grant.path = grant.kind == Kind::tree && rarely() ? "/" : clean_path();
        for (std::uint16_t operation = 1; operation <= last_operation; ++operation) {
            if (below(2) == 0) grant.rights.add(static_cast<Operation>(operation));
        }
        for (auto left = below(3) == 0 ? below(3) : 0; left > 0; --left) grant.names.push_back(pattern());
        if (grant.kind == Kind::sysctl) grant.names.push_back(pattern());
        for (auto left = below(6) == 0 ? below(3) : 0; left > 0; --left) grant.every_name.push_back(pattern());
        const auto parsed = grant.kind == Kind::peer ? parse_address_pattern(address(true)) : std::nullopt;
        const std::string listened = address(false);   // its name stays there
        const auto one = grant.kind == Kind::listener ? parse_address(listened) : std::nullopt;
        const auto usual = exactly(one ? *one : parse_address("tcp:10.0.0.1:80").value());
        grant.address = parsed ? *parsed : usual;
        if (grant.kind == Kind::tree && below(6) == 0) grant.within = grant.path + (grant.path == "/" ? "a" : "/a");
        grant.narrowed = !grant.within.empty() || !grant.every_name.empty() || rarely();
        grant.lookups = static_cast<std::uint8_t>(below(16));
        grant.signals = random_();
        grant.peer = below(2) == 0 ? "w1" : "w2";
        grant.command = command();
        grant.shape = {below(2) == 0 ? 0 : below(4), below(3) == 0, below(3) == 0 ? 1 + below(9) : 0};
        fill_what_decides_nothing(grant);
        grant.origin = "world.toml:1";
    }

    // What the decision does not look at, and narrowing must not touch.
    void fill_what_decides_nothing(Grant& grant) {
        const auto toss = [&] { return below(2) == 0; };
        grant.as = toss() ? As::worker : As::root;
        grant.owner = static_cast<Owner>(below(3));
        grant.mode = below(01000);
        grant.pin = toss();
        grant.cross_mounts = toss();
        grant.backlog = static_cast<int>(below(512));
        grant.reuse_port = toss();
        grant.v6_only = toss();
        grant.protocol = below(256);
        grant.interface = toss() ? "" : "lo";
        grant.writes = toss();
        grant.carries_fds = toss();
        grant.stream = toss();
        grant.most = below(64);
        grant.command.user = toss() ? "" : "nobody";
        grant.command.uid = below(65536);
        grant.command.gid = below(65536);
        grant.command.in = toss();
        grant.command.out = toss();
        grant.command.err = toss();
        grant.command.timeout = std::chrono::seconds(below(60));
        grant.command.max_concurrent = 1 + below(8);
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
    std::map<Reason, std::size_t> reasons;
    std::map<Operation, std::size_t> operations;
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
            ++reasons[decision.reason];
            if (decision.verdict == Verdict::allow) ++allowed, ++operations[request.operation];
        }
    }
    // The world is one in which everything happens often.
    CHECK(allowed > 5000);
    for (const Reason reason :
         {Reason::no_such_grant, Reason::not_granted, Reason::wrong_operation, Reason::name_not_matched, Reason::bad_path,
          Reason::bad_address, Reason::bad_flags, Reason::unknown_operation, Reason::given_up, Reason::bad_argument}) {
        CAPTURE(name_of(reason));
        CHECK(reasons[reason] > 300);
    }
    for (const auto& [operation, name] : operation_names) {
        CAPTURE(name);
        CHECK((operation == Operation::channel || operations[operation] > 20));
    }
}

namespace {

bool covers_no_more(const AddressPattern& smaller, const AddressPattern& larger) {
    return smaller == larger || covers(larger, smaller);
}

bool contains_all(const std::vector<std::string>& list, const std::vector<std::string>& of) {
    return std::all_of(of.begin(), of.end(), [&](const std::string& one) {
        return std::find(list.begin(), list.end(), one) != list.end();
    });
}

bool same(const Command& a, const Command& b) {
    const auto rest = [](const Command& command) {
        const auto& [words, user, uid, gid, in, out, err, timeout, max_concurrent] = command;
        return std::tuple(words.size(), user, uid, gid, in, out, err, timeout, max_concurrent);
    };
    return rest(a) == rest(b) && std::equal(a.words.begin(), a.words.end(), b.words.begin(), [](const Word& one, const Word& other) {
        return std::tie(one.before, one.placeholder, one.text, one.name) == std::tie(other.before, other.placeholder, other.text, other.name);
    });
}

bool no_longer(const Shape& smaller, const Shape& larger) {
    const auto& [uses, until_ready, per_second] = smaller;
    const bool fewer = larger.uses == 0 || (uses != 0 && uses <= larger.uses);
    return fewer && until_ready == larger.until_ready && per_second == larger.per_second;
}

// Nothing of `smaller` is more than it was; what narrowing has no business with is as it was. Each field is named: one more in
// Grant, Command or Shape does not compile here until somebody has said what narrowing does to it.
bool nowhere_larger(const Grant& smaller, const Grant& larger) {
    const auto rest = [](const Grant& grant) {
        const auto& [name, kind, rights, path, address, as, owner, mode, names, pin, cross_mounts, backlog, reuse_port,
                     v6_only, private_addresses, protocol, interface, peer, lookups, signals, writes, carries_fds, stream, most, command, shape, within,
                     every_name, narrowed, origin] = grant;
        return std::tie(name, kind, path, as, owner, mode, names, pin, cross_mounts, backlog, reuse_port, v6_only, private_addresses,
                        protocol, interface, peer, lookups, signals, writes, carries_fds, stream, most, origin);
    };
    const auto& outer = larger.within.empty() ? larger.path : larger.within;
    const auto& inner = smaller.within.empty() ? smaller.path : smaller.within;
    return rest(smaller) == rest(larger) && same(smaller.command, larger.command) && no_longer(smaller.shape, larger.shape) &&
           (smaller.rights.bits() & ~larger.rights.bits()) == 0 && (inner == outer || reference::lies_below(outer, inner)) &&
           contains_all(smaller.every_name, larger.every_name) && covers_no_more(smaller.address, larger.address) &&
           (smaller.narrowed || !larger.narrowed);
}

bool same(const Decision& one, const Decision& other) {
    return one.verdict == other.verdict && one.reason == other.reason && one.grant == other.grant &&
           one.remainder == other.remainder && one.second == other.second;
}

}  // namespace

TEST_CASE("T18: narrowing never widens, in any field, and never allows what was not allowed before") {
    World world(20260202);
    std::size_t narrowings = 0;
    std::size_t taken_away = 0;
    std::size_t still_allowed = 0;
    for (int round = 0; round < 3000; ++round) {
        auto list = world.grants();
        if (list.empty()) continue;
        const auto which = world.below(static_cast<std::uint32_t>(list.size()));
        const GrantSet before("web", list);
        auto smaller_list = list;
        GrantSet in_place("web", list);
        for (int step = 0; step < 3; ++step) {
            const auto narrowing = world.narrowing(smaller_list[which]);
            const auto result = narrowed(smaller_list[which], narrowing.request());
            if (!result) continue;
            ++narrowings;
            REQUIRE(result->narrowed);
            REQUIRE(nowhere_larger(*result, smaller_list[which]));
            smaller_list[which] = *result;
            in_place.narrow(static_cast<GrantId>(which), *result);
        }
        const GrantSet after("web", smaller_list);
        for (int i = 0; i < 25; ++i) {
            const auto asked = world.asked(list);
            const Request request = asked.request();
            const bool was = decide(before, request).verdict == Verdict::allow;
            const Decision now = decide(after, request);
            const bool is = now.verdict == Verdict::allow;
            if (!same(now, decide(in_place, request))) FAIL_CHECK("narrowed in its place it decides otherwise: ", asked.target);
            if (is && !was) FAIL_CHECK("allowed only after narrowing: ", name_of(asked.operation), ' ', asked.target);
            still_allowed += is ? 1 : 0;
            taken_away += was && !is ? 1 : 0;
        }
    }
    CHECK(narrowings > 2000);
    CHECK(taken_away > 500);
    CHECK(still_allowed > 3000);
}
