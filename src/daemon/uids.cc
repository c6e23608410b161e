#include "daemon/uids.h"

#include <algorithm>
#include <charconv>

#include "sys/files.h"

namespace warder::daemon {
namespace {

constexpr std::size_t largest_record = 1 << 20;

// One "NAME UID" line. False: not in that form.
bool take_line(std::string_view line, std::map<std::string, uid_t>& numbers) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || space == 0) return false;
    const std::string_view digits = line.substr(space + 1);
    uid_t uid = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), uid);
    if (error != std::errc{} || end != digits.data() + digits.size() || uid == 0) return false;
    const bool taken = std::ranges::any_of(numbers, [&](const auto& entry) { return entry.second == uid; });
    return !taken && numbers.emplace(std::string(line.substr(0, space)), uid).second;
}

}  // namespace

Result<UidRegistry> UidRegistry::load(std::string path, uid_t first, uid_t last) {
    UidRegistry registry(std::move(path), first, last);
    const auto text = read_file(registry.path_, largest_record);
    if (!text) {
        if (text.error().number == ENOENT) return registry;
        return Failure(text.error());
    }
    std::string_view left = *text;
    while (!left.empty()) {
        const std::size_t end = left.find('\n');
        if (end == std::string_view::npos || !take_line(left.substr(0, end), registry.numbers_)) {
            return failure(EINVAL, "reading the record of worker uids");
        }
        left.remove_prefix(end + 1);
    }
    return registry;
}

Result<uid_t> UidRegistry::number_of(const std::string& name) {
    if (const auto found = numbers_.find(name); found != numbers_.end()) return found->second;
    for (uid_t uid = first_; uid <= last_; ++uid) {
        const bool taken = std::ranges::any_of(numbers_, [&](const auto& entry) { return entry.second == uid; });
        if (taken) continue;
        numbers_.emplace(name, uid);
        if (const auto saved = save(); !saved) {
            numbers_.erase(name);
            return Failure(saved.error());
        }
        return uid;
    }
    return failure(ENOSPC, "giving a worker a uid: the range is used up");
}

Result<void> UidRegistry::save() const {
    std::string text;
    for (const auto& [name, uid] : numbers_) text += name + ' ' + std::to_string(uid) + '\n';
    return replace_file(path_, text, 0644);
}

}  // namespace warder::daemon
