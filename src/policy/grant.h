// Grants: what one worker may ask for. A Grant is a value made from the config; a GrantSet holds all of one worker's and
// finds the one that decides in time that does not grow with their number. This room never touches the world.
#pragma once

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
#include "policy/address.h"

namespace warder::policy {

// What kind of thing a grant is about.
enum class Kind : std::uint8_t {
    file,      // one file: `path`
    tree,      // everything below the directory `path`
    listener,  // `address`
    peer,      // to connect to `address`
    secret,    // the file `path`, read by root, lent as a sealed memfd
};

// With whose credentials an operation is performed (section 5 of the design).
enum class As : std::uint8_t { worker, root };

// Who is to own what the grant names; made at the start of the worker if absent.
enum class Owner : std::uint8_t { nobody_in_particular, worker, root };

struct Grant {
    std::string name;
    Kind kind{};
    bool kind_by_disk = false;              // file or tree was not written: config::resolve() looks at the disk
    Operations rights;
    std::string path;                       // absolute, clean: file, tree, secret
    AddressPattern address;                 // listener, peer
    As as = As::worker;
    Owner owner = Owner::nobody_in_particular;
    std::uint32_t mode = 0;                 // permission bits of what is made; 0: 0640 for files, 0750 for directories
    std::vector<std::string> names;         // tree: patterns for the last component; empty: every name
    bool pin = false;                       // keep the directory held at load even if its name is given to another
    bool cross_mounts = false;              // tree: allow what is mounted below it (off: RESOLVE_NO_XDEV)

    // listener only
    int backlog = 511;                      // connections waiting; the kernel caps it at net.core.somaxconn
    bool reuse_port = false;
    bool v6_only = true;

    std::string origin;                     // "warder.toml:12": where it stands, for sentences and reports
};

// The addresses below one prefix: where grants on ranges are looked up.
struct Prefix {
    Transport transport{};
    Family family{};
    std::uint8_t bits = 0;

    friend bool operator==(const Prefix&, const Prefix&) = default;
};

// The grants of one worker, indexed. Immutable once made; a reload makes another. Looking up allocates nothing.
class GrantSet {
public:
    GrantSet() = default;
    // `worker` is the worker's name, for sentences. Of two grants of one name the first is the one that is found.
    GrantSet(std::string worker, std::vector<Grant> grants);

    GrantSet(GrantSet&&) = default;
    GrantSet& operator=(GrantSet&&) = default;
    GrantSet(const GrantSet&) = delete;
    GrantSet& operator=(const GrantSet&) = delete;

    const std::string& worker() const { return worker_; }
    std::span<const Grant> all() const { return grants_; }
    const Grant& at(GrantId id) const { return grants_[number(id)]; }

    std::optional<GrantId> named(std::string_view name) const;

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
    static std::span<const GrantId> find(const Index& index, std::string_view key);

    std::string worker_;
    std::vector<Grant> grants_;
    std::unordered_map<std::string, GrantId, TextHash, std::equal_to<>> by_name_;
    Index by_path_;
    Index by_address_;
    Index by_network_;
    std::vector<Prefix> prefixes_;
    std::size_t longest_tree_ = 0;
};

}  // namespace warder::policy
