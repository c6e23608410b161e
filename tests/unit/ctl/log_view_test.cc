#include "ctl/log_view.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

using namespace warder::ctl;
using Lines = std::vector<std::string>;

namespace {

struct Directory {
    std::string path = "/tmp/warder-logs-XXXXXX";
    Directory() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    ~Directory() {
        for (const char* name : {"a.log", "a.log.1", "a.log.2"}) ::unlink(file(name).c_str());
        ::rmdir(path.c_str());
    }
    std::string file(const std::string& name) const { return path + "/" + name; }
    void write(const std::string& name, const std::string& text) const { std::ofstream(file(name)) << text; }
    void append(const std::string& name, const std::string& text) const { std::ofstream(file(name), std::ios::app) << text; }
};

Lines texts(const std::vector<LogLine>& lines) {
    Lines out;
    for (const auto& line : lines) out.push_back(line.text);
    return out;
}

constexpr const char* early = "2026-01-01T00:00:00.000001Z";
constexpr const char* middle = "2026-01-01T00:00:00.000002Z";
constexpr const char* late = "2026-01-01T00:00:00.000003Z";

}  // namespace

TEST_CASE("log view: the last lines of a text, with or without a newline at its end") {
    CHECK(last_lines("", 5).empty());
    CHECK(last_lines("\n", 5) == Lines{""});
    CHECK(last_lines("a\nb\nc\n", 2) == Lines{"b", "c"});
    CHECK(last_lines("a\nb\nc", 2) == Lines{"b", "c"});
    CHECK(last_lines("a\n\n", 5) == Lines{"a", ""});
    CHECK(last_lines("a\nb\n", 0).empty());
}

TEST_CASE("log view: lines of several workers stand in the order of their moments") {
    const auto line = [](const char* worker, const char* moment) { return LogLine{worker, std::string(moment) + " x"}; };
    const auto lines = merged({{line("a", early), {"a", "no moment"}, line("a", late)}, {line("b", middle)}});
    CHECK(lines == std::vector<LogLine>{line("a", early), {"a", "no moment"}, line("b", middle), line("a", late)});
    CHECK(moment_of("2026-01-01 hello") == "");
    CHECK(moment_of(std::string(early) + " hello") == early);
    CHECK(moment_of(R"({"time":")" + std::string(early) + R"(","kind":"request"})") == early);
    CHECK(moment_of(R"({"time":"yesterday","kind":"request"})") == "");
    CHECK(moment_of(R"({"time":")") == "");
}

TEST_CASE("log view: a clock that was set back does not tear one worker's lines apart") {
    const auto lines = merged({{{"a", std::string(late) + " 1"}, {"a", std::string(early) + " 2"}}, {{"b", std::string(middle) + " 3"}}});
    CHECK(texts(lines) == Lines{std::string(middle) + " 3", std::string(late) + " 1", std::string(early) + " 2"});
}

TEST_CASE("log view: what the present file lacks comes from the rotated ones") {
    const Directory directory;
    directory.write("a.log.2", "1\n2\n");
    directory.write("a.log.1", "3\n4\n");
    directory.write("a.log", "5\n");
    CHECK(*read_last_lines(directory.file("a.log"), 1) == Lines{"5"});
    CHECK(*read_last_lines(directory.file("a.log"), 4) == Lines{"2", "3", "4", "5"});
    CHECK(*read_last_lines(directory.file("a.log"), 100) == Lines{"1", "2", "3", "4", "5"});
    ::unlink(directory.file("a.log").c_str());   // in the middle of a rotation
    CHECK(*read_last_lines(directory.file("a.log"), 2) == Lines{"3", "4"});
    CHECK(read_last_lines(directory.file("none.log"), 2)->empty());
}

TEST_CASE("log view: lines that are longer than what is read at once are whole") {
    const Directory directory;
    const std::string big(200'000, 'x');
    directory.write("a.log", "first\n" + big + "\nlast\n");
    CHECK(*read_last_lines(directory.file("a.log"), 2) == Lines{big, "last"});
}

TEST_CASE("log view: following gives whole lines only, and goes on through a rotation and a cut") {
    const Directory directory;
    directory.write("a.log", "old\n");
    auto follower = Follower::create(directory.path, {{"a.log", "a"}});
    REQUIRE(follower);
    directory.append("a.log", "one\ntw");
    CHECK(texts(*follower->next()) == Lines{"one"});
    directory.append("a.log", "o\n");
    CHECK(texts(*follower->next()) == Lines{"two"});

    directory.append("a.log", "three\n");
    ::rename(directory.file("a.log").c_str(), directory.file("a.log.1").c_str());
    directory.append("a.log", "four\n");
    Lines seen;
    while (seen.size() < 2) {
        for (auto& text : texts(*follower->next())) seen.push_back(text);
    }
    CHECK(seen == Lines{"three", "four"});

    directory.write("a.log", "5\n");
    seen.clear();
    while (seen.empty()) seen = texts(*follower->next());
    CHECK(seen == Lines{"5"});
}

TEST_CASE("log view: a file that is not there yet is followed from its beginning") {
    const Directory directory;
    auto follower = Follower::create(directory.path, {{"a.log", "a"}});
    REQUIRE(follower);
    directory.write("a.log", "hello\n");
    Lines seen;
    while (seen.empty()) seen = texts(*follower->next());
    CHECK(seen == Lines{"hello"});
    CHECK_FALSE(Follower::create(directory.path + "/none", {}));
}

TEST_CASE("T41: an event that stands in two files of the audit is shown once, and two that are alike at two moments twice") {
    const auto line = [](std::string_view time, std::string_view what) {
        return LogLine{"", R"({"time":")" + std::string(time) + R"(","kind":")" + std::string(what) + R"("})"};
    };
    const std::string_view first = "2026-01-31T12:00:00.000001Z";
    const std::string_view later = "2026-01-31T12:00:00.000002Z";
    std::vector<LogLine> lines = merged({{line(first, "state"), line(first, "request"), line(later, "state")}, {line(first, "state"), line(later, "state")}});
    drop_repeated(lines);
    CHECK(lines == std::vector<LogLine>{line(first, "state"), line(first, "request"), line(later, "state")});
}
