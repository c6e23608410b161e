#include "ctl/log_view.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>
#include <tuple>

namespace warder::ctl {
namespace {

constexpr std::size_t piece = 64 * 1024;

std::size_t newlines_in(std::string_view text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

// Reads from the end backwards until there are enough lines.
Result<std::string> read_tail(const Fd& file, std::size_t count) {
    struct stat found{};
    if (::fstat(file.get(), &found) != 0) return failure("fstat");
    auto left = static_cast<std::size_t>(found.st_size);
    std::string text;
    while (left > 0 && newlines_in(text) <= count) {
        const std::size_t size = std::min(left, piece);
        std::string part(size, '\0');
        const ssize_t got = ::pread(file.get(), part.data(), size, static_cast<off_t>(left - size));
        if (got < 0) return failure("reading the log");
        part.resize(static_cast<std::size_t>(got));
        text.insert(0, part);
        left -= size;
    }
    return text;
}

bool same_file(const Fd& one, const Fd& other) {
    struct stat first{};
    struct stat second{};
    if (::fstat(one.get(), &first) != 0 || ::fstat(other.get(), &second) != 0) return false;
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

bool is_moment(std::string_view word) {
    return word.size() == 27 && word[4] == '-' && word[7] == '-' && word[10] == 'T' && word[13] == ':' && word[26] == 'Z';
}

}  // namespace

std::vector<std::string> last_lines(std::string_view text, std::size_t count) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    else if (text.empty()) return {};
    std::vector<std::string> lines;
    while (lines.size() < count) {
        const std::size_t newline = text.rfind('\n');
        lines.emplace_back(newline == std::string_view::npos ? text : text.substr(newline + 1));
        if (newline == std::string_view::npos) break;
        text = text.substr(0, newline);
    }
    std::reverse(lines.begin(), lines.end());
    return lines;
}

std::string_view moment_of(std::string_view line) {
    constexpr std::string_view head = R"({"time":")";
    if (line.starts_with(head)) line = line.substr(head.size(), line.find('"', head.size()) - head.size());
    const std::string_view word = line.substr(0, line.find(' '));
    return is_moment(word) ? word : std::string_view{};
}

std::vector<LogLine> merged(std::vector<std::vector<LogLine>> logs) {
    struct Timed {
        std::string moment;
        std::size_t place;   // among all: equal moments keep their order
        LogLine line;
    };
    std::vector<Timed> all;
    for (auto& log : logs) {
        std::string latest;
        for (auto& line : log) {
            // A clock that was set back must not tear one worker's lines apart.
            latest = std::max(latest, std::string(moment_of(line.text)));
            all.push_back({latest, all.size(), std::move(line)});
        }
    }
    std::sort(all.begin(), all.end(),
              [](const Timed& a, const Timed& b) { return std::tie(a.moment, a.place) < std::tie(b.moment, b.place); });
    std::vector<LogLine> lines;
    for (auto& timed : all) lines.push_back(std::move(timed.line));
    return lines;
}

void drop_repeated(std::vector<LogLine>& lines) {
    std::set<std::string, std::less<>> seen;   // of the present moment
    std::string moment;
    std::erase_if(lines, [&](const LogLine& line) {
        if (const auto now = moment_of(line.text); now != moment) {
            moment = now;
            seen.clear();
        }
        return !moment.empty() && !seen.insert(line.text).second;
    });
}

std::vector<std::string> audit_files(const std::string& directory, const std::string& audit) {
    constexpr std::string_view ending = ".jsonl";
    std::vector<std::string> names{audit};
    const std::string beginning = audit.substr(0, audit.size() - std::min(audit.size(), ending.size())) + "-";
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename();
        if (name.starts_with(beginning) && name.ends_with(ending)) names.push_back(name);
    }
    std::sort(names.begin() + 1, names.end());
    names.emplace_back(events_file);
    return names;
}

Result<std::vector<std::string>> read_last_lines(const std::string& path, std::size_t count, const Wanted& wanted) {
    std::vector<std::string> lines;
    for (int number = 0; lines.size() < count; ++number) {
        const std::string name = number == 0 ? path : path + "." + std::to_string(number);
        const Fd file(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
        if (!file && errno != ENOENT) return failure("opening the log");
        if (!file && number > 0) break;   // the present file may be missing for a moment, while it is rotated
        if (!file) continue;
        // Nobody knows how far back the wanted ones are: then the whole file is looked through.
        const std::string text = TRY(read_tail(file, wanted ? SIZE_MAX : count));
        auto older = last_lines(text, wanted ? SIZE_MAX : count - lines.size());
        if (wanted) {
            std::erase_if(older, [&](const std::string& line) { return !wanted(line); });
            const std::size_t most = count - lines.size();
            if (older.size() > most) older.erase(older.begin(), older.end() - static_cast<std::ptrdiff_t>(most));
        }
        lines.insert(lines.begin(), std::make_move_iterator(older.begin()), std::make_move_iterator(older.end()));
    }
    return lines;
}

Result<Follower> Follower::create(const std::string& directory, std::map<std::string, std::string> names) {
    Fd events(::inotify_init1(IN_CLOEXEC));
    if (!events) return failure("inotify_init1");
    const std::uint32_t mask = IN_MODIFY | IN_CREATE | IN_MOVED_TO;
    if (::inotify_add_watch(events.get(), directory.c_str(), mask) < 0) return failure("watching the log directory");
    Follower follower(std::move(events), directory);
    for (auto& [name, worker] : names) {
        Watched& watched = follower.files_[name];
        watched.worker = worker;
        follower.reopen(name, watched);
        if (watched.file) ::lseek(watched.file.get(), 0, SEEK_END);
    }
    return follower;
}

void Follower::reopen(const std::string& name, Watched& watched) {
    Fd file(::open((directory_ + "/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file || (watched.file && same_file(file, watched.file))) return;
    watched.file = std::move(file);
    watched.rest.clear();
}

void Follower::read_new(Watched& watched, std::vector<LogLine>& lines) {
    std::array<char, piece> buffer;
    struct stat found{};
    const off_t at = watched.file ? ::lseek(watched.file.get(), 0, SEEK_CUR) : 0;
    // Somebody cut the file: what it holds now is new.
    if (watched.file && ::fstat(watched.file.get(), &found) == 0 && found.st_size < at) ::lseek(watched.file.get(), 0, SEEK_SET);
    while (watched.file) {
        const ssize_t size = ::read(watched.file.get(), buffer.data(), buffer.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return;
        watched.rest.append(buffer.data(), static_cast<std::size_t>(size));
        std::size_t begin = 0;
        for (std::size_t end = 0; (end = watched.rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
            lines.push_back({watched.worker, watched.rest.substr(begin, end - begin)});
        }
        watched.rest.erase(0, begin);
    }
}

Result<std::vector<LogLine>> Follower::next() {
    alignas(inotify_event) std::array<char, 16 * 1024> buffer;
    const ssize_t size = ::read(events_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno != EINTR) return failure("watching the log directory");
    std::vector<LogLine> lines;
    for (std::size_t at = 0; size > 0 && at < static_cast<std::size_t>(size);) {
        inotify_event event{};
        std::memcpy(&event, buffer.data() + at, sizeof event);
        const std::string name = event.len > 0 ? buffer.data() + at + sizeof event : "";
        at += sizeof event + event.len;
        const auto found = files_.find(name);
        if (found == files_.end()) continue;
        read_new(found->second, lines);
        if ((event.mask & (IN_CREATE | IN_MOVED_TO)) == 0) continue;
        reopen(name, found->second);
        read_new(found->second, lines);
    }
    // More happened than the kernel could tell: everything is looked at.
    for (auto& [name, watched] : files_) {
        if (size > 0) read_new(watched, lines);
    }
    return lines;
}

}  // namespace warder::ctl
