// Which directory of cgroup v2 is warderd's own to divide, from the config and from what the host delegates.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace warder::daemon {

// The directory, with warderd itself in its daemon/ from here on; empty where there is none or the config wants none. What
// that means has been logged. `configured` is "auto", "none", or a directory.
std::string take_cgroup(const std::string& configured);

// For `check`: whether workers of a warderd with this config would have groups, and which controllers these could get.
struct GroupProspect {
    bool any = false;
    std::string controllers;
};
GroupProspect group_prospect(const std::string& configured);

// The controllers that limits of workers, and what [daemon] requires, need.
std::vector<std::string> controllers_for(const config::Config& config);

// Gives groups in the directory those, and no others, that it has: the words of cgroup.subtree_control afterwards. Empty without
// a directory.
std::string give_controllers(const std::string& directory, const config::Config& config);

// At the end: what take_cgroup() made is removed, with warderd back where it was.
void leave_cgroup(const std::string& directory);

}  // namespace warder::daemon
