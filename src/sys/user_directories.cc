#include "sys/user_directories.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace warder {
namespace {

constexpr const char* own = "/warder";

std::string absolute(const char* name) {
    const char* value = ::getenv(name);
    return value != nullptr && value[0] == '/' ? value : std::string();
}

std::string base(const char* name, const char* below_home) {
    if (const std::string given = absolute(name); !given.empty()) return given + own;
    const std::string home = absolute("HOME");
    return home.empty() ? home : home + below_home + own;
}

bool is_own_directory(const std::string& path, uid_t uid) {
    struct stat found;
    return ::lstat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == uid;
}

std::string runtime(uid_t uid, const std::string& state) {
    if (const std::string given = absolute("XDG_RUNTIME_DIR"); !given.empty()) return given + own;
    const std::string usual = "/run/user/" + std::to_string(uid);
    if (is_own_directory(usual, uid)) return usual + own;
    return state.empty() ? state : state + "/run";
}

}  // namespace

UserDirectories user_directories(uid_t uid) {
    UserDirectories found;
    found.state = base("XDG_STATE_HOME", "/.local/state");
    found.cache = base("XDG_CACHE_HOME", "/.cache");
    found.config = base("XDG_CONFIG_HOME", "/.config");
    found.runtime = runtime(uid, found.state);
    return found;
}

std::string user_control_socket(uid_t uid) {
    const std::string directory = user_directories(uid).runtime;
    return directory.empty() ? directory : directory + "/control.sock";
}

}  // namespace warder
