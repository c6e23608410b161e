// [worker.NAME.grants]: NAME = { OPERATION = "what", options }. Which reader a grant has, its shape, and what does not belong.
#include <algorithm>
#include <charconv>

#include "config/grant_reader.h"
#include "config/sections.h"

namespace warder::config {
namespace {

using policy::Grant;
using policy::Kind;

// The keys that say what a grant is about, of which it has one.
struct Form {
    std::string_view key;
    Operation operation;
    bool (*read)(GrantDraft&);
    bool of_files = false;   // several of these are one grant, with `rights`
};

constexpr std::array<Form, 26> forms{{
    {"read", Operation::read, read_files, true},
    {"write", Operation::write, read_files, true},
    {"append", Operation::append, read_files, true},
    {"create", Operation::create, read_files, true},
    {"stat", Operation::stat, read_files, true},
    {"access", Operation::access, read_files, true},
    {"readlink", Operation::readlink, read_files, true},
    {"list", Operation::list, read_files, true},
    {"watch", Operation::watch, read_files, true},
    {"file", Operation{}, read_files},
    {"tree", Operation{}, read_files},
    {"listen", Operation::listen, read_listener},
    {"connect", Operation::connect, read_peer},
    {"secret", Operation::secret, read_secret},
    {"raw", Operation::raw, read_raw},
    {"packet", Operation::packet, read_packet},
    {"netlink", Operation::netlink, read_netlink},
    {"device", Operation::device, read_device},
    {"channel", Operation::channel, read_channel},
    {"fd_store_max", Operation{}, read_store},
    {"lookup", Operation::lookup, read_lookup},
    {"sysctl", Operation::sysctl_read, read_sysctl},
    {"run", Operation::run, read_run},
    {"signal", Operation::signal, read_signal},
    {"restart", Operation::restart, read_restart_right},
    {"syslog", Operation::syslog, read_syslog},
}};

// Rights that stand in `rights`, beside one of the keys of files.
constexpr std::array<std::string_view, 8> additions = {"rename", "unlink",  "mkdir", "rmdir",
                                                       "link",   "symlink", "chmod", "truncate"};

// With what an option goes, to be said where it stands beside something else.
struct Option {
    std::string_view key;
    std::string_view goes_with;
};

constexpr std::array<Option, 26> options{{
    {"type", "files, trees and channels"},
    {"open_as", "files, trees and unix sockets"},
    {"owner", "files, trees and unix listeners"},
    {"mode", "files, trees and unix listeners"},
    {"names", "trees and lookups"},
    {"pin", "files and trees"},
    {"cross_mounts", "trees"},
    {"rights", "files and trees"},
    {"backlog", "listeners of tcp, unix and unix-seqpacket"},
    {"reuse_port", "listeners of tcp and udp"},
    {"v6_only", "listeners of IPv6"},
    {"private", "connections by name"},
    {"family", "raw"},
    {"interface", "packet, and the device /dev/net/tun"},
    {"fds", "channels"},
    {"signals", "signal"},
    {"user", "run"},
    {"stdin", "run"},
    {"stdout", "run"},
    {"stderr", "run"},
    {"timeout", "run"},
    {"max_concurrent", "run"},
    {"max_uses", "what is asked for: not with channel and store"},
    {"until", "what is asked for: not with channel and store"},
    {"max_rate", "what is asked for: not with channel and store"},
}};

constexpr std::array<Choice<bool>, 1> until_choices{{{"ready", true}}};

// Two keys are options beside certain others: access = "read" of a device, write = true of sysctl.
bool is_option_here(const Section& section, std::string_view key) {
    const Node& table = section.table();
    return (key == "access" && table.find("device") != nullptr) || (key == "write" && table.find("sysctl") != nullptr);
}

// So that a value that is none does not bring complaints about options that would go with a good one.
void take_all_options(Section& section) {
    for (const Option& option : options) section.take(option.key);
    for (const Form& form : forms) section.take(form.key);
}

struct Found {
    const Form* form = nullptr;
    const Node* target = nullptr;
};

void refuse_second(Section& section, const Found& first, const Form& form, const Node& node) {
    const std::string what = section.what() + " has two operations: " + quoted(first.form->key) + " and " + quoted(node.key);
    const bool beside = form.of_files && first.form->of_files;
    section.complaints().error(node.key_place, what,
                               beside ? "write rights = [" + quoted(node.key) + "]" : "make two grants of it");
}

// What the grant is about: exactly one key. Nothing, with a complaint where nothing else explains it.
Found take_operation(Section& section) {
    Found found;
    for (const Form& form : forms) {
        if (is_option_here(section, form.key)) continue;
        const Node* node = section.take(form.key);
        if (node == nullptr) continue;
        if (found.form == nullptr) {
            found = {&form, node};
        } else {
            refuse_second(section, found, form, *node);
        }
    }
    return found;
}

// "rename" and its like are no operations of their own here.
bool refuse_additions(Section& section) {
    bool found = false;
    for (const std::string_view key : additions) {
        const Node* node = section.take(key);
        if (node == nullptr) continue;
        section.complaints().error(node->key_place, quoted(key) + " comes beside another operation",
                                   "write rights = [" + quoted(key) + "]");
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
    std::vector<std::string_view> keys;
    for (const Form& form : forms) keys.push_back(form.key);
    section.complaints().error(node.key_place, section.what() + " says no operation", "one of " + join(keys));
}

// How often and how long: of everything that is asked for.
void take_shape(Section& section, Grant& grant) {
    if (grant.kind == Kind::channel || grant.kind == Kind::store) return;
    section.number("max_uses", grant.shape.uses, 1, 1'000'000'000);
    section.choice("until", grant.shape.until_ready, until_choices);
    section.number("max_rate", grant.shape.per_second, 1, 1'000'000);
}

void read_grant_table(Section& section, const Node& node, Grant& grant) {
    const bool explained = refuse_additions(section);
    const Found found = take_operation(section);
    if (found.target == nullptr) return refuse_grant_without_operation(section, node, explained);
    GrantDraft draft{section, *found.target, found.form->operation, grant};
    if (found.form->read(draft)) {
        take_shape(section, grant);
        refuse_misplaced(section);
    } else {
        take_all_options(section);
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

// The place that complaints about a grant's target point to.
const Place& place_of_target(const Section& section, const Node& node) {
    for (const Form& form : forms) {
        const Node* target = is_option_here(section, form.key) ? nullptr : node.find(form.key);
        if (target != nullptr) return target->place;
    }
    return node.key_place;
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
    into.marks.emplace("grants." + node.key, grants.complaints().mark(place_of_target(section, node)));
    if (grant.shape.until_ready && into.rule.ready == supervise::ReadyBy::exec) {
        grants.complaints().warning(node.find("until")->place,
                                    into.name + " counts as ready as soon as it runs: this grant is over before it begins",
                                    "add ready = \"libwarder\" or \"notify\"");
    }
    into.grants.push_back(std::move(grant));
}

// "0x88cc" or "58".
std::optional<std::uint32_t> parse_number(std::string_view text) {
    const int base = text.starts_with("0x") ? 16 : 10;
    if (base == 16) text.remove_prefix(2);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    const bool whole = error == std::errc{} && end == text.data() + text.size() && !text.empty();
    return whole ? std::optional(value) : std::nullopt;
}

bool good_interface(std::string_view name) {
    constexpr std::size_t longest = 15;   // IFNAMSIZ less its NUL
    if (name.empty() || name.size() > longest || name == "." || name == "..") return false;
    return std::ranges::all_of(name, [](char c) { return c > ' ' && c != '/' && c != ':' && c != '%' && c != 0x7f; });
}

}  // namespace

bool GrantDraft::is(Node::Kind kind, std::string_view instead) {
    return section.take(target.key, kind, instead) != nullptr;
}

// What stands there in quotes would mostly be no address or path either: nothing is suggested.
bool GrantDraft::is_text() {
    if (target.kind == Node::Kind::text) return check_text(target, target.key, complaints());
    section.refuse_kind(target, target.key, words_for(Node::Kind::text));
    return false;
}

void GrantDraft::refuse(std::string what, std::string suggestion) {
    complaints().error(target.place, std::move(what), std::move(suggestion));
}

std::optional<std::uint32_t> named_number(GrantDraft& draft, std::span<const NamedNumber> names, std::uint32_t least,
                                          std::uint32_t most) {
    const Node& node = draft.target;
    if (node.kind != Node::Kind::text && node.kind != Node::Kind::integer) {
        draft.section.refuse_kind(node, node.key, "a name or a number", "write it like " + quoted(names[0].name));
        return std::nullopt;
    }
    const bool written = node.kind == Node::Kind::integer;
    if (!written) {
        const auto found = std::ranges::find(names, node.text, &NamedNumber::name);
        if (found != names.end()) return found->number;
    }
    const bool fits = written && node.integer >= 0 && node.integer <= UINT32_MAX;
    const auto value = fits ? std::optional(static_cast<std::uint32_t>(node.integer)) : parse_number(node.text);
    if (value && *value >= least && *value <= most) return value;
    std::vector<std::string_view> known;
    for (const NamedNumber& entry : names) known.push_back(entry.name);
    draft.refuse(quoted(node.key) + " cannot be " + (written ? std::to_string(node.integer) : quoted(node.text)),
                 did_you_mean(node.text, known, "write one of " + join(known) + ", or a number from " +
                                                    std::to_string(least) + " to " + std::to_string(most)));
    return std::nullopt;
}

void take_interface(GrantDraft& draft) {
    const Node* node = draft.section.take("interface", Node::Kind::text);
    if (node == nullptr) return;
    if (good_interface(node->text)) {
        draft.grant.interface = node->text;
    } else {
        draft.complaints().error(node->place, quoted(node->text) + " cannot name an interface",
                                 "names have 1 to 15 letters, digits and marks");
    }
}

bool take_peer(GrantDraft& draft) {
    if (!draft.is_text()) return false;
    if (good_name(draft.target.text)) {
        draft.grant.peer = draft.target.text;
        return true;
    }
    draft.refuse(quoted(draft.target.text) + " cannot name a worker");
    return false;
}

void read_grants(Section& worker, Worker& into) {
    const Node* table = worker.take("grants", Node::Kind::table);
    if (table == nullptr) return;
    Section grants(*table, worker.what(), worker.complaints());
    for (const Node& node : table->items) read_grant(grants, node, into);
    narrow_calls(into.grants, into.sandbox.calls);
}

}  // namespace warder::config
