// limits = { nofile = 1024, core = 0, memlock = "64KiB", cpu = "60s", nproc = "100:200" }, of each process; and of all of
// them together limits = { memory_max = "64MiB", pids_max = 100, cpu_max = "50%" }.
#include <sys/resource.h>

#include <algorithm>
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

constexpr std::int64_t max_weight = 10'000;
constexpr std::int64_t max_tasks = 4'194'304;   // the kernel's PID_MAX_LIMIT
constexpr std::int64_t max_operations = 4'294'967'295;

class GroupReader {
public:
    GroupReader(Section& section, std::vector<sandbox::GroupLimit>& into) : section_(section), into_(into) {}

    void read() {
        read_size("memory_max", 1);
        read_size("memory_high", 1);
        read_size("memory_swap_max", 0);
        refuse_high_above_max();
        read_share();
        read_number("cpu_weight", "cpu.weight", "", 1, max_weight);
        read_number("io_weight", "io.weight", "default ", 1, max_weight);
        read_devices();
        read_number("pids_max", "pids.max", "", 1, max_tasks);
    }

private:
    void add(const Node& node, std::string file, std::string value, std::string device = {}) {
        into_.push_back({std::move(file), std::move(value), std::move(device), section_.complaints().origin(node.place)});
    }

    static std::string file_of(std::string_view key) {
        std::string file(key);
        std::ranges::replace(file, '_', '.');
        return file;
    }

    void read_size(std::string_view key, std::uint64_t least) {
        const Node* node = section_.table().find(key);
        if (least == 0 && node != nullptr && node->kind == Node::Kind::integer && node->integer == 0) {
            section_.take(key);
            return add(*node, file_of(key), "0");
        }
        const std::size_t before = section_.complaints().count();
        std::uint64_t value = 0;
        section_.size(key, value, least);
        if (node != nullptr && section_.complaints().count() == before) add(*node, file_of(key), std::to_string(value));
    }

    void read_number(std::string_view key, std::string file, const std::string& prefix, std::int64_t least, std::int64_t most) {
        const Node* node = section_.table().find(key);
        std::int64_t value = 0;
        section_.number(key, value, least, most);
        if (node != nullptr && value != 0) add(*node, std::move(file), prefix + std::to_string(value));
    }

    std::optional<std::uint64_t> bytes_of(std::string_view file) const {
        const auto found = std::ranges::find(into_, file, &sandbox::GroupLimit::file);
        return found == into_.end() ? std::nullopt : std::optional<std::uint64_t>(parse_count(found->value));
    }

    void refuse_high_above_max() {
        const auto high = bytes_of("memory.high");
        const auto most = bytes_of("memory.max");
        if (!high || !most || *high < *most) return;
        section_.complaints().error(section_.table().find("memory_high")->place, "\"memory_high\" is not below \"memory_max\", and would do nothing");
    }

    // "150%": of one processor, in each tenth of a second.
    void read_share() {
        constexpr rlim_t per_cent = 1'000;   // microseconds in 100 ms
        constexpr rlim_t most = 819'200;     // 8192 processors
        const Node* node = section_.take("cpu_max");
        if (node == nullptr) return;
        if (node->kind == Node::Kind::integer && node->integer > 0) return refuse_share(*node, static_cast<std::uint64_t>(node->integer));
        if (node->kind == Node::Kind::real && node->real > 0 && node->real < 8192) return refuse_share(*node, static_cast<std::uint64_t>(node->real * 100));
        if (node->kind != Node::Kind::text) return section_.refuse_kind(*node, "cpu_max", "a string", "write it like \"50%\", of one processor");
        const std::string_view text = node->text;
        const auto value = text.ends_with('%') ? parse_count(text.substr(0, text.size() - 1)) : std::nullopt;
        if (value && *value >= 1 && *value <= most) return add(*node, "cpu.max", std::to_string(*value * per_cent) + " 100000");
        refuse_share(*node, parse_count(text.substr(0, text.find_first_not_of("0123456789"))).value_or(0));
    }

    // 50 and "50 %" were meant as "50%", 0.5 too; nothing else is suggested than what can be read.
    void refuse_share(const Node& node, std::uint64_t per_cent) {
        const std::string meant = per_cent >= 1 && per_cent <= 819'200 ? std::to_string(per_cent) : "50";
        section_.complaints().error(node.place, "\"cpu_max\" is not a share of a processor", "write \"" + meant + "%\", of one processor");
    }

    void read_devices() {
        const Node* list = section_.take("io_max", Node::Kind::list, "write [{ device = \"/dev/vda\", write_bytes = \"1MiB\" }]");
        if (list == nullptr) return;
        for (const Node& item : list->items) {
            if (item.kind != Node::Kind::table) section_.refuse_entry(item, "io_max", "a table");
            else read_device(item);
        }
    }

    void read_device(const Node& item) {
        const std::size_t before = section_.complaints().count();
        std::string device;
        std::string value;
        Section table(item, "io_max of " + section_.what(), section_.complaints());
        table.path("device", device);
        read_rate(table, "read_bytes", "rbps", value);
        read_rate(table, "write_bytes", "wbps", value);
        read_count(table, "read_operations", "riops", value);
        read_count(table, "write_operations", "wiops", value);
        table.refuse_the_rest();
        if (section_.complaints().count() != before) return;
        if (device.empty() || value.empty()) return section_.complaints().error(item.place, "an entry of \"io_max\" has a \"device\" and a limit");
        add(item, "io.max", std::move(value), std::move(device));
    }

    static void append(std::string& text, std::string_view word, std::uint64_t value) {
        text += (text.empty() ? "" : " ") + std::string(word) + "=" + std::to_string(value);
    }

    static void read_rate(Section& table, std::string_view key, std::string_view word, std::string& into) {
        std::uint64_t value = 0;
        table.size(key, value, 1);
        if (value != 0) append(into, word, value);
    }

    static void read_count(Section& table, std::string_view key, std::string_view word, std::string& into) {
        std::int64_t value = 0;
        table.number(key, value, 1, max_operations);
        if (value != 0) append(into, word, static_cast<std::uint64_t>(value));
    }

    Section& section_;
    std::vector<sandbox::GroupLimit>& into_;
};

}  // namespace

void read_limits(Section& worker, std::vector<sandbox::Limit>& into, std::vector<sandbox::GroupLimit>& of_group) {
    const Node* table = worker.take("limits", Node::Kind::table, "write { nofile = 1024 }");
    if (table == nullptr) return;
    Section section(*table, "limits of " + worker.what(), worker.complaints());
    for (const Resource& resource : resources) {
        const Node* node = section.take(resource.name);
        if (node == nullptr) continue;
        if (const auto limit = LimitReader(section, resource).read(*node)) into.push_back(*limit);
    }
    GroupReader(section, of_group).read();
    section.refuse_the_rest();
}

}  // namespace warder::config
