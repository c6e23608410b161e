// Text in a fixed buffer: sentences and paths made on the request path, where there is no heap. Text that does not fit
// is cut, and truncated() says so; a cut string is never used as a path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace warder {

template <std::size_t Capacity>
class FixedString {
public:
    // Only the first byte is set: the buffer is not cleared on each use.
    FixedString() { text_[0] = '\0'; }
    explicit FixedString(std::string_view text) : FixedString() { append(text); }

    FixedString& append(std::string_view text) {
        const std::size_t room = Capacity - size_;
        const std::size_t taken = text.size() < room ? text.size() : room;
        if (taken < text.size()) truncated_ = true;
        if (taken > 0) std::memcpy(text_ + size_, text.data(), taken);
        size_ += taken;
        text_[size_] = '\0';
        return *this;
    }

    FixedString& append(char one) { return append(std::string_view(&one, 1)); }

    FixedString& append_number(std::uint64_t value, unsigned base = 10) {
        char digits[64];
        std::size_t at = sizeof digits;
        do {
            const auto digit = static_cast<char>(value % base);
            digits[--at] = static_cast<char>(digit < 10 ? '0' + digit : 'a' + (digit - 10));
            value /= base;
        } while (value != 0);
        return append(std::string_view(digits + at, sizeof digits - at));
    }

    void clear() {
        size_ = 0;
        truncated_ = false;
        text_[0] = '\0';
    }

    std::string_view view() const { return {text_, size_}; }
    const char* c_str() const { return text_; }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    bool truncated() const { return truncated_; }
    static constexpr std::size_t capacity() { return Capacity; }

private:
    std::size_t size_ = 0;
    bool truncated_ = false;
    char text_[Capacity + 1];
};

}  // namespace warder
