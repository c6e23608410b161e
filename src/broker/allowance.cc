#include "broker/allowance.h"

#include <algorithm>

namespace warder::broker {
namespace {

constexpr Duration burst = std::chrono::seconds(1);

}  // namespace

bool Rate::take(std::uint32_t count, Instant now) {
    if (per_second_ == 0) return true;
    const Instant to = std::max(earned_, now) + cost(count);
    if (to - now > burst) return false;
    earned_ = to;
    return true;
}

void Rate::owe(std::uint32_t count, Instant now) {
    if (per_second_ != 0) earned_ = std::max(earned_, now) + std::min(cost(count), burst);
}

Duration Rate::until(std::uint32_t count, Instant now) const {
    if (per_second_ == 0) return Duration::zero();
    return std::max(earned_ - now + std::min(cost(count), burst) - burst, Duration::zero());
}

void Rate::give_back(std::uint32_t count) {
    if (per_second_ != 0) earned_ = Instant{earned_.nanoseconds - cost(count).count()};
}

void InFlight::sent(std::size_t fds) {
    fds_[next_] = static_cast<std::uint8_t>(fds);
    next_ = (next_ + 1) % remembered;
    bound_ += fds;
}

void InFlight::unread(std::size_t bytes) {
    const std::size_t messages = std::min((bytes + least_message - 1) / least_message, remembered);
    bound_ = 0;
    for (std::size_t back = 1; back <= messages; ++back) bound_ += fds_[(next_ + remembered - back) % remembered];
}

Allowances::Allowances(const policy::GrantSet& grants) {
    uses_.reserve(grants.all().size());
    for (const auto& grant : grants.all()) uses_.push_back({0, ++counts_, Rate(grant.shape.per_second)});
}

Reason Allowances::take(const policy::Grant& grant, GrantId id, bool ready, Instant now) {
    Use& use = uses_[number(id)];
    if (grant.shape.until_ready && ready) return Reason::too_late;
    if (grant.shape.uses != 0 && use.used >= grant.shape.uses) return Reason::used_up;
    if (!use.rate.take(1, now)) return Reason::too_many;
    ++use.used;
    return Reason::ok;
}

void Allowances::give_back(GrantId id, std::uint32_t count) {
    Use& use = uses_[number(id)];
    if (use.count != count) return;
    if (use.used > 0) --use.used;
    use.rate.give_back(1);
}

// A grant that was away for a while is counted anew: what was taken before it went is not given back to it.
Allowances Allowances::carried_over(const policy::GrantSet& before, const policy::GrantSet& after) const {
    Allowances now;
    now.counts_ = counts_;
    for (const auto& grant : after.all()) {
        const auto old = before.named(grant.name);
        const std::uint32_t used = old ? uses_[number(*old)].used : 0;
        const std::uint32_t count = old ? uses_[number(*old)].count : ++now.counts_;
        now.uses_.push_back({used, count, Rate(grant.shape.per_second)});
    }
    return now;
}

}  // namespace warder::broker
