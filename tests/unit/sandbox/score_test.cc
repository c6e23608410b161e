#include "sandbox/score.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>

#include "sandbox/source_root.h"

using namespace warder::sandbox;

namespace {

Receipt all_confined() {
    Receipt receipt;
    receipt.taken = true;
    for (const auto& weight : weights()) {
        receipt.items.push_back({.name = std::string(weight.item), .wanted = "x", .effective = "x", .evidence = Evidence::read,
                                 .matches = true, .binding = true, .confines = true});
    }
    return receipt;
}

// Rows "| item | weight | ... |" of the table below the heading "Weights".
std::map<std::string, unsigned> documented() {
    std::ifstream file(WARDER_SOURCE_ROOT "/docs/receipt.md");
    std::map<std::string, unsigned> table;
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("## ")) inside = line == "## Weights";
        if (!inside || !line.starts_with("| ")) continue;
        const auto end = line.find(" | ", 2);
        const std::string weight = line.substr(end + 3);
        if (std::isdigit(static_cast<unsigned char>(weight[0])) != 0) table[line.substr(2, end - 2)] = static_cast<unsigned>(std::stoul(weight));
    }
    return table;
}

}  // namespace

TEST_CASE("a sandbox in which everything was seen to confine is open for nothing") {
    const Score score = score_of(all_confined());
    CHECK_EQ(score.open, 0);
    CHECK_EQ(score.exposure_tenths(), 0);
}

TEST_CASE("without a receipt nothing was seen, and all is open") {
    CHECK_EQ(score_of({}).exposure_tenths(), 100);
}

TEST_CASE("what was planned and not seen counts as open") {
    for (std::size_t i = 0; i < weights().size(); ++i) {
        Receipt receipt = all_confined();
        receipt.items[i].evidence = Evidence::none;
        CHECK_EQ(score_of(receipt).open, weights()[i].weight);
        receipt = all_confined();
        receipt.items[i].matches = false;
        CHECK_EQ(score_of(receipt).open, weights()[i].weight);
        receipt = all_confined();
        receipt.items[i].confines = false;
        CHECK_EQ(score_of(receipt).open, weights()[i].weight);
    }
}

TEST_CASE("the weights are those that docs/receipt.md documents, the heaviest first") {
    std::map<std::string, unsigned> ours;
    for (const auto& weight : weights()) ours[std::string(weight.item)] = weight.weight;
    CHECK(ours == documented());
    CHECK(std::ranges::is_sorted(weights(), std::ranges::greater{}, &Weight::weight));
}
