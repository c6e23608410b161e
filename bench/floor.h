// The floor: what the kernel alone asks for a brokered open. Two processes and nothing else: no policy, no audit, no event
// loop, no more checks than that there are credentials. Warder is compared with this, in the same run.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/error.h"
#include "bench/measure.h"
#include "sys/channel.h"
#include "sys/fd.h"

namespace warder::bench {

// What is opened: `name` below `directory`, with the effective ids of a worker.
struct Target {
    std::string directory;
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
};

// A direct open of the target by this process, as the target's user: openat2, fstat, close.
Result<Samples> direct_opens(const Target& target, std::size_t count);

// Each side in a session of its own is what counts where sessions are groups (bench/cpu_group.h).
enum class Sessions : std::uint8_t { same, one_each };

// The bare broker: a child that answers each datagram with one open file.
class Floor {
public:
    static Result<Floor> start(const Target& target, Sessions sessions = Sessions::same);
    Floor(Floor&&) = default;
    Floor& operator=(Floor&&) = delete;
    ~Floor();

    // Asks `count` times for the file, one at a time.
    Result<Samples> opens(std::size_t count);
    // Asks `count` times for `width` opens in one message; each sample is the whole message.
    Result<Samples> batches(std::size_t count, std::size_t width);

    void move(Place place);
    pid_t pid() const { return child_; }

private:
    Floor(pid_t child, Channel channel) : child_(child), channel_(std::move(channel)) {}
    pid_t child_ = -1;
    Channel channel_;
};

}  // namespace warder::bench
