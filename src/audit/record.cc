#include "audit/record.h"

#include "base/error.h"
#include "base/json.h"
#include "base/time.h"

namespace warder::audit {
namespace {

std::string_view name_of(Record::Kind kind) {
    switch (kind) {
        case Record::Kind::request: return "request";
        case Record::Kind::violation: return "violation";
        case Record::Kind::state: return "state";
        case Record::Kind::hold: return "hold";
        case Record::Kind::command: return "command";
        case Record::Kind::call: return "call";
        case Record::Kind::control: return "control";
        case Record::Kind::refusals: return "refusals";
        case Record::Kind::lost: return "lost";
    }
    return "unknown";
}

// A denial by policy, or an allowed operation that the world refused: two things that people look for apart.
std::string_view verdict_of(const Record& record) {
    if (record.reason == Reason::ok) return "allowed";
    return failed_beyond_policy(record.reason) ? "failed" : "denied";
}

void put_request(JsonWriter& json, const Record& record) {
    json.member("operation", warder::name_of(record.operation));
    if (!record.grant_name.empty()) json.member("grant", record.grant_name.view());
    json.member("target", record.text.view());
    json.member("verdict", verdict_of(record)).member("reason", warder::name_of(record.reason));
    if (record.error != 0) json.member("errno", errno_name(record.error));
}

}  // namespace

void append_json(const Record& record, std::string& line) {
    JsonWriter json(line);
    json.begin_object();
    json.member("time", format_wall_clock(record.wall_clock)).member("kind", name_of(record.kind));
    if (!record.worker.empty()) json.member("worker", record.worker.view());
    if (record.pid != 0) json.member("pid", record.pid).member("uid", record.uid);
    if (record.kind == Record::Kind::refusals) json.member("count", record.count);
    if (record.kind == Record::Kind::request || record.kind == Record::Kind::refusals) {
        put_request(json, record);
    } else if (record.kind == Record::Kind::lost) {
        json.member("records", record.count);
    } else {
        if (!record.grant_name.empty()) json.member("grant", record.grant_name.view());
        json.member("text", record.text.view());
    }
    if (record.text.truncated()) json.member("truncated", true);
    json.end_object();
}

}  // namespace warder::audit
