// Where a path leads. Told without a look at any file system that others answer for: what a symlink points to is read where the
// symlink lies, and nothing is touched that mountinfo says to be theirs. And gone by root, who follows nobody else's symlinks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/mount_table.h"
#include "sys/fd.h"
#include "sys/privileges.h"

namespace warder {

// What /proc/self/mountinfo says now; empty when it cannot be read.
std::string mount_table();

// The mount that `path`, absolute, lies on after its symlinks; as in mount_of(). Of a path that does not
// exist the one where it would be, of one with more than 40 symlinks (path_resolution(7)) where these were too many.
Mount mount_behind(std::string_view mountinfo, std::string_view path);

// Opens the directory `path` (O_PATH) for root to act below. A symlink on the way that is not root's own would let whoever made
// it choose where: EPERM. Without root every symlink is followed, as the kernel's own permissions decide. `also` are further RESOLVE
// bits; with RESOLVE_CACHED no file system but the disk's is asked. Errors: EPERM, ELOOP, openat2(2), readlinkat(2).
Result<Fd> open_directory_as_root(const std::string& path, std::uint64_t also = 0);

// The same for `whom` to act below, with every symlink followed. Root's permissions are theirs as far as root's directories go, so that
// what lies in a private one may be lent; from the first name on that somebody else could have put there (a directory or symlink that is
// not root's, or one in a directory where others may write) their own decide. Leaves the credentials as they were last. Errors:
// openat2(2), EACCES among them; those of Privileges::become().
Result<Fd> open_directory_for(const Identity& whom, Privileges& privileges, const std::string& path, std::uint64_t also = 0);

// Whether nobody but root decides what the names in this directory mean: it is root's, and others either may not write there or, as in
// /tmp, may not replace what is not theirs.
bool names_are_roots(int directory);

// The same, and makes what is absent (mkdir -p): those that it makes get `mode`. Errors: also mkdirat(2).
Result<Fd> made_directory_as_root(const std::string& path, mode_t mode);
Result<void> make_directories(const std::string& path, mode_t mode);

// Opens what is at `path` (O_PATH), of any kind, for root to show it to a worker. Whoever made a symlink that is not root's may lead
// to files that are theirs, and to nothing else: EPERM, also where two have led. Takes nothing from the heap. Errors: as
// open_directory_as_root(), ENAMETOOLONG, ENOTDIR.
Result<Fd> open_to_show(std::string_view path, std::uint64_t also = 0);

// The same for root to use itself: also what the kernel leads to (/proc/1/ns/net, see proc(5)), while nobody but root has led there.
Result<Fd> open_to_use(std::string_view path);

}  // namespace warder
