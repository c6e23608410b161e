#include "broker/authenticate.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "sys/kernel.h"

namespace warder::broker {
namespace {

// struct pidfd_info of 6.13, its first 64 bytes (include/uapi/linux/pidfd.h).
struct PidfdInfo {
    std::uint64_t mask;
    std::uint64_t cgroup_id;
    std::uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr std::uint64_t info_has_cgroup = 1U << 2;

bool alive(int pidfd) { return ::syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) == 0 || errno == EPERM; }

// The inode of the cgroup v2 directory that /proc/PID/cgroup names, found below the mounted hierarchy. Before 6.13 the
// kernel has no better answer; the caller looks at the pidfd before and after, so that the pid means one process.
bool cgroup_by_proc(pid_t pid, std::uint64_t expected) {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/%d/cgroup", static_cast<int>(pid));
    Fd file(::open(path, O_RDONLY | O_CLOEXEC));
    if (!file) return false;
    char text[4096];
    const ssize_t size = ::read(file.get(), text, sizeof text - 1);
    if (size <= 0) return false;
    text[size] = '\0';
    char* line = std::strstr(text, "0::/");
    if (line == nullptr) return false;
    line += 3;
    line[std::strcspn(line, "\n")] = '\0';
    for (const char* mounted : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
        char directory[4096 + 64];
        std::snprintf(directory, sizeof directory, "%s%s", mounted, line);
        struct stat about;
        if (::stat(directory, &about) == 0 && about.st_ino == expected) return true;
    }
    return false;
}

bool in_group(const Session& session, const Received& received) {
    const int pidfd = received.pidfd.get();
    if (session.cgroup_id == 0 || pidfd < 0) return false;
    PidfdInfo info{};
    info.mask = info_has_cgroup;
    if (::ioctl(pidfd, kernel::pidfd_get_info, &info) == 0) {
        return (info.mask & info_has_cgroup) != 0 && info.cgroup_id == session.cgroup_id;
    }
    if (errno == ESRCH) return false;   // it has exited: nobody is there to get an answer
    return alive(pidfd) && cgroup_by_proc(received.sender.pid, session.cgroup_id) && alive(pidfd);
}

}  // namespace

bool same_sender(const Credentials& a, const Credentials& b) { return a == b; }

Sender identify_sender(const PrincipalSettings& settings, const Session& session, const Received& received) {
    if (!received.authenticated) return Sender::unknown;
    if (same_sender(received.sender, session.who)) return Sender::requester;
    const bool same_ids = received.sender.uid == session.who.uid && received.sender.gid == session.who.gid;
    if (settings.requesters != protocol::Requesters::group || !same_ids) return Sender::relative;
    return in_group(session, received) ? Sender::requester : Sender::relative;
}

}  // namespace warder::broker
