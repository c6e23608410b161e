// What the log keeper does to bytes and names, without touching anything: lines from pieces of a pipe, names of files, the
// order of renames at a rotation. Names come from warderd, lines from workers: lines may be anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace warder::helpers {

inline constexpr std::size_t longest_line = 16 * 1024;   // bytes; a longer line becomes several
inline constexpr std::uint32_t max_kept = 999;          // rotated files

// "2026-01-31T12:00:00.123456Z" from nanoseconds since 1970.
std::string timestamp(std::int64_t nanoseconds);

// How a log is kept: the value of the event that brings its pipe has the size in its low 48 bits and the number of rotated
// files in its top 16.
struct Limits {
    std::uint64_t max_size = 10ULL << 20;   // bytes after which a new file is begun; 0: never
    std::uint32_t keep = 5;
    friend bool operator==(const Limits&, const Limits&) = default;
};
Limits unpack_limits(std::uint64_t value);

// What a pipe's lines are and where they go.
struct Place {
    std::string file;      // below the grant
    bool stamped = true;   // each line gets a timestamp; the audit's lines have their own
    bool asides = false;   // a line may be meant for another file: aside_of()
};

// "log:web" goes to web.log, "audit" to audit.jsonl, "events" to events.jsonl. Nothing for any other name, or for one that is not of [a-z0-9_.@-] with
// a letter or digit in front: a name can never lead out of the directory.
std::optional<Place> place_of(std::string_view name);

// A line of the audit that is over its worker's share of audit.jsonl: a worker's name and a tab stand in front of it, and it goes
// to audit-NAME.jsonl. Nothing for another line, or a name that is none.
struct Aside {
    std::string file;
    std::string_view line;   // without what stood in front; with its newline if it had one
};
std::optional<Aside> aside_of(std::string_view line);

// How those files are kept: as the others, but with one rotated file at most.
Limits limits_of_aside(Limits limits);

// Cuts a stream into lines. What has no newline yet is kept until it has, until it is longest_line bytes long, or until the
// caller has had enough of waiting.
class LineSplitter {
public:
    explicit LineSplitter(bool stamped) : stamped_(stamped) {}

    // Appends to `out` every line that is whole now, each ending in a newline, with `stamp` in front if lines are stamped.
    void feed(std::string_view bytes, std::string_view stamp, std::string& out);
    // Appends what has no newline, as a line. What comes next is a line of its own, but for the newline that ends this one.
    void show(std::string_view stamp, std::string& out);
    // The same at the end of the stream.
    void finish(std::string_view stamp, std::string& out);

    // Something has come whose newline has not.
    bool holds_back() const { return !rest_.empty(); }

private:
    void put_line(std::string_view line, std::string_view stamp, std::string& out) const;

    bool stamped_;
    bool shown_ = false;   // the last line is out, and its newline has not come
    std::string rest_;
};

std::size_t count_lines(std::string_view text);

// "a lines were lost" as a line of the same log: text, or JSON for the audit.
std::string lost_notice(bool stamped, std::uint64_t lines, std::string_view why, std::string_view stamp);

struct Rename {
    std::string from;
    std::string to;
    friend bool operator==(const Rename&, const Rename&) = default;
};

// The renames of one rotation, in order: the oldest first, so that nothing is overwritten but what is beyond `keep`.
// `existing`: how many rotated files there may be. With keep = 0 there are none: the file is removed instead.
std::vector<Rename> rotation(std::string_view file, std::uint32_t keep, std::uint32_t existing);

std::string rotated_name(std::string_view file, std::uint32_t number);

}  // namespace warder::helpers
