// What warderd does without starting anything: reading the config, saying what is wrong with it, deciding one request.
#pragma once

#include <optional>
#include <vector>

#include "config/config.h"
#include "config/parse.h"
#include "control/operator.h"
#include "daemon/options.h"

namespace warder::daemon {

inline constexpr int exit_config = 78;   // EX_CONFIG, sysexits.h: the config has errors

// The config with names resolved, or nothing; problems have been printed to standard error as compilers print them.
std::optional<config::Config> load_config(const Options& options);

// The same, with the problems as values.
struct Loaded {
    config::Config config;
    std::vector<config::Problem> problems;
    bool ok = false;
};
Loaded load_and_resolve(const Options& options, config::Occasion occasion = config::Occasion::first);

control::ProblemReport report_of(const config::Problem& problem);

// Does what the mode says, and returns the exit code: that of the mode's function, or 74 if what it said could not be written.
int offline(const Options& options);

// 74 if what was said could not be written, otherwise `code`.
int unless_unsaid(int code);

int check(const Options& options);   // 0: nothing is wrong, or only warnings; 78
int why(const Options& options);     // 0: allowed; 1: denied; 64: no such operation; 67: no such worker; 78

int show_sandbox(const Options& options);      // 0; 67: no such worker; 78
int log_directory(const Options& options);  // 0, whatever is wrong with the config: it may be why somebody looks into the logs
int check_kernel(const Options& options);   // 0: all that is required is there; 1: not; 78

}  // namespace warder::daemon
