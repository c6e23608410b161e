#include "bench/spawn_floor.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "sandbox/proof.h"
#include "sys/kernel.h"
#include "sys/landlock.h"
#include "sys/namespaces.h"
#include "sys/process.h"
#include "sys/seccomp.h"

namespace warder::bench {
namespace {

using sandbox::Prepared;

void must(long result) {
    if (result < 0) ::_exit(1);
}

// `status` as 3, which closes at exec; nothing above.
void place_descriptors(int status) {
    const int lifted = ::fcntl(status, F_DUPFD_CLOEXEC, 32);
    must(lifted);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    must(null);
    for (int fd = 0; fd < 3; ++fd) must(::dup3(null, fd, 0) < 0 ? -1 : 0);
    ::close(null);
    must(::dup3(lifted, 3, O_CLOEXEC));
}

void write_oom_score() {
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    must(fd);
    must(::write(fd, "0", 1));
    ::close(fd);
}

[[noreturn]] void be_reaper(const Prepared& prepared, int parent) {
    must(::setsid());
    must(::unshare(CLONE_NEWIPC | CLONE_NEWUTS));
    must(::unshare(CLONE_NEWNET));
    must(::setns(prepared.mounts->name_space.get(), CLONE_NEWNS));
    must(::unshare(CLONE_NEWNS));
    must(::mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, prepared.tmp_options.c_str()));
    must(::sethostname(prepared.hostname.c_str(), prepared.hostname.size()));
    must(::dup2(parent, 0));
    char name[] = "bench-reaper";
    char* const arguments[] = {name, nullptr};
    char* const environment[] = {nullptr};
    ::syscall(SYS_execveat, prepared.stub.get(), "", arguments, environment, AT_EMPTY_PATH);
    ::_exit(1);
}

int collect_rules(const Prepared& prepared) {
    const int ruleset = landlock::create_ruleset(prepared.rights.handled);
    must(ruleset);
    for (const auto& right : prepared.rights.paths) {
        const int fd = ::open(right.path.c_str(), O_PATH | O_CLOEXEC);
        if (fd < 0) continue;
        must(-landlock::allow_beneath(ruleset, fd, right.rights));
        ::close(fd);
    }
    return ruleset;
}

void give_up_capabilities(const Prepared& prepared) {
    for (unsigned capability = 0; capability <= prepared.last_capability; ++capability) {
        if ((prepared.bounding >> capability & 1) != 0) must(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0));
    }
    must(::prctl(PR_SET_SECUREBITS, sandbox::worker_securebits, 0, 0, 0));
}

void become_user(const sandbox::Plan& plan) {
    must(::syscall(SYS_setgroups, 0, nullptr));
    must(::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid));
    must(::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid));
    ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2]{};
    must(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    must(::syscall(SYS_capset, &header, none));
}

[[noreturn]] void be_program(const Prepared& prepared, int reaper, int status) {
    must(::setsid());
    const int inside = ::fcntl(reaper, F_DUPFD_CLOEXEC, 64);
    must(inside);
    place_descriptors(status);
    must(::dup3(inside, 4, O_CLOEXEC));
    must(::syscall(SYS_close_range, 5, ~0U, 0));
    write_oom_score();
    must(::setns(4, static_cast<int>(prepared.namespaces & ~std::uint64_t{CLONE_NEWCGROUP})));
    must(::unshare(CLONE_NEWCGROUP));
    must(::chdir("/"));
    const int ruleset = collect_rules(prepared);
    for (const auto& limit : prepared.limits) {
        const rlimit values{limit.soft, limit.hard};
        must(::syscall(SYS_prlimit64, 0, limit.resource, &values, nullptr));
    }
    const int priority = prepared.plan.scheduling.priority;
    must(::setpriority(PRIO_PROCESS, 0, 0));
    must(::syscall(SYS_ioprio_set, 1, 0, 0));
    must(::syscall(SYS_sched_setscheduler, 0, static_cast<int>(prepared.plan.scheduling.scheduler), &priority));
    must(::syscall(SYS_personality, 0UL));
    give_up_capabilities(prepared);
    become_user(prepared.plan);
    must(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    if (prepared.plan.memory_deny_write_execute) must(::prctl(kernel::pr_set_mdwe, kernel::mdwe_refuse_exec_gain, 0UL, 0UL, 0UL));
    must(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    must(-landlock::restrict_self(ruleset));
    ::umask(prepared.plan.umask);
    must(-seccomp::install(prepared.filters->calls.data(), static_cast<unsigned short>(prepared.filters->calls.size())));
    ::execve(prepared.plan.program.c_str(), prepared.arguments.data(), prepared.environment.data());
    ::_exit(1);
}

// The pipe that closes at exec; then the child must still be there.
Result<void> wait_for_exec(Fd pipe, int child) {
    char byte = 0;
    if (::read(pipe.get(), &byte, 1) < 0) return failure("read");
    pollfd ended{child, POLLIN, 0};
    siginfo_t how{};
    if (::poll(&ended, 1, 0) == 0) return {};
    if (::waitid(P_PIDFD, static_cast<id_t>(child), &how, WEXITED | WNOWAIT) != 0) return failure("waitid");
    if (how.si_status != 0) return failure(ECHILD, "spawning bare");
    return {};
}

struct Pipe {
    Fd reading;
    Fd writing;
};

Result<Pipe> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

Result<Fd> spawn_bare_reaper(const Prepared& prepared) {
    const Fd self = TRY(open_pidfd(::getpid()));
    Pipe pipe = TRY(make_pipe());
    Cloned child = TRY(clone_process(CLONE_NEWPID, -1));
    if (child.pid == 0) be_reaper(prepared, self.get());
    pipe.writing.reset();
    TRY(wait_for_exec(std::move(pipe.reading), child.pidfd.get()));
    return std::move(child.pidfd);
}

Result<Fd> spawn_bare_program(const Prepared& prepared, const Fd& reaper) {
    Pipe pipe = TRY(make_pipe());
    Cloned child;
    {
        const PidNamespaceScope inside = TRY(PidNamespaceScope::enter(reaper.get(), prepared.own_pid_namespace));
        child = TRY(clone_process(0, -1));
        if (child.pid == 0) be_program(prepared, reaper.get(), pipe.writing.get());
    }
    pipe.writing.reset();
    TRY(wait_for_exec(std::move(pipe.reading), child.pidfd.get()));
    return std::move(child.pidfd);
}

}  // namespace warder::bench
