// The decision once more, slow and obvious: every grant is looked at, paths are compared component by component,
// networks bit by bit, patterns by recursion. The real one must agree with it on any input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <regex>
#include <set>
#include <string>
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

inline bool fits_one(std::string_view pattern, std::string_view name) {
    return (name[0] != '.' || (!pattern.empty() && pattern[0] == '.')) && glob(pattern, name);
}

// Of a name or key: whether the config's patterns fit, and those that the worker added.
inline Reason name_reason(const Grant& grant, std::string_view name) {
    const auto fits = [&](std::string_view pattern) { return fits_one(pattern, name); };
    if (!grant.names.empty() && std::none_of(grant.names.begin(), grant.names.end(), fits)) return Reason::name_not_matched;
    if (!std::all_of(grant.every_name.begin(), grant.every_name.end(), fits)) return Reason::given_up;
    return Reason::ok;
}

inline bool bit_of(const std::array<std::uint8_t, 16>& ip, std::size_t bit) {
    return (ip[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

inline std::string small(std::string_view text) {
    std::string out(text);
    for (char& one : out) one = static_cast<char>(one >= 'A' && one <= 'Z' ? one - 'A' + 'a' : one);
    return out;
}

inline bool address_fits(const AddressPattern& pattern, const Address& address) {
    if (pattern.transport != address.transport || pattern.family != address.family) return false;
    if (pattern.family == Family::unix_path || pattern.family == Family::unix_abstract)
        return pattern.name == address.name;
    if (pattern.family == Family::host && small(pattern.name) != small(address.name)) return false;
    for (std::size_t bit = 0; bit < pattern.prefix_bits; ++bit) {
        if (bit_of(pattern.ip, bit) != bit_of(address.ip, bit)) return false;
    }
    return pattern.port_first <= address.port && address.port <= pattern.port_last;
}

using Names = std::set<Operation>;

// What each kind can give at all.
inline Names of_kind(Kind kind) {
    using enum Operation;
    switch (kind) {
        case Kind::file: return {read, write, append, create, unlink, stat, access, readlink, chmod, truncate, watch};
        case Kind::tree:
            return {read, write, append, create, unlink, stat,  access,  readlink, chmod,
                    truncate, watch, rename, list,   mkdir, rmdir, link, symlink};
        case Kind::listener: return {listen};
        case Kind::peer: return {connect};
        case Kind::secret: return {secret};
        case Kind::raw: return {raw};
        case Kind::packet: return {packet};
        case Kind::netlink: return {netlink};
        case Kind::device: return {device};
        case Kind::lookup: return {lookup};
        case Kind::sysctl: return {sysctl_read, sysctl_write};
        case Kind::command: return {run};
        case Kind::worker: return {signal, restart};
        case Kind::syslog: return {syslog};
        default: return {};
    }
}

inline bool gives(const Grant& grant, Operation operation) {
    return grant.rights.has(operation) && of_kind(grant.kind).contains(operation);
}

inline bool is_path_operation(Operation operation) { return of_kind(Kind::tree).contains(operation); }

inline bool takes_directory(Operation operation) {
    return Names{Operation::list, Operation::stat, Operation::access, Operation::watch}.contains(operation);
}

inline bool two_paths(Operation operation) { return Names{Operation::rename, Operation::link}.contains(operation); }

// Texts with a form, as regular expressions.
inline bool formed(std::string_view text, const char* form) {
    return text.size() <= 300 && std::regex_match(text.begin(), text.end(), std::regex(form));
}

inline bool host_formed(std::string_view text) {
    const char* label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
    const std::string name = std::string("(") + label + "\\.)*(" + label + ")";
    return text.size() <= 253 && formed(text, name.c_str()) && !formed(text, "(.*\\.)?([0-9]+|0[xX].*)");
}

struct Asked {
    Lookup about{};
    std::string key;
};

inline bool lookup_formed(std::string_view text, Asked& asked) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return false;
    const std::string prefix(text.substr(0, colon));
    const std::string_view key = text.substr(colon + 1);
    asked.key = key;
    asked.about = prefix == "user" || prefix == "uid" ? Lookup::user : Lookup::group;
    if (prefix == "user" || prefix == "group") return formed(key, "[A-Za-z0-9_.@$+][A-Za-z0-9_.@$+-]{0,254}");
    if (prefix == "uid" || prefix == "gid") {
        return formed(key, "0|[1-9][0-9]{0,9}") && std::stoull(asked.key) < 4294967295ULL;
    }
    asked.about = Lookup::service;
    if (prefix == "service") {
        return key.size() <= 255 && formed(key, "[A-Za-z0-9_.+][A-Za-z0-9_.+-]*/[A-Za-z0-9][A-Za-z0-9-]*");
    }
    asked.about = Lookup::host;
    asked.key = small(key);
    return prefix == "host" && host_formed(key);
}

inline bool sysctl_formed(const Request& request) {
    const std::string_view nothing("\n\0", 2);
    return request.target.size() <= 255 && formed(request.target, "[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*") &&
           request.second.size() <= 4095 && request.second.find_first_of(nothing) == std::string_view::npos;
}

inline bool value_formed(const Word& word, std::string_view value) {
    switch (word.placeholder) {
        case Placeholder::word:
            return value.size() <= 255 && formed(value, "[A-Za-z0-9_.,:@%+][A-Za-z0-9_.,:@%+-]*") && value != "." &&
                   value != "..";
        case Placeholder::number: return formed(value, "[0-9]{1,18}");
        case Placeholder::path: return clean(value, true) && (value == word.text || lies_below(word.text, value));
        case Placeholder::choice: return !value.empty() && value.find('|') == std::string_view::npos &&
                                  ("|" + word.text + "|").find("|" + std::string(value) + "|") != std::string::npos;
        case Placeholder::none: break;
    }
    return false;
}

inline bool run_formed(const Command& command, std::string_view arguments) {
    std::vector<std::string> lines;
    std::string line;
    for (const char one : arguments) {
        if (one != '\n') {
            line += one;
            continue;
        }
        lines.push_back(line);
        line.clear();
    }
    if (!arguments.empty()) lines.push_back(line);
    std::size_t at = 0;
    std::size_t room = 8192;
    for (const Word& word : command.words) {
        if (word.placeholder == Placeholder::none) continue;
        if (at >= lines.size() || !value_formed(word, lines[at])) return false;
        const std::size_t size = word.before.size() + lines[at++].size();
        if (size > 4096 || size > room) return false;
        room -= size;
    }
    return at == lines.size();
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
    using enum Operation;
    const auto operation = static_cast<unsigned>(request.operation);
    reason = Reason::unknown_operation;
    if (operation < 1 || operation > 33) return false;
    reason = Reason::bad_flags;
    const bool makes = request.operation == create;
    const bool writes = request.operation == write || makes;
    if (request.flags >= 16) return false;
    if ((request.flags & 1) != 0 && !writes) return false;
    if ((request.flags & 2) != 0 && !writes) return false;
    if ((request.flags & 4) != 0 && !makes) return false;
    const bool permissions = Names{create, mkdir, chmod}.contains(request.operation);
    if (permissions && request.mode > 0777) return false;
    if (request.operation == access && (request.mode == 0 || request.mode > 7)) return false;
    if (!permissions && request.operation != access && request.operation != narrow && request.mode != 0) return false;
    const std::uint64_t argument = request.argument;
    const bool any = request.operation == truncate || request.operation == narrow;
    // IN_ALL_EVENTS, IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_ONESHOT
    if (request.operation == watch && (argument & ~std::uint64_t{0x87000fff}) != 0) return false;
    if (request.operation == connect && argument > 15) return false;
    if (request.operation == Operation::signal && (argument == 0 || argument > 64)) return false;
    if (!any && !Names{watch, connect, Operation::signal}.contains(request.operation) && argument != 0) return false;
    reason = Reason::bad_path;
    if (request.operation == sysctl_write || request.operation == narrow) return true;
    return (two_paths(request.operation) || request.operation == symlink) != request.second.empty();
}

inline std::string absolute_of(const Grant& tree, std::string_view path) {
    if (!path.empty() && path[0] == '/') return std::string(path);
    return path.empty() ? tree.path : tree.path + "/" + std::string(path);
}

// At or below what the worker narrowed the tree to.
inline bool inside(const Grant& tree, std::string_view absolute) {
    if (tree.within.empty()) return true;
    return names_of(tree.within) == names_of(absolute) || lies_below(tree.within, absolute);
}

// One path of a request, of a tree that is asked for by name or found.
inline Reason tree_reason(const Grant& tree, Operation operation, std::string_view path) {
    if (takes_directory(operation) && (path.empty() || path == tree.path)) {
        return inside(tree, tree.path) ? Reason::ok : Reason::given_up;
    }
    const bool absolute = !path.empty() && path[0] == '/';
    if (!clean(path, absolute)) return Reason::bad_path;
    if (absolute && !lies_below(tree.path, path)) return Reason::not_granted;
    if (!inside(tree, absolute_of(tree, path))) return Reason::given_up;
    return name_reason(tree, split(path).back());
}

inline Reason link_reason(const Grant& tree, std::string_view text) {
    const bool absolute = !text.empty() && text[0] == '/';
    if (!clean(text, absolute)) return Reason::bad_path;
    if (!absolute) return Reason::ok;
    if (!lies_below(tree.path, text)) return Reason::not_granted;
    return inside(tree, text) ? Reason::ok : Reason::given_up;
}

inline Reason paths_reason(const Grant& tree, const Request& request) {
    Reason reason = tree_reason(tree, request.operation, request.target);
    if (reason != Reason::ok) return reason;
    if (two_paths(request.operation)) return tree_reason(tree, request.operation, request.second);
    return request.operation == Operation::symlink ? link_reason(tree, request.second) : Reason::ok;
}

inline Reason address_reason(const Grant& grant, const Request& request) {
    const auto address = request.target.empty() && grant.address.single() ? std::optional(grant.address.address())
                                                                          : parse_address(request.target);
    if (!address) return Reason::bad_address;
    const bool by_name = address->family == Family::host;
    if (grant.kind == Kind::listener && by_name) return Reason::bad_address;
    if (grant.kind == Kind::peer && address->family == Family::unix_abstract && address->name.empty()) {
        return Reason::bad_address;
    }
    if (grant.kind == Kind::peer && !by_name && request.argument != 0) return Reason::bad_flags;
    if (address_fits(grant.address, *address)) return Reason::ok;
    return grant.narrowed ? Reason::given_up : Reason::not_granted;
}

inline Reason other_reason(const Grant& grant, const Request& request) {
    switch (grant.kind) {
        case Kind::lookup: {
            Asked asked;
            if (!lookup_formed(request.target, asked)) return Reason::bad_argument;
            if ((grant.lookups & static_cast<unsigned>(asked.about)) == 0) return Reason::not_granted;
            return name_reason(grant, asked.key);
        }
        case Kind::sysctl:
            if (!sysctl_formed(request)) return Reason::bad_argument;
            if (grant.names.empty()) return Reason::name_not_matched;
            return name_reason(grant, request.target);
        case Kind::command: return run_formed(grant.command, request.target) ? Reason::ok : Reason::bad_argument;
        case Kind::worker:
            if (!request.target.empty() && request.target != grant.peer) return Reason::not_granted;
            if (request.operation == Operation::restart) return Reason::ok;
            for (std::uint64_t signal = 1; signal < 64; ++signal) {
                if (signal == request.argument && (grant.signals >> signal) % 2 == 1) return Reason::ok;
            }
            return Reason::bad_argument;
        default: return request.target.empty() ? Reason::ok : Reason::bad_argument;
    }
}

inline Expected by_grant(std::span<const Grant> grants, std::size_t id, const Request& request) {
    const Grant& grant = grants[id];
    if (!gives(grant, request.operation)) {
        const bool lost = grant.narrowed && of_kind(grant.kind).contains(request.operation);
        return no(lost ? Reason::given_up : Reason::wrong_operation, id);
    }
    Reason reason{};
    if (grant.kind == Kind::file || grant.kind == Kind::secret || grant.kind == Kind::device) {
        if (request.target.empty() || request.target == grant.path) return yes(id);
        reason = clean(request.target, true) ? Reason::not_granted : Reason::bad_path;
    } else if (grant.kind == Kind::tree) {
        reason = paths_reason(grant, request);
    } else if (grant.kind == Kind::listener || grant.kind == Kind::peer) {
        reason = address_reason(grant, request);
    } else {
        reason = other_reason(grant, request);
    }
    return reason == Reason::ok ? yes(id) : no(reason, id);
}

inline Expected named(std::span<const Grant> grants, const Request& request) {
    for (std::size_t id = 0; id < grants.size(); ++id) {
        if (grants[id].name != request.grant) continue;
        return request.operation == Operation::narrow ? yes(id) : by_grant(grants, id, request);
    }
    return no(Reason::no_such_grant);
}

// Grants that cover what was asked for, the nearest first: the first that allows it, or why the nearest does not.
struct Candidate {
    std::size_t distance = 0;
    std::size_t id = 0;
};

inline Expected first_of(std::span<const Grant> grants, const Request& request, std::vector<Candidate> candidates) {
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        return std::tie(a.distance, a.id) < std::tie(b.distance, b.id);
    });
    for (const auto& candidate : candidates) {
        const Expected expected = by_grant(grants, candidate.id, request);
        if (expected.allowed) return expected;
    }
    if (candidates.empty()) return no(Reason::not_granted);
    return by_grant(grants, candidates.front().id, request);
}

inline Expected by_path(std::span<const Grant> grants, const Request& request) {
    const bool two = two_paths(request.operation);
    const bool root = request.target == "/" && takes_directory(request.operation);
    if (!root && !clean(request.target, true)) return no(Reason::bad_path);
    if (two && !clean(request.second, true)) return no(Reason::bad_path);
    const bool link = request.operation == Operation::symlink;
    if (link && !clean(request.second, true) && !clean(request.second, false)) return no(Reason::bad_path);
    std::vector<Candidate> candidates;
    for (std::size_t id = 0; id < grants.size(); ++id) {
        const Grant& grant = grants[id];
        const bool one = grant.kind == Kind::file || grant.kind == Kind::secret || grant.kind == Kind::device;
        if (one && grant.path == request.target) candidates.push_back({0, id});
        if (grant.kind != Kind::tree) continue;
        if (grant.path == request.target && takes_directory(request.operation)) candidates.push_back({0, id});
        if (!lies_below(grant.path, request.target)) continue;
        if (two && !lies_below(grant.path, request.second)) continue;
        candidates.push_back({names_of(request.target).size() - names_of(grant.path).size(), id});
    }
    return first_of(grants, request, candidates);
}

inline Expected by_address(std::span<const Grant> grants, const Request& request) {
    const auto address = parse_address(request.target);
    if (!address) return no(Reason::bad_address);
    const bool by_name = address->family == Family::host;
    const bool chosen_by_kernel = address->family == Family::unix_abstract && address->name.empty();
    const bool connects = request.operation == Operation::connect;
    if (connects ? chosen_by_kernel : by_name) return no(Reason::bad_address);
    if (connects && !by_name && request.argument != 0) return no(Reason::bad_flags);
    std::vector<Candidate> candidates;
    for (std::size_t id = 0; id < grants.size(); ++id) {
        const Grant& grant = grants[id];
        if (grant.kind != Kind::listener && grant.kind != Kind::peer) continue;
        if (!address_fits(grant.address, *address)) continue;
        candidates.push_back({grant.address.single() ? 0U : 1000U - grant.address.prefix_bits, id});
    }
    return first_of(grants, request, candidates);
}

// Grants that have neither a path nor an address: all of their kind are looked at, or there must be one.
inline Expected by_kind(std::span<const Grant> grants, const Request& request) {
    using enum Operation;
    std::vector<Candidate> candidates;
    for (std::size_t id = 0; id < grants.size(); ++id) {
        if (of_kind(grants[id].kind).contains(request.operation)) candidates.push_back({0, id});
    }
    Asked asked;
    if (request.operation == lookup && !lookup_formed(request.target, asked)) return no(Reason::bad_argument);
    const bool sysctl = request.operation == sysctl_read || request.operation == sysctl_write;
    if (sysctl && !sysctl_formed(request)) return no(Reason::bad_argument);
    if (sysctl || request.operation == lookup) return first_of(grants, request, candidates);
    if ((request.operation == Operation::signal || request.operation == restart) && !request.target.empty()) {
        std::erase_if(candidates, [&](const Candidate& one) { return grants[one.id].peer != request.target; });
        return first_of(grants, request, candidates);
    }
    return candidates.size() == 1 ? by_grant(grants, candidates[0].id, request) : no(Reason::not_granted);
}

inline Expected decide(std::span<const Grant> grants, const Request& request) {
    Reason reason{};
    if (!sound(request, reason)) return no(reason);
    if (!request.grant.empty()) return named(grants, request);
    if (request.operation == Operation::narrow) return no(Reason::no_such_grant);
    const bool sockets = request.operation == Operation::listen || request.operation == Operation::connect;
    if (sockets) return by_address(grants, request);
    const bool paths = is_path_operation(request.operation) || request.operation == Operation::secret ||
                       request.operation == Operation::device;
    return paths ? by_path(grants, request) : by_kind(grants, request);
}

// Whether the real decision is the expected one, and what it says besides holds.
inline bool agrees(std::span<const Grant> grants, const Request& request, const Decision& decision) {
    const Expected expected = decide(grants, request);
    if ((decision.verdict == Verdict::allow) != expected.allowed) return false;
    if (decision.reason != expected.reason || decision.grant != expected.grant) return false;
    const bool nothing_below = decision.remainder.empty() && decision.second.empty();
    if (!expected.allowed || request.operation == Operation::narrow) return nothing_below;
    const Grant& grant = grants[number(expected.grant)];
    if (grant.kind == Kind::listener || grant.kind == Kind::peer) return address_fits(grant.address, decision.address);
    if (grant.kind != Kind::tree) return nothing_below;
    const auto inside_of = [&](std::string_view whole, std::string_view part) {
        return clean(part, false) && part.size() <= whole.size() &&
               part.data() + part.size() == whole.data() + whole.size();
    };
    const bool itself = takes_directory(request.operation) && (request.target.empty() || request.target == grant.path);
    if (itself) return nothing_below;
    if (!inside_of(request.target, decision.remainder)) return false;
    if (request.operation == Operation::symlink) return decision.second == request.second;
    return two_paths(request.operation) ? inside_of(request.second, decision.second) : decision.second.empty();
}

}  // namespace warder::policy::reference
