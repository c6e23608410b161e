// How often and how fast: what a session has used of its grants' shapes and of its worker's quotas. Fixed-size, no clock of
// its own, nothing allocated after the session began.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/reason.h"
#include "base/time.h"
#include "policy/grant.h"

namespace warder::broker {

// A rate with a burst of one second: the moment at which all that was taken would have been earned.
class Rate {
public:
    explicit Rate(std::uint32_t per_second = 0) : per_second_(per_second) {}

    // Whether `count` more fit at `now`; takes them. A rate of 0 has no bound.
    bool take(std::uint32_t count, Instant now);
    void give_back(std::uint32_t count);

private:
    Duration cost(std::uint32_t count) const { return std::chrono::nanoseconds(1'000'000'000LL * count / per_second_); }

    std::uint32_t per_second_;
    Instant earned_{};
};

// One grant's part of a session.
struct Use {
    std::uint32_t used = 0;
    Rate rate;
};

class Allowances {
public:
    Allowances() = default;
    explicit Allowances(const policy::GrantSet& grants);

    // Takes one use of a grant, or says why not: used_up, too_late, too_many.
    Reason take(const policy::Grant& grant, GrantId id, bool ready, Instant now);
    // It failed after all: the use is given back.
    void give_back(GrantId id);

    std::uint32_t used(GrantId id) const { return uses_[number(id)].used; }
    void reset(GrantId id) { uses_[number(id)].used = 0; }

    // Grants have other numbers after a reload; what was used of one that is still there stays used.
    Allowances carried_over(const policy::GrantSet& before, const policy::GrantSet& after) const;

private:
    std::vector<Use> uses_;
};

// How many descriptors lie in a worker's socket, at most. The kernel tells how many bytes are unread, and no message is
// smaller than `least_message` there: so many of the latest messages may be unread, and no more.
class InFlight {
public:
    static constexpr std::size_t least_message = 512;   // bytes that the kernel counts for the shortest (its own overhead is more)

    void sent(std::size_t fds);
    // Not more than this, without asking the kernel.
    std::size_t bound() const { return bound_; }
    // The kernel was asked: so many bytes are unread.
    void unread(std::size_t bytes);

private:
    static constexpr std::size_t remembered = 512;   // messages; a socket's buffer holds fewer
    std::array<std::uint8_t, remembered> fds_{};     // of each of the latest messages, a ring
    std::size_t next_ = 0;
    std::size_t bound_ = 0;
};

}  // namespace warder::broker
