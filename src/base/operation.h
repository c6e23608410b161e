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

    // On paths. The result is data in the reply unless a descriptor is named.
    stat = 10,      // what a file is: a wire::Stat. A symlink at the end is itself, not what it points to
    access = 11,    // whether the worker's credentials may read (4), write (2), execute (1): `mode`
    readlink = 12,  // the text of a symlink
    list = 13,      // a sealed memfd: for each name in the directory one letter for its type, the name, a NUL. As find(1)
                    // has them: f d l p s b c, or ?
    mkdir = 14,     // `mode`: permission bits
    rmdir = 15,
    link = 16,      // below one grant: `second` becomes another name of target
    symlink = 17,   // below one grant: target is made a symlink with the text `second`, which leads nowhere outside
    chmod = 18,     // `mode`: permission bits, never set-id bits
    truncate = 19,  // `argument`: the new size in bytes
    watch = 20,     // an inotify descriptor that watches the file or directory; `argument`: event bits, 0 for all

    raw = 21,           // a raw socket of one protocol
    packet = 22,        // a packet socket, bound to one protocol and perhaps one interface
    netlink = 23,       // a netlink socket of one protocol, bound
    device = 24,        // an open device, configured if it is tun or tap
    channel = 25,       // never asked for: an event brings the end
    lookup = 26,        // data about the user, group, host or service `target` ("user:web", "host:db.example")
    sysctl_read = 27,   // the value of the key `target`
    sysctl_write = 28,  // ... becomes `second`
    run = 29,           // a command: its pipes, then a pidfd. `target`: its arguments, one a line
    signal = 30,        // to another worker's main process; `argument`: the number
    restart = 31,       // another worker is restarted
    syslog = 32,        // a datagram socket connected to the system's log
    narrow = 33,        // the worker makes one of its own grants smaller for the rest of its life
};

inline constexpr std::uint16_t last_operation = 33;

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
    {Operation::stat, "stat"},
    {Operation::access, "access"},
    {Operation::readlink, "readlink"},
    {Operation::list, "list"},
    {Operation::mkdir, "mkdir"},
    {Operation::rmdir, "rmdir"},
    {Operation::link, "link"},
    {Operation::symlink, "symlink"},
    {Operation::chmod, "chmod"},
    {Operation::truncate, "truncate"},
    {Operation::watch, "watch"},
    {Operation::raw, "raw"},
    {Operation::packet, "packet"},
    {Operation::netlink, "netlink"},
    {Operation::device, "device"},
    {Operation::channel, "channel"},
    {Operation::lookup, "lookup"},
    {Operation::sysctl_read, "sysctl_read"},
    {Operation::sysctl_write, "sysctl_write"},
    {Operation::run, "run"},
    {Operation::signal, "signal"},
    {Operation::restart, "restart"},
    {Operation::syslog, "syslog"},
    {Operation::narrow, "narrow"},
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

// How many descriptors a success lends: a run lends as many as its grant says, at most max_lent_by_run.
inline constexpr std::uint16_t max_lent_by_run = 4;

constexpr bool lends_one(Operation operation) {
    switch (operation) {
        case Operation::read:
        case Operation::write:
        case Operation::append:
        case Operation::create:
        case Operation::listen:
        case Operation::connect:
        case Operation::secret:
        case Operation::list:
        case Operation::watch:
        case Operation::raw:
        case Operation::packet:
        case Operation::netlink:
        case Operation::device:
        case Operation::syslog: return true;
        default: return false;
    }
}

// Two paths below one grant.
constexpr bool takes_two_paths(Operation operation) {
    return operation == Operation::rename || operation == Operation::link;
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
    // Bit n stands for operation n, as `narrow` has it on the wire.
    constexpr std::uint64_t bits() const { return bits_; }
    constexpr void keep(std::uint64_t bits) { bits_ &= bits; }
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

constexpr std::optional<OpenFlag> open_flag_of(std::string_view name) {
    if (name == "read_too") return OpenFlag::read_too;
    if (name == "truncate") return OpenFlag::truncate;
    if (name == "exclusive") return OpenFlag::exclusive;
    if (name == "nonblock") return OpenFlag::nonblock;
    return std::nullopt;
}

constexpr bool has(std::uint16_t flags, OpenFlag flag) { return (flags & static_cast<std::uint16_t>(flag)) != 0; }

}  // namespace warder
