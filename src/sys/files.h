// Files by descriptor: openat2 below a held directory, what a descriptor is, small whole-file reads. This module opens what
// it is told to; whether it may be opened was decided elsewhere.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/fixed_string.h"
#include "sys/fd.h"

namespace warder {

// What tells one directory or file from another while the system is up.
struct FileIdentity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t mount = 0;
    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

// openat2(2). `path` is NUL-terminated. The result is close-on-exec whatever `flags` says. Errors: openat2's own.
Result<Fd> open_at(int directory, const char* path, std::uint64_t flags, std::uint64_t mode, std::uint64_t resolve);

// fstat(2) itself: glibc 2.33 to 2.38 asks newfstatat(2) with an empty path, which the kernel has to read first.
Result<void> status_of(int fd, struct stat& about);

// Device, inode and mount id of an open descriptor, from what the kernel has in memory (statx(2), STATX_MNT_ID: 5.8).
Result<FileIdentity> identify(int fd);

// The name under which this process reaches what it has open, whatever became of its path: for calls that take no
// descriptor of the O_PATH kind.
FixedString<40> own_path(int fd);

// f_type of the file system that holds `fd` (statfs(2), which asks the server of a FUSE or NFS mount and waits for it).
Result<std::int64_t> file_system_of(int fd);

// The same from what the kernel has in memory: nobody is asked. Errors: ENOSYS before 6.8; statx(2), statmount(2).
Result<std::int64_t> file_system_in_memory(int fd);

// Whether operations there can be done without waiting for anybody but the disk: ext4, xfs, btrfs, tmpfs.
bool is_local(std::int64_t file_system);
// Whether this is one of the kernel's own views (proc, sysfs, cgroup, debugfs, tracefs, securityfs): never lent as files.
bool is_kernel_view(std::int64_t file_system);

// The whole of a regular file of at most `most` bytes; nobody is waited for but the disk. Errors: open(2), read(2), EFBIG, EINVAL (a
// FIFO, a device, a socket), EISDIR.
Result<std::string> read_file(const std::string& path, std::size_t most);

// Replaces `path` as a whole (write beside it, fsync, rename). Errors: open(2), write(2), fsync(2), rename(2).
Result<void> replace_file(const std::string& path, std::string_view text, mode_t mode);

}  // namespace warder
