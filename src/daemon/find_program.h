// Where this build's own programs and places are.
#pragma once

#include <string>

#include "base/error.h"
#include "sys/fd.h"

namespace warder::daemon {

// `beside` is looked for next to the running warderd's directory (a build tree: ../helpers/...), otherwise `installed`.
std::string find_program(const std::string& beside, const std::string& installed);

// A second descriptor of `number`. Errors: fcntl(2).
Result<Fd> duplicate_of(int number);

}  // namespace warder::daemon
