// What is asked for by a key rather than by a path or an address: things to look up, and keys of the kernel. Their forms are
// checked here, strictly and by bytes alone: whoever gets such a text later need not think about what else could be in it.
#pragma once

#include <optional>
#include <string_view>

#include "base/fixed_string.h"
#include "policy/address.h"
#include "policy/grant.h"

namespace warder::policy {

inline constexpr std::size_t max_key = 255;            // bytes of a name to look up, or of a key
inline constexpr std::size_t max_sysctl_value = 4095;  // bytes: the kernel takes a page

// "user:web": what kind of thing, and which. The key points into the text.
struct LookupKey {
    Lookup about{};
    std::string_view key;    // "web", "0", "db.example", "http/tcp"
};

// "user:NAME", "uid:NUMBER", "group:NAME", "gid:NUMBER", "host:NAME", "service:NAME/PROTOCOL". Errors: nullopt.
std::optional<LookupKey> parse_lookup(std::string_view text);

// The key as it is compared with patterns: that of a host in lower case.
FixedString<max_key> lower_host(const LookupKey& key);

// "net.ipv4.ip_forward", "net/ipv4/conf/eth0/forwarding": parts of letters, digits, '_' and '-', with one '.' or '/'
// between each two. There is no empty part, so none is "..", whichever of the two stands for a directory.
bool is_sysctl_key(std::string_view key);

// No newline and no NUL: one value, and not the beginning of another.
bool is_sysctl_value(std::string_view value);

}  // namespace warder::policy
