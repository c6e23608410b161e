// Grants: what one worker may ask for. A Grant is a value made from the config; a GrantSet holds all of one worker's and
// finds the one that decides in time that does not grow with their number. This room never touches the world.
#pragma once

#include <cstdint>
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

// The grants of one worker, indexed. Immutable once made; a reload makes another.
class GrantSet {
public:
    GrantSet() = default;
    // `worker` is the worker's name, for sentences.
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
    // Grants on exactly this single address.
    std::span<const GrantId> on_address(std::string_view canonical) const;
    // Grants to connect to ranges of addresses.
    std::span<const GrantId> on_ranges() const { return ranges_; }

private:
    std::string worker_;
    std::vector<Grant> grants_;
    // Keys point into grants_ and keys_, whose elements never move once this is made.
    std::unordered_map<std::string_view, GrantId> by_name_;
    std::unordered_map<std::string_view, std::vector<GrantId>> by_path_;
    std::unordered_map<std::string, std::vector<GrantId>> by_address_;
    std::vector<GrantId> ranges_;
};

}  // namespace warder::policy
