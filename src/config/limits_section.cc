// limits = { nofile = 1024, core = 0, memlock = "64KiB", cpu = "60s", nproc = "100:200" }
#include <sys/resource.h>

#include <charconv>

#include "config/sections.h"

namespace warder::config {
namespace {

enum class Measure : std::uint8_t { count, bytes, seconds, microseconds };

struct Resource {
    std::string_view name;
    int number;
    Measure measure;
};

constexpr std::array<Resource, 16> resources{{
    {"as", RLIMIT_AS, Measure::bytes},
    {"core", RLIMIT_CORE, Measure::bytes},
    {"cpu", RLIMIT_CPU, Measure::seconds},
    {"data", RLIMIT_DATA, Measure::bytes},
    {"fsize", RLIMIT_FSIZE, Measure::bytes},
    {"locks", RLIMIT_LOCKS, Measure::count},
    {"memlock", RLIMIT_MEMLOCK, Measure::bytes},
    {"msgqueue", RLIMIT_MSGQUEUE, Measure::bytes},
    {"nice", RLIMIT_NICE, Measure::count},
    {"nofile", RLIMIT_NOFILE, Measure::count},
    {"nproc", RLIMIT_NPROC, Measure::count},
    {"rss", RLIMIT_RSS, Measure::bytes},
    {"rtprio", RLIMIT_RTPRIO, Measure::count},
    {"rttime", RLIMIT_RTTIME, Measure::microseconds},
    {"sigpending", RLIMIT_SIGPENDING, Measure::count},
    {"stack", RLIMIT_STACK, Measure::bytes},
}};

std::string_view example(Measure measure) {
    switch (measure) {
        case Measure::count: return "1024";
        case Measure::bytes: return "64MiB";
        case Measure::seconds: return "60s";
        case Measure::microseconds: return "200ms";
    }
    return "";
}

std::optional<rlim_t> parse_count(std::string_view text) {
    rlim_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value == RLIM_INFINITY) return std::nullopt;
    return value;
}

std::optional<rlim_t> parse_time(std::string_view text, Duration unit) {
    const auto value = parse_duration(text);
    if (!value) return std::nullopt;
    return static_cast<rlim_t>(*value / unit);
}

// One half of "soft:hard".
std::optional<rlim_t> parse_half(std::string_view text, Measure measure) {
    if (text == "unlimited") return RLIM_INFINITY;
    if (text == "0") return 0;
    switch (measure) {
        case Measure::count: return parse_count(text);
        case Measure::bytes: return parse_size(text);
        case Measure::seconds: return parse_time(text, std::chrono::seconds(1));
        case Measure::microseconds: return parse_time(text, std::chrono::microseconds(1));
    }
    return std::nullopt;
}

class LimitReader {
public:
    LimitReader(Section& section, const Resource& resource) : section_(section), resource_(resource) {}

    std::optional<sandbox::Limit> read(const Node& node) {
        if (node.kind == Node::Kind::integer) return from_integer(node);
        if (node.kind == Node::Kind::text) return from_text(node);
        section_.refuse_kind(node, resource_.name, "a limit", suggestion());
        return std::nullopt;
    }

private:
    std::string suggestion() const {
        const std::string one(example(resource_.measure));
        return "write it like " + (resource_.measure == Measure::count ? one : "\"" + one + "\"") + " or \"" + one +
               ":unlimited\" (soft:hard)";
    }

    std::optional<sandbox::Limit> refuse(const Node& node, const std::string& fault) {
        section_.complaints().error(node.place, "limit " + quoted(resource_.name) + " " + fault, suggestion());
        return std::nullopt;
    }

    std::optional<sandbox::Limit> from_integer(const Node& node) {
        if (node.integer < 0) return refuse(node, "is below zero");
        if (node.integer != 0 && resource_.measure != Measure::count) return refuse(node, "needs a unit");
        const auto value = static_cast<rlim_t>(node.integer);
        return sandbox::Limit{resource_.number, value, value};
    }

    std::optional<sandbox::Limit> from_text(const Node& node) {
        const std::string_view text = node.text;
        const std::size_t colon = text.find(':');
        const auto soft = parse_half(text.substr(0, colon), resource_.measure);
        const auto hard = colon == std::string_view::npos ? soft : parse_half(text.substr(colon + 1), resource_.measure);
        if (!soft || !hard) return refuse(node, "is not a limit");
        if (*soft > *hard) return refuse(node, "has a soft limit above its hard one");
        return sandbox::Limit{resource_.number, *soft, *hard};
    }

    Section& section_;
    const Resource& resource_;
};

}  // namespace

void read_limits(Section& worker, std::vector<sandbox::Limit>& into) {
    const Node* table = worker.take("limits", Node::Kind::table, "write { nofile = 1024 }");
    if (table == nullptr) return;
    Section section(*table, "limits of " + worker.what(), worker.complaints());
    for (const Resource& resource : resources) {
        const Node* node = section.take(resource.name);
        if (node == nullptr) continue;
        if (const auto limit = LimitReader(section, resource).read(*node)) into.push_back(*limit);
    }
    section.refuse_the_rest();
}

}  // namespace warder::config
