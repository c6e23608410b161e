// A config of one file, and what is said of it.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "config/parse.h"

namespace warder::config::testing {

inline std::string shown(const std::vector<Problem>& problems) {
    std::string text;
    for (const Problem& problem : problems) text += format(problem);
    return text;
}

// Everything that is complained of, as warderd prints it.
inline std::string complaints(const std::string& text) { return shown(parse({{"w.toml", text}}).problems); }

// A config that has nothing wrong with it.
inline Config good(const std::string& text) {
    Parsed parsed = parse({{"w.toml", text}});
    REQUIRE_EQ(shown(parsed.problems), "");
    return std::move(parsed.config);
}

inline Worker worker(const std::string& keys) {
    return good("[worker.web]\nexec = \"/usr/bin/web\"\n" + keys).workers.at(0);
}

inline std::string worker_complaints(const std::string& keys) {
    return complaints("[worker.web]\nexec = \"/usr/bin/web\"\n" + keys);
}

inline policy::Grant grant(const std::string& table) {
    return worker("[worker.web.grants]\ng = " + table + "\n").grants.at(0);
}

// Of one grant, which stands in line 4.
inline std::string grant_complaints(const std::string& table) {
    return worker_complaints("[worker.web.grants]\ng = " + table + "\n");
}

}  // namespace warder::config::testing
