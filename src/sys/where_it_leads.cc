#include "sys/where_it_leads.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/mount_table.h"

namespace warder {
namespace {

constexpr int most_symlinks = 40;

// nullopt: no symlink, or nothing at all.
std::optional<std::string> target_of_link(const std::string& path) {
    std::array<char, PATH_MAX> target;
    const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
    if (size <= 0) return std::nullopt;
    return std::string(target.data(), static_cast<std::size_t>(size));
}

// "a" of "a/b/c", which it is taken from; empty at the end.
std::string take_name(std::string& rest) {
    rest.erase(0, std::min(rest.find_first_not_of('/'), rest.size()));
    const auto end = std::min(rest.find('/'), rest.size());
    std::string name = rest.substr(0, end);
    rest.erase(0, end);
    return name;
}

}  // namespace

// `at` is free of symlinks; `rest` is still to be walked from there. A name's mount is looked up before the name is.
std::string mount_type_behind(std::string_view mountinfo, std::string_view path) {
    const auto theirs = mount_points_of_others(mountinfo);
    if (theirs.empty()) return mount_type_of(mountinfo, path);
    std::string at;
    std::string rest(path);
    int links = 0;
    for (std::string name = take_name(rest); !name.empty(); name = take_name(rest)) {
        if (name == ".") continue;
        if (name == "..") {
            at.erase(std::min(at.rfind('/'), at.size()));
            continue;
        }
        const std::string next = at + "/" + name;
        const bool perhaps = std::ranges::any_of(theirs, [&next](const auto& point) { return lies_in(point, next); });
        const std::string type = perhaps ? mount_type_of(mountinfo, next) : std::string();
        if (answered_by_others(type)) return type;
        const auto target = target_of_link(next);
        if (target && ++links > most_symlinks) break;
        if (target && target->starts_with('/')) at.clear();
        if (target) rest = *target + rest;   // rest begins with a slash, or is empty
        if (!target) at = next;
    }
    return mount_type_of(mountinfo, at.empty() ? "/" : at);
}

}  // namespace warder
