// [worker.NAME.grants]: NAME = { OPERATION = "what", options }
#include <algorithm>

#include "config/sections.h"
#include "policy/path.h"

namespace warder::config {
namespace {

using policy::Grant;
using policy::Kind;

constexpr std::array<Operation, 7> granted_by_key = {
    Operation::read,   Operation::write,   Operation::append, Operation::create,
    Operation::listen, Operation::connect, Operation::secret,
};

constexpr std::array<Choice<Operation>, 6> also_choices{{
    {"read", Operation::read},
    {"write", Operation::write},
    {"append", Operation::append},
    {"create", Operation::create},
    {"rename", Operation::rename},
    {"unlink", Operation::unlink},
}};

constexpr std::array<Choice<policy::As>, 2> as_choices{{
    {"worker", policy::As::worker},
    {"root", policy::As::root},
}};

constexpr std::array<Choice<policy::Owner>, 2> owner_choices{{
    {"worker", policy::Owner::worker},
    {"root", policy::Owner::root},
}};

constexpr std::array<Choice<Kind>, 2> type_choices{{
    {"file", Kind::file},
    {"tree", Kind::tree},
}};

// With what an option goes, to be said where it stands beside something else.
struct Option {
    std::string_view key;
    std::string_view goes_with;
};

constexpr std::array<Option, 11> options{{
    {"type", "read, write, append and create"},
    {"as", "files, trees and unix sockets"},
    {"owner", "files, trees and unix listeners"},
    {"mode", "files, trees and unix listeners"},
    {"names", "trees"},
    {"pin", "files and trees"},
    {"cross_mounts", "trees"},
    {"also", "files and trees"},
    {"backlog", "listeners of tcp, unix and unix-seqpacket"},
    {"reuse_port", "listeners of tcp and udp"},
    {"v6_only", "listeners of IPv6"},
}};

bool inet(const policy::AddressPattern& address) {
    return address.family == policy::Family::ipv4 || address.family == policy::Family::ipv6;
}

bool datagram(policy::Transport transport) {
    return transport == policy::Transport::udp || transport == policy::Transport::unix_dgram;
}

// What each operation permits: creating a file is no use without writing it.
Operations rights_of(Operation operation) {
    if (operation == Operation::create) return {Operation::create, Operation::write};
    return {operation};
}

// "127.0.0.1:80", "8080", "/run/a.sock", "localhost:80", "tpc:...": the address that was perhaps meant.
std::string address_meant(std::string text) {
    constexpr std::string_view local = "localhost";
    if (const auto at = text.find(local); at != std::string::npos) text.replace(at, local.size(), "127.0.0.1");
    const std::string scheme = text.substr(0, text.find(':'));
    const std::string rest = text.substr(std::min(text.size(), scheme.size() + 1));
    const std::string_view near = nearest(scheme, {"tcp", "udp", "unix", "unix-dgram", "unix-seqpacket"});
    const std::string candidates[] = {
        text,
        "tcp:" + text,
        "tcp:*" + text,
        "tcp:*" + rest,
        "tcp:127.0.0.1:" + text,
        "tcp:127.0.0.1:" + rest,
        "unix:" + text,
        std::string(near) + ":" + rest,
    };
    for (const std::string& candidate : candidates) {
        if (policy::parse_address_pattern(candidate)) return candidate;
    }
    return {};
}

std::string address_suggestion(const std::string& text) {
    const std::string meant = address_meant(text);
    if (!meant.empty()) return "did you mean " + quoted(meant) + "?";
    return "write it like \"tcp:127.0.0.1:8080\", \"tcp:[::1]:8080\" or \"unix:/run/a.sock\"";
}

// Reads one grant of which the operation is known.
class GrantReader {
public:
    GrantReader(Section& section, Operation operation, const Node& target, Grant& grant)
        : section_(section), operation_(operation), target_(target), grant_(grant) {}

    void read() {
        grant_.rights = rights_of(operation_);
        switch (operation_) {
            case Operation::listen: return read_listener();
            case Operation::connect: return read_peer();
            case Operation::secret: return read_secret();
            default: return read_files();
        }
    }

private:
    Complaints& complaints() { return section_.complaints(); }

    void read_files() {
        grant_.kind = Kind::file;
        grant_.kind_by_disk = true;
        take_path();
        take_type();
        section_.choice("as", grant_.as, as_choices);
        section_.choice("owner", grant_.owner, owner_choices);
        take_mode(grant_.rights.has(Operation::create) || grant_.owner != policy::Owner::nobody_in_particular);
        section_.flag("pin", grant_.pin);
        take_also();
        if (may_be_tree()) {
            take_names();
            section_.flag("cross_mounts", grant_.cross_mounts);
        }
    }

    bool may_be_tree() const { return grant_.kind_by_disk || grant_.kind == Kind::tree; }

    // A slash at the end says "tree"; "/" itself is one.
    void take_path() {
        Node shorter = target_;
        if (shorter.text.ends_with('/') && shorter.text.find('\0') == std::string::npos) {
            set_kind(Kind::tree);
            if (shorter.text.size() > 1) shorter.text.pop_back();
        }
        if (shorter.text == "/") {
            complaints().warning(target_.place, quoted(name_of(operation_)) + " covers every file of this machine");
        } else if (!check_path(shorter, name_of(operation_), complaints())) {
            return;
        }
        grant_.path = shorter.text;
    }

    void set_kind(Kind kind) {
        grant_.kind = kind;
        grant_.kind_by_disk = false;
    }

    void take_type() {
        const bool slash = !grant_.kind_by_disk;
        const Node* node = section_.take("type", Node::Kind::text);
        if (node == nullptr) return;
        Kind kind = grant_.kind;
        section_.choose(*node, "type", kind, type_choices);
        if (slash && kind == Kind::file) {
            return complaints().error(target_.place, "a path that ends in \"/\" is a tree, but \"type\" says file");
        }
        set_kind(kind);
    }

    void take_mode(bool has_effect) {
        section_.mode("mode", grant_.mode);
        const Node* node = section_.table().find("mode");
        if (node == nullptr || has_effect) return;
        complaints().warning(node->key_place, "\"mode\" has no effect: nothing is made here",
                             "it goes with create or owner");
    }

    void take_names() {
        section_.texts("names", grant_.names);
        const Node* node = section_.table().find("names");
        if (node == nullptr || node->kind != Node::Kind::list) return;
        set_kind(Kind::tree);
        for (const Node& item : node->items) {
            if (!item.text.empty() && item.text.find('/') == std::string::npos) continue;
            if (item.kind != Node::Kind::text) continue;
            complaints().error(item.place, "a pattern of \"names\" is of one name: not empty, without \"/\"");
        }
        if (node->items.empty()) complaints().error(node->place, "\"names\" is empty: no file could be asked for");
    }

    void take_also() {
        const Node* list = section_.take("also", Node::Kind::list);
        if (list == nullptr) return;
        for (const Node& item : list->items) {
            if (item.kind == Node::Kind::text) {
                take_right(item);
            } else {
                section_.refuse_entry(item, "also", "a string");
            }
        }
    }

    void take_right(const Node& item) {
        Operation right = operation_;
        section_.choose(item, "also", right, also_choices);
        const bool of_trees = right == Operation::rename || right == Operation::unlink;
        if (of_trees && !may_be_tree()) {
            return complaints().error(item.place, quoted(item.text) + " goes with trees, and this is a file");
        }
        grant_.rights.add(right);
        if (right == Operation::create) grant_.rights.add(Operation::write);
    }

    void read_listener() {
        grant_.kind = Kind::listener;
        const auto address = policy::parse_address(target_.text);
        if (!address) return refuse_listener();
        grant_.address = policy::exactly(*address);
        take_listener_options();
    }

    void refuse_listener() {
        take_all_options();
        if (policy::parse_address_pattern(target_.text)) {
            return complaints().error(target_.place, "a listener has one address and one port, and this is a range");
        }
        refuse_address();
    }

    void refuse_address() {
        complaints().error(target_.place, quoted(target_.text) + " is not an address", address_suggestion(target_.text));
    }

    // So that a bad address does not bring complaints about options that would go with a good one.
    void take_all_options() {
        for (const Option& option : options) section_.take(option.key);
    }

    void take_listener_options() {
        const policy::AddressPattern& address = grant_.address;
        if (inet(address)) {
            grant_.as = policy::As::root;
            section_.flag("reuse_port", grant_.reuse_port);
        } else {
            section_.choice("as", grant_.as, as_choices);
        }
        if (address.family == policy::Family::ipv6) section_.flag("v6_only", grant_.v6_only);
        if (address.family == policy::Family::unix_path) {
            section_.choice("owner", grant_.owner, owner_choices);
            section_.mode("mode", grant_.mode);
        }
        if (!datagram(address.transport)) section_.number("backlog", grant_.backlog, 1, 65535);
    }

    void read_peer() {
        grant_.kind = Kind::peer;
        const auto address = policy::parse_address_pattern(target_.text);
        if (!address) {
            take_all_options();
            return refuse_address();
        }
        grant_.address = *address;
        if (!inet(*address)) section_.choice("as", grant_.as, as_choices);
    }

    void read_secret() {
        grant_.kind = Kind::secret;
        grant_.as = policy::As::root;
        if (check_path(target_, "secret", complaints())) grant_.path = target_.text;
    }

    Section& section_;
    Operation operation_;
    const Node& target_;
    Grant& grant_;
};

// The operation of a grant: exactly one key. Null, with a complaint where nothing else explains it.
const Node* take_operation(Section& section, Operation& operation) {
    const Node* found = nullptr;
    for (const Operation candidate : granted_by_key) {
        const Node* node = section.take(name_of(candidate));
        if (node == nullptr) continue;
        if (found != nullptr) {
            const bool files = also_choices.end() != std::find_if(also_choices.begin(), also_choices.end(), [&](auto& c) {
                                   return c.value == candidate;
                               });
            section.complaints().error(node->key_place, section.what() + " has two operations: " +
                                                            quoted(name_of(operation)) + " and " + quoted(node->key),
                                       files ? "write also = [" + quoted(node->key) + "]" : "make two grants of it");
            continue;
        }
        operation = candidate;
        found = node;
    }
    return found;
}

// "rename" and "unlink" are no operations of their own here.
bool refuse_additions(Section& section) {
    bool found = false;
    for (const std::string_view key : {"rename", "unlink"}) {
        const Node* node = section.take(key);
        if (node == nullptr) continue;
        section.complaints().error(node->key_place, quoted(key) + " comes beside another operation",
                                   "write also = [" + quoted(key) + "]");
        found = true;
    }
    return found;
}

// Options that there are, but not for this grant.
void refuse_misplaced(Section& section) {
    for (const Option& option : options) {
        const Node* node = section.table().find(option.key);
        if (node == nullptr || section.known(option.key)) continue;
        section.take(option.key);
        section.complaints().error(node->key_place, quoted(option.key) + " has no meaning in " + section.what(),
                                   "it goes with " + std::string(option.goes_with));
    }
}

// A misspelt operation, or one that comes beside others, explains the lack of one.
void refuse_grant_without_operation(Section& section, const Node& node, bool explained) {
    for (const Option& option : options) section.take(option.key);
    if (section.refuse_the_rest() || explained) return;
    section.complaints().error(node.key_place, section.what() + " says no operation",
                               "one of read, write, append, create, listen, connect, secret");
}

void read_grant_table(Section& section, const Node& node, Grant& grant) {
    Operation operation{};
    const bool additions = refuse_additions(section);
    const Node* target = take_operation(section, operation);
    if (target == nullptr) return refuse_grant_without_operation(section, node, additions);
    if (target->kind != Node::Kind::text) return section.refuse_kind(*target, target->key, "a string");
    if (check_text(*target, target->key, section.complaints())) {
        GrantReader(section, operation, *target, grant).read();
        refuse_misplaced(section);
    }
    section.refuse_the_rest();
}

bool check_grant_name(const Node& node, Complaints& complaints) {
    if (good_name(node.key)) return true;
    const std::string meant = lowered(node.key);
    complaints.error(node.key_place, quoted(node.key) + " cannot name a grant",
                     good_name(meant) ? "did you mean " + quoted(meant) + "?"
                                      : "names are of a-z, 0-9, \"_\", \".\", \"@\" and \"-\", at most 63");
    return false;
}

void read_grant(Section& grants, const Node& node, Worker& into) {
    if (!check_grant_name(node, grants.complaints())) return;
    if (node.kind != Node::Kind::table) {
        const std::string value = node.kind == Node::Kind::text ? quoted(node.text) : "\"/srv/www\"";
        return grants.refuse_kind(node, node.key, "a table", "write { read = " + value + " }");
    }
    Grant grant;
    grant.name = node.key;
    grant.origin = grants.complaints().origin(node.key_place);
    Section section(node, "grant " + quoted(node.key) + " of " + grants.what(), grants.complaints());
    read_grant_table(section, node, grant);
    const Node* target = nullptr;
    for (const Operation operation : granted_by_key) {
        if (target == nullptr) target = node.find(name_of(operation));
    }
    into.marks.emplace("grants." + node.key, grants.complaints().mark(target == nullptr ? node.key_place : target->place));
    into.grants.push_back(std::move(grant));
}

// What lent sockets take away from the worker's filter.
void narrow_calls(const Grant& grant, sandbox::Calls& calls) {
    if (grant.kind != Kind::listener && grant.kind != Kind::peer) return;
    if (inet(grant.address)) calls.inet_sockets_lent = true;
    if (datagram(grant.address.transport)) calls.datagram_sockets_lent = true;
}

}  // namespace

void read_grants(Section& worker, Worker& into) {
    const Node* table = worker.take("grants", Node::Kind::table);
    if (table == nullptr) return;
    Section grants(*table, worker.what(), worker.complaints());
    for (const Node& node : table->items) read_grant(grants, node, into);
    for (const Grant& grant : into.grants) narrow_calls(grant, into.cell.calls);
}

}  // namespace warder::config
