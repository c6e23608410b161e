// [[expect]]: a request, and what is to become of it.
#include <algorithm>

#include "config/sections.h"

namespace warder::config {
namespace {

constexpr std::array<Choice<bool>, 2> verdict_choices{{
    {"allow", true},
    {"deny", false},
}};

constexpr std::array<Choice<OpenFlag>, 4> flag_choices{{
    {"read_too", OpenFlag::read_too},
    {"truncate", OpenFlag::truncate},
    {"exclusive", OpenFlag::exclusive},
    {"nonblock", OpenFlag::nonblock},
}};

constexpr std::uint32_t reading = 4;   // what `access` is about where no mode is said

std::vector<std::string_view> operation_words() {
    std::vector<std::string_view> words;
    for (const auto& entry : operation_names) words.push_back(entry.name);
    return words;
}

// "read /srv/www/a b.html": the operation, and all behind the first space is the target.
void take_request(Section& section, const Node& node, Expectation& into) {
    const std::string_view text = node.text;
    const std::string_view word = text.substr(0, text.find(' '));
    const auto operation = operation_of(word);
    if (!operation) {
        return section.complaints().error(node.place, quoted(word) + " is no operation",
                                          did_you_mean(word, operation_words(), "write it like \"read /srv/www/index.html\""));
    }
    into.operation = *operation;
    into.target = text.substr(std::min(text.size(), word.size() + 1));
    if (*operation == Operation::access) into.mode = reading;
}

void take_flags(Section& section, std::uint16_t& into) {
    const Node* list = section.take("flags", Node::Kind::list, "write it like [\"truncate\"]");
    if (list == nullptr) return;
    for (const Node& item : list->items) {
        if (item.kind != Node::Kind::text) {
            section.refuse_entry(item, "flags", "a string");
            continue;
        }
        OpenFlag flag{};
        section.choose(item, "flags", flag, flag_choices);
        into = static_cast<std::uint16_t>(into | static_cast<unsigned>(flag));
    }
}

// Whether the key is there at all; a value of another kind is complained of where it is read.
bool require(Section& section, const Node& table, std::string_view key, std::string_view instead) {
    if (table.find(key) != nullptr) return true;
    section.complaints().error(table.place, section.what() + " has no " + quoted(key), std::string(instead));
    return false;
}

void read_expectation(const Node& node, Complaints& complaints, Config& config) {
    Section section(node, "[[expect]]", complaints);
    const std::size_t before = complaints.count();
    Expectation made;
    made.mark = complaints.mark(node.place);
    if (require(section, node, "worker", "add worker = \"NAME\"")) section.text("worker", made.worker);
    if (require(section, node, "request", "add request = \"read /srv/www/index.html\"")) {
        const Node* request = section.take("request", Node::Kind::text);
        if (request != nullptr) made.mark = complaints.mark(request->place);
        if (request != nullptr) take_request(section, *request, made);
    }
    if (require(section, node, "verdict", "add verdict = \"allow\" or \"deny\"")) {
        section.choice("verdict", made.allowed, verdict_choices);
    }
    section.text("grant", made.grant);
    section.text("second", made.second);
    section.text("by", made.by);
    section.mode("mode", made.mode);
    section.number("argument", made.argument, 0, INT64_MAX);
    take_flags(section, made.flags);
    for (const auto* key : {"worker", "request", "verdict"}) section.take(key);
    section.refuse_the_rest();
    if (complaints.count() == before) config.expectations.push_back(std::move(made));
}

}  // namespace

void read_expectations(const Node& root, Complaints& complaints, Config& config) {
    const Node* list = root.find("expect");
    if (list == nullptr || list->kind != Node::Kind::list) return;
    for (const Node& node : list->items) {
        if (node.kind == Node::Kind::table) {
            read_expectation(node, complaints, config);
        } else {
            complaints.error(node.place, "an entry of \"expect\" is " + std::string(words_for(node.kind)) + ", but must be a table",
                             "write [[expect]]");
        }
    }
}

}  // namespace warder::config
