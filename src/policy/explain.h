// One plain sentence for a decision: what decided, and for a denial the line of TOML that would allow it. Made without a
// heap, since replies carry it.
#pragma once

#include "policy/decide.h"
#include "policy/sentence.h"

namespace warder::policy {

// For the worker and the operator: "no grant of web covers reading /etc/shadow; to allow it, add to [worker.web.grants]:
// NAME = { read = "/etc/shadow" }". Long texts are cut and marked; a line of TOML is given whole or not at all.
Sentence explain(const GrantSet& grants, const Request& request, const Decision& decision);

// "reading /srv/www/index.html"; without a target "reading".
void append_doing(Sentence& out, Operation operation, std::string_view target, std::size_t limit);

}  // namespace warder::policy
