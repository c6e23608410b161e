// Prepared: a plan made ready to be carried out many times. Private to this module: prepared.cc fills it, enter.cc only reads
// it, in a child that must not allocate, so everything here is in the form in which the kernel wants it.
#pragma once

#include <linux/filter.h>

#include <memory>
#include <string>
#include <vector>

#include "sandbox/forbidden.h"
#include "sandbox/mount_tree.h"
#include "sandbox/plan.h"
#include "sandbox/rights.h"
#include "sandbox/spawn.h"
#include "sys/fd.h"
#include "sys/seccomp.h"

namespace warder::sandbox {

// NULL-terminated, as execve wants it, with the strings that it points to.
class StringVector {
public:
    StringVector() = default;
    explicit StringVector(std::vector<std::string> strings);
    StringVector(const StringVector&) = delete;
    StringVector& operator=(const StringVector&) = delete;
    char* const* data() const { return pointers_.data(); }

private:
    std::vector<std::string> strings_;
    std::vector<char*> pointers_{nullptr};
};

// What the child needs for one overlay: a file system for what is written, in it a directory that becomes the top of the tree and one
// that the kernel works in, and then the overlay.
struct OverlayMounts {
    std::string top;
    std::string top_options;
    std::string upper;
    std::string work;
    std::string target;
    std::string options;
};

// The seccomp filters of a sandbox. Shared by all whose rules are the same; all empty where there are none.
struct Filters {
    seccomp::Program calls;                 // the worker's
    seccomp::Program telling_calls;         // the same, as it is installed where a syscall monitor is to see what it denies
    seccomp::Program stub_calls;
};

class Prepared {
public:
    explicit Prepared(const Plan& from);

    const Plan plan;
    StringVector arguments;
    StringVector environment;               // as planned
    StringVector environment_with_socket;   // and WARDER_SOCKET
    StringVector environment_with_store;    // and WARDER_STORE
    std::uint64_t namespaces = 0;           // CLONE_NEW* of the plan, without the pid namespace
    std::string hostname;
    std::string tmp_options;
    std::vector<std::string> memory_options;   // of each memory directory
    std::vector<std::string> memory_targets;   // likewise, without the links in it that are the sandbox's own
    std::string secrets_options;            // of the tmpfs of secret files
    std::string secrets_in_memory;          // likewise, and never swapped out
    std::string ptys_options;               // of its devpts
    std::vector<OverlayMounts> overlays;    // of each overlay
    uid_t inside_uid = 0;                   // the worker's numbers as it sees them: in its user namespace, if it has one
    gid_t inside_gid = 0;
    Fd user_namespace;
    std::string time_offsets;
    std::vector<Limit> limits;              // the plan's, and what core dumps want
    std::vector<unsigned long> cpus;        // a mask, as sched_setaffinity wants it; empty: unchanged

    std::shared_ptr<const Filters> filters = std::make_shared<Filters>();
    Rights rights;                          // no handled rights: no Landlock
    MountTree tree;
    std::shared_ptr<const MountTemplate> mounts;   // of a root of its own
    unsigned last_capability = 0;
    std::uint64_t bounding = 0;             // this process's own set, which can only get smaller
    ForbiddenCall forbidden_call;           // what the child tries, to prove the filter and
    ForbiddenAct forbidden_act = ForbiddenAct::none;   // ... Landlock
    std::uint64_t signals = 0;              // bit 0 is signal 1: those that this process handled or ignored when it prepared
    unsigned inherited_filters = 0;         // seccomp filters that this process is under itself

    Fd stub;                                // the warder-stub binary
    Fd own_pid_namespace;
};

// The half of prepare() that is about mounts, for a plan whose own directories may not be there. Errors: as prepare().
Result<PreparedSandbox> prepare_to_look(const Plan& plan, Unfit& unfit);

}  // namespace warder::sandbox
