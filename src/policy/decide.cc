#include "policy/decide.h"

#include <algorithm>
#include <optional>

#include "policy/command.h"
#include "policy/key.h"
#include "policy/path.h"

namespace warder::policy {
namespace {

// IN_ALL_EVENTS, IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK and IN_ONESHOT. IN_MASK_ADD and IN_MASK_CREATE are about a watch that is
// there already, and each descriptor that is lent has its one.
constexpr std::uint64_t watch_events = 0x87000fff;
constexpr std::uint64_t last_signal = 64;
constexpr std::uint64_t max_addresses = 16;    // of one name that may be tried

Decision deny(Reason reason, GrantId grant = GrantId::none) { return {Verdict::deny, reason, grant, {}, {}, {}}; }

Decision allow(GrantId grant) { return {Verdict::allow, Reason::ok, grant, {}, {}, {}}; }

Decision allow_below(GrantId grant, std::string_view remainder, std::string_view second) {
    return {Verdict::allow, Reason::ok, grant, remainder, second, {}};
}

Decision allow_address(GrantId grant, const Address& address) {
    return {Verdict::allow, Reason::ok, grant, {}, {}, address};
}

// ---- What is wrong with a request whatever is granted ----

bool mode_fits(Operation operation, std::uint32_t mode) {
    switch (operation) {
        case Operation::create:
        case Operation::mkdir:
        case Operation::chmod: return (mode & ~0777U) == 0;
        case Operation::access: return mode >= 1 && mode <= 7;
        case Operation::narrow: return true;
        default: return mode == 0;
    }
}

bool argument_fits(Operation operation, std::uint64_t argument) {
    switch (operation) {
        case Operation::truncate:
        case Operation::narrow: return true;
        case Operation::watch: return (argument & ~watch_events) == 0;
        case Operation::signal: return argument >= 1 && argument <= last_signal;
        case Operation::connect: return argument < max_addresses;
        default: return argument == 0;
    }
}

bool second_fits(Operation operation, std::string_view second) {
    if (takes_two_paths(operation) || operation == Operation::symlink) return !second.empty();
    if (operation == Operation::sysctl_write || operation == Operation::narrow) return true;
    return second.empty();
}

Reason fault_of(const Request& request) {
    if (!known(request.operation)) return Reason::unknown_operation;
    if ((request.flags & ~flags_taken_by(request.operation)) != 0) return Reason::bad_flags;
    if (!mode_fits(request.operation, request.mode)) return Reason::bad_flags;
    if (!argument_fits(request.operation, request.argument)) return Reason::bad_flags;
    if (!second_fits(request.operation, request.second)) return Reason::bad_path;
    return Reason::ok;
}

// ---- Which rights a kind of grant can have at all: a grant made wrongly gives less, never more ----

bool of_kind(Kind kind, Operation operation) {
    switch (operation) {
        case Operation::listen: return kind == Kind::listener;
        case Operation::connect: return kind == Kind::peer;
        case Operation::secret: return kind == Kind::secret;
        case Operation::raw: return kind == Kind::raw;
        case Operation::packet: return kind == Kind::packet;
        case Operation::netlink: return kind == Kind::netlink;
        case Operation::device: return kind == Kind::device;
        case Operation::lookup: return kind == Kind::lookup;
        case Operation::sysctl_read:
        case Operation::sysctl_write: return kind == Kind::sysctl;
        case Operation::run: return kind == Kind::command;
        case Operation::signal:
        case Operation::restart: return kind == Kind::worker;
        case Operation::syslog: return kind == Kind::syslog;
        case Operation::channel:   // brought by an event, never asked for
        case Operation::narrow: return false;
        default: return kind == Kind::file || kind == Kind::tree;
    }
}

// Of one file there is no second name, nothing below, and nowhere for a link to lead.
bool of_trees(Operation operation) {
    switch (operation) {
        case Operation::rename:
        case Operation::link:
        case Operation::symlink:
        case Operation::list:
        case Operation::mkdir:
        case Operation::rmdir: return true;
        default: return false;
    }
}

// The directory of a tree itself may be looked at, not changed.
bool may_name_tree(Operation operation) {
    switch (operation) {
        case Operation::list:
        case Operation::stat:
        case Operation::access:
        case Operation::watch: return true;
        default: return false;
    }
}

bool suits(Kind kind, Operation operation) {
    return of_kind(kind, operation) && (kind == Kind::tree || !of_trees(operation));
}

bool permits(const Grant& grant, Operation operation) {
    return grant.rights.has(operation) && suits(grant.kind, operation);
}

// The worker's own doing where the grant could have permitted it once.
Reason without_right(const Grant& grant, Operation operation) {
    return grant.narrowed && suits(grant.kind, operation) ? Reason::given_up : Reason::wrong_operation;
}

// ---- Names and keys ----

Reason match_name(const Grant& grant, std::string_view name) {
    const auto matched = [&](const std::string& pattern) { return matches(pattern, name); };
    if (!grant.names.empty() && std::ranges::none_of(grant.names, matched)) return Reason::name_not_matched;
    return std::ranges::all_of(grant.every_name, matched) ? Reason::ok : Reason::given_up;
}

// ---- Below a tree ----

// Whether what remains below `tree` is at or below what its worker narrowed it to.
bool within(const Grant& tree, std::string_view remainder) {
    if (tree.within.empty() || tree.within == tree.path) return true;
    const std::string_view inner = below(tree.path, tree.within);
    return remainder == inner || covers(inner, remainder);
}

// A path as it was asked for, found below a tree: what remains of it, or why not.
struct Found {
    Reason reason = Reason::ok;
    std::string_view remainder;
};

Found found_at(const Grant& tree, Operation operation, std::string_view remainder) {
    if (!within(tree, remainder)) return {Reason::given_up, {}};
    // The patterns are for what lies in the tree, not for its own name.
    if (remainder.empty() && may_name_tree(operation)) return {};
    const Reason reason = match_name(tree, name_of_file(remainder));
    return {reason, reason == Reason::ok ? remainder : std::string_view{}};
}

bool is_tree_itself(const Grant& tree, Operation operation, std::string_view asked) {
    return may_name_tree(operation) && (asked.empty() || asked == tree.path);
}

Found find_below(const Grant& tree, Operation operation, std::string_view asked) {
    if (is_tree_itself(tree, operation, asked)) return found_at(tree, operation, {});
    const bool absolute = asked.starts_with('/');
    if (absolute ? !clean_absolute(asked) : !clean_relative(asked)) return {Reason::bad_path, {}};
    if (absolute && !covers(tree.path, asked)) return {Reason::not_granted, {}};
    return found_at(tree, operation, absolute ? below(tree.path, asked) : asked);
}

// The text of a symlink: from its own directory downwards, or absolute and inside the grant.
Reason check_link_text(const Grant& tree, std::string_view text) {
    const bool absolute = text.starts_with('/');
    if (absolute ? !clean_absolute(text) : !clean_relative(text)) return Reason::bad_path;
    if (!absolute) return Reason::ok;
    if (!covers(tree.path, text)) return Reason::not_granted;
    return within(tree, below(tree.path, text)) ? Reason::ok : Reason::given_up;
}

Found find_second(const Grant& tree, const Request& request) {
    if (request.operation != Operation::symlink) return find_below(tree, request.operation, request.second);
    return {check_link_text(tree, request.second), request.second};
}

Decision decide_below(const GrantSet& grants, GrantId id, const Request& request) {
    const Grant& tree = grants.at(id);
    const Found target = find_below(tree, request.operation, request.target);
    if (target.reason != Reason::ok) return deny(target.reason, id);
    if (request.second.empty()) return allow_below(id, target.remainder, {});
    const Found second = find_second(tree, request);
    if (second.reason != Reason::ok) return deny(second.reason, id);
    return allow_below(id, target.remainder, second.remainder);
}

Decision decide_itself(const GrantSet& grants, GrantId id, std::string_view target) {
    if (target.empty() || target == grants.at(id).path) return allow(id);
    return deny(clean_absolute(target) ? Reason::not_granted : Reason::bad_path, id);
}

// ---- Sockets ----

bool autobound(const Address& address) {
    return address.family == Family::unix_abstract && address.name.empty();
}

// Addresses that are in the grammar, and mean nothing for this operation.
Reason check_address(const Address& address, const Request& request) {
    const bool by_name = address.family == Family::host;
    if (request.operation == Operation::listen) return by_name ? Reason::bad_address : Reason::ok;
    if (autobound(address)) return Reason::bad_address;
    return by_name || request.argument == 0 ? Reason::ok : Reason::bad_flags;
}

Decision decide_socket(const GrantSet& grants, GrantId id, const Request& request) {
    const Grant& grant = grants.at(id);
    const bool by_name_alone = request.target.empty() && grant.address.single();
    const auto address = by_name_alone ? std::optional(grant.address.address()) : parse_address(request.target);
    if (!address) return deny(Reason::bad_address, id);
    const Reason fault = check_address(*address, request);
    if (fault != Reason::ok) return deny(fault, id);
    if (covers(grant.address, *address)) return allow_address(id, *address);
    return deny(grant.narrowed ? Reason::given_up : Reason::not_granted, id);
}

// ---- What is neither a path nor an address ----

Decision decide_lookup(const GrantSet& grants, GrantId id, std::string_view target) {
    const auto key = parse_lookup(target);
    if (!key) return deny(Reason::bad_argument, id);
    const Grant& grant = grants.at(id);
    if ((grant.lookups & static_cast<std::uint8_t>(key->about)) == 0) return deny(Reason::not_granted, id);
    const Reason reason = match_name(grant, lower_host(*key).view());
    return reason == Reason::ok ? allow(id) : deny(reason, id);
}

Decision decide_sysctl(const GrantSet& grants, GrantId id, const Request& request) {
    if (!is_sysctl_key(request.target) || !is_sysctl_value(request.second)) return deny(Reason::bad_argument, id);
    const Grant& grant = grants.at(id);
    // Unlike a tree's, no names are not every name: no key is.
    const Reason reason = grant.names.empty() ? Reason::name_not_matched : match_name(grant, request.target);
    return reason == Reason::ok ? allow(id) : deny(reason, id);
}

Decision decide_run(const GrantSet& grants, GrantId id, std::string_view arguments) {
    Filled filled;
    fill(grants.at(id).command, arguments, filled);
    return filled.words_fit() ? allow(id) : deny(Reason::bad_argument, id);
}

Decision decide_worker(const GrantSet& grants, GrantId id, const Request& request) {
    const Grant& grant = grants.at(id);
    if (!request.target.empty() && request.target != grant.peer) return deny(Reason::not_granted, id);
    if (request.operation == Operation::restart) return allow(id);
    const bool listed = request.argument < last_signal && (grant.signals >> request.argument & 1) != 0;
    return listed ? allow(id) : deny(Reason::bad_argument, id);
}

Decision decide_plain(GrantId id, std::string_view target) {
    return target.empty() ? allow(id) : deny(Reason::bad_argument, id);
}

// ---- A grant that is known, by its name or because it is the only one of its kind ----

Decision decide_by(const GrantSet& grants, GrantId id, const Request& request) {
    const Grant& grant = grants.at(id);
    if (!permits(grant, request.operation)) return deny(without_right(grant, request.operation), id);
    switch (grant.kind) {
        case Kind::tree: return decide_below(grants, id, request);
        case Kind::file:
        case Kind::secret:
        case Kind::device: return decide_itself(grants, id, request.target);
        case Kind::listener:
        case Kind::peer: return decide_socket(grants, id, request);
        case Kind::raw:
        case Kind::packet:
        case Kind::netlink:
        case Kind::syslog: return decide_plain(id, request.target);
        case Kind::lookup: return decide_lookup(grants, id, request.target);
        case Kind::sysctl: return decide_sysctl(grants, id, request);
        case Kind::command: return decide_run(grants, id, request.target);
        case Kind::worker: return decide_worker(grants, id, request);
        case Kind::channel:
        case Kind::store: break;
    }
    return deny(Reason::wrong_operation, id);
}

Decision decide_named(const GrantSet& grants, const Request& request) {
    const auto id = grants.named(request.grant);
    if (!id) return deny(Reason::no_such_grant);
    // What a narrowing keeps is for narrowed() to say: any grant of one's own may be made smaller.
    return request.operation == Operation::narrow ? allow(*id) : decide_by(grants, *id, request);
}

// ---- A request that names no grant ----

// Goes through the grants that cover a target, the nearest first, and remembers why the nearest did not allow.
class Search {
public:
    Search(const GrantSet& grants, const Request& request) : grants_(grants), request_(request) {}

    // Each answers whether the search is over.
    bool try_itself(GrantId id) {
        const Grant& grant = grants_.at(id);
        if (grant.kind == Kind::tree) return may_name_tree(request_.operation) && permitted(id) && try_tree(id);
        if (!permitted(id)) return false;
        result_ = allow(id);
        return true;
    }

    bool try_below(GrantId id) {
        const Grant& grant = grants_.at(id);
        if (grant.kind != Kind::tree) return false;
        if (takes_two_paths(request_.operation) && !covers(grant.path, request_.second)) return false;
        return permitted(id) && try_tree(id);
    }

    bool try_address(GrantId id, const Address& address) {
        if (!covers(grants_.at(id).address, address) || !permitted(id)) return false;
        result_ = allow_address(id, address);
        return true;
    }

    // Grants that are found by their kind alone: each is asked in full.
    bool try_kind(GrantId id) {
        const Decision decision = decide_by(grants_, id, request_);
        if (decision.verdict == Verdict::deny) return miss(decision);
        result_ = decision;
        return true;
    }

    const Decision& result() const { return result_; }

private:
    bool try_tree(GrantId id) {
        const Decision decision = decide_below(grants_, id, request_);
        if (decision.verdict == Verdict::deny) return miss(decision);
        result_ = decision;
        return true;
    }

    bool permitted(GrantId id) {
        const Grant& grant = grants_.at(id);
        if (permits(grant, request_.operation)) return true;
        return miss(deny(without_right(grant, request_.operation), id));
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
    if (path == "/") return {};
    if (path.size() > grants.longest_tree() + 1) path = path.substr(0, grants.longest_tree() + 1);
    return directory_of(path);
}

Reason fault_of_paths(const Request& request) {
    const bool root = request.target == "/" && may_name_tree(request.operation);
    if (!root && !clean_absolute(request.target)) return Reason::bad_path;
    if (request.second.empty()) return Reason::ok;
    const bool relative = request.operation == Operation::symlink && clean_relative(request.second);
    return relative || clean_absolute(request.second) ? Reason::ok : Reason::bad_path;
}

Decision decide_path(const GrantSet& grants, const Request& request) {
    const Reason fault = fault_of_paths(request);
    if (fault != Reason::ok) return deny(fault);
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
    const Reason fault = check_address(*address, request);
    if (fault != Reason::ok) return deny(fault);
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

// The target says which is meant: the first that allows it.
Decision decide_by_target(const GrantSet& grants, const Request& request, Kind kind) {
    Search search(grants, request);
    for (const GrantId id : grants.of_kind(kind)) {
        if (search.try_kind(id)) return search.result();
    }
    return search.result();
}

// Nothing in the request says which is meant: there must be one only.
Decision decide_only(const GrantSet& grants, const Request& request, Kind kind) {
    const auto ids = grants.of_kind(kind);
    return ids.size() == 1 ? decide_by(grants, ids.front(), request) : deny(Reason::not_granted);
}

Decision decide_worker_named(const GrantSet& grants, const Request& request) {
    if (request.target.empty()) return decide_only(grants, request, Kind::worker);
    Search search(grants, request);
    for (const GrantId id : grants.of_kind(Kind::worker)) {
        if (grants.at(id).peer == request.target && search.try_kind(id)) return search.result();
    }
    return search.result();
}

Decision decide_unnamed(const GrantSet& grants, const Request& request) {
    switch (request.operation) {
        case Operation::listen:
        case Operation::connect: return decide_address(grants, request);
        case Operation::raw: return decide_only(grants, request, Kind::raw);
        case Operation::packet: return decide_only(grants, request, Kind::packet);
        case Operation::netlink: return decide_only(grants, request, Kind::netlink);
        case Operation::syslog: return decide_only(grants, request, Kind::syslog);
        case Operation::run: return decide_only(grants, request, Kind::command);
        case Operation::lookup: return decide_by_target(grants, request, Kind::lookup);
        case Operation::sysctl_read:
        case Operation::sysctl_write: return decide_by_target(grants, request, Kind::sysctl);
        case Operation::signal:
        case Operation::restart: return decide_worker_named(grants, request);
        case Operation::channel: return deny(Reason::not_granted);
        case Operation::narrow: return deny(Reason::no_such_grant);
        default: return decide_path(grants, request);
    }
}

// Texts that no grant of any worker takes are told so before grants are looked for.
Reason fault_of_key(const Request& request) {
    const bool sysctl = request.operation == Operation::sysctl_read || request.operation == Operation::sysctl_write;
    if (sysctl && !(is_sysctl_key(request.target) && is_sysctl_value(request.second))) return Reason::bad_argument;
    const bool lookup = request.operation == Operation::lookup;
    return lookup && !parse_lookup(request.target) ? Reason::bad_argument : Reason::ok;
}

}  // namespace

Decision decide(const GrantSet& grants, const Request& request) {
    const Reason fault = fault_of(request);
    if (fault != Reason::ok) return deny(fault);
    if (!request.grant.empty()) return decide_named(grants, request);
    const Reason fault_of_text = fault_of_key(request);
    if (fault_of_text != Reason::ok) return deny(fault_of_text);
    return decide_unnamed(grants, request);
}

}  // namespace warder::policy
