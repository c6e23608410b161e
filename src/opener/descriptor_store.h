// The parent's side of one descriptor store: makes the socket of each of the worker's lives, hands one end over before the other exists
// anywhere else, and hears by value what is kept. No descriptor of a worker ever comes here.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opener/descriptor_store_process.h"
#include "sys/channel.h"
#include "sys/privileges.h"

namespace warder::opener {

struct KeptName {
    std::string name;
    std::uint32_t count = 0;
    std::int64_t since = 0;        // nanoseconds since 1970
};

// What the descriptor store said last.
struct Kept {
    std::vector<KeptName> names;   // in the order in which they were put; at most the first 512
    std::uint32_t name_count = 0;
    std::uint32_t total = 0;       // descriptors
    std::uint64_t refused = 0;     // messages answered with an error
    std::uint64_t strays = 0;      // descriptors that came along where none may, and were closed
};

class DescriptorStore {
public:
    // Forks it. Needs root's credentials: it becomes the worker's user itself. Errors: socketpair(2), clone(2).
    static Result<std::unique_ptr<DescriptorStore>> spawn(Privileges& privileges, uid_t uid, gid_t gid, std::uint32_t most);
    // Killed; reaped if it ends at once.
    ~DescriptorStore();
    DescriptorStore(const DescriptorStore&) = delete;
    DescriptorStore& operator=(const DescriptorStore&) = delete;

    int socket() const { return channel_.get(); }
    int pidfd() const { return pidfd_.get(); }
    pid_t pid() const { return pid_; }

    // Makes the socket of the next life and hands the descriptor store's end over. Returns the worker's end, which nobody had in hand
    // yet: so far nothing can lie in either queue, and closing either end costs nothing. The worker gets it, and here it is closed
    // before begins() is called: only then does the descriptor store send anything there.
    // Errors: EAGAIN, it hangs and has not taken the sockets of earlier lives; those of sendmsg(2) and socketpair(2).
    Result<Fd> adopt();
    // The life has begun, and this is whose messages count. Errors: those of Channel::send.
    Result<void> begins(Credentials who);
    // Its main process is no more.
    void over();
    // How many it may keep from here on. What is above it stays.
    void limit(std::uint32_t most);

    enum class News { nothing, changed, violated };
    // Takes one report, without waiting.
    News hear();
    const Kept& kept() const { return kept_; }
    // After News::violated: what it was, and whether it is the present life's.
    const char* violation() const { return violation_; }
    bool violated_now() const { return violating_life_ == life_; }

    // Reaps it if it has ended.
    bool ended();

private:
    DescriptorStore(Channel channel, Fd pidfd, pid_t pid, std::uint32_t most)
        : channel_(std::move(channel)), pidfd_(std::move(pidfd)), pid_(pid), most_(most) {}
    Result<void> tell(const descriptor_store_wire::Order& order, std::span<const int> fds = {});
    void take_list(const descriptor_store_wire::Report& report, Bytes entries);

    Channel channel_;
    Fd pidfd_;
    pid_t pid_;
    std::uint32_t most_;
    std::uint32_t life_ = 0;
    std::uint32_t adopted_ = 0;    // the latest life whose socket it has taken
    std::uint32_t violating_life_ = 0;
    const char* violation_ = "";
    bool reaped_ = false;
    Kept kept_;
    std::array<std::byte, max_message> scratch_;
};

}  // namespace warder::opener
