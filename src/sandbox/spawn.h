// Starting a process in a sandbox. Prepared holds everything that can be made once and used at each start: argument vectors,
// the seccomp program, the mount tree. spawn_stub() makes the sandbox (namespaces, with a small reaper as its PID 1);
// spawn_worker() lets the worker move in as the caller's own child. It may be made ahead of need. Neither ever waits for a child: the status pipe says
// how it went, and the caller's loop watches it. Nothing here knows of grants or of lives.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/plan.h"
#include "sandbox/proof.h"
#include "sandbox/stage.h"
#include "sys/fd.h"
#include "sys/seccomp.h"

namespace warder::sandbox {

// The number that the broker's socket gets in the worker.
inline constexpr int worker_socket = 3;
// ... and that of its descriptor store, if it has one.
inline constexpr int worker_store = 4;

// What one life gets beside its plan. All descriptors stay the caller's.
struct Descriptors {
    int broker = -1;     // becomes WARDER_SOCKET
    int store = -1;      // becomes WARDER_STORE; only beside a broker
    int output = -1;     // becomes 1 and 2
    int error = -1;      // becomes 2 if it is not -1
    bool output_is_named = false;   // `output` is a FIFO that nobody may read by its name: the sandbox shows it as /dev/stdout
    int syscall_monitor = -1;    // a syscall monitor's socket: where the plan wants one
    int cgroup = -1;     // a directory of cgroup v2 to be born in, or -1
};

// A child whose set-up has begun. `status` closes when the program runs, after one Proof of a worker's child, or holds one
// SetupFailure.
struct Spawned {
    pid_t pid = -1;
    Fd pidfd;
    Fd status;
};

class Prepared;   // opaque: spawn.cc and enter.cc know it

struct PreparedDeleter {
    void operator()(Prepared* prepared) const;
};
using PreparedSandbox = std::unique_ptr<Prepared, PreparedDeleter>;

// Why a plan cannot be carried out here: the item, and what to do about it, in words.
struct Unfit {
    std::string item;
    std::string why;
};

// Of a plan without a pid namespace, where the worker gets no group either: neither would end with the run what has left its session.
inline constexpr std::string_view needs_group_to_end =
    "is off, and there is no cgroup: what the worker leaves behind would live on after it is stopped; instead: pid_namespace = true in "
    "[worker.NAME.sandbox], or a cgroup for warderd (systemd: Delegate=yes; [daemon] cgroup)";

// Builds all that can be built once. May wait for the child that builds the mounts, at most 5 s. `stub_path` is where
// warder-stub lies; empty: beside this program, or where it is installed. `controllers` are those of cgroup v2 that the
// worker's group has, as cgroup.controllers names them: none without a group of its own.
// Errors: a plan that this kernel cannot carry out is EOPNOTSUPP, one that contradicts itself EINVAL, a file that must be
// there and is not ENOENT, each with `unfit` filled in; others are those of the call that failed.
Result<PreparedSandbox> prepare(const Plan& plan, Unfit& unfit, const std::string& stub_path = {}, const std::string& controllers = {});

// Makes the sandbox's mounts for real, as a start would, in namespaces that nobody stays in, and looks whether all of them are there. On
// the host nothing is made: directories of the worker's own that are not there yet are left out. Only as root. Waits, at most 10 s.
// Errors: as prepare(), with `unfit` filled in.
Result<void> try_mounts(const Plan& plan, Unfit& unfit);

// For `check`: whether prepare() would be able to, of what it can tell without changing anything on this machine. It makes the
// worker's mounts in a namespace that is gone at once, but none of its directories: those that are not there are left out.
Result<void> rehearse(Plan plan, Unfit& unfit, const std::string& controllers);

// Whether something on the host that the sandbox shows (the program, a bind, the loader's cache) is another file than when
// it was prepared: then prepare it anew before the next start. Costs a look into the kernel's memory for each. What others answer for
// (NFS, FUSE and the like) takes waiting for them, which a preparation does, with a limit: with `Theirs::asked` it always is another.
enum class Theirs : std::uint8_t { left_alone, asked };
bool stale(const Prepared& prepared, Theirs theirs = Theirs::left_alone);

// The files (not directories) that the sandbox shows by a bind of their own and that were replaced on the host since, by an editor or a
// package: who runs in the sandbox sees what was there before.
std::vector<std::string> replaced_files(const Prepared& prepared);

// The plan as it is carried out here: without what it prefers and this kernel lacks.
const Plan& plan_of(const Prepared& prepared);

// The worker's filter as it was planned, before it tells anybody: what a syscall monitor answers by. Empty: it has none.
const seccomp::Program& filter_of(const Prepared& prepared);

// Whether the plan wants a stub (a pid namespace of its own).
bool needs_stub(const Prepared& prepared);

// Both are called as root: the caller performs with its own credentials, not a worker's (see sys/privileges.h), and needs
// CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SYS_CHROOT, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, and CAP_SYS_RESOURCE where limits,
// nice or the oom score get better than its own. Errors: those of clone3, setns and pipe2; EOPNOTSUPP where the kernel
// cannot clone into a cgroup.

// Makes the namespaces and the stub that is PID 1 in them. The caller kills it to end everything inside. The stub itself stays
// in the caller's cgroup: it is no process of the worker's, and may be there before the worker's group is.
Result<Spawned> spawn_stub(const Prepared& prepared);

// Whether a stub may be made long before its worker moves in. Not where what it makes is to be looked up at each start (a network
// by path, the host's own mounts, the layers of an overlay, which must not change under it), and not where it would count against the worker's own limit of processes.
bool may_be_made_ahead(const Prepared& prepared);

// The stage at which a spawn with these descriptors failed before there was a child: Stage::cgroup where the group did not take
// it, Stage::none where it was nothing of the sandbox's.
Stage stage_of(const Error& failed, const Descriptors& descriptors);

// Starts the program: inside the stub's namespaces if `stub_pidfd` is not -1. The caller's own pid namespace is as before
// when this returns, whatever happened.
Result<Spawned> spawn_worker(const Prepared& prepared, const Descriptors& descriptors, int stub_pidfd);

// Reads what the status pipe says, without waiting: nothing yet (nullopt), running (Stage::none), or a failure. What the
// child has proved of itself comes before the end, and is put into `proof`.
std::optional<SetupFailure> read_status(int status_fd, std::optional<Proof>* proof = nullptr);

}  // namespace warder::sandbox
