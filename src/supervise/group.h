// Group: a worker's own directory of cgroup v2. Every process of the worker is born in it, so killing it misses none, and
// its emptiness is the proof that none is left. It needs no controller.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/plan.h"
#include "sys/fd.h"

namespace warder::supervise {

class Group {
public:
    // Makes `parent`/w.NAME, or takes over the one that is there: what a warderd that died left in it is killed. Errors:
    // those of mkdir(2) and open(2).
    static Result<Group> create(const std::string& parent, const std::string& name);

    Group(Group&&) noexcept = default;
    Group& operator=(Group&&) noexcept = default;
    // Removes the directory if it is empty.
    ~Group();

    int directory() const { return directory_.get(); }   // for clone3's CLONE_INTO_CGROUP
    int events() const { return events_.get(); }          // cgroup.events: EPOLLERR at each change since it was read
    const std::string& path() const { return path_; }
    std::uint64_t id() const { return id_; }              // as PIDFD_GET_INFO tells it: the directory's inode

    // Writes the limits, of a group that has nobody in it yet. To be called before each life, after renew(). On failure
    // `which` names the limit; those before it are set. Errors: those of open(2), write(2) and stat(2).
    Result<void> limit(const std::vector<sandbox::GroupLimit>& limits, std::string& which);

    // Stops everything in it, so that nothing runs any more while the rest is being killed; then SIGKILL to all of it, forks
    // in flight too. Errors: those of write(2); ENOENT before 5.14.
    Result<void> kill();

    // To be called before each life. A directory that cgroup.kill was once written to kills at birth whatever is cloned into
    // it from outside (seen on 6.18: CLONE_INTO_CGROUP compares the kill counts of two different groups), so the next life
    // gets a new one: descriptors and id are others then. Errors: EBUSY while somebody is in it, those of create().
    Result<void> renew();
    bool spent() const { return killed_; }

    // Whether a process, zombies that we did not reap aside, is left. Unreadable counts as populated.
    bool populated() const;

private:
    static Result<Group> open(std::string path);
    void freeze();
    Group(std::string path, Fd directory, Fd events, std::uint64_t id)
        : path_(std::move(path)), directory_(std::move(directory)), events_(std::move(events)), id_(id) {}

    std::string path_;
    Fd directory_;
    Fd events_;
    std::uint64_t id_ = 0;
    bool killed_ = false;
};

}  // namespace warder::supervise
