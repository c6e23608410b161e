// What the worker sees as "/": laid out as a value, then built once as a template mount namespace that every start copies.
// Making the copy costs the same however many mounts the host has. The template is built by a short-lived child, because
// a process that has left its own mount namespace cannot safely go on being warderd.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/plan.h"
#include "sandbox/program.h"
#include "sandbox/reach.h"
#include "sandbox/spawn.h"
#include "sys/fd.h"
#include "sys/mounts.h"

namespace warder::sandbox {

// Something made on the root's tmpfs. Paths are relative to the sandbox's "/".
struct Node {
    enum class Kind : std::uint8_t {
        directory, empty_file, text_file, link,
        program_copy,   // of a file of the host, which everybody may run and nobody but root may read
    };
    Kind kind = Kind::directory;
    std::string path;
    std::string text;   // of a text file; where a link leads; the file that is copied
};

// A tree of the host that is shown in the sandbox.
struct Attachment {
    std::string source;   // absolute, on the host
    std::string target;   // relative to the sandbox's "/"
    mounts::Access access = mounts::Access::read_only;
    mounts::Devices devices = mounts::Devices::hidden;
    bool no_execute = false;
    mounts::Symlinks on_the_way = mounts::Symlinks::followed;   // to `target`: in a tree that is bound whoever may write there has made them
    bool at_path = false;   // no link of the host's can lie on the way to `target`
};

// What is shown below the private /tmp, which is new at each start: kept aside in the template, out of the worker's reach, and
// attached by the child.
struct LateAttachment {
    std::string kept;                        // absolute, in the template
    std::string target;                      // absolute, below /tmp
    bool directory = false;
    std::vector<std::string> parents;        // to be made first, in this order
};

// An overlay's layers, out of the worker's reach. The overlay itself is new at each start, so the child makes it.
struct Layers {
    std::string target;                      // absolute, in the sandbox, without the links in it that are the sandbox's own
    std::vector<std::string> lower;          // absolute, in the template: where those of the plan's Overlay are
    std::string top;                         // likewise: an empty directory, for what the worker will write
};

// A copied program, attached over what the host has there.
struct UnreadableProgram {
    std::string copy;      // a Node, relative to the sandbox's "/"
    std::string target;    // likewise
};

// Where a run finds what it writes to by a name; /dev/stderr is a link to it. Nothing leads there through /proc.
inline constexpr const char* output_name = "/dev/stdout";

struct MountTree {
    std::vector<Node> nodes;               // in the order in which they are made
    std::vector<Attachment> attachments;   // likewise
    std::vector<LateAttachment> late;
    std::vector<Layers> layers;            // of the plan's overlays, in their order
    std::vector<UnreadableProgram> unreadable;
    bool names_output = false;             // output_name is the place of what a run writes to
    std::uint64_t size = 1 << 20;          // bytes that the root's tmpfs may hold
    std::vector<Seen> seen;                // what the layout was computed from
};

// A path of the sandbox, relative to its "/", past the links that are the sandbox's own: /var/tmp, /var/run and /dev/shm, unless something is
// shown in their place.
std::string past_own_links(const Plan& plan, const std::string& path);

// Errors: EINVAL or ENOENT with `unfit` filled in, for a plan whose mounts contradict each other or whose source is absent.
// `facts` are of what is not to be looked at.
Result<MountTree> lay_out(const Plan& plan, const Chain& chain, Unfit& unfit, const Facts& facts = {});

// A mount namespace with the tree in it, which nobody runs in. Shared by all who laid out the same.
struct MountTemplate {
    Fd name_space;
};

// Builds it, or finds one that was built from an equal tree. Waits for the child that does it, at most 5 s.
// Errors: those of the mount calls, ETIMEDOUT; `unfit` says at which path.
Result<std::shared_ptr<const MountTemplate>> make_template(const MountTree& tree, Unfit& unfit);

}  // namespace warder::sandbox
