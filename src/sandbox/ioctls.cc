#include "sandbox/ioctls.h"

#include <algorithm>
#include <array>

namespace warder::sandbox {
namespace {

// Numbers and no headers: some are younger than Debian 12's, and linux/termios.h and termios.h cannot be had together.
constexpr auto harmless = std::to_array<NamedIoctl>({
    {"TCGETS", 0x5401},          {"TCSETS", 0x5402},          {"TCSETSW", 0x5403},         {"TCSETSF", 0x5404},
    {"TCGETA", 0x5405},          {"TCSETA", 0x5406},          {"TCSETAW", 0x5407},         {"TCSETAF", 0x5408},
    {"TCSBRK", 0x5409},          {"TCXONC", 0x540a},          {"TCFLSH", 0x540b},          {"TIOCGPGRP", 0x540f},
    {"TIOCSPGRP", 0x5410},       {"TIOCOUTQ", 0x5411},        {"TIOCGWINSZ", 0x5413},      {"TIOCSWINSZ", 0x5414},
    {"TIOCMGET", 0x5415},        {"TIOCMBIS", 0x5416},        {"TIOCMBIC", 0x5417},        {"TIOCMSET", 0x5418},
    {"FIONREAD", 0x541b},        {"TIOCPKT", 0x5420},         {"FIONBIO", 0x5421},         {"TIOCNOTTY", 0x5422},
    {"TIOCGETD", 0x5424},        {"TCSBRKP", 0x5425},         {"TIOCGSID", 0x5429},        {"TCGETS2", 0x802c542a},
    {"TCSETS2", 0x402c542b},     {"TCSETSW2", 0x402c542c},    {"TCSETSF2", 0x402c542d},    {"TIOCGPTN", 0x80045430},
    {"TIOCSPTLCK", 0x40045431},  {"TIOCGPKT", 0x80045438},    {"TIOCGPTLCK", 0x80045439},  {"TIOCGEXCL", 0x80045440},
    {"TIOCGPTPEER", 0x5441},     {"FIONCLEX", 0x5450},        {"FIOCLEX", 0x5451},         {"FIOASYNC", 0x5452},
    {"FIOQSIZE", 0x5460},        {"FIGETBSZ", 0x2},           {"FS_IOC_GETFLAGS", 0x80086601},
    {"FS_IOC_GETVERSION", 0x80087601},                        {"FS_IOC_FSGETXATTR", 0x801c581f},
    {"RNDGETENTCNT", 0x80045200},
    {"FIOGETOWN", 0x8903},       {"SIOCGPGRP", 0x8904},
    {"SIOCATMARK", 0x8905},      {"SIOCGSTAMP", 0x8906},      {"SIOCGSTAMPNS", 0x8907},    {"SIOCGIFNAME", 0x8910},
    {"SIOCGIFCONF", 0x8912},     {"SIOCGIFFLAGS", 0x8913},    {"SIOCGIFADDR", 0x8915},     {"SIOCGIFBRDADDR", 0x8919},
    {"SIOCGIFNETMASK", 0x891b},  {"SIOCGIFMTU", 0x8921},      {"SIOCGIFHWADDR", 0x8927},   {"SIOCGIFINDEX", 0x8933},
    {"SIOCGIFTXQLEN", 0x8942},
});

constexpr auto of_files = std::to_array<NamedIoctl>({
    {"FS_IOC_SETFLAGS", 0x40086602},
    {"FS_IOC_FSSETXATTR", 0x401c5820},
    {"FS_IOC_FIEMAP", 0xc020660b},
    {"FS_IOC_ENABLE_VERITY", 0x40806685},
    {"FS_IOC_MEASURE_VERITY", 0xc0046686},
    {"FS_IOC_SET_ENCRYPTION_POLICY", 0x800c6613},
    {"FICLONE", 0x40049409},
    {"FICLONERANGE", 0x4020940d},
    {"FIDEDUPERANGE", 0xc0189436},
    {"SECCOMP_IOCTL_NOTIF_RECV", 0xc0502100},
    {"SECCOMP_IOCTL_NOTIF_SEND", 0xc0182101},
    {"SECCOMP_IOCTL_NOTIF_ADDFD", 0x40182103},
});

// 'f' ext2 and all who took its, 'X' xfs, 'v' versions, 0x94 btrfs and the clones, 0xf5 f2fs, 'r' fat, 'n' nilfs2, 'o' ocfs2 and ubifs,
// 0xbc bcachefs.
constexpr std::array<std::uint32_t, 9> types{0x66, 0x58, 0x76, 0x94, 0xf5, 0x72, 0x6e, 0x6f, 0xbc};

const NamedIoctl* find(std::span<const NamedIoctl> table, std::string_view name) {
    const auto found = std::ranges::find(table, name, &NamedIoctl::name);
    return found == table.end() ? nullptr : &*found;
}

}  // namespace

std::span<const NamedIoctl> harmless_ioctls() { return harmless; }

std::span<const std::uint32_t> file_system_types() { return types; }

std::optional<std::uint32_t> ioctl_named(std::string_view name) {
    const NamedIoctl* found = find(of_files, name);
    if (found == nullptr) found = find(harmless, name);
    return found == nullptr ? std::nullopt : std::optional(found->request);
}

std::vector<std::string_view> ioctl_names() {
    std::vector<std::string_view> names;
    for (const auto& one : of_files) names.push_back(one.name);
    return names;
}

}  // namespace warder::sandbox
