#include "policy/decide.h"

#include <optional>

#include "policy/path.h"

namespace warder::policy {
namespace {

Decision deny(Reason reason, GrantId grant = GrantId::none) { return {Verdict::deny, reason, grant, {}, {}, {}}; }

Decision allow(GrantId grant) { return {Verdict::allow, Reason::ok, grant, {}, {}, {}}; }

Decision allow_below(GrantId grant, std::string_view remainder, std::string_view second) {
    return {Verdict::allow, Reason::ok, grant, remainder, second, {}};
}

Decision allow_address(GrantId grant, const Address& address) {
    return {Verdict::allow, Reason::ok, grant, {}, {}, address};
}

bool about_sockets(Operation operation) { return operation == Operation::listen || operation == Operation::connect; }

bool mode_fits(Operation operation, std::uint32_t mode) {
    return operation == Operation::create ? (mode & ~0777U) == 0 : mode == 0;
}

// What is wrong with the request whatever is granted, or ok.
Reason fault_of(const Request& request) {
    if (!known(request.operation)) return Reason::unknown_operation;
    if ((request.flags & ~flags_taken_by(request.operation)) != 0) return Reason::bad_flags;
    if (!mode_fits(request.operation, request.mode)) return Reason::bad_flags;
    if ((request.operation == Operation::rename) == request.second.empty()) return Reason::bad_path;
    return Reason::ok;
}

// The rights that a kind of grant can have at all: a grant made wrongly gives less, never more.
bool suits(Kind kind, Operation operation) {
    switch (operation) {
        case Operation::listen:
            return kind == Kind::listener;
        case Operation::connect:
            return kind == Kind::peer;
        case Operation::secret:
            return kind == Kind::secret;
        case Operation::rename:
            return kind == Kind::tree;
        case Operation::raw:
        case Operation::packet:
        case Operation::netlink:
        case Operation::device:
        case Operation::channel:
        case Operation::lookup:
        case Operation::sysctl_read:
        case Operation::sysctl_write:
        case Operation::run:
        case Operation::signal:
        case Operation::restart:
        case Operation::syslog:
        case Operation::narrow:
            return false;
        default:
            return kind == Kind::file || kind == Kind::tree;
    }
}

bool permits(const Grant& grant, Operation operation) {
    return grant.rights.has(operation) && suits(grant.kind, operation);
}

bool name_matched(const Grant& grant, std::string_view path) {
    if (grant.names.empty()) return true;
    for (const auto& pattern : grant.names) {
        if (matches(pattern, name_of_file(path))) return true;
    }
    return false;
}

// A path as it was asked for, found below a tree: what remains of it, or why not.
struct Found {
    Reason reason = Reason::ok;
    std::string_view remainder;
};

Found find_below(const Grant& tree, std::string_view asked) {
    const bool absolute = asked.starts_with('/');
    if (absolute ? !clean_absolute(asked) : !clean_relative(asked)) return {Reason::bad_path, {}};
    if (absolute && !covers(tree.path, asked)) return {Reason::not_granted, {}};
    if (!name_matched(tree, asked)) return {Reason::name_not_matched, {}};
    return {Reason::ok, absolute ? below(tree.path, asked) : asked};
}

Decision decide_below(const GrantSet& grants, GrantId id, const Request& request) {
    const Grant& tree = grants.at(id);
    const Found target = find_below(tree, request.target);
    if (target.reason != Reason::ok) return deny(target.reason, id);
    if (request.second.empty()) return allow_below(id, target.remainder, {});
    const Found second = find_below(tree, request.second);
    if (second.reason != Reason::ok) return deny(second.reason, id);
    return allow_below(id, target.remainder, second.remainder);
}

Decision decide_itself(const GrantSet& grants, GrantId id, std::string_view target) {
    if (target.empty() || target == grants.at(id).path) return allow(id);
    return deny(clean_absolute(target) ? Reason::not_granted : Reason::bad_path, id);
}

Decision decide_socket(const GrantSet& grants, GrantId id, std::string_view target) {
    const AddressPattern& pattern = grants.at(id).address;
    if (target.empty() && pattern.single()) return allow_address(id, pattern.address());
    const auto address = parse_address(target);
    if (!address) return deny(Reason::bad_address, id);
    return covers(pattern, *address) ? allow_address(id, *address) : deny(Reason::not_granted, id);
}

Decision decide_named(const GrantSet& grants, const Request& request) {
    const auto id = grants.named(request.grant);
    if (!id) return deny(Reason::no_such_grant);
    const Grant& grant = grants.at(*id);
    if (!permits(grant, request.operation)) return deny(Reason::wrong_operation, *id);
    switch (grant.kind) {
        case Kind::tree:
            return decide_below(grants, *id, request);
        case Kind::file:
        case Kind::secret:
            return decide_itself(grants, *id, request.target);
        case Kind::listener:
        case Kind::peer:
            return decide_socket(grants, *id, request.target);
        default:
            break;
    }
    return deny(Reason::not_granted);
}

// Goes through the grants that cover a target, the nearest first, and remembers why the nearest did not allow.
class Search {
public:
    Search(const GrantSet& grants, const Request& request) : grants_(grants), request_(request) {}

    // Each answers whether the search is over.
    bool try_itself(GrantId id) {
        if (grants_.at(id).kind == Kind::tree) return false;
        if (!permitted(id)) return false;
        result_ = allow(id);
        return true;
    }

    bool try_below(GrantId id) {
        const Grant& grant = grants_.at(id);
        if (grant.kind != Kind::tree) return false;
        if (!request_.second.empty() && !covers(grant.path, request_.second)) return false;
        if (!permitted(id)) return false;
        const bool matched = name_matched(grant, request_.target) &&
                             (request_.second.empty() || name_matched(grant, request_.second));
        if (!matched) return miss(deny(Reason::name_not_matched, id));
        const std::string_view second = request_.second.empty() ? request_.second : below(grant.path, request_.second);
        result_ = allow_below(id, below(grant.path, request_.target), second);
        return true;
    }

    bool try_address(GrantId id, const Address& address) {
        if (!covers(grants_.at(id).address, address) || !permitted(id)) return false;
        result_ = allow_address(id, address);
        return true;
    }

    const Decision& result() const { return result_; }

private:
    bool permitted(GrantId id) {
        return permits(grants_.at(id), request_.operation) || miss(deny(Reason::wrong_operation, id));
    }

    bool miss(const Decision& why) {
        if (result_.grant == GrantId::none) result_ = why;
        return false;
    }

    const GrantSet& grants_;
    const Request& request_;
    Decision result_ = deny(Reason::not_granted);
};

// The nearest directory above `path` that could be a tree's own, or nothing.
std::string_view candidate_above(const GrantSet& grants, std::string_view path) {
    if (path.size() > grants.longest_tree() + 1) path = path.substr(0, grants.longest_tree() + 1);
    return directory_of(path);
}

Decision decide_path(const GrantSet& grants, const Request& request) {
    if (!clean_absolute(request.target)) return deny(Reason::bad_path);
    if (!request.second.empty() && !clean_absolute(request.second)) return deny(Reason::bad_path);
    Search search(grants, request);
    for (const GrantId id : grants.on_path(request.target)) {
        if (search.try_itself(id)) return search.result();
    }
    std::string_view directory = candidate_above(grants, request.target);
    while (!directory.empty()) {
        for (const GrantId id : grants.on_path(directory)) {
            if (search.try_below(id)) return search.result();
        }
        directory = directory == "/" ? std::string_view{} : directory_of(directory);
    }
    return search.result();
}

Decision decide_address(const GrantSet& grants, const Request& request) {
    const auto address = parse_address(request.target);
    if (!address) return deny(Reason::bad_address);
    Search search(grants, request);
    for (const GrantId id : grants.on_address(format(*address).view())) {
        if (search.try_address(id, *address)) return search.result();
    }
    for (const Prefix& prefix : grants.prefixes()) {
        for (const GrantId id : grants.on_network(prefix, *address)) {
            if (search.try_address(id, *address)) return search.result();
        }
    }
    return search.result();
}

}  // namespace

Decision decide(const GrantSet& grants, const Request& request) {
    const Reason fault = fault_of(request);
    if (fault != Reason::ok) return deny(fault);
    if (!request.grant.empty()) return decide_named(grants, request);
    return about_sockets(request.operation) ? decide_address(grants, request) : decide_path(grants, request);
}

}  // namespace warder::policy
