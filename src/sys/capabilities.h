// Capabilities as sets of bits, their names, and what this process has of them. Which are needed is for others to say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace warder::capabilities {

using Set = std::uint64_t;   // bit N is capability N of linux/capability.h

constexpr Set bit(int capability) { return Set{1} << capability; }

// "CAP_SYS_ADMIN"; "capability 63" for one that libcap does not know.
std::string name_of(int capability);

// "CAP_SYS_ADMIN", "cap_sys_admin" and "sys_admin" alike.
std::optional<int> named(std::string_view name);

std::vector<std::string> names_of(Set set);

// "CAP_CHOWN CAP_KILL", or "none".
std::string in_words(Set set);

// All that the running kernel knows.
Set all();

// What this process has now.
struct Held {
    Set effective = 0;
    Set permitted = 0;
    Set inheritable = 0;
    Set bounding = 0;
    Set ambient = 0;
};
Result<Held> held();

// Drops everything but `kept` from every set, the bounding set too: it cannot come back, not by exec either. What is not there
// is not added. Errors: those of prctl(2) and capset(2).
Result<void> keep_only(Set kept);

}  // namespace warder::capabilities
