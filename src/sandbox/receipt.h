// Receipt: what the plan wanted beside what the kernel applied, item by item, each with its kind of evidence. Comparing is
// pure: texts of /proc and a child's proof go in, items come out. What nobody could see is never said to be in force.
//
// It is taken once in a life, when the program has just begun to run, so the program may already have changed what is its own
// to change: it may have opened files, lowered its limits, or confined itself further. What was seen therefore matches when
// it is what was wanted or tighter. Descriptors that came along through exec are told from those that it opened by the proof.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/forbidden.h"
#include "sandbox/plan.h"
#include "sandbox/proof.h"
#include "sandbox/spawn.h"

namespace warder::sandbox {

enum class Evidence : std::uint8_t {
    none,     // nobody can tell
    read,     // by the parent, from /proc, after exec
    proved,   // by the child, just before exec
};

struct ReceiptItem {
    std::string name;          // "uid", "limit nofile", "mount /usr"
    std::string wanted;
    std::string effective;     // empty: not seen
    Evidence evidence = Evidence::none;
    bool matches = true;       // what was seen is what was wanted, or tighter
    bool binding = true;       // a mismatch stops the worker
    bool confines = false;     // what was seen takes something from the program, whatever was wanted: for the score
};

struct Receipt {
    std::vector<ReceiptItem> items;
    bool taken = false;        // a process was looked at
};

// The first item that differs and must not, or null.
const ReceiptItem* mismatch(const Receipt& receipt);

// "limit nofile: wanted at most 1024, effective 4096".
std::string in_words(const ReceiptItem& item);

// Namespaces in the order of the arrays below.
inline constexpr std::array<const char*, 8> namespace_kinds = {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"};
using Namespaces = std::array<std::uint64_t, namespace_kinds.size()>;   // inodes; 0: not known

struct ExpectedOverlay {
    Overlay plan;
    std::vector<std::string> lower;   // where its layers are in the sandbox, each a mount of its own
    std::string top;                  // the tmpfs that is written to
};

struct ExpectedMount {
    std::string path;          // in the sandbox
    bool read_only = false;
    bool devices = false;      // device files work below it
    std::optional<ExpectedOverlay> overlay = {};
    bool at_path = false;      // no link leads to it: where it is not seen, it is not there
};

// What one life is held against.
struct Expected {
    Plan plan;
    std::vector<ExpectedMount> mounts;   // of a root of its own; empty: mounts are not looked at
    ForbiddenCall call;
    ForbiddenAct act = ForbiddenAct::none;
    int landlock = 0;                    // the kernel's ABI; 0: no Landlock
    bool signals_left_out = false;       // of Landlock's scope, for a fault of this kernel (rights.h)
    unsigned inherited_filters = 0;      // seccomp filters that warderd is under itself
    bool set_ids_refused = false;        // by its filter, whatever call would set them
    bool proof_can_be_sent = true;       // its filter lets write(2) through
    std::uint32_t descriptors = 0;       // bit N: N is to be open
    std::string cgroup;                  // its directory, absolute; empty: none of its own
};

// What was seen of a process. Texts are those of /proc/PID, empty where they could not be read.
struct Observed {
    bool there = false;
    std::string status;
    std::string limits;
    std::string mountinfo;
    std::string cgroup;
    std::string uid_map;
    std::string gid_map;
    std::string setgroups;               // of its user namespace
    std::string oom_score;
    std::vector<std::string> group_limits;   // of the plan's, what their files hold; empty where one cannot be read
    Namespaces theirs{};
    Namespaces ours{};
    std::optional<std::vector<int>> descriptors;
    std::optional<int> nice;
    std::optional<IoPriority> io_priority;
    std::optional<Scheduling> scheduling;
    std::optional<bool> dumpable;        // not known of a process of root's
    std::optional<Proof> proof;
};

// With an empty Observed: what is wanted, and nothing seen.
Receipt compare(const Expected& expected, const Observed& seen);

// ---- With the world ----

// What a life of this sandbox is to be.
Expected expected_of(const Prepared& prepared, const Descriptors& descriptors, std::string cgroup);

// Looks at a child that is not reaped yet, so that its pid is its own. About 45 system calls that wait for nobody.
Receipt take_receipt(const Expected& expected, pid_t pid, const std::optional<Proof>& proof);

// Pieces for who looks at other processes: a line "Key:\tvalue" of a status text without its key; empty if it is not there.
std::string_view status_field(std::string_view status, std::string_view key);

// Inodes of a process's namespaces, as far as they may be seen.
Namespaces namespaces_of(pid_t pid);

}  // namespace warder::sandbox
