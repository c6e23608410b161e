// Landlock by its system calls: what the running kernel knows, and rulesets. The constants are our own, since the kernel
// is newer than the headers. Functions that a child uses between fork and exec return 0 or an errno and use no heap.
#pragma once

#include <cstdint>

namespace warder::landlock {

// Rights on files (ABI in which each came). Never renumber: the kernel's own.
inline constexpr std::uint64_t execute = 1ULL << 0;       // 1
inline constexpr std::uint64_t write_file = 1ULL << 1;
inline constexpr std::uint64_t read_file = 1ULL << 2;
inline constexpr std::uint64_t read_dir = 1ULL << 3;
inline constexpr std::uint64_t remove_dir = 1ULL << 4;
inline constexpr std::uint64_t remove_file = 1ULL << 5;
inline constexpr std::uint64_t make_char = 1ULL << 6;
inline constexpr std::uint64_t make_dir = 1ULL << 7;
inline constexpr std::uint64_t make_reg = 1ULL << 8;
inline constexpr std::uint64_t make_sock = 1ULL << 9;
inline constexpr std::uint64_t make_fifo = 1ULL << 10;
inline constexpr std::uint64_t make_block = 1ULL << 11;
inline constexpr std::uint64_t make_sym = 1ULL << 12;
inline constexpr std::uint64_t refer = 1ULL << 13;        // 2
inline constexpr std::uint64_t truncate = 1ULL << 14;     // 3
inline constexpr std::uint64_t ioctl_dev = 1ULL << 15;    // 5
inline constexpr std::uint64_t resolve_unix = 1ULL << 16; // 9: connecting to a socket by its path

// What can be given on a file that is no directory.
inline constexpr std::uint64_t file_rights = execute | write_file | read_file | truncate | ioctl_dev | resolve_unix;

inline constexpr std::uint64_t bind_tcp = 1ULL << 0;      // 4
inline constexpr std::uint64_t connect_tcp = 1ULL << 1;
inline constexpr std::uint64_t scope_abstract_unix_socket = 1ULL << 0;  // 6
inline constexpr std::uint64_t scope_signal = 1ULL << 1;

// What a ruleset restricts; everything in it is forbidden but for what rules give.
struct Handled {
    std::uint64_t files = 0;
    std::uint64_t net = 0;
    std::uint64_t scoped = 0;
};

// The running kernel's ABI; 0: no Landlock here.
int abi();

// Which of its faults this kernel has mended, as bits; 0 where it does not say: then none is taken to be. A fault is there from its
// ABI on. Never renumber: the kernel's own.
inline constexpr unsigned tcp_only = 1U << 0;              // 4: rights on TCP ports bind other protocols of streams (MPTCP, SMC) too
inline constexpr unsigned signals_of_threads = 1U << 1;    // 6: the scope keeps threads of one process from signalling each other
inline constexpr unsigned disconnected = 1U << 2;          // 1: what is moved out of a bind mount can gain rights by rename and link
unsigned errata();

// All rights on files, net and scopes that this ABI can restrict.
Handled all_of(int abi);

// A new ruleset: its descriptor (close-on-exec), or the negative of an errno.
int create_ruleset(const Handled& handled);

// Allows `rights` on the file or tree behind `fd`. Rights that only directories can have are left out for a file, and
// those that the ruleset does not handle must be left out by the caller. 0 or an errno.
int allow_beneath(int ruleset, int fd, std::uint64_t rights);

// Allows `rights` (bind_tcp, connect_tcp) on one TCP port. 0 or an errno.
int allow_port(int ruleset, std::uint16_t port, std::uint64_t rights);

// Restricts this thread for good. Needs no_new_privs or CAP_SYS_ADMIN. 0 or an errno.
int restrict_self(int ruleset);

}  // namespace warder::landlock
