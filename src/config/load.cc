// From a path to its sources: the file itself and the conf.d beside it.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "config/check.h"
#include "config/parse.h"

namespace warder::config {
namespace {

namespace filesystem = std::filesystem;

constexpr std::uintmax_t largest_file = 16U << 20;   // bytes: a config is read whole into memory

Problem unreadable(const filesystem::path& path, const std::string& why) {
    Problem problem;
    problem.where.file = path.string();
    problem.what = "cannot be read: " + why;
    return problem;
}

std::string words_for(int error) { return std::generic_category().message(error); }

std::string read_up_to(std::ifstream& file, std::size_t most) {
    std::string text(most, '\0');
    file.read(text.data(), static_cast<std::streamsize>(most));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

void read_source(const filesystem::path& path, std::vector<Source>& sources, std::vector<Problem>& problems) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file) return problems.push_back(unreadable(path, words_for(errno)));
    std::error_code ignored;
    if (filesystem::is_directory(path, ignored)) return problems.push_back(unreadable(path, words_for(EISDIR)));
    std::string text = read_up_to(file, largest_file + 1);
    if (file.bad()) return problems.push_back(unreadable(path, words_for(EIO)));
    if (text.size() > largest_file) return problems.push_back(unreadable(path, "it is larger than 16 MiB"));
    sources.push_back({path.string(), std::move(text)});
}

// conf.d/*.toml in order of name; an absent conf.d is an empty one.
std::vector<filesystem::path> drop_ins(const filesystem::path& directory, std::vector<Problem>& problems) {
    std::vector<filesystem::path> found;
    std::error_code error;
    for (filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        const filesystem::path& path = at->path();
        if (path.extension() == ".toml" && path.filename().native()[0] != '.') found.push_back(path);
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        problems.push_back(unreadable(directory, words_for(error.value())));
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

Parsed load(const std::string& path, const Daemon& initial) {
    std::error_code ignored;
    const bool directory = filesystem::is_directory(path, ignored);
    const filesystem::path main = directory ? filesystem::path(path) / "warder.toml" : filesystem::path(path);
    std::vector<Source> sources;
    std::vector<Problem> problems;
    read_source(main, sources, problems);
    for (const auto& drop_in : drop_ins(main.parent_path() / "conf.d", problems)) read_source(drop_in, sources, problems);
    Parsed parsed = parse(sources, initial);
    parsed.problems.insert(parsed.problems.begin(), problems.begin(), problems.end());
    return parsed;
}

}  // namespace warder::config
