// The ring between the request path and the sink. push() never waits and never allocates: when the sink cannot keep up,
// the newest records are dropped and counted, and the count is written as a record of its own. Lost, never silent.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "audit/record.h"

namespace warder::audit {

class Ring {
public:
    explicit Ring(std::size_t capacity) : records_(capacity) {}

    // The next free record to fill in, or nullptr (counted as lost) when the ring is full.
    Record* push() {
        if (size_ == records_.size()) {
            ++lost_;
            return nullptr;
        }
        Record& record = records_[(first_ + size_++) % records_.size()];
        return &record;
    }

    bool empty() const { return size_ == 0 && lost_ == 0; }
    // Half full: worth writing now rather than at the next tick.
    bool pressing() const { return size_ * 2 >= records_.size(); }
    std::size_t size() const { return size_; }

    // The record at `index` from the oldest, below size().
    const Record& at(std::size_t index) const { return records_[(first_ + index) % records_.size()]; }
    // Lets go of the oldest `count`.
    void pop(std::size_t count) {
        first_ = (first_ + count) % records_.size();
        size_ -= count;
    }

    // How many were dropped since this was last asked.
    std::uint64_t take_lost() { return std::exchange(lost_, 0); }

private:
    std::vector<Record> records_;
    std::size_t first_ = 0;
    std::size_t size_ = 0;
    std::uint64_t lost_ = 0;
};

}  // namespace warder::audit
