// What a worker may ask for. The numbers stand on the wire and in the audit: never renumber, never reuse.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace warder {

enum class Operation : std::uint16_t {
    read = 1,     // an existing file, read-only
    write = 2,    // an existing file, write-only or (flag read_too) read and write
    append = 3,   // an existing file, write-only, O_APPEND
    create = 4,   // as write, and made if absent
    listen = 5,   // a bound, and where the type listens, listening socket
    connect = 6,  // a connected or connecting socket
    secret = 7,   // a sealed memfd with the secret's bytes
    rename = 8,   // below one grant: target becomes second; replaces what was there
    unlink = 9,   // below one grant: the name of a file goes
};

inline constexpr std::uint16_t last_operation = 9;

struct OperationName {
    Operation operation;
    std::string_view name;
};

inline constexpr std::array<OperationName, last_operation> operation_names{{
    {Operation::read, "read"},
    {Operation::write, "write"},
    {Operation::append, "append"},
    {Operation::create, "create"},
    {Operation::listen, "listen"},
    {Operation::connect, "connect"},
    {Operation::secret, "secret"},
    {Operation::rename, "rename"},
    {Operation::unlink, "unlink"},
}};

constexpr std::string_view name_of(Operation operation) {
    for (const auto& entry : operation_names) {
        if (entry.operation == operation) return entry.name;
    }
    return "unknown";
}

constexpr std::optional<Operation> operation_of(std::string_view name) {
    for (const auto& entry : operation_names) {
        if (entry.name == name) return entry.operation;
    }
    return std::nullopt;
}

constexpr bool known(Operation operation) {
    const auto value = static_cast<std::uint16_t>(operation);
    return value >= 1 && value <= last_operation;
}

// A set of operations: what one grant permits.
class Operations {
public:
    constexpr Operations() = default;
    constexpr Operations(std::initializer_list<Operation> list) {
        for (const auto operation : list) add(operation);
    }
    constexpr void add(Operation operation) { bits_ |= bit(operation); }
    constexpr bool has(Operation operation) const { return (bits_ & bit(operation)) != 0; }
    constexpr bool empty() const { return bits_ == 0; }
    friend constexpr bool operator==(Operations, Operations) = default;

private:
    static constexpr std::uint64_t bit(Operation operation) {
        const auto value = static_cast<std::uint16_t>(operation);
        return value < 64 ? std::uint64_t{1} << value : 0;   // an operation that is not known is in no set
    }
    std::uint64_t bits_ = 0;
};

// How a file is to be opened. Bits of a request on the wire: never renumber. An unknown bit is refused.
enum class OpenFlag : std::uint16_t {
    read_too = 1 << 0,   // write, create: O_RDWR instead of O_WRONLY
    truncate = 1 << 1,   // write, create: O_TRUNC
    exclusive = 1 << 2,  // create: O_EXCL
    nonblock = 1 << 3,   // lent with O_NONBLOCK left on (sockets: listen and connect; files ignore it)
};

inline constexpr std::uint16_t known_open_flags = 0x000f;

constexpr bool has(std::uint16_t flags, OpenFlag flag) { return (flags & static_cast<std::uint16_t>(flag)) != 0; }

}  // namespace warder
