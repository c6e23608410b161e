// A user namespace for all of warderd where it runs without root: in it the process has the capabilities that cells take, and on
// the machine it is the user that it was. There is one uid and one gid in it, the user's own, under their own numbers.
#pragma once

#include <string>

#include "base/error.h"

namespace warder {

// Moves this process, which has one thread and may still be dumped, into a user namespace of its own. Nothing goes back. Errors:
// those of unshare(2), and of writing the maps; EACCES where namespaces can be made but give no rights (AppArmor does that).
Result<void> enter_user_namespace();

// Why that failed and who can change it, in words.
std::string explain_no_user_namespace(const Error& error);

}  // namespace warder
