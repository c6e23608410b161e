#include "sys/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace warder::landlock {
namespace {

struct RulesetAttributes {
    std::uint64_t files;
    std::uint64_t net;       // ABI 4
    std::uint64_t scoped;    // ABI 6
};

struct [[gnu::packed]] PathBeneath {
    std::uint64_t allowed;
    std::int32_t parent;
};

struct NetPort {
    std::uint64_t allowed;
    std::uint64_t port;
};

constexpr unsigned version_flag = 1;
constexpr unsigned errata_flag = 2;
constexpr int rule_path_beneath = 1;
constexpr int rule_net_port = 2;

// A kernel refuses a longer structure unless what it does not know is zero; this is as short as can be.
std::size_t size_of(const Handled& handled) {
    if (handled.scoped != 0) return sizeof(RulesetAttributes);
    if (handled.net != 0) return offsetof(RulesetAttributes, scoped);
    return offsetof(RulesetAttributes, net);
}

}  // namespace

int abi() {
    const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, version_flag);
    return version < 0 ? 0 : static_cast<int>(version);
}

unsigned errata() {
    const long bits = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, errata_flag);
    return bits < 0 ? 0 : static_cast<unsigned>(bits);
}

Handled all_of(int abi) {
    Handled handled;
    if (abi >= 1) handled.files = refer - 1;
    if (abi >= 2) handled.files |= refer;
    if (abi >= 3) handled.files |= truncate;
    if (abi >= 4) handled.net = bind_tcp | connect_tcp;
    if (abi >= 5) handled.files |= ioctl_dev;
    if (abi >= 6) handled.scoped = scope_abstract_unix_socket | scope_signal;
    if (abi >= 9) handled.files |= resolve_unix;
    return handled;
}

int create_ruleset(const Handled& handled) {
    const RulesetAttributes attributes{handled.files, handled.net, handled.scoped};
    const long fd = ::syscall(SYS_landlock_create_ruleset, &attributes, size_of(handled), 0);
    return fd < 0 ? -errno : static_cast<int>(fd);
}

// What it is, the kernel has in memory: no server is asked (fstat(2) would).
int allow_beneath(int ruleset, int fd, std::uint64_t rights) {
    struct statx about;
    if (::statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &about) != 0) return errno;
    const PathBeneath rule{S_ISDIR(about.stx_mode) ? rights : rights & file_rights, fd};
    if (rule.allowed == 0) return 0;
    return ::syscall(SYS_landlock_add_rule, ruleset, rule_path_beneath, &rule, 0) == 0 ? 0 : errno;
}

int allow_port(int ruleset, std::uint16_t port, std::uint64_t rights) {
    const NetPort rule{rights, port};
    return ::syscall(SYS_landlock_add_rule, ruleset, rule_net_port, &rule, 0) == 0 ? 0 : errno;
}

int restrict_self(int ruleset) { return ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : errno; }

}  // namespace warder::landlock
