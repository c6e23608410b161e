// Constants of newer kernels than the headers that we build with (Debian 12 has those of 6.1). Numbers are the kernel's
// own and never change. Whether the running kernel has a feature is probed where it is used, never taken from a version.
#pragma once

#include <cstdint>

namespace warder::kernel {

inline constexpr int pr_get_mdwe = 66;           // 6.3, linux/prctl.h
inline constexpr int so_passpidfd = 76;          // 6.5, asm-generic/socket.h
inline constexpr int so_peerpidfd = 77;          // 6.5
inline constexpr int so_passrights = 83;         // 6.16
inline constexpr int scm_pidfd = 4;              // 6.5, linux/socket.h
inline constexpr int scm_max_fd = 253;           // net/scm.h; unix(7)
inline constexpr unsigned mfd_noexec_seal = 8;   // 6.3, linux/memfd.h
inline constexpr int f_seal_exec = 0x20;         // 6.3, linux/fcntl.h
inline constexpr int pr_set_mdwe = 65;           // 6.3, linux/prctl.h
inline constexpr unsigned long mdwe_refuse_exec_gain = 1;
inline constexpr unsigned statx_mnt_id_unique = 0x4000;  // 6.8, linux/stat.h
inline constexpr long sys_statmount = 457;       // 6.8, the same number on every architecture
inline constexpr unsigned long pidfd_get_info = 0xc040ff0bUL;  // 6.13, _IOWR(0xFF, 11, struct pidfd_info of 64 bytes)

// File system magics that linux/magic.h of 6.1 may lack or that live elsewhere.
inline constexpr std::int64_t magic_ext4 = 0xef53;
inline constexpr std::int64_t magic_xfs = 0x58465342;
inline constexpr std::int64_t magic_btrfs = 0x9123683e;
inline constexpr std::int64_t magic_tmpfs = 0x01021994;
inline constexpr std::int64_t magic_ramfs = 0x858458f6;
inline constexpr std::int64_t magic_overlayfs = 0x794c7630;
inline constexpr std::int64_t magic_proc = 0x9fa0;
inline constexpr std::int64_t magic_sysfs = 0x62656572;
inline constexpr std::int64_t magic_cgroup = 0x27e0eb;
inline constexpr std::int64_t magic_cgroup2 = 0x63677270;
inline constexpr std::int64_t magic_debugfs = 0x64626720;
inline constexpr std::int64_t magic_tracefs = 0x74726163;
inline constexpr std::int64_t magic_securityfs = 0x73636673;

}  // namespace warder::kernel
