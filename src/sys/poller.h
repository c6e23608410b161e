// Poller: epoll with a small tag per descriptor instead of a pointer, so that an event for something that has gone
// finds nothing rather than freed memory.
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"
#include "base/time.h"
#include "sys/fd.h"

namespace warder {

// What an event is about. `kind` is the owner's own enumeration; `id` and `generation` name the thing.
struct PollTag {
    std::uint8_t kind = 0;
    std::uint32_t id = 0;           // at most 2^32 - 1
    std::uint32_t generation = 0;   // 24 bits are kept: a new life of the same id is another tag
    friend bool operator==(const PollTag&, const PollTag&) = default;
};

struct PollEvent {
    PollTag tag;
    bool readable = false;
    bool writable = false;
    bool hung_up = false;   // EPOLLHUP or EPOLLERR
};

class Poller {
public:
    static Result<Poller> create();

    // Watches `fd` for reading (and hang-up), level-triggered. The caller keeps the descriptor and removes it before closing.
    Result<void> watch(int fd, PollTag tag);
    // Watches for hang-up only: a peer that floods, or that must wait, costs no wake-ups.
    Result<void> watch_hangup(int fd, PollTag tag);
    Result<void> change_to_read(int fd, PollTag tag);
    Result<void> change_to_write(int fd, PollTag tag);
    Result<void> change_to_hangup(int fd, PollTag tag);
    void forget(int fd);

    // Waits until something is ready or `patience` is over; Duration::max() waits for ever. EINTR yields no events. The events
    // stay valid until the next wait. Errors: epoll_pwait2(2) (Linux 5.11).
    Result<std::span<const PollEvent>> wait(Duration patience = Duration::max());

private:
    explicit Poller(Fd fd) : fd_(std::move(fd)) {}
    Result<void> control(int operation, int fd, std::uint32_t events, PollTag tag);

    static constexpr int batch = 64;
    Fd fd_;
    PollEvent events_[batch];
};

// A timer that fires once at a moment of CLOCK_MONOTONIC; its descriptor is then readable.
class Timer {
public:
    static Result<Timer> create();
    int get() const { return fd_.get(); }
    // Arms for `at`, replacing what was set; Instant::never() disarms. A moment that has passed fires at once.
    Result<void> set(Instant at);
    // Takes the expiry, so that the descriptor is quiet again.
    void acknowledge();

private:
    explicit Timer(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

}  // namespace warder
