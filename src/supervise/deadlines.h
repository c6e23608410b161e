// Deadlines: who must be woken when, in order. One timer serves every worker: a turn costs nothing for those not due.
#pragma once

#include <set>
#include <unordered_map>
#include <utility>

#include "base/ids.h"
#include "base/time.h"

namespace warder::supervise {

class Deadlines {
public:
    // Replaces what was set for `id`; never() takes it out.
    void set(WorkerId id, Instant at) {
        const auto known = at_.find(number(id));
        if (known != at_.end()) {
            if (known->second == at) return;
            order_.erase({known->second, number(id)});
            at_.erase(known);
        }
        if (at == Instant::never()) return;
        at_.emplace(number(id), at);
        order_.emplace(at, number(id));
    }

    Instant next() const { return order_.empty() ? Instant::never() : order_.begin()->first; }

    // The earliest one that is due, taken out; false: nobody is.
    bool take_due(Instant now, WorkerId& id) {
        if (order_.empty() || order_.begin()->first > now) return false;
        id = WorkerId{order_.begin()->second};
        at_.erase(order_.begin()->second);
        order_.erase(order_.begin());
        return true;
    }

private:
    std::set<std::pair<Instant, std::uint32_t>> order_;
    std::unordered_map<std::uint32_t, Instant> at_;
};

}  // namespace warder::supervise
