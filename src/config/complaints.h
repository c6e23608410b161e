// Complaints about one source: it knows the source's lines, so that each problem carries the line that it is about.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/node.h"
#include "config/parse.h"

namespace warder::config {

class Complaints {
public:
    // `source` and `problems` outlive this.
    Complaints(const Source& source, std::vector<Problem>& problems);

    void error(const Place& place, std::string what, std::string suggestion = {});
    void warning(const Place& place, std::string what, std::string suggestion = {});

    // How many there are so far, of all sources.
    std::size_t count() const { return problems_.size(); }

    Mark mark(const Place& place) const;
    // "warder.toml:12", the file without its directory.
    std::string origin(const Place& place) const;
    const std::string& file() const { return source_.file; }

private:
    std::string_view line(std::uint32_t number) const;

    const Source& source_;
    std::vector<Problem>& problems_;
    std::vector<std::size_t> line_starts_;
};

// A word in quotes, fit for one line of a terminal: control characters and bytes that are not UTF-8 are shown as '?', and
// what is very long is cut.
std::string quoted(std::string_view word);
std::string printable(std::string_view text);

// "did you mean \"listen\"?" if one of `known` is near to `word`; otherwise `otherwise`.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known, std::string otherwise = {});

// The length of the UTF-8 sequence that `text` begins with; 0 if it begins with none.
std::size_t character_length(std::string_view text);

}  // namespace warder::config
