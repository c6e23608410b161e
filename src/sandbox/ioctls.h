// Which requests of ioctl(2) a sandbox of profile `strict` lets through: by number, since what a request does is the driver's or the
// file system's to say and no filter sees the descriptor. Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace warder::sandbox {

struct NamedIoctl {
    std::string_view name;
    std::uint32_t request;   // the 32 bits that the kernel looks at
};

// Of terminals, pipes and sockets, and what a file is asked; none of them changes a file, its attributes or a file system.
std::span<const NamedIoctl> harmless_ioctls();

// By which a file's holder gives it attributes, shares its blocks or changes its file system: every request of these types
// (_IOC_TYPE), but for those that are harmless.
std::span<const std::uint32_t> file_system_types();

// Of linux/fs.h and its like, what a config may name in `allow_ioctls` besides the harmless ones.
std::optional<std::uint32_t> ioctl_named(std::string_view name);
std::vector<std::string_view> ioctl_names();

}  // namespace warder::sandbox
