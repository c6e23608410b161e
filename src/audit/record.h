// Audit records: one for each decision and each event of a life that an operator may have to answer for. Fixed size, so
// that recording on the request path is a copy into memory that is there already.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fixed_string.h"
#include "base/ids.h"
#include "base/operation.h"
#include "base/reason.h"

namespace warder::audit {

struct Record {
    enum class Kind : std::uint8_t {
        request,     // a worker asked; `operation`, `reason`, `error`, `grant`, `text` is the target
        violation,   // a worker broke the protocol, its session ended; `text` says how
        state,       // a worker's state changed; `text` says from what to what and why
        hold,        // what a grant holds changed (a directory renamed, a listener replaced); `text` says what
        command,     // a command that a worker ran has ended; `pid` was its own, `text` says how
        call,        // a worker's filter denied a system call, told once a life; `text` says which and what would allow it
        control,     // an operator asked; `text` says what, `pid` is the operator's process, `uid` the operator
        refusals,    // `count` requests that were refused; what is said of a request is said of the first of them
        lost,        // `count` records that were not kept
    };
    Kind kind = Kind::request;
    Operation operation{};
    Reason reason = Reason::ok;
    std::int32_t error = 0;
    GrantId grant = GrantId::none;
    std::int64_t wall_clock = 0;        // nanoseconds since 1970
    pid_t pid = 0;                      // as the parent sees it
    uid_t uid = 0;
    std::uint64_t count = 0;
    FixedString<63> worker;
    FixedString<63> grant_name;
    FixedString<255> text;              // cut where it is longer: truncated() says so
};

// Appends one JSON object without a newline to `line`:
// {"time":"…","kind":"request","worker":"web","pid":71,"operation":"read","grant":"site","target":"index.html",
//  "verdict":"allowed","reason":"ok"}
// {"time":"…","kind":"refusals","worker":"web","count":4711,"operation":"read","target":"/etc/passwd","verdict":"denied",…}
void append_json(const Record& record, std::string& line);

}  // namespace warder::audit
