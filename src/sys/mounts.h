// The mount calls of Linux 5.2 and 5.12: trees as descriptors. No heap, so that a child may use them before exec; each
// returns a descriptor or 0, or the negative of an errno.
#pragma once

#include <cstdint>

namespace warder::mounts {

enum class Access : std::uint8_t { read_only, writable };
enum class Devices : std::uint8_t { hidden, usable };

// A copy of the tree behind `fd` (O_PATH), a directory's or a file, mounted nowhere, close-on-exec; always nosuid. Submounts come along.
int copy_tree(int fd, Access access, Devices devices, bool no_execute = false);

// An empty tmpfs that is mounted nowhere, nosuid and nodev. `size` like "1m".
int make_tmpfs(const char* size, const char* mode);

// Mounts `tree` on the file or directory behind `target`.
int attach(int tree, int target);

// Opens `path` below `root` for attaching, with every symbolic link resolved as if `root` were "/", or with none: -ELOOP.
enum class Symlinks : std::uint8_t { followed, refused };
int open_inside(int root, const char* path, Symlinks symlinks);

// Shows what is at `from`, with its submounts and attributes, on the file or directory behind `target` too.
int bind(const char* from, int target);

// Makes what is already mounted at `fd` read-only.
int make_read_only(int fd);

// Makes every mount of this namespace private, in a chroot(2) too. The current directory becomes "/".
int make_private();

// Root and current directory become those of this process's own mount namespace. In a chroot(2) they are others, and pivot_root(2)
// would change the chroot's: whoever joined the namespace later would find itself outside of it.
int go_to_root_of_namespace();

// Makes the mount at the current directory this namespace's "/", and lets go of the old one.
int become_root_of_namespace();

}  // namespace warder::mounts
