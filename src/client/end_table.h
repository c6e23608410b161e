// EndTable: how commands ended that nobody has asked about yet. It lies in memory that all processes of one connection share,
// so that whoever waits for a command finds its end, whichever process has read the datagram. It never waits.
//
// Only who has the turn at the line records; anybody may take at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/fixed_string.h"

namespace warder::client {

struct CommandEnd {
    std::uint64_t value = 0;   // that of the event: how it ended and, from bit 32 on, its pid
    FixedString<63> grant;
};

class EndTable {
public:
    static constexpr std::size_t capacity = 1024;

    // In a full table the oldest end goes and is counted. An end of the same pid goes as well: its command's number has come back.
    void record(std::uint64_t value, std::string_view grant);
    std::optional<CommandEnd> take(std::int64_t pid);
    std::optional<CommandEnd> take_oldest();
    // A command begins under this pid: an end that is here is another's.
    void forget(std::int64_t pid);

    bool empty() const { return count_.load() == 0; }
    // How many were dropped so far, for want of room.
    std::uint64_t dropped() const { return dropped_.load(); }

private:
    // A name of at most 63 bytes and its NUL, in words: one may be read while its slot is filled anew, and is then thrown away.
    using Name = std::array<std::atomic<std::uint64_t>, 8>;

    std::optional<CommandEnd> take_at(std::size_t at, std::uint64_t value);
    std::size_t free_slot();

    std::array<std::atomic<std::uint64_t>, capacity> values_{};   // 0: free
    std::array<Name, capacity> grants_{};                         // written before its value
    std::atomic<std::uint32_t> count_ = 0;
    std::atomic<std::uint32_t> next_ = 0;   // where the oldest may be
    std::atomic<std::uint64_t> dropped_ = 0;
};

}  // namespace warder::client
