#include "policy/path.h"

namespace warder::policy {
namespace {

bool clean_component(std::string_view component) { return !component.empty() && component != "." && component != ".."; }

bool clean_components(std::string_view path) {
    for (;;) {
        const auto slash = path.find('/');
        if (!clean_component(path.substr(0, slash))) return false;
        if (slash == std::string_view::npos) return true;
        path.remove_prefix(slash + 1);
    }
}

bool without_nul(std::string_view path) { return path.find('\0') == std::string_view::npos; }

}  // namespace

bool clean_absolute(std::string_view path) {
    if (path.size() < 2 || path.size() > max_path || path.front() != '/') return false;
    return without_nul(path) && clean_components(path.substr(1));
}

bool clean_relative(std::string_view path) {
    if (path.empty() || path.size() > max_path) return false;
    return without_nul(path) && clean_components(path);
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
