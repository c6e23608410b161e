// Where a path leads, told without a look at any file system that others answer for: what a symlink points to is read where the
// symlink lies, and nothing is touched that mountinfo says to be theirs.
#pragma once

#include <string>
#include <string_view>

namespace warder {

// The type of the file system that `path`, absolute, lies on after its symlinks; as in mount_type_of(). Of a path that does not
// exist the type where it would be, of one with more than 40 symlinks (path_resolution(7)) where these were too many.
std::string mount_type_behind(std::string_view mountinfo, std::string_view path);

}  // namespace warder
