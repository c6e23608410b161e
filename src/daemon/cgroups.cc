#include "daemon/cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>

#include "daemon/log.h"
#include "sandbox/group_limits.h"
#include "sys/cgroup.h"
#include "sys/files.h"
#include "sys/where_it_leads.h"

namespace warder::daemon {
namespace {

constexpr std::string_view own_prefix = "warder.";   // of our directory, where we make one

// The root of the hierarchy has no cgroup.type: there we make a directory of our own rather than spread in it.
bool is_root(const std::string& directory) { return ::access((directory + "/cgroup.type").c_str(), F_OK) != 0; }

std::string without_group(std::string_view why) {
    log_info("workers get no cgroup of their own: " + std::string(why) +
             "; requesters = \"group\" and limits of groups are refused");
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

// Whoever was killed a moment ago may still be closing what it held. This is the end: only who stops us waits, and what is still
// alive in a group of ours was forgotten.
bool remove_groups(const std::string& directory) {
    constexpr int tries = 300;
    for (int i = 0; i < tries; ++i) {
        if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        const GroupsBelow below = groups_below(directory);
        for (const auto& group : below.ours) {
            if (!cgroup::remove_with_those_below(group)) cgroup::kill_all(group);
        }
        if (::rmdir(directory.c_str()) == 0 || errno == ENOENT || (below.ours.empty() && below.others)) return true;
    }
    return false;
}

bool is_of_the_dead(const std::string& directory) {
    const std::string number = directory.substr(directory.rfind('.') + 1);
    pid_t pid = 0;
    if (std::from_chars(number.data(), number.data() + number.size(), pid).ec != std::errc{} || pid <= 0) return false;
    if (::kill(pid, 0) == 0 || errno != ESRCH) return false;
    // One that lives where we do not see it is in its `daemon/`.
    const auto events = read_file(directory + "/cgroup.events", 4096);
    return events && events->find("populated 0") != std::string::npos;
}

// A warderd that was killed could not remove its own, and nobody else does.
void sweep_groups_of_the_dead(const std::string& root) {
    std::error_code ignored;
    std::vector<std::string> left;
    for (const auto& entry : std::filesystem::directory_iterator(root, ignored)) {
        if (entry.path().filename().string().starts_with(own_prefix)) left.push_back(entry.path());
    }
    for (const auto& directory : left) {
        if (!is_of_the_dead(directory)) continue;
        for (const auto& group : groups_below(directory).ours) (void)cgroup::remove_with_those_below(group);
        ::rmdir(directory.c_str());
    }
}

}  // namespace

std::string take_cgroup(const std::string& configured) {
    if (configured == "none") return {};
    std::string why;
    const std::string directory = chosen(configured, why);
    if (directory.empty()) return without_group(why);
    if (const auto made = make_directories(directory, 0755); !made) return without_group(describe(made.error()));
    const auto tree = cgroup::Tree::take(directory);
    if (!tree) return without_group(describe(tree.error()));
    const std::string above = directory.substr(0, directory.rfind('/'));
    if (configured == "auto" && is_root(above)) sweep_groups_of_the_dead(above);
    return directory;
}

std::vector<std::string> controllers_for(const config::Config& config) {
    constexpr std::string_view suffix = "_controller";
    std::vector<std::string> needed;
    const auto need = [&](std::string_view one) {
        if (std::ranges::find(needed, one) == needed.end()) needed.emplace_back(one);
    };
    for (const auto& worker : config.workers) {
        for (const auto& limit : worker.cell.group_limits) need(sandbox::controller_of(limit));
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
    if (!remove_groups(directory)) log_error("the cgroup " + directory + " is left behind: something in it does not end");
}

}  // namespace warder::daemon
