// One plain sentence for a decision: what decided, and for a denial the line of TOML that would allow it. Made without a
// heap, since replies carry it.
#pragma once

#include "base/fixed_string.h"
#include "policy/decide.h"

namespace warder::policy {

using Sentence = FixedString<480>;

// For the worker and the operator: "no grant of web covers reading /etc/shadow; to allow it: [worker.web.grants]
// NAME = { read = "/etc/shadow" }".
Sentence explain(const GrantSet& grants, const Request& request, const Decision& decision);

// What went wrong after the decision, while it was performed: "openat2 below /srv/www: No such file or directory".
Sentence explain_failure(const GrantSet& grants, const Request& request, const Decision& decision, Reason reason, int error);

}  // namespace warder::policy
