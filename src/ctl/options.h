// warderctl's command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ctl/table.h"

namespace warder::ctl {

enum class Command : std::uint8_t {
    status, list, show, start, stop, restart, reload, logs, grants, fds, why, check, version, shutdown,
    sockets, store, security, signal, forget,
};

enum class ColorChoice : std::uint8_t { automatic, always, never };

struct Options {
    Command command = Command::status;
    std::string socket;        // "/run/warder/control.sock", or an ordinary user's own
    bool user = false;         // of the warderd --user of this user; offline: as it would take a config
    bool json = false;
    ColorChoice color = ColorChoice::automatic;
    std::vector<std::string> workers;
    bool wait = true;          // start, stop, restart
    bool plan = false;         // reload
    std::string signal;        // signal: its name or number
    std::size_t lines = 10;    // logs
    bool follow = false;       // logs
    bool audit = false;        // logs
    std::string operation;     // why
    std::vector<std::string> words;       // why: a target, and what the operation takes beside it
    std::vector<std::string> open_flags;  // why
    std::string config;        // why, check, show --sandbox: offline; empty: not given
    bool sandbox = false;         // show: the whole plan of the sandbox, as the files say it now
    bool kernel = false;       // check: what of the config this kernel lacks
    bool capabilities = false; // check: only those that warderd would keep
    bool running = false;      // check: what warderd runs now rather than what the files say now
};

// Or the exit code to leave with, after what was to be said has been printed.
struct Parsed {
    std::optional<Options> options;
    int exit_code = 0;
};
Parsed parse_options(int argc, char** argv);

// Colours, by the choice, by NO_COLOR (no-color.org) and by what standard output is.
Colors colors_for(ColorChoice choice, bool is_terminal, const char* no_color, const char* term);

}  // namespace warder::ctl
