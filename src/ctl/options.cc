#include "ctl/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "ctl/render.h"
#include "ctl/words.h"
#include "sys/user_directories.h"

namespace warder::ctl {
namespace {

constexpr const char* footer =
    "\nExit codes: 0 done, up or allowed; 1 not done, or denied; 2 usage; 3 (status) not running;\n"
    "4 nobody can tell: no warderd, no permission, no such worker; 5 the answer could not be written.";

// A variable of a script that was never set is nobody's name, and not all of them.
std::string refuse_empty(const std::string& word) { return word.empty() ? "is empty" : ""; }

void add_globals(CLI::App& app, Options& options) {
    app.add_option("--socket", options.socket, "the control socket")->envname("WARDER_CONTROL")->check(refuse_empty)
        ->default_str("/run/warder/control.sock, or that of this user's own warderd");
    app.add_flag("--user", options.user, "this user's own warderd (warderd --user), and configs as that one takes them");
    app.add_flag("--json", options.json, "answer with the report itself; one object per line");
    const auto choose = [&options](const std::string& word) {
        if (word == "auto") options.color = ColorChoice::automatic;
        else if (word == "always") options.color = ColorChoice::always;
        else if (word == "never") options.color = ColorChoice::never;
        else throw CLI::ValidationError("--color", "takes auto, always or never");
    };
    app.add_option_function<std::string>("--color", choose, "auto, always or never; NO_COLOR is respected")->type_name("WHEN");
    app.set_version_flag("-V,--version", std::string("warderctl ") + WARDER_VERSION);
}

// Digits alone: a sign would be taken for a very large number.
std::optional<std::size_t> line_count(const std::string& word) {
    if (word == "all") return SIZE_MAX;
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), count);
    const bool whole = error == std::errc{} && end == word.data() + word.size();
    return whole ? std::optional(count) : std::nullopt;
}

CLI::App* add(CLI::App& app, Options& options, const char* name, const char* about, Command command) {
    CLI::App* verb = app.add_subcommand(name, about);
    verb->callback([&options, command] { options.command = command; });
    return verb;
}

void takes_workers(CLI::App* verb, Options& options) {
    verb->add_option("WORKER", options.workers, "workers; none: all of them")->check(refuse_empty);
}

void needs_workers(CLI::App* verb, Options& options) {
    verb->add_option("WORKER", options.workers, "one or more workers")->required()->check(refuse_empty);
}

void needs_worker(CLI::App* verb, Options& options) {
    const auto take = [&options](const std::string& name) { options.workers = {name}; };
    verb->add_option_function<std::string>("WORKER", take, "the worker")->required()->type_name("")->check(refuse_empty);
}

void may_take_worker(CLI::App* verb, Options& options) {
    const auto take = [&options](const std::string& name) { options.workers = {name}; };
    verb->add_option_function<std::string>("WORKER", take, "the worker; none: all of them")->type_name("")->check(refuse_empty);
}

void add_looking(CLI::App& app, Options& options) {
    takes_workers(add(app, options, "status", "how workers are", Command::status), options);
    add(app, options, "list", "the workers' names", Command::list);
    for (const auto& [name, about, command] : {std::tuple{"show", "one worker: its life, its sandbox, its grants", Command::show},
                                               std::tuple{"grants", "what a worker may ask for", Command::grants},
                                               std::tuple{"fds", "what a worker was lent", Command::fds}}) {
        CLI::App* verb = add(app, options, name, about, command);
        needs_worker(verb, options);
        if (command != Command::show) continue;
        auto* sandbox = verb->add_flag("--sandbox", options.sandbox, "the whole plan of its sandbox as the files say it now, and where each item comes from");
        verb->add_option("--config", options.config, "--sandbox: of these files")->needs(sandbox)->check(refuse_empty);
    }
    may_take_worker(add(app, options, "sockets", "sockets that warderd and workers hold, as ss(8) has them", Command::sockets),
                    options);
    may_take_worker(add(app, options, "store", "what is kept for workers over their lives", Command::store), options);
    may_take_worker(add(app, options, "security", "how much is open to workers, by what was seen of their sandboxes, and what would close it",
                        Command::security), options);
    CLI::App* logs = add(app, options, "logs", "what workers have written", Command::logs);
    takes_workers(logs, options);
    const auto take_lines = [&options](const std::string& word) {
        const auto count = line_count(word);
        if (!count) throw CLI::ValidationError("--lines", "takes a whole number from 0 up, or \"all\", not \"" + printable(word) + "\"");
        options.lines = *count;
    };
    logs->add_option_function<std::string>("-n,--lines", take_lines, "how many of the last lines; all: every one")
        ->type_name("COUNT")->default_str("10");
    logs->add_flag("-f,--follow", options.follow, "go on with what is written next");
    logs->add_option("--config", options.config, "where no warderd runs: the files of this config")->check(refuse_empty);
    logs->add_flag("--audit", options.audit, "the audit instead: who asked for what, and got it or not");
    add(app, options, "version", "versions of warderctl and of the warderd that runs", Command::version);
}

void add_changing(CLI::App& app, Options& options) {
    for (const auto& [name, about, command] : {std::tuple{"start", "start workers", Command::start},
                                               std::tuple{"stop", "stop workers", Command::stop},
                                               std::tuple{"restart", "stop workers and start them again", Command::restart}}) {
        CLI::App* verb = add(app, options, name, about, command);
        needs_workers(verb, options);
        verb->add_flag("!--no-wait", options.wait, "do not wait until it is done");
    }
    CLI::App* reload = add(app, options, "reload", "read the config again; workers whose config is the same are not touched",
                           Command::reload);
    reload->add_flag("--plan", options.plan, "only say what would be done");
    CLI::App* signal = add(app, options, "signal", "send a signal to a worker's main process", Command::signal);
    needs_worker(signal, options);
    signal->add_option("SIGNAL", options.signal, "its name or number: HUP, SIGHUP, 1")->required();
    needs_worker(add(app, options, "forget", "take back the uid of a name that no worker of the config has any more", Command::forget), options);
    add(app, options, "shutdown", "stop every worker, and warderd itself", Command::shutdown);
}

void add_deciding(CLI::App& app, Options& options) {
    CLI::App* why = add(app, options, "why", "what its sandbox has stopped it for; with a request: whether that would be allowed, and what would allow it",
                        Command::why);
    needs_worker(why, options);
    why->add_option("OPERATION", options.operation, "read, connect, rename, run, lookup, ...: see warderctl(1)");
    const char* words = "an absolute path, an address, GRANT or GRANT:PATH, and what the operation takes beside it";
    why->add_option("WORD", options.words, words);
    const char* flags = "the request has this open flag: read_too, truncate, exclusive, nonblock; may be repeated";
    why->add_option("--flag", options.open_flags, flags)->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->check(CLI::IsMember({"read_too", "truncate", "exclusive", "nonblock"}));
    why->add_option("--config", options.config, "decide under these files, without warderd")->check(refuse_empty);
    CLI::App* check = add(app, options, "check", "what is wrong with the config as the files say it now", Command::check);
    auto* config = check->add_option("--config", options.config, "these files; otherwise those of the warderd that runs")->check(refuse_empty);
    auto* capabilities = check->add_flag("--caps", options.capabilities, "which capabilities warderd keeps for this config, and why");
    auto* kernel = check->add_flag("--kernel", options.kernel, "what of it this kernel lacks instead, since when kernels have it, and what to write");
    auto* running = check->add_flag("--running", options.running, "the config that warderd runs with, and what this kernel can do of it");
    kernel->excludes(capabilities)->excludes(running);
    running->excludes(config);
}

// Letters to change, add or leave out to make one word of the other.
std::size_t distance(std::string_view one, std::string_view other) {
    std::vector<std::size_t> row(other.size() + 1);
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = i;
    for (std::size_t i = 1; i <= one.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t k = 1; k < row.size(); ++k) {
            const std::size_t changed = diagonal + (one[i - 1] == other[k - 1] ? 0 : 1);
            diagonal = std::exchange(row[k], std::min({row[k] + 1, row[k - 1] + 1, changed}));
        }
    }
    return row.back();
}

struct Synonym {
    std::string_view word;
    std::string_view verb;
};

// What other tools call what we have: systemctl, supervisorctl, docker, sv, ps, and plain English.
constexpr std::array<Synonym, 64> synonyms{{
    {"ps", "status"}, {"top", "status"}, {"state", "status"}, {"is-active", "status"}, {"is-failed", "status"}, {"stat", "status"},
    {"health", "status"}, {"ping", "version"}, {"ls", "list"}, {"dir", "list"}, {"list-units", "list"}, {"names", "list"},
    {"workers", "list"}, {"info", "show"}, {"inspect", "show"}, {"describe", "show"}, {"cat", "show"}, {"properties", "show"},
    {"sandbox", "show"}, {"cell", "show"}, {"log", "logs"}, {"tail", "logs"}, {"journal", "logs"}, {"journalctl", "logs"},
    {"output", "logs"}, {"audit", "logs"}, {"run", "start"}, {"up", "start"}, {"begin", "start"}, {"launch", "start"},
    {"down", "stop"}, {"end", "stop"}, {"term", "stop"}, {"disable", "stop"}, {"enable", "start"}, {"kill", "signal"},
    {"bounce", "restart"}, {"try-restart", "restart"}, {"reboot", "restart"}, {"hup", "reload"}, {"reread", "reload"},
    {"update", "reload"}, {"refresh", "reload"}, {"daemon-reload", "reload"}, {"reload-or-restart", "reload"},
    {"rights", "grants"}, {"policy", "grants"}, {"permissions", "grants"}, {"files", "fds"}, {"lsof", "fds"},
    {"descriptors", "fds"}, {"ss", "sockets"}, {"netstat", "sockets"}, {"ports", "sockets"}, {"explain", "why"},
    {"denied", "why"}, {"test", "check"}, {"configtest", "check"}, {"validate", "check"}, {"lint", "check"},
    {"verify", "check"}, {"analyze", "security"}, {"quit", "shutdown"}, {"halt", "shutdown"},
}};

std::string_view synonym_of(std::string_view word) {
    const auto found = std::ranges::find(synonyms, word, &Synonym::word);
    return found == synonyms.end() ? std::string_view{} : found->verb;
}

// The verb for which another tool has this word; of a verb that this warderctl lacks, what comes next to it.
std::string same_meaning(const CLI::App& app, std::string_view word) {
    const std::string verb(synonym_of(word));
    if (verb.empty()) return "";
    const auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
    if (std::ranges::any_of(verbs, [&](const CLI::App* one) { return one->get_name() == verb; })) return verb;
    return verb == "signal" ? "stop" : "";
}

// CLI11 says "a subcommand is required" to a verb that is none; we say which word it was, and what was meant.
std::string unknown_verb(const CLI::App& app) {
    const auto words = app.remaining();
    const auto word = std::find_if(words.begin(), words.end(), [](const auto& text) { return !text.starts_with("-"); });
    if (word == words.end() || !app.get_subcommands().empty()) return "";
    std::string nearest = same_meaning(app, *word);
    for (const auto* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
        const std::size_t far = distance(*word, verb->get_name());
        // Half of it at most is a slip of the fingers; more would be another word.
        const bool near = far <= 2 && far * 2 <= word->size();
        if (synonym_of(*word).empty() && near && (nearest.empty() || far < distance(*word, nearest))) nearest = verb->get_name();
    }
    return "no verb \"" + printable(*word) + "\"" + (nearest.empty() ? "; see --help" : "; did you mean \"" + nearest + "\"?");
}

// An ordinary user's own warderd comes first if there is one; who operates the machine's says so by --socket. Its config is
// checked as it takes it.
void choose_socket(Options& options) {
    const std::string own = ::geteuid() != 0 || options.user ? user_control_socket(::geteuid()) : std::string();
    const bool there = !own.empty() && ::access(own.c_str(), F_OK) == 0;
    if (options.config.empty() && there) options.user = true;
    options.socket = options.user || there ? own : "/run/warder/control.sock";
}

}  // namespace

Parsed parse_options(int argc, char** argv) {
    Options options;
    CLI::App app("warderctl: see and steer the workers of warderd", "warderctl");
    app.require_subcommand(1);
    app.fallthrough();
    app.footer(footer);
    add_globals(app, options);
    add_looking(app, options);
    add_changing(app, options);
    add_deciding(app, options);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const std::string verb = error.get_exit_code() == 0 ? "" : unknown_verb(app);
        if (!verb.empty()) {
            std::fprintf(stderr, "warderctl: %s\n", verb.c_str());
            return {std::nullopt, exit_usage};
        }
        return {std::nullopt, app.exit(error) == 0 ? exit_done : exit_usage};
    }
    if (options.socket.empty()) choose_socket(options);
    return {options, exit_done};
}

Colors colors_for(ColorChoice choice, bool is_terminal, const char* no_color, const char* term) {
    if (choice != ColorChoice::automatic) return choice == ColorChoice::always ? Colors::on : Colors::off;
    if (no_color != nullptr && *no_color != '\0') return Colors::off;
    if (term != nullptr && std::strcmp(term, "dumb") == 0) return Colors::off;
    return is_terminal ? Colors::on : Colors::off;
}

}  // namespace warder::ctl
