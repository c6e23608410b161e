// NamedPipes: pipes that have a name too, so that a sandbox can show them at a path (/dev/stdout). They are FIFOs in a directory that is
// root's alone. Their group may open them to write; nobody may to read, so a name gives no more than the writing end does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/error.h"
#include "sys/fd.h"

namespace warder::daemon {

class NamedPipes {
public:
    // Makes the directory, and empties it: what is in it a former warderd left. Errors: mkdir(2), open(2), EPERM for a symlink that is
    // not root's.
    Result<void> begin(const std::string& directory);

    struct Pipe {
        Fd reading;
        Fd writing;
        std::uint64_t name = 0;
    };
    // Never waits. A directory that was swept away is made again. Errors: ENOTDIR before begin(), mknod(2), open(2), fchown(2).
    Result<Pipe> make(gid_t group);

    // The pipe goes on without its name.
    void remove(std::uint64_t name);

private:
    Result<void> make_directory();
    Result<void> make_node(const std::string& name);

    std::string path_;
    Fd directory_;
    std::uint64_t made_ = 0;
};

}  // namespace warder::daemon
