// Score: how much of the machine a worker can still reach, from what its receipt has seen, never from the config. From 0 (nothing
// is open) to 10 (all is), as systemd-analyze security counts. docs/receipt.md has the same table; a test compares them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "sandbox/receipt.h"

namespace warder::sandbox {

struct Weight {
    std::string_view item;    // of the receipt
    unsigned weight = 0;
    std::string_view raise;   // what would close it
};

std::span<const Weight> weights();

struct ScoredItem {
    Weight weight;
    bool confined = false;    // it was seen to confine
    Evidence evidence = Evidence::none;
};

struct Score {
    std::vector<ScoredItem> items;   // the heaviest first
    unsigned open = 0;               // weights of what was not seen to confine
    unsigned total = 0;
    unsigned exposure_tenths() const { return total == 0 ? 0 : (open * 100 + total / 2) / total; }   // 0 to 100
};

// Without a receipt that was taken nothing was seen: all is open.
Score score_of(const Receipt& receipt);

}  // namespace warder::sandbox
