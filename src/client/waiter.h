// Waiting for an event while others talk over the same socket. Whoever waits sleeps until the socket has something new or
// somebody rings: who queued an event, or ended a turn that the waiter wanted to have. No clock is involved.
//
// The bell lies in memory, and is a descriptor, that all processes of one connection share.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/error.h"
#include "sys/fd.h"

namespace warder::client {

// In memory shared with the children that are forked later.
struct WaitCounts {
    std::atomic<std::uint32_t> waiters;       // who would hear the bell; one that died stays counted, which costs a call of the kernel
    std::atomic<std::uint32_t> turn_wanted;   // somebody found the line taken since the bell was rung for that
};

class Bell {
public:
    // `counts` outlives the bell. Errors: eventfd(2).
    Result<void> create(WaitCounts* counts);

    // Wakes all that wait.
    void ring() const;
    // A turn ended: wakes those that wait if one of them found it taken.
    void turn_ended() const;
    void want_turn() const { counts_->turn_wanted.store(1); }

private:
    friend class Waiter;
    WaitCounts* counts_ = nullptr;
    Fd rung_;   // its counter only grows: each waiter has an edge-triggered view of its own
};

// Somebody who waits, from begin() until it goes. It must look for what it waits for between begin() and the first sleep().
class Waiter {
public:
    explicit Waiter(const Bell& bell) : bell_(bell) {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter();

    // Errors: EMFILE, ENFILE, ENOMEM.
    Result<void> begin(int socket);
    // Until the socket has something new or the bell rings, since the last sleep; at most so many milliseconds (negative: for
    // ever). May wake up for nothing.
    void sleep(int timeout_ms) const;

private:
    const Bell& bell_;
    Fd epoll_;
};

}  // namespace warder::client
