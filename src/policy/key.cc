#include "policy/key.h"

#include <algorithm>
#include <array>

namespace warder::policy {
namespace {

bool letter_or_digit(char one) {
    return (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') || (one >= '0' && one <= '9');
}

bool all_of(std::string_view text, std::string_view marks) {
    return std::ranges::all_of(
        text, [&](char one) { return letter_or_digit(one) || marks.find(one) != std::string_view::npos; });
}

bool is_name(std::string_view text, std::string_view marks) {
    return !text.empty() && text.size() <= max_key && text.front() != '-' && all_of(text, marks);
}

// As getpwnam(3) takes it: what has no ':' or newline, and is no option to anybody.
bool is_account(std::string_view text) { return is_name(text, "_.@$+-"); }

// The largest id is (uid_t)-1 less one.
bool is_id(std::string_view text) {
    const bool digits = std::ranges::all_of(text, [](char one) { return one >= '0' && one <= '9'; });
    if (!digits || text.empty() || text.size() > 10 || (text.size() > 1 && text.front() == '0')) return false;
    return text.size() < 10 || text <= "4294967294";
}

bool is_service(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos || text.size() > max_key) return false;
    return is_name(text.substr(0, slash), "_.+-") && is_name(text.substr(slash + 1), "-");
}

struct Form {
    std::string_view prefix;
    Lookup about;
    bool (*is_key)(std::string_view);
};

constexpr std::array<Form, 6> forms{{
    {"user:", Lookup::user, is_account},
    {"uid:", Lookup::user, is_id},
    {"group:", Lookup::group, is_account},
    {"gid:", Lookup::group, is_id},
    {"host:", Lookup::host, is_host_name},
    {"service:", Lookup::service, is_service},
}};

bool separates(char one) { return one == '.' || one == '/'; }

}  // namespace

std::optional<LookupKey> parse_lookup(std::string_view text) {
    for (const Form& form : forms) {
        if (!text.starts_with(form.prefix)) continue;
        const std::string_view key = text.substr(form.prefix.size());
        if (!form.is_key(key)) return std::nullopt;
        return LookupKey{form.about, key};
    }
    return std::nullopt;
}

FixedString<max_key> lower_host(const LookupKey& key) {
    FixedString<max_key> out;
    if (key.about != Lookup::host) return out.append(key.key);
    for (const char one : key.key) out.append(one >= 'A' && one <= 'Z' ? static_cast<char>(one + ('a' - 'A')) : one);
    return out;
}

bool is_sysctl_key(std::string_view key) {
    if (key.empty() || key.size() > max_key || separates(key.front()) || separates(key.back())) return false;
    for (std::size_t i = 1; i < key.size(); ++i) {
        if (separates(key[i]) && separates(key[i - 1])) return false;
    }
    return all_of(key, "_/.-");
}

bool is_sysctl_value(std::string_view value) {
    return value.size() <= max_sysctl_value && value.find_first_of(std::string_view("\n\0", 2)) == std::string_view::npos;
}

}  // namespace warder::policy
