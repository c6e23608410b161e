#include "config/check.h"
#include "daemon/afresh.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/offline.h"
#include "daemon/options.h"
#include "daemon/run_mode.h"
#include "sys/standard_descriptors.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace {

// A reload reads the config by the same name, from wherever warderd is by then.
void leave_directory(warder::daemon::Options& options) {
    std::error_code unknown;
    const auto whole = std::filesystem::absolute(options.config, unknown);
    if (!unknown) options.config = whole;
    if (::chdir("/") != 0) std::perror("warderd: chdir");
}

}  // namespace

int main(int argc, char** argv) {
    using namespace warder::daemon;
    const Parsed parsed = parse_options(argc, argv);
    if (!parsed.options) return unless_unsaid(parsed.exit_code);
    Options options = *parsed.options;
    const bool starts = options.mode == Options::Mode::run;
    const auto kept = starts ? begin_afresh(argv) : std::vector<std::string>();
    if (starts) leave_directory(options);
    open_log(options.debug ? LogLevel::debug : LogLevel::info);
    for (const auto& sentence : kept) log_info("as it was started: " + sentence);
    if (options.mode != Options::Mode::run) {
        std::signal(SIGPIPE, SIG_IGN);   // what cannot be written is an exit code
        warder::hold_standard_descriptors();
        return offline(options);
    }
    if (!options.user && ::geteuid() != 0) {
        log_error("warderd must be started by root: it gives workers other uids, namespaces and what only root may open; "
                  "warderd --user does without, and says what it lacks");
        return EXIT_FAILURE;
    }
    // It is its own eyes: descriptors get names there, and receipts read it. Without it everything fails somewhere else.
    if (::access("/proc/self/fd", X_OK) != 0) {
        log_error("there is no /proc/self/fd: /proc must be mounted (mount -t proc proc /proc) before warderd starts");
        return EXIT_FAILURE;
    }
    if (options.user && !enter_user_mode()) return EXIT_FAILURE;
    auto config = load_config(options);
    if (!config) return exit_config;
    const auto daemon = Daemon::create(options, std::move(*config));
    return daemon ? daemon->run() : EXIT_FAILURE;
}
