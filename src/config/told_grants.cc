// What a worker with a door is told of its own grants. The form is in docs/python.md: it is read by clients, so members
// are added, never changed.
#include "base/json.h"
#include "config/config.h"

namespace warder::config {
namespace {

using policy::Grant;
using policy::Placeholder;
using policy::Kind;

std::string_view name_of(Placeholder placeholder) {
    switch (placeholder) {
        case Placeholder::none:
            return "none";
        case Placeholder::word:
            return "word";
        case Placeholder::number:
            return "number";
        case Placeholder::path:
            return "path";
        case Placeholder::choice:
            return "choice";
    }
    return "unknown";
}

void put_texts(JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
    json.key(key).begin_array();
    for (const auto& text : texts) json.string(text);
    json.end_array();
}

void put_rights(JsonWriter& json, const Grant& grant) {
    json.key("operations").begin_array();
    for (const auto& entry : operation_names) {
        if (grant.rights.has(entry.operation)) json.string(entry.name);
    }
    json.end_array();
}

void put_lookups(JsonWriter& json, const Grant& grant) {
    using policy::Lookup;
    constexpr std::array<std::pair<Lookup, std::string_view>, 4> kinds{{
        {Lookup::user, "user"},
        {Lookup::group, "group"},
        {Lookup::host, "host"},
        {Lookup::service, "service"},
    }};
    json.key("lookups").begin_array();
    for (const auto& [bit, name] : kinds) {
        if ((grant.lookups & static_cast<std::uint8_t>(bit)) != 0) json.string(name);
    }
    json.end_array();
    put_texts(json, "names", grant.names);
}

void put_command(JsonWriter& json, const policy::Command& command) {
    json.key("words").begin_array();
    for (const auto& word : command.words) {
        json.begin_object()
            .member("before", word.before)
            .member("placeholder", name_of(word.placeholder))
            .member("text", word.text)
            .end_object();
    }
    json.end_array().member("stdin", command.in).member("stdout", command.out).member("stderr", command.err);
}

void put_subject(JsonWriter& json, const Grant& grant) {
    switch (grant.kind) {
        case Kind::file:
        case Kind::tree:
        case Kind::secret:
        case Kind::device:
            json.member("path", grant.path);
            return;
        case Kind::listener:
        case Kind::peer:
            json.member("address", format(grant.address));
            return;
        case Kind::lookup:
            return put_lookups(json, grant);
        case Kind::command:
            return put_command(json, grant.command);
        default:
            return;
    }
}

}  // namespace

std::string told_grants(const std::vector<Grant>& grants) {
    std::string text;
    JsonWriter json(text);
    json.begin_array();
    for (const Grant& grant : grants) {
        json.begin_object().member("name", grant.name).member("kind", policy::name_of(grant.kind));
        put_rights(json, grant);
        put_subject(json, grant);
        json.end_object();
    }
    json.end_array();
    return text;
}

}  // namespace warder::config
