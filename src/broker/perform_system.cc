// Devices and the kernel's own settings: always in an opener, since a device may wait for anything and the network for
// its lock, and always as root, since the grant itself is the right.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "broker/perform.h"
#include "sys/kernel.h"

namespace warder::broker {
namespace {

constexpr std::size_t max_read = 4096;   // bytes of a key's value

// ---- Devices ----

// What is no device is not even opened: a FIFO would have been changed by that already. The path is the
// administrator's, and in a container each device is a mount of its own.
Tried<Fd> find_device(const Task& task, struct stat& about) {
    Task looked_for = task;
    looked_for.cross_mounts = true;
    auto found = open_below(looked_for, task.path, O_PATH | O_NOFOLLOW, Patience::until_deadline);
    if (!found) return found;
    auto gated = passed(looked_for, found->get(), about, Wanted::anything);
    if (gated.reason != Reason::ok) return Ended(std::move(gated));
    if (!S_ISCHR(about.st_mode) && !S_ISBLK(about.st_mode)) return Ended(failed(ENODEV));
    return found;
}

bool is_tun(const struct stat& about) { return S_ISCHR(about.st_mode) && about.st_rdev == ::makedev(10, 200); }

// Makes the interface, or takes it if it is there and free, and tells its name: "tun%d" lets the kernel choose the
// number.
Result<void> set_interface(int tun, std::string_view name, ifreq& wanted) {
    const FixedString<IFNAMSIZ - 1> text(name);
    if (text.truncated()) return failure(EINVAL, "the name of an interface");
    std::memcpy(wanted.ifr_name, text.c_str(), text.size() + 1);
    wanted.ifr_flags = static_cast<short>((name.starts_with("tap") ? IFF_TAP : IFF_TUN) | IFF_NO_PI);
    if (::ioctl(tun, TUNSETIFF, &wanted) != 0) return failure("ioctl(TUNSETIFF)");
    return {};
}

// ---- Keys ----

bool is_key_byte(char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || std::string_view("_.-/").find(c) != std::string_view::npos;
}

using KeyPath = FixedString<policy::max_path>;

// As sysctl(8) has it: dots separate, unless there are slashes, and then a dot is a dot
// ("net/ipv4/conf/eth0.1/forwarding").
bool path_of_key(std::string_view key, KeyPath& path) {
    if (key.size() > KeyPath::capacity() || !std::ranges::all_of(key, is_key_byte)) return false;
    const bool slashes = key.find('/') != std::string_view::npos;
    for (const char c : key) path.append(c == '.' && !slashes ? '/' : c);
    return policy::clean_relative(path.view());
}

Result<Fd> open_keys() {
    constexpr std::uint64_t no_links = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    Fd keys = TRY(open_at(AT_FDCWD, "/proc/sys", O_PATH | O_DIRECTORY, 0, no_links));
    if (TRY(file_system_of(keys.get())) != kernel::magic_proc) return failure(ENOTSUP, "/proc/sys");
    return keys;
}

// NO_XDEV: below /proc/sys there may be an automount (fs.binfmt_misc), which to look at would be to set off.
Result<Fd> open_key(const char* path, std::uint64_t flags) {
    constexpr std::uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    const Fd keys = TRY(open_keys());
    return open_at(keys.get(), path, flags | O_NONBLOCK | O_NOCTTY, 0, resolve);
}

Tried<Fd> find_key(const Task& task, std::uint64_t flags) {
    WARDER_UNINITIALIZED KeyPath path;
    if (!path_of_key(task.path, path)) return Ended(refused(Reason::bad_argument));
    auto key = open_key(path.c_str(), flags);
    if (!key) return Ended(failed(key.error()));
    struct stat about;
    if (::fstat(key->get(), &about) != 0) return Ended(failed(errno));
    if (!S_ISREG(about.st_mode)) return Ended(refused(Reason::not_regular));
    return std::move(*key);
}

}  // namespace

Performed open_device(const Task& task, Texts& texts) {
    struct stat about;
    auto found = find_device(task, about);
    if (!found) return std::move(found.error());
    const int flags = (task.writes ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    Fd device(::open(own_path(found->get()).c_str(), flags));
    if (!device) return failed(errno);
    if (!is_tun(about) || task.interface.empty()) return lent_as_asked(task, std::move(device));
    ifreq wanted{};
    if (const auto set = set_interface(device.get(), task.interface, wanted); !set) return failed(set.error());
    auto performed = lent_as_asked(task, std::move(device));
    performed.data = texts.keep({wanted.ifr_name, ::strnlen(wanted.ifr_name, IFNAMSIZ)});
    return performed;
}

Performed read_sysctl(const Task& task, Texts& texts) {
    auto key = find_key(task, O_RDONLY);
    if (!key) return std::move(key.error());
    WARDER_UNINITIALIZED std::array<char, max_read + 1> value;
    const ssize_t size = ::read(key->get(), value.data(), value.size());
    if (size < 0) return failed(errno);
    std::string_view text(value.data(), static_cast<std::size_t>(size));
    if (text.size() > max_read) return failed(EFBIG);
    if (text.ends_with('\n')) text.remove_suffix(1);
    return told(texts, text, text.size());
}

// In one write: the kernel takes a value whole or in the pieces that it is written in.
Performed write_sysctl(const Task& task) {
    auto key = find_key(task, O_WRONLY);
    if (!key) return std::move(key.error());
    const ssize_t size = ::write(key->get(), task.second.data(), task.second.size());
    if (size < 0) return failed(errno);
    return static_cast<std::size_t>(size) == task.second.size() ? Performed{} : failed(EIO);
}

}  // namespace warder::broker
