#include "policy/grant.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace warder::policy {
namespace {

// Texts of one alphabet and keys of another: the first byte of the one is a letter, of the other a small number.
using NetworkKey = std::array<char, 19>;
using HostKey = FixedString<max_host_name + 4>;

NetworkKey network_key(const Prefix& prefix, const std::array<std::uint8_t, 16>& ip) {
    NetworkKey key{static_cast<char>(prefix.transport), static_cast<char>(prefix.family),
                   static_cast<char>(prefix.bits)};
    const auto network = masked(ip, prefix.bits);
    std::copy(network.begin(), network.end(), key.begin() + 3);
    return key;
}

std::string_view text_of(const NetworkKey& key) { return {key.data(), key.size()}; }

Prefix prefix_of(const AddressPattern& pattern) { return {pattern.transport, pattern.family, pattern.prefix_bits}; }

// Ranges of ports of one host.
HostKey host_key(Transport transport, std::string_view host) {
    HostKey key(name_of(transport));
    for (const char one : host) key.append(one >= 'A' && one <= 'Z' ? static_cast<char>(one + ('a' - 'A')) : one);
    return key;
}

}  // namespace

std::string_view name_of(Kind kind) {
    switch (kind) {
        case Kind::file: return "file";
        case Kind::tree: return "tree";
        case Kind::listener: return "listener";
        case Kind::peer: return "peer";
        case Kind::secret: return "secret";
        case Kind::raw: return "raw";
        case Kind::packet: return "packet";
        case Kind::netlink: return "netlink";
        case Kind::device: return "device";
        case Kind::channel: return "channel";
        case Kind::lookup: return "lookup";
        case Kind::sysctl: return "sysctl";
        case Kind::command: return "command";
        case Kind::worker: return "worker";
        case Kind::syslog: return "syslog";
        case Kind::store: return "store";
    }
    return "unknown";
}

GrantSet::GrantSet(std::string worker, std::vector<Grant> grants)
    : worker_(std::move(worker)), grants_(std::move(grants)) {
    for (std::uint32_t i = 0; i < grants_.size(); ++i) index(static_cast<GrantId>(i));
    sort_prefixes();
}

// The longest first.
void GrantSet::sort_prefixes() { std::ranges::sort(prefixes_, std::ranges::greater{}, &Prefix::bits); }

void GrantSet::index(GrantId id) {
    const Grant& grant = at(id);
    by_name_.try_emplace(grant.name, id);
    by_kind_[static_cast<std::size_t>(grant.kind)].push_back(id);
    switch (grant.kind) {
        case Kind::tree:
            longest_tree_ = std::max(longest_tree_, grant.path.size());
            [[fallthrough]];
        case Kind::file:
        case Kind::secret:
        case Kind::device:
            by_path_[grant.path].push_back(id);
            return;
        case Kind::listener:
        case Kind::peer:
            index_address(id);
            return;
        default:
            return;   // asked for by name, or found by kind
    }
}

// Where those with this address are looked for.
std::vector<GrantId>& GrantSet::found_by(const AddressPattern& pattern) {
    if (pattern.single()) return by_address_[std::string(format(pattern.address()).view())];
    if (pattern.family == Family::host) return by_network_[std::string(host_key(pattern.transport, pattern.name).view())];
    return by_network_[std::string(text_of(network_key(prefix_of(pattern), pattern.ip)))];
}

// In the order of the config.
void GrantSet::index_address(GrantId id) {
    const AddressPattern& pattern = at(id).address;
    auto& ids = found_by(pattern);
    ids.insert(std::ranges::upper_bound(ids, id), id);
    if (pattern.single()) return;
    if (std::ranges::find(prefixes_, prefix_of(pattern)) == prefixes_.end()) prefixes_.push_back(prefix_of(pattern));
}

// A prefix without grants stays: it costs a look.
void GrantSet::forget_address(GrantId id) { std::erase(found_by(at(id).address), id); }

void GrantSet::narrow(GrantId id, Grant smaller) {
    Grant& grant = grants_[number(id)];
    assert(smaller.name == grant.name && smaller.kind == grant.kind && smaller.path == grant.path);
    const bool elsewhere = smaller.address != grant.address;
    if (elsewhere) forget_address(id);
    grant = std::move(smaller);
    if (!elsewhere) return;
    index_address(id);
    sort_prefixes();
}

std::optional<GrantId> GrantSet::named(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

std::span<const GrantId> GrantSet::on_path(std::string_view path) const { return find(by_path_, path); }

std::span<const GrantId> GrantSet::on_address(std::string_view canonical) const { return find(by_address_, canonical); }

std::span<const GrantId> GrantSet::on_network(const Prefix& prefix, const Address& address) const {
    if (prefix.transport != address.transport || prefix.family != address.family) return {};
    if (prefix.family == Family::host) return find(by_network_, host_key(prefix.transport, address.name).view());
    return find(by_network_, text_of(network_key(prefix, address.ip)));
}

std::span<const GrantId> GrantSet::find(const Index& index, std::string_view key) {
    const auto found = index.find(key);
    return found == index.end() ? std::span<const GrantId>{} : std::span<const GrantId>(found->second);
}

}  // namespace warder::policy
