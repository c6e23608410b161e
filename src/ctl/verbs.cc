#include "ctl/verbs.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "ctl/connection.h"
#include "ctl/log_view.h"
#include "ctl/offline.h"
#include "ctl/render.h"
#include "ctl/words.h"

namespace warder::ctl {
namespace {

using nlohmann::json;
using protocol::Verb;

constexpr int answer_time = 10'000;       // milliseconds for what warderd answers at once
constexpr int reload_time = 120'000;      // it starts what is new, one after the other, before it answers
constexpr std::size_t max_asked = 64;    // commands on their way at once: more would fill both directions

int said_error = 0;   // errno of the first write to standard output that failed

// How a run of warderctl talks to its user.
struct Voice {
    bool json = false;
    Colors colors = Colors::off;
    bool terminal = false;
    std::string verb;

    void say(std::string_view text) const {
        const bool said = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
        if (!said && said_error == 0) said_error = errno;
    }
    // A report: as it came, or as people read it.
    template <typename Render>
    void say_report(const std::string& raw, Render render) const {
        if (json) return say(raw + "\n");
        say(render(ctl::json::parse(raw, nullptr, false)));
    }
    int complain(int exit_code, std::string_view sentence) const {
        if (json) {
            std::string text;
            JsonWriter(text).begin_object().member("warder", 1).member("verb", verb).member("error", sentence).end_object();
            say(text + "\n");
        } else {
            std::fprintf(stderr, "warderctl: %.*s\n", static_cast<int>(sentence.size()), sentence.data());
        }
        return exit_code;
    }
};

struct VerbName {
    Command command;
    Verb verb;
    const char* name;
};

constexpr std::array<VerbName, 19> verb_names{{
    {Command::status, Verb::status, "status"},
    {Command::list, Verb::list, "list"},
    {Command::show, Verb::show, "show"},
    {Command::start, Verb::start, "start"},
    {Command::stop, Verb::stop, "stop"},
    {Command::restart, Verb::restart, "restart"},
    {Command::reload, Verb::reload, "reload"},
    {Command::logs, Verb::logs, "logs"},
    {Command::grants, Verb::grants, "grants"},
    {Command::fds, Verb::fds, "fds"},
    {Command::why, Verb::why, "why"},
    {Command::check, Verb::check, "check"},
    {Command::version, Verb::version, "version"},
    {Command::shutdown, Verb::shutdown, "shutdown"},
    {Command::sockets, Verb::sockets, "sockets"},
    {Command::store, Verb::store, "store"},
    {Command::security, Verb::security, "security"},
    {Command::signal, Verb::signal, "signal"},
    {Command::forget, Verb::forget, "forget"},
}};

// The table has a line for each Command, in their order.
const VerbName& entry_of(Command command) { return verb_names[static_cast<std::size_t>(command)]; }

json parsed(const std::string& text) { return json::parse(text, nullptr, false); }

// One command, one report. The error is that of the conversation; a refusal is a reply.
Result<Reply> ask_once(const Options& options, const protocol::Command& command, int timeout) {
    auto connection = TRY(Connection::open(options.socket));
    TRY(connection.send(RequestId{1}, command));
    return connection.receive(timeout);
}

int no_answer(const Options& options, const Voice& voice, const Error& error) {
    return voice.complain(exit_unknown, printable(explain_no_connection(options.socket, error)));
}

// A refusal: the report itself for programs, its sentence for people.
int refused(const Voice& voice, const Reply& reply, int exit_code) {
    if (voice.json) {
        voice.say(reply.text + "\n");
        return exit_code;
    }
    const std::string sentence = error_of(parsed(reply.text));
    return voice.complain(exit_code, printable(sentence.empty() ? std::string("warderd refused: ") + errno_name(reply.error) : sentence));
}

int exit_of_refusal(const Reply& reply) {
    const bool nobody_can_tell = reply.error == EACCES || reply.error == EPERM || reply.error == ENOENT;   // ENOENT: no such worker
    return nobody_can_tell ? exit_unknown : exit_not_done;
}

bool says_nobody_is_there(const Error& error) {
    return error.number == ENOENT || error.number == ECONNREFUSED || error.number == ECONNRESET || error.number == ETIMEDOUT;
}

// What makes no sense is told apart from what was denied, as warderd itself tells it without a conversation.
int exit_of_senseless(const Reply& reply) { return reply.error == EINVAL ? exit_usage : exit_of_refusal(reply); }

template <typename Render>
int ask_and_say(const Options& options, const Voice& voice, const protocol::Command& command, Render render) {
    const auto reply = ask_once(options, command, answer_time);
    if (!reply) return no_answer(options, voice, reply.error());
    if (reply->error != 0) return refused(voice, *reply, exit_of_senseless(*reply));
    voice.say_report(reply->text, render);
    return exit_done;
}

protocol::Command about(const Options& options) {
    protocol::Command command;
    command.verb = entry_of(options.command).verb;
    if (!options.workers.empty()) command.worker = options.workers.front();
    return command;
}

protocol::Command signal_of(const Options& options) {
    protocol::Command command = about(options);
    command.argument = options.signal;
    return command;
}

// ---- status

int status_of_all(const Options& options, const Voice& voice) {
    const auto reply = ask_once(options, about(options), answer_time);
    if (!reply) return no_answer(options, voice, reply.error());
    if (reply->error != 0) return refused(voice, *reply, exit_unknown);
    voice.say_report(reply->text, [&](const json& report) { return render_status(report, voice.colors); });
    return exit_of_status(parsed(reply->text));
}

int status_of_one(const Options& options, const Voice& voice, const std::string& name) {
    protocol::Command command;
    command.verb = Verb::status;
    command.worker = name;
    const auto reply = ask_once(options, command, answer_time);
    if (!reply) return no_answer(options, voice, reply.error());
    if (reply->error != 0) return refused(voice, *reply, exit_unknown);
    const json report = parsed(reply->text);
    if (!report.is_object() || !report.contains("workers") || report["workers"].empty()) {
        return voice.complain(exit_unknown, "warderd's report has no worker");
    }
    voice.say_report(reply->text, [&](const json&) { return render_worker(report["workers"][0], voice.colors); });
    return exit_of_worker(report["workers"][0]);
}

int status(const Options& options, const Voice& voice) {
    if (options.workers.empty()) return status_of_all(options, voice);
    int worst = exit_done;
    for (std::size_t i = 0; i < options.workers.size(); ++i) {
        if (i > 0 && !voice.json) voice.say("\n");
        worst = std::max(worst, status_of_one(options, voice, options.workers[i]));
    }
    return worst;
}

// ---- start, stop, restart

int say_life(const Voice& voice, const Reply& reply) {
    if (reply.error != 0) return refused(voice, reply, exit_of_refusal(reply));
    voice.say_report(reply.text, [&](const json& report) { return render_life(report, voice.colors); });
    return exit_done;
}

// All are asked at once, within bounds, and each is told of as it is done.
int change_lives(const Options& options, const Voice& voice) {
    auto connection = Connection::open(options.socket);
    if (!connection) return no_answer(options, voice, connection.error());
    protocol::Command command = about(options);
    command.flags = options.wait ? static_cast<std::uint16_t>(protocol::CommandFlag::wait) : std::uint16_t{0};
    int worst = exit_done;
    std::size_t asked = 0;
    for (std::size_t answered = 0; answered < options.workers.size(); ++answered) {
        for (; asked < options.workers.size() && asked - answered < max_asked; ++asked) {
            command.worker = options.workers[asked];
            const auto sent = connection->send(static_cast<RequestId>(asked + 1), command);
            if (!sent) return no_answer(options, voice, sent.error());
        }
        // How long a life may take to begin or to end is the worker's own rule: warderd keeps that time.
        const auto reply = connection->receive(options.wait ? -1 : answer_time);
        if (!reply) return no_answer(options, voice, reply.error());
        worst = std::max(worst, say_life(voice, *reply));
    }
    return worst;
}

// ---- reload, shutdown

int reload(const Options& options, const Voice& voice) {
    protocol::Command command = about(options);
    if (options.plan) command.argument = "plan";
    const auto reply = ask_once(options, command, reload_time);
    if (!reply) return no_answer(options, voice, reply.error());
    const json report = parsed(reply->text);
    if (voice.json || (reply->error != 0 && !report.contains("problems"))) {
        if (reply->error != 0) return refused(voice, *reply, exit_of_refusal(*reply));
    }
    voice.say_report(reply->text, [&](const json&) { return render_reload(report, voice.colors); });
    return reply->error == 0 ? exit_done : voice.json ? exit_not_done : voice.complain(exit_not_done, printable(error_of(report)));
}

int shutdown(const Options& options, const Voice& voice) {
    auto connection = Connection::open(options.socket);
    if (!connection) return no_answer(options, voice, connection.error());
    const auto sent = connection->send(RequestId{1}, about(options));
    auto reply = sent ? connection->receive(answer_time) : Result<Reply>(Failure(sent.error()));
    if (!reply) return no_answer(options, voice, reply.error());
    if (reply->error != 0) return refused(voice, *reply, exit_of_refusal(*reply));
    // The conversation ends when warderd does.
    while (connection->receive(-1)) {
    }
    voice.say_report(reply->text, [](const json&) { return "warderd has stopped\n"; });
    return exit_done;
}

// ---- why, check: by warderd itself where there is none to ask

// warderd's own words for what went wrong before it could answer are on standard error already.
template <typename Render>
int say_offline(const Voice& voice, const Result<Finished>& finished, Render render) {
    if (!finished) return voice.complain(exit_unknown, describe(finished.error()));
    const json report = parsed(finished->output);
    if (report.is_object() && error_of(report).empty()) {
        std::string raw = finished->output;
        while (raw.ends_with('\n')) raw.pop_back();
        voice.say_report(raw, render);
        return finished->exit_code == 0 ? exit_done : exit_not_done;
    }
    // warderd's codes are those of sysexits.h: EX_USAGE, EX_NOUSER (no such worker).
    const int code = finished->exit_code == 64 ? exit_usage : finished->exit_code == 67 ? exit_unknown : exit_not_done;
    if (report.is_object()) return voice.complain(code, printable(error_of(report)));
    return voice.json ? voice.complain(code, "warderd gave no report: what it said is on standard error") : code;
}

std::vector<std::string> in_mode(const Options& options, std::vector<std::string> arguments) {
    if (options.user) arguments.insert(arguments.begin(), "--user");
    return arguments;
}

// As a command carries them: a NUL between each two.
std::string joined_words(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += (&word == &words.front() ? std::string() : std::string(1, '\0')) + word;
    return text;
}

// Without a request: what its sandbox has stopped it for.
int why_stopped(const Options& options, const Voice& voice) {
    if (!options.config.empty()) return voice.complain(exit_usage, "what a sandbox has stopped is known to the warderd that runs: leave --config out");
    if (!options.open_flags.empty()) return voice.complain(exit_usage, "--flag belongs to a request, and none is named");
    protocol::Command command = about(options);
    command.verb = Verb::status;
    const auto reply = ask_once(options, command, answer_time);
    if (!reply) return no_answer(options, voice, reply.error());
    if (reply->error != 0) return refused(voice, *reply, exit_of_refusal(*reply));
    voice.say_report(reply->text, [&](const json& report) { return render_evidence(report, voice.colors); });
    return exit_done;
}

int why(const Options& options, const Voice& voice) {
    if (options.operation.empty()) return why_stopped(options, voice);
    const auto render = [&](const json& report) { return render_why(report, voice.colors); };
    if (!options.config.empty()) {
        std::vector<std::string> arguments{"--json", "--config", options.config};
        for (const auto& flag : options.open_flags) arguments.insert(arguments.end(), {"--flag", flag});
        arguments.insert(arguments.end(), {"--why", options.workers.front(), options.operation, "--"});
        arguments.insert(arguments.end(), options.words.begin(), options.words.end());
        return say_offline(voice, run_warderd(in_mode(options, std::move(arguments))), render);
    }
    protocol::Command command = about(options);
    command.argument = options.operation;
    const std::string words = joined_words(options.words);
    command.second = words;
    for (const auto& flag : options.open_flags) {
        if (const auto known = open_flag_of(flag)) command.number |= static_cast<std::uint16_t>(*known);
    }
    const auto reply = ask_once(options, command, answer_time);
    if (!reply) return no_answer(options, voice, reply.error());
    if (reply->error != 0) return refused(voice, *reply, exit_of_senseless(*reply));
    voice.say_report(reply->text, render);
    const json report = parsed(reply->text);
    return report.value("verdict", "") == "allow" ? exit_done : exit_not_done;
}

// The config of the warderd that runs, if one does and says; otherwise warderd's own default. One that is there and does not say it
// may have another: whoever reads on is told.
std::string present_config(const Options& options) {
    protocol::Command command;
    command.verb = Verb::version;
    const auto reply = ask_once(options, command, answer_time);
    if (!reply && says_nobody_is_there(reply.error())) return "";
    if (!reply || reply->error != 0) {
        const std::string why = reply ? error_of(parsed(reply->text)) : explain_no_connection(options.socket, reply.error());
        std::fprintf(stderr, "warderctl: %s; so this is about the usual config, and perhaps not that of the warderd that runs\n", printable(why).c_str());
        return "";
    }
    const json report = parsed(reply->text);
    return report.is_object() && report["config"].is_string() ? report["config"].get<std::string>() : "";
}

int show_sandbox(const Options& options, const Voice& voice) {
    std::vector<std::string> arguments{"--json", "--show-sandbox", options.workers.front()};
    const std::string config = options.config.empty() ? present_config(options) : options.config;
    if (!config.empty()) arguments.insert(arguments.end(), {"--config", config});
    return say_offline(voice, run_warderd(in_mode(options, std::move(arguments))), [&](const json& report) { return render_sandbox_plan(report, voice.colors); });
}

int check_kernel(const Options& options, const Voice& voice) {
    std::vector<std::string> arguments{"--json", "--check-kernel"};
    const std::string config = options.config.empty() ? present_config(options) : options.config;
    if (!config.empty()) arguments.insert(arguments.end(), {"--config", config});
    return say_offline(voice, run_warderd(in_mode(options, std::move(arguments))), [&](const json& report) { return render_kernel(report, voice.colors); });
}

int check(const Options& options, const Voice& voice) {
    if (options.kernel) return check_kernel(options, voice);
    const auto render = [&](const json& report) {
        return options.capabilities ? render_capabilities(report, voice.colors) : render_check(report, voice.colors);
    };
    if (options.running) return ask_and_say(options, voice, about(options), render);
    std::vector<std::string> arguments{"--json", "--check"};
    const std::string config = options.config.empty() ? present_config(options) : options.config;
    if (!config.empty()) arguments.insert(arguments.end(), {"--config", config});
    return say_offline(voice, run_warderd(in_mode(options, std::move(arguments))), render);
}

// ---- logs

// Which files to read, by their names in the directory.
struct LogPlan {
    std::string directory;
    std::vector<std::pair<std::string, std::string>> files;   // worker, file
    std::string elsewhere;
};

void add_files(LogPlan& plan, const json& report, bool audit) {
    if (report["directory"].is_string()) plan.directory = report["directory"];
    if (report["elsewhere"].is_string()) plan.elsewhere = report["elsewhere"];
    if (audit) {
        if (!report["audit"].is_string()) return;
        for (auto& file : audit_files(plan.directory, report["audit"])) plan.files.emplace_back("", std::move(file));
        return;
    }
    for (const auto& file : report["files"]) plan.files.emplace_back(file.value("worker", ""), file.value("file", ""));
}

int cannot_read(const Voice& voice, const std::string& path, const Error& error) {
    return voice.complain(error.number == EACCES ? exit_unknown : exit_not_done, path + ": " + describe(error));
}

// The files are there when warderd is not; its config says where, even one with mistakes, which may be why it is not.
std::optional<int> plan_logs_offline(const Options& options, const Voice& voice, LogPlan& plan, const Error& why) {
    std::vector<std::string> arguments{"--log-directory"};
    if (!options.config.empty()) arguments.insert(arguments.end(), {"--config", options.config});
    const auto finished = run_warderd(in_mode(options, std::move(arguments)));
    if (!finished || finished->exit_code != 0) return no_answer(options, voice, why);
    plan = {};
    plan.directory = finished->output.substr(0, finished->output.find('\n'));
    std::error_code failed;
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(plan.directory, failed)) {
        const std::string name = entry.path().filename();
        if (name.ends_with(".log")) found.push_back(name.substr(0, name.size() - 4));
    }
    if (failed) return cannot_read(voice, plan.directory, Error{failed.value(), "opening the log directory"});
    std::ranges::sort(found);
    if (!voice.json) {
        std::fprintf(stderr, "warderctl: %s; these are the files of %s\n",
                     printable(explain_no_connection(options.socket, why)).c_str(), printable(plan.directory).c_str());
    }
    if (options.audit) {
        plan.files.emplace_back("", "audit.jsonl");
        return std::nullopt;
    }
    for (const auto& name : options.workers) {
        const bool known = std::ranges::find(found, name) != found.end();
        if (!known) return voice.complain(exit_unknown, "there is no log of a worker \"" + printable(name) + "\" in " + printable(plan.directory));
    }
    for (const auto& name : options.workers.empty() ? found : options.workers) plan.files.emplace_back(name, name + ".log");
    return std::nullopt;
}

// An exit code if something was refused.
std::optional<int> plan_logs(const Options& options, const Voice& voice, LogPlan& plan) {
    std::vector<std::string> workers = options.workers;
    if (workers.empty()) workers = {""};
    for (const auto& worker : workers) {
        if (options.audit && !plan.files.empty()) plan.files.clear();   // each answer names the same file
        protocol::Command command;
        command.verb = Verb::logs;
        command.worker = worker;
        const auto reply = ask_once(options, command, answer_time);
        if (!reply && says_nobody_is_there(reply.error())) return plan_logs_offline(options, voice, plan, reply.error());
        if (!reply) return no_answer(options, voice, reply.error());
        if (reply->error != 0) return refused(voice, *reply, exit_of_refusal(*reply));
        json report = parsed(reply->text);
        if (!report.is_object()) return voice.complain(exit_not_done, "warderd's report cannot be read");
        add_files(plan, report, options.audit);
    }
    return std::nullopt;
}

// The worker's name in front, when lines of several stand together.
void say_lines(const Voice& voice, const std::vector<LogLine>& lines, std::size_t name_width) {
    std::string out;
    for (const auto& line : lines) {
        if (voice.json) {
            JsonWriter(out).begin_object().member("worker", line.worker).member("line", line.text).end_object();
        } else {
            const std::string name = line.worker + std::string(name_width - std::min(name_width, line.worker.size()), ' ');
            if (name_width > 0) out += tinted(name + " | ", Tint::dim, voice.colors);
            out += printable(line.text);   // the file has the bytes themselves
        }
        out += '\n';
    }
    voice.say(out);
}

std::size_t name_width(const LogPlan& plan) {
    std::size_t width = 0;
    for (const auto& [worker, file] : plan.files) width = std::max(width, worker.size());
    return plan.files.size() > 1 ? width : 0;
}

// Of the audit, what is about one of the workers that were named; otherwise everything.
Wanted about_workers(const Options& options) {
    if (!options.audit || options.workers.empty()) return {};
    return [&options](std::string_view line) {
        const json record = json::parse(line, nullptr, false);
        const std::string worker = record.is_object() ? record.value("worker", "") : "";
        return std::ranges::find(options.workers, worker) != options.workers.end();
    };
}

int follow(const Options& options, const Voice& voice, const LogPlan& plan, Result<Follower> follower) {
    const Wanted wanted = about_workers(options);
    if (!follower) return cannot_read(voice, plan.directory, follower.error());
    for (;;) {
        auto lines = follower->next();
        if (!lines) return cannot_read(voice, plan.directory, lines.error());
        if (wanted) std::erase_if(*lines, [&](const LogLine& line) { return !wanted(line.text); });
        say_lines(voice, *lines, name_width(plan));
        if (std::ferror(stdout) != 0) return exit_done;   // nobody reads us any more
    }
}

int logs(const Options& options, const Voice& voice) {
    LogPlan plan;
    if (const auto over = plan_logs(options, voice, plan)) return *over;
    if (plan.directory.empty() || plan.files.empty()) {
        const std::string elsewhere = plan.elsewhere.empty() ? "there are no log files" : "lines go to " + plan.elsewhere;
        return voice.complain(exit_not_done, printable(elsewhere));
    }
    std::map<std::string, std::string> names;
    for (const auto& [worker, file] : plan.files) {
        if (file != events_file) names[file] = worker;   // what comes comes in the others too
    }
    // Watched before it is read: what comes in between is shown twice rather than never.
    auto follower = options.follow ? Follower::create(plan.directory, names) : Result<Follower>(Failure(Error{}));
    if (options.follow && !follower) return cannot_read(voice, plan.directory, follower.error());
    std::vector<std::vector<LogLine>> all;
    for (const auto& [worker, file] : plan.files) {
        const std::string path = plan.directory + "/" + file;
        auto lines = read_last_lines(path, options.lines, about_workers(options));
        if (!lines) return cannot_read(voice, path, lines.error());
        auto& log = all.emplace_back();
        for (auto& line : *lines) log.push_back({worker, std::move(line)});
    }
    auto together = merged(std::move(all));
    if (options.audit) drop_repeated(together);
    if (together.size() > options.lines) together.erase(together.begin(), together.end() - static_cast<std::ptrdiff_t>(options.lines));
    say_lines(voice, together, name_width(plan));
    return options.follow ? follow(options, voice, plan, std::move(follower)) : exit_done;
}

// ---- version

// Without warderd there is still a version to tell: that of warderctl.
int version(const Options& options, const Voice& voice) {
    if (!voice.json) voice.say("warderctl " WARDER_VERSION "\n");
    return ask_and_say(options, voice, about(options), render_version);
}

Voice voice_for(const Options& options) {
    Voice voice;
    voice.json = options.json;
    voice.terminal = ::isatty(STDOUT_FILENO) == 1;
    voice.colors = colors_for(options.color, voice.terminal, std::getenv("NO_COLOR"), std::getenv("TERM"));
    voice.verb = entry_of(options.command).name;
    return voice;
}

}  // namespace

bool all_written() {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
    // Whoever closed the pipe has read enough, and knows.
    const int error = said_error != 0 ? said_error : errno;
    if (error != EPIPE) std::fprintf(stderr, "warderctl: standard output: %s\n", std::strerror(error));
    return false;
}

int run(const Options& options) {
    const Voice voice = voice_for(options);
    const auto colored = [&](auto render) { return [render, &voice](const json& report) { return render(report, voice.colors); }; };
    switch (options.command) {
        case Command::status: return status(options, voice);
        case Command::list: return ask_and_say(options, voice, about(options), render_list);
        case Command::show:
            if (options.sandbox) return show_sandbox(options, voice);
            return ask_and_say(options, voice, about(options), colored(render_show));
        case Command::grants: return ask_and_say(options, voice, about(options), colored(render_grants));
        case Command::fds: return ask_and_say(options, voice, about(options), colored(render_fds));
        case Command::sockets: return ask_and_say(options, voice, about(options), colored(render_sockets));
        case Command::store: return ask_and_say(options, voice, about(options), colored(render_stores));
        case Command::security: {
            const auto one = [&](const json& report) { return render_security(report, !options.workers.empty(), voice.colors); };
            return ask_and_say(options, voice, about(options), one);
        }
        case Command::start:
        case Command::stop:
        case Command::restart: return change_lives(options, voice);
        case Command::reload: return reload(options, voice);
        case Command::logs: return logs(options, voice);
        case Command::why: return why(options, voice);
        case Command::check: return check(options, voice);
        case Command::version: return version(options, voice);
        case Command::signal: return ask_and_say(options, voice, signal_of(options), render_signal);
        case Command::forget: return ask_and_say(options, voice, about(options), render_forget);
        case Command::shutdown: return shutdown(options, voice);
    }
    return exit_usage;
}

}  // namespace warder::ctl
