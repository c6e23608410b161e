// What a grant is about, in a few words, for reports: "/srv/www", "tcp:*:80", "protocol 1 over ipv4", "/usr/bin/foo
// --name={who:word}".
#pragma once

#include <string>

#include "policy/grant.h"

namespace warder::policy {

std::string subject_of(const Grant& grant);

// The words of a command as the config has them, placeholders in braces.
std::string text_of(const Command& command);

}  // namespace warder::policy
