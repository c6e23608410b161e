#include "base/mount_table.h"

#include <algorithm>
#include <array>

namespace warder {
namespace {

constexpr std::array<std::string_view, 14> of_others{"fuse", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs",
                                                     "autofs", "virtiofs", "lustre", "orangefs", "gfs2"};

bool is_octal(char digit) { return digit >= '0' && digit <= '7'; }

std::string_view take_word(std::string_view& line) {
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(word.size() + 1, line.size()));
    return word;
}

std::string_view take_line(std::string_view& text) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    return line;
}

// What stands behind the dash: the type, and more. Empty: no line of a mount.
std::string_view from_type(std::string_view line) {
    const auto dash = line.find(" - ");
    return dash == std::string_view::npos ? std::string_view() : line.substr(dash + 3);
}

// Behind "41 31 0:38 /root " in a line of a mount.
std::string take_point(std::string_view line) {
    for (int skipped = 0; skipped < 4; ++skipped) take_word(line);
    return unescape_mount_word(take_word(line));
}

}  // namespace

bool lies_in(std::string_view point, std::string_view path) {
    if (point == "/") return true;
    return path.starts_with(point) && (path.size() == point.size() || path[point.size()] == '/');
}

std::string unescape_mount_word(std::string_view word) {
    std::string plain;
    for (std::size_t i = 0; i < word.size(); ++i) {
        const bool escaped = word[i] == '\\' && i + 3 < word.size() && std::ranges::all_of(word.substr(i + 1, 3), is_octal);
        if (!escaped) {
            plain += word[i];
            continue;
        }
        plain += static_cast<char>((word[i + 1] - '0') * 64 + (word[i + 2] - '0') * 8 + (word[i + 3] - '0'));
        i += 3;
    }
    return plain;
}

// "41 31 0:38 /root /point options [optional...] - type source options"; of two mounts at one place the last is on top.
Mount mount_of(std::string_view mountinfo, std::string_view path) {
    Mount deepest;
    while (!mountinfo.empty()) {
        const std::string_view line = take_line(mountinfo);
        std::string_view behind = from_type(line);
        if (behind.empty()) continue;
        std::string point = take_point(line);
        if (point.size() < deepest.point.size() || !lies_in(point, path)) continue;
        deepest = {std::move(point), std::string(take_word(behind))};
    }
    return deepest;
}

std::vector<std::string> mount_points_of_others(std::string_view mountinfo) {
    std::vector<std::string> points;
    while (!mountinfo.empty()) {
        const std::string_view line = take_line(mountinfo);
        std::string_view behind = from_type(line);
        if (answered_by_others(take_word(behind))) points.push_back(take_point(line));
    }
    return points;
}

bool answered_by_others(std::string_view type) {
    return type.starts_with("fuse.") || std::ranges::find(of_others, type) != of_others.end();
}

}  // namespace warder
