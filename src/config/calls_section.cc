// The keys of a sandbox that make its filter of system calls.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "config/sections.h"
#include "sandbox/call_groups.h"
#include "sandbox/ioctls.h"
#include "sys/socket_options.h"

namespace warder::config {
namespace {

std::optional<int> errno_named(std::string_view name) {
    constexpr int most = 133;
    for (int number = 1; number <= most; ++number) {
        const char* known = ::strerrorname_np(number);
        if (known != nullptr && name == known) return number;
    }
    return std::nullopt;
}

constexpr std::array<Choice<bool>, 2> evidence_choices{{{"errno", false}, {"full", true}}};

constexpr std::array<Choice<sandbox::BesideListeners>, 3> beside_choices{{
    {"listen", sandbox::BesideListeners::listen},
    {"connect", sandbox::BesideListeners::connect},
    {"neither", sandbox::BesideListeners::neither},
}};

// Reads the keys one by one; a class only to keep section and target at hand.
class CallsReader {
public:
    CallsReader(Section& section, sandbox::Calls& into) : section_(section), into_(into) {}

    void read() {
        names("calls", into_.base);
        names("allow_calls", into_.allow);
        names("kill_calls", into_.kill);
        names("log_calls", into_.log);
        denied("deny_calls");
        rules("call_rules");
        ioctls("allow_ioctls");
        section_.flag("log_denied_calls", into_.log_denied);
        section_.flag("lock_personality", into_.lock_personality);
        section_.flag("restrict_suid_sgid", into_.restrict_suid_sgid);
        section_.choice("evidence", into_.monitored, evidence_choices);
        section_.choice("beside_listeners", into_.beside_listeners, beside_choices);
        more_options("allow_socket_options");
        refuse_both();
        refuse_openat2();
    }

private:
    void error(const Node& node, std::string what, std::string suggestion = {}) {
        section_.complaints().error(node.place, std::move(what), std::move(suggestion));
    }

    const Node* list(std::string_view key) { return section_.take(key, Node::Kind::list, "write it like [\"@file-system\", \"ptrace\"]"); }

    bool check_name(const Node& item, const std::string& name) {
        if (sandbox::names_calls(name)) return true;
        const auto known = sandbox::all_call_names();
        const std::string what = name.starts_with('@') ? "there is no group of calls " : "there is no system call ";
        error(item, what + quoted(name), did_you_mean(name, {known.begin(), known.end()}));
        return false;
    }

    void names(std::string_view key, std::vector<std::string>& into) {
        const Node* node = list(key);
        if (node == nullptr) return;
        into.clear();
        for (const Node& item : node->items) {
            if (item.kind != Node::Kind::text) section_.refuse_entry(item, key, "a string");
            else if (check_name(item, item.text)) into.push_back(item.text);
        }
    }

    void more_options(std::string_view key) {
        const Node* node = section_.take(key, Node::Kind::list, "write it like [\"IP_TTL\", \"TCP_CONGESTION\"]");
        if (node == nullptr) return;
        for (const Node& item : node->items) {
            if (item.kind != Node::Kind::text) section_.refuse_entry(item, key, "a string");
            else if (const auto* option = socket_options::find(item.text); option == nullptr) refuse_option(item);
            else take_option(item, *option);
        }
    }

    void take_option(const Node& item, const socket_options::Option& option) {
        const std::string name(option.name);
        if (option.harmless) return error(item, quoted(item.text) + " has no effect here: every worker may set it", "leave it out");
        if (std::ranges::find(into_.socket_options, name) != into_.socket_options.end()) return error(item, quoted(item.text) + " stands there twice");
        into_.socket_options.push_back(name);
    }

    void refuse_option(const Node& item) {
        std::vector<std::string_view> names;
        for (const auto& option : socket_options::all()) {
            if (!option.harmless) names.push_back(option.name);
        }
        error(item, "there is no option of sockets " + quoted(item.text) + " that can be allowed",
              did_you_mean(item.text, names, "warder.toml(5) lists them"));
    }

    // "ptrace" or "ptrace:EACCES"
    void denied(std::string_view key) {
        const Node* node = list(key);
        if (node == nullptr) return;
        for (const Node& item : node->items) {
            if (item.kind != Node::Kind::text) section_.refuse_entry(item, key, "a string");
            else one_denied(item);
        }
    }

    void one_denied(const Node& item) {
        const std::size_t colon = std::min(item.text.find(':'), item.text.size());
        const std::string name = item.text.substr(0, colon);
        const auto number = colon == item.text.size() ? EPERM : errno_named(std::string_view(item.text).substr(colon + 1));
        if (!number) return error(item, quoted(item.text) + " names no errno", "write it like \"" + name + ":EACCES\"");
        if (check_name(item, name)) into_.deny.push_back({name, *number});
    }

    void rules(std::string_view key) {
        const Node* node = section_.take(key, Node::Kind::list, "write [{ call = \"prctl\", argument = 0, equals = 4 }]");
        if (node == nullptr) return;
        for (const Node& item : node->items) {
            if (item.kind != Node::Kind::table) section_.refuse_entry(item, key, "a table");
            else one_rule(item, key);
        }
    }

    void one_rule(const Node& item, std::string_view key) {
        Section table(item, "an entry of " + quoted(key), section_.complaints());
        constexpr std::int64_t most = UINT32_MAX;
        sandbox::CallRule rule;
        std::string name;
        table.text("call", rule.call);
        table.number("argument", rule.argument, 0, 5);
        table.number("equals", rule.value, 0, most);
        table.number("differs", rule.value, 0, most);
        table.number("mask", rule.mask, 0, most);
        table.text("errno", name);
        table.refuse_the_rest();
        rule.differs = item.find("differs") != nullptr;
        if (rule.differs == (item.find("equals") != nullptr)) return error(item, "a rule has one of \"equals\" and \"differs\"");
        if (item.find("call") == nullptr) return error(item, "a rule has no \"call\"");
        if (rule.call.starts_with('@')) return error(item, "a rule is about one call, not a group");
        const auto number = name.empty() ? EPERM : errno_named(name);
        if (!number) return error(item, quoted(name) + " names no errno", "write it like \"EACCES\"");
        rule.error = *number;
        if (check_name(item, rule.call)) into_.rules.push_back(std::move(rule));
    }

    // "all", or numbers and names of requests.
    void ioctls(std::string_view key) {
        constexpr std::string_view example = "write [\"FS_IOC_SETFLAGS\", 0x40086602] or \"all\"";
        const Node* node = section_.take(key);
        if (node == nullptr) return;
        into_.any_ioctl = node->kind == Node::Kind::text && node->text == "all";
        if (into_.any_ioctl) return;
        if (node->kind != Node::Kind::list) return section_.refuse_kind(*node, key, "a list, or \"all\"", example);
        constexpr std::size_t most = 64;   // what a jump of the filter can pass
        if (node->items.size() > most) return error(*node, quoted(key) + " holds more than 64 requests", "write \"all\"");
        for (const Node& item : node->items) one_ioctl(item, key);
    }

    void one_ioctl(const Node& item, std::string_view key) {
        const bool number = item.kind == Node::Kind::integer && item.integer >= 0 && item.integer <= UINT32_MAX;
        if (number) return into_.allow_ioctls.push_back(static_cast<std::uint32_t>(item.integer));
        if (item.kind != Node::Kind::text) return section_.refuse_entry(item, key, "a request of 32 bits, as a number or by name");
        const auto request = sandbox::ioctl_named(item.text);
        if (request) return into_.allow_ioctls.push_back(*request);
        error(item, "there is no request " + quoted(item.text) + " of ioctl(2) that is known by name", did_you_mean(item.text, sandbox::ioctl_names(), "write its number"));
    }

    // Its mode lies in memory, where no filter looks.
    void refuse_openat2() {
        const Node* node = section_.table().find("allow_calls");
        const bool named = std::ranges::find(into_.allow, "openat2") != into_.allow.end();
        if (!named || !into_.restrict_suid_sgid) return;
        error(*node, "\"openat2\" is not there for a worker that may set no set-user-id bits: they cannot be seen in it",
              "programs do without it; otherwise restrict_suid_sgid = false");
    }

    void refuse_both() {
        const Node* node = section_.table().find("deny_calls");
        for (const auto& one : into_.deny) {
            if (std::ranges::find(into_.allow, one.name) == into_.allow.end()) continue;
            error(*node, quoted(one.name) + " is both allowed and denied");
        }
    }

    Section& section_;
    sandbox::Calls& into_;
};

}  // namespace

void read_calls(Section& sandbox, sandbox::Calls& into) { CallsReader(sandbox, into).read(); }

}  // namespace warder::config
