// What a grant with an `owner` wants to be there before it is used. It is made at load, and where others answer for the file
// system by an opener, when it is asked for and absent.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/error.h"
#include "policy/grant.h"
#include "sys/privileges.h"

namespace warder::broker {

enum class Making : std::uint8_t { nothing, file, tree };

Making making_of(const policy::Grant& grant);
// The permission bits of what is made. A tree's `mode` is that of its files; its directory may be passed by whoever may read.
mode_t making_mode(const policy::Grant& grant);
// The worker, or who warderd is.
Identity owner_of(const policy::Grant& grant, const Identity& worker);

// Makes it at `path` with the directories above, if it is absent, and gives it to `owner`, all with the present credentials.
// Something that is there and belongs to another is left alone: EPERM; so is what is root's where others may write, who could have put
// it there. As root no symlink of another's is followed on the way there. Errors: made_directory_as_root(), mkdirat(2), openat2(2), fchownat(2).
Result<void> make(Making what, const std::string& path, mode_t mode, const Identity& owner);

// Only a file that `maker` or the owner made, under one name, is given to the owner: a hard link planted in a directory
// that others may write to must not carry somebody else's file along (CVE-2016-1247). Errors: EPERM, fchownat(2).
Result<void> give(int fd, const Identity& owner, uid_t maker = own_identity().uid);

}  // namespace warder::broker
