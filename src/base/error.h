// Error and Result: how failure travels. An Error is two words, never an allocation: which errno, and what we were
// doing. Words for people are made once, at the edge, by describe().
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <utility>

namespace warder {

struct Error {
    int number = 0;           // an errno
    const char* doing = "";   // a string literal: "openat2", "reading the log pipe"

    friend bool operator==(const Error&, const Error&) = default;
};

template <typename T>
using Result = std::expected<T, Error>;

using Failure = std::unexpected<Error>;

// The failure of a call that set errno.
[[nodiscard]] inline Failure failure(const char* doing) { return Failure(Error{errno, doing}); }
[[nodiscard]] inline Failure failure(int number, const char* doing) { return Failure(Error{number, doing}); }

// "openat2: No such file or directory (ENOENT)". For logs and operators; never called between receive and send.
std::string describe(const Error& error);

// The symbolic name of an errno ("ENOENT"), or "errno 4095" for one that has none. Static storage.
const char* errno_name(int number);

namespace detail {
template <typename T>
T take(std::expected<T, Error>&& result) {
    return std::move(*result);
}
inline void take(std::expected<void, Error>&&) {}
}  // namespace detail

}  // namespace warder

#define WARDER_JOIN_(a, b) a##b
#define WARDER_JOIN(a, b) WARDER_JOIN_(a, b)
#define WARDER_TRY_(name, expression)                            \
    __extension__({                                              \
        auto name = (expression);                                \
        if (!name) return ::warder::Failure(name.error());       \
        ::warder::detail::take(std::move(name));                 \
    })

// The value of a Result, or return its error from this function. Never used between fork and exec: nothing returns there.
#define TRY(expression) WARDER_TRY_(WARDER_JOIN(try_result_, __COUNTER__), expression)
