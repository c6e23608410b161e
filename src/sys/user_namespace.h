// User namespaces: one for all of warderd where it runs without root: in it the process has the capabilities that sandboxes take, and on
// the machine it is the user that it was. There is one uid and one gid in it, the user's own, under their own numbers.
#pragma once

#include <string>

#include "base/error.h"
#include "sys/fd.h"

namespace warder {

// Moves this process, which has one thread and may still be dumped, into a user namespace of its own. Nothing goes back. Errors:
// those of unshare(2), and of writing the maps; EACCES where namespaces can be made but give no rights (AppArmor does that).
Result<void> enter_user_namespace();

// A user namespace below this one with these maps (lines of user_namespaces(7)), in which nobody may change supplementary groups, and
// nobody lives: for who will join it. Its owner is this process's user. Waits for nobody but a child of its own. Errors: clone3's (ENOSPC:
// user.max_user_namespaces), those of writing the maps (EINVAL: overlapping, EPERM: not ours to map).
Result<Fd> make_user_namespace(const std::string& uid_map, const std::string& gid_map);

// Why that failed and who can change it, in words.
std::string explain_no_user_namespace(const Error& error);

}  // namespace warder
