#include "config/synonyms.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "config/complaints.h"

namespace warder::config {
namespace {

constexpr std::string_view in_worker = "[worker.NAME]";
constexpr std::string_view in_sandbox = "[worker.NAME.sandbox]";
constexpr std::string_view in_grant = "a grant";
constexpr std::string_view in_daemon = "[daemon]";
constexpr std::string_view in_restart = "restart";

struct Synonym {
    std::string_view words;   // lower case, without "_" and "-", with a space between
    std::string_view key;     // ours; empty: there is none, and the note says all
    std::string_view place;   // where the key stands
    std::string_view note = {};
};

// Some words mean different things in different tables: the first row whose key may stand there is taken.
constexpr auto table = std::to_array<Synonym>({
    // As they were called before 0.2.0
    {"roomsahead", "spare_sandboxes", in_daemon},
    {"openers", "opener_processes", in_daemon},
    {"requestdeadline", "request_timeout", in_daemon},
    {"require", "required_features", in_daemon},
    {"requesters", "request_access", in_worker, "\"main\" or \"all\""},
    {"maxoutstanding", "max_pending_requests", in_worker},
    {"requestspersecond", "max_request_rate", in_worker},
    {"descriptorsinflight", "max_fds_in_flight", in_worker},
    {"directory", "working_directory", in_worker},
    {"factor", "backoff_factor", in_restart},
    {"cap", "max_delay", in_restart},
    {"limit", "start_limit_burst", in_restart},
    {"window", "start_limit_interval", in_restart},
    {"bind", "bind_read_only", in_sandbox, "or bind_writable: which of the two is always said"},
    {"execute", "exec_paths", in_sandbox},
    {"textfiles", "files", in_sandbox},
    {"memorydirectories", "tmpfs", in_sandbox},
    {"directories", "managed_directories", in_sandbox},
    {"refuseexecutablememory", "memory_deny_write_execute", in_sandbox},
    {"preferred", "optional_features", in_sandbox},
    {"execute", "noexec", "a table of tmpfs and overlays", "noexec = false lets programs run"},
    {"uses", "max_uses", in_grant},
    {"rate", "max_rate", in_grant},
    {"atonce", "max_concurrent", in_grant},
    {"store", "fd_store_max", in_grant},
    {"as", "open_as", in_grant},
    {"also", "rights", in_grant},
    // Programs and who runs them
    {"command cmd run program execstart start entrypoint args arguments argv binary executable", "exec", in_worker},
    {"command cmd exec execute program", "run", in_grant},
    {"cwd workdir workingdir chdir home", "working_directory", in_worker},
    {"env environ environmentvariables vars variables setenv", "environment", in_worker},
    {"environmentfile environmentfiles envfile envfiles", "", in_worker, "no file of variables is read: write environment = { NAME = \"value\" }"},
    {"groups supplementarygroups extragroups groupadd additionalgroups", "supplementary_groups", in_worker},
    {"uid username runas userid owner", "user", in_worker},
    {"uid userid username", "owner", in_grant},
    {"gid groupid", "group", in_worker},
    // When it runs
    {"dependson depends after before requires wants bindsto partof needs links", "", in_worker,
     "workers start together and in no order: each waits for what it needs, or is told by a channel"},
    {"restartpolicy respawn autorestart", "restart", in_worker},
    {"restartsec restartdelay backoff restarttimeout startlimitburst startlimitinterval startlimitintervalsec maxrestarts", "restart", in_worker,
     "restart = { policy = \"on-failure\", delay = \"1s\", start_limit_burst = 5, start_limit_interval = \"1min\" }"},
    {"killsignal stopsig stopsignal", "stop_signal", in_worker},
    {"timeoutstopsec timeoutstop stopgraceperiod stopwaitsecs killtimeout stoptimeout", "stop_timeout", in_worker},
    {"timeoutstartsec starttimeout startsecs", "ready_timeout", in_worker},
    {"type notifyaccess", "ready", in_worker, "ready = \"notify\" is what Type=notify is"},
    {"notifyaccess", "request_access", in_worker},
    {"enabled autorun onboot enable", "autostart", in_worker},
    {"description documentation image build healthcheck labels containername", "", in_worker, "there is nothing like it here: a comment may say it"},
    {"ports expose publish listenstream listendatagram", "", in_worker, "a grant lends the socket: http = { listen = \"tcp:127.0.0.1:8080\" }"},
    {"sockets listen", "grants", in_worker, "http = { listen = \"tcp:127.0.0.1:8080\" } in [worker.NAME.grants]"},
    {"secrets credentials loadcredential", "grants", in_worker, "key = { secret = \"/etc/key\" } in [worker.NAME.grants]"},
    {"permissions allow rights", "grants", in_worker},
    {"cell jail container security confinement", "sandbox", in_worker},
    // Its place among others
    {"nicelevel priority niceness", "nice", in_worker},
    {"ionice ioschedulingclass ioschedulingpriority", "io_priority", in_worker},
    {"cpuschedulingpolicy cpuschedulingpriority scheduler", "scheduling", in_worker},
    {"cpuaffinity affinity cpuset cpusetcpus allowedcpus", "cpus", in_worker},
    {"oomscore oomscoreadj", "oom_score_adjust", in_worker},
    {"rlimits rlimit ulimits ulimit resources", "limits", in_worker},
    {"memory mem memlimit memorylimit memorymax maxmemory memorymaximum", "memory_max", "limits of a worker"},
    {"memory mem memlimit memorylimit memorymax maxmemory memoryhigh memoryswapmax", "limits", in_worker, "limits = { memory_max = \"64MiB\" }"},
    {"cpuquota cpulimit cpulimits maxcpu", "cpu_max", "limits of a worker"},
    {"cpu cpuquota cpulimit cpulimits maxcpu cpumax cpuweight cpushares", "limits", in_worker, "limits = { cpu_max = \"50%\" }"},
    {"tasksmax pidslimit maxpids maxprocesses", "pids_max", "limits of a worker"},
    {"tasksmax pidslimit pidsmax maxpids maxprocesses", "limits", in_worker, "limits = { pids_max = 100 }"},
    {"limitnofile nofile maxfiles maxopenfiles openfiles", "nofile", "limits of a worker"},
    {"limitnofile nofile nproc limitnproc limitcore core memlock stack", "limits", in_worker, "limits = { nofile = 1024 }"},
    {"log logs output stdout stderr standardoutput standarderror", "logging", in_worker, "what it writes goes to the log keeper: warderctl logs NAME"},
    // Its sandbox
    {"volumes volume mounts mount binds bindmount bindmounts bindpaths", "bind_read_only", in_sandbox, "bind is read-only, bind_writable is not"},
    {"volumes volume mounts mount binds bindmount bindmounts bindpaths", "sandbox", in_worker, "bind_read_only and bind_writable in [worker.NAME.sandbox]"},
    {"bindrw rw rwbind bindwrite bindwriteable writable writeable readwritepaths rwpaths", "bind_writable", in_sandbox},
    {"bindro ro robind readonly readonlypaths bindreadonlypaths robinds", "bind_read_only", in_sandbox, "it is read-only"},
    {"readonlyrootfs protectsystem", "", in_sandbox, "the root of a sandbox is always read-only: bind_writable and directories are not"},
    {"exec executable executables", "exec_paths", in_sandbox},
    {"noexecpaths", "bind_read_only", in_sandbox, "bind_read_only = [{ source = \"/a\", noexec = true }]"},
    {"tmpfss ramdisk temporaryfilesystem memorydirectory", "tmpfs", in_sandbox, "tmpfs = [{ target = \"/run/app\", size = \"1MiB\" }]"},
    {"tmpfs ramdisk temporaryfilesystem privatetmp", "sandbox", in_worker, "memory_directories in [worker.NAME.sandbox]"},
    {"privatetmp tmp", "tmp_size", in_sandbox, "each sandbox has a /tmp of its own"},
    {"caps cap capability capadd ambientcapabilities capabilityboundingset", "capabilities", in_sandbox},
    {"capdrop dropcapabilities", "", in_sandbox, "a worker has no capability but what \"capabilities\" lists"},
    {"caps cap capability capabilities capadd ambientcapabilities capabilityboundingset", "sandbox", in_worker, "capabilities in [worker.NAME.sandbox]"},
    {"syscalls syscallfilter seccomp systemcallfilter seccompprofile", "calls", in_sandbox, "allow_calls adds to the profile's list"},
    {"ioctls allowioctl ioctl", "allow_ioctls", in_sandbox},
    {"net networkmode networking privatenetwork", "network", in_sandbox},
    {"userns usernamespaces usernamespace privateusers", "user_namespace", in_sandbox},
    {"mdwe wx", "memory_deny_write_execute", in_sandbox},
    {"nonewprivs nonewprivileges", "no_new_privileges", in_sandbox},
    {"statedirectory cachedirectory logsdirectory runtimedirectory", "managed_directories", in_sandbox, "managed_directories = [\"state\", \"runtime\"]"},
    {"statedirectory cachedirectory logsdirectory runtimedirectory", "sandbox", in_worker, "managed_directories = [\"state\"] in [worker.NAME.sandbox]"},
    {"deviceallow device", "devices", in_sandbox},
    {"tty pty console", "terminal", in_sandbox},
    {"rootfs rootdirectory chroot", "root", in_sandbox},
    {"privileged", "profile", in_sandbox, "profile = \"unconfined\" confines least"},
    {"apparmor selinux apparmorprofile securityopt", "", in_sandbox, "a sandbox is made of namespaces, Landlock and seccomp"},
    // Grants
    {"path filename", "file", in_grant, "file for one file, tree for a directory"},
    {"dir directory folder", "tree", in_grant},
    {"permissions perm perms allow", "rights", in_grant, "rights = [\"stat\"]: more rights on the same file"},
    {"delete remove rm", "rights", in_grant, "rights = [\"unlink\"]"},
    {"port address bind socket", "listen", in_grant, "or connect"},
    {"url host peer", "connect", in_grant},
    {"recursive", "", in_grant, "a path that ends in \"/\" is a tree"},
    // Others
    {"workers service services", "worker", "the file", "each worker is a table [worker.NAME]"},
    {"settings global general supervisor warderd", "daemon", "the file"},
});

// Keys of a sandbox, which are often written one table too high.
constexpr auto of_a_sandbox = std::to_array<std::string_view>({
    "profile", "root", "network", "bind_read_only", "bind_writable", "exec_paths", "files", "tmpfs", "overlays", "managed_directories",
    "devices", "proc", "tmp_size", "hostname", "time_offsets", "user_namespace", "cgroup_namespace", "capabilities", "trusted_capabilities",
    "no_new_privileges", "memory_deny_write_execute", "core_dumps", "dumpable", "private_keyring", "terminal", "scope_signals",
    "scope_abstract_sockets", "tcp_bind", "tcp_connect", "calls", "allow_calls", "deny_calls", "kill_calls", "log_calls",
    "log_denied_calls", "call_rules", "lock_personality", "evidence", "allow_ioctls", "optional_features",
});

std::string plain(std::string_view word) {
    std::string text;
    for (const char c : word) {
        if (c != '_' && c != '-' && c != '.') text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    return text;
}

bool names(const Synonym& row, std::string_view word) {
    return (" " + std::string(row.words) + " ").find(" " + std::string(word) + " ") != std::string::npos;
}

bool has(const std::vector<std::string_view>& known, std::string_view key) { return std::ranges::find(known, key) != known.end(); }

// Which table `known` is of: one of its keys is in no other.
std::string_view place_of(const std::vector<std::string_view>& known) {
    if (has(known, "exec")) return in_worker;
    if (has(known, "profile")) return in_sandbox;
    if (has(known, "listen")) return in_grant;
    return {};
}

}  // namespace

std::string meant_by(std::string_view word, const std::vector<std::string_view>& known) {
    const std::string name = plain(word);
    if (name.empty() || name.find(' ') != std::string::npos) return {};
    for (const auto& row : table) {
        if (row.key.empty() || !has(known, row.key) || !names(row, name)) continue;
        return "did you mean " + quoted(row.key) + "?" + (row.note.empty() ? "" : " " + std::string(row.note));
    }
    const std::string_view here = place_of(known);
    for (const auto& row : table) {
        if (row.key.empty() && row.place == here && names(row, name)) return std::string(row.note);
    }
    if (here == in_worker && std::ranges::find(of_a_sandbox, word) != of_a_sandbox.end()) return quoted(word) + " stands in [worker.NAME.sandbox]";
    if (here == in_sandbox && std::ranges::find(of_a_sandbox, word) == of_a_sandbox.end()) {
        for (const auto& row : table) {
            if (row.place == in_worker && (row.key == word || names(row, name))) return row.key.empty() ? std::string(row.note) : quoted(row.key) + " stands in [worker.NAME]";
        }
    }
    return {};
}

}  // namespace warder::config
