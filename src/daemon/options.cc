#include "daemon/options.h"

#include <sysexits.h>

#include <CLI/CLI.hpp>

#include "daemon/version.h"

namespace warder::daemon {

Parsed parse_options(int argc, char** argv) {
    Options options;
    std::vector<std::string> why;
    CLI::App app("warderd: the privileged parent. It starts sandboxed workers and lends them what their grants name.", "warderd");
    app.set_version_flag("--version", std::string("warderd ") + version);
    app.add_option("--config", options.config, "the config: a TOML file, or a directory with warder.toml in it")
        ->capture_default_str();
    bool check = false;
    app.add_flag("--check", check, "say what is wrong with the config, and start nothing");
    auto* why_option = app.add_option("--why", why, "WORKER OPERATION TARGET: decide one request, and start nothing")->expected(3);
    app.add_flag("--json", options.json, "--check and --why answer in JSON");
    app.add_flag("--debug", options.debug, "log more");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return {std::nullopt, code == 0 ? 0 : EX_USAGE};
    }
    if (check) options.mode = Options::Mode::check;
    if (why_option->count() > 0) {
        options.mode = Options::Mode::why;
        options.worker = why[0];
        options.operation = why[1];
        options.target = why[2];
    }
    return {options, 0};
}

}  // namespace warder::daemon
