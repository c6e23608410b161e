// Texts: the sentences and data of one reply, in one buffer that is there already.
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <string_view>

namespace warder::broker {

class Texts {
public:
    static constexpr std::size_t capacity = 48 * 1024;   // leaves room for 253 outcomes in a message of 64 KiB

    void clear() { used_ = 0; }

    // A copy that lives until clear(). Of what does not fit nothing is kept: a reply of many sentences goes without the last.
    std::string_view keep(std::string_view text) {
        if (text.size() > bytes_.size() - used_) return {};
        char* place = bytes_.data() + used_;
        if (!text.empty()) std::memcpy(place, text.data(), text.size());
        used_ += text.size();
        return {place, text.size()};
    }

    // Room to write into before it is known how much: taken() says how much of it was used.
    std::span<char> room() { return std::span(bytes_).subspan(used_); }
    std::string_view taken(std::size_t size) {
        const std::string_view text(bytes_.data() + used_, size);
        used_ += size;
        return text;
    }

private:
    std::array<char, capacity> bytes_;
    std::size_t used_ = 0;   // here, beside what its owner holds next: the first bytes are seldom written
};

}  // namespace warder::broker
