// [worker.NAME]: the program, its identity and its life.
#include <algorithm>
#include <csignal>

#include "config/sections.h"
#include "policy/path.h"

namespace warder::config {
namespace {

using supervise::ReadyBy;
using supervise::RestartPolicy;

constexpr std::size_t longest_name = 63;
constexpr Duration above_zero{1};

constexpr std::array<Choice<Requesters>, 2> requesters_choices{{
    {"main", Requesters::main},
    {"all", Requesters::group},
}};

constexpr std::array<Choice<Door>, 1> door_choices{{
    {"python", Door::python},
}};

constexpr std::array<Choice<ReadyBy>, 3> ready_choices{{
    {"exec", ReadyBy::exec},
    {"libwarder", ReadyBy::libwarder},
    {"notify", ReadyBy::notify},
}};

constexpr std::array<Choice<RestartPolicy>, 3> policy_choices{{
    {"always", RestartPolicy::always},
    {"on-failure", RestartPolicy::on_failure},
    {"never", RestartPolicy::never},
}};

constexpr std::array<Choice<int>, 10> signal_choices{{
    {"SIGTERM", SIGTERM},
    {"SIGINT", SIGINT},
    {"SIGQUIT", SIGQUIT},
    {"SIGHUP", SIGHUP},
    {"SIGUSR1", SIGUSR1},
    {"SIGUSR2", SIGUSR2},
    {"SIGWINCH", SIGWINCH},
    {"SIGABRT", SIGABRT},
    {"SIGCONT", SIGCONT},
    {"SIGKILL", SIGKILL},
}};

// Keys whose places are wanted after parsing.
constexpr std::array<std::string_view, 10> marked_keys = {
    "exec", "user",  "group", "supplementary_groups", "sandbox",
    "door", "ready", "request_access", "max_pending_requests", "max_fds_in_flight",
};

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool check_worker_name(const Node& node, Complaints& complaints) {
    if (!good_name(node.key)) {
        const std::string meant = lowered(node.key);
        complaints.error(node.key_place, quoted(node.key) + " cannot name a worker",
                         good_name(meant) ? "did you mean " + quoted(meant) + "?"
                                          : "names are of a-z, 0-9, \"_\", \".\", \"@\" and \"-\", at most 63");
        return false;
    }
    if (std::find(reserved_names.begin(), reserved_names.end(), node.key) == reserved_names.end()) return true;
    complaints.error(node.key_place, "the name " + quoted(node.key) + " is reserved");
    return false;
}

const Worker* worker_named(const Config& config, std::string_view name) {
    const auto found = std::find_if(config.workers.begin(), config.workers.end(),
                                    [&](const Worker& worker) { return worker.name == name; });
    return found == config.workers.end() ? nullptr : &*found;
}

// "/usr/bin/prog -x" as one string was meant as a command line.
std::string as_list(std::string_view command) {
    std::string list;
    while (!command.empty()) {
        const std::string_view word = command.substr(0, command.find(' '));
        command.remove_prefix(std::min(command.size(), word.size() + 1));
        if (!word.empty()) list += (list.empty() ? "[" : ", ") + quoted(word);
    }
    return list + "]";
}

void set_program(const Node& node, Complaints& complaints, sandbox::Plan& sandbox) {
    if (!check_path(node, "exec", complaints)) return;
    sandbox.program = node.text;
    sandbox.arguments = {node.text};
}

void read_command_text(const Node& node, Complaints& complaints, sandbox::Plan& sandbox) {
    if (node.text.find(' ') == std::string::npos) return set_program(node, complaints, sandbox);
    complaints.error(node.place, "\"exec\" as a string is one program without arguments", "write " + as_list(node.text));
}

void read_command_list(Section& section, const Node& node, sandbox::Plan& sandbox) {
    if (node.items.empty()) return section.complaints().error(node.place, "\"exec\" is empty");
    for (const Node& item : node.items) {
        if (item.kind != Node::Kind::text) {
            section.refuse_entry(item, "exec", "a string");
        } else if (&item == &node.items.front()) {
            set_program(item, section.complaints(), sandbox);
        } else if (check_text(item, "exec", section.complaints())) {
            sandbox.arguments.push_back(item.text);
        }
    }
}

void read_exec(Section& section, const Node& worker, sandbox::Plan& sandbox) {
    const Node* node = section.take("exec");
    if (node == nullptr) {
        section.complaints().error(worker.key_place, section.what() + " has no \"exec\"",
                                   "add exec = [\"/usr/bin/program\"]");
    } else if (node->kind == Node::Kind::text) {
        read_command_text(*node, section.complaints(), sandbox);
    } else if (node->kind == Node::Kind::list) {
        read_command_list(section, *node, sandbox);
    } else {
        section.refuse_kind(*node, "exec", "a list of strings", "write [\"/usr/bin/program\", \"argument\"]");
    }
}

bool good_variable(std::string_view name) {
    if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_';
    });
}

bool check_variable(const Node& item, Complaints& complaints) {
    if (!good_variable(item.key)) {
        complaints.error(item.key_place, quoted(item.key) + " cannot name a variable of the environment",
                         "names are of letters, digits and \"_\"");
        return false;
    }
    if (!item.key.starts_with("WARDER_") && item.key != "NOTIFY_SOCKET") return true;
    complaints.error(item.key_place, quoted(item.key) + " is set by warderd itself");
    return false;
}

void read_environment(Section& section, std::vector<std::string>& into) {
    const Node* node = section.take("environment", Node::Kind::table, "write { NAME = \"value\" }");
    if (node == nullptr) return;
    Section variables(*node, "the environment", section.complaints());
    for (const Node& item : node->items) {
        if (!check_variable(item, section.complaints())) continue;
        const std::size_t before = section.complaints().count();
        std::string value;
        variables.text(item.key, value);
        if (section.complaints().count() == before) into.push_back(item.key + "=" + value);
    }
}

void read_directory(Section& section, std::string& into) {
    const Node* node = section.take("working_directory", Node::Kind::text);
    if (node == nullptr) return;
    if (node->text == "/" || check_path(*node, "working_directory", section.complaints())) into = node->text;
}

void read_identity(Section& section, Worker& worker) {
    section.text("user", worker.user);
    section.text("group", worker.group);
    section.texts("supplementary_groups", worker.supplementary_groups);
    worker.sandbox.user = worker.user.empty() ? worker.name : worker.user;
}

void read_life(Section& section, supervise::Rule& rule) {
    section.choice("ready", rule.ready, ready_choices);
    section.flag("autostart", rule.autostart);
    section.duration("setup_timeout", rule.setup_timeout, above_zero);
    section.duration("ready_timeout", rule.ready_timeout, above_zero);
    read_restart(section, rule.restart);
    section.choice("stop_signal", rule.stop.signal, signal_choices);
    section.duration("stop_timeout", rule.stop.timeout, above_zero);
}

void read_process(Section& section, sandbox::Plan& sandbox) {
    read_environment(section, sandbox.environment);
    read_directory(section, sandbox.directory);
    section.mode("umask", sandbox.umask);
    read_priorities(section, sandbox);
    read_limits(section, sandbox.limits, sandbox.group_limits);
}

void keep_marks(const Node& node, const Complaints& complaints, Marks& marks) {
    marks.emplace("worker", complaints.mark(node.key_place));
    for (const std::string_view key : marked_keys) {
        if (const Node* value = node.find(key)) marks.emplace(key, complaints.mark(value->place));
    }
    for (const Node& item : node.items) marks.emplace(item.key, complaints.mark(item.key_place));
    const Node* limits = node.find("limits");
    if (limits == nullptr || limits->kind != Node::Kind::table) return;
    for (const Node& item : limits->items) marks.emplace("limits." + item.key, complaints.mark(item.key_place));
}

void read_into(const Node& node, Complaints& complaints, const Daemon& daemon, Worker& worker) {
    Section section(node, "worker " + quoted(node.key), complaints);
    read_exec(section, node, worker.sandbox);
    read_identity(section, worker);
    section.choice("request_access", worker.requesters, requesters_choices);
    section.choice("door", worker.door, door_choices);
    section.number("max_pending_requests", worker.max_pending_requests, 1, 4096);
    section.number("max_request_rate", worker.max_request_rate, 1, 1'000'000);
    section.number("max_fds_in_flight", worker.max_in_flight, 1, 65536);
    section.size("max_lent_memory", worker.max_lent_memory, 64 << 10);
    read_life(section, worker.rule);
    read_process(section, worker.sandbox);
    read_logging(section, worker.logging);
    read_sandbox(section, daemon, worker);
    read_grants(section, worker);
    section.refuse_the_rest();
}

void read_success(Section& section, std::vector<int>& into) {
    const Node* node = section.take("success", Node::Kind::list, "write it like [0, 75]");
    if (node == nullptr) return;
    into.clear();
    for (const Node& item : node->items) {
        if (item.kind != Node::Kind::integer) {
            section.refuse_entry(item, "success", "an exit code from 0 to 255");
        } else if (item.integer < 0 || item.integer > 255) {
            section.complaints().error(item.place, "exit codes are from 0 to 255");
        } else {
            into.push_back(static_cast<int>(item.integer));
        }
    }
}

void read_restart_table(Section& section, supervise::Restart& into) {
    section.choice("policy", into.policy, policy_choices);
    section.duration("delay", into.delay, Duration(0));
    section.share("backoff_factor", into.factor, 1.0, 100.0);
    section.duration("max_delay", into.cap, Duration(0));
    section.share("jitter", into.jitter, 0.0, 1.0);
    section.duration("reset_after", into.reset_after, Duration(0));
    section.number("start_limit_burst", into.limit, 0, 63);   // a life remembers its latest 64 starts
    section.duration("start_limit_interval", into.window, above_zero);
    read_success(section, into.success);
    section.refuse_the_rest();
}

}  // namespace

bool good_name(std::string_view name) {
    if (name.empty() || name.size() > longest_name || !lower_or_digit(name.front())) return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        return lower_or_digit(c) || c == '_' || c == '.' || c == '@' || c == '-';
    });
}

std::string lowered(std::string_view name) {
    std::string lower(name);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (c == ' ') c = '-';
    }
    return lower;
}

void read_worker(const Node& node, Complaints& complaints, Config& config) {
    if (!check_worker_name(node, complaints)) return;
    if (const Worker* other = worker_named(config, node.key)) {
        return complaints.error(node.key_place, "worker " + quoted(node.key) + " is already at " + other->where.file +
                                                    ":" + std::to_string(other->where.line));
    }
    if (node.kind != Node::Kind::table) {
        return complaints.error(node.place, "worker " + quoted(node.key) + " must be a table",
                                "write [worker." + node.key + "]");
    }
    Worker worker;
    worker.name = node.key;
    worker.where = {complaints.file(), node.key_place.line, node.key_place.column};
    worker.logging = config.daemon.logging;
    keep_marks(node, complaints, worker.marks);
    read_into(node, complaints, config.daemon, worker);
    config.workers.push_back(std::move(worker));
}

void read_restart(Section& worker, supervise::Restart& into) {
    const Node* node = worker.take("restart");
    if (node == nullptr) return;
    if (node->kind == Node::Kind::text) return worker.choose(*node, "restart", into.policy, policy_choices);
    if (node->kind != Node::Kind::table) {
        return worker.refuse_kind(*node, "restart", "a policy or a table", "write \"always\", \"on-failure\" or \"never\"");
    }
    Section section(*node, "restart of " + worker.what(), worker.complaints());
    read_restart_table(section, into);
    if (into.cap >= into.delay) return;
    worker.complaints().error(node->place, "\"max_delay\" of restart is shorter than its \"delay\"");
}

}  // namespace warder::config
