#include "policy/path.h"

namespace warder::policy {
namespace {

bool clean_component(std::string_view component) {
    if (component.empty()) return false;
    return component.front() != '.' || (component != "." && component != "..");
}

// One pass over the bytes: a path of two thousand components must not be dearer than a long name.
bool clean_components(std::string_view path) {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < path.size(); ++at) {
        if (path[at] == '\0') return false;
        if (path[at] != '/') continue;
        if (!clean_component(path.substr(begin, at - begin))) return false;
        begin = at + 1;
    }
    return clean_component(path.substr(begin));
}

}  // namespace

bool clean_absolute(std::string_view path) {
    if (path.size() < 2 || path.size() > max_path || path.front() != '/') return false;
    return clean_components(path.substr(1));
}

bool clean_relative(std::string_view path) {
    return path.size() <= max_path && clean_components(path);
}

bool covers(std::string_view directory, std::string_view path) {
    if (directory == "/") return path.size() > 1 && path.front() == '/';
    return path.size() > directory.size() + 1 && path[directory.size()] == '/' && path.starts_with(directory);
}

std::string_view below(std::string_view directory, std::string_view path) {
    return path.substr(directory == "/" ? 1 : directory.size() + 1);
}

std::string_view directory_of(std::string_view path) {
    const auto slash = path.rfind('/');
    if (slash == std::string_view::npos) return {};
    return path.substr(0, slash == 0 ? 1 : slash);
}

std::string_view name_of_file(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Goes back only to the last '*', which is enough: what an earlier one could match, the last one can too.
bool matches(std::string_view pattern, std::string_view name) {
    if (name.starts_with('.') && !pattern.starts_with('.')) return false;
    std::size_t at = 0;
    std::size_t in_name = 0;
    std::size_t after_star = std::string_view::npos;
    std::size_t star_took_to = 0;
    while (in_name < name.size()) {
        if (at < pattern.size() && pattern[at] == '*') {
            after_star = ++at;
            star_took_to = in_name;
        } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == name[in_name])) {
            ++at;
            ++in_name;
        } else if (after_star != std::string_view::npos) {
            at = after_star;
            in_name = ++star_took_to;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

}  // namespace warder::policy
