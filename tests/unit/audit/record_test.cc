#include "audit/record.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

using namespace warder;
using namespace warder::audit;

namespace {

Record request(Reason reason, int error = 0) {
    Record record;
    record.operation = Operation::read;
    record.reason = reason;
    record.error = error;
    record.wall_clock = 1'700'000'000'000'000'000;
    record.pid = 71;
    record.uid = 1000;
    record.worker.append("web");
    record.grant_name.append("site");
    record.text.append("index.html");
    return record;
}

nlohmann::json parsed(const Record& record) {
    std::string line;
    append_json(record, line);
    CHECK(std::ranges::none_of(line, [](char c) { return c == '\n' || c == '\r' || c == '\0' || c == '\x1b'; }));
    return nlohmann::json::parse(line);
}

}  // namespace

TEST_CASE("a record of a request says who asked for what, by which grant, and how it ended") {
    const auto json = parsed(request(Reason::ok));
    CHECK(json["time"] == "2023-11-14T22:13:20.000000Z");
    CHECK(json["kind"] == "request");
    CHECK(json["worker"] == "web");
    CHECK(json["pid"] == 71);
    CHECK(json["uid"] == 1000);
    CHECK(json["operation"] == "read");
    CHECK(json["grant"] == "site");
    CHECK(json["target"] == "index.html");
    CHECK(json["verdict"] == "allowed");
    CHECK(json["reason"] == "ok");
    CHECK_FALSE(json.contains("errno"));
    CHECK_FALSE(json.contains("truncated"));
}

TEST_CASE("what policy refused is denied; what was allowed and then failed is failed") {
    CHECK(parsed(request(Reason::not_granted, EACCES))["verdict"] == "denied");
    CHECK(parsed(request(Reason::foreign_owner, EACCES))["verdict"] == "denied");
    CHECK(parsed(request(Reason::not_requester, EPERM))["verdict"] == "denied");
    const auto failed = parsed(request(Reason::system, ENOENT));
    CHECK(failed["verdict"] == "failed");
    CHECK(failed["errno"] == "ENOENT");
    CHECK(parsed(request(Reason::deadline, ETIMEDOUT))["verdict"] == "failed");
}

TEST_CASE("T16: a hostile target stays inside its string, on one line") {
    Record record = request(Reason::ok);
    const std::string hostile = "a\",\"verdict\":\"allowed\"}\n{\"kind\":\"request\"\\\r\x1b[2J\t\x7f";
    record.text.clear();
    record.text.append(hostile);
    CHECK(parsed(record)["target"] == hostile);
}

TEST_CASE("T16: a target with a NUL, and one that is not UTF-8, make valid JSON") {
    Record record = request(Reason::ok);
    record.text.clear();
    record.text.append(std::string_view("a\0b", 3));
    CHECK(parsed(record)["target"] == std::string("a\0b", 3));
    record.text.clear();
    record.text.append("\xff\xc3");
    CHECK(parsed(record)["target"] == "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("a target that is longer than a record says that it was cut, in the middle of a character too") {
    Record record = request(Reason::ok);
    record.text.clear();
    record.text.append(std::string(254, 'x') + "\xc3\xa4");
    const auto json = parsed(record);
    CHECK(json["truncated"] == true);
    CHECK(json["target"] == std::string(254, 'x') + "\xef\xbf\xbd");
}

TEST_CASE("a record that is not of a request has a text and no verdict, and leaves out whom it does not know") {
    Record record;
    record.kind = Record::Kind::violation;
    record.text.append("a message without credentials");
    const auto json = parsed(record);
    CHECK(json["kind"] == "violation");
    CHECK(json["text"] == "a message without credentials");
    for (const char* absent : {"verdict", "operation", "target", "pid", "uid", "worker", "grant"}) {
        CHECK_FALSE(json.contains(absent));
    }
}
