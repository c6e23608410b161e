// From a path to its sources: the file itself and the conf.d beside it.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "config/check.h"
#include "config/parse.h"

namespace warder::config {
namespace {

namespace filesystem = std::filesystem;

constexpr std::uintmax_t largest_file = 16U << 20;   // bytes: a config is read whole into memory

Problem problem_of(const filesystem::path& path, std::string what) {
    Problem problem;
    problem.where.file = path.string();
    problem.what = std::move(what);
    return problem;
}

Problem unreadable(const filesystem::path& path, const std::string& why) { return problem_of(path, "cannot be read: " + why); }

// Of the machine itself, where each number is somebody (user_namespaces(7)).
bool in_first_user_namespace() {
    std::ifstream map("/proc/self/uid_map");
    std::uint32_t inside = 1;
    std::uint32_t outside = 1;
    std::uint32_t count = 0;
    map >> inside >> outside >> count;
    return inside == 0 && outside == 0 && count == 0xffffffffU;
}

// In another one, everybody outside of it has one number.
bool is_trusted(std::uint32_t id, std::uint32_t own) {
    constexpr std::uint32_t overflow = 65534;
    return id == 0 || id == own || (id == overflow && !in_first_user_namespace());
}

// Who may write to it decides what warderd does.
void check_writers(const filesystem::path& path, std::vector<Problem>& problems) {
    struct stat about;
    if (::stat(path.c_str(), &about) != 0) return;
    const auto complain = [&](const std::string& who, const char* remedy) {
        problems.push_back(problem_of(path, who + ", who could have warderd do anything: " + remedy + " " + path.string()));
    };
    if (!is_trusted(about.st_uid, ::geteuid())) complain("belongs to uid " + std::to_string(about.st_uid), "chown root");
    if ((about.st_mode & S_IWOTH) != 0) {
        complain("may be written to by everybody", "chmod go-w");
    } else if ((about.st_mode & S_IWGRP) != 0 && !is_trusted(about.st_gid, ::getegid())) {
        complain("may be written to by gid " + std::to_string(about.st_gid), "chmod g-w");
    }
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
    check_writers(path, problems);
    std::string text = read_up_to(file, largest_file + 1);
    if (file.bad()) return problems.push_back(unreadable(path, words_for(EIO)));
    if (text.size() > largest_file) return problems.push_back(unreadable(path, "it is larger than 16 MiB"));
    sources.push_back({path.string(), std::move(text)});
}

// conf.d/*.toml in order of name; an absent conf.d is an empty one.
std::vector<filesystem::path> drop_ins(const filesystem::path& directory, std::vector<Problem>& problems) {
    std::vector<filesystem::path> found;
    std::error_code error;
    check_writers(directory, problems);
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
