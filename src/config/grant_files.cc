// Grants on files and trees, secrets and devices.
#include <algorithm>

#include "config/grant_reader.h"
#include "config/sections.h"
#include "policy/path.h"

namespace warder::config {
namespace {

using policy::Grant;
using policy::Kind;

constexpr std::array<Choice<Operation>, 17> also_choices{{
    {"read", Operation::read},         {"write", Operation::write},       {"append", Operation::append},
    {"create", Operation::create},     {"rename", Operation::rename},     {"unlink", Operation::unlink},
    {"stat", Operation::stat},         {"access", Operation::access},     {"readlink", Operation::readlink},
    {"list", Operation::list},         {"mkdir", Operation::mkdir},       {"rmdir", Operation::rmdir},
    {"link", Operation::link},         {"symlink", Operation::symlink},   {"chmod", Operation::chmod},
    {"truncate", Operation::truncate}, {"watch", Operation::watch},
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

constexpr std::array<Choice<bool>, 2> access_choices{{
    {"read", false},
    {"read-write", true},
}};

constexpr std::string_view tun = "/dev/net/tun";

// What each operation permits: creating a file is no use without writing it.
Operations rights_of(Operation operation) {
    if (operation == Operation::create) return {Operation::create, Operation::write};
    return {operation};
}

// Whether a file or a tree is granted is written down and never looked up on a disk: by the slash at the end of a path, by `file` or
// `tree`, or by `type`.
class FileReader {
public:
    explicit FileReader(GrantDraft& draft)
        : draft_(draft), section_(draft.section), target_(draft.target), grant_(draft.grant), long_form_(target_.key == "file" || target_.key == "tree") {}

    void read() {
        grant_.kind = target_.key == "tree" || ends_in_slash() ? Kind::tree : Kind::file;
        if (!long_form_) grant_.rights = rights_of(draft_.operation);
        take_path();
        if (!long_form_) take_type();
        section_.choice("open_as", grant_.as, as_choices);
        section_.choice("owner", grant_.owner, owner_choices);
        take_rights();
        take_mode();
        section_.flag("pin", grant_.pin);
        take_names();
        if (grant_.kind == Kind::tree) section_.flag("cross_mounts", grant_.cross_mounts);
    }

private:
    Complaints& complaints() { return section_.complaints(); }

    bool ends_in_slash() const { return target_.text.ends_with('/'); }

    // What makes a tree of it.
    std::string with_slash() const {
        const std::string value = quoted(target_.text + "/");
        return long_form_ ? "write tree = " + value : "end the path in \"/\": write " + target_.key + " = " + value;
    }

    // "/" itself is a tree.
    void take_path() {
        Node shorter = target_;
        if (shorter.text.size() > 1 && ends_in_slash() && shorter.text.find('\0') == std::string::npos) shorter.text.pop_back();
        if (shorter.text == "/") {
            complaints().warning(target_.place, quoted(target_.key) + " covers every file of this machine");
        } else if (!check_path(shorter, target_.key, complaints())) {
            return;
        }
        grant_.path = shorter.text;
        if (target_.key == "file" && ends_in_slash()) {
            complaints().error(target_.place, "a path that ends in \"/\" is a tree, but \"file\" says file", "write tree = " + quoted(target_.text));
        }
    }

    void take_type() {
        const Node* node = section_.take("type", Node::Kind::text);
        if (node == nullptr) return;
        Kind kind = grant_.kind;
        section_.choose(*node, "type", kind, type_choices);
        if (ends_in_slash() && kind == Kind::file) {
            return complaints().error(target_.place, "a path that ends in \"/\" is a tree, but \"type\" says file");
        }
        grant_.kind = kind;
    }

    bool makes_something() const {
        return grant_.rights.has(Operation::create) || grant_.rights.has(Operation::mkdir) ||
               grant_.owner != policy::Owner::unset;
    }

    void take_mode() {
        section_.mode("mode", grant_.mode);
        const Node* node = section_.table().find("mode");
        if (node == nullptr || makes_something()) return;
        complaints().warning(node->key_place, "\"mode\" has no effect: nothing is made here",
                             "it goes with create, mkdir or owner");
    }

    void take_names() {
        section_.texts("names", grant_.names);
        const Node* node = section_.table().find("names");
        if (node == nullptr || node->kind != Node::Kind::list) return;
        if (grant_.kind != Kind::tree) return complaints().error(node->key_place, "\"names\" has no meaning in " + section_.what() + ": it goes with trees and lookups, and this is a file", with_slash());
        for (const Node& item : node->items) {
            if (!item.text.empty() && item.text.find('/') == std::string::npos) continue;
            if (item.kind != Node::Kind::text) continue;
            complaints().error(item.place, "a pattern of \"names\" is of one name: not empty, without \"/\"");
        }
        if (node->items.empty()) complaints().error(node->place, "\"names\" is empty: no file could be asked for");
    }

    void take_rights() {
        constexpr std::string_view key = "rights";
        const Node* list = section_.take(key, Node::Kind::list, "write " + std::string(key) + " = [\"read\"]");
        if (list != nullptr) {
            for (const Node& item : list->items) take_entry(item, key);
        }
        if (!long_form_) refuse_of_trees(target_, draft_.operation);
        const bool none = long_form_ && (list == nullptr ? section_.table().find(key) == nullptr : list->items.empty());
        if (none) complaints().error(target_.key_place, section_.what() + " says no right", "add rights = [\"read\"]");
    }

    void take_entry(const Node& item, std::string_view key) {
        if (item.kind != Node::Kind::text) return section_.refuse_entry(item, key, "a string");
        if (std::ranges::none_of(also_choices, [&](const auto& one) { return one.name == item.text; })) {
            Operation none{};
            return section_.choose(item, key, none, also_choices);
        }
        Operation right{};
        section_.choose(item, key, right, also_choices);
        if (refuse_of_trees(item, right)) return;
        grant_.rights.add(right);
        if (right == Operation::create) grant_.rights.add(Operation::write);
    }

    bool refuse_of_trees(const Node& item, Operation right) {
        if (grant_.kind == Kind::tree || !goes_with_trees(right)) return false;
        const bool typed = section_.table().find("type") != nullptr;
        complaints().error(item.place, quoted(name_of(right)) + " goes with trees, and this is a file", typed ? std::string() : with_slash());
        return true;
    }

    GrantDraft& draft_;
    Section& section_;
    const Node& target_;
    Grant& grant_;
    bool long_form_;
};

// A tun device that nobody could send through would be none.
void take_access(GrantDraft& draft) {
    draft.grant.writes = draft.grant.path == tun;
    draft.section.choice("access", draft.grant.writes, access_choices);
}

}  // namespace

bool goes_with_trees(Operation operation) {
    switch (operation) {
        case Operation::rename:
        case Operation::unlink:
        case Operation::list:
        case Operation::mkdir:
        case Operation::rmdir:
        case Operation::link:
        case Operation::symlink: return true;
        default: return false;
    }
}

bool read_files(GrantDraft& draft) {
    if (!draft.is_text()) return false;
    FileReader(draft).read();
    return true;
}

bool read_secret(GrantDraft& draft) {
    draft.grant.kind = Kind::secret;
    draft.grant.rights = {Operation::secret};
    draft.grant.as = policy::As::root;
    if (!draft.is_text()) return false;
    if (check_path(draft.target, "secret", draft.complaints())) draft.grant.path = draft.target.text;
    return true;
}

bool read_device(GrantDraft& draft) {
    draft.grant.kind = Kind::device;
    draft.grant.rights = {Operation::device};
    draft.grant.as = policy::As::root;
    if (!draft.is_text() || !check_path(draft.target, "device", draft.complaints())) return false;
    draft.grant.path = draft.target.text;
    if (draft.grant.path == tun) take_interface(draft);
    take_access(draft);
    return true;
}

}  // namespace warder::config
