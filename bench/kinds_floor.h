// The floor of each kind of request: the system calls that it takes, in a bare broker of one process. As bench/floor.h, but
// for everything that may be asked for. And the floor of who decides in one process and acts in another, so that what hangs is not
// the one who decides: a question goes through a relay, which does nothing but pass it on.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bench/measure.h"
#include "bench/orders.h"
#include "sys/channel.h"

namespace warder::bench {

// What the kinds are done to, and as whom those that are the worker's are done.
struct KindPlaces {
    std::string directory;   // with the file, the link, and room for more
    std::string secret;
    std::uint16_t port = 0;  // of a tcp listener on the loopback
    uid_t uid = 0;
    gid_t gid = 0;
};

enum class Relay : std::uint8_t { without, with };

class KindFloor {
public:
    static Result<KindFloor> start(const KindPlaces& places, Relay relay);
    KindFloor(KindFloor&&) = default;
    KindFloor& operator=(KindFloor&&) = delete;
    ~KindFloor();

    Result<Samples> measure(const KindSteps& steps, std::size_t count);
    void move(Place place);

private:
    KindFloor(std::vector<pid_t> children, Channel channel) : children_(std::move(children)), channel_(std::move(channel)) {}
    std::vector<pid_t> children_;
    Channel channel_;
};

}  // namespace warder::bench
