// warderd's command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace warder::daemon {

struct Options {
    enum class Mode {
        run,     // in the foreground, until told to stop
        check,   // read the config, say what is wrong with it, touch nothing
        why,     // decide one request under the config, touch nothing
        show_sandbox,      // say what a worker's sandbox is to be, touch nothing
        log_directory,  // say where logs are kept, touch nothing
        check_kernel,   // say what of the config this kernel lacks, touch nothing
    };
    Mode mode = Mode::run;
    std::string config;      // "/etc/warder/warder.toml", and with `user` ~/.config/warder/warder.toml
    bool user = false;       // without root, as an ordinary user
    bool json = false;
    bool debug = false;
    std::string worker;      // why, show_sandbox
    std::string operation;   // why
    std::vector<std::string> words;   // why: a target, and what the operation takes beside it
    std::uint16_t flags = 0;          // why: OpenFlag bits
};

// Or the exit code to leave with: 0 after --help or --version, 64 (EX_USAGE) after an error, which has been printed.
struct Parsed {
    std::optional<Options> options;
    int exit_code = 0;
};
Parsed parse_options(int argc, char** argv);

}  // namespace warder::daemon
