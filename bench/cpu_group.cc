#include "bench/cpu_group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

#include "sys/fd.h"

namespace warder::bench {
namespace {

bool has_word(const std::string& list, std::string_view word, char between) {
    std::istringstream words(list);
    for (std::string one; std::getline(words, one, between);) {
        if (one == word) return true;
    }
    return false;
}

std::string line_of(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// Where the first file system of this type is mounted whose options have `option`, or where any is without one.
std::optional<std::string> mounted(std::string_view type, std::string_view option) {
    std::ifstream mounts("/proc/self/mounts");
    std::string source;
    std::string place;
    std::string its_type;
    std::string options;
    for (std::string rest; mounts >> source >> place >> its_type >> options && std::getline(mounts, rest);) {
        if (its_type == type && (option.empty() || has_word(options, option, ','))) return place;
    }
    return std::nullopt;
}

// This process's group below the hierarchy of a controller of v1, or of v2 for "": "/" is the root.
std::optional<std::string> own_group(std::string_view controller) {
    std::ifstream list("/proc/self/cgroup");   // cgroups(7): NUMBER:CONTROLLERS:PATH
    for (std::string line; std::getline(list, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool wanted = controller.empty() ? controllers.empty() : has_word(controllers, controller, ',');
        if (wanted) return line.substr(second + 1);
    }
    return std::nullopt;
}

Result<void> move_into(const std::string& group, pid_t pid) {
    const Fd file(::open((group + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return failure("opening a CPU control group");
    const std::string number = std::to_string(pid);
    if (::write(file.get(), number.data(), number.size()) < 0) return failure("moving to a CPU control group");
    return {};
}

}  // namespace

bool sessions_are_groups() {
    if (line_of("/proc/sys/kernel/sched_autogroup_enabled") != "1") return false;
    if (const auto group = own_group("cpu")) return *group == "/";
    const auto root = mounted("cgroup2", "");
    const bool given = root && has_word(line_of(*root + "/cgroup.subtree_control"), "cpu", ' ');
    return !given || own_group("") == "/";
}

Result<CpuGroup> CpuGroup::make() {
    const auto root = mounted("cgroup", "cpu");
    if (!root) return failure(ENOTSUP, "making a CPU control group");
    std::string path = *root + "/warder-bench." + std::to_string(::getpid());
    if (::mkdir(path.c_str(), 0755) != 0) return failure("making a CPU control group");
    return CpuGroup(*root, std::move(path));
}

CpuGroup::~CpuGroup() {
    if (path_.empty()) return;   // moved from
    std::ifstream list(path_ + "/cgroup.procs");
    std::vector<pid_t> left;
    for (pid_t pid = 0; list >> pid;) left.push_back(pid);
    for (const pid_t pid : left) (void)release(pid);
    ::rmdir(path_.c_str());
}

Result<void> CpuGroup::take(pid_t pid) const { return move_into(path_, pid); }
Result<void> CpuGroup::release(pid_t pid) const { return move_into(root_, pid); }

}  // namespace warder::bench
