#include "client/end_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace warder::client {
namespace {

using NameBytes = std::array<char, 64>;
using NameWords = std::array<std::uint64_t, 8>;

std::int64_t pid_of(std::uint64_t value) { return static_cast<std::int64_t>(value >> 32); }

}  // namespace

void EndTable::record(std::uint64_t value, std::string_view grant) {
    if (pid_of(value) <= 0) return;
    forget(pid_of(value));
    const std::size_t at = free_slot();
    NameBytes name{};
    std::copy_n(grant.data(), std::min(grant.size(), name.size() - 1), name.data());
    const auto words = std::bit_cast<NameWords>(name);
    for (std::size_t i = 0; i < words.size(); ++i) grants_[at][i].store(words[i]);
    ++count_;
    values_[at].store(value);
    next_ = static_cast<std::uint32_t>((at + 1) % capacity);
}

// The first free one from where the oldest may be; in a full table that one, which is the oldest.
std::size_t EndTable::free_slot() {
    const std::size_t first = next_;
    for (std::size_t i = 0; i < capacity; ++i) {
        const std::size_t at = (first + i) % capacity;
        if (values_[at].load() == 0) return at;
    }
    if (values_[first].exchange(0) != 0) {
        --count_;
        ++dropped_;
    }
    return first;
}

std::optional<CommandEnd> EndTable::take(std::int64_t pid) {
    if (empty()) return std::nullopt;
    for (std::size_t at = 0; at < capacity; ++at) {
        const std::uint64_t value = values_[at].load();
        if (value == 0 || pid_of(value) != pid) continue;
        if (auto end = take_at(at, value)) return end;
    }
    return std::nullopt;
}

std::optional<CommandEnd> EndTable::take_oldest() {
    if (empty()) return std::nullopt;
    const std::size_t first = next_;
    for (std::size_t i = 0; i < capacity; ++i) {
        const std::size_t at = (first + i) % capacity;
        const std::uint64_t value = values_[at].load();
        if (value == 0) continue;
        if (auto end = take_at(at, value)) return end;
    }
    return std::nullopt;
}

// The name is copied first: once the value is taken the slot is somebody else's.
std::optional<CommandEnd> EndTable::take_at(std::size_t at, std::uint64_t value) {
    NameWords words{};
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = grants_[at][i].load();
    const auto name = std::bit_cast<NameBytes>(words);
    CommandEnd end{value, {}};
    end.grant.append(std::string_view(name.data(), ::strnlen(name.data(), name.size())));
    if (!values_[at].compare_exchange_strong(value, 0)) return std::nullopt;
    --count_;
    return end;
}

void EndTable::forget(std::int64_t pid) { (void)take(pid); }

}  // namespace warder::client
