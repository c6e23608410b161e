// The one file that knows toml++ (a heavy header), with little nesting: nothing of ours is deeper than five tables. Its
// exceptions end in read_toml(). They are on because toml++ 3.3 asserts where it ought to complain (a '}' inside a list):
// a typing error in a config must not abort warderd, so its assertions throw too, in builds with NDEBUG as well.
#undef NDEBUG
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 32
#define TOML_ASSERT(expression) ((expression) ? void() : ::parser_stuck())
namespace {
struct ParserStuck {};
[[noreturn]] void parser_stuck() { throw ParserStuck{}; }
}
#include <toml++/toml.h>

#include <algorithm>

#include "config/check.h"
#include "config/complaints.h"
#include "config/node.h"
#include "config/parse.h"
#include "config/sections.h"

namespace warder::config {
namespace {

constexpr std::uint32_t most_dots = 32;   // in one key; toml++ walks and frees dotted tables by recursion

// Follows the text just so far that dots outside strings and comments can be counted.
class DotCounter {
public:
    // The place of the first key with too many dots.
    std::optional<Place> first_too_deep(std::string_view text) {
        while (!text.empty()) {
            const std::size_t taken = quote_.empty() ? outside(text) : inside(text);
            text.remove_prefix(taken);
            if (dots_ > most_dots) return here_;
        }
        return std::nullopt;
    }

private:
    std::size_t outside(std::string_view text) {
        for (const std::string_view quote : {"\"\"\"", "'''", "\"", "'"}) {
            if (!text.starts_with(quote)) continue;
            quote_ = quote;
            return advance(quote.size());
        }
        if (text[0] == '#') return advance(std::min(text.find('\n'), text.size()));
        if (text[0] == '.') ++dots_;
        if (text[0] == '=' || text[0] == ',' || text[0] == '\n') dots_ = 0;
        if (text[0] == '\n') return new_line();
        return advance(1);
    }

    std::size_t inside(std::string_view text) {
        if (text[0] == '\\' && quote_[0] == '"') return advance(std::min<std::size_t>(2, text.size()));
        if (text.starts_with(quote_)) {
            const std::size_t length = quote_.size();
            quote_ = {};
            return advance(length);
        }
        // Only the long strings go over a line's end; a short one that does is an error, which toml++ will tell.
        if (text[0] != '\n') return advance(1);
        if (quote_.size() == 1) quote_ = {};
        return new_line();
    }

    std::size_t advance(std::size_t bytes) {
        here_.column += static_cast<std::uint32_t>(bytes);
        return bytes;
    }

    std::size_t new_line() {
        here_ = {here_.line + 1, 1, 1};
        return 1;
    }

    Place here_{1, 1, 1};
    std::string_view quote_;
    std::uint32_t dots_ = 0;
};

Place place_of(const toml::source_region& region) {
    const bool one_line = region.end.line == region.begin.line && region.end.column > region.begin.column;
    // What goes on over lines is underlined to the end of its first.
    const std::uint32_t length = one_line ? region.end.column - region.begin.column : UINT32_MAX;
    return {region.begin.line, region.begin.column, length};
}

bool earlier(const Node& a, const Node& b) {
    if (a.key_place.line != b.key_place.line) return a.key_place.line < b.key_place.line;
    return a.key_place.column < b.key_place.column;
}

Node node_from(const toml::node& from);

void take_table(const toml::table& table, Node& into) {
    into.kind = Node::Kind::table;
    for (const auto& [key, value] : table) {
        Node& item = into.items.emplace_back(node_from(value));
        item.key = std::string(key.str());
        item.key_place = place_of(key.source());
    }
    // toml++ sorts keys by name; grants are numbered in the order of the file.
    std::sort(into.items.begin(), into.items.end(), earlier);
}

void take_list(const toml::array& list, Node& into) {
    into.kind = Node::Kind::list;
    for (const auto& value : list) into.items.push_back(node_from(value));
}

template <typename T>
bool take_value(const toml::node& from, Node& into, Node::Kind kind, T Node::*member) {
    const auto value = from.value_exact<T>();
    if (!value) return false;
    into.kind = kind;
    into.*member = *value;
    return true;
}

Node node_from(const toml::node& from) {
    Node node;
    node.place = place_of(from.source());
    if (const toml::table* table = from.as_table()) {
        take_table(*table, node);
    } else if (const toml::array* list = from.as_array()) {
        take_list(*list, node);
    } else if (!take_value(from, node, Node::Kind::text, &Node::text) &&
               !take_value(from, node, Node::Kind::integer, &Node::integer) &&
               !take_value(from, node, Node::Kind::real, &Node::real) &&
               !take_value(from, node, Node::Kind::boolean, &Node::boolean)) {
        node.kind = Node::Kind::time;
    }
    return node;
}

// The library's own words, on one line.
std::string syntax_fault(std::string_view description) {
    constexpr std::string_view opening = "Error while ";
    if (description.starts_with(opening)) description.remove_prefix(opening.size());
    std::string text = "syntax error: " + std::string(description);
    std::replace(text.begin(), text.end(), '\n', ' ');
    return printable(text);
}

enum class Attempt { done, refused, stuck };

struct Reading {
    Attempt attempt = Attempt::done;
    Node root;
    Place place;         // of the fault
    std::string fault;
};

Reading attempt_toml(std::string_view text) {
    try {
        return {Attempt::done, node_from(toml::parse(text)), {}, {}};
    } catch (const toml::parse_error& error) {
        const auto& where = error.source().begin;
        return {Attempt::refused, {}, {where.line, where.column, 1}, syntax_fault(error.description())};
    } catch (const ParserStuck&) {
        return {Attempt::stuck, {}, {}, {}};
    }
}

// The place of the character at which the parser got stuck: the last one of the shortest beginning that sticks.
Place place_of_sticking(std::string_view text) {
    std::size_t passes = 0;
    std::size_t sticks = text.size();
    while (sticks - passes > 1) {
        const std::size_t middle = passes + (sticks - passes) / 2;
        (attempt_toml(text.substr(0, middle)).attempt == Attempt::stuck ? sticks : passes) = middle;
    }
    Place place{1, 1, 1};
    for (std::string_view rest = text.substr(0, sticks - 1); !rest.empty();) {
        place = rest[0] == '\n' ? Place{place.line + 1, 1, 1} : Place{place.line, place.column + 1, 1};
        rest.remove_prefix(std::max<std::size_t>(1, character_length(rest)));
    }
    return place;
}

// Nothing, and one complaint, if the text is not TOML: of syntax errors only the first of a file is known.
std::optional<Node> read_toml(const Source& source, Complaints& complaints) {
    std::string_view text = source.text;
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    if (const auto deep = DotCounter().first_too_deep(text)) {
        complaints.error(*deep, "a key of more than " + std::to_string(most_dots) + " parts");
        return std::nullopt;
    }
    Reading reading = attempt_toml(text);
    if (reading.attempt == Attempt::done) return std::move(reading.root);
    if (reading.attempt == Attempt::stuck) {
        reading.place = place_of_sticking(text);
        reading.fault = "syntax error: this cannot stand here";
    }
    complaints.error(reading.place, reading.fault);
    return std::nullopt;
}

// A source with its tree, kept while its sections are read.
struct Document {
    Complaints complaints;
    std::optional<Node> root;
};

void read_workers(Document& document, Config& config) {
    const Node* workers = document.root->find("worker");
    if (workers == nullptr || workers->kind != Node::Kind::table) return;
    for (const Node& node : workers->items) read_worker(node, document.complaints, config);
}

// [daemon] first, from all sources: workers inherit from it.
void read_all(std::vector<Document>& documents, Config& config) {
    for (Document& document : documents) read_top(*document.root, document.complaints, config.daemon);
    for (Document& document : documents) read_workers(document, config);
}

}  // namespace

bool Parsed::ok() const { return !any_error(problems); }

Parsed parse(const std::vector<Source>& sources) {
    Parsed parsed;
    std::vector<Document> documents;
    documents.reserve(sources.size());
    for (const Source& source : sources) {
        parsed.config.files.push_back(source.file);
        Document document{Complaints(source, parsed.problems), std::nullopt};
        document.root = read_toml(source, document.complaints);
        if (document.root) documents.push_back(std::move(document));
    }
    read_all(documents, parsed.config);
    check_together(parsed.config, parsed.problems);
    for (Worker& worker : parsed.config.workers) worker.fingerprint = fingerprint_of(worker);
    sort_problems(parsed.problems, parsed.config.files);
    return parsed;
}

}  // namespace warder::config
