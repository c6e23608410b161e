// EventQueue: events that were read while something else was waited for. A fixed ring for those with a name; how commands ended
// (client/end_table.h) and two words for stop and reload, which never get lost, lie in shared memory, and so reach whoever waits
// for them whichever process read them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/fixed_string.h"
#include "client/end_table.h"
#include "protocol/message.h"
#include "sys/fd.h"

namespace warder::client {

struct Event {
    protocol::Type type{};
    FixedString<319> name;   // "host:" and the longest host name, too
    std::uint64_t value = 0;
    std::uint32_t lost = 0;   // events dropped before this one
    Fd fd;
};

struct PendingSignals {
    std::atomic<std::uint32_t> stop;
    std::atomic<std::uint32_t> reload;
};

class EventQueue {
public:
    // Both are shared with the children of this process and outlive the queue. Errors: eventfd(2).
    Result<void> create(PendingSignals* pending, EndTable* ends);

    // Adds an event; when the ring is full the oldest goes and is counted.
    void push(Event event);
    // Stop or reload: for the process that made the queue, from whichever process reads it.
    void raise(protocol::Type type);
    // A command has ended: `value` and `grant` are the event's.
    void command_ended(std::uint64_t value, std::string_view grant);
    std::optional<Event> take();
    // The newest channel event of that name; older ones of it go, for their ends are of no more use. Others stay.
    std::optional<Event> take_channel(std::string_view name);

    // Readable while there is something to take.
    int wake_fd() const { return wake_.get(); }

    // In a forked child: empty, with a wake_fd of its own, and no longer the one that takes stop and reload.
    void after_fork_in_child();

private:
    static constexpr std::size_t capacity = 32;

    std::optional<Event> take_signal();
    std::optional<Event> take_queued();
    std::optional<Event> take_end();
    bool anything_left() const;

    std::mutex mutex_;
    PendingSignals* pending_ = nullptr;
    EndTable* ends_ = nullptr;
    std::uint64_t ends_dropped_ = 0;   // of those that were told as lost
    bool takes_signals_ = true;
    Fd wake_;
    Fd owner_wake_;   // the wake_fd of the process that connected
    std::array<Event, capacity> ring_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    std::uint32_t lost_ = 0;
};

}  // namespace warder::client
