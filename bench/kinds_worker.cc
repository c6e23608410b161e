#include "kinds_worker.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace warder::bench {

namespace {

std::int64_t now() {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

// The value of the key that is written, as it was when it was read.
char key_value[64];

// A command that runs: what came with it is closed and it has ended before the next begins, outside of the time that is taken.
bool running = false;
warder_process process;

bool closed(int fd) { return fd >= 0 && close(fd) == 0; }

bool looked_up(warder_connection* connection) {
    char text[512];
    return warder_lookup(connection, "users", "user:root", text, sizeof text) > 0;
}

bool narrowed(warder_connection* connection) {
    const warder_narrowing kept{~std::uint64_t{0}, nullptr, nullptr, UINT32_MAX, 0};
    return warder_narrow(connection, "spare", &kept) == 0;
}

bool put(warder_connection* connection) {
    static const int something = open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return warder_store_put(connection, "kept", &something, 1) == 0;
}

bool fetched(warder_connection* connection) {
    int fd = -1;
    return warder_store_fetch(connection, "kept", &fd, 1) == 1 && closed(fd);
}

bool told(warder_connection* connection) {
    warder_file about;
    return warder_stat(connection, "tree", kind_file, &about) == 0;
}

bool linked_to(warder_connection* connection) {
    char text[64];
    return warder_readlink(connection, "tree", kind_link, text, sizeof text) > 0;
}

bool created(warder_connection* connection) {
    return closed(warder_open(connection, "tree", kind_made, O_WRONLY | O_CREAT | O_EXCL, 0644));
}

bool do_one(warder_connection* c, Kind kind) {
    switch (kind) {
        case Kind::nothing: return true;
        case Kind::read: return closed(warder_open(c, "reads", kind_file, O_RDONLY, 0));
        case Kind::write: return closed(warder_open(c, "writes", kind_file, O_WRONLY, 0));
        case Kind::append: return closed(warder_open(c, "appends", kind_file, O_WRONLY | O_APPEND, 0));
        case Kind::create: return created(c);
        case Kind::stat: return told(c);
        case Kind::access: return warder_access(c, "tree", kind_file, R_OK) == 0;
        case Kind::readlink: return linked_to(c);
        case Kind::list: return closed(warder_list(c, "tree", nullptr));
        case Kind::mkdir: return warder_mkdir(c, "tree", kind_made, 0755) == 0;
        case Kind::rmdir: return warder_rmdir(c, "tree", kind_made) == 0;
        case Kind::unlink: return warder_unlink(c, "tree", kind_made) == 0;
        case Kind::unlink_renamed: return warder_unlink(c, "tree", kind_renamed) == 0;
        case Kind::rename: return warder_rename(c, "tree", kind_made, kind_renamed) == 0;
        case Kind::link: return warder_link(c, "tree", kind_file, kind_made) == 0;
        case Kind::symlink: return warder_symlink(c, "tree", kind_made, kind_file) == 0;
        case Kind::chmod: return warder_chmod(c, "tree", "owned", 0640) == 0;
        case Kind::truncate: return warder_truncate(c, "tree", kind_file, 36) == 0;
        case Kind::watch: return closed(warder_watch(c, "tree", kind_file, 0, 0));
        case Kind::listen: return closed(warder_listen(c, "door", nullptr, 0));
        case Kind::connect_unix: return closed(warder_dial(c, "local", nullptr, 0));
        case Kind::connect_tcp: return closed(warder_dial(c, "peer", nullptr, 0));
        case Kind::connect_udp: return closed(warder_dial(c, "datagrams", nullptr, 0));
        case Kind::connect_name: return closed(warder_dial(c, "named", nullptr, 0));
        case Kind::raw: return closed(warder_raw(c, "ping", 0));
        case Kind::packet: return closed(warder_packet(c, "arp", 0));
        case Kind::netlink: return closed(warder_netlink(c, "route", 0));
        case Kind::syslog: return closed(warder_syslog(c, "log", 0));
        case Kind::device: return closed(warder_device(c, "null", nullptr, 0));
        case Kind::secret: return closed(warder_secret(c, "key"));
        case Kind::lookup: return looked_up(c);
        case Kind::sysctl_read: return warder_sysctl_get(c, "queue", kind_sysctl, key_value, sizeof key_value) > 0;
        case Kind::sysctl_write: return warder_sysctl_set(c, "queue", kind_sysctl, key_value) == 0;
        case Kind::run: return running = warder_run(c, "true", nullptr, &process) == 0;
        case Kind::signal: return warder_signal(c, "other", nullptr, SIGWINCH) == 0;
        case Kind::narrow: return narrowed(c);
        case Kind::store_put: return put(c);
        case Kind::store_fetch: return fetched(c);
    }
    return false;
}

void finish() {
    if (!running) return;
    running = false;
    pollfd ended{process.pidfd, POLLIN, 0};
    poll(&ended, 1, 5000);
    for (const int fd : {process.in, process.out, process.err, process.pidfd}) {
        if (fd >= 0) close(fd);
    }
    usleep(500);   // warderd is told of the end as well, and counts
}

bool do_untimed(warder_connection* connection, std::uint32_t kind) {
    const bool done = do_one(connection, static_cast<Kind>(kind));
    finish();
    return done;
}

}  // namespace

bool do_kind(warder_connection* connection, const Order& order, std::vector<std::uint32_t>& samples) {
    samples.clear();
    for (std::uint32_t i = 0; i < order.count; ++i) {
        if (!do_untimed(connection, order.before)) return false;
        const auto start = now();
        if (!do_one(connection, static_cast<Kind>(order.width))) return false;
        samples.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(now() - start, UINT32_MAX)));
        finish();
        if (!do_untimed(connection, order.after)) return false;
    }
    return true;
}

}  // namespace warder::bench
