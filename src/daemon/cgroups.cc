#include "daemon/cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>

#include "daemon/log.h"
#include "sandbox/group_limits.h"
#include "sys/cgroup.h"
#include "sys/files.h"
#include "sys/path_walk.h"

namespace warder::daemon {
namespace {

constexpr std::string_view own_prefix = "warder.";   // of our directory, where we make one

// The root of the hierarchy has no cgroup.type: there we make a directory of our own rather than spread in it.
bool is_root(const std::string& directory) { return ::access((directory + "/cgroup.type").c_str(), F_OK) != 0; }

std::string without_group(std::string_view why) {
    log_info("workers get no cgroup of their own: " + std::string(why) +
             "; request_access = \"all\" and limits of groups are refused");
    return {};
}

std::string chosen(const std::string& configured, std::string& why) {
    if (configured != "auto") return configured;
    const auto own = cgroup::own_directory();
    if (!own) {
        why = describe(own.error());
        return {};
    }
    if (!cgroup::delegated(*own)) {
        why = *own + " is not delegated (systemd: Delegate=yes)";
        return {};
    }
    return is_root(*own) ? *own + "/" + std::string(own_prefix) + std::to_string(::getpid()) : *own;
}

bool is_ours(const std::string& name) { return name == "daemon" || name.starts_with("w.") || name.starts_with("run."); }

struct GroupsBelow {
    std::vector<std::string> ours;
    bool others = false;   // the directory that a config names may hold what somebody else made
};

GroupsBelow groups_below(const std::string& directory) {
    GroupsBelow found;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        if (!entry.is_directory(ignored)) continue;
        if (is_ours(entry.path().filename())) found.ours.push_back(entry.path());
        else found.others = true;
    }
    return found;
}

// With everybody in it: at the end, or where its owner is gone, what is still alive there was forgotten.
void end_group(const std::string& group) {
    cgroup::kill_all(group);
    if (::access((group + "/cgroup.kill").c_str(), F_OK) == 0) return;
    const auto members = read_file(group + "/cgroup.procs", 1 << 20);   // before 5.14, one by one
    const char* at = members ? members->c_str() : "";
    for (char* end = nullptr; const long pid = std::strtol(at, &end, 10); at = end) ::kill(static_cast<pid_t>(pid), SIGKILL);
}

// From below: a group with groups in it stays.
bool remove_tree(const std::string& directory) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        if (entry.is_directory(ignored)) remove_tree(entry.path());
    }
    return ::rmdir(directory.c_str()) == 0 || errno == ENOENT;
}

enum class Itself : std::uint8_t { stays, goes };

// Whoever was killed a moment ago may still be closing what it held: only who starts or stops us waits.
bool remove_groups(const std::string& directory, Itself itself) {
    constexpr int tries = 300;
    for (int i = 0; i < tries; ++i) {
        if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        const GroupsBelow below = groups_below(directory);
        bool all = true;
        for (const auto& group : below.ours) {
            if (remove_tree(group)) continue;
            end_group(group);
            all = false;
        }
        if (itself == Itself::stays ? all : ::rmdir(directory.c_str()) == 0 || errno == ENOENT) return true;
        if (below.ours.empty() && below.others) return true;
    }
    return false;
}

bool is_populated(const std::string& directory) {
    const auto events = read_file(directory + "/cgroup.events", 4096);
    return events && events->find("populated 1") != std::string::npos;
}

// A number may be another process's by now, and a killed one that nobody has waited for is no owner either.
bool runs_warderd(pid_t pid) {
    const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    if (!stat || stat->find("(warderd) ") == std::string::npos) return false;
    const char state = (*stat)[stat->rfind(')') + 2];
    return state != 'Z' && state != 'X';
}

// 0: none that we see.
pid_t warderd_in(const std::string& directory) {
    const auto members = read_file(directory + "/daemon/cgroup.procs", 64 * 1024);
    const char* at = members ? members->c_str() : "";
    for (char* end = nullptr; const long pid = std::strtol(at, &end, 10); at = end) {
        if (pid != ::getpid() && runs_warderd(static_cast<pid_t>(pid))) return static_cast<pid_t>(pid);
    }
    return 0;
}

// An owner lives in its `daemon/`, whether we see it or not; one that is about to go there has the number in the name.
bool has_an_owner(const std::string& directory) {
    if (is_populated(directory + "/daemon")) return true;
    const std::string number = directory.substr(directory.rfind('.') + 1);
    pid_t pid = 0;
    const bool is_number = std::from_chars(number.data(), number.data() + number.size(), pid).ec == std::errc{} && pid > 0;
    return !is_number || (pid != ::getpid() && runs_warderd(pid));
}

// A warderd that was killed could not remove its own, and nobody else does.
void sweep_groups_of_the_dead(const std::string& root) {
    std::error_code ignored;
    std::vector<std::string> left;
    for (const auto& entry : std::filesystem::directory_iterator(root, ignored)) {
        if (entry.path().filename().string().starts_with(own_prefix)) left.push_back(entry.path());
    }
    for (const auto& directory : left) {
        if (has_an_owner(directory)) continue;
        const bool removed = remove_groups(directory, Itself::goes);
        if (removed) log_info("removed the cgroups of a warderd that is gone: " + directory);
        else log_warning("the cgroups of a warderd that is gone are left: " + directory + ": something in them does not end");
    }
}

}  // namespace

std::string take_cgroup(const std::string& configured) {
    if (configured == "none") return {};
    std::string why;
    const std::string directory = chosen(configured, why);
    if (directory.empty()) return without_group(why);
    const std::string above = directory.substr(0, directory.rfind('/'));
    if (configured == "auto" && is_root(above)) sweep_groups_of_the_dead(above);
    if (const auto made = make_directories(directory, 0755); !made) return without_group(describe(made.error()));
    if (const pid_t other = warderd_in(directory); other > 0) return without_group("warderd with pid " + std::to_string(other) + " has " + directory);
    // Of a predecessor in the same directory, if that was killed.
    if (!remove_groups(directory, Itself::stays)) log_warning("in " + directory + " cgroups of an earlier warderd are left");
    const auto tree = cgroup::Tree::take(directory);
    if (!tree) return without_group(describe(tree.error()));
    return directory;
}

GroupProspect group_prospect(const std::string& configured) {
    if (configured == "none") return {};
    std::string ignored;
    std::string directory = chosen(configured, ignored);
    // Who asks may be elsewhere than the service manager starts warderd, whose unit has it delegated.
    const bool managed = configured == "auto" && directory.empty() && ::access("/run/systemd/system", F_OK) == 0;
    if (managed) directory = cgroup::mount_point().value_or(std::string());
    while (!directory.empty() && ::access((directory + "/cgroup.controllers").c_str(), F_OK) != 0) directory.erase(directory.rfind('/'));
    if (directory.empty()) return {};
    const auto controllers = read_file(directory + "/cgroup.controllers", 4096);
    return {true, controllers ? controllers->substr(0, controllers->find('\n')) : std::string()};
}

std::vector<std::string> controllers_for(const config::Config& config) {
    constexpr std::string_view suffix = "_controller";
    std::vector<std::string> needed;
    const auto need = [&](std::string_view one) {
        if (std::ranges::find(needed, one) == needed.end()) needed.emplace_back(one);
    };
    for (const auto& worker : config.workers) {
        for (const auto& limit : worker.sandbox.group_limits) need(sandbox::controller_of(limit));
    }
    for (const auto& item : config.daemon.require) {
        if (item.ends_with(suffix)) need(std::string_view(item).substr(0, item.size() - suffix.size()));
    }
    return needed;
}

// Where there is no service manager the directory lies below the root of the hierarchy, which is as much ours.
std::string give_controllers(const std::string& directory, const config::Config& config) {
    if (directory.empty()) return {};
    const auto needed = controllers_for(config);
    const std::string above = directory.substr(0, directory.rfind('/'));
    if (!needed.empty() && config.daemon.cgroup == "auto" && is_root(above)) (void)cgroup::give_controllers(above, needed);
    const auto given = cgroup::give_controllers(directory, needed);
    return given ? *given : std::string();
}

void leave_cgroup(const std::string& directory) {
    if (directory.empty()) return;
    const std::string above = directory.substr(0, directory.rfind('/')) + "/cgroup.procs";
    const Fd procs(::open(above.c_str(), O_WRONLY | O_CLOEXEC));
    // Where the level above is not ours, the service manager removes the rest when we are gone.
    if (!procs || ::write(procs.get(), "0", 1) != 1) return;
    if (!remove_groups(directory, Itself::goes)) log_error("the cgroup " + directory + " is left behind: something in it does not end");
}

}  // namespace warder::daemon
