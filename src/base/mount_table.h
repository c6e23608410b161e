// What /proc/PID/mountinfo says (proc_pid_mountinfo(5)). Read from its text alone: no file system is asked anything, since some of
// them answer from elsewhere, and not always.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace warder {

// A word of mountinfo as it is: blanks and backslashes are written there as three octal digits.
std::string unescape_mount_word(std::string_view word);

struct Mount {
    std::string point;
    std::string type;   // of its file system
};

// The mount that `path`, absolute and without symlinks, lies on; empty when the table does not say.
Mount mount_of(std::string_view mountinfo, std::string_view path);

// Where the mounts are that others answer for. What is mounted on top of one hides it: mount_of() says.
std::vector<std::string> mount_points_of_others(std::string_view mountinfo);

// Whether `path` is `point`, or lies below it.
bool lies_in(std::string_view point, std::string_view path);

// Whether somebody else answers for file systems of this type, a server or a process: whoever looks at one may wait for ever.
bool answered_by_others(std::string_view type);

}  // namespace warder
