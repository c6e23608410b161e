// [daemon], and what may stand at the top of a file.
#include <sys/capability.h>

#include <algorithm>
#include <charconv>

#include "config/sections.h"
#include "policy/address.h"

namespace warder::config {
namespace {

constexpr uid_t nobody = 65534;
constexpr std::string_view control_socket_name = "/control.sock";

// "70000-89999"
bool parse_range(std::string_view text, uid_t& first, uid_t& last) {
    const char* end = text.data() + text.size();
    const auto low = std::from_chars(text.data(), end, first);
    if (low.ec != std::errc{} || low.ptr == end || *low.ptr != '-') return false;
    const auto high = std::from_chars(low.ptr + 1, end, last);
    return high.ec == std::errc{} && high.ptr == end;
}

void read_uid_range(Section& section, Daemon& daemon) {
    const Node* node = section.take("uid_range", Node::Kind::text, "write it like \"70000-89999\"");
    if (node == nullptr) return;
    uid_t first = 0;
    uid_t last = 0;
    Complaints& complaints = section.complaints();
    if (!parse_range(node->text, first, last)) {
        return complaints.error(node->place, "\"uid_range\" is not a range", "write it like \"70000-89999\"");
    }
    if (first > last) return complaints.error(node->place, "\"uid_range\" ends before it begins");
    if (first == 0 || last == UINT32_MAX || (first <= nobody && nobody <= last)) {
        return complaints.error(node->place, "\"uid_range\" may hold neither 0 (root), 65534 (nobody) nor 4294967295");
    }
    daemon.uid_first = first;
    daemon.uid_last = last;
}

void read_cgroup(Section& section, Daemon& daemon) {
    const Node* node = section.take("cgroup", Node::Kind::text);
    if (node == nullptr) return;
    const bool word = node->text == "auto" || node->text == "none";
    if (!word && !node->text.starts_with('/')) {
        return section.complaints().error(node->place, "\"cgroup\" cannot be " + quoted(node->text),
                                          did_you_mean(node->text, {"auto", "none"},
                                                       "write \"auto\", \"none\" or a directory of cgroup v2"));
    }
    if (word || check_path(*node, "cgroup", section.complaints())) daemon.cgroup = node->text;
}

// The kernel's names: "CAP_NET_ADMIN", or without the first four letters.
void read_capabilities(Section& section, Daemon& daemon) {
    const Node* node = section.take("reserve_capabilities", Node::Kind::list, "write it like [\"CAP_NET_ADMIN\"]");
    if (node == nullptr) return;
    for (const Node& item : node->items) {
        if (item.kind != Node::Kind::text) {
            section.refuse_entry(item, "reserve_capabilities", "the name of a capability");
            continue;
        }
        const std::string name = item.text.starts_with("CAP_") ? item.text : "CAP_" + item.text;
        cap_value_t number = 0;
        if (::cap_from_name(name.c_str(), &number) != 0) {
            section.complaints().error(item.place, "no capability is called " + quoted(item.text), "they are listed in capabilities(7)");
            continue;
        }
        daemon.reserve_capabilities |= std::uint64_t{1} << number;
    }
}

// A unix socket's path must fit into a sockaddr.
void check_socket_length(Section& section, std::string_view key, std::size_t more) {
    const Node* node = section.table().find(key);
    if (node == nullptr || node->kind != Node::Kind::text) return;
    if (node->text.size() + more <= policy::max_unix_name) return;
    section.complaints().error(node->place, "path of " + quoted(key) + " is too long for a unix socket: at most " +
                                                std::to_string(policy::max_unix_name - more) + " bytes");
}

void read_require(Section& section, std::vector<std::string>& into) {
    section.texts("required_features", into);
    const Node* node = section.table().find("required_features");
    if (node == nullptr || node->kind != Node::Kind::list) return;
    const std::vector<std::string_view> known(sandbox::kernel_items.begin(), sandbox::kernel_items.end());
    for (const Node& item : node->items) {
        if (item.kind != Node::Kind::text || std::ranges::find(known, item.text) != known.end()) continue;
        section.complaints().error(item.place, "\"required_features\" cannot hold " + quoted(item.text),
                                   did_you_mean(item.text, known, "write of " + join(known)));
    }
}

void read_daemon(const Node& node, Complaints& complaints, Daemon& daemon) {
    for (const Node& item : node.items) daemon.marks.insert_or_assign(item.key, complaints.mark(item.key_place));
    Section section(node, "[daemon]", complaints);
    section.path("runtime_directory", daemon.runtime_directory);
    section.path("state_directory", daemon.state_directory);
    section.path("log_directory", daemon.log_directory);
    section.path("control_socket", daemon.control_socket);
    section.text("control_group", daemon.control_group);
    read_cgroup(section, daemon);
    read_uid_range(section, daemon);
    read_capabilities(section, daemon);
    section.number("opener_processes", daemon.openers, 1, 64);
    section.number("spare_sandboxes", daemon.spare_sandboxes, 0, 1000);
    section.duration("request_timeout", daemon.request_timeout, std::chrono::milliseconds(1));
    section.flag("log_keeper", daemon.log_keeper);
    read_require(section, daemon.require);
    read_logging(section, daemon.logging);
    check_socket_length(section, "control_socket", 0);
    check_socket_length(section, "runtime_directory", control_socket_name.size());
    section.refuse_the_rest();
}

}  // namespace

void read_top(const Node& root, Complaints& complaints, Daemon& daemon) {
    Section top(root, "the file", complaints);
    const Node* node = top.take("daemon", Node::Kind::table, "write [daemon]");
    if (node != nullptr) read_daemon(*node, complaints, daemon);
    top.take("worker", Node::Kind::table, "write [worker.NAME]");
    top.take("expect", Node::Kind::list, "write [[expect]]");
    top.refuse_the_rest("there are [daemon], [worker.NAME] and [[expect]]");
}

void read_logging(Section& parent, Logging& into) {
    const Node* node = parent.take("logging", Node::Kind::table);
    if (node == nullptr) return;
    Section section(*node, "logging of " + parent.what(), parent.complaints());
    section.size("max_size", into.max_size, 4096);
    section.number("keep", into.keep, 0, 1000);
    section.refuse_the_rest();
}

}  // namespace warder::config
