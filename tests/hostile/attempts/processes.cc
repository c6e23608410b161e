// Other processes, ids and capabilities, shared memory and queues, and calls by foreign ABIs.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "attempt.h"

namespace attempts {
namespace {

pid_t worker(const Context& c) { return static_cast<pid_t>(c.number("user.pid")); }
pid_t of_root(const Context& c) { return static_cast<pid_t>(c.number("root.pid")); }
int pidfd_of(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// ---- Signals. SIGURG is ignored by who does not wait for it ----

int signal_root(const Context& c) { return done(::kill(of_root(c), SIGURG)); }
int signal_worker(const Context& c) { return done(::kill(worker(c), SIGURG)); }
int signal_thread(const Context& c) { return done(::syscall(SYS_tgkill, worker(c), worker(c), SIGURG)); }
int signal_by_thread_alone(const Context& c) { return done(::syscall(SYS_tkill, worker(c), SIGURG)); }

int signal_with_value(const Context& c) {
    siginfo_t info{};
    info.si_signo = SIGURG;
    info.si_code = SI_QUEUE;
    info.si_pid = ::getpid();
    return done(::syscall(SYS_rt_sigqueueinfo, worker(c), SIGURG, &info));
}

int signal_by_pidfd(const Context& c) {
    const int pidfd = pidfd_of(worker(c));
    return pidfd < 0 ? errno : done(::syscall(SYS_pidfd_send_signal, pidfd, SIGURG, nullptr, 0));
}

// A descriptor whose readiness is told to another process; that one counts in a file that everybody may read: `counts`.
int signal_by_owner_seen(const Context& c, int counts, const int (&ends)[2]) {
    int before = 0;
    int after = 0;
    if (::pread(counts, &before, sizeof before, 0) != sizeof before) return EIO;
    if (::fcntl(ends[0], F_SETOWN, worker(c)) != 0) return errno;
    if (::fcntl(ends[0], F_SETFL, O_ASYNC) != 0) return errno;
    if (::write(ends[1], "x", 1) != 1) return errno;
    for (int i = 0; i < 20 && after <= before; ++i) {
        ::poll(nullptr, 0, 5);
        if (::pread(counts, &after, sizeof after, 0) != sizeof after) return EIO;
    }
    return after > before ? 0 : EPERM;
}

// Other sandboxes try the same on the same process: one after the other, or a signal of theirs would count as this one's.
int signal_by_owner(const Context& c) {
    const int counts = ::open(c.below("shown/count").c_str(), O_RDONLY | O_CLOEXEC);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return errno;
    if (counts < 0 || ::flock(counts, LOCK_EX) != 0) return EIO;
    const int outcome = signal_by_owner_seen(c, counts, ends);
    ::fcntl(ends[0], F_SETFL, 0);   // the end of the other one would be told too, when the next sandbox has its turn
    ::poll(nullptr, 0, 20);         // what was sent is counted
    for (const int fd : {ends[0], ends[1], counts}) ::close(fd);
    return outcome;
}

// ---- Looking into others ----

int hold(const Context& c) { return done(pidfd_of(worker(c))); }

int trace(pid_t pid) {
    const long result = ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr);
    return done(result);
}
int trace_worker(const Context& c) { return trace(worker(c)); }
int trace_root(const Context& c) { return trace(of_root(c)); }

int read_memory(const Context& c) {
    char here[8];
    iovec mine{here, sizeof here};
    iovec theirs{reinterpret_cast<void*>(c.number("user.address")), sizeof here};
    return done(::process_vm_readv(worker(c), &mine, 1, &theirs, 1, 0));
}

int write_memory(const Context& c) {
    char here[8] = "written";
    iovec mine{here, sizeof here};
    iovec theirs{reinterpret_cast<void*>(c.number("user.address")), sizeof here};
    return done(::process_vm_writev(worker(c), &mine, 1, &theirs, 1, 0));
}

int take_descriptor(const Context& c) {
    const int pidfd = pidfd_of(worker(c));
    return pidfd < 0 ? errno : done(::syscall(SYS_pidfd_getfd, pidfd, 0, 0));
}

int compare(const Context& c) { return done(::syscall(SYS_kcmp, worker(c), of_root(c), KCMP_FILE, 0, 0)); }

int read_robust_list(const Context& c) {
    void* head = nullptr;
    std::size_t size = 0;
    return done(::syscall(SYS_get_robust_list, worker(c), &head, &size));
}

int advise(const Context& c) {
    constexpr long number = 440;   // process_madvise (5.10), of both ABIs
    const int pidfd = pidfd_of(worker(c));
    if (pidfd < 0) return errno;
    iovec theirs{reinterpret_cast<void*>(c.number("user.page")), 4096};
    return done(::syscall(number, pidfd, &theirs, 1, MADV_COLD, 0));
}

int count_events(const Context& c) {
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_TASK_CLOCK;
    attributes.exclude_kernel = 1;
    return done(::syscall(SYS_perf_event_open, &attributes, worker(c), -1, -1, PERF_FLAG_FD_CLOEXEC));
}

int move_pages(const Context& c) { return done(::syscall(SYS_move_pages, worker(c), 0, nullptr, nullptr, nullptr, 0)); }

int set_namespace(const Context& c) {
    const int pidfd = pidfd_of(worker(c));
    return pidfd < 0 ? errno : done(::setns(pidfd, CLONE_NEWNS));
}

// ---- Priorities and limits of others, and more than its own ----

int limit_of_another(const Context& c) {
    rlimit limit{};
    if (::prlimit(worker(c), RLIMIT_NOFILE, nullptr, &limit) != 0) return errno;
    return done(::prlimit(worker(c), RLIMIT_NOFILE, &limit, nullptr));
}

int slow_another(const Context& c) { return done(::setpriority(PRIO_PROCESS, static_cast<id_t>(worker(c)), 1)); }
int slow_a_user(const Context& c) { return done(::setpriority(PRIO_USER, static_cast<id_t>(c.number("user.uid")), 1)); }

int move_another(const Context& c) {
    cpu_set_t all;
    if (::sched_getaffinity(worker(c), sizeof all, &all) != 0) return errno;
    return done(::sched_setaffinity(worker(c), sizeof all, &all));
}

int schedule_another(const Context& c) {
    const sched_param none{};
    return done(::sched_setscheduler(worker(c), SCHED_BATCH, &none));
}

int io_of_another(const Context& c) { return done(::syscall(SYS_ioprio_set, 1, worker(c), 3 << 13)); }

int realtime(const Context&) {
    const sched_param first{1};
    const int result = done(::sched_setscheduler(0, SCHED_FIFO, &first));
    const sched_param none{};
    if (result == 0) ::sched_setscheduler(0, SCHED_OTHER, &none);
    return result;
}

int ahead_of_others(const Context&) { return done(::setpriority(PRIO_PROCESS, 0, -5)); }

// ---- Ids and capabilities ----

int become_root(const Context&) { return done(::setresuid(0, 0, 0)); }

int become_another(const Context& c) {
    const auto uid = static_cast<uid_t>(c.number("user.uid"));
    return done(::setresuid(uid, uid, uid));
}

int open_as_another(const Context& c) {
    const auto uid = static_cast<uid_t>(c.number("user.uid"));
    ::setfsuid(uid);
    return static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))) == uid ? 0 : EPERM;
}

int join_groups(const Context&) {
    const gid_t disk = 6;
    return done(::setgroups(1, &disk));
}

int raise_capability(const Context&) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    data[0].effective = data[0].permitted = 1U << CAP_SYS_ADMIN;
    return done(::syscall(SYS_capset, &header, data));
}

int keep_a_bounding_set(const Context&) { return done(::prctl(PR_CAPBSET_DROP, CAP_WAKE_ALARM, 0, 0, 0)); }

// A program of another's rights, run by an ordinary user: it says whether it has them.
int run_with_rights(const Context& c, const char* program, const char* question) {
    const int status = run(c.below(program), question);
    return status < 0 ? -status : status == 0 ? 0 : EPERM;
}
int run_setuid(const Context& c) { return become_ordinary() ? run_with_rights(c, "shown/setuid", "is-root") : EIO; }
// A uid 0 without capabilities has no more of them than others.
int run_capable(const Context& c) {
    static_cast<void>(become_ordinary());
    return run_with_rights(c, "shown/capable", "has-raw");
}

// A message that claims another sender.
int forge_credentials(const Context& c) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return errno;
    char byte = 'x';
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))]{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_CREDENTIALS;
    head->cmsg_len = CMSG_LEN(sizeof(ucred));
    const auto uid = static_cast<uid_t>(c.number("user.uid"));
    const ucred claimed{::getpid(), uid, uid};
    std::memcpy(CMSG_DATA(head), &claimed, sizeof claimed);
    return done(::sendmsg(ends[0], &message, 0));
}

// ---- Namespaces ----

// Without the right to become somebody else it stays who it is: this takes no capability.
int user_namespace(const Context&) { return static_cast<void>(become_ordinary()), done(::unshare(CLONE_NEWUSER)); }

long clone_with(unsigned long flags) {
    const long pid = ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (pid == 0) ::_exit(0);
    return pid;
}
int clone_user_namespace(const Context&) { return static_cast<void>(become_ordinary()), done(clone_with(CLONE_NEWUSER)); }
int clone_network(const Context&) { return static_cast<void>(become_ordinary()), done(clone_with(CLONE_NEWUSER | CLONE_NEWNET)); }

long clone3_with(clone_args& arguments) {
    arguments.exit_signal = SIGCHLD;
    const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) ::_exit(0);
    return pid;
}

int clone3_user_namespace(const Context&) {
    clone_args arguments{};
    arguments.flags = CLONE_NEWUSER | CLONE_NEWNS;
    static_cast<void>(become_ordinary());
    return done(clone3_with(arguments));
}

int choose_a_pid(const Context&) {
    pid_t wanted = 31'999;
    clone_args arguments{};
    arguments.set_tid = reinterpret_cast<std::uint64_t>(&wanted);
    arguments.set_tid_size = 1;
    return past_the_check(clone3_with(arguments), EEXIST);
}

int user_namespace_and_mount(const Context& c) {
    static_cast<void>(become_ordinary());
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return errno;
    return done(::mount("tmpfs", c.below("tmp").c_str(), "tmpfs", 0, nullptr));
}

int mount_namespace(const Context&) { return done(::unshare(CLONE_NEWNS)); }

// ---- What is shared by key or name ----

int find_key(const Context& c) {
    const long key = ::syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", c.text("key").c_str(), 0);
    char text[64];
    return key < 0 ? errno : done(::syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text));
}

int add_key(const Context&) { return done(::syscall(SYS_add_key, "user", "hostile-own", "x", 1, KEY_SPEC_PROCESS_KEYRING)); }
int ask_for_key(const Context&) {
    // A key that nobody has: the kernel looks, and finds none.
    return past_the_check(::syscall(SYS_request_key, "user", "hostile-none", nullptr, 0), ENOKEY);
}

int shared_memory(const Context& c) {
    void* at = ::shmat(static_cast<int>(c.number("user.shm")), nullptr, SHM_RDONLY);
    return at == reinterpret_cast<void*>(-1) ? errno : 0;
}

int message_queue(const Context& c) {
    const struct {
        long type;
        char text[2];
    } message{1, "x"};
    return done(::msgsnd(static_cast<int>(c.number("user.msg")), &message, 1, IPC_NOWAIT));
}

int semaphore(const Context& c) { return done(::semctl(static_cast<int>(c.number("user.sem")), 0, GETVAL)); }

int remove_shared_memory(const Context& c) {
    shmid_ds status{};
    return done(::shmctl(static_cast<int>(c.number("user.shm")), IPC_STAT, &status));
}

int named_queue(const Context& c) { return done(::mq_open(("/" + c.text("user.name")).c_str(), O_RDWR)); }

// ---- Memory, cores, foreign ABIs ----

int write_then_execute(const Context&) {
    void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? errno : done(::mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}

int map_writable_code(const Context&) {
    void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? errno : 0;
}

// No mount, no seal and no filter tells the second mapping from that of a library.
int map_twice(const Context&) {
    const int file = static_cast<int>(::syscall(SYS_memfd_create, "code", MFD_CLOEXEC));
    if (file < 0 || ::ftruncate(file, 4096) != 0) return errno;
    void* written = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    void* run = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    return written == MAP_FAILED || run == MAP_FAILED ? errno : 0;
}

int dump_core(const Context& c) {
    const std::string place = c.own("cores");   // where no other user's core lies
    if ((::mkdir(place.c_str(), 0700) != 0 && errno != EEXIST) || ::chdir(place.c_str()) != 0) return errno;
    rlimit limit{};
    ::getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_CORE, &limit);
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        ::signal(SIGQUIT, SIG_DFL);
        ::raise(SIGQUIT);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WCOREDUMP(status) ? 0 : EPERM;
}

#if defined(__x86_64__)
int foreign_call(const Context&) {
    long result = 20;   // getpid of i386
    __asm__ volatile("int $0x80" : "+a"(result) : : "r8", "r9", "r10", "r11", "memory");
    return result < 0 ? static_cast<int>(-result) : 0;
}

int x32_call(const Context&) { return done(::syscall(0x40000000L + SYS_getpid)); }
#endif

constexpr std::uint32_t any_landlock = landlock_files | landlock_ports | landlock_scope;
constexpr std::uint32_t into_another = capabilities | pids | filter | any_landlock;

constexpr Attempt table[] = {
    {"signal-root", "signals a process of root", signal_root, user | pids | landlock_scope, "ESRCH", "ESRCH"},
    {"signal-worker", "signals another worker (D12)", signal_worker, capabilities | pids | landlock_scope, "ESRCH", "ESRCH"},
    {"signal-thread", "signals a thread of another worker", signal_thread, capabilities | pids | landlock_scope, "ESRCH", "ESRCH"},
    {"tkill", "signals a thread by its number alone", signal_by_thread_alone, capabilities | pids | landlock_scope, "ESRCH", "ESRCH"},
    {"signal-queue", "signals another worker with a value", signal_with_value, capabilities | pids | landlock_scope, "ESRCH", "ESRCH"},
    {"signal-pidfd", "signals another worker by pidfd", signal_by_pidfd, capabilities | pids | landlock_scope, "ESRCH", "ESRCH"},
    {"signal-owner", "lets the kernel signal another worker (F_SETOWN)", signal_by_owner, user | pids | landlock_scope, "ESRCH", "ESRCH"},
    {"pidfd-open", "holds another worker by pidfd", hold, pids, "ESRCH", "ESRCH"},
    {"ptrace-worker", "traces another worker (D11)", trace_worker, into_another, "EPERM", "EPERM"},
    {"ptrace-root", "traces a process of root", trace_root, into_another, "EPERM", "EPERM"},
    {"vm-readv", "reads another worker's memory", read_memory, into_another, "EPERM", "EPERM"},
    {"vm-writev", "writes another worker's memory", write_memory, into_another, "EPERM", "EPERM"},
    {"pidfd-getfd", "takes a descriptor of another worker", take_descriptor, into_another, "ESRCH", "ESRCH"},
    {"kcmp", "compares descriptors of others", compare, into_another, "EPERM", "EPERM"},
    {"robust-list", "reads where another worker's locks are", read_robust_list, capabilities | pids | any_landlock, "ESRCH", "ESRCH"},
    {"process-madvise", "pages another worker out", advise, capabilities | pids | filter, "ESRCH", "ESRCH", none_lent, "ENOSYS"},
    {"perf-worker", "counts events of another worker", count_events, capabilities | pids | filter | daemon_filter, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"move-pages", "moves another worker's memory", move_pages, into_another, "EPERM", "EPERM", none_lent, "ENOSYS"},
    {"setns", "joins another worker's mounts by pidfd", set_namespace, into_another, "ESRCH", "ESRCH"},
    {"prlimit", "sets another worker's limits", limit_of_another, capabilities | pids, "ESRCH", "ESRCH", none_lent, "EPERM"},
    {"setpriority", "slows another worker down", slow_another, capabilities | pids, "ESRCH", "ESRCH"},
    {"setpriority-user", "slows all processes of a user down", slow_a_user, capabilities | pids, "ESRCH", "ESRCH"},
    {"setaffinity", "moves another worker to other processors", move_another, capabilities | pids, "ESRCH", "ESRCH"},
    {"setscheduler", "schedules another worker differently", schedule_another, capabilities | pids, "ESRCH", "ESRCH"},
    {"ioprio", "lets another worker wait for the disk", io_of_another, capabilities | pids, "ESRCH", "ESRCH"},
    {"realtime", "runs ahead of everybody", realtime, capabilities, "EPERM", "EPERM"},
    {"nice", "runs ahead of others", ahead_of_others, capabilities, "EACCES", "EACCES"},
    {"setuid-root", "becomes root", become_root, user, "EPERM", "EPERM"},
    {"setuid-worker", "becomes another worker", become_another, capabilities, "EPERM", "EPERM"},
    {"setfsuid", "opens files as another worker", open_as_another, capabilities, "EPERM", "EPERM"},
    {"setgroups", "joins the group of disks", join_groups, capabilities, "EPERM", "EPERM"},
    {"capset", "raises a capability", raise_capability, capabilities, "EPERM", "EPERM"},
    {"capbset", "changes its bounding set", keep_a_bounding_set, capabilities, "EPERM", "EPERM"},
    {"setuid-program", "runs a setuid program of root's", run_setuid, no_new_privileges | mounts | landlock_files, "EACCES", "EACCES", none_lent, "EPERM"},
    {"capable-program", "runs a program with a file capability", run_capable, capabilities | no_new_privileges | mounts | landlock_files, "EACCES", "EACCES"},
    {"forge-credentials", "sends a message in another's name (T11)", forge_credentials, capabilities, "EPERM", "EPERM"},
    {"user-namespace", "makes a user namespace", user_namespace, filter, "EPERM", "EPERM", none_lent, "EPERM ENOSPC"},
    {"clone-user", "clones into a user namespace", clone_user_namespace, filter, "EPERM", "EPERM", none_lent, "EPERM ENOSPC"},
    {"clone3-user", "clones into a user namespace by clone3", clone3_user_namespace, filter, "ENOSYS", "ENOSYS", none_lent, "EPERM ENOSPC"},
    {"clone-network", "clones into a network of its own", clone_network, filter, "EPERM", "EPERM", none_lent, "EPERM ENOSPC"},
    {"clone3-pid", "chooses a pid", choose_a_pid, capabilities | filter, "ENOSYS", "ENOSYS"},
    {"user-namespace-mount", "mounts in a user namespace", user_namespace_and_mount, filter | landlock_files, "EPERM", "EPERM", none_lent, "EPERM ENOSPC"},
    {"mount-namespace", "makes a mount namespace", mount_namespace, capabilities | filter, "EPERM", "EPERM"},
    {"find-key", "reads a key out of warderd's session keyring", find_key, filter | keyring, "EPERM", "EPERM", none_lent, "EPERM ENOSYS"},
    {"add-key", "adds a key", add_key, filter, "EPERM", "EPERM"},
    {"request-key", "has the kernel look for a key", ask_for_key, filter, "EPERM", "EPERM"},
    {"shm", "attaches shared memory of another worker", shared_memory, capabilities | ipc, "EINVAL", "EINVAL"},
    {"shm-stat", "looks at shared memory of another worker", remove_shared_memory, capabilities | ipc, "EINVAL", "EINVAL"},
    {"msg", "sends to a message queue of another worker", message_queue, capabilities | ipc, "EINVAL", "EINVAL"},
    {"sem", "reads a semaphore of another worker", semaphore, capabilities | ipc, "EINVAL", "EINVAL"},
    {"mq", "opens a named queue of another worker", named_queue, capabilities | ipc | landlock_files, "ENOENT", "ENOENT", none_lent, "ENOSYS"},
    {"write-then-execute", "makes memory executable that it wrote", write_then_execute, executable_memory, "EACCES", "open"},
    {"map-writable-code", "maps memory both writable and executable", map_writable_code, executable_memory, "EACCES", "open"},
    {"map-memory-twice", "maps a file in memory once to write and once to run it", map_twice, 0, "open", "open"},
    {"core", "leaves its memory in a core file", dump_core, no_core, "EPERM", "EPERM", none_lent, "EPERM"},
#if defined(__x86_64__)
    {"i386-call", "calls the kernel as i386 does", foreign_call, filter, "SIGSYS or SIGSEGV", "SIGSYS or SIGSEGV", none_lent, "SIGSEGV"},
    {"x32-call", "calls the kernel as x32 does", x32_call, filter, "SIGSYS", "SIGSYS", none_lent, "ENOSYS"},
#endif
};

}  // namespace

std::span<const Attempt> on_processes() { return table; }

}  // namespace attempts
