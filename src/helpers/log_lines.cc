#include "helpers/log_lines.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

namespace warder::helpers {
namespace {

constexpr std::size_t longest_name = 200;

bool letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool good_name(std::string_view name) {
    if (name.empty() || name.size() > longest_name || !letter_or_digit(name.front())) return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        return letter_or_digit(c) || c == '_' || c == '.' || c == '@' || c == '-';
    });
}

}  // namespace

std::string timestamp(std::int64_t nanoseconds) {
    const std::time_t seconds = nanoseconds / 1'000'000'000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    const auto micros = static_cast<int>(nanoseconds % 1'000'000'000 / 1000);
    std::snprintf(text.data() + size, text.size() - size, ".%06dZ", micros);
    return text.data();
}

Limits unpack_limits(std::uint64_t value) {
    const auto keep = static_cast<std::uint32_t>(value >> 48);
    return {value & ((std::uint64_t{1} << 48) - 1), std::min(keep, max_kept)};
}

std::optional<Place> place_of(std::string_view name) {
    if (name == "audit") return Place{"audit.jsonl", false, true};
    if (name == "events") return Place{"events.jsonl", false};
    constexpr std::string_view prefix = "log:";
    if (!name.starts_with(prefix) || !good_name(name.substr(prefix.size()))) return std::nullopt;
    return Place{std::string(name.substr(prefix.size())) + ".log", true};
}

std::optional<Aside> aside_of(std::string_view line) {
    if (line.starts_with('{')) return std::nullopt;
    const std::size_t tab = line.find('\t');
    if (tab == std::string_view::npos || !good_name(line.substr(0, tab))) return std::nullopt;
    return Aside{"audit-" + std::string(line.substr(0, tab)) + ".jsonl", line.substr(tab + 1)};
}

Limits limits_of_aside(Limits limits) { return {limits.max_size, std::min<std::uint32_t>(limits.keep, 1)}; }

void LineSplitter::put_line(std::string_view line, std::string_view stamp, std::string& out) const {
    if (stamped_) {
        out += stamp;
        out += ' ';
    }
    out += line;
    out += '\n';
}

void LineSplitter::feed(std::string_view bytes, std::string_view stamp, std::string& out) {
    if (bytes.empty()) return;
    if (shown_ && bytes.starts_with('\n')) bytes.remove_prefix(1);
    shown_ = false;
    while (!bytes.empty()) {
        const std::size_t room = longest_line - rest_.size();
        const std::size_t end = bytes.substr(0, room + 1).find('\n');
        if (end == std::string_view::npos && bytes.size() <= room) {
            rest_ += bytes;
            return;
        }
        const std::size_t taken = end == std::string_view::npos ? room : end;
        rest_ += bytes.substr(0, taken);
        put_line(rest_, stamp, out);
        rest_.clear();
        bytes.remove_prefix(end == std::string_view::npos ? taken : taken + 1);
    }
}

void LineSplitter::show(std::string_view stamp, std::string& out) {
    if (rest_.empty()) return;
    put_line(rest_, stamp, out);
    rest_.clear();
    shown_ = true;
}

void LineSplitter::finish(std::string_view stamp, std::string& out) {
    show(stamp, out);
    shown_ = false;
}

std::size_t count_lines(std::string_view text) {
    const auto newlines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    return newlines + (!text.empty() && text.back() != '\n' ? 1 : 0);
}

std::string lost_notice(bool stamped, std::uint64_t lines, std::string_view why, std::string_view stamp) {
    const std::string count = std::to_string(lines);
    std::string text(stamped ? stamp : "");
    if (stamped) return text + " log-keeper: " + count + (lines == 1 ? " line was" : " lines were") + " lost: " + std::string(why) + "\n";
    // `why` is strerror's: it has nothing that JSON would have to escape.
    return "{\"time\":\"" + std::string(stamp) + "\",\"kind\":\"lost\",\"lines\":" + count + ",\"text\":\"" + std::string(why) + "\"}\n";
}

std::string rotated_name(std::string_view file, std::uint32_t number) {
    return std::string(file) + "." + std::to_string(number);
}

std::vector<Rename> rotation(std::string_view file, std::uint32_t keep, std::uint32_t existing) {
    std::vector<Rename> renames;
    if (keep == 0) return renames;
    for (std::uint32_t number = std::min(keep - 1, existing); number > 0; --number) {
        renames.push_back({rotated_name(file, number), rotated_name(file, number + 1)});
    }
    renames.push_back({std::string(file), rotated_name(file, 1)});
    return renames;
}

}  // namespace warder::helpers
