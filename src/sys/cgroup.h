// Control groups, version 2: finding our own directory, one group for each worker, killing and watching a group. It needs
// no controller: kill, freeze and "is anybody left" work in every group. Nothing here waits.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sys/fd.h"

namespace warder::cgroup {

// The directory of cgroup v2 that this process is in: from /proc/self/mountinfo and /proc/self/cgroup, on hybrid hosts too.
// Errors: ENOENT, cgroup v2 is not mounted or hides our group.
Result<std::string> own_directory();

// Where the whole hierarchy of cgroup v2, or as much of it as we are shown, is mounted. Errors: ENOENT.
Result<std::string> mount_point();

// Gives groups below `directory` those of `controllers` ("memory", "cpu") that it has itself, and says which they have now, as
// cgroup.subtree_control does. One that cannot be given is left out and takes no other along. Errors: those of open and read.
Result<std::string> give_controllers(const std::string& directory, const std::vector<std::string>& controllers);

// The same from the text of those two files.
Result<std::string> directory_from(std::string_view mountinfo, std::string_view self_cgroup);

// The tree to divide, of a process that is in `own`: a daemon that was executed anew is in the `daemon/` of its predecessor.
std::string tree_above(const std::string& own);

// Whether the directory is ours to divide: the manager marked it (extended attribute user.delegate or trusted.delegate is
// "1", or it belongs to us and we are not root), or no systemd runs that would think it its own.
bool delegated(const std::string& directory);

// A worker's group. Removing it is the owner's call to remove(); a group with processes in it stays.
struct Group {
    Fd directory;   // for clone_process(), and for all below
    Fd events;      // cgroup.events: EPOLLPRI (and EPOLLERR) when it changes between empty and populated
};

class Tree {
public:
    // Takes `directory` (own_directory(), or what the config says), makes `daemon/` in it and moves this process there, since
    // a group with both processes and divided groups is not allowed. Errors: mkdir(2), write(2); EBUSY, ENOTSUP.
    static Result<Tree> take(const std::string& directory);

    // Makes and opens `w.NAME/`; one that is there already is used as it is. Errors: mkdir(2), open(2); EINVAL for a name
    // that is no single component.
    Result<Group> make(std::string_view name) const;

    // Removes an empty group. Errors: EBUSY while somebody is in it, ENOENT.
    Result<void> remove(std::string_view name) const;

    const std::string& path() const { return path_; }

private:
    Tree(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
    std::string path_;
    Fd fd_;
};

// SIGKILL to everything in the group and below, at once (5.14). Errors: ENOENT on an older kernel.
Result<void> kill_all(const Group& group);

// The same of a group that is known by its path alone; one that is gone has nobody left in it.
void kill_all(const std::string& directory);

// Removes a group and the groups right below it. False while somebody is in one of them; true as well when it was gone already.
bool remove_with_those_below(const std::string& directory);

enum class Freeze : bool { thaw, freeze };
Result<void> set_frozen(const Group& group, Freeze freeze);

// Whether anybody, zombies not counted, is in the group or below. Also acknowledges the change, so that `events` is quiet
// until the next.
Result<bool> populated(const Group& group);

// Moves a process here. Errors: write(2).
Result<void> move_into(const Group& group, pid_t pid);

}  // namespace warder::cgroup
