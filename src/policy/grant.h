// Grants: what one worker may ask for. A Grant is a value made from the config; a GrantSet holds all of one worker's and
// finds the one that decides in time that does not grow with their number. This module never touches the world.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/operation.h"
#include "base/time.h"
#include "policy/address.h"

namespace warder::policy {

// What kind of thing a grant is about.
enum class Kind : std::uint8_t {
    file,      // one file: `path`
    tree,      // everything below the directory `path`
    listener,  // `address`
    peer,      // to connect to `address`
    secret,    // the file `path`, read by root, lent as a sealed memfd
    raw,       // raw sockets of IP `protocol`, of IPv4 or (address.family) IPv6
    packet,    // packet sockets of ethertype `protocol` on `interface`, empty: all
    netlink,   // netlink sockets of `protocol`
    device,    // the device `path`; tun and tap: `interface` is made or taken
    channel,   // one end of a socketpair, the other is the worker `peer`'s
    lookup,    // what `lookups` names: users, groups, hosts, services; `names` patterns on what is asked for
    sysctl,    // keys that match one of `names`, below /proc/sys
    command,   // `command` is run
    worker,    // signal or restart of the worker `peer`
    syslog,    // a socket connected to the system's log at `path`
    store,     // descriptors kept for the worker over its lives, by the descriptor store
};

inline constexpr std::size_t kind_count = 16;

// As operators and workers are told it: "tree".
std::string_view name_of(Kind kind);

// What may be looked up: bits.
enum class Lookup : std::uint8_t { user = 1, group = 2, host = 4, service = 8 };

// One argument of a command: a literal, or a placeholder that the request fills with a value of its type.
enum class Placeholder : std::uint8_t {
    none,      // `text` as it is
    word,      // [A-Za-z0-9_.,:@%+-]+, not beginning with '-', at most 255 bytes, neither "." nor ".."
    number,    // decimal, without sign, at most 18 digits
    path,      // a clean absolute path at or below `text`
    choice,    // one of the words of `text`, which are separated by '|'
};

struct Word {
    std::string before;   // literal text that the value follows in the same argument: "--name="
    Placeholder placeholder = Placeholder::none;
    std::string text;     // none: the literal; path: the directory; choice: the words
    std::string name;     // of the placeholder, for sentences
    friend bool operator==(const Word&, const Word&) = default;
};

struct Command {
    std::vector<Word> words;        // the first is the program: a literal, absolute
    std::string user;               // a name; empty: root
    std::uint32_t uid = 0;          // of `user`, found at load
    std::uint32_t gid = 0;
    bool in = false;                // a pipe to its standard input is lent; otherwise it is /dev/null
    bool out = true;                // pipes from its standard output and error
    bool err = true;
    Duration timeout = std::chrono::seconds(60);   // then it is killed
    std::uint32_t max_concurrent = 4;      // running at the same time, of this grant
    friend bool operator==(const Command&, const Command&) = default;
};

// How much and how long: beyond what a grant is about.
struct Shape {
    std::uint32_t uses = 0;         // in one life of the worker; 0: as often as it likes
    bool until_ready = false;       // only until the worker has said that it is ready
    std::uint32_t per_second = 0;   // successes, with as many in one burst; 0: the worker's quota alone counts
    friend bool operator==(const Shape&, const Shape&) = default;
};

// With whose credentials an operation is performed (section 5 of the design).
enum class As : std::uint8_t { worker, root };

// Who is to own what the grant names; made at the start of the worker if absent.
enum class Owner : std::uint8_t { unset, worker, root };

struct Grant {
    std::string name;
    Kind kind{};
    Operations rights;
    std::string path;                       // absolute, clean: file, tree, secret
    AddressPattern address;                 // listener, peer
    As as = As::worker;
    Owner owner = Owner::unset;
    std::uint32_t mode = 0;                 // permission bits of what is made; 0: 0640 for files, 0750 for directories
    std::vector<std::string> names;         // tree: patterns for the last component; empty: every name. sysctl, lookup: of keys
    bool pin = false;                       // keep the directory held at load even if its name is given to another
    bool cross_mounts = false;              // tree: allow what is mounted below it (off: RESOLVE_NO_XDEV)

    // listener only
    int backlog = 511;                      // connections waiting; the kernel caps it at net.core.somaxconn
    bool reuse_port = false;
    bool v6_only = true;

    bool private_addresses = false;         // peer by name: also addresses of this machine and of private networks

    std::uint32_t protocol = 0;             // raw, packet, netlink: the kernel's number
    std::string interface;                  // packet, device
    std::string peer;                       // channel, worker: another worker's name
    std::uint8_t lookups = 0;               // lookup: Lookup bits
    std::uint64_t signals = 0;              // worker: bit n allows signal n
    bool writes = false;                    // device: opened for reading and writing
    bool carries_fds = false;               // channel: the two may pass descriptors
    bool stream = false;                    // channel: SOCK_STREAM; otherwise SOCK_SEQPACKET
    std::uint32_t most = 0;                 // store: descriptors kept at once
    Command command;
    Shape shape;

    // What the worker took away itself (policy/narrow.h); empty in a config.
    std::string within;                     // tree: only at or below this absolute path
    std::vector<std::string> every_name;    // each of these patterns must match the name or key as well
    bool narrowed = false;

    std::string origin;                     // "warder.toml:12": where it stands, for sentences and reports

    friend bool operator==(const Grant&, const Grant&) = default;
};

// The addresses below one prefix: where grants on ranges are looked up.
struct Prefix {
    Transport transport{};
    Family family{};
    std::uint8_t bits = 0;

    friend bool operator==(const Prefix&, const Prefix&) = default;
};

// The grants of one worker, indexed. A reload makes another; a narrowing replaces one of its grants. Looking up allocates nothing.
class GrantSet {
public:
    GrantSet() = default;
    // `worker` is the worker's name, for sentences. Of two grants of one name the first is the one that is found.
    GrantSet(std::string worker, std::vector<Grant> grants);

    GrantSet(GrantSet&&) = default;
    GrantSet& operator=(GrantSet&&) = default;
    GrantSet(const GrantSet&) = delete;
    GrantSet& operator=(const GrantSet&) = delete;

    // Puts a smaller one in the place of grant `id`: its name, kind and path stay what they were. The others are not touched,
    // so it costs the same however many there are.
    void narrow(GrantId id, Grant smaller);

    const std::string& worker() const { return worker_; }
    std::span<const Grant> all() const { return grants_; }
    const Grant& at(GrantId id) const { return grants_[number(id)]; }

    std::optional<GrantId> named(std::string_view name) const;

    // Grants of one kind, in the order of the config: for those that have neither a path nor an address to be found by.
    std::span<const GrantId> of_kind(Kind kind) const { return by_kind_[static_cast<std::size_t>(kind)]; }

    // Grants whose own path is exactly `path`, in the order of the config.
    std::span<const GrantId> on_path(std::string_view path) const;
    // No tree's own path is longer, in bytes: what is longer needs no look. It bounds the cost of a request for a path of
    // two thousand components.
    std::size_t longest_tree() const { return longest_tree_; }

    // Grants on exactly this single address.
    std::span<const GrantId> on_address(std::string_view canonical) const;
    // Prefixes of which there are grants on ranges, the longest first, and the grants on that of `address`: their ports
    // still have to be compared.
    std::span<const Prefix> prefixes() const { return prefixes_; }
    std::span<const GrantId> on_network(const Prefix& prefix, const Address& address) const;

private:
    // Found by a string_view, so that no std::string is made on the request path.
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    using Index = std::unordered_map<std::string, std::vector<GrantId>, TextHash, std::equal_to<>>;

    void index(GrantId id);
    void index_address(GrantId id);
    void forget_address(GrantId id);
    void sort_prefixes();
    std::vector<GrantId>& found_by(const AddressPattern& pattern);
    static std::span<const GrantId> find(const Index& index, std::string_view key);

    std::string worker_;
    std::vector<Grant> grants_;
    std::unordered_map<std::string, GrantId, TextHash, std::equal_to<>> by_name_;
    std::array<std::vector<GrantId>, kind_count> by_kind_;
    Index by_path_;
    Index by_address_;
    Index by_network_;
    std::vector<Prefix> prefixes_;
    std::size_t longest_tree_ = 0;
};

}  // namespace warder::policy
