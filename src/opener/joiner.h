// Joining two workers by a channel: a process of its own for each, which makes the pair, sends each worker its end and is gone.
// Once the first worker has its end, it can put a descriptor into the queue of the other, and whoever is the last to close that
// other end waits for as long as the sender chose. The parent must not be that one, so it never holds an end.
#pragma once

#include <string_view>

#include "base/error.h"
#include "sys/privileges.h"
#include "sys/process.h"

namespace warder::opener {

struct JoinEnd {
    int channel = -1;             // the worker's, borrowed until join() returns
    std::string_view grant;       // of this worker: what its event is to say
};

struct JoinOptions {
    bool stream = false;          // SOCK_STREAM; otherwise SOCK_SEQPACKET
    bool carries_fds = false;     // otherwise neither end takes descriptors (6.16; before that the sandboxes' filters deny sending)
};

// How a joiner ended, as its exit code.
enum class Joined : int { both = 0, not_made = 1, unread = 2, first_only = 3 };

// Forks the joiner; it waits a second for workers that do not read. Errors: clone(2).
Result<Cloned> join(Privileges& privileges, const JoinEnd& first, const JoinEnd& second, JoinOptions options);

}  // namespace warder::opener
