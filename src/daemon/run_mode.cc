#include "daemon/run_mode.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <tuple>
#include <utility>

#include "daemon/log.h"
#include "sys/files.h"
#include "sys/user_directories.h"
#include "sys/user_namespace.h"

namespace warder::daemon {
namespace {

std::vector<gid_t> own_groups() {
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
    groups.resize(static_cast<std::size_t>(std::max(count, 0)));
    return groups;
}

int own_oom_score() {
    const auto text = read_file("/proc/self/oom_score_adj", 32);
    return text ? std::atoi(text->c_str()) : 0;
}

// A container may have 65,536 numbers in all.
constexpr std::pair<uid_t, uid_t> uids_of_small_namespaces{64000, 64999};

bool has_uids(std::uint64_t first, std::uint64_t last) {
    const auto map = read_file("/proc/self/uid_map", 64 * 1024);
    if (!map) return true;
    std::istringstream lines(*map);
    std::uint64_t inside = 0;
    std::uint64_t outside = 0;
    std::uint64_t count = 0;
    while (lines >> inside >> outside >> count) {
        if (inside <= first && last < inside + count) return true;
    }
    return false;
}

config::RunMode own_run_mode(bool without_root) {
    config::RunMode run_mode;
    run_mode.nice = ::getpriority(PRIO_PROCESS, 0);
    run_mode.oom_score_adjust = own_oom_score();
    if (!without_root) return run_mode;
    run_mode.without_root = true;
    run_mode.nice = std::max(run_mode.nice, 0);   // what an administrator gave warderd is not handed on
    run_mode.oom_score_adjust = std::max(run_mode.oom_score_adjust, 0);
    run_mode.uid = ::getuid();
    run_mode.gid = ::getgid();
    run_mode.groups = own_groups();
    return run_mode;
}

}  // namespace

// Root's own files would be open to workers of root's uid.
bool enter_user_mode() {
    if (::geteuid() == 0 || ::getuid() != ::geteuid()) {
        log_error("warderd --user is for an ordinary user: root starts warderd without it");
        return false;
    }
    const auto entered = enter_user_namespace();
    if (!entered) log_error(explain_no_user_namespace(entered.error()));
    return entered.has_value();
}

config::Daemon initial_daemon(const Options& options) {
    const config::RunMode run_mode = own_run_mode(options.user);
    if (!options.user) {
        config::Daemon daemon = config::initial_daemon(run_mode, {});
        if (!has_uids(daemon.uid_first, daemon.uid_last)) std::tie(daemon.uid_first, daemon.uid_last) = uids_of_small_namespaces;
        return daemon;
    }
    const UserDirectories mine = user_directories(::getuid());
    return config::initial_daemon(run_mode, {mine.runtime, mine.state, mine.cache});
}

}  // namespace warder::daemon
