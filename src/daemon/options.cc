#include "daemon/options.h"

#include <sysexits.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/operation.h"
#include "daemon/version.h"
#include "sys/user_directories.h"

namespace warder::daemon {
namespace {

std::uint16_t flag_named(const std::string& word) {
    const auto flag = open_flag_of(word);
    if (!flag) throw CLI::ValidationError("--flag", "takes read_too, truncate, exclusive or nonblock");
    return static_cast<std::uint16_t>(*flag);
}

std::string usual_config(bool user) {
    if (!user) return "/etc/warder/warder.toml";
    return user_directories(::getuid()).config + "/warder.toml";
}

}  // namespace

Parsed parse_options(int argc, char** argv) {
    Options options;
    std::vector<std::string> why;
    CLI::App app("warderd: the privileged parent. It starts sandboxed workers and lends them what their grants name.", "warderd");
    app.set_version_flag("--version", std::string("warderd ") + version);
    app.add_option("--config", options.config, "the config: a TOML file, or a directory with warder.toml in it")
        ->check([](const std::string& path) { return path.empty() ? std::string("its path is empty") : std::string(); })
        ->default_str("/etc/warder/warder.toml, with --user ~/.config/warder/warder.toml");
    app.add_flag("--user", options.user, "without root, as an ordinary user; what that cannot enforce is refused or listed");
    bool check = false;
    app.add_flag("--check", check, "say what is wrong with the config, and start nothing");
    auto* why_option = app.add_option("--why", why, "WORKER OPERATION [WORD...]: decide one request, and start nothing")->expected(2, 66);
    app.add_option("WORD", options.words, "--why: what the operation is about, where it begins with '-'");
    const auto add_flag = [&options](const std::string& word) { options.flags |= flag_named(word); };
    app.add_option_function<std::string>("--flag", add_flag, "--why: read_too, truncate, exclusive or nonblock; may be repeated")
        ->trigger_on_parse();
    auto* show_option = app.add_option("--show-sandbox", options.worker, "WORKER: the whole plan of its sandbox, and start nothing");
    bool check_kernel = false;
    app.add_flag("--check-kernel", check_kernel, "say what of the config this kernel lacks, and start nothing");
    bool log_directory = false;
    app.add_flag("--log-directory", log_directory, "say where logs are kept, and start nothing");
    app.add_flag("--json", options.json, "what starts nothing answers in JSON");
    app.add_flag("--debug", options.debug, "log more");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return {std::nullopt, code == 0 ? 0 : EX_USAGE};
    }
    if (options.config.empty()) options.config = usual_config(options.user);
    if (check) options.mode = Options::Mode::check;
    if (check_kernel) options.mode = Options::Mode::check_kernel;
    if (log_directory) options.mode = Options::Mode::log_directory;
    if (show_option->count() > 0) options.mode = Options::Mode::show_sandbox;
    if (why_option->count() > 0) {
        options.mode = Options::Mode::why;
        options.worker = why[0];
        options.operation = why[1];
        options.words.insert(options.words.begin(), why.begin() + 2, why.end());
    }
    return {options, 0};
}

}  // namespace warder::daemon
