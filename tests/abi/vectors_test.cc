// The codec against tests/vectors/messages.json, whose bytes were written without it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "protocol/codec.h"
#include "sys/channel.h"

namespace {

using Json = nlohmann::json;
using namespace warder;
using namespace warder::protocol;

Json vectors() {
    std::ifstream file(WARDER_VECTORS);
    REQUIRE(file);
    return Json::parse(file);
}

std::string unhex(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
    }
    return bytes;
}

std::string hex_of(Bytes bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const std::byte b : bytes) {
        text += digits[std::to_integer<unsigned>(b) >> 4];
        text += digits[std::to_integer<unsigned>(b) & 15];
    }
    return text;
}

// Texts that are not UTF-8 stand as {"hex": "..."}.
Json as_json(std::string_view text) {
    try {
        (void)Json(std::string(text)).dump();
        return std::string(text);
    } catch (const Json::exception&) {
        return {{"hex", hex_of(bytes_of(text))}};
    }
}

std::string as_text(const Json& field) {
    return field.is_object() ? unhex(field.at("hex").get<std::string>()) : field.get<std::string>();
}

const std::map<std::string, Type> types{
    {"hello", Type::hello},   {"hello_reply", Type::hello_reply}, {"ask", Type::ask},         {"answer", Type::answer},
    {"ready", Type::ready},   {"status", Type::status},           {"done", Type::done},       {"stop", Type::stop},
    {"reload", Type::reload}, {"channel", Type::channel},         {"secret", Type::secret},   {"revoked", Type::revoked},
    {"lookup", Type::lookup}, {"ended", Type::ended},             {"found", Type::found},     {"put", Type::put},         {"fetch", Type::fetch},
    {"stored", Type::stored}, {"command", Type::command},         {"report", Type::report},
};

Json json_of(const Request& r) {
    return {{"operation", r.operation},       {"flags", r.flags},           {"mode", r.mode},        {"grant", as_json(r.grant)},
            {"target", as_json(r.target)},    {"second", as_json(r.second)}, {"argument", r.argument}};
}

Json json_of(const Outcome& o) {
    return {{"error", o.error},         {"reason", static_cast<unsigned>(o.reason)}, {"fds", o.fds},
            {"grant", number(o.grant)}, {"text", as_json(o.text)},                   {"value", o.value}};
}

template <typename List>
Json json_of_items(const List& list) {
    Json items = Json::array();
    for (std::size_t i = 0; i < list.size(); ++i) items.push_back(json_of(list.at(i)));
    return items;
}

// The decoded message as the vectors write it, or the errno of the decoder.
Result<Json> decode_as(Type type, Bytes datagram) {
    const Message message = TRY(decode(datagram));
    CHECK(message.type == type);
    Json fields;
    switch (type) {
        case Type::hello: {
            const auto m = TRY(decode_hello(message));
            fields = {{"version_min", m.version_min}, {"version_max", m.version_max}, {"features", m.features}};
            break;
        }
        case Type::hello_reply: {
            const auto m = TRY(decode_hello_reply(message));
            fields = {{"error", m.error},           {"version", m.version},           {"features", m.features},
                      {"max_message", m.max_message}, {"max_requests", m.max_requests},
                      {"requesters", static_cast<unsigned>(m.requesters)}, {"worker", as_json(m.worker)}};
            break;
        }
        case Type::ask: {
            const auto requests = TRY(decode_ask(message));
            fields = {{"requests", json_of_items(requests)}};
            break;
        }
        case Type::answer: {
            const auto outcomes = TRY(decode_answer(message));
            fields = {{"outcomes", json_of_items(outcomes)}};
            break;
        }
        case Type::ready:
        case Type::status:
        case Type::put:
        case Type::fetch:
        case Type::stored: {
            // Taken first: g++ 12 loses what an initializer list has made so far when it is left halfway.
            const auto text = TRY(decode_text(message));
            fields = {{"text", as_json(text)}};
            break;
        }
        case Type::done: {
            const auto m = TRY(decode_done(message));
            fields = {{"error", m.error}, {"reason", static_cast<unsigned>(m.reason)}, {"text", as_json(m.text)}};
            break;
        }
        case Type::stop:
        case Type::reload:
        case Type::channel:
        case Type::secret:
        case Type::revoked:
        case Type::lookup:
        case Type::ended: {
            const auto m = TRY(decode_event(message));
            fields = {{"name", as_json(m.name)}, {"value", m.value}, {"fds", m.fds}};
            break;
        }
        case Type::found: {
            const auto m = TRY(decode_found(message));
            fields = {{"query", m.query}, {"error", m.error}, {"text", as_json(m.text)}};
            break;
        }
        case Type::command: {
            const auto m = TRY(decode_command(message));
            fields = {{"verb", static_cast<unsigned>(m.verb)}, {"flags", m.flags},
                      {"number", m.number},                    {"worker", as_json(m.worker)},
                      {"argument", as_json(m.argument)},       {"second", as_json(m.second)}};
            break;
        }
        case Type::report: {
            const auto m = TRY(decode_report(message));
            fields = {{"error", m.error}, {"more", m.more ? 1 : 0}, {"text", as_json(m.text)}};
            break;
        }
    }
    fields["id"] = number(message.id);
    return fields;
}

Result<Bytes> encode_ask_of(MutableBytes buffer, RequestId id, const Json& list) {
    std::vector<std::string> texts;
    for (const auto& item : list) {
        for (const char* key : {"grant", "target", "second"}) texts.push_back(as_text(item.at(key)));
    }
    std::vector<Request> requests;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const auto& item = list[i];
        requests.push_back({item.at("operation"), item.at("flags"), item.at("mode"), texts[3 * i], texts[3 * i + 1],
                            texts[3 * i + 2], item.at("argument")});
    }
    return encode_ask(buffer, id, requests);
}

Result<Bytes> encode_answer_of(MutableBytes buffer, RequestId id, const Json& list) {
    std::vector<std::string> texts;
    for (const auto& item : list) texts.push_back(as_text(item.at("text")));
    std::vector<Outcome> outcomes;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const auto& item = list[i];
        outcomes.push_back({item.at("error"), static_cast<Reason>(item.at("reason").get<unsigned>()), item.at("fds"),
                            static_cast<GrantId>(item.at("grant").get<std::uint32_t>()), texts[i], item.at("value")});
    }
    return encode_answer(buffer, id, outcomes);
}

Result<Bytes> encode_from(MutableBytes buffer, Type type, const Json& f) {
    const auto id = static_cast<RequestId>(f.at("id").get<std::uint32_t>());
    const auto text = [&f](const char* key) { return f.contains(key) ? as_text(f.at(key)) : std::string(); };
    const auto reason = [&f] { return static_cast<Reason>(f.at("reason").get<unsigned>()); };
    const std::string words = text("text");
    switch (type) {
        case Type::hello: return encode_hello(buffer, id, {f.at("version_min"), f.at("version_max"), f.at("features")});
        case Type::hello_reply: {
            const std::string worker = text("worker");
            return encode_hello_reply(buffer, id,
                                      {f.at("error"), f.at("version"), f.at("features"), f.at("max_message"), f.at("max_requests"),
                                       static_cast<Requesters>(f.at("requesters").get<std::uint32_t>()), worker});
        }
        case Type::ask: return encode_ask_of(buffer, id, f.at("requests"));
        case Type::answer: return encode_answer_of(buffer, id, f.at("outcomes"));
        case Type::ready:
        case Type::status:
        case Type::put:
        case Type::fetch:
        case Type::stored: return encode_text(buffer, type, id, words);
        case Type::found: return encode_found(buffer, id, {f.at("query"), f.at("error"), words});
        case Type::done: return encode_done(buffer, id, {f.at("error"), reason(), words});
        case Type::command: {
            const std::string worker = text("worker");
            const std::string argument = text("argument");
            const std::string second = text("second");
            return encode_command(buffer, id, {static_cast<Verb>(f.at("verb").get<unsigned>()), f.at("flags"), f.at("number"),
                                               worker, argument, second});
        }
        case Type::report: return encode_report(buffer, id, {f.at("error"), f.at("more") != 0, words});
        default: {
            const std::string name = text("name");
            return encode_event(buffer, type, {name, f.at("value"), f.at("fds")});
        }
    }
}

}  // namespace

TEST_CASE("every vector decodes to its fields, or is refused with its errno") {
    for (const auto& vector : vectors()) {
        CAPTURE(vector.at("name").get<std::string>());
        const std::string datagram = unhex(vector.at("hex"));
        const auto decoded = decode_as(types.at(vector.at("type")), bytes_of(datagram));
        if (vector.at("error").is_null()) {
            REQUIRE(decoded);
            CHECK(*decoded == vector.at("fields"));
        } else {
            REQUIRE(!decoded);
            CHECK(errno_name(decoded.error().number) == vector.at("error").get<std::string>());
        }
    }
}

TEST_CASE("every exact vector is what its fields encode to") {
    std::vector<std::byte> buffer(max_message);
    for (const auto& vector : vectors()) {
        if (!vector.at("exact").get<bool>()) continue;
        CAPTURE(vector.at("name").get<std::string>());
        const auto encoded = encode_from(buffer, types.at(vector.at("type")), vector.at("fields"));
        REQUIRE(encoded);
        CHECK(hex_of(*encoded) == vector.at("hex").get<std::string>());
    }
}

TEST_CASE("every type has a vector that is accepted and every decoder one that is refused") {
    for (const auto& [name, type] : types) {
        CAPTURE(name);
        bool accepted = false;
        for (const auto& vector : vectors()) accepted |= vector.at("type") == name && vector.at("error").is_null();
        CHECK(accepted);
    }
}
