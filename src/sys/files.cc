#include "sys/files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>

#include "sys/kernel.h"

namespace warder {
namespace {

// struct mnt_id_req and the beginning of struct statmount (linux/mount.h, 6.8).
struct MountRequest {
    std::uint32_t size, spare;
    std::uint64_t mount, wanted;
};

struct MountAnswer {
    std::uint32_t size, options;
    std::uint64_t mask;
    std::uint32_t device_major, device_minor;
    std::uint64_t file_system;
    std::array<std::uint64_t, 60> rest;   // as much as the kernel's own struct, so that it never finds too little room
};

constexpr std::uint64_t statmount_sb_basic = 1;

}  // namespace

Result<Fd> open_at(int directory, const char* path, std::uint64_t flags, std::uint64_t mode, std::uint64_t resolve) {
    open_how how{};
    how.flags = flags | O_CLOEXEC;
    how.mode = mode;
    how.resolve = resolve;
    long number = -1;
    do {
        number = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
    } while (number < 0 && errno == EINTR);
    if (number < 0) return failure("openat2");
    return Fd(static_cast<int>(number));
}

// Both have one struct stat, the kernel's and glibc's, on the machines of 64 bits.
Result<void> status_of(int fd, struct stat& about) {
    static_assert(sizeof(long) == 8);
    if (::syscall(SYS_fstat, fd, &about) != 0) return failure("fstat");
    return {};
}

Result<FileIdentity> identify(int fd) {
    struct statx raw;
    constexpr int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (::statx(fd, "", flags, STATX_INO | STATX_MNT_ID, &raw) != 0) return failure("statx");
    return FileIdentity{::makedev(raw.stx_dev_major, raw.stx_dev_minor), raw.stx_ino, raw.stx_mnt_id};
}

FixedString<40> own_path(int fd) {
    FixedString<40> name("/proc/self/fd/");
    name.append_number(static_cast<std::uint64_t>(fd));
    return name;
}

Result<std::int64_t> file_system_of(int fd) {
    struct statfs raw;
    if (::fstatfs(fd, &raw) != 0) return failure("fstatfs");
    return static_cast<std::int64_t>(raw.f_type) & 0xffffffffLL;
}

Result<std::int64_t> file_system_in_memory(int fd) {
    struct statx raw;
    constexpr int flags = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (::statx(fd, "", flags, kernel::statx_mnt_id_unique, &raw) != 0) return failure("statx");
    if ((raw.stx_mask & kernel::statx_mnt_id_unique) == 0) return failure(ENOSYS, "statx(STATX_MNT_ID_UNIQUE)");
    MountRequest request{sizeof request, 0, raw.stx_mnt_id, statmount_sb_basic};
    MountAnswer answer{};
    if (::syscall(kernel::sys_statmount, &request, &answer, sizeof answer, 0) != 0) return failure("statmount");
    if ((answer.mask & statmount_sb_basic) == 0) return failure(ENOSYS, "statmount");
    return static_cast<std::int64_t>(answer.file_system);
}

bool is_local(std::int64_t file_system) {
    return file_system == kernel::magic_ext4 || file_system == kernel::magic_xfs ||
           file_system == kernel::magic_btrfs || file_system == kernel::magic_tmpfs;
}

bool is_kernel_view(std::int64_t file_system) {
    for (const std::int64_t view : {kernel::magic_proc, kernel::magic_sysfs, kernel::magic_cgroup, kernel::magic_cgroup2,
                                    kernel::magic_debugfs, kernel::magic_tracefs, kernel::magic_securityfs}) {
        if (file_system == view) return true;
    }
    return false;
}

Result<std::string> read_file(const std::string& path, std::size_t most) {
    Fd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file) return failure("open");
    struct stat about;
    if (::fstat(file.get(), &about) != 0) return failure("fstat");
    if (!S_ISREG(about.st_mode)) return failure(S_ISDIR(about.st_mode) ? EISDIR : EINVAL, "reading what is no regular file");
    std::string text;
    char part[4096];
    for (;;) {
        const ssize_t size = ::read(file.get(), part, sizeof part);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return failure("read");
        if (size == 0) return text;
        if (static_cast<std::size_t>(size) > most - text.size()) return failure(EFBIG, "read");
        text.append(part, static_cast<std::size_t>(size));
    }
}

Result<void> replace_file(const std::string& path, std::string_view text, mode_t mode) {
    const std::string beside = path + ".new";
    Fd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file) return failure("open");
    while (!text.empty()) {
        const ssize_t size = ::write(file.get(), text.data(), text.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return failure("write");
        text.remove_prefix(static_cast<std::size_t>(size));
    }
    if (::fchmod(file.get(), mode) != 0) return failure("fchmod");
    if (::fsync(file.get()) != 0) return failure("fsync");
    if (::rename(beside.c_str(), path.c_str()) != 0) return failure("rename");
    return {};
}

}  // namespace warder
