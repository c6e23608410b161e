// Lines out of log files: the last ones, over rotated files too, and those that come. The first part is pure.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sys/fd.h"

namespace warder::ctl {

struct LogLine {
    std::string worker;
    std::string text;   // without its newline
    friend bool operator==(const LogLine&, const LogLine&) = default;
};

// At most `count` of the last lines of `text`; one without a newline at the end counts.
std::vector<std::string> last_lines(std::string_view text, std::size_t count);

// The moment in front of a line, or with which a record of the audit begins, which sorts as text; empty if there is none.
std::string_view moment_of(std::string_view line);

// In the order of their moments; lines of one worker keep their order, and a line without a moment stays with the one before.
std::vector<LogLine> merged(std::vector<std::vector<LogLine>> logs);

// Of lines with one moment and one text the first alone: an event of the audit stands in two files.
void drop_repeated(std::vector<LogLine>& lines);

// The files of the audit in `directory`: `audit` itself ("audit.jsonl"), what went over workers' shares of it (audit-WORKER.jsonl), and
// the events that stand in it too but are kept longer in a file of their own.
std::vector<std::string> audit_files(const std::string& directory, const std::string& audit);
inline constexpr std::string_view events_file = "events.jsonl";

// The last `count` lines of `path`, and of path.1, path.2 … while that is not enough. A file that is not there has none.
// Errors: those of open(2) but ENOENT.
// With `wanted` only those lines for which it is true, and then so many of them.
using Wanted = std::function<bool(std::string_view line)>;
Result<std::vector<std::string>> read_last_lines(const std::string& path, std::size_t count, const Wanted& wanted = {});

// Follows files of one directory, by name: when the name is given to a new file, the old one is read to its end first.
class Follower {
public:
    // Begins at the present end of each file. `names` maps a file to its worker.
    static Result<Follower> create(const std::string& directory, std::map<std::string, std::string> names);

    // Waits, and returns what has come.
    Result<std::vector<LogLine>> next();

private:
    struct Watched {
        std::string worker;
        Fd file;
        std::string rest;   // of a line that is not whole yet
    };
    Follower(Fd events, std::string directory) : events_(std::move(events)), directory_(std::move(directory)) {}
    void reopen(const std::string& name, Watched& watched);
    static void read_new(Watched& watched, std::vector<LogLine>& lines);

    Fd events_;
    std::string directory_;
    std::map<std::string, Watched> files_;
};

}  // namespace warder::ctl
