// Commands: from a request's arguments to the words that are run. Pure, and without a heap. There is no shell: a value is one
// argument, or a part of one, and never becomes two.
#pragma once

#include <array>
#include <string_view>

#include "base/fixed_string.h"
#include "policy/grant.h"

namespace warder::policy {

inline constexpr std::size_t max_words = 64;         // of a command
inline constexpr std::size_t max_argument = 4096;    // bytes of one argument

// The words with their placeholders filled; `faulty` names the placeholder whose value is not of its type, and then there is nothing to run.
struct Filled {
    std::array<std::string_view, max_words> words;
    std::size_t count = 0;
    const Word* faulty = nullptr;
    bool wrong_number = false;                       // there are more or fewer values than placeholders
    FixedString<8192> text;                          // what the words of placeholders point into

    bool words_fit() const { return faulty == nullptr && !wrong_number; }
};

// `arguments`: one value a line, in the order of the placeholders; empty for a command without placeholders.
void fill(const Command& command, std::string_view arguments, Filled& into);

}  // namespace warder::policy
