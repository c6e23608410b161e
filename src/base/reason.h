// Why a request ended as it did. A reason stands beside the errno in each reply and audit record; the errno is what the
// program sees, the reason is what a person needs. On the wire: never renumber, never reuse.
#pragma once

#include <cstdint>
#include <string_view>

namespace warder {

enum class Reason : std::uint16_t {
    ok = 0,
    no_such_grant = 1,       // EACCES  no grant of that name
    not_granted = 2,         // EACCES  no grant covers the path or address
    wrong_operation = 3,     // EACCES  the grant is there, but does not permit this operation
    name_not_matched = 4,    // EACCES  below the grant, but the file's name matches none of its patterns
    bad_path = 5,            // EINVAL  not a clean path: empty, "..", "//", a NUL, too long, a trailing slash
    bad_address = 6,         // EINVAL  not an address in the grammar
    bad_flags = 7,           // EINVAL  an unknown flag, or one that this operation does not take
    unknown_operation = 8,   // ENOSYS  an operation of a newer protocol
    system = 9,              // the kernel's own errno
    not_regular = 10,        // EACCES  a directory, FIFO, socket or device where only regular files are lent
    refused_filesystem = 11, // EACCES  proc, sysfs, cgroup, debugfs, tracefs, securityfs: sysctl is the door to those
    foreign_owner = 12,      // EACCES  under open_as = "root": more than one link, owned by neither root nor the owner, or behind another's symlink
    would_block = 13,        // EAGAIN  cannot be done without waiting, and nothing here may wait
    deadline = 14,           // ETIMEDOUT  an opener did not finish in time
    too_many = 15,           // EDQUOT  over a quota
    not_requester = 16,      // EPERM   the sender is not one that this worker's config lets ask
    listener_lost = 17,      // EIO     the kept listener is gone and could not be made again
    protocol = 18,           // EPROTO  the session ended: the message broke the protocol
    stopping = 19,           // ECANCELED  the worker or warderd is stopping
    used_up = 20,            // EACCES  the grant may be used a number of times, and has been
    too_late = 21,           // EACCES  the grant was for until the worker is ready
    given_up = 22,           // EACCES  the worker itself made the grant smaller than this
    bad_argument = 23,       // EINVAL  an argument that the grant's form does not take, or a narrowing that is none
    unavailable = 24,        // EAGAIN  what would do it is not running: the resolver, the other worker
    private_address = 25,    // EACCES  connect by name: the name leads to this machine or a private network, which the grant does not say
};

std::string_view name_of(Reason reason);

// Whether a request that ended for this reason was permitted, and what it asked for then failed. False for `ok` and for what the
// policy, the worker's own narrowing or the form of the request denied.
bool failed_beyond_policy(Reason reason);

// The errno that goes with a reason; 0 for `ok`, and for `system`, where the kernel's own stands.
int errno_of(Reason reason);

}  // namespace warder
