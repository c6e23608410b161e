// [worker.NAME.sandbox]: a profile, and what differs from it.
#include <algorithm>
#include <utility>

#include "config/sections.h"
#include "policy/path.h"

namespace warder::config {
namespace {

enum class Profile : std::uint8_t {
    strict,    // nothing but what is granted
    service,   // strict, with the host's network: a usual daemon makes its own sockets
    unconfined,      // another uid, no capabilities and no new privileges, and else the host as it is
    user,      // strict, as far as it goes without root: warderd --user has it in the place of strict
};

constexpr std::array<Choice<Profile>, 4> profile_choices{{
    {"strict", Profile::strict},
    {"service", Profile::service},
    {"unconfined", Profile::unconfined},
    {"user", Profile::user},
}};

constexpr std::array<Choice<sandbox::Root>, 3> root_choices{{
    {"minimal", sandbox::Root::minimal},
    {"system", sandbox::Root::system},
    {"host", sandbox::Root::host},
}};

constexpr std::array<Choice<sandbox::ProcView>, 2> proc_choices{{
    {"hidden", sandbox::ProcView::hidden},
    {"processes", sandbox::ProcView::processes},
}};

// What root = "system" shows of itself; /bin and its like are links into /usr.
constexpr std::array<std::string_view, 7> system_directories = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
};

// Over these the sandbox puts its own.
constexpr std::array<std::string_view, 4> sandboxes_own = {"/proc", "/sys", "/dev", "/tmp"};

constexpr std::array<std::string_view, 14> of_a_mount_tree = {
    "bind_read_only", "bind_writable", "exec_paths", "tmp_size", "files", "tmpfs", "overlays", "devices", "proc",
    "secret_files", "names", "ptys", "home", "shell",
};

constexpr std::array<Choice<sandbox::Names>, 2> names_choices{{
    {"files", sandbox::Names::files},
    {"host", sandbox::Names::host},
}};

// All that goes into the filter, and all that goes into the Landlock domain.
constexpr std::array<std::string_view, 13> of_the_filter = {
    "calls", "allow_calls", "deny_calls", "kill_calls", "log_calls", "log_denied_calls", "call_rules", "lock_personality",
    "evidence", "allow_ioctls", "beside_listeners", "allow_socket_options", "restrict_suid_sgid",
};
constexpr std::array<std::string_view, 4> of_landlock = {"scope_signals", "scope_abstract_sockets", "tcp_bind", "tcp_connect"};

// `directories`: the word, the variable, and where.
struct OwnKind {
    std::string_view word;
    const char* variable;
};
constexpr std::array<OwnKind, 4> own_kinds{{
    {"state", "STATE_DIRECTORY"},
    {"cache", "CACHE_DIRECTORY"},
    {"logs", "LOGS_DIRECTORY"},
    {"runtime", "RUNTIME_DIRECTORY"},
}};

// CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
constexpr std::uint64_t reading_all = 1ULL << 1 | 1ULL << 2;

// Those that others are to enter lie beside those that nobody else reaches, whose parent only root may pass.
std::string own_directory(std::string_view kind, bool entered, const Daemon& daemon, const std::string& worker) {
    const std::string name = "/" + worker;
    if (kind == "cache") return daemon.cache_directory + (entered ? "/public" : "/private") + name;
    if (kind == "runtime") return daemon.runtime_directory + (entered ? "/public" : "/worker") + name;
    return daemon.state_directory + (entered ? "/public/" : "/") + std::string(kind) + name;
}

bool same_or_below(std::string_view directory, std::string_view path) {
    return path == directory || policy::covers(directory, path);
}

bool shown(const sandbox::Plan& sandbox, std::string_view path) {
    const auto holds = [&](std::string_view directory) { return same_or_below(directory, path); };
    const bool system = sandbox.root == sandbox::Root::system;
    return (system && std::any_of(system_directories.begin(), system_directories.end(), holds)) ||
           std::any_of(sandbox.binds.begin(), sandbox.binds.end(), [&](const auto& bind) { return holds(bind.target); }) ||
           std::any_of(sandbox.overlays.begin(), sandbox.overlays.end(), [&](const auto& one) { return holds(one.target); });
}

void apply(Profile profile, sandbox::Plan& sandbox) {
    sandbox.cgroup_namespace = profile != Profile::unconfined;
    sandbox.core_dumps = profile == Profile::unconfined;
    const bool strict = profile == Profile::strict || profile == Profile::user;
    sandbox.memory_deny_write_execute = strict;
    sandbox.calls.few_ioctls = strict;
    if (strict) sandbox.calls.base = {"@strict-service"};
    if (strict) return;
    sandbox.network = sandbox::Network::host;
    if (profile == Profile::service) return;
    sandbox.root = sandbox::Root::host;
    sandbox.pid_namespace = false;
    sandbox.ipc_namespace = false;
    sandbox.uts_namespace = false;
    sandbox.landlock = false;
    sandbox.calls.enabled = false;
}

// Reads one sandbox; a class only to keep what all parts need at hand.
class SandboxReader {
public:
    SandboxReader(Section& section, const Daemon& daemon, Worker& worker)
        : section_(section), daemon_(daemon), worker_(worker), sandbox_(worker.sandbox) {}

    void read() {
        section_.choice("profile", profile_, profile_choices);
        choose_by_run_mode();
        apply(profile_, sandbox_);
        worker_.profile = profile_choices[static_cast<std::size_t>(profile_)].name;
        read_root();
        read_network();
        read_binds("bind_read_only", false);
        read_binds("bind_writable", true);
        read_execute();
        read_own_content();
        read_overlays();
        section_.size("tmp_size", sandbox_.tmp_size, 4096);
        read_hostname();
        read_time_offsets();
        read_user_namespace(section_, daemon_, sandbox_);
        section_.flag("cgroup_namespace", sandbox_.cgroup_namespace);
        read_rights();
        read_landlock();
        read_calls(section_, sandbox_.calls);
        hold_to_profile();
        warn_of_futile_calls();
        read_known("optional_features", sandbox::kernel_items, sandbox_.preferred);
        prefer_what_is_young();
        refuse_idle();
        section_.refuse_the_rest();
    }

private:
    void error(const Node& node, std::string what, std::string suggestion = {}) {
        section_.complaints().error(node.place, std::move(what), std::move(suggestion));
    }

    void choose_by_run_mode() {
        const bool without_root = daemon_.run_mode.without_root;
        if (without_root && profile_ == Profile::strict) profile_ = Profile::user;
        const Node* node = section_.table().find("profile");
        if (without_root || profile_ != Profile::user || node == nullptr) return;
        error(*node, "profile = \"user\" goes with warderd --user only", "write profile = \"strict\"");
    }

    // A profile has it where the kernel does, which Debian 12's does not; who writes it down requires it.
    void prefer_what_is_young() {
        constexpr std::string_view item = "memory_deny_write_execute";
        if (!sandbox_.memory_deny_write_execute || section_.table().find(item) != nullptr) return;
        if (std::ranges::find(sandbox_.preferred, item) == sandbox_.preferred.end()) sandbox_.preferred.emplace_back(item);
    }

    // What a profile promises beyond single keys: the rights of a lent file stay as they are, and what was written does not run.
    void hold_to_profile() {
        auto& calls = sandbox_.calls;
        const bool own_list = section_.table().find("calls") != nullptr;
        calls.descriptors_have_names = calls.few_ioctls && !own_list && sandbox_.proc != sandbox::ProcView::hidden;
        const std::vector<std::string> usual = sandbox::Plan().devices;
        const auto strange = [&](const std::string& name) { return std::ranges::find(usual, name) == usual.end(); };
        calls.devices_lent = std::ranges::any_of(sandbox_.devices, strange);
        const Node* node = section_.table().find("allow_ioctls");
        if (node != nullptr && !calls.few_ioctls && calls.enabled) error(*node, "\"allow_ioctls\" has no effect here: only profile = \"strict\" denies requests of ioctl(2)");
        if (!sandbox_.memory_deny_write_execute) return;
        calls.no_code_in_shared_memory = true;
        sandbox_.tmp_no_execute = sandbox_.private_tmp;
        for (auto& bind : sandbox_.binds) bind.no_execute = bind.no_execute || (bind.writable && !runs_from(bind.target) && !bind.execute_written);
        for (auto& own : sandbox_.own_directories) own.no_execute = !runs_from(own.path);
    }

    // Calls that a filter lets through and the kernel refuses all the same: what takes a capability is of no use without it.
    void warn_of_futile_calls() {
        struct Privileged {
            std::string_view call;
            int capability;
            std::string_view name;
        };
        static constexpr std::array<Privileged, 19> table{{
            {"setgroups", 6, "setgid"},         {"init_module", 16, "sys_module"}, {"finit_module", 16, "sys_module"}, {"delete_module", 16, "sys_module"},
            {"ioperm", 17, "sys_rawio"},        {"iopl", 17, "sys_rawio"},         {"chroot", 18, "sys_chroot"},       {"acct", 20, "sys_pacct"},
            {"mount", 21, "sys_admin"},         {"umount2", 21, "sys_admin"},      {"pivot_root", 21, "sys_admin"},    {"swapon", 21, "sys_admin"},
            {"swapoff", 21, "sys_admin"},       {"sethostname", 21, "sys_admin"},  {"setdomainname", 21, "sys_admin"}, {"reboot", 22, "sys_boot"},
            {"clock_settime", 25, "sys_time"},  {"settimeofday", 25, "sys_time"},  {"vhangup", 26, "sys_tty_config"},
        }};
        const auto has = [&](int capability) { return (sandbox_.capabilities >> capability & 1) != 0; };
        constexpr int setgid = 6;
        if (sandbox_.user_namespace && has(setgid)) {
            const Node* node = section_.table().find("capabilities");
            if (node == nullptr) node = section_.table().find("trusted_capabilities");
            if (node != nullptr) warn(*node, "in a user namespace of its own setgroups(2) is denied, whatever it may: \"supplementary_groups\" gives it groups");
        }
        const Node* list = section_.table().find("allow_calls");
        if (list == nullptr || list->kind != Node::Kind::list || sandbox_.user_namespace) return;
        for (const Node& item : list->items) {
            const auto found = std::ranges::find(table, item.text, &Privileged::call);
            if (found == table.end() || has(found->capability)) continue;
            const std::string instead = found->call == "setgroups" ? "; \"supplementary_groups\" gives it groups" : "";
            warn(item, quoted(item.text) + " is let through by the filter and refused by the kernel: it takes the capability " + std::string(found->name) + instead);
        }
    }

    void warn(const Node& node, std::string what) { section_.complaints().warning(node.place, std::move(what)); }

    bool runs_from(std::string_view directory) const {
        const auto holds = [&](const sandbox::Bind& bind) { return bind.execute && same_or_below(directory, bind.target); };
        return same_or_below(directory, sandbox_.program) || std::ranges::any_of(sandbox_.binds, holds);
    }

    void read_root() {
        section_.choice("root", sandbox_.root, root_choices);
        const Node* node = section_.table().find("root");
        if (sandbox_.root == sandbox::Root::host && profile_ != Profile::unconfined && node != nullptr) {
            error(*node, "root = \"host\" goes with profile = \"unconfined\" only");
            sandbox_.root = sandbox::Root::system;
        }
        sandbox_.mount_namespace = sandbox_.root != sandbox::Root::host;
        sandbox_.private_tmp = sandbox_.mount_namespace;
    }

    // Also the path of a network namespace that somebody else made.
    void read_network() {
        const Node* node = section_.take("network", Node::Kind::text);
        if (node != nullptr) choose_network(*node);
        sandbox_.calls.network = sandbox_.network != sandbox::Network::none;
    }

    void choose_network(const Node& node) {
        if (node.text == "none" || node.text == "host") {
            sandbox_.network = node.text == "host" ? sandbox::Network::host : sandbox::Network::none;
        } else if (node.text.starts_with('/') && check_path(node, "network", section_.complaints())) {
            sandbox_.network = sandbox::Network::named;
            sandbox_.network_path = node.text;
        } else if (!node.text.starts_with('/')) {
            error(node, "\"network\" cannot be " + quoted(node.text),
                  did_you_mean(node.text, {"none", "host"}, "write one of \"none\", \"host\", \"/run/netns/NAME\""));
        }
    }

    void read_own_content() {
        read_text_files();
        read_memory_directories();
        read_directories();
        read_devices();
        section_.choice("proc", sandbox_.proc, proc_choices);
        read_secret_files();
        read_names();
        section_.flag("ptys", sandbox_.ptys);
        read_passwd_word("home", sandbox_.home);
        read_passwd_word("shell", sandbox_.shell);
        const Node* proc = section_.table().find("proc");
        if (proc != nullptr && sandbox_.proc != sandbox::ProcView::hidden && !sandbox_.pid_namespace) {
            error(*proc, "\"proc\" shows the processes of a pid namespace, and this sandbox has none of its own");
        }
    }

    void read_text_files() {
        const Node* node = section_.take("files", Node::Kind::table, "write { \"/etc/motd\" = \"hello\" }");
        if (node == nullptr) return;
        for (const Node& item : node->items) {
            if (item.kind != Node::Kind::text) section_.refuse_kind(item, item.key, "a string");
            else if (!policy::clean_absolute(item.key)) section_.complaints().error(item.key_place, quoted(item.key) + " is not an absolute, clean path");
            else sandbox_.files.push_back({item.key, item.text});
        }
    }

    void read_memory_directories() {
        const Node* list = section_.take("tmpfs", Node::Kind::list, "write [{ target = \"/run/app\", size = \"1MiB\" }]");
        if (list == nullptr) return;
        for (const Node& item : list->items) {
            if (item.kind != Node::Kind::table) section_.refuse_entry(item, "tmpfs", "a table");
            else read_memory_directory(item);
        }
    }

    void read_memory_directory(const Node& item) {
        sandbox::MemoryDirectory one;
            Section table(item, "a directory in memory of " + section_.what(), section_.complaints());
        table.path("target", one.target);
        table.size("size", one.size, 4096);
        table.mode("mode", one.mode);
        table.flag("noexec", one.no_execute);
        table.refuse_the_rest();
        if (item.find("target") == nullptr || item.find("size") == nullptr) return error(item, "a directory in memory has a \"target\" and a \"size\"");
        const bool shared_memory = one.target == "/dev/shm";   // in a directory of its own, and of this size
        if (same_or_below("/tmp", one.target) || (same_or_below("/dev", one.target) && !shared_memory) || same_or_below("/proc", one.target)) {
            return error(item, quoted(one.target) + " in the sandbox is the sandbox's own");
        }
        sandbox_.memory_directories.push_back(std::move(one));
    }

    void read_overlays() {
        constexpr std::string_view example = "write [{ target = \"/srv/tree\", lower = [\"/usr/share/a\"], size = \"16MiB\" }]";
        const Node* list = section_.take("overlays", Node::Kind::list, example);
        if (list == nullptr) return;
        for (const Node& item : list->items) {
            if (item.kind != Node::Kind::table) section_.refuse_entry(item, "overlays", "a table");
            else read_overlay(item);
        }
    }

    void read_overlay(const Node& item) {
        sandbox::Overlay one;
            Section table(item, "an overlay of " + section_.what(), section_.complaints());
        table.path("target", one.target);
        table.paths("lower", one.lower);
        table.size("size", one.size, 4096);
        table.mode("mode", one.mode);
        table.flag("noexec", one.no_execute);
        table.refuse_the_rest();
        for (const std::string_view key : {"target", "lower", "size"}) {
            if (item.find(key) == nullptr) return error(item, "an overlay has a \"target\", a \"lower\" and a \"size\": " + quoted(key) + " is not there");
        }
        if (one.target.empty() || one.lower.size() != item.find("lower")->items.size()) return;   // complained of already
        if (!check_layers(*item.find("lower"), one.lower) || !check_place(*item.find("target"), one)) return;
        sandbox_.overlays.push_back(std::move(one));
    }

    bool check_layers(const Node& node, const std::vector<std::string>& lower) {
        constexpr std::size_t most = 64;
        const bool good = !lower.empty() && lower.size() <= most;
        if (!good) error(node, "an overlay has from 1 to 64 layers in \"lower\"");
        for (std::size_t i = 0; i < lower.size(); ++i) {
            for (std::size_t other = 0; other < lower.size(); ++other) {
                if (other == i || !same_or_below(lower[other], lower[i]) || (lower[i] == lower[other] && other > i)) continue;
                error(node.items[i], quoted(lower[i]) + " is part of " + quoted(lower[other]) + ", and layers of one overlay cannot overlap");
                return false;
            }
        }
        return good;
    }

    // It is made last, over everything that is there.
    bool check_place(const Node& node, const sandbox::Overlay& one) {
        const auto refuse = [&](std::string what, std::string suggestion = {}) {
            error(node, std::move(what), std::move(suggestion));
            return false;
        };
        for (const auto directory : sandboxes_own) {
            if (same_or_below(directory, one.target)) return refuse(quoted(one.target) + " in the sandbox is the sandbox's own");
        }
        const auto hides = [&](std::string_view path) { return same_or_below(one.target, path); };
        const auto hidden = [&](std::string_view path) { return refuse(quoted(path) + " would be hidden by the overlay at " + quoted(one.target)); };
        for (const auto& bind : sandbox_.binds) if (hides(bind.target)) return hidden(bind.target);
        for (const auto& file : sandbox_.files) if (hides(file.target)) return hidden(file.target);
        for (const auto& memory : sandbox_.memory_directories) if (hides(memory.target)) return hidden(memory.target);
        for (const auto& own : sandbox_.own_directories) if (hides(own.path)) return hidden(own.path);
        for (const auto& other : sandbox_.overlays) {
            if (hides(other.target) || same_or_below(other.target, one.target)) return refuse(quoted(one.target) + " and the overlay at " + quoted(other.target) + " lie one in the other");
        }
        const bool runs_from_it = !sandbox_.program.empty() && hides(sandbox_.program);
        if (runs_from_it && one.no_execute) return refuse("the program " + quoted(sandbox_.program) + " lies in an overlay that runs nothing", "add noexec = false");
        return true;
    }

    void read_directories() {
        const Node* list = section_.take("managed_directories", Node::Kind::list, R"(write it like ["state", { kind = "runtime", mode = "0750", group = "web" }])");
        if (list == nullptr) return;
        for (const Node& item : list->items) {
            if (item.kind == Node::Kind::table) read_directory_table(item);
            else if (item.kind == Node::Kind::text) add_directory(item, item.text, {});
            else section_.refuse_entry(item, "managed_directories", "a word or { kind = \"runtime\", mode = \"0750\", group = \"web\" }");
        }
    }

    void read_directory_table(const Node& item) {
        sandbox::OwnDirectory own;
        std::string word;
        Section table(item, "a directory of " + section_.what(), section_.complaints());
        table.text("kind", word);
        table.mode("mode", own.mode);
        table.text("group", own.group);
        table.refuse_the_rest();
        if (item.find("kind") == nullptr) return error(item, "a directory has a \"kind\"", "write it like { kind = \"runtime\" }");
        constexpr mode_t owners = 0700;
        if ((own.mode & owners) != owners) return error(item, "the \"mode\" of a directory leaves its worker everything", "write it like \"0750\"");
        if ((own.mode & 0002) != 0) return error(item, "a directory of a worker is never for everybody to write to", "write \"0770\" and a \"group\"");
        const bool for_group = (own.mode & 0070) != 0;
        if (!own.group.empty() && !for_group) return error(item, "\"group\" has no effect here: \"mode\" gives it nothing", "write mode = \"0750\"");
        add_directory(item.find("kind") == nullptr ? item : *item.find("kind"), word, std::move(own));
    }

    void add_directory(const Node& item, const std::string& word, sandbox::OwnDirectory own) {
        const auto kind = std::ranges::find(own_kinds, word, &OwnKind::word);
        if (kind == own_kinds.end()) {
            std::vector<std::string_view> words;
            for (const auto& one : own_kinds) words.push_back(one.word);
            return error(item, "\"managed_directories\" cannot hold " + quoted(word), did_you_mean(word, words, "write of " + join(words)));
        }
        own.variable = kind->variable;
        if (std::ranges::find(sandbox_.own_directories, own.variable, &sandbox::OwnDirectory::variable) != sandbox_.own_directories.end()) {
            return error(item, quoted(word) + " is there twice in \"managed_directories\"");
        }
        // Without a root of its own the worker walks there itself.
        own.entered = (own.mode & 0077) != 0 || !sandbox_.mount_namespace;
        own.path = own_directory(word, own.entered, daemon_, worker_.name);
        own.former = {own_directory(word, !own.entered, daemon_, worker_.name)};
        if (word == "cache") own.former.push_back(daemon_.cache_directory + "/" + worker_.name);
        sandbox_.own_directories.push_back(std::move(own));
    }

    void read_secret_files() {
        const Node* node = section_.take("secret_files", Node::Kind::table, "write { \"tls.key\" = \"/etc/ssl/private/web.key\" }");
        if (node == nullptr) return;
        for (const Node& item : node->items) {
            const bool good = !item.key.empty() && item.key.find('/') == std::string::npos && item.key != "." && item.key != ".." && item.key.size() < 128;
            if (!good) section_.complaints().error(item.key_place, quoted(item.key) + " is no name of a file below " + sandbox::secrets_directory);
            else if (item.kind != Node::Kind::text) section_.refuse_kind(item, item.key, "the path of a file");
            else if (check_path(item, item.key, section_.complaints())) sandbox_.secret_files.push_back({item.key, item.text});
        }
        if (sandbox_.secret_files.size() > sandbox::max_secret_files) {
            error(*node, "a worker has at most " + std::to_string(sandbox::max_secret_files) + " secret files", "a grant with \"secret\" lends more");
        }
    }

    void read_names() {
        section_.choice("names", sandbox_.names, names_choices);
        const Node* node = section_.table().find("names");
        if (node == nullptr || sandbox_.names != sandbox::Names::host || sandbox_.network != sandbox::Network::none) return;
        error(*node, "\"names\" has no effect here: name servers are asked over a network, and this sandbox has none",
              "a connect grant by name, or network = \"host\"");
    }

    // Both are words of a line of passwd(5).
    void read_passwd_word(std::string_view key, std::string& into) {
        section_.path(key, into);
        const bool good = into.find(':') == std::string::npos && into.find('\n') == std::string::npos;
        if (!good) error(*section_.table().find(key), quoted(key) + " cannot stand in a passwd file: it holds a colon or a newline");
    }

    void read_devices() {
        section_.texts("devices", sandbox_.devices);
        const Node* node = section_.table().find("devices");
        if (node == nullptr || node->kind != Node::Kind::list) return;
        for (const Node& item : node->items) {
            const bool good = item.kind == Node::Kind::text && policy::clean_absolute("/" + item.text);
            if (item.kind == Node::Kind::text && !good) error(item, quoted(item.text) + " is no name below /dev", "write it like \"null\"");
        }
    }

    void read_time_offsets() {
        const Node* node = section_.take("time_offsets", Node::Kind::table, "write { boottime = \"1d\" }");
        if (node == nullptr) return;
        Duration monotonic{};
        Duration boottime{};
        Section table(*node, "time_offsets of " + section_.what(), section_.complaints());
        table.duration("monotonic", monotonic, Duration(0));
        table.duration("boottime", boottime, Duration(0));
        table.refuse_the_rest();
        sandbox_.time_namespace = true;
        sandbox_.monotonic_offset = std::chrono::duration_cast<std::chrono::seconds>(monotonic).count();
        sandbox_.boottime_offset = std::chrono::duration_cast<std::chrono::seconds>(boottime).count();
    }

    void read_landlock() {
        section_.flag("scope_signals", sandbox_.scope_signals);
        section_.flag("scope_abstract_sockets", sandbox_.scope_abstract_sockets);
        read_ports("tcp_bind", sandbox_.tcp_bind);
        read_ports("tcp_connect", sandbox_.tcp_connect);
        sandbox_.calls.ports_restricted = sandbox_.tcp_bind.restricted || sandbox_.tcp_connect.restricted;
    }

    void read_ports(std::string_view key, sandbox::Ports& into) {
        const Node* node = section_.take(key, Node::Kind::list, "write it like [80, 443]");
        if (node == nullptr) return;
        into.restricted = true;
        for (const Node& item : node->items) {
            const bool good = item.kind == Node::Kind::integer && item.integer >= 0 && item.integer <= 65535;
            if (good) into.allowed.push_back(static_cast<std::uint16_t>(item.integer));
            else section_.refuse_entry(item, key, "a port from 0 to 65535");
        }
    }

    // A list of words out of a fixed set.
    template <typename Known>
    void read_known(std::string_view key, const Known& known, std::vector<std::string>& into) {
        section_.texts(key, into);
        const Node* node = section_.table().find(key);
        if (node == nullptr || node->kind != Node::Kind::list) return;
        for (const Node& item : node->items) {
            if (item.kind != Node::Kind::text || std::ranges::find(known, item.text) != std::ranges::end(known)) continue;
            const std::vector<std::string_view> words(known.begin(), known.end());
            error(item, quoted(key) + " cannot hold " + quoted(item.text), did_you_mean(item.text, words, "write of " + join(words)));
        }
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
        if (refuse_pair(item, key)) return false;
        bind.source = bind.target = item.text;
        return check_path(item, key, section_.complaints());
    }

    // "/a:/b:ro", as others write it. A name that has a colon in it is written as a table.
    bool refuse_pair(const Node& item, std::string_view key) {
        const std::size_t colon = item.text.find(':');
        if (colon == std::string::npos || !item.text.starts_with('/')) return false;
        const std::string source = item.text.substr(0, colon);
        std::string target = item.text.substr(colon + 1);
        std::string options;
        const bool pair = target.starts_with('/');
        if (const std::size_t next = target.find(':'); pair && next != std::string::npos) {
            options = target.substr(next + 1);
            target.resize(next);
        }
        if (!pair) options = std::exchange(target, source);
        constexpr std::array<std::string_view, 10> usual = {"ro", "rw", "z", "Z", "exec", "noexec", "rbind", "bind", "rslave", "rprivate"};
        const std::string first = options.substr(0, options.find(','));
        if (!pair && std::ranges::find(usual, first) == usual.end()) return false;
        error(item, quoted(item.text) + " is one path with a colon in it: " + quoted(key) + " takes paths, and tables where source and target differ",
              remedy_for_pair(source, target, first, key));
        return true;
    }

    static std::string remedy_for_pair(const std::string& source, const std::string& target, std::string_view option, std::string_view key) {
        const std::string entry = source == target ? quoted(source) : "{ source = " + quoted(source) + ", target = " + quoted(target) + (option == "noexec" ? ", noexec = true }" : " }");
        std::string list(key);
        if (key == "exec_paths") list = "bind_read_only";
        if (option == "ro" && key == "bind_writable") list = "bind_read_only";
        if (option == "rw") list = "bind_writable";
        return "write " + list + " = [" + entry + "]" + (key == "exec_paths" ? ", and exec_paths = [" + quoted(target) + "]" : list == "bind_read_only" && option != "ro" ? " (read-only; bind_writable is not)" : "");
    }

    bool read_bind_table(const Node& item, std::string_view key, sandbox::Bind& bind) {
        Section pair(item, std::string(key) + " of " + section_.what(), section_.complaints());
        pair.path("source", bind.source);
        bind.target = bind.source;
        pair.path("target", bind.target);
        pair.flag("noexec", bind.no_execute);
        const Node* said = item.find("noexec");
        bind.execute_written = said != nullptr && said->kind == Node::Kind::boolean && !said->boolean;
        if (item.find("source") == nullptr) error(item, quoted(key) + " has no \"source\"");
        pair.refuse_the_rest();
        return !bind.source.empty() && !bind.target.empty();
    }

    void add(const Node& item, const sandbox::Bind& bind) {
        const bool own = std::any_of(sandboxes_own.begin(), sandboxes_own.end(),
                                     [&](std::string_view directory) { return bind.target == directory; });
        const bool twice = std::any_of(sandbox_.binds.begin(), sandbox_.binds.end(),
                                       [&](const auto& other) { return other.target == bind.target; });
        if (own) return error(item, quoted(bind.target) + " in the sandbox is the sandbox's own");
        if (twice) return error(item, quoted(bind.target) + " is bound twice");
        sandbox_.binds.push_back(bind);
    }

    // A path that is bound already becomes executable; another is bound for it.
    void read_execute() {
        std::vector<std::string> paths;
        const Node* list = section_.table().find("exec_paths");
        const auto pairs = [&](const Node& item) { return item.kind == Node::Kind::text && refuse_pair(item, "exec_paths"); };
        if (list != nullptr && list->kind == Node::Kind::list && std::ranges::any_of(list->items, pairs)) return void(section_.take("exec_paths"));
        section_.paths("exec_paths", paths);
        for (const std::string& path : paths) {
            const auto bound = std::find_if(sandbox_.binds.begin(), sandbox_.binds.end(),
                                            [&](const auto& bind) { return bind.target == path; });
            if (bound == sandbox_.binds.end()) {
                sandbox_.binds.push_back({path, path, false, true});
            } else {
                bound->execute = true;
            }
        }
    }

    void read_hostname() {
        section_.text("hostname", sandbox_.hostname);
        const bool good = sandbox_.hostname.size() <= 64 &&
                          std::all_of(sandbox_.hostname.begin(), sandbox_.hostname.end(), [](char c) {
                              return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                     c == '-' || c == '.';
                          });
        if (!good) {
            error(*section_.table().find("hostname"), "\"hostname\" is not a host name",
                  "it is of letters, digits, \"-\" and \".\", at most 64");
        }
    }

    void read_rights() {
        read_capabilities(section_, sandbox_.user_namespace, sandbox_.capabilities);
        section_.flag("no_new_privileges", sandbox_.no_new_privileges);
        section_.flag("memory_deny_write_execute", sandbox_.memory_deny_write_execute);
        section_.flag("core_dumps", sandbox_.core_dumps);
        read_dumpable();
        section_.flag("private_keyring", sandbox_.private_keyring);
        section_.path("terminal", sandbox_.terminal);
        const bool needed = sandbox_.landlock || sandbox_.calls.enabled;
        const Node* node = section_.table().find("no_new_privileges");
        if (node != nullptr && needed && !sandbox_.no_new_privileges) {
            error(*node, "without \"no_new_privileges\" there is neither Landlock nor a filter of calls",
                  "that goes with profile = \"unconfined\" only");
        }
    }

    void read_dumpable() {
        section_.flag("dumpable", sandbox_.dumpable);
        const Node* node = section_.table().find("dumpable");
        if (node == nullptr || sandbox_.dumpable) return;
        if (!sandbox_.mount_namespace) error(*node, "\"dumpable\" can be false only in a root of its own", "write root = \"system\", or leave it out");
        if ((sandbox_.capabilities & reading_all) != 0) error(*node, "\"dumpable\" cannot be false with a capability that reads every file");
    }

    // Keys that would do nothing, where one might think that they protect.
    void refuse_idle() {
        for (const std::string_view key : of_a_mount_tree) refuse_idle(key, sandbox_.mount_namespace, "root = \"system\"");
        for (const std::string_view key : of_the_filter) refuse_idle(key, sandbox_.calls.enabled, other_profile);
        for (const std::string_view key : of_landlock) refuse_idle(key, sandbox_.landlock, other_profile);
        for (const std::string_view key : {"tcp_bind", "tcp_connect"}) {
            refuse_idle(key, sandbox_.network != sandbox::Network::none, "a network");
        }
        refuse_idle("hostname", sandbox_.uts_namespace, other_profile);
    }

    void refuse_idle(std::string_view key, bool has_effect, const std::string& needs) {
        const Node* node = section_.table().find(key);
        if (node == nullptr || has_effect) return;
        section_.complaints().error(node->key_place, quoted(key) + " has no effect here: it needs " + needs);
    }

    static constexpr const char* other_profile = "another profile than \"unconfined\"";

    Section& section_;
    const Daemon& daemon_;
    Worker& worker_;
    sandbox::Plan& sandbox_;
    Profile profile_ = Profile::strict;
};

// Of a list also each of its entries, by the texts that stand in it: entry_key() says how.
void mark_key(const Node& item, const Complaints& complaints, Marks& marks) {
    const std::string key = "sandbox." + item.key;
    marks.emplace(key, complaints.mark(item.key_place));
    if (item.kind != Node::Kind::list) return;
    for (const Node& entry : item.items) {
        const Mark place = complaints.mark(entry.place);
        if (entry.kind == Node::Kind::text) marks.emplace(entry_key(key, entry.text), place);
        for (const Node& member : entry.items) {
            if (member.kind == Node::Kind::text) marks.emplace(entry_key(key, member.text), place);
        }
    }
}

}  // namespace

void read_sandbox(Section& worker, const Daemon& daemon, Worker& into) {
    static const Node empty;
    const Node* node = worker.take("sandbox", Node::Kind::table);
    Section section(node == nullptr ? empty : *node, "the sandbox of " + worker.what(), worker.complaints());
    SandboxReader(section, daemon, into).read();
    for (const Node& item : section.table().items) mark_key(item, worker.complaints(), into.marks);
    sandbox::Plan& sandbox = into.sandbox;
    const bool hidden = sandbox.mount_namespace && !sandbox.program.empty() && !shown(sandbox, sandbox.program);
    if (hidden) sandbox.binds.push_back({sandbox.program, sandbox.program, false, true});
}

}  // namespace warder::config
