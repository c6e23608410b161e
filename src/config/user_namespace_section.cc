// user_namespace of a sandbox: none, one of the usual two, or maps of its own.
#include <algorithm>
#include <charconv>

#include "config/sections.h"

namespace warder::config {
namespace {

using sandbox::IdRange;
using sandbox::own_id;

constexpr std::size_t max_ranges = 340;   // the kernel's (user_namespaces(7))
constexpr const char* example = "write it like [\"0:self:1\", \"1:100000:65536\"]";

// Where a range begins, and where it ends.
struct Span {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
};

Span span_of(std::uint32_t first, std::uint32_t count) { return {first, std::uint64_t{first} + count}; }
bool overlap(const Span& a, const Span& b) { return a.first < b.end && b.first < a.end; }

std::optional<std::uint32_t> number_in(std::string_view text) {
    std::uint32_t number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && number != own_id;
    return whole ? std::optional(number) : std::nullopt;
}

std::optional<std::uint32_t> id_in(std::string_view text) { return text == "self" ? std::optional(own_id) : number_in(text); }

// "INSIDE:OUTSIDE:COUNT".
std::optional<IdRange> range_in(std::string_view text) {
    const std::size_t first = text.find(':');
    const std::size_t last = text.rfind(':');
    if (first == text.npos || first == last) return std::nullopt;
    const auto inside = id_in(text.substr(0, first));
    const auto outside = id_in(text.substr(first + 1, last - first - 1));
    const auto count = number_in(text.substr(last + 1));
    if (!inside || !outside || !count || *count == 0) return std::nullopt;
    const bool own = *inside == own_id || *outside == own_id;
    const bool fits = own ? *count == 1 : std::max(span_of(*inside, *count).end, span_of(*outside, *count).end) <= own_id;
    return fits ? std::optional(IdRange{*inside, *outside, *count}) : std::nullopt;
}

// Reads the two maps of a table. A class only to keep the daemon and the complaints at hand.
class MapReader {
public:
    MapReader(Section& table, const Daemon& daemon) : table_(table), daemon_(daemon) {}

    void read(std::string_view key, std::vector<IdRange>& into) {
        const Node* list = table_.take(key, Node::Kind::list, example);
        if (list == nullptr) return;
        for (const Node& item : list->items) {
            const auto range = item.kind == Node::Kind::text ? range_in(item.text) : std::nullopt;
            if (item.kind != Node::Kind::text) table_.refuse_entry(item, key, "a string");
            else if (!range) error(item, quoted(item.text) + " is no range of numbers, inside:outside:count", example);
            else if (may_be_mapped(item, *range, into)) into.push_back(*range);
        }
        if (list->items.empty() || list->items.size() > max_ranges) error(*list, quoted(key) + " has from 1 to 340 ranges", example);
    }

private:
    void error(const Node& node, std::string what, std::string suggestion = {}) {
        table_.complaints().error(node.place, std::move(what), std::move(suggestion));
    }

    bool may_be_mapped(const Node& item, const IdRange& range, const std::vector<IdRange>& others) {
        const Span outside = span_of(range.outside, range.count);
        const Span workers{daemon_.uid_first, std::uint64_t{daemon_.uid_last} + 1};
        const auto refuse = [&](std::string what, std::string suggestion = {}) {
            error(item, std::move(what), std::move(suggestion));
            return false;
        };
        if (range.outside == 0) return refuse("0 outside is the host's root, which no worker is in any way", "write self for its own number");
        if (range.outside != own_id && overlap(outside, workers)) return refuse(quoted(item.text) + " holds numbers of \"uid_range\", which are other workers'", "write self for its own number");
        for (const auto& other : others) {
            const bool outside_too = overlap(outside, span_of(other.outside, other.count));
            if (outside_too || overlap(span_of(range.inside, range.count), span_of(other.inside, other.count))) return refuse(quoted(item.text) + " overlaps another range");
        }
        return true;
    }

    Section& table_;
    const Daemon& daemon_;
};

void read_maps(const Node& node, Section& sandbox, const Daemon& daemon, sandbox::Plan& into) {
    Section table(node, "user_namespace of " + sandbox.what(), sandbox.complaints());
    MapReader reader(table, daemon);
    reader.read("uid_map", into.uid_map);
    reader.read("gid_map", into.gid_map);
    table.refuse_the_rest();
    const bool both = node.find("uid_map") != nullptr && node.find("gid_map") != nullptr;
    if (!both) sandbox.complaints().error(node.place, "a user namespace has a \"uid_map\" and a \"gid_map\"", "or write \"self\" or \"root\" instead of the table");
}

}  // namespace

void read_user_namespace(Section& sandbox, const Daemon& daemon, sandbox::Plan& into) {
    constexpr const char* choices = "write one of \"none\", \"self\", \"root\", { uid_map = [...], gid_map = [...] }";
    const Node* node = sandbox.take("user_namespace");
    if (node == nullptr) return;
    into.user_namespace = true;
    if (node->kind == Node::Kind::table) return read_maps(*node, sandbox, daemon, into);
    const bool known = node->kind == Node::Kind::text && (node->text == "none" || node->text == "self" || node->text == "root");
    if (node->kind != Node::Kind::text) return sandbox.refuse_kind(*node, "user_namespace", "a string or a table", choices);
    if (!known) {
        sandbox.complaints().error(node->place, "\"user_namespace\" cannot be " + quoted(node->text), did_you_mean(node->text, {"none", "self", "root"}, choices));
        return;
    }
    into.user_namespace = node->text != "none";
    if (into.user_namespace) into.uid_map = into.gid_map = {{node->text == "root" ? 0 : own_id, own_id, 1}};
}

}  // namespace warder::config
