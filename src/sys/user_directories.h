// Directories of an ordinary user, of the XDG base directory specification: where warderd --user keeps its things, and warderctl
// looks for its control socket.
#pragma once

#include <sys/types.h>

#include <string>

namespace warder {

// Each ends in "/warder"; empty where neither its variable nor HOME says one.
struct UserDirectories {
    std::string runtime;   // XDG_RUNTIME_DIR, or /run/user/UID if there is one, or "run" below the state directory
    std::string state;     // XDG_STATE_HOME, or ~/.local/state
    std::string cache;     // XDG_CACHE_HOME, or ~/.cache
    std::string config;    // XDG_CONFIG_HOME, or ~/.config
};

// By this process's environment, of which only absolute paths count.
UserDirectories user_directories(uid_t uid);

// Where warderd --user has its control socket, unless its config says otherwise; empty: not known.
std::string user_control_socket(uid_t uid);

}  // namespace warder
