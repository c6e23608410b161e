// The ring between the request path and the sink. push() never waits and never allocates: when the sink cannot keep up,
// the newest records are dropped and counted. Each account has a share: it may hold as many places as are free besides, so one
// that floods fills half of the ring, two fill a third each, and whoever is quiet always finds a place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "audit/record.h"

namespace warder::audit {

// 0 is warderd's own, and has no bound but the ring's.
using Account = std::uint32_t;
inline constexpr Account own_account = 0;

class Ring {
public:
    explicit Ring(std::size_t capacity) : places_(capacity), held_(1) {}

    // The next free record to fill in, or nullptr when the ring, or this account's share of it, is full. `aside`: it is to be kept
    // in files of its worker's own.
    Record* push(Account account = own_account, bool aside = false) {
        const std::size_t left = places_.size() - size_;
        if (left == 0 || (account != own_account && held_[account] >= left)) return nullptr;
        Place& place = places_[(first_ + size_++) % places_.size()];
        place.account = account;
        place.aside = aside;
        ++held_[account];
        return &place.record;
    }

    // Accounts below `count` may be used from here on. Allocates.
    void make_room_for(std::size_t count) {
        if (held_.size() < count) held_.resize(count);
    }

    bool empty() const { return size_ == 0; }
    // Half full: worth writing now rather than at the next tick. (So much a single account can bring about.)
    bool pressing() const { return size_ * 2 >= places_.size(); }
    std::size_t size() const { return size_; }

    // The record at `index` from the oldest, below size().
    const Record& at(std::size_t index) const { return place(index).record; }
    bool aside(std::size_t index) const { return place(index).aside; }
    // Lets go of the oldest `count`.
    void pop(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) --held_[place(i).account];
        first_ = (first_ + count) % places_.size();
        size_ -= count;
    }

private:
    struct Place {
        Record record;
        Account account = own_account;
        bool aside = false;
    };
    const Place& place(std::size_t index) const { return places_[(first_ + index) % places_.size()]; }

    std::vector<Place> places_;
    std::vector<std::uint32_t> held_;   // how many, by account
    std::size_t first_ = 0;
    std::size_t size_ = 0;
};

}  // namespace warder::audit
