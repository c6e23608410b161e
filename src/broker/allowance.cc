#include "broker/allowance.h"

#include <algorithm>

namespace warder::broker {

bool Rate::take(std::uint32_t count, Instant now) {
    if (per_second_ == 0) return true;
    const Instant from = std::max(earned_, now);
    const Instant to = from + cost(count);
    // An ask of more than a second's worth passes when nothing is owed: it would never otherwise.
    if (to - now > std::chrono::seconds(1) && from > now) return false;
    earned_ = to;
    return true;
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
    for (const auto& grant : grants.all()) uses_.push_back({0, Rate(grant.shape.per_second)});
}

Reason Allowances::take(const policy::Grant& grant, GrantId id, bool ready, Instant now) {
    Use& use = uses_[number(id)];
    if (grant.shape.until_ready && ready) return Reason::too_late;
    if (grant.shape.uses != 0 && use.used >= grant.shape.uses) return Reason::used_up;
    if (!use.rate.take(1, now)) return Reason::too_many;
    ++use.used;
    return Reason::ok;
}

void Allowances::give_back(GrantId id) {
    Use& use = uses_[number(id)];
    if (use.used > 0) --use.used;
    use.rate.give_back(1);
}

Allowances Allowances::carried_over(const policy::GrantSet& before, const policy::GrantSet& after) const {
    Allowances now(after);
    for (std::uint32_t i = 0; i < now.uses_.size(); ++i) {
        const auto old = before.named(after.at(static_cast<GrantId>(i)).name);
        if (old) now.uses_[i].used = uses_[number(*old)].used;
    }
    return now;
}

}  // namespace warder::broker
