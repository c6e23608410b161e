// The worker of the bench: does what the bench tells it over a lent unix socket, and sends back how long each thing took.
// It sees only libwarder, like any worker, but for the flood: there it speaks the protocol itself, since a library waits for
// its answers.
//
//     bench-worker            under warderd: asks for the grants "bench" (the socket) and "site" (what is opened)
//     bench-worker PATH       without warderd: connects to the socket itself; the floor of a start
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <warder/warder.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#include "flood.h"
#include "kinds_worker.h"
#include "orders.h"

namespace {

using warder::bench::Doing;
using warder::bench::do_kind;
using warder::bench::Hello;
using warder::bench::Order;
using warder::bench::flood;

std::int64_t now() {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

bool read_whole(int socket, void* into, std::size_t size) {
    auto* at = static_cast<char*>(into);
    while (size > 0) {
        const auto got = read(socket, at, size);
        if (got <= 0) return false;
        at += got;
        size -= static_cast<std::size_t>(got);
    }
    return true;
}

bool write_whole(int socket, const void* from, std::size_t size) {
    const auto* at = static_cast<const char*>(from);
    while (size > 0) {
        const auto put = write(socket, at, size);
        if (put <= 0) return false;
        at += put;
        size -= static_cast<std::size_t>(put);
    }
    return true;
}

bool open_once(warder_connection* connection) {
    const int fd = warder_open(connection, "site", "page.html", O_RDONLY, 0);
    return fd >= 0 && close(fd) == 0;
}

bool open_many(warder_connection* connection, std::size_t width) {
    static std::array<warder_request, WARDER_MAX_REQUESTS> requests;
    static std::array<warder_result, WARDER_MAX_REQUESTS> results;
    for (std::size_t i = 0; i < width; ++i) {
        requests[i] = {};
        requests[i].operation = WARDER_READ;
        requests[i].grant = "site";
        requests[i].target = "page.html";
    }
    if (warder_open_many(connection, requests.data(), results.data(), width) != static_cast<int>(width)) return false;
    for (std::size_t i = 0; i < width; ++i) close(results[i].fd);
    return true;
}

// Carries out one order; false when it failed, with the reason on standard error.
bool carry_out(warder_connection* connection, const Order& order, std::vector<std::uint32_t>& samples) {
    samples.clear();
    for (std::uint32_t i = 0; i < order.count; ++i) {
        const auto start = now();
        const bool done = order.width == 1 ? open_once(connection) : open_many(connection, order.width);
        const auto passed = now() - start;
        if (!done) {
            std::fprintf(stderr, "bench-worker: %s\n", warder_why());
            return false;
        }
        samples.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(passed, UINT32_MAX)));
    }
    return true;
}

// Its own thread waits; this one listens for the word to stop, and the last wait ends at the deadline of its request.
std::uint32_t hang(warder_connection* connection, int socket) {
    std::atomic<bool> stop = false;
    std::uint32_t times = 0;
    std::thread waiting([&] {
        while (!stop) {
            const int fd = warder_open(connection, "silent", "file", O_RDONLY, 0);
            if (fd >= 0) close(fd);
            ++times;
        }
    });
    char word = 0;
    (void)read_whole(socket, &word, sizeof word);
    stop = true;
    waiting.join();
    return times;
}

// What the kernel's scheduler lets anybody do to the others on his processor.
std::uint32_t compute(int socket) {
    std::uint32_t times = 0;
    for (char word = 0; recv(socket, &word, sizeof word, MSG_DONTWAIT) < 0; ++times) {
        const auto began = now();
        while (now() - began < 1'000'000) {
        }
    }
    return times;
}

std::uint32_t go_on(warder_connection* connection, int socket, const Order& order) {
    if (order.doing == Doing::hang) return hang(connection, socket);
    if (order.doing == Doing::compute) return compute(socket);
    const char* number = std::getenv("WARDER_SOCKET");
    return number == nullptr ? 0 : flood(std::atoi(number), socket, order.width);
}

int obey(warder_connection* connection, int socket) {
    std::vector<std::uint32_t> samples;
    Order order;
    while (read_whole(socket, &order, sizeof order)) {
        if (order.width == 0 || order.width > WARDER_MAX_REQUESTS) return 2;
        if (order.doing == Doing::kind) {
            if (!do_kind(connection, order, samples)) {
                std::fprintf(stderr, "bench-worker: kind %u: %s\n", order.width, warder_why());
                return 4;
            }
            if (!write_whole(socket, samples.data(), samples.size() * sizeof samples[0])) return 0;
            continue;
        }
        if (order.doing != Doing::measure) {
            const std::uint32_t times = go_on(connection, socket, order);
            if (!write_whole(socket, &times, sizeof times)) return 0;
            continue;
        }
        if (!carry_out(connection, order, samples)) return 3;
        if (!write_whole(socket, samples.data(), samples.size() * sizeof samples[0])) return 0;
    }
    return 0;
}

bool greet(int socket, const char* name) {
    Hello hello{};
    std::snprintf(hello.name, sizeof hello.name, "%s", name);
    return write_whole(socket, &hello, sizeof hello);
}

int run_bare(const char* path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || !greet(socket, "bare")) {
        std::perror("bench-worker");
        return 1;
    }
    char until_closed = 0;
    return read(socket, &until_closed, 1) == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
    if (count > 1) return run_bare(arguments[1]);
    warder_connection* connection = warder_connect();
    if (connection == nullptr || warder_ready(connection, "waiting for orders") != 0) {
        std::fprintf(stderr, "bench-worker: %s\n", warder_why());
        return 1;
    }
    const int socket = warder_dial(connection, "bench", nullptr, 0);
    if (socket < 0 || !greet(socket, warder_worker(connection))) {
        std::fprintf(stderr, "bench-worker: %s\n", warder_why());
        return 1;
    }
    return obey(connection, socket);
}
