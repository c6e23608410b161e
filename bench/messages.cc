#include "bench/messages.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <optional>

#include "sys/fd.h"

namespace warder::bench {

namespace {

enum class Road { pipe, stream, dgram, seqpacket };

constexpr std::array roads{Road::pipe, Road::stream, Road::dgram, Road::seqpacket};
constexpr std::array<std::size_t, 3> sizes{64, 4096, 65536};
constexpr std::size_t largest = sizes.back();

const char* name_of(Road road) {
    switch (road) {
        case Road::pipe: return "pipe";
        case Road::stream: return "socketpair, stream";
        case Road::dgram: return "socketpair, dgram";
        case Road::seqpacket: return "socketpair, seqpacket";
    }
    return "";
}

const char* name_of(std::size_t size) { return size == 64 ? "64 B" : size == 4096 ? "4 KiB" : "64 KiB"; }

const char* name_of(Place place) { return place == Place::one_cpu ? "both on one CPU" : "on any CPU"; }

// Both directions between two processes. For a socketpair they are one socket.
struct Link {
    Fd near_in, near_out, far_in, far_out;
};

Result<Link> make_link(Road road) {
    if (road == Road::pipe) {
        int there[2];
        int back[2];
        if (::pipe2(there, O_CLOEXEC) != 0) return failure("pipe2");
        Fd there_in(there[0]);
        Fd there_out(there[1]);
        if (::pipe2(back, O_CLOEXEC) != 0) return failure("pipe2");
        return Link{Fd(back[0]), std::move(there_out), std::move(there_in), Fd(back[1])};
    }
    const int type = road == Road::stream ? SOCK_STREAM : road == Road::dgram ? SOCK_DGRAM : SOCK_SEQPACKET;
    int ends[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return failure("socketpair");
    Link link;
    link.near_in = Fd(ends[0]);
    link.far_in = Fd(ends[1]);
    link.near_out = TRY(link.near_in.duplicate());
    link.far_out = TRY(link.far_in.duplicate());
    return link;
}

// A child that runs `work` with the far ends until they are closed, on the place of this process.
template <typename Work>
Result<pid_t> start_far_side(Link& link, Work work) {
    const pid_t child = ::fork();
    if (child < 0) return failure("fork");
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        std::signal(SIGPIPE, SIG_IGN);
        link.near_in.reset();
        link.near_out.reset();
        work(link.far_in.get(), link.far_out.get());
        ::_exit(0);
    }
    link.far_in.reset();
    link.far_out.reset();
    return child;
}

void end_far_side(Link& link, pid_t child) {
    link.near_in.reset();
    link.near_out.reset();
    ::kill(child, SIGKILL);   // a datagram socket has no end of file to tell it
    ::waitpid(child, nullptr, 0);
}

void echo(int in, int out) {
    char text[64];
    while (::read(in, text, sizeof text) == static_cast<ssize_t>(sizeof text)) {
        if (::write(out, text, sizeof text) < 0) return;
    }
}

Result<Samples> round_trips(Road road, std::size_t count) {
    Link link = TRY(make_link(road));
    const pid_t child = TRY(start_far_side(link, echo));
    Samples samples;
    samples.reserve(count);
    char text[64]{};
    for (std::size_t i = 0; i < count; ++i) {
        const Instant start = monotonic_now();
        if (::write(link.near_out.get(), text, sizeof text) < 0) break;
        if (::read(link.near_in.get(), text, sizeof text) < 0) break;
        samples.push_back(elapsed_since(start));
    }
    end_far_side(link, child);
    if (samples.size() != count) return failure(EIO, "a round trip");
    return samples;
}

// Messages of `size` bytes that pass in a second. A byte stream is read as a reader would, with a large buffer.
Result<double> throughput(Road road, std::size_t size, Duration span) {
    Link link = TRY(make_link(road));
    const pid_t child = TRY(start_far_side(link, [size](int, int out) {
        static char text[largest];
        while (::write(out, text, size) == static_cast<ssize_t>(size)) {
        }
    }));
    static char buffer[largest];
    std::uint64_t bytes = 0;
    const Instant start = monotonic_now();
    Duration passed{};
    while ((passed = monotonic_now() - start) < span) {
        const auto got = ::read(link.near_in.get(), buffer, sizeof buffer);
        if (got <= 0) break;
        bytes += static_cast<std::uint64_t>(got);
    }
    end_far_side(link, child);
    if (passed < span) return failure(EIO, "reading messages");
    return static_cast<double>(bytes) / static_cast<double>(size) * 1e9 / static_cast<double>(passed.count());
}

struct Fastest {
    std::size_t size = 0;
    const Row* first = nullptr;
    double lead = 0;   // how many times the next
};

// The fastest of one size's rows, and how far it leads the fastest road of the other kind (pipe or socketpair).
Fastest fastest_of(std::size_t size, std::span<const Row> rows) {
    const auto& pipe = rows[0];
    const auto& socket = *std::max_element(rows.begin() + 1, rows.end(),
                                           [](const Row& a, const Row& b) { return a.p50 < b.p50; });
    if (pipe.p50 >= socket.p50) return {size, &pipe, pipe.p50 / socket.p50};
    return {size, &socket, socket.p50 / pipe.p50};
}

std::string sentence_of(std::span<const Fastest> winners) {
    std::string text = "Fastest: ";
    for (const auto& winner : winners) {
        char part[128];
        const char* other = winner.first->name.starts_with("pipe") ? "the best socketpair" : "the pipe";
        std::snprintf(part, sizeof part, "%s%s by the %s (%.1f x %s)", &winner == winners.data() ? "" : "; ",
                      name_of(winner.size), winner.first->name.substr(0, winner.first->name.rfind(',')).c_str(),
                      winner.lead, other);
        text += part;
    }
    return text + ".";
}

Result<Section> round_trip_section(Place place, std::size_t count) {
    move_to(place);
    Section section{.title = std::string("A round trip of 64 B, ") + name_of(place), .rows = {}, .notes = {}};
    for (const Road road : roads) section.rows.push_back(row(name_of(road), TRY(round_trips(road, count))));
    return section;
}

Result<Section> throughput_section(Place place, Duration span) {
    constexpr int rounds = 3;
    move_to(place);
    Section section{.title = std::string("Throughput, ") + name_of(place), .rows = {}, .notes = {}};
    for (const std::size_t size : sizes) {
        for (const Road road : roads) {
            std::vector<double> rates;
            for (int i = 0; i < rounds; ++i) rates.push_back(TRY(throughput(road, size, span / rounds)));
            section.rows.push_back({.name = std::string(name_of(road)) + ", " + name_of(size),
                                    .p50 = median(rates), .p99 = 0, .unit = "msg/s", .ratio = 0, .against = {}});
        }
    }
    std::vector<Fastest> winners;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        winners.push_back(fastest_of(sizes[i], std::span(section.rows).subspan(i * roads.size(), roads.size())));
    }
    section.notes.push_back(sentence_of(winners));
    section.notes.emplace_back("Byte streams are read with a 64 KiB buffer, datagrams one at a time.");
    return section;
}

}  // namespace

Result<std::vector<Section>> message_sections(std::size_t round_trips, Duration span) {
    std::vector<Section> sections;
    for (const Place place : {Place::one_cpu, Place::any_cpu}) {
        sections.push_back(TRY(round_trip_section(place, round_trips)));
        sections.push_back(TRY(throughput_section(place, span)));
    }
    move_to(Place::any_cpu);
    return sections;
}

}  // namespace warder::bench
