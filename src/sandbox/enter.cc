#include "sandbox/enter.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>

#include "base/fixed_string.h"
#include "sandbox/proof.h"
#include "sys/files.h"
#include "sys/kernel.h"
#include "sys/landlock.h"
#include "sys/mounts.h"
#include "sys/path_walk.h"
#include "sys/seccomp.h"

// glibc's own calls for credentials and signals keep state about threads, which a child of a bare clone3 must not touch:
// where it matters the kernel is called directly.
namespace warder::sandbox {
namespace {

// Where descriptors stand in the child. 0 to 4 are what the program gets; the others close at exec.
enum Slot : int { input, output, error, broker, store, status, parent, stub, mount_template, program, syscall_monitor, user_namespace, slots };
static_assert(broker == worker_socket && store == worker_store);

// Above all slots, so that moving one into place never overwrites another.
constexpr int lifted_from = 32;

// Sending the listener of its own filter takes sendmsg(2), which the filter may deny. So one thread more, begun before and under no
// filter, does that; it shares the table of descriptors, and is gone when the call that the listener answers has come back.
struct Handover {
    std::atomic<int> listener{-1};
    alignas(16) char stack[16 * 1024];
};
Handover handover;

class Child {
public:
    Child(const Prepared& prepared, const Given& given) : prepared_(prepared), plan_(prepared.plan), status_(given.status), error_apart_(given.error >= 0) {}

    void let_itself_be_seen();
    void reset_signals();
    void start_session();
    int open_null();
    int open_terminal();
    void take_terminal();
    void place_descriptors(const int (&wanted)[slots]);
    void set_oom_score();
    void make_namespaces();
    void make_cgroup_namespace();
    void join_namespaces();
    void join_network();
    void make_time();
    void make_mounts();
    int take_output(const Given& given);
    void show_output(int copy);
    void set_hostname();
    void change_directory();
    void build_worker_rules();
    void build_stub_rules();
    void set_limits();
    void set_priorities();
    void set_affinity();
    void reset_personality();
    void drop_bounding_set(std::uint64_t kept);
    void set_secure_bits(std::uint64_t kept);
    void set_groups(const std::vector<gid_t>& groups);
    void join_user_namespace();
    void become_user(uid_t uid, gid_t gid);
    void join_keyring();
    void limit_capabilities(std::uint64_t kept);
    void memory_deny_write_execute();
    void die_with_parent();
    void refuse_new_privileges();
    void confine_files();
    void begin_handover();
    void confine_calls(const seccomp::Program& calls);
    void confine_worker_calls();
    void look_at_itself();
    void look_at_keyring();
    void try_what_is_forbidden();
    void tell_proof();
    [[noreturn]] void wait_to_be_ended();
    [[noreturn]] void run_stub();
    [[noreturn]] void run_program(char* const* environment);

private:
    // On a stack and beside a thread that a sanitizer knows nothing of.
    __attribute__((no_sanitize("address", "undefined"))) static int hand_over(void* child);
    // Each failure names what it was about: a path, a limit, an id.
    [[noreturn]] void fail(Stage stage, int number, const char* object);
    [[noreturn]] void fail_about(Stage stage, int number, const char* object, std::int64_t value);
    void must(Stage stage, long result, const char* object) {
        if (result < 0) fail(stage, errno, object);
    }
    void must(Stage stage, long result, const std::string& object) { must(stage, result, object.c_str()); }
    void must_about(Stage stage, long result, const char* object, std::int64_t value) {
        if (result < 0) fail_about(stage, errno, object, value);
    }
    void must_be_zero(Stage stage, int number, const char* object) {
        if (number != 0) fail(stage, number, object);
    }
    void unblock_signals();
    void set_capabilities(std::uint64_t permitted, std::uint64_t inheritable);
    void mount_tmp();
    void mount_memory(std::size_t index);
    void mount_overlay(std::size_t index);
    void open_secrets(int (&sources)[max_secret_files]);
    void mount_secrets(const int (&sources)[max_secret_files]);
    void copy_secret(int from, int directory, const char* name);
    void mount_ptys();
    void mount_proc();
    void attach_below_tmp(const LateAttachment& late);
    int output_in_a_copy_of_the_mounts();
    void write_by_name();
    int make_below(int directory, const char* name, const std::string& path);
    void create_ruleset();
    void allow(int fd, std::uint64_t rights, const char* path);
    void allow_path(const PathRight& right);

    const Prepared& prepared_;
    const Plan& plan_;
    int status_;
    bool error_apart_;   // 2 is not what 1 is
    int ruleset_ = -1;
    bool bounded_by_parent_ = true;   // its bounding set has nothing that the parent's had not
    Proof proof_;
};

void Child::fail(Stage stage, int number, const char* object) {
    SetupFailure failure;
    failure.stage = stage;
    failure.error = number;
    for (std::size_t i = 0; i + 1 < sizeof failure.object && object[i] != '\0'; ++i) failure.object[i] = object[i];
    [[maybe_unused]] const ssize_t size = ::write(status_, &failure, sizeof failure);
    for (;;) ::syscall(SYS_exit_group, exit_status_of(stage));
}

void Child::fail_about(Stage stage, int number, const char* object, std::int64_t value) {
    FixedString<240> text;
    text.append(object).append(' ');
    if (value < 0) text.append('-');
    text.append_number(value < 0 ? static_cast<std::uint64_t>(-value) : static_cast<std::uint64_t>(value));
    fail(stage, number, text.c_str());
}

// The files in /proc of a process that may not be dumped are root's: an ordinary user's child could not write its own, and its
// parent could not read them. This copy of the parent's memory is gone at exec; workers see no process but their own meanwhile.
void Child::let_itself_be_seen() {
    if (plan_.without_root) must(Stage::memory, ::prctl(PR_SET_DUMPABLE, 1), "its own /proc, which it is to be seen in");
}

// The parent blocked everything before the fork, so none of its handlers can run here. Ignored signals would stay ignored
// after exec.
void Child::reset_signals() {
    struct {
        unsigned long handler, flags, restorer, mask;
    } const by_default{};
    for (int signal = 1; signal <= 64; ++signal) {
        if ((prepared_.signals >> (signal - 1) & 1) == 0) continue;
        ::syscall(SYS_rt_sigaction, signal, &by_default, nullptr, sizeof by_default.mask);
    }
}

// Until the worker's own is set, what is made here has the mode that it is made with.
void Child::start_session() {
    ::umask(0);
    must(Stage::session, ::setsid(), "a session of its own");
}

// By its name on the host, before the sandbox hides it. -1 with errno.
int open_of_the_host(const std::string& path, int flags) {
    const auto place = open_to_use(path);
    if (place) return ::open(own_path(place->get()).c_str(), flags | O_CLOEXEC);
    errno = place.error().number;
    return -1;
}

// Of this run alone: what it makes of the flags is gone with it.
int Child::open_null() {
    const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    must(Stage::standard_input, fd, "/dev/null");
    return fd;
}

// Its group and what others may do with it stay as they are.
int Child::open_terminal() {
    if (plan_.terminal.empty()) return -1;
    const int fd = open_of_the_host(plan_.terminal, O_RDWR | O_NOCTTY | O_NONBLOCK);
    must(Stage::standard_input, fd, plan_.terminal);
    must(Stage::standard_input, ::fcntl(fd, F_SETFL, O_RDWR), plan_.terminal);
    return fd;
}

// Stolen from a session that has it: that is what the administrator wrote.
void Child::take_terminal() {
    if (plan_.terminal.empty()) return;
    must(Stage::standard_input, ::ioctl(input, TIOCSCTTY, 1), plan_.terminal);
    must(Stage::standard_input, ::fchown(input, plan_.uid, static_cast<gid_t>(-1)), plan_.terminal);
}

// Everything that we inherited and that is not wanted is closed here, not at exec: a child that is held up must not keep
// the sockets of other workers open.
void Child::place_descriptors(const int (&wanted)[slots]) {
    int lifted[slots];
    for (int slot = 0; slot < slots; ++slot) {
        lifted[slot] = wanted[slot] < 0 ? -1 : ::fcntl(wanted[slot], F_DUPFD_CLOEXEC, lifted_from);
        if (wanted[slot] >= 0) must_about(Stage::descriptors, lifted[slot], "descriptor", slot);
    }
    status_ = lifted[status];
    for (int slot = 0; slot < slots; ++slot) {
        if (lifted[slot] < 0) ::close(slot);
        else must_about(Stage::descriptors, ::dup3(lifted[slot], slot, slot <= store ? 0 : O_CLOEXEC), "descriptor", slot);
    }
    status_ = status;
    must(Stage::descriptors, ::syscall(SYS_close_range, slots, ~0U, 0), "what it inherited and is not to have");
}

// While /proc can still be seen. Always written: what the parent has is for the parent.
void Child::set_oom_score() {
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    must(Stage::oom_score, fd, "/proc/self/oom_score_adj");
    FixedString<16> text;
    const int score = plan_.oom_score_adjust;
    if (score < 0) text.append('-');
    text.append_number(static_cast<std::uint64_t>(score < 0 ? -static_cast<long>(score) : score));
    must_about(Stage::oom_score, ::write(fd, text.c_str(), text.size()), "oom_score_adjust =", score);
    ::close(fd);
}

// Here and not by flags of clone3: making a network namespace takes its time, and the parent must not.
void Child::make_namespaces() {
    const auto apart = static_cast<int>(prepared_.namespaces & (CLONE_NEWIPC | CLONE_NEWUTS));
    if (apart != 0) must(Stage::namespaces, ::unshare(apart), "ipc and uts namespaces of its own");
    if (plan_.network == Network::none) must(Stage::network, ::unshare(CLONE_NEWNET), "a network namespace of its own");
    if (plan_.network == Network::named) join_network();
    if (plan_.time_namespace) make_time();
}

// The worker's own in any case: its root is the group of whoever makes it, and the stub is in none of a worker's.
void Child::make_cgroup_namespace() {
    if (plan_.cgroup_namespace) must(Stage::namespaces, ::unshare(CLONE_NEWCGROUP), "a cgroup namespace of its own");
}

// At each start: who makes it anew makes it for the next life.
void Child::join_network() {
    const int fd = open_of_the_host(plan_.network_path, O_RDONLY | O_NONBLOCK);
    must(Stage::network, fd, plan_.network_path);
    must(Stage::network, ::setns(fd, CLONE_NEWNET), plan_.network_path);
    ::close(fd);
}

// The offsets are written while nobody is in it yet; then we move in, as otherwise only children would.
void Child::make_time() {
    must(Stage::namespaces, ::unshare(CLONE_NEWTIME), "a time namespace of its own");
    const int offsets = ::open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    must(Stage::namespaces, offsets, "/proc/self/timens_offsets");
    must(Stage::namespaces, ::write(offsets, prepared_.time_offsets.c_str(), prepared_.time_offsets.size()), "time_offsets");
    ::close(offsets);
    const int made = ::open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
    must(Stage::namespaces, made, "/proc/self/ns/time_for_children");
    must(Stage::namespaces, ::setns(made, CLONE_NEWTIME), "a time namespace of its own");
    ::close(made);
}

void Child::join_namespaces() {
    const auto of_the_stub = static_cast<int>(prepared_.namespaces & ~std::uint64_t{CLONE_NEWCGROUP});
    if (of_the_stub != 0) must(Stage::namespaces, ::setns(stub, of_the_stub), "the namespaces of its stub");
}

// A copy of the template, which is nobody's, with a /tmp of its own in it.
void Child::make_mounts() {
    if (!plan_.mount_namespace) return;
    int secrets[max_secret_files]{};
    open_secrets(secrets);
    must(Stage::mounts, ::setns(mount_template, CLONE_NEWNS), "the mounts that were made for it");
    must(Stage::mounts, ::unshare(CLONE_NEWNS), "a mount namespace of its own");
    if (plan_.private_tmp) mount_tmp();
    for (std::size_t i = 0; i < plan_.memory_directories.size(); ++i) mount_memory(i);
    for (std::size_t i = 0; i < plan_.overlays.size(); ++i) mount_overlay(i);
    mount_secrets(secrets);
    if (plan_.ptys) mount_ptys();
    if (plan_.proc == ProcView::processes) mount_proc();
}

// While the host can be seen. Root is led by nobody's symlink to what is not theirs.
void Child::open_secrets(int (&sources)[max_secret_files]) {
    for (std::size_t i = 0; i < plan_.secret_files.size(); ++i) {
        const std::string& source = plan_.secret_files[i].source;
        const auto place = open_to_show(source);
        if (!place) fail(Stage::mounts, place.error().number, source.c_str());
        struct stat about;
        must(Stage::mounts, ::fstat(place->get(), &about), source);
        if (!S_ISREG(about.st_mode)) fail(Stage::mounts, EINVAL, source.c_str());
        if (about.st_size > static_cast<off_t>(max_secret_file)) fail(Stage::mounts, EFBIG, source.c_str());
        sources[i] = ::open(own_path(place->get()).c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        must(Stage::mounts, sources[i], source);
    }
}

// In memory that is not swapped out, where the kernel knows how (6.4); nobody writes to it once they are there.
void Child::mount_secrets(const int (&sources)[max_secret_files]) {
    if (plan_.secret_files.empty()) return;
    constexpr unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    const char* const options = prepared_.secrets_options.c_str();
    const char* const in_memory = prepared_.secrets_in_memory.c_str();
    const bool mounted = ::mount("tmpfs", secrets_directory, "tmpfs", flags, in_memory) == 0;
    if (!mounted) must(Stage::mounts, ::mount("tmpfs", secrets_directory, "tmpfs", flags, options), secrets_directory);
    const int directory = ::open(secrets_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(Stage::mounts, directory, secrets_directory);
    for (std::size_t i = 0; i < plan_.secret_files.size(); ++i) {
        copy_secret(sources[i], directory, plan_.secret_files[i].name.c_str());
        ::close(sources[i]);
    }
    ::close(directory);
    must(Stage::mounts, ::mount(nullptr, secrets_directory, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, nullptr), secrets_directory);
}

void Child::copy_secret(int from, int directory, const char* name) {
    const int to = ::openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    must(Stage::mounts, to, name);
    char part[4096];
    std::uint64_t left = max_secret_file;
    ssize_t size = 0;
    while ((size = ::read(from, part, sizeof part)) > 0) {
        if (static_cast<std::uint64_t>(size) > left) fail(Stage::mounts, EFBIG, name);
        left -= static_cast<std::uint64_t>(size);
        if (::write(to, part, static_cast<std::size_t>(size)) != size) fail(Stage::mounts, errno, name);
    }
    must(Stage::mounts, size, name);
    ::explicit_bzero(part, sizeof part);
    must(Stage::mounts, ::fchown(to, plan_.uid, plan_.gid), name);
    ::close(to);
}

void Child::mount_ptys() {
    must(Stage::mounts, ::mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, prepared_.ptys_options.c_str()), "/dev/pts");
}

void Child::mount_memory(std::size_t index) {
    const auto& one = plan_.memory_directories[index];
    const unsigned long flags = MS_NOSUID | MS_NODEV | (one.no_execute ? static_cast<unsigned long>(MS_NOEXEC) : 0UL);
    must(Stage::mounts, ::mount("tmpfs", prepared_.memory_targets[index].c_str(), "tmpfs", flags, prepared_.memory_options[index].c_str()), one.target);
}

// The kernel copies what is changed with the rights of whoever mounts it, now; who may change it is asked of the worker each time.
void Child::mount_overlay(std::size_t index) {
    const auto& one = plan_.overlays[index];
    const auto& made = prepared_.overlays[index];
    const unsigned long flags = MS_NOSUID | MS_NODEV | (one.no_execute ? static_cast<unsigned long>(MS_NOEXEC) : 0UL);
    must(Stage::mounts, ::mount("tmpfs", made.top.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, made.top_options.c_str()), one.target);
    must(Stage::mounts, ::mkdir(made.upper.c_str(), one.mode), made.upper);
    must(Stage::mounts, ::chown(made.upper.c_str(), plan_.uid, plan_.gid), made.upper);
    must(Stage::mounts, ::mkdir(made.work.c_str(), 0700), made.work);
    // Whoever may write to a tree that is bound could lead it elsewhere by a symlink.
    const int target = mounts::open_inside(AT_FDCWD, made.target.c_str(), mounts::Symlinks::refused);
    if (target < 0) fail(Stage::mounts, -target, made.target.c_str());
    must(Stage::mounts, ::fchdir(target), made.target);
    ::close(target);
    must(Stage::mounts, ::mount("overlay", ".", "overlay", flags, made.options.c_str()), one.target);
    must(Stage::mounts, ::chdir("/"), "/");
}

// Of the pid namespace that we are in: nobody else's processes, and nothing of the kernel's.
void Child::mount_proc() {
    must(Stage::mounts, ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid"), "/proc");
}

void Child::mount_tmp() {
    const unsigned long flags = MS_NOSUID | MS_NODEV | (plan_.tmp_no_execute ? static_cast<unsigned long>(MS_NOEXEC) : 0UL);
    must(Stage::mounts, ::mount("tmpfs", "/tmp", "tmpfs", flags, prepared_.tmp_options.c_str()), "/tmp");
    for (const auto& late : prepared_.tree.late) attach_below_tmp(late);
}

const char* last_name_of(const std::string& path) { return path.c_str() + path.rfind('/') + 1; }

// Takes `directory`, and gives what has this name in it.
int Child::make_below(int directory, const char* name, const std::string& path) {
    if (::mkdirat(directory, name, 0755) != 0 && errno != EEXIST) fail(Stage::mounts, errno, path.c_str());
    const int made = mounts::open_inside(directory, name, mounts::Symlinks::refused);
    if (made < 0) fail(Stage::mounts, -made, path.c_str());
    ::close(directory);
    return made;
}

// What was kept aside has its attributes already; a copy of a mount keeps them. Name by name: in a tree that is bound below /tmp another
// may have put a symlink, and behind it nothing is made.
void Child::attach_below_tmp(const LateAttachment& late) {
    int at = ::open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    must(Stage::mounts, at, "/tmp");
    for (const auto& parent : late.parents) at = make_below(at, last_name_of(parent), parent);
    const char* const name = last_name_of(late.target);
    if (!late.directory && ::mknodat(at, name, S_IFREG | 0444, 0) != 0 && errno != EEXIST) fail(Stage::mounts, errno, late.target.c_str());
    if (late.directory && ::mkdirat(at, name, 0755) != 0 && errno != EEXIST) fail(Stage::mounts, errno, late.target.c_str());
    const int target = mounts::open_inside(at, name, mounts::Symlinks::refused);
    if (target < 0) fail(Stage::mounts, -target, late.target.c_str());
    ::close(at);
    if (const int bound = mounts::bind(late.kept.c_str(), target); bound < 0) fail(Stage::mounts, -bound, late.target.c_str());
    ::close(target);
}

// By a mount of its own, so that no part of /proc is needed. From here on 1 and 2 are what that mount shows: of what lies beyond the
// sandbox they know nothing, and a change of mode finds a read-only mount.
int Child::take_output(const Given& given) {
    if (!given.output_is_named || !prepared_.tree.names_output || !plan_.terminal.empty()) return -1;
    const int held = plan_.without_root ? output_in_a_copy_of_the_mounts() : static_cast<int>(output);
    const int copy = mounts::copy_tree(held, mounts::Access::read_only, mounts::Devices::hidden, true);
    if (copy < 0) fail(Stage::mounts, -copy, output_name);
    if (held != output) ::close(held);
    return copy;
}

// Whose user namespace does not own the host's mounts may copy one only out of a namespace of its own, where the FIFO is found by its path.
int Child::output_in_a_copy_of_the_mounts() {
    char path[PATH_MAX];
    const ssize_t size = ::readlink(own_path(output).c_str(), path, sizeof path - 1);
    must(Stage::mounts, size, output_name);
    path[size] = '\0';
    must(Stage::mounts, ::unshare(CLONE_NEWNS), "a copy of the host's mounts");
    const int found = ::open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    must(Stage::mounts, found, path);
    struct stat wanted;
    struct stat there;
    must(Stage::mounts, ::fstat(output, &wanted), path);
    must(Stage::mounts, ::fstat(found, &there), path);
    if (wanted.st_dev != there.st_dev || wanted.st_ino != there.st_ino) fail(Stage::mounts, ESTALE, path);
    return found;
}

void Child::show_output(int copy) {
    if (copy < 0) return;
    const int place = mounts::open_inside(AT_FDCWD, output_name, mounts::Symlinks::refused);
    if (place < 0) fail(Stage::mounts, -place, output_name);
    if (const int shown = mounts::attach(copy, place); shown < 0) fail(Stage::mounts, -shown, output_name);
    ::close(place);
    ::close(copy);
    write_by_name();
}

// Never waits: where nobody reads, it is an error.
void Child::write_by_name() {
    const int named = ::open(output_name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    must(Stage::mounts, named, output_name);
    must(Stage::mounts, ::fcntl(named, F_SETFL, 0), output_name);
    must(Stage::descriptors, ::dup3(named, output, 0), output_name);
    if (!error_apart_) must(Stage::descriptors, ::dup3(named, error, 0), output_name);
    ::close(named);
}

void Child::set_hostname() {
    if (!plan_.uts_namespace) return;
    must(Stage::uts, ::sethostname(prepared_.hostname.c_str(), prepared_.hostname.size()), prepared_.hostname);
    must(Stage::uts, ::setdomainname("(none)", 6), "its domain name");
}

// As the worker, as chdir(2) would be its own: behind a directory that is closed to it, it does not begin.
void Child::change_directory() { must(Stage::directory, ::chdir(plan_.directory.c_str()), plan_.directory); }

// Rules are collected while we are still root and may look everywhere; they bind us later.
void Child::create_ruleset() {
    ruleset_ = landlock::create_ruleset(prepared_.rights.handled);
    if (ruleset_ < 0) fail(Stage::landlock, -ruleset_, "a set of rules");
}

void Child::allow(int fd, std::uint64_t rights, const char* path) { must_be_zero(Stage::landlock, landlock::allow_beneath(ruleset_, fd, rights), path); }

// What the program is may be a symlink of anybody's, but a rule for a directory would be one for all that is below it.
bool fits(int fd, FoundBy found) {
    struct stat about;
    return found != FoundBy::program || (::fstat(fd, &about) == 0 && !S_ISDIR(about.st_mode));
}

// As root: another's symlink must not lead a rule to what is not theirs.
Result<Fd> open_for_rule(const PathRight& right) {
    if (right.found == FoundBy::others) return open_to_show(right.path);
    Fd fd(::open(right.path.c_str(), O_PATH | O_CLOEXEC));
    if (!fd) return failure("open");
    if (!fits(fd.get(), right.found)) return failure(EISDIR, "open");
    return fd;
}

void Child::allow_path(const PathRight& right) {
    const auto place = open_for_rule(right);
    if (place) return allow(place->get(), right.rights, right.path.c_str());
    const int error = place.error().number;
    if (error != ENOENT || !right.may_be_absent) fail(Stage::landlock, error, right.path.c_str());
}

void Child::build_worker_rules() {
    if (!plan_.landlock) return;
    create_ruleset();
    for (const auto& right : prepared_.rights.paths) allow_path(right);
    for (const auto& right : prepared_.rights.ports) {
        const int error = landlock::allow_port(ruleset_, right.port, right.rights);
        if (error != 0) fail_about(Stage::landlock, error, "TCP port", right.port);
    }
}

void Child::build_stub_rules() {
    if (!plan_.landlock) return;
    create_ruleset();
    allow(program, landlock::execute | landlock::read_file, "warder-stub");
}

struct LimitName {
    int resource;
    const char* name;
};
constexpr LimitName limit_names[] = {
    {RLIMIT_AS, "as"},       {RLIMIT_CORE, "core"},     {RLIMIT_CPU, "cpu"},       {RLIMIT_DATA, "data"},
    {RLIMIT_FSIZE, "fsize"}, {RLIMIT_LOCKS, "locks"},   {RLIMIT_MEMLOCK, "memlock"}, {RLIMIT_MSGQUEUE, "msgqueue"},
    {RLIMIT_NICE, "nice"},   {RLIMIT_NOFILE, "nofile"}, {RLIMIT_NPROC, "nproc"},   {RLIMIT_RSS, "rss"},
    {RLIMIT_RTPRIO, "rtprio"}, {RLIMIT_RTTIME, "rttime"}, {RLIMIT_SIGPENDING, "sigpending"}, {RLIMIT_STACK, "stack"},
};

const char* limit_name(int resource) {
    for (const auto& one : limit_names) {
        if (one.resource == resource) return one.name;
    }
    return "a limit";
}

void Child::set_limits() {
    for (const auto& limit : prepared_.limits) {
        const rlimit values{limit.soft, limit.hard};
        if (::syscall(SYS_prlimit64, 0, limit.resource, &values, nullptr) == 0) continue;
        const int error = errno;
        FixedString<240> text(limit_name(limit.resource));
        text.append(" = ");
        if (limit.hard == RLIM_INFINITY) text.append("unlimited");
        else text.append_number(limit.hard);
        fail(Stage::limits, error, text.c_str());
    }
}

// Always set, also to the defaults: what the parent has is for the parent.
void Child::set_priorities() {
    constexpr int this_process = 1;
    constexpr int class_shift = 13;
    must_about(Stage::nice, ::setpriority(PRIO_PROCESS, 0, plan_.nice), "nice =", plan_.nice);
    const int io = static_cast<int>(plan_.io_priority.io_class) << class_shift | plan_.io_priority.level;
    must(Stage::io_priority, ::syscall(SYS_ioprio_set, this_process, 0, io), "io_priority");
    const int priority = plan_.scheduling.priority;
    must_about(Stage::scheduling, ::syscall(SYS_sched_setscheduler, 0, static_cast<int>(plan_.scheduling.scheduler), &priority), "scheduling, with priority", priority);
}

void Child::set_affinity() {
    const auto& mask = prepared_.cpus;
    if (!mask.empty()) must(Stage::affinity, ::syscall(SYS_sched_setaffinity, 0, mask.size() * sizeof mask[0], mask.data()), "cpus: none of them can be had");
}

// A parent that was started without address randomisation must not hand that down.
void Child::reset_personality() { must(Stage::personality, ::syscall(SYS_personality, 0UL), "the native personality"); }

bool has(std::uint64_t set, unsigned capability) { return (set >> capability & 1) != 0; }

// What is not in the bounding set cannot come back by exec.
void Child::drop_bounding_set(std::uint64_t kept) {
    for (unsigned capability = 0; capability <= prepared_.last_capability; ++capability) {
        // Dropping makes new credentials each time; what the parent did not have when it prepared, nobody has. Its set is small.
        if (has(kept, capability) || (bounded_by_parent_ && !has(prepared_.bounding, capability))) continue;
        must_about(Stage::capabilities, ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "dropping capability", capability);
    }
}

// uid 0 means nothing with NOROOT. What is kept must first come through the change of ids, and is made ambient after it.
constexpr unsigned long last_secure_bits = worker_securebits;

void Child::set_secure_bits(std::uint64_t kept) {
    const unsigned long bits = kept == 0 ? last_secure_bits : (1UL << SECURE_KEEP_CAPS);
    must_about(Stage::secure_bits, ::prctl(PR_SET_SECUREBITS, bits, 0, 0, 0), "secure bits", static_cast<std::int64_t>(bits));
}

// By their numbers on the host: in a user namespace of its own nobody may change them.
void Child::set_groups(const std::vector<gid_t>& groups) {
    if (!plan_.without_root) must_about(Stage::group, ::syscall(SYS_setgroups, groups.size(), groups.data()), "supplementary groups, in number", static_cast<std::int64_t>(groups.size()));
}

// When nothing is left to do that takes a right over the host or over another namespace: here all of them end, and in it we have every
// capability, with the secure bits and the bounding set of a new process. It is joined last and owns none of the others.
void Child::join_user_namespace() {
    if (!plan_.user_namespace) return;
    must(Stage::namespaces, ::setns(user_namespace, CLONE_NEWUSER), "its user namespace");
    bounded_by_parent_ = false;
}

void Child::become_user(uid_t uid, gid_t gid) {
    if (plan_.without_root) return;
    must_about(Stage::group, ::syscall(SYS_setresgid, gid, gid, gid), "gid", gid);
    must_about(Stage::user, ::syscall(SYS_setresuid, uid, uid, uid), "uid", uid);
}

int or_errno(long result) { return result < 0 ? -errno : static_cast<int>(result); }

// As the worker, so that it is charged to it; a name would let two workers share one. Where the kernel has no keyrings, or an outer
// filter keeps everybody from them (as containers do), the worker reaches none either.
void Child::join_keyring() {
    if (!plan_.private_keyring) return;
    const long joined = ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
    proof_.keyring_made = or_errno(joined);
    const bool nobody_has_one = joined < 0 && (errno == ENOSYS || errno == EPERM);
    if (!nobody_has_one) must(Stage::keyring, joined, "a session keyring of its own");
}

void Child::set_capabilities(std::uint64_t permitted, std::uint64_t inheritable) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2];
    for (int half = 0; half < 2; ++half) {
        data[half].effective = data[half].permitted = static_cast<std::uint32_t>(permitted >> 32 * half);
        data[half].inheritable = static_cast<std::uint32_t>(inheritable >> 32 * half);
    }
    must(Stage::capabilities, ::syscall(SYS_capset, &header, data), "capabilities that warderd itself does not have");
}

// Ambient ones are what a program without capabilities of its own keeps over exec. CAP_SETPCAP is held until the
// secure bits are locked, and goes last.
void Child::limit_capabilities(std::uint64_t kept) {
    must(Stage::capabilities, ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient capabilities");
    if (kept == 0) return set_capabilities(0, 0);
    set_capabilities(kept | 1ULL << CAP_SETPCAP, kept);
    for (unsigned capability = 0; capability <= prepared_.last_capability; ++capability) {
        if (has(kept, capability)) must_about(Stage::capabilities, ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "raising capability", capability);
    }
    must_about(Stage::secure_bits, ::prctl(PR_SET_SECUREBITS, last_secure_bits, 0, 0, 0), "secure bits", static_cast<std::int64_t>(last_secure_bits));
    set_capabilities(kept, kept);
}

// After the last change of credentials, which clears it. A parent that died before this line is seen by its pidfd:
// getppid() says 0 in another pid namespace, whoever the parent is.
void Child::die_with_parent() {
    must(Stage::parent_death, ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "the signal at warderd's death");
    pollfd gone{parent, POLLIN, 0};
    if (::poll(&gone, 1, 0) != 0) fail(Stage::parent_death, ESRCH, "warderd is gone");
}

void Child::refuse_new_privileges() {
    if (plan_.no_new_privileges) must(Stage::no_new_privileges, ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privileges");
}

// Kept by exec: the program begins with it.
void Child::memory_deny_write_execute() {
    if (!plan_.memory_deny_write_execute) return;
    must(Stage::memory, ::prctl(kernel::pr_set_mdwe, kernel::mdwe_refuse_exec_gain, 0UL, 0UL, 0UL), "memory_deny_write_execute");
}

void Child::confine_files() {
    if (plan_.landlock) must_be_zero(Stage::landlock, landlock::restrict_self(ruleset_), "the domain: at most 16 lie one in another");
}

// The mask goes first: signals that came meanwhile act now, by default. After the filter only exec is left.
void Child::unblock_signals() {
    const unsigned long none = 0;
    must(Stage::session, ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none), "its mask of signals");
}

void Child::confine_calls(const seccomp::Program& calls) {
    unblock_signals();
    if (!plan_.calls.enabled) return;
    must_be_zero(Stage::seccomp, seccomp::install(calls.data(), static_cast<unsigned short>(calls.size()),
                                                   seccomp::Speculation::as_filters_have_it,
                                                   plan_.calls.log_denied ? seccomp::Logging::denials : seccomp::Logging::none),
                 "its filter of system calls");
}

// Waits for the listener's number where the other thread puts it: no call of that one's would be sure to pass its filter. Only
// calls that fail touch errno, which is the other's too.
int Child::hand_over(void* child) {
    auto& self = *static_cast<Child*>(child);
    const timespec pause{0, 20'000};
    int listener = -1;
    while ((listener = handover.listener.load(std::memory_order_acquire)) < 0) ::syscall(SYS_nanosleep, &pause, nullptr);
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof listener)]{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof listener);
    __builtin_memcpy(CMSG_DATA(header), &listener, sizeof listener);
    if (::syscall(SYS_sendmsg, syscall_monitor, &message, MSG_NOSIGNAL) < 0) self.fail(Stage::evidence, errno, "handing its listener to its syscall monitor");
    // From here on the syscall monitor alone holds it: when that dies, nobody waits for an answer.
    ::syscall(SYS_close, listener);
    ::syscall(SYS_close, syscall_monitor);
    for (;;) ::syscall(SYS_exit, 0);
}

// While we are root and have no limit on processes yet.
void Child::begin_handover() {
    if (!plan_.calls.monitored) return;
    constexpr int thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    must(Stage::evidence, ::clone(hand_over, handover.stack + sizeof handover.stack, thread, this), "a second thread");
}

// With a syscall monitor the listener's own call comes back when it has the listener, and proves that it answers.
void Child::confine_worker_calls() {
    if (!plan_.calls.monitored) return confine_calls(prepared_.filters->calls);
    unblock_signals();
    const auto& calls = prepared_.filters->telling_calls;
    const int listener = seccomp::install_telling(calls.data(), static_cast<unsigned short>(calls.size()), plan_.calls.log_denied);
    if (listener < 0) fail(Stage::evidence, -listener, "the listener of its filter");
    handover.listener.store(listener, std::memory_order_release);
    proof_.syscall_monitor = ::syscall(seccomp::listener_call, 0UL) < 0 ? errno : 0;
    if (proof_.syscall_monitor != seccomp::listener_answer) fail(Stage::evidence, ESRCH, "its syscall monitor");
}

// Which of the first 32 are open, by one call; then which of those stay open over exec. A worker that may have fewer cannot poll
// as many: then all are asked about.
std::uint32_t open_over_exec() {
    pollfd table[32];
    for (int fd = 0; fd < 32; ++fd) table[fd] = {fd, 0, 0};
    const bool told = ::poll(table, 32, 0) >= 0;
    std::uint32_t open = 0;
    for (const auto& entry : table) {
        if (told && (entry.revents & POLLNVAL) != 0) continue;
        const int flags = ::fcntl(entry.fd, F_GETFD);
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0) open |= 1U << entry.fd;
    }
    return open;
}

// What only the process itself can ask, and what no filter can change any more.
void Child::look_at_itself() {
    proof_.securebits = or_errno(::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    int signal = 0;
    proof_.parent_death_signal = ::prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0) == 0 ? signal : -errno;
    proof_.memory_deny = or_errno(::prctl(kernel::pr_get_mdwe, 0, 0, 0, 0));
    proof_.personality = or_errno(::syscall(SYS_personality, 0xffffffffUL));
    look_at_keyring();
    utsname names{};
    if (::uname(&names) == 0) std::memcpy(proof_.hostname, names.nodename, sizeof proof_.hostname);
    // Nothing was left open above the slots; what is there now would have been opened since, and low numbers come first.
    proof_.descriptors = open_over_exec();
}

// Only where it made one: asking for what is not there would make one that is shared with its user.
void Child::look_at_keyring() {
    if (!plan_.private_keyring || proof_.keyring_made < 0) return;
    proof_.keyring = or_errno(::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
    proof_.keyring_size = or_errno(::syscall(SYS_keyctl, KEYCTL_READ, KEY_SPEC_SESSION_KEYRING, nullptr, 0));
}

int bind_anywhere() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    sockaddr_in any{};
    any.sin_family = AF_INET;
    const int error = ::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0 ? 0 : errno;
    ::close(fd);
    return error;
}

int list_root() {
    const int fd = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    ::close(fd);
    return 0;
}

void Child::try_what_is_forbidden() {
    if (prepared_.forbidden_act == ForbiddenAct::list_root) proof_.landlock = list_root();
    if (prepared_.forbidden_act == ForbiddenAct::bind_tcp) proof_.landlock = bind_anywhere();
}

// The filter is in force: what it must deny is tried, and then there is nothing left but exec. A filter that denies write(2)
// too lets no proof out; the receipt knows which.
void Child::tell_proof() {
    const auto& call = prepared_.forbidden_call;
    const auto& with = call.arguments;
    if (call.number >= 0 && ::syscall(call.number, with[0], with[1], with[2], with[3], with[4], with[5]) < 0) proof_.calls = errno;
    [[maybe_unused]] const ssize_t size = ::write(status_, &proof_, sizeof proof_);
    if (plan_.calls.monitored) ::syscall(seccomp::listener_call, 1UL);
}

// With the word that nothing failed.
void Child::wait_to_be_ended() {
    const SetupFailure none;
    [[maybe_unused]] const ssize_t size = ::write(status_, &none, sizeof none);
    for (;;) ::syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0);
}

void Child::run_stub() {
    char name[] = "warder-stub";
    char* const arguments[] = {name, nullptr};
    char* const environment[] = {nullptr};
    ::syscall(SYS_execveat, program, "", arguments, environment, AT_EMPTY_PATH);
    fail(Stage::exec, errno, "warder-stub");
}

void Child::run_program(char* const* environment) {
    ::execve(plan_.program.c_str(), prepared_.arguments.data(), environment);
    fail(Stage::exec, errno, plan_.program.c_str());
}

int or_else(int fd, int otherwise) { return fd >= 0 ? fd : otherwise; }

const StringVector& environment_for(const Prepared& prepared, const Given& given) {
    if (given.broker < 0) return prepared.environment;
    return given.store < 0 ? prepared.environment_with_socket : prepared.environment_with_store;
}

}  // namespace

// Before a function that does not return a sanitizer makes calls of its own, which the filter that is there by then may refuse.
#define WARDER_ENDS_IN_EXEC __attribute__((no_sanitize("address")))

WARDER_ENDS_IN_EXEC void enter_as_stub(const Prepared& prepared, const Given& given) {
    Child child(prepared, given);
    const int mounts = prepared.mounts ? prepared.mounts->name_space.get() : -1;
    child.let_itself_be_seen();
    child.reset_signals();
    child.start_session();
    child.place_descriptors({given.parent, -1, -1, -1, -1, given.status, given.parent, -1, mounts, prepared.stub.get(), -1, -1});
    child.set_oom_score();
    child.make_namespaces();
    child.make_mounts();
    child.set_hostname();
    child.build_stub_rules();
    child.drop_bounding_set(0);
    child.set_secure_bits(0);
    child.set_groups({});
    // Not the worker's: of a process of its own uid a worker may set limits, priority and processors. Root's without a capability,
    // under a filter and with nothing open, is no more than anybody's.
    child.become_user(0, 0);
    child.limit_capabilities(0);
    child.die_with_parent();
    child.refuse_new_privileges();
    child.confine_files();
    child.confine_calls(prepared.filters->stub_calls);
    child.run_stub();
}

WARDER_ENDS_IN_EXEC void enter_to_be_looked_at(const Prepared& prepared, const Given& given) {
    Child child(prepared, given);
    const int mounts = prepared.mounts ? prepared.mounts->name_space.get() : -1;
    child.let_itself_be_seen();
    child.reset_signals();
    child.start_session();
    child.place_descriptors({given.parent, -1, -1, -1, -1, given.status, given.parent, -1, mounts, -1, -1, -1});
    child.die_with_parent();
    child.make_mounts();
    child.wait_to_be_ended();
}

WARDER_ENDS_IN_EXEC void enter_as_worker(const Prepared& prepared, const Given& given) {
    Child child(prepared, given);
    const int null = child.open_null();
    const int written = or_else(given.output, null);
    const int mounts = prepared.mounts && given.stub < 0 ? prepared.mounts->name_space.get() : -1;
    child.let_itself_be_seen();
    child.reset_signals();
    child.start_session();
    const int terminal = child.open_terminal();
    child.place_descriptors({or_else(terminal, null), or_else(terminal, written), or_else(terminal, or_else(given.error, written)),
                             given.broker, given.store, given.status, given.parent, given.stub, mounts, -1, given.syscall_monitor,
                             prepared.user_namespace ? prepared.user_namespace.get() : -1});
    child.take_terminal();
    child.set_oom_score();
    const int shown_output = child.take_output(given);
    if (given.stub >= 0) {
        child.join_namespaces();
    } else {
        child.make_namespaces();
        child.make_mounts();
        child.set_hostname();
    }
    child.show_output(shown_output);
    child.make_cgroup_namespace();
    child.build_worker_rules();
    // A process of two threads cannot move into a user namespace; and root's are not counted against its limit.
    const bool moves = prepared.plan.user_namespace;
    if (!moves) child.begin_handover();
    child.set_limits();
    child.set_priorities();
    child.set_affinity();
    child.reset_personality();
    child.set_groups(prepared.plan.groups);
    child.join_user_namespace();
    if (moves) child.begin_handover();
    child.drop_bounding_set(prepared.plan.capabilities);
    child.set_secure_bits(prepared.plan.capabilities);
    child.become_user(prepared.inside_uid, prepared.inside_gid);
    child.join_keyring();
    child.limit_capabilities(prepared.plan.capabilities);
    child.change_directory();
    child.die_with_parent();
    child.memory_deny_write_execute();
    child.refuse_new_privileges();
    child.confine_files();
    ::umask(prepared.plan.umask);
    child.look_at_itself();
    child.try_what_is_forbidden();
    child.confine_worker_calls();
    child.tell_proof();
    child.run_program(environment_for(prepared, given).data());
}

}  // namespace warder::sandbox
