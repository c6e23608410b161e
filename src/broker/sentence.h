// One sentence for an operation that was allowed and then failed. The same words from the parent and from an opener, which
// has no grants to look at; without a heap.
#pragma once

#include <string_view>

#include "base/operation.h"
#include "base/reason.h"
#include "policy/explain.h"

namespace warder::broker {

// "grant \"site\" allows reading index.html, but: No such file or directory (ENOENT)".
policy::Sentence failure_sentence(std::string_view grant, Operation operation, std::string_view target, Reason reason,
                                  int error);

// A reply that is not sent, since too many before it were not received.
inline constexpr std::string_view in_flight_sentence =
    "over the worker's max_fds_in_flight: receive what was sent before, or raise it in its table";

}  // namespace warder::broker
