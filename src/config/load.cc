// From a path to its sources: the file itself and the conf.d beside it.
#include "config/parse.h"
#include "config/sources.h"

namespace warder::config {

Parsed load(const std::string& path, const Daemon& initial, Occasion occasion) {
    // At a reload the workers wait as well.
    constexpr int at_start_ms = 5000;
    constexpr int at_reload_ms = 1000;
    const Gathered gathered = gather(path, occasion, occasion == Occasion::again ? at_reload_ms : at_start_ms);
    Parsed parsed = parse(gathered.sources, initial);
    parsed.problems.insert(parsed.problems.begin(), gathered.problems.begin(), gathered.problems.end());
    return parsed;
}

}  // namespace warder::config
