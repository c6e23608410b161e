// What stands under the config's path, as text. It is read by a child with a deadline: who may put files there could put a FIFO, a
// device or a link into a mount that hangs, and warderd does not wait for any of them.
#pragma once

#include <string>
#include <vector>

#include "config/parse.h"

namespace warder::config {

struct Gathered {
    std::vector<Source> sources;
    std::vector<Problem> problems;
};

// `path` (a directory means its warder.toml) and then the conf.d/*.toml beside it in order of name: regular files, and for `path`
// itself at the first reading also a pipe without a name (--config <(...)) or the terminal. Such a pipe is waited for as long as it
// takes; anything else has `patience_ms`.
Gathered gather(const std::string& path, Occasion occasion, int patience_ms);

}  // namespace warder::config
