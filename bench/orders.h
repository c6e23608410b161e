// What the bench and its worker say to each other over the socket that the worker was lent.
#pragma once

#include <cstdint>

namespace warder::bench {

// The worker's first word: its name.
struct Hello {
    char name[64];
};

enum class Doing : std::uint32_t {
    measure,   // open the page `count` times, `width` times in each request; the answer is `count` samples of 32 bits, in ns
    flood,     // ask for the page without waiting for answers, `width` times in each request
    compute,   // ask for nothing, and use the processor
    hang,      // ask for what never opens, again whenever its deadline has come
    kind,      // do one kind of request `count` times: `before`, `width` and `after` are numbers of Kind; as many samples of `width`
};

// What goes on until it is told otherwise ends with one byte more; the answer is how often it was done, in 32 bits.
struct Order {
    std::uint32_t count;
    std::uint32_t width;
    Doing doing = Doing::measure;
    std::uint32_t before = 0;
    std::uint32_t after = 0;
};

// Each kind of request. What changes something is put back by another kind before or after it, which is not timed.
enum class Kind : std::uint32_t {
    nothing,
    read, write, append, create, stat, access, readlink, list, mkdir, rmdir, unlink, unlink_renamed, rename, link, symlink, chmod,
    truncate, watch,
    listen, connect_unix, connect_tcp, connect_udp, connect_name, raw, packet, netlink, syslog,
    device, secret, lookup, sysctl_read, sysctl_write, run, signal, narrow, store_put, store_fetch,
    last = store_fetch,
};

// One kind, with what it needs around it.
struct KindSteps {
    Kind before = Kind::nothing;
    Kind timed = Kind::nothing;
    Kind after = Kind::nothing;
};

// Their names in the tree of the bench.
inline constexpr char kind_file[] = "file";
inline constexpr char kind_link[] = "way";
inline constexpr char kind_made[] = "made";
inline constexpr char kind_renamed[] = "renamed";
inline constexpr char kind_sysctl[] = "net.unix.max_dgram_qlen";

}  // namespace warder::bench
