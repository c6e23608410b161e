#include "broker/knowledge.h"

#include <algorithm>

#include "base/fixed_string.h"

namespace warder::broker {
namespace {

// The library's resolver does not tell how long an answer holds; short enough to follow a change, long enough for a burst.
constexpr Duration keep_found = std::chrono::seconds(10);
constexpr Duration keep_absent = std::chrono::seconds(1);

// Line number `index`, or empty.
std::string_view line_at(std::string_view data, std::size_t index) {
    for (; !data.empty(); --index) {
        const auto end = std::min(data.find('\n'), data.size());
        if (index == 0) return data.substr(0, end);
        data.remove_prefix(std::min(end + 1, data.size()));
    }
    return {};
}

}  // namespace

const Knowledge::Entry* Knowledge::find(std::string_view key, Instant now) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return nullptr;
    if (found->second.until > now) return &found->second;
    entries_.erase(found);
    return nullptr;
}

bool Knowledge::make_room(Instant now) {
    if (entries_.size() < capacity) return true;
    std::erase_if(entries_, [&](const auto& entry) { return entry.second.until <= now; });
    if (entries_.size() < capacity) return true;
    const auto known = std::ranges::find_if(entries_, [](const auto& entry) { return entry.second.known; });
    if (known == entries_.end()) return false;
    entries_.erase(known);
    return true;
}

std::uint64_t Knowledge::one_too_many_of(WorkerId asker) const {
    const auto found = open_.find(asker);
    return found != open_.end() && found->second.size() >= open_of_each ? found->second.back() : 0;
}

void Knowledge::close(const Entry& entry) {
    const auto found = open_.find(entry.asker);
    if (found != open_.end() && std::erase(found->second, entry.query) > 0 && found->second.empty()) open_.erase(found);
}

std::uint64_t Knowledge::asked(std::string_view key, WorkerId asker, Instant now) {
    if (key.size() > max_key || !make_room(now)) return 0;
    Entry entry;
    entry.query = next_++;
    entry.asker = asker;
    open_[asker].push_back(entry.query);
    entries_[std::string(key)] = entry;
    return entry.query;
}

void Knowledge::forget(std::uint64_t query) {
    std::erase_if(entries_, [&](const auto& entry) {
        if (entry.second.query != query || entry.second.known) return false;
        close(entry.second);
        return true;
    });
}

bool Knowledge::learn(std::uint64_t query, int error, std::string_view data, Instant now) {
    for (auto& [key, entry] : entries_) {
        if (entry.query != query || entry.known) continue;
        close(entry);
        entry.known = true;
        entry.error = error;
        entry.data = data;
        entry.until = now + (error == 0 ? keep_found : keep_absent);
        return true;
    }
    return false;
}

void Knowledge::for_each_open(const std::function<void(std::uint64_t, std::string_view)>& visit) const {
    for (const auto& [key, entry] : entries_) {
        if (!entry.known) visit(entry.query, key);
    }
}

namespace {

std::optional<policy::Address> address_at(std::string_view data, std::size_t index, const policy::Address& wanted) {
    const std::string_view ip = line_at(data, index);
    if (ip.empty() || ip.find_first_not_of("0123456789abcdef:.") != std::string_view::npos) return std::nullopt;
    const bool v6 = ip.find(':') != std::string_view::npos;
    FixedString<120> text(policy::name_of(wanted.transport));
    text.append(v6 ? ":[" : ":").append(ip).append(v6 ? "]:" : ":").append_number(wanted.port);
    return text.truncated() ? std::nullopt : policy::parse_address(text.view());
}

}  // namespace

std::optional<policy::Address> address_in(std::string_view data, std::size_t index, const policy::Address& wanted, Reach reach) {
    for (std::size_t line = 0; !line_at(data, line).empty(); ++line) {
        const auto address = address_at(data, line, wanted);
        const bool counts = reach == Reach::anywhere || (address && !policy::is_private(address->family, address->ip));
        if (counts && index-- == 0) return address;
    }
    return std::nullopt;
}

}  // namespace warder::broker
