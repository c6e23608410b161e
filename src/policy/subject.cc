#include "policy/subject.h"

#include <array>
#include <string_view>

namespace warder::policy {
namespace {

std::string join(const std::vector<std::string>& words, std::string_view between) {
    std::string text;
    for (const auto& word : words) {
        if (!text.empty()) text += between;
        text += word;
    }
    return text;
}

std::string_view name_of(Placeholder placeholder) {
    switch (placeholder) {
        case Placeholder::none: return "";
        case Placeholder::word: return "word";
        case Placeholder::number: return "number";
        case Placeholder::path: return "path";
        case Placeholder::choice: return "choice";
    }
    return "";
}

std::string text_of(const Word& word) {
    if (word.placeholder == Placeholder::none) return word.text;
    std::string text = word.before + "{" + word.name + ":" + std::string(name_of(word.placeholder));
    if (!word.text.empty()) text += ":" + word.text;
    return text + "}";
}

std::string hexadecimal(std::uint32_t value) { return std::string(FixedString<16>("0x").append_number(value, 16).view()); }

std::string with_interface(std::string text, const std::string& interface) {
    return interface.empty() ? text : text + " on " + interface;
}

std::string lookups_of(const Grant& grant) {
    struct Name {
        Lookup about;
        const char* name;
    };
    constexpr std::array<Name, 4> names{
        {{Lookup::user, "user"}, {Lookup::group, "group"}, {Lookup::host, "host"}, {Lookup::service, "service"}}};
    std::vector<std::string> words;
    for (const auto& entry : names) {
        if ((grant.lookups & static_cast<std::uint8_t>(entry.about)) != 0) words.emplace_back(entry.name);
    }
    return join(words, ", ");
}

}  // namespace

std::string text_of(const Command& command) {
    std::vector<std::string> words;
    for (const Word& word : command.words) words.push_back(text_of(word));
    return join(words, " ");
}

std::string subject_of(const Grant& grant) {
    switch (grant.kind) {
        case Kind::file:
        case Kind::secret:
        case Kind::syslog: return grant.path;
        case Kind::tree: return grant.within.empty() ? grant.path : grant.within;
        case Kind::listener:
        case Kind::peer: return format(grant.address);
        case Kind::raw:
            return "protocol " + std::to_string(grant.protocol) +
                   (grant.address.family == Family::ipv6 ? " over ipv6" : " over ipv4");
        case Kind::packet: return with_interface("protocol " + hexadecimal(grant.protocol), grant.interface);
        case Kind::netlink: return "protocol " + std::to_string(grant.protocol);
        case Kind::device: return with_interface(grant.path, grant.interface);
        case Kind::channel:
        case Kind::worker: return grant.peer;
        case Kind::lookup: return lookups_of(grant);
        case Kind::sysctl: return join(grant.names, ", ");
        case Kind::command: return text_of(grant.command);
        case Kind::store: return std::to_string(grant.most) + " descriptors";
    }
    return {};
}

}  // namespace warder::policy
