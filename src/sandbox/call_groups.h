// Sets of system calls with a name, "@mount", as systemd has them: what a config may write where a call may stand. Values only.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace warder::sandbox {

struct CallGroup {
    std::string_view name;      // with its "@"
    std::string_view about;     // for people
    std::span<const std::string_view> members;   // calls and other groups
};

// In order of name. "@known" is among them and has no members: it is every call that libseccomp knows.
std::span<const CallGroup> call_groups();

const CallGroup* find_group(std::string_view name);

// The calls behind a name: itself, or all those of the group and of the groups in it, each once. An unknown group has none.
std::vector<std::string> calls_of(std::string_view name);

// Whether `name` is a call that this version of libseccomp knows (on whatever architecture), or a group.
bool names_calls(std::string_view name);

// The names that are nearest in spelling are looked for among these: all calls and all groups.
std::vector<std::string> all_call_names();

}  // namespace warder::sandbox
