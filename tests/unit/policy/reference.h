// The decision once more, slow and obvious: every grant is looked at, paths are compared component by component,
// networks bit by bit, patterns by recursion. The real one must agree with it on any input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <vector>

#include "policy/decide.h"

namespace warder::policy::reference {

using Components = std::vector<std::string_view>;

inline Components split(std::string_view path) {
    Components out;
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= path.size(); ++i) {
        if (i < path.size() && path[i] != '/') continue;
        out.push_back(path.substr(begin, i - begin));
        begin = i + 1;
    }
    return out;
}

inline bool clean(std::string_view path, bool absolute) {
    if (path.empty() || path.size() > 4095) return false;
    for (const char one : path) {
        if (one == '\0') return false;
    }
    Components parts = split(path);
    if (absolute) {
        if (parts.size() < 2 || !parts.front().empty()) return false;
        parts.erase(parts.begin());
    }
    return std::all_of(parts.begin(), parts.end(),
                       [](std::string_view part) { return part != "" && part != "." && part != ".."; });
}

// The names of a clean absolute path, or of the path of a tree, which may be "/".
inline Components names_of(std::string_view path) {
    Components parts = split(path);
    std::erase(parts, "");
    return parts;
}

inline bool lies_below(std::string_view directory, std::string_view path) {
    const Components outer = names_of(directory);
    const Components inner = names_of(path);
    return inner.size() > outer.size() && std::equal(outer.begin(), outer.end(), inner.begin());
}

inline bool glob(std::string_view pattern, std::string_view name) {
    if (pattern.empty()) return name.empty();
    if (pattern[0] == '*') return glob(pattern.substr(1), name) || (!name.empty() && glob(pattern, name.substr(1)));
    if (name.empty() || (pattern[0] != '?' && pattern[0] != name[0])) return false;
    return glob(pattern.substr(1), name.substr(1));
}

inline bool name_fits(const Grant& grant, std::string_view path) {
    const std::string_view name = split(path).back();
    return grant.names.empty() || std::any_of(grant.names.begin(), grant.names.end(), [&](std::string_view pattern) {
               return (name[0] != '.' || (!pattern.empty() && pattern[0] == '.')) && glob(pattern, name);
           });
}

inline bool bit_of(const std::array<std::uint8_t, 16>& ip, std::size_t bit) {
    return (ip[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

inline bool address_fits(const AddressPattern& pattern, const Address& address) {
    if (pattern.transport != address.transport || pattern.family != address.family) return false;
    if (pattern.family == Family::unix_path || pattern.family == Family::unix_abstract)
        return pattern.name == address.name;
    for (std::size_t bit = 0; bit < pattern.prefix_bits; ++bit) {
        if (bit_of(pattern.ip, bit) != bit_of(address.ip, bit)) return false;
    }
    return pattern.port_first <= address.port && address.port <= pattern.port_last;
}

inline bool gives(const Grant& grant, Operation operation) {
    if (!grant.rights.has(operation)) return false;
    if (operation == Operation::listen) return grant.kind == Kind::listener;
    if (operation == Operation::connect) return grant.kind == Kind::peer;
    if (operation == Operation::secret) return grant.kind == Kind::secret;
    if (operation == Operation::rename) return grant.kind == Kind::tree;
    return grant.kind == Kind::file || grant.kind == Kind::tree;
}

struct Expected {
    bool allowed = false;
    Reason reason = Reason::not_granted;
    GrantId grant = GrantId::none;
};

inline Expected yes(std::size_t grant) { return {true, Reason::ok, static_cast<GrantId>(grant)}; }
inline Expected no(Reason reason) { return {false, reason, GrantId::none}; }
inline Expected no(Reason reason, std::size_t grant) { return {false, reason, static_cast<GrantId>(grant)}; }

inline bool sound(const Request& request, Reason& reason) {
    const auto operation = static_cast<unsigned>(request.operation);
    reason = Reason::unknown_operation;
    if (operation < 1 || operation > 9) return false;
    reason = Reason::bad_flags;
    const bool create = request.operation == Operation::create;
    const bool write = request.operation == Operation::write || create;
    if (request.flags >= 16) return false;
    if ((request.flags & 1) != 0 && !write) return false;
    if ((request.flags & 2) != 0 && !write) return false;
    if ((request.flags & 4) != 0 && !create) return false;
    if (request.mode > (create ? 0777U : 0U)) return false;
    reason = Reason::bad_path;
    return (request.operation == Operation::rename) != request.second.empty();
}

inline Expected named(std::span<const Grant> grants, const Request& request) {
    std::size_t id = 0;
    while (id < grants.size() && grants[id].name != request.grant) ++id;
    if (id == grants.size()) return no(Reason::no_such_grant);
    const Grant& grant = grants[id];
    if (!gives(grant, request.operation)) return no(Reason::wrong_operation, id);
    if (grant.kind == Kind::file || grant.kind == Kind::secret) {
        if (request.target.empty() || request.target == grant.path) return yes(id);
        return no(clean(request.target, true) ? Reason::not_granted : Reason::bad_path, id);
    }
    if (grant.kind == Kind::tree) {
        for (const auto path : {request.target, request.second}) {
            if (path.data() == request.second.data() && request.operation != Operation::rename) break;
            const bool absolute = !path.empty() && path[0] == '/';
            if (!clean(path, absolute)) return no(Reason::bad_path, id);
            if (absolute && !lies_below(grant.path, path)) return no(Reason::not_granted, id);
            if (!name_fits(grant, path)) return no(Reason::name_not_matched, id);
        }
        return yes(id);
    }
    if (request.target.empty() && grant.address.single()) return yes(id);
    const auto address = parse_address(request.target);
    if (!address) return no(Reason::bad_address, id);
    return address_fits(grant.address, *address) ? yes(id) : no(Reason::not_granted, id);
}

// Grants that cover what was asked for, the nearest first; each with whether its names fit.
struct Candidate {
    std::size_t distance = 0;
    std::size_t id = 0;
    bool names_fit = true;
};

inline Expected first_that_gives(std::span<const Grant> grants, Operation operation,
                                 std::vector<Candidate> candidates) {
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        return std::tie(a.distance, a.id) < std::tie(b.distance, b.id);
    });
    for (const auto& candidate : candidates) {
        if (gives(grants[candidate.id], operation) && candidate.names_fit) return yes(candidate.id);
    }
    if (candidates.empty()) return no(Reason::not_granted);
    const Candidate& nearest = candidates.front();
    const bool lacks = !gives(grants[nearest.id], operation);
    return no(lacks ? Reason::wrong_operation : Reason::name_not_matched, nearest.id);
}

inline Expected by_path(std::span<const Grant> grants, const Request& request) {
    const bool two = request.operation == Operation::rename;
    if (!clean(request.target, true) || (two && !clean(request.second, true))) return no(Reason::bad_path);
    std::vector<Candidate> candidates;
    for (std::size_t id = 0; id < grants.size(); ++id) {
        const Grant& grant = grants[id];
        if ((grant.kind == Kind::file || grant.kind == Kind::secret) && grant.path == request.target) {
            candidates.push_back({0, id, true});
        }
        if (grant.kind != Kind::tree || !lies_below(grant.path, request.target)) continue;
        if (two && !lies_below(grant.path, request.second)) continue;
        const std::size_t distance = names_of(request.target).size() - names_of(grant.path).size();
        candidates.push_back(
            {distance, id, name_fits(grant, request.target) && (!two || name_fits(grant, request.second))});
    }
    return first_that_gives(grants, request.operation, candidates);
}

inline Expected by_address(std::span<const Grant> grants, const Request& request) {
    const auto address = parse_address(request.target);
    if (!address) return no(Reason::bad_address);
    std::vector<Candidate> candidates;
    for (std::size_t id = 0; id < grants.size(); ++id) {
        const Grant& grant = grants[id];
        if (grant.kind != Kind::listener && grant.kind != Kind::peer) continue;
        if (!address_fits(grant.address, *address)) continue;
        candidates.push_back({grant.address.single() ? 0U : 1000U - grant.address.prefix_bits, id, true});
    }
    return first_that_gives(grants, request.operation, candidates);
}

inline Expected decide(std::span<const Grant> grants, const Request& request) {
    Reason reason{};
    if (!sound(request, reason)) return no(reason);
    if (!request.grant.empty()) return named(grants, request);
    const bool sockets = request.operation == Operation::listen || request.operation == Operation::connect;
    return sockets ? by_address(grants, request) : by_path(grants, request);
}

// Whether the real decision is the expected one, and what it says besides holds.
inline bool agrees(std::span<const Grant> grants, const Request& request, const Decision& decision) {
    const Expected expected = decide(grants, request);
    if ((decision.verdict == Verdict::allow) != expected.allowed) return false;
    if (decision.reason != expected.reason || decision.grant != expected.grant) return false;
    if (!expected.allowed) return decision.remainder.empty() && decision.second.empty();
    const Grant& grant = grants[number(expected.grant)];
    if (grant.kind == Kind::listener || grant.kind == Kind::peer) return address_fits(grant.address, decision.address);
    if (grant.kind != Kind::tree) return decision.remainder.empty() && decision.second.empty();
    const auto inside = [&](std::string_view whole, std::string_view part) {
        return clean(part, false) && part.size() <= whole.size() &&
               part.data() + part.size() == whole.data() + whole.size();
    };
    if (!inside(request.target, decision.remainder)) return false;
    return request.operation == Operation::rename ? inside(request.second, decision.second) : decision.second.empty();
}

}  // namespace warder::policy::reference
