// From a path to its sources: the file itself and the conf.d beside it.
#include "config/parse.h"
#include "config/sources.h"

namespace warder::config {

Parsed load(const std::string& path, const Daemon& initial, Occasion occasion) {
    const Gathered gathered = gather(path, occasion);
    Parsed parsed = parse(gathered.sources, initial);
    parsed.problems.insert(parsed.problems.begin(), gathered.problems.begin(), gathered.problems.end());
    return parsed;
}

}  // namespace warder::config
