// Plan: everything that a worker's sandbox is to be, as a value computed once from the config. It touches nothing. What the
// kernel can do is compared with it before the first start; `enter` carries it out; the receipt is held against it.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warder::sandbox {

// What the worker sees as "/".
enum class Root : std::uint8_t {
    minimal,  // a tmpfs with the program, its interpreters, `binds` and `files`, generated files in /etc, /dev and /tmp
    system,   // a tmpfs with /usr read-only, the /bin /lib /lib64 links, a few generated files in /etc, /dev, /tmp, and `binds`
    host,     // the host's own tree, untouched (profile `unconfined` only)
};

enum class Network : std::uint8_t { none, host, named };   // named: the namespace at `network_path`

// What of other processes the sandbox shows in /proc.
enum class ProcView : std::uint8_t {
    hidden,      // there is no /proc
    processes,   // those of its pid namespace, and nothing else of /proc (subset=pid)
};

// One directory or file of the host shown in the sandbox, nosuid and nodev always.
struct Bind {
    std::string source;        // absolute; resolved when the mount tree is made
    std::string target;        // absolute, in the sandbox
    bool writable = false;
    bool execute = false;      // Landlock: whether programs in it may be run
    bool no_execute = false;   // the mount is noexec: libraries in it cannot be loaded either
    bool execute_written = false;   // noexec = false was written down: not to be changed by what a profile promises
};

// An empty directory in memory, new at each start, nosuid and nodev, owned by the worker.
struct MemoryDirectory {
    std::string target;        // absolute, in the sandbox
    std::uint64_t size = 0;    // bytes
    mode_t mode = 0700;
    bool no_execute = true;
};

// Directories of the host, read-only, one above the other, and above them what the worker writes: in memory, new at each start. What
// it changes or deletes of theirs is a matter of permissions, as the files themselves have them; the top of the tree is the worker's.
struct Overlay {
    std::string target;               // absolute, in the sandbox
    std::vector<std::string> lower;   // absolute, the first is on top; what is mounted below one of them is not part of it
    std::uint64_t size = 0;           // bytes that the worker may write
    mode_t mode = 0755;               // of the top
    bool no_execute = true;
};

inline constexpr gid_t own_group = static_cast<gid_t>(-1);   // the worker's own

// A directory of the host that belongs to the worker: made when the sandbox is prepared, shown writable at the same path, and
// named to the program by a variable of its environment.
struct OwnDirectory {
    std::string path;
    std::string variable;      // "STATE_DIRECTORY"
    mode_t mode = 0700;
    bool no_execute = false;
    std::vector<std::string> former = {};   // where it may lie from before its mode, or warderd, was changed: it is moved here
    std::string group = {};    // whose members may enter it; resolved to `gid`
    gid_t gid = own_group;
    bool entered = false;      // by others too: then the directory that it lies in may be passed by everybody
};

// A file of the host that root reads at each start, and that the worker alone may read: a copy in memory that is never swapped out
// where the kernel can promise that (6.4).
struct SecretFile {
    std::string name;          // below `secrets_directory`
    std::string source;        // absolute, on the host
};
inline constexpr const char* secrets_directory = "/run/secrets";
inline constexpr std::size_t max_secret_files = 16;
inline constexpr std::uint64_t max_secret_file = 1 << 20;   // bytes

// What names of hosts are looked up by.
enum class Names : std::uint8_t {
    files,   // the sandbox's own /etc/hosts
    host,    // the host's /etc/hosts and /etc/resolv.conf, as they are when the sandbox is laid out
};

// So many numbers from `inside` on, in a user namespace, are those from `outside` on, on the host.
inline constexpr std::uint32_t own_id = 0xffffffffU;   // stands for the worker's own number
struct IdRange {
    std::uint32_t inside = 0;
    std::uint32_t outside = own_id;
    std::uint32_t count = 1;
    friend bool operator==(const IdRange&, const IdRange&) = default;
};

// A small file made from text, read-only, mode 0444, in the sandbox.
struct TextFile {
    std::string target;
    std::string text;
};

struct Limit {
    int resource = 0;          // RLIMIT_*
    rlim_t soft = 0;
    rlim_t hard = 0;
};

// A limit of all its processes together: a file of its own group of cgroup v2, and what is written to it.
struct GroupLimit {
    std::string file;          // "memory.max"
    std::string value;         // "67108864"; of io.max without the device
    std::string device;        // of io.max: a block device, "/dev/vda"
    std::string origin;        // where it stands in the config, for sentences: "warder.toml:12"
};

// The kernel's numbers (IOPRIO_CLASS_*). Of `by_nice` the level follows from the niceness.
enum class IoClass : std::uint8_t { by_nice = 0, realtime = 1, best_effort = 2, idle = 3 };
struct IoPriority {
    IoClass io_class = IoClass::by_nice;
    int level = 0;             // 0 (first) to 7, of realtime and best_effort
};

// The kernel's numbers (SCHED_*).
enum class Scheduler : std::uint8_t { other = 0, fifo = 1, round_robin = 2, batch = 3, idle = 5 };
struct Scheduling {
    Scheduler scheduler = Scheduler::other;
    int priority = 0;          // 1 to 99 of fifo and round_robin, otherwise 0
};

// A call, or a @group of calls, that is answered with this errno.
struct DeniedCall {
    std::string name;
    int error = EPERM;
};

// A call that is answered with an errno if one of its arguments, masked, is this value (or is not).
struct CallRule {
    std::string call;
    unsigned argument = 0;     // 0 to 5
    std::uint32_t value = 0;   // of its lower half: the kernel reads int arguments so
    std::uint32_t mask = 0xffffffffU;
    bool differs = false;
    int error = EPERM;
};

// What seccomp allows. The filter is an allow-list: every other known call answers EPERM, an unknown number ENOSYS, a
// foreign ABI (i386, x32) kills.
// The one call of two that is left to a worker to whom listeners are lent. With both, an accepted socket that is disconnected would
// listen on a port of its own.
enum class BesideListeners : std::uint8_t {
    listen,    // listen(2), unless it was lent something to make a listener of
    connect,   // connect(2), where it was lent nothing but listeners and Landlock holds the ports
    neither,
};

struct Calls {
    bool enabled = true;
    bool inet_sockets_lent = false;      // connect, bind, listen, accept stays, socket only AF_UNIX: see the threat model
    bool listeners_lent = false;         // of those: what listens for connections, of TCP or vsock
    bool connections_lent = false;       // of those: what is connected, or is connecting, by TCP or vsock
    bool only_listeners_lent = true;     // no lent socket but listeners of TCP, and unix sockets of streams
    BesideListeners beside_listeners = BesideListeners::listen;
    std::uint32_t lent_sockets = 0;      // of LentSocket (sys/socket_options.h): what kinds there are
    std::vector<std::string> socket_options;   // options that may be set beside those that are harmless
    bool datagram_sockets_lent = false;  // sendmsg and sendmmsg denied, sendto only without an address
    bool may_send_descriptors = false;   // no SO_PASSRIGHTS on this kernel: sendmsg and sendmmsg denied
    bool network = false;                // the worker may make inet sockets of its own (Network::host)
    bool ports_restricted = false;       // Landlock restricts TCP ports: no protocol that gets to them past it
    bool namespaces = false;             // clone and unshare with namespace flags
    bool lock_personality = true;        // it begins with the native one, and keeps it
    bool stays_undumpable = false;       // it may not make itself dumpable again
    bool few_ioctls = false;             // ioctl(2): what is known to be harmless, and `allow_ioctls`
    bool any_ioctl = false;              // whatever else is said of it: allow_ioctls = "all"
    bool devices_lent = false;           // what their drivers take nobody can list: all but what changes files is let through
    bool descriptors_have_names = false; // /proc/self/fd: calls that change a file's rights by name could mean a lent one
    bool no_code_in_shared_memory = false;   // shmat(2) maps none that is executable
    std::vector<std::uint32_t> allow_ioctls;   // more requests of ioctl(2)
    bool restrict_suid_sgid = true;      // it sets no set-user-id and no set-group-id bit, by whatever call
    bool ptys = false;                   // it has terminals of its own, and may take one for its session
    std::vector<std::string> base{"@system-service"};   // the list that the following change; names of calls and @groups
    std::vector<std::string> allow;      // more calls
    std::vector<DeniedCall> deny;        // fewer calls
    std::vector<std::string> kill;       // calls that end the worker
    std::vector<std::string> log;        // calls that are allowed, and told to the audit
    std::vector<CallRule> rules;         // denied by their arguments
    bool log_denied = false;             // what is denied is told to the audit too
    bool monitored = false;              // what is denied is seen by a syscall monitor, which answers (evidence = "full")
};

// What is left beside lent inet sockets; without those both calls are.
inline bool lends_what_leads_elsewhere(const Calls& calls) { return calls.inet_sockets_lent || calls.datagram_sockets_lent; }

inline bool leaves_listen(const Calls& calls) {
    if (!lends_what_leads_elsewhere(calls)) return true;
    return calls.listeners_lent && !calls.connections_lent && calls.beside_listeners == BesideListeners::listen;
}

inline bool leaves_connect(const Calls& calls) {
    if (!lends_what_leads_elsewhere(calls)) return true;
    return calls.listeners_lent && calls.only_listeners_lent && calls.beside_listeners == BesideListeners::connect;
}

// connect(2) with listeners of TCP at hand: Landlock holds what ports it reaches, whatever the plan says of ports otherwise.
inline bool connects_beside_listeners(const Calls& calls) {
    return calls.enabled && lends_what_leads_elsewhere(calls) && leaves_connect(calls);
}

// Whether grants make the same filter of the same keys.
inline bool narrowed_alike(const Calls& a, const Calls& b) {
    return a.inet_sockets_lent == b.inet_sockets_lent && a.datagram_sockets_lent == b.datagram_sockets_lent &&
           a.may_send_descriptors == b.may_send_descriptors && a.lent_sockets == b.lent_sockets &&
           leaves_listen(a) == leaves_listen(b) && leaves_connect(a) == leaves_connect(b);
}

// TCP ports that a worker on the host's network may bind or connect to, as far as Landlock restricts them.
struct Ports {
    bool restricted = false;
    std::vector<std::uint16_t> allowed;
};

// Items that depend on the kernel, by the names that `preferred` and `require` use.
inline constexpr std::array<std::string_view, 20> kernel_items = {
    "close_range", "seccomp", "landlock", "landlock_tcp", "landlock_scope", "mount_namespace", "pid_namespace", "ipc_namespace",
    "uts_namespace", "network_namespace", "cgroup_namespace", "time_namespace", "memory_deny_write_execute",
    "memory_controller", "cpu_controller", "io_controller", "pids_controller", "evidence", "overlays", "user_namespaces",
};

struct Plan {
    // Program
    std::string program;                  // absolute, as seen in the sandbox
    std::vector<std::string> arguments;   // argv, with argv[0]
    std::vector<std::string> environment; // "NAME=value", complete: nothing is inherited
    std::string directory = "/";          // working directory, in the sandbox

    // Identity
    std::string user;                     // for the generated passwd and for reports
    uid_t uid = 65534;
    gid_t gid = 65534;
    std::vector<gid_t> groups;            // supplementary; empty for a worker of its own
    bool without_root = false;            // warderd is an ordinary user in a user namespace: these ids and groups are its own, and
                                          // cannot be changed

    // Namespaces
    bool mount_namespace = true;
    bool pid_namespace = true;
    bool ipc_namespace = true;
    bool uts_namespace = true;
    bool cgroup_namespace = false;
    bool time_namespace = false;
    std::int64_t monotonic_offset = 0;    // seconds, in its time namespace
    std::int64_t boottime_offset = 0;
    // All others belong to the namespace above it: what capabilities it has in this one is nothing to them.
    bool user_namespace = false;
    std::vector<IdRange> uid_map;         // each has the worker's own number in it
    std::vector<IdRange> gid_map;
    Network network = Network::none;
    std::string network_path;             // of Network::named: "/run/netns/blue"
    std::string hostname;                 // in its uts namespace; empty: the worker's name

    // Mounts
    Root root = Root::system;
    std::vector<Bind> binds;
    std::vector<TextFile> files;
    std::vector<MemoryDirectory> memory_directories;
    std::vector<Overlay> overlays;
    std::vector<OwnDirectory> own_directories;
    std::vector<SecretFile> secret_files;
    Names names = Names::files;
    bool ptys = false;                    // a devpts of its own
    std::string home = "/";               // in the generated passwd
    std::string shell = "/usr/sbin/nologin";
    std::vector<std::string> devices{"null", "zero", "full", "random", "urandom"};   // names in /dev
    ProcView proc = ProcView::hidden;
    std::uint64_t tmp_size = 64ULL << 20; // bytes of the private /tmp
    bool private_tmp = true;
    bool tmp_no_execute = false;

    // Rights
    std::uint64_t capabilities = 0;       // bit by number; these in all five sets, and no other in any; in its user namespace if it has one
    bool no_new_privileges = true;
    bool memory_deny_write_execute = false;  // what was writable never becomes executable (PR_SET_MDWE, 6.3)
    bool core_dumps = true;               // false: neither into a file nor to a handler
    // False: no other process of its user may look into its memory, nor trace it. What the kernel goes by at exec is whether the
    // program may be read, so it runs a copy that may not be.
    bool dumpable = true;
    bool private_keyring = true;          // a session keyring of its own, empty
    bool landlock = true;
    bool scope_signals = true;            // signals reach only its own kind (Landlock, 6.12)
    bool scope_abstract_sockets = true;   // likewise abstract unix sockets
    Ports tcp_bind;
    Ports tcp_connect;
    Calls calls;

    // Limits
    std::vector<Limit> limits;            // of each of its processes
    std::vector<GroupLimit> group_limits; // of all of them together; they need a group of its own
    mode_t umask = 0077;
    int nice = 0;
    IoPriority io_priority;
    Scheduling scheduling;
    std::vector<unsigned> cpus;           // that it may run on, in order; empty: those of warderd
    int oom_score_adjust = 0;

    // Session: always one of its own. A terminal of the host as 0, 1, 2 and controlling terminal; empty: none
    std::string terminal;

    // Items of kernel_items that it can do without; all others are required.
    std::vector<std::string> preferred;
};

}  // namespace warder::sandbox
