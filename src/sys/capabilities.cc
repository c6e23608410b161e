#include "sys/capabilities.h"

#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

namespace warder::capabilities {
namespace {

constexpr int most = 64;

Set of_prctl(int option, int argument_before, bool has_argument_before) {
    Set set = 0;
    for (int capability = 0; capability < most; ++capability) {
        const long there = has_argument_before ? ::prctl(option, argument_before, capability, 0, 0) : ::prctl(option, capability, 0, 0, 0);
        if (there < 0) break;
        if (there == 1) set |= bit(capability);
    }
    return set;
}

Set bounding_set() { return of_prctl(PR_CAPBSET_READ, 0, false); }
Set ambient_set() { return of_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, true); }

Set joined(std::uint32_t low, std::uint32_t high) { return Set{high} << 32 | low; }

Result<void> drop_from_bounding(Set kept) {
    const Set present = bounding_set();
    for (int capability = 0; capability < most; ++capability) {
        if ((present & ~kept & bit(capability)) == 0) continue;
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return failure("prctl(PR_CAPBSET_DROP)");
    }
    return {};
}

// The kernel's own call: libcap's would set more than these.
Result<void> set_all(Set permitted) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    for (int half = 0; half < 2; ++half) {
        data[half].effective = data[half].permitted = static_cast<std::uint32_t>(permitted >> (32 * half));
    }
    if (::syscall(SYS_capset, &header, data) != 0) return failure("capset");
    return {};
}

std::string in_capitals(std::string_view name) {
    std::string text(name);
    for (auto& letter : text) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    return text;
}

}  // namespace

std::string name_of(int capability) {
    char* name = ::cap_to_name(static_cast<cap_value_t>(capability));
    if (name == nullptr) return "capability " + std::to_string(capability);
    std::string text = in_capitals(name);
    ::cap_free(name);
    return text.starts_with("CAP_") ? text : "capability " + text;
}

std::optional<int> named(std::string_view name) {
    std::string text = in_capitals(name);
    if (!text.starts_with("CAP_")) text = "CAP_" + text;
    cap_value_t value = 0;
    if (::cap_from_name(text.c_str(), &value) != 0) return std::nullopt;
    return value;
}

std::vector<std::string> names_of(Set set) {
    std::vector<std::string> names;
    for (int capability = 0; capability < most; ++capability) {
        if ((set & bit(capability)) != 0) names.push_back(name_of(capability));
    }
    return names;
}

std::string in_words(Set set) {
    if (set == 0) return "none";
    std::string words;
    for (const auto& name : names_of(set)) words += (words.empty() ? "" : " ") + name;
    return words;
}

Set all() {
    Set set = 0;
    for (int capability = 0; capability < most && ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
        set |= bit(capability);
    }
    return set;
}

Result<Held> held() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    if (::syscall(SYS_capget, &header, data) != 0) return failure("capget");
    return Held{.effective = joined(data[0].effective, data[1].effective),
                .permitted = joined(data[0].permitted, data[1].permitted),
                .inheritable = joined(data[0].inheritable, data[1].inheritable),
                .bounding = bounding_set(),
                .ambient = ambient_set()};
}

// The bounding set first: dropping from it takes CAP_SETPCAP.
Result<void> keep_only(Set kept) {
    const Held now = TRY(held());
    TRY(drop_from_bounding(kept));
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return failure("prctl(PR_CAP_AMBIENT)");
    return set_all(now.permitted & kept);
}

}  // namespace warder::capabilities
