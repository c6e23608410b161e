// Task: one decided operation, with everything that carrying it out needs and nothing of the config. The parent performs
// those that cannot wait; the rest go to an opener, which gets the same values. Texts and descriptors are borrowed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "base/operation.h"
#include "base/reason.h"
#include "broker/make.h"
#include "broker/texts.h"
#include "policy/address.h"
#include "policy/grant.h"
#include "sys/fd.h"
#include "sys/privileges.h"

namespace warder::broker {

struct Task {
    Operation operation{};
    std::uint16_t flags = 0;           // OpenFlag bits
    std::uint32_t mode = 0;            // create: permission bits
    policy::As as = policy::As::worker;
    uid_t owner = 0;                   // as root: who may own what is opened, beside root
    gid_t owner_group = 0;
    bool owned = false;                // as root: what is made is given to `owner`
    bool cross_mounts = false;
    bool local = false;                // the held directory is on a file system where nothing waits for others
    bool overlay = false;              // overlayfs: reading only without waiting
    int directory = -1;                // held; -1: `prefix` is opened first, by an opener
    std::string_view prefix;           // absolute path of the directory, for when it is not held
    Making making = Making::nothing;   // by an opener, before all else, if it is absent below `prefix`; with `making_mode`
    std::uint32_t making_mode = 0;
    std::string_view path;             // below the directory: a file grant's own name, or what was asked for
    std::string_view second;           // rename
    policy::Address address;           // connect
    std::uint64_t argument = 0;        // truncate, watch
    policy::Family family{};           // raw
    std::uint32_t protocol = 0;        // raw, packet, netlink
    std::string_view interface;        // packet, device
    bool writes = false;               // device
    std::uint64_t memory_left = 0;     // list, secret: bytes that may be made for the worker (memory_account.h)
};

// A secret that is pushed, since it changed: `argument` is its generation, and the answer is an event. (A secret that is asked for
// has no argument.)
inline bool is_push(const Task& task) { return task.operation == Operation::secret && task.argument != 0; }

// Whether this process may wait. The parent never does; what would wait comes back as Reason::would_block.
enum class Patience : std::uint8_t { never, until_deadline };

struct Performed {
    Fd fd;                             // to be lent; empty for operations that lend nothing and on failure
    Reason reason = Reason::ok;
    int error = 0;
    std::uint64_t value = 0;           // connect: 1 while it is still connecting. secret: its size in bytes
    std::uint64_t device = 0;          // of what is lent, to find it again among the worker's descriptors
    std::uint64_t inode = 0;
    std::string_view data;             // what the operation found; lies in the Texts given to perform()
    std::uint32_t generation = 0;      // of memory that was made, and its bytes
    std::uint32_t memory = 0;
    bool large = false;                // a file of which the last close may take long, were it unlinked
};

// The largest secret that is lent, in bytes.
inline constexpr std::size_t max_secret = 1 << 20;

// Carries `task` out with the credentials that it asks for: `worker`'s or root's. Data goes into `texts`.
Performed perform(const Task& task, Patience patience, Privileges& privileges, const Identity& worker, Texts& texts);

}  // namespace warder::broker
