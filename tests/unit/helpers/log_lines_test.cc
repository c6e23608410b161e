#include "helpers/log_lines.h"

#include <doctest/doctest.h>

#include <map>

using namespace warder::helpers;

namespace {

std::string fed(LineSplitter& splitter, std::string_view bytes) {
    std::string out;
    splitter.feed(bytes, "T", out);
    return out;
}

// Carries out a rotation on a directory that is a map from name to content.
void rotate(std::map<std::string, std::string>& directory, const std::string& file, std::uint32_t keep) {
    for (const auto& step : rotation(file, keep, max_kept)) {
        const auto found = directory.find(step.from);
        if (found == directory.end()) continue;
        directory[step.to] = found->second;
        directory.erase(step.from);
    }
}

}  // namespace

TEST_CASE("log lines: a moment is RFC 3339 in UTC with microseconds") {
    CHECK(timestamp(0) == "1970-01-01T00:00:00.000000Z");
    CHECK(timestamp(1'767'225'599'123'456'789) == "2025-12-31T23:59:59.123456Z");
}

TEST_CASE("log lines: each line is stamped, and one in pieces is one line") {
    LineSplitter splitter(true);
    CHECK(fed(splitter, "one\ntwo\nthr") == "T one\nT two\n");
    CHECK(fed(splitter, "ee") == "");
    CHECK(fed(splitter, "\n\n") == "T three\nT \n");
    std::string rest;
    splitter.finish("T", rest);
    CHECK(rest == "");
    CHECK(fed(splitter, "no newline") == "");
    splitter.finish("T", rest);
    CHECK(rest == "T no newline\n");
    splitter.finish("T", rest);
    CHECK(rest == "T no newline\n");
}

TEST_CASE("log lines: the audit's lines stay as they are") {
    LineSplitter splitter(false);
    CHECK(fed(splitter, "{\"a\":1}\n{\"b\"") == "{\"a\":1}\n");
    CHECK(fed(splitter, ":2}\n") == "{\"b\":2}\n");
}

TEST_CASE("log lines: a line of exactly the longest size is whole, one byte more makes two") {
    const std::string longest(longest_line, 'x');
    LineSplitter exact(true);
    CHECK(fed(exact, longest + "\n") == "T " + longest + "\n");
    LineSplitter over(true);
    CHECK(fed(over, longest + "y\n") == "T " + longest + "\nT y\n");
    LineSplitter pieces(true);
    CHECK(fed(pieces, longest) == "");
    CHECK(fed(pieces, "\nz\n") == "T " + longest + "\nT z\n");
}

TEST_CASE("log lines: a worker that never ends its line is kept in bounds") {
    LineSplitter splitter(true);
    std::size_t written = 0;
    const std::string piece(10'000, 'x');
    for (int i = 0; i < 100; ++i) written += fed(splitter, piece).size();
    CHECK(written >= 1'000'000 - longest_line);
}

TEST_CASE("log lines: the same bytes give the same lines however they are cut") {
    std::string text;
    for (int i = 0; i < 500; ++i) text += std::string(static_cast<std::size_t>(i * 7 % 300), static_cast<char>('a' + i % 26)) + "\n";
    text += std::string(3 * longest_line, 'q') + "\nend\n";
    LineSplitter whole(true);
    const std::string expected = fed(whole, text);
    for (const std::size_t step : {1UL, 2UL, 7UL, 4096UL, longest_line, longest_line + 1}) {
        LineSplitter splitter(true);
        std::string got;
        for (std::size_t at = 0; at < text.size(); at += step) got += fed(splitter, std::string_view(text).substr(at, step));
        CHECK(got == expected);
    }
}

TEST_CASE("log lines: a worker's name makes a file name, and nothing else does") {
    CHECK(place_of("log:web")->file == "web.log");
    CHECK(place_of("log:web")->stamped);
    CHECK(place_of("log:web@1.a_b-c")->file == "web@1.a_b-c.log");
    CHECK(place_of("audit")->file == "audit.jsonl");
    CHECK(place_of("audit")->asides);
    CHECK(place_of("events")->file == "events.jsonl");
    CHECK_FALSE(place_of("events")->asides);
    CHECK_FALSE(place_of("audit")->stamped);
    for (const std::string_view bad : {"", "log:", "log:..", "log:.", "log:../etc/cron.d/x", "log:a/b", "log:a b", "log:A",
                                       "log:-rf", "log:\xc3\xa9", "web", "audit.jsonl", "log:a\n"}) {
        CHECK_FALSE(place_of(bad));
    }
    CHECK_FALSE(place_of(std::string_view("log:a\0b", 7)));
    CHECK_FALSE(place_of("log:" + std::string(201, 'a')));
}

TEST_CASE("log lines: limits are two numbers in one") {
    CHECK(unpack_limits((5ULL << 48) | (10ULL << 20)) == Limits{10ULL << 20, 5});
    CHECK(unpack_limits(0) == Limits{0, 0});
    CHECK(unpack_limits(~0ULL) == Limits{(1ULL << 48) - 1, max_kept});
}

TEST_CASE("log lines: what was lost is told in the file's own language") {
    CHECK(lost_notice(true, 3, "No space left on device", "T") == "T log-keeper: 3 lines were lost: No space left on device\n");
    CHECK(lost_notice(true, 1, "No space left on device", "T") == "T log-keeper: 1 line was lost: No space left on device\n");
    CHECK(lost_notice(false, 3, "No space left on device", "T") ==
          "{\"time\":\"T\",\"kind\":\"lost\",\"lines\":3,\"text\":\"No space left on device\"}\n");
    CHECK(count_lines("") == 0);
    CHECK(count_lines("a\nb\n") == 2);
    CHECK(count_lines("a\nb") == 2);
}

TEST_CASE("log lines: a rotation moves the oldest first and overwrites only what is beyond the number kept") {
    std::map<std::string, std::string> directory;
    for (int i = 1; i <= 6; ++i) {
        directory["web.log"] = std::to_string(i);
        rotate(directory, "web.log", 3);
    }
    CHECK(directory == std::map<std::string, std::string>{{"web.log.1", "6"}, {"web.log.2", "5"}, {"web.log.3", "4"}});
}

TEST_CASE("log lines: a rotation asks only for the files that there may be, and keeps none where none is wanted") {
    CHECK(rotation("a.log", 5, 0) == std::vector<Rename>{{"a.log", "a.log.1"}});
    CHECK(rotation("a.log", 5, 1) == std::vector<Rename>{{"a.log.1", "a.log.2"}, {"a.log", "a.log.1"}});
    CHECK(rotation("a.log", 1, max_kept) == std::vector<Rename>{{"a.log", "a.log.1"}});
    CHECK(rotation("a.log", 0, max_kept).empty());
}

TEST_CASE("T41: a line that is over its worker's share goes to a file of that worker's, and to no other place") {
    const auto aside = aside_of("web@1\t{\"a\":1}\n");
    REQUIRE(aside);
    CHECK(aside->file == "audit-web@1.jsonl");
    CHECK(aside->line == "{\"a\":1}\n");
    for (const std::string_view line : {"{\"a\":\"x\ty\"}", "../x\t{}", "\t{}", "a/b\t{}", "web {}", ""}) CHECK_FALSE(aside_of(line));
    CHECK(limits_of_aside({1000, 5}) == Limits{1000, 1});
    CHECK(limits_of_aside({1000, 0}) == Limits{1000, 0});
}
