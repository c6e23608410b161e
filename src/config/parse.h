// From TOML text to a Config, with every complaint at once. Only parse.cc knows toml++.
#pragma once

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

// Pure: reads no file, resolves no user. Later sources add workers and override keys of [daemon]; the same worker in two
// sources is an error.
Parsed parse(const std::vector<Source>& sources);

// Reads `path` (and, if it is a directory or has a conf.d beside it, conf.d/*.toml in order of name) and parses. A file
// that cannot be read is a Problem.
Parsed load(const std::string& path);

// "warder.toml:12:7: error: unknown key ..." with the line, a caret and the suggestion, as compilers print it.
std::string format(const Problem& problem);

// The nearest of `known` to `word`, if it is near enough to be meant; otherwise empty.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace warder::config
