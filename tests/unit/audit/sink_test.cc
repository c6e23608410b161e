#include "audit/sink.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "sys/fd.h"

using namespace warder;
using namespace warder::audit;

namespace {

struct Pipe {
    Fd reader;
    Fd writer;
    Pipe() {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        reader = Fd(ends[0]);
        writer = Fd(ends[1]);
    }

    std::vector<nlohmann::json> lines() const {
        std::string text;
        char part[4096];
        for (ssize_t size = 0; (size = ::read(reader.get(), part, sizeof part)) > 0;) {
            text.append(part, static_cast<std::size_t>(size));
        }
        CHECK((text.empty() || text.back() == '\n'));
        std::vector<nlohmann::json> parsed;
        std::istringstream stream(text);
        for (std::string line; std::getline(stream, line);) parsed.push_back(nlohmann::json::parse(line));
        return parsed;
    }
};

void put(Ring& ring, int count, int first = 1) {
    for (int i = 0; i < count; ++i) {
        Record* record = ring.push();
        if (record == nullptr) continue;
        *record = Record{};
        record->pid = first + i;
        record->text.append(std::string(200, 'x'));
    }
}

}  // namespace

TEST_CASE("every record is a line, in order") {
    const Pipe pipe;
    Ring ring(128);
    Sink sink(pipe.writer.get());
    put(ring, 100);
    CHECK(sink.drain(ring) == Sink::Outcome::drained);
    CHECK(ring.empty());
    const auto lines = pipe.lines();
    REQUIRE(lines.size() == 100);
    for (int i = 0; i < 100; ++i) CHECK(lines[static_cast<std::size_t>(i)]["pid"] == i + 1);
}

TEST_CASE("T41: what is over a worker's share of the files is marked with its name, for who keeps them apart") {
    const Pipe pipe;
    Ring ring(8);
    for (const bool aside : {false, true}) {
        Record* record = ring.push(own_account, aside);
        REQUIRE(record != nullptr);
        record->worker.append("web");
    }
    Sink sink(pipe.writer.get(), Sink::Asides::are_marked);
    CHECK(sink.drain(ring) == Sink::Outcome::drained);
    char text[4096];
    const ssize_t size = ::read(pipe.reader.get(), text, sizeof text);
    REQUIRE(size > 0);
    const std::string_view lines(text, static_cast<std::size_t>(size));
    CHECK(lines.starts_with("{"));
    CHECK(lines.find("\nweb\t{") != std::string_view::npos);
}

TEST_CASE("L6: a full pipe keeps the records in the ring, and none is torn or told twice") {
    const Pipe pipe;
    Ring ring(1024);
    Sink sink(pipe.writer.get());
    put(ring, 1024);
    REQUIRE(sink.drain(ring) == Sink::Outcome::full);
    CHECK(ring.size() > 0);
    put(ring, 1024, 2000);   // some of them find no place
    std::vector<nlohmann::json> all;
    for (auto outcome = Sink::Outcome::full; outcome == Sink::Outcome::full;) {
        for (auto& line : pipe.lines()) all.push_back(std::move(line));
        outcome = sink.drain(ring);
    }
    for (auto& line : pipe.lines()) all.push_back(std::move(line));
    CHECK(ring.empty());
    REQUIRE(all.size() > 1024);
    for (int i = 0; i < 1024; ++i) CHECK(all[static_cast<std::size_t>(i)]["pid"] == i + 1);
    for (std::size_t i = 1024; i < all.size(); ++i) CHECK(all[i]["pid"] == 2000 + static_cast<int>(i) - 1024);
}

TEST_CASE("a reader that is gone costs the records, not the daemon") {
    const auto before = std::signal(SIGPIPE, SIG_IGN);
    Pipe pipe;
    pipe.reader.reset();
    Ring ring(8);
    Sink sink(pipe.writer.get());
    put(ring, 8);
    CHECK(sink.drain(ring) == Sink::Outcome::drained);
    CHECK(ring.size() == 0);
    std::signal(SIGPIPE, before);
}

TEST_CASE("a sink without an end throws records away") {
    Ring ring(2);
    Sink sink;
    put(ring, 3);
    CHECK(sink.drain(ring) == Sink::Outcome::drained);
    CHECK(ring.empty());
}
