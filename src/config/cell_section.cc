// [worker.NAME.cell]: a profile, and what differs from it.
#include <algorithm>

#include "config/sections.h"
#include "policy/path.h"

namespace warder::config {
namespace {

enum class Profile : std::uint8_t {
    strict,    // nothing but what is granted
    service,   // strict, with the host's network: a usual daemon makes its own sockets
    open,      // another uid, no capabilities and no new privileges, and else the host as it is
};

constexpr std::array<Choice<Profile>, 3> profile_choices{{
    {"strict", Profile::strict},
    {"service", Profile::service},
    {"open", Profile::open},
}};

constexpr std::array<Choice<sandbox::Root>, 2> root_choices{{
    {"system", sandbox::Root::system},
    {"host", sandbox::Root::host},
}};

constexpr std::array<Choice<sandbox::Network>, 2> network_choices{{
    {"empty", sandbox::Network::empty},
    {"host", sandbox::Network::host},
}};

// What root = "system" shows of itself; /bin and its like are links into /usr.
constexpr std::array<std::string_view, 7> system_directories = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
};

// Over these the cell puts its own.
constexpr std::array<std::string_view, 4> cells_own = {"/proc", "/sys", "/dev", "/tmp"};

constexpr std::array<std::string_view, 4> of_a_mount_tree = {"bind", "bind_writable", "execute", "tmp_size"};

bool same_or_below(std::string_view directory, std::string_view path) {
    return path == directory || policy::covers(directory, path);
}

bool shown(const sandbox::Plan& cell, std::string_view path) {
    const auto holds = [&](std::string_view directory) { return same_or_below(directory, path); };
    return std::any_of(system_directories.begin(), system_directories.end(), holds) ||
           std::any_of(cell.binds.begin(), cell.binds.end(), [&](const auto& bind) { return holds(bind.target); });
}

void apply(Profile profile, sandbox::Plan& cell) {
    cell.core_dumps = profile == Profile::open;
    cell.refuse_executable_memory = profile == Profile::strict;
    if (profile == Profile::strict) return;
    cell.network = sandbox::Network::host;
    if (profile == Profile::service) return;
    cell.root = sandbox::Root::host;
    cell.pid_namespace = false;
    cell.ipc_namespace = false;
    cell.uts_namespace = false;
    cell.landlock = false;
    cell.calls.enabled = false;
}

// Reads one cell; a class only to keep what all parts need at hand.
class CellReader {
public:
    CellReader(Section& section, sandbox::Plan& cell) : section_(section), cell_(cell) {}

    void read() {
        section_.choice("profile", profile_, profile_choices);
        apply(profile_, cell_);
        read_root();
        section_.choice("network", cell_.network, network_choices);
        cell_.calls.network = cell_.network == sandbox::Network::host;
        read_binds("bind", false);
        read_binds("bind_writable", true);
        read_execute();
        section_.size("tmp_size", cell_.tmp_size, 4096);
        read_hostname();
        read_rights();
        read_calls("allow_calls", cell_.calls.allow);
        read_calls("deny_calls", cell_.calls.deny);
        refuse_idle();
        section_.refuse_the_rest();
    }

private:
    void error(const Node& node, std::string what, std::string suggestion = {}) {
        section_.complaints().error(node.place, std::move(what), std::move(suggestion));
    }

    void read_root() {
        section_.choice("root", cell_.root, root_choices);
        const Node* node = section_.table().find("root");
        if (cell_.root == sandbox::Root::host && profile_ != Profile::open && node != nullptr) {
            error(*node, "root = \"host\" goes with profile = \"open\" only");
            cell_.root = sandbox::Root::system;
        }
        cell_.mount_namespace = cell_.root == sandbox::Root::system;
        cell_.private_tmp = cell_.mount_namespace;
    }

    void read_binds(std::string_view key, bool writable) {
        const Node* list = section_.take(key, Node::Kind::list, "write it like [\"/opt/app\"]");
        if (list == nullptr) return;
        for (const Node& item : list->items) {
            sandbox::Bind bind;
            bind.writable = writable;
            if (read_bind(item, key, bind)) add(item, bind);
        }
    }

    bool read_bind(const Node& item, std::string_view key, sandbox::Bind& bind) {
        if (item.kind == Node::Kind::table) return read_bind_table(item, key, bind);
        if (item.kind != Node::Kind::text) {
            section_.refuse_entry(item, key, "a path or { source = \"/a\", target = \"/b\" }");
            return false;
        }
        bind.source = bind.target = item.text;
        return check_path(item, key, section_.complaints());
    }

    bool read_bind_table(const Node& item, std::string_view key, sandbox::Bind& bind) {
        Section pair(item, std::string(key) + " of " + section_.what(), section_.complaints());
        pair.path("source", bind.source);
        bind.target = bind.source;
        pair.path("target", bind.target);
        if (item.find("source") == nullptr) error(item, quoted(key) + " has no \"source\"");
        pair.refuse_the_rest();
        return !bind.source.empty() && !bind.target.empty();
    }

    void add(const Node& item, const sandbox::Bind& bind) {
        const bool own = std::any_of(cells_own.begin(), cells_own.end(),
                                     [&](std::string_view directory) { return bind.target == directory; });
        const bool twice = std::any_of(cell_.binds.begin(), cell_.binds.end(),
                                       [&](const auto& other) { return other.target == bind.target; });
        if (own) return error(item, quoted(bind.target) + " in the cell is the cell's own");
        if (twice) return error(item, quoted(bind.target) + " is bound twice");
        cell_.binds.push_back(bind);
    }

    // A path that is bound already becomes executable; another is bound for it.
    void read_execute() {
        std::vector<std::string> paths;
        section_.paths("execute", paths);
        for (const std::string& path : paths) {
            const auto bound = std::find_if(cell_.binds.begin(), cell_.binds.end(),
                                            [&](const auto& bind) { return bind.target == path; });
            if (bound == cell_.binds.end()) {
                cell_.binds.push_back({path, path, false, true});
            } else {
                bound->execute = true;
            }
        }
    }

    void read_hostname() {
        section_.text("hostname", cell_.hostname);
        const bool good = cell_.hostname.size() <= 64 &&
                          std::all_of(cell_.hostname.begin(), cell_.hostname.end(), [](char c) {
                              return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                     c == '-' || c == '.';
                          });
        if (!good) {
            error(*section_.table().find("hostname"), "\"hostname\" is not a host name",
                  "it is of letters, digits, \"-\" and \".\", at most 64");
        }
    }

    void read_rights() {
        read_capabilities(section_, cell_.capabilities);
        section_.flag("no_new_privileges", cell_.no_new_privileges);
        section_.flag("refuse_executable_memory", cell_.refuse_executable_memory);
        section_.flag("core_dumps", cell_.core_dumps);
        section_.flag("private_keyring", cell_.private_keyring);
        section_.flag("lock_personality", cell_.calls.lock_personality);
        section_.path("terminal", cell_.terminal);
        const bool needed = cell_.landlock || cell_.calls.enabled;
        const Node* node = section_.table().find("no_new_privileges");
        if (node != nullptr && needed && !cell_.no_new_privileges) {
            error(*node, "without \"no_new_privileges\" there is neither Landlock nor a filter of calls",
                  "that goes with profile = \"open\" only");
        }
    }

    void read_calls(std::string_view key, std::vector<std::string>& into) {
        section_.texts(key, into);
        const Node* node = section_.table().find(key);
        if (node == nullptr || node->kind != Node::Kind::list) return;
        for (const Node& item : node->items) {
            if (item.kind == Node::Kind::text) check_call(item);
        }
    }

    void check_call(const Node& item) {
        const bool good = !item.text.empty() && std::all_of(item.text.begin(), item.text.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        });
        if (!good) error(item, quoted(item.text) + " cannot name a system call");
        if (is_in(item, cell_.calls.allow) && is_in(item, cell_.calls.deny)) {
            error(item, quoted(item.text) + " is both allowed and denied");
        }
    }

    static bool is_in(const Node& item, const std::vector<std::string>& list) {
        return std::find(list.begin(), list.end(), item.text) != list.end();
    }

    // Keys that would do nothing, where one might think that they protect.
    void refuse_idle() {
        for (const std::string_view key : of_a_mount_tree) refuse_idle(key, cell_.mount_namespace, "root = \"system\"");
        refuse_idle("hostname", cell_.uts_namespace, "another profile than \"open\"");
        refuse_idle("allow_calls", cell_.calls.enabled, "another profile than \"open\"");
        refuse_idle("deny_calls", cell_.calls.enabled, "another profile than \"open\"");
        refuse_idle("lock_personality", cell_.calls.enabled, "another profile than \"open\"");
    }

    void refuse_idle(std::string_view key, bool has_effect, const std::string& needs) {
        const Node* node = section_.table().find(key);
        if (node == nullptr || has_effect) return;
        section_.complaints().error(node->key_place, quoted(key) + " has no effect here: it needs " + needs);
    }

    Section& section_;
    sandbox::Plan& cell_;
    Profile profile_ = Profile::strict;
};

}  // namespace

void read_cell(Section& worker, Worker& into) {
    static const Node empty;
    const Node* node = worker.take("cell", Node::Kind::table);
    Section section(node == nullptr ? empty : *node, "the cell of " + worker.what(), worker.complaints());
    CellReader(section, into.cell).read();
    sandbox::Plan& cell = into.cell;
    const bool hidden = cell.mount_namespace && !cell.program.empty() && !shown(cell, cell.program);
    if (hidden) cell.binds.push_back({cell.program, cell.program, false, true});
}

}  // namespace warder::config
