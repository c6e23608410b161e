// Reading and writing fixed-width fields in host byte order. A Reader that once failed stays failed and yields zeroes, so
// a decoder reads everything and asks ok() once. Lengths are compared with what is left; nothing is ever added to a
// pointer first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

// For large buffers on the request path that are written before they are read: -ftrivial-auto-var-init would clear them at
// each use.
#define WARDER_UNINITIALIZED __attribute__((uninitialized))

namespace warder {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

inline std::string_view text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Reader {
public:
    explicit Reader(Bytes bytes) : left_(bytes) {}

    template <typename T>
        requires std::is_trivially_copyable_v<T>
    T take() {
        T value{};
        const Bytes raw = take_bytes(sizeof(T));
        if (!raw.empty()) std::memcpy(&value, raw.data(), sizeof(T));
        return value;
    }

    // The next `size` bytes, or an empty span and a poisoned reader.
    Bytes take_bytes(std::size_t size) {
        if (!ok_ || size > left_.size()) {
            ok_ = false;
            return {};
        }
        const Bytes taken = left_.first(size);
        left_ = left_.subspan(size);
        return taken;
    }

    void poison() { ok_ = false; }
    bool ok() const { return ok_; }
    Bytes left() const { return ok_ ? left_ : Bytes{}; }

private:
    Bytes left_;
    bool ok_ = true;
};

class Writer {
public:
    explicit Writer(MutableBytes buffer) : buffer_(buffer) {}

    template <typename T>
        requires std::is_trivially_copyable_v<T>
    void put(const T& value) {
        put_bytes(std::as_bytes(std::span(&value, 1)));
    }

    void put_bytes(Bytes bytes) {
        if (!ok_ || bytes.size() > buffer_.size() - used_) {
            ok_ = false;
            return;
        }
        if (!bytes.empty()) std::memcpy(buffer_.data() + used_, bytes.data(), bytes.size());
        used_ += bytes.size();
    }

    // Writes over what was put before, for a size that is known only at the end.
    template <typename T>
        requires std::is_trivially_copyable_v<T>
    void put_at(std::size_t offset, const T& value) {
        if (!ok_ || offset > used_ || sizeof(T) > used_ - offset) {
            ok_ = false;
            return;
        }
        std::memcpy(buffer_.data() + offset, &value, sizeof(T));
    }

    bool ok() const { return ok_; }
    std::size_t used() const { return used_; }
    Bytes written() const { return ok_ ? Bytes(buffer_.first(used_)) : Bytes{}; }

private:
    MutableBytes buffer_;
    std::size_t used_ = 0;
    bool ok_ = true;
};

}  // namespace warder
