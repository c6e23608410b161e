// Limits of a worker's whole group, as files of cgroup v2: which controller each needs, setting one, reading it back, and
// whether what the kernel says is as tight as what was wanted. A worker cannot reach these files.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "sandbox/plan.h"

namespace warder::sandbox {

// "memory" of "memory.max".
std::string_view controller_of(const GroupLimit& limit);

// As the config has it, and people read it: "memory_swap_max"; "io_max of /dev/vda".
std::string name_of(const GroupLimit& limit);

// Whether a list of controllers, with blanks between them, has this one.
bool names_controller(std::string_view controllers, std::string_view one);

// Writes it into the group's directory. Errors: those of open(2) and write(2), ENOENT where the kernel has no such file; of a
// device those of stat(2), ENOTBLK.
Result<void> set_limit(int group, const GroupLimit& limit);

// What the group has in force, in the form of GroupLimit::value; empty where it cannot be read, or says nothing of the device.
std::string read_limit(const std::string& group, const GroupLimit& limit);

// Whether `seen`, as read_limit() gives it, holds the group as much as what was wanted. Weights must be equal. The kernel
// rounds memory down to pages, so less than was wanted is usual.
bool as_tight(const GroupLimit& wanted, std::string_view seen);

}  // namespace warder::sandbox
