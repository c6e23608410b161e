#include "sandbox/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/mount_table.h"
#include "sandbox/enter.h"
#include "sandbox/prepared.h"
#include "sandbox/receipt.h"
#include "sys/files.h"
#include "sys/namespaces.h"
#include "sys/process.h"

namespace warder::sandbox {
namespace {

struct StatusPipe {
    Fd reading;   // ours, non-blocking
    Fd writing;   // the child's
};

Result<StatusPipe> make_status_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    StatusPipe pipe{Fd(ends[0]), Fd(ends[1])};
    if (::fcntl(pipe.reading.get(), F_SETFL, O_NONBLOCK) != 0) return failure("fcntl(F_SETFL)");
    return pipe;
}

using Entrance = void (*)(const Prepared&, const Given&);

struct Birth {
    std::uint64_t namespaces = 0;   // made for it
    int cgroup = -1;
    bool by_helper = false;         // in the pid namespace of the stub, where warderd itself cannot go and come back
};

Result<Cloned> clone_child(const Birth& birth, int stub) {
    return birth.by_helper ? clone_through_helper(stub, birth.cgroup) : clone_process(birth.namespaces, birth.cgroup);
}

// Clones a child that goes through `entrance` and never comes back.
Result<Spawned> start(const Prepared& prepared, Given given, Entrance entrance, const Birth& birth) {
    StatusPipe pipe = TRY(make_status_pipe());
    const Fd self = TRY(open_pidfd(::getpid()));
    given.status = pipe.writing.get();
    given.parent = self.get();
    const SignalsBlocked blocked;
    Cloned child = TRY(clone_child(birth, given.stub));
    if (child.pid == 0) {
        entrance(prepared, given);
        ::_exit(exit_status_of(Stage::exec));   // never reached, and never into the parent's code
    }
    return Spawned{child.pid, std::move(child.pidfd), std::move(pipe.reading)};
}

Given given_by(const Descriptors& descriptors) {
    return {.output = descriptors.output, .error = descriptors.error, .output_is_named = descriptors.output_is_named,
            .broker = descriptors.broker, .store = descriptors.store, .syscall_monitor = descriptors.syscall_monitor};
}

}  // namespace

namespace {

constexpr int looked_at_within_ms = 5000;

Failure unfit_for(Unfit& unfit, std::string item, std::string why, int error) {
    unfit = {std::move(item), std::move(why)};
    return failure(error, "trying the mounts");
}

// The first that should be there and is not.
Result<void> find_mounts(const Prepared& prepared, pid_t pid, Unfit& unfit) {
    const std::string there = TRY(read_file("/proc/" + std::to_string(pid) + "/mountinfo", 16 << 20));
    for (const auto& mount : expected_of(prepared, {}, {}).mounts) {
        if (!mount.at_path || mount_of(there, mount.path).point == mount.path) continue;
        return unfit_for(unfit, mount.path, "would be hidden by something else that the sandbox shows", EINVAL);
    }
    return {};
}

}  // namespace

Result<void> try_mounts(const Plan& plan, Unfit& unfit) {
    if (!plan.mount_namespace) return {};
    const PreparedSandbox prepared = TRY(prepare_to_look(plan, unfit));
    const Spawned child = TRY(start(*prepared, {}, enter_to_be_looked_at, {.namespaces = CLONE_NEWPID}));
    pollfd ready{child.status.get(), POLLIN, 0};
    const bool said = ::poll(&ready, 1, looked_at_within_ms) == 1;
    const auto failed = said ? read_status(child.status.get()) : std::nullopt;
    Result<void> found;
    if (failed && failed->stage == Stage::none) found = find_mounts(*prepared, child.pid, unfit);
    (void)send_signal(child.pidfd.get(), SIGKILL);
    if (ended_within(child.pidfd.get(), looked_at_within_ms)) (void)reap(child.pidfd.get());
    if (!failed) return unfit_for(unfit, "sandbox", "its mounts were not made in time", ETIMEDOUT);
    if (failed->stage == Stage::none) return found;
    const bool named = failed->object[0] == '/';
    return unfit_for(unfit, named ? failed->object : "sandbox", "cannot be mounted: " + std::string(::strerror(failed->error)), failed->error);
}

Result<Spawned> spawn_stub(const Prepared& prepared) {
    if (!needs_stub(prepared)) return failure(EINVAL, "starting a stub without a pid namespace");
    return start(prepared, {}, enter_as_stub, {.namespaces = CLONE_NEWPID});
}

Result<Spawned> spawn_worker(const Prepared& prepared, const Descriptors& descriptors, int stub_pidfd) {
    if (needs_stub(prepared) != (stub_pidfd >= 0)) return failure(EINVAL, "starting a worker");
    if (prepared.plan.calls.monitored != (descriptors.syscall_monitor >= 0)) return failure(EINVAL, "starting a worker with its syscall monitor");
    Given given = given_by(descriptors);
    Birth birth{.cgroup = descriptors.cgroup};
    if (stub_pidfd < 0) return start(prepared, given, enter_as_worker, birth);
    given.stub = stub_pidfd;
    birth.by_helper = prepared.plan.without_root;
    if (birth.by_helper) return start(prepared, given, enter_as_worker, birth);
    const PidNamespaceScope inside = TRY(PidNamespaceScope::enter(stub_pidfd, prepared.own_pid_namespace));
    return start(prepared, given, enter_as_worker, birth);
}

// clone(2): what a group answers. EAGAIN and ENOMEM may be anybody's.
Stage stage_of(const Error& failed, const Descriptors& descriptors) {
    if (descriptors.cgroup < 0) return Stage::none;
    switch (failed.number) {
        case EACCES:
        case EBADF:
        case EBUSY:
        case ENODEV:
        case ENOENT:
        case EOPNOTSUPP: return Stage::cgroup;
        default: return Stage::none;
    }
}

// A proof comes first or not at all, and each is written at once: the sizes tell which there are.
std::optional<SetupFailure> read_status(int status_fd, std::optional<Proof>* proof) {
    static_assert(sizeof(Proof) != sizeof(SetupFailure));
    char said[sizeof(Proof) + sizeof(SetupFailure)];
    const char* at = said;
    ssize_t size = ::read(status_fd, said, sizeof said);
    if (size == sizeof(Proof) || size == sizeof said) {
        if (proof != nullptr) std::memcpy(&proof->emplace(), said, sizeof(Proof));
        if (size == sizeof said) at += sizeof(Proof);
        size = size == sizeof said ? static_cast<ssize_t>(sizeof(SetupFailure)) : ::read(status_fd, said, sizeof(SetupFailure));
    }
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    if (size == 0) return SetupFailure{};
    SetupFailure failure;
    if (size != sizeof failure) return SetupFailure{Stage::exec, size < 0 ? errno : EIO};
    std::memcpy(&failure, at, sizeof failure);
    failure.object[sizeof failure.object - 1] = '\0';
    return failure;
}

}  // namespace warder::sandbox
