#include "bench/cpu_group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "sys/cgroup.h"
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

// Where the hierarchy of a controller of cgroup v1 is mounted.
std::optional<std::string> hierarchy_of(std::string_view controller) {
    std::ifstream mounts("/proc/self/mounts");
    std::string source;
    std::string place;
    std::string type;
    std::string options;
    for (std::string rest; mounts >> source >> place >> type >> options && std::getline(mounts, rest);) {
        if (type == "cgroup" && has_word(options, controller, ',')) return place;
    }
    return std::nullopt;
}

// This process's group in that hierarchy: "/" is the root.
std::optional<std::string> own_group(std::string_view controller) {
    std::ifstream list("/proc/self/cgroup");   // cgroups(7): NUMBER:CONTROLLERS:PATH
    for (std::string line; std::getline(list, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (has_word(controllers, controller, ',')) return line.substr(second + 1);
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
    const auto root = cgroup::mount_point();
    const auto own = cgroup::own_directory();
    const bool given = root && has_word(line_of(*root + "/cgroup.subtree_control"), "cpu", ' ');
    return !given || !own || *own == *root;
}

Result<CpuGroup> CpuGroup::make() {
    const auto root = hierarchy_of("cpu");
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
