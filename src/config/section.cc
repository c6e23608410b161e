#include "config/section.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "config/synonyms.h"
#include "policy/path.h"

namespace warder::config {
namespace {

bool all_digits(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The same value as it ought to have been written, where that is plain from what stands there.
std::string rewritten(const Node& node, Node::Kind wanted) {
    if (wanted == Node::Kind::text && node.kind == Node::Kind::integer) {
        return "write \"" + std::to_string(node.integer) + "\"";
    }
    if (wanted == Node::Kind::text && node.kind == Node::Kind::boolean) {
        return node.boolean ? "write \"true\"" : "write \"false\"";
    }
    if (wanted == Node::Kind::integer && node.kind == Node::Kind::text && all_digits(node.text)) {
        return "write " + node.text + ", without quotes";
    }
    if (wanted == Node::Kind::boolean && node.kind == Node::Kind::text) {
        if (node.text == "true" || node.text == "yes" || node.text == "on") return "write true, without quotes";
        if (node.text == "false" || node.text == "no" || node.text == "off") return "write false, without quotes";
    }
    if (wanted == Node::Kind::list && node.kind == Node::Kind::text) return "write [" + quoted(node.text) + "]";
    return {};
}

std::string range_in_words(std::int64_t least, std::int64_t most) {
    return "from " + std::to_string(least) + " to " + std::to_string(most);
}

// A number as people write it: "0.1", not "0.100000".
std::string shortest(double value) {
    char text[32];
    const auto result = std::to_chars(text, text + sizeof text, value);
    return {text, result.ptr};
}

std::string number_text(const Node& node) { return node.kind == Node::Kind::real ? shortest(node.real) : std::to_string(node.integer); }

// "10 Min" as "10" and "min".
std::pair<std::string, std::string> number_and_unit(std::string_view text) {
    std::string number;
    std::string unit;
    for (const char c : text) {
        if (c == ' ') continue;
        const bool digit = (c >= '0' && c <= '9') || c == '.';
        if (digit && !unit.empty()) return {};
        (digit ? number : unit) += digit || c < 'A' || c > 'Z' ? c : static_cast<char>(c - 'A' + 'a');
    }
    return {number, unit};
}

// The size that was perhaps meant: "64M" is "64MiB". What is suggested can be read.
std::string meant_size(std::string_view text) {
    const auto [number, unit] = number_and_unit(text);
    const std::string_view scale = unit.empty() || unit == "b" || unit.starts_with("byte") ? "B" : unit[0] == 'k' ? "KiB" : unit[0] == 'm' ? "MiB" : unit[0] == 'g' ? "GiB" : unit[0] == 't' ? "TiB" : "";
    const std::string whole = number + std::string(scale);
    return !scale.empty() && parse_size(whole) ? whole : "10MiB";
}

std::string meant_duration(std::string_view text) {
    const auto [number, unit] = number_and_unit(text);
    const auto is = [&unit](std::string_view beginning) { return unit.starts_with(beginning); };
    const std::string_view scale = unit.empty() || is("s") ? "s" : is("ms") || is("mil") ? "ms" : is("us") || is("mic") ? "us" : is("m") ? "min" : is("h") ? "h" : is("d") ? "d" : "";
    const std::string whole = number + std::string(scale);
    return !scale.empty() && parse_duration(whole) ? whole : "10s";
}

bool a_number(const Node& node) { return node.kind == Node::Kind::integer || node.kind == Node::Kind::real; }

// Why a path is refused, in words.
std::string path_fault(std::string_view path) {
    if (path.empty()) return "is empty";
    if (path.front() != '/') return "is not absolute";
    if (path.size() > policy::max_path) return "is longer than " + std::to_string(policy::max_path) + " bytes";
    return "is not clean: it has an empty, \".\" or \"..\" part";
}

}  // namespace

std::string_view words_for(Node::Kind kind) {
    switch (kind) {
        case Node::Kind::text: return "a string";
        case Node::Kind::integer: return "a whole number";
        case Node::Kind::real: return "a number with decimals";
        case Node::Kind::boolean: return "true or false";
        case Node::Kind::time: return "a date or time";
        case Node::Kind::list: return "a list";
        case Node::Kind::table: return "a table";
    }
    return "a value";
}

std::string join(const std::vector<std::string_view>& words, std::string_view between) {
    std::string text;
    for (const std::string_view word : words) {
        if (!text.empty()) text += between;
        text += word;
    }
    return text;
}

Section::Section(const Node& table, std::string what, Complaints& complaints)
    : table_(table), what_(std::move(what)), complaints_(complaints) {}

const Node* Section::take(std::string_view key) {
    known_.push_back(key);
    return table_.find(key);
}

const Node* Section::take(std::string_view key, Node::Kind kind, std::string_view instead) {
    const Node* node = take(key);
    if (node == nullptr || node->kind == kind) return node;
    // What stands there in quotes, or as a list, is right only where any text would be: a form that is asked for goes before it.
    const bool any_text = instead.empty() || (kind == Node::Kind::list && instead.find("[\"") != std::string_view::npos);
    const std::string plain = any_text || kind == Node::Kind::boolean || kind == Node::Kind::integer ? rewritten(*node, kind) : std::string();
    refuse_kind(*node, key, words_for(kind), plain.empty() ? instead : plain);
    return nullptr;
}

void Section::refuse_kind(const Node& node, std::string_view key, std::string_view wanted, std::string_view instead) {
    refuse_subject(node, quoted(key), wanted, instead);
}

void Section::refuse_entry(const Node& entry, std::string_view key, std::string_view wanted) {
    const std::string instead = wanted == words_for(Node::Kind::text) ? rewritten(entry, Node::Kind::text) : "";
    refuse_subject(entry, "an entry of " + quoted(key), wanted, instead);
}

void Section::refuse_subject(const Node& node, const std::string& subject, std::string_view wanted,
                             std::string_view instead) {
    const std::string what = subject + " is " + std::string(words_for(node.kind)) + ", but must be ";
    complaints_.error(node.place, what + std::string(wanted), std::string(instead));
}

void Section::refuse_choice(const Node& node, std::string_view key, const std::vector<std::string_view>& names) {
    std::vector<std::string> in_quotes;
    for (const std::string_view name : names) in_quotes.push_back(quoted(name));
    const std::string all = join({in_quotes.begin(), in_quotes.end()});
    complaints_.error(node.place, quoted(key) + " cannot be " + quoted(node.text),
                      did_you_mean(node.text, names, (names.size() > 8 ? "write one such as " : "write one of ") + all));
}

bool Section::known(std::string_view key) const {
    return std::find(known_.begin(), known_.end(), key) != known_.end();
}

bool Section::refuse_the_rest(std::string_view otherwise) {
    bool found = false;
    for (const Node& item : table_.items) {
        if (known(item.key)) continue;
        found = true;
        const std::string meant = meant_by(item.key, known_);
        complaints_.error(item.key_place, "unknown key " + quoted(item.key) + " in " + what_,
                          meant.empty() ? did_you_mean(item.key, known_, std::string(otherwise)) : meant);
    }
    return found;
}

void Section::text(std::string_view key, std::string& into) {
    const Node* node = take(key, Node::Kind::text);
    if (node != nullptr && check_text(*node, key, complaints_)) into = node->text;
}

void Section::flag(std::string_view key, bool& into) {
    const Node* node = take(key, Node::Kind::boolean, "write true or false");
    if (node != nullptr) into = node->boolean;
}

void Section::duration(std::string_view key, Duration& into, Duration least) {
    const Node* node = take(key);
    if (node == nullptr) return;
    if (a_number(*node)) return complaints_.error(node->place, quoted(key) + " needs a unit", "write \"" + meant_duration(number_text(*node)) + "\"");
    if (node->kind != Node::Kind::text) return refuse_kind(*node, key, "a duration", "write \"10s\"");
    const auto value = parse_duration(node->text);
    if (!value) {
        return complaints_.error(node->place, quoted(key) + " is not a duration", "write it like \"" + meant_duration(node->text) + "\"");
    }
    if (*value < least) {
        const std::string what = least.count() == 1 ? "more than 0s" : "at least " + format_duration(least);
        return complaints_.error(node->place, quoted(key) + " must be " + what);
    }
    into = *value;
}

void Section::size(std::string_view key, std::uint64_t& into, std::uint64_t least) {
    const Node* node = take(key);
    if (node == nullptr) return;
    if (a_number(*node)) return complaints_.error(node->place, quoted(key) + " needs a unit", "write \"" + meant_size(number_text(*node)) + "\"");
    if (node->kind != Node::Kind::text) return refuse_kind(*node, key, "a size", "write \"10MiB\"");
    const auto value = parse_size(node->text);
    if (!value) {
        return complaints_.error(node->place, quoted(key) + " is not a size", "write it like \"" + meant_size(node->text) + "\"");
    }
    if (*value < least) {
        return complaints_.error(node->place, quoted(key) + " must be at least " + format_size(least));
    }
    into = *value;
}

void Section::share(std::string_view key, double& into, double least, double most) {
    const Node* node = take(key);
    if (node == nullptr) return;
    if (!a_number(*node)) return refuse_kind(*node, key, "a number");
    const double value = node->kind == Node::Kind::real ? node->real : static_cast<double>(node->integer);
    // Written so that not-a-number is refused too.
    if (!(value >= least && value <= most)) {
        return complaints_.error(node->place, quoted(key) + " must be from " + shortest(least) + " to " + shortest(most));
    }
    into = value;
}

void Section::mode(std::string_view key, std::uint32_t& into) {
    const Node* node = take(key);
    if (node == nullptr) return;
    if (node->kind == Node::Kind::integer) {
        const std::string digits = std::to_string(node->integer);
        const std::string instead = parse_mode("0" + digits) ? "write \"0" + digits + "\"" : "write it like \"0640\"";
        return complaints_.error(node->place, quoted(key) + " is octal and stands in quotes", instead);
    }
    if (node->kind != Node::Kind::text) return refuse_kind(*node, key, "octal permissions", "write it like \"0640\"");
    const auto value = parse_mode(node->text);
    if (!value) {
        return complaints_.error(node->place, quoted(key) + " is not octal from \"0000\" to \"0777\"",
                                 "write it like \"0640\"");
    }
    into = *value;
}

void Section::texts(std::string_view key, std::vector<std::string>& into) {
    const Node* node = take(key, Node::Kind::list);
    if (node == nullptr) return;
    into.clear();
    for (const Node& item : node->items) {
        if (item.kind != Node::Kind::text) {
            refuse_entry(item, key, "a string");
        } else if (check_text(item, key, complaints_)) {
            into.push_back(item.text);
        }
    }
}

void Section::path(std::string_view key, std::string& into) {
    const Node* node = take(key, Node::Kind::text);
    if (node != nullptr && check_path(*node, key, complaints_)) into = node->text;
}

void Section::paths(std::string_view key, std::vector<std::string>& into) {
    const Node* node = take(key, Node::Kind::list);
    if (node == nullptr) return;
    for (const Node& item : node->items) {
        if (item.kind != Node::Kind::text) {
            refuse_entry(item, key, "a string");
        } else if (check_path(item, key, complaints_)) {
            into.push_back(item.text);
        }
    }
}

std::optional<std::int64_t> Section::whole_number(std::string_view key, std::int64_t least, std::int64_t most) {
    const Node* node = take(key, Node::Kind::integer);
    if (node == nullptr) return std::nullopt;
    if (node->integer >= least && node->integer <= most) return node->integer;
    complaints_.error(node->place, quoted(key) + " must be " + range_in_words(least, most));
    return std::nullopt;
}

bool check_text(const Node& node, std::string_view what, Complaints& complaints) {
    if (node.text.find('\0') == std::string::npos) return true;
    complaints.error(node.place, quoted(what) + " has a NUL byte in it");
    return false;
}

bool check_path(const Node& node, std::string_view what, Complaints& complaints) {
    if (!check_text(node, what, complaints)) return false;
    if (policy::clean_absolute(node.text)) return true;
    const std::string meant = cleaned(node.text);
    const bool better = policy::clean_absolute(meant) && node.text.starts_with('/');
    complaints.error(node.place, "path of " + quoted(what) + " " + path_fault(node.text),
                     better ? "did you mean " + quoted(meant) + "?" : "write the whole path, from \"/\"");
    return false;
}

std::string cleaned(std::string_view path) {
    std::vector<std::string_view> parts;
    while (!path.empty()) {
        const std::string_view part = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(path.size(), part.size() + 1));
        if (part == ".." && !parts.empty()) parts.pop_back();
        if (part != ".." && part != "." && !part.empty()) parts.push_back(part);
    }
    return "/" + join(parts, "/");
}

std::optional<std::uint32_t> parse_mode(std::string_view text) {
    if (text.size() < 3 || text.size() > 4) return std::nullopt;
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
    if (error != std::errc{} || end != text.data() + text.size() || value > 0777) return std::nullopt;
    return value;
}

}  // namespace warder::config
