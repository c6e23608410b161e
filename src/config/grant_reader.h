// The readers of one grant, a kind each. What all of them need is a GrantDraft; which of them reads a table is decided by the
// one key that says what the grant is about.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/section.h"
#include "policy/grant.h"

namespace warder::config {

struct GrantDraft {
    Section& section;
    const Node& target;      // the value of the key that says what the grant is about
    Operation operation{};   // of files and sockets: what that key is called
    policy::Grant& grant;

    Complaints& complaints() { return section.complaints(); }
    std::string key() const { return target.key; }
    // Whether the target is of this kind; complains otherwise.
    bool is(Node::Kind kind, std::string_view instead = {});
    // Whether the target is a text without NUL; complains otherwise.
    bool is_text();
    void refuse(std::string what, std::string suggestion = {});
};

// Each answers whether what the grant is about could be read at all: if not, nothing is said about its options.
bool read_files(GrantDraft& draft);       // read, write, append, create, stat, access, readlink, list, watch
bool read_secret(GrantDraft& draft);
bool read_device(GrantDraft& draft);
bool read_listener(GrantDraft& draft);
bool read_peer(GrantDraft& draft);
bool read_raw(GrantDraft& draft);
bool read_packet(GrantDraft& draft);
bool read_netlink(GrantDraft& draft);
bool read_syslog(GrantDraft& draft);
bool read_channel(GrantDraft& draft);
bool read_store(GrantDraft& draft);
bool read_signal(GrantDraft& draft);
bool read_restart_right(GrantDraft& draft);
bool read_lookup(GrantDraft& draft);
bool read_sysctl(GrantDraft& draft);
bool read_run(GrantDraft& draft);

// A number that has names, such as a protocol's.
struct NamedNumber {
    std::string_view name;
    std::uint32_t number;
};

// By name, or as a number ("0x88cc" too) from `least` to `most`; nothing, with a complaint, for anything else.
std::optional<std::uint32_t> named_number(GrantDraft& draft, std::span<const NamedNumber> names, std::uint32_t least,
                                          std::uint32_t most);

// The name of a network interface: up to 15 bytes that are no space and no '/'.
void take_interface(GrantDraft& draft);

// Whether the target names a worker; into `peer`.
bool take_peer(GrantDraft& draft);

}  // namespace warder::config
