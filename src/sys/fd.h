// Fd owns one descriptor from the line it is born until it is closed or given away. Everything that makes descriptors
// here makes them close-on-exec.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/error.h"

namespace warder {

class Fd {
public:
    Fd() = default;
    // Takes ownership of `number`; -1 is "none".
    explicit Fd(int number) : number_(number) {}
    Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) {
            reset();
            number_ = std::exchange(other.number_, -1);
        }
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    int get() const { return number_; }
    explicit operator bool() const { return number_ >= 0; }

    // Gives the descriptor away: the caller owns it now.
    [[nodiscard]] int release() { return std::exchange(number_, -1); }

    // Closes it. EINTR from close(2) on Linux means closed, so it is not tried again.
    void reset() {
        if (number_ >= 0) ::close(std::exchange(number_, -1));
    }

    // A second descriptor for the same open file, close-on-exec. Errors: EMFILE.
    Result<Fd> duplicate() const;

private:
    int number_ = -1;
};

}  // namespace warder
