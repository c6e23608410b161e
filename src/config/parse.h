// From TOML text to a Config, with every complaint at once. Only parse.cc knows toml++.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace warder::config {

struct Source {
    std::string file;   // as it is to be named in complaints
    std::string text;
};

struct Parsed {
    Config config;                   // only to be used if ok()
    std::vector<Problem> problems;   // errors and warnings, by file and line
    bool ok() const;
};

// Pure: reads no file, resolves no user (that is check.h). Later sources add workers and override keys of [daemon]; the same worker in two
// sources is an error.
// [daemon] begins as `initial`.
Parsed parse(const std::vector<Source>& sources, const Daemon& initial = {});

// A pipe (--config <(...)) is read once: at a reload it is a Problem.
enum class Occasion : std::uint8_t { first, again };

// Reads `path` (a directory means its warder.toml) and then the conf.d/*.toml beside it in order of name, and parses. Waits for
// nothing but a pipe at the first reading. A file that cannot be read is a Problem. What needs the world beyond the files' text is
// left to resolve() of check.h.
Parsed load(const std::string& path, const Daemon& initial = {}, Occasion occasion = Occasion::first);

// As compilers print it, ending in a newline:
//
//     warder.toml:12:7: error: unknown key "lisen" in grant "http" of worker "web"
//        12 | http = { lisen = "tcp:127.0.0.1:8080" }
//           |          ^~~~~ did you mean "listen"?
std::string format(const Problem& problem);

// The nearest of `known` to `word`, if it is near enough to be meant; otherwise empty.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace warder::config
