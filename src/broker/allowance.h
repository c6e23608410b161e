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
    // Takes them although they do not fit: they are owed. More than a second's worth is owed as that.
    void owe(std::uint32_t count, Instant now);
    void give_back(std::uint32_t count);
    // Until `count` fit; zero: they do. For more than the burst, as for the burst.
    Duration until(std::uint32_t count, Instant now) const;
    // False: never, however long one waits.
    bool can_hold(std::uint32_t count) const { return per_second_ == 0 || count <= per_second_; }

private:
    Duration cost(std::uint32_t count) const { return std::chrono::nanoseconds(1'000'000'000LL * count / per_second_); }

    std::uint32_t per_second_;
    Instant earned_{};
};

// One grant's part of a session.
struct Use {
    std::uint32_t used = 0;
    std::uint32_t count = 0;   // which counting of them it is: another after each reset
    Rate rate;
};

class Allowances {
public:
    Allowances() = default;
    explicit Allowances(const policy::GrantSet& grants);

    // Takes one use of a grant, or says why not: used_up, too_late, too_many.
    Reason take(const policy::Grant& grant, GrantId id, bool ready, Instant now);
    // Which counting a use that is taken now belongs to, never 0.
    std::uint32_t count_of(GrantId id) const { return uses_[number(id)].count; }
    // It failed after all: the use is given back, if they are still counted as when it was taken.
    void give_back(GrantId id, std::uint32_t count);

    std::uint32_t used(GrantId id) const { return uses_[number(id)].used; }
    void reset(GrantId id) {
        uses_[number(id)].used = 0;
        uses_[number(id)].count = ++counts_;
    }

    // Grants have other numbers after a reload; what was used of one that is still there stays used.
    Allowances carried_over(const policy::GrantSet& before, const policy::GrantSet& after) const;

private:
    std::vector<Use> uses_;
    std::uint32_t counts_ = 0;   // countings that were begun in this session
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
