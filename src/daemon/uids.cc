#include "daemon/uids.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "sys/files.h"

namespace warder::daemon {
namespace {

constexpr std::size_t largest_record = 4 << 20;
constexpr uid_t stranger = 65534;

}  // namespace

Result<UidRegistry> UidRegistry::load(std::string path, uid_t first, uid_t last, std::string& fault) {
    UidRegistry registry(std::move(path), first, last);
    const auto text = read_file(registry.path_, largest_record);
    if (!text) {
        if (text.error().number == ENOENT) return registry;
        return Failure(text.error());
    }
    constexpr const char* doing = "reading the record of worker uids";
    if (text->empty()) {
        fault = "is empty, as warderd never leaves it: put back a copy, or remove it, whereupon every worker gets another uid than its "
                "files have";
        return failure(EINVAL, doing);
    }
    std::string_view left = *text;
    for (std::size_t line = 1; !left.empty(); ++line) {
        const std::size_t end = std::min(left.find('\n'), left.size());
        std::string what = end == left.size() ? "is cut off" : "";
        if (!what.empty() || !registry.take_line(left.substr(0, end), what)) {
            fault = "line " + std::to_string(line) + " " + what +
                    ": mend it to \"NAME UID\", or remove it, whereupon that worker gets another uid than its files have";
            return failure(EINVAL, doing);
        }
        left.remove_prefix(end + 1);
    }
    return registry;
}

// One "NAME UID" line. False: not in that form, and how.
bool UidRegistry::take_line(std::string_view line, std::string& fault) {
    const std::size_t space = line.find(' ');
    const bool named = space != std::string_view::npos && space != 0;
    const std::string_view digits = named ? line.substr(space + 1) : std::string_view();
    uid_t uid = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), uid);
    const bool number = !digits.empty() && error == std::errc{} && end == digits.data() + digits.size();
    if (!named || !number) fault = "is not a name and a number";
    else if (uid == 0 || uid == stranger || uid == static_cast<uid_t>(-1)) fault = "has a uid that no worker may have";
    else if (!given_.insert(uid).second) fault = "has a uid that another line has too";
    else if (!numbers_.emplace(std::string(line.substr(0, space)), uid).second) fault = "has a name that another line has too";
    return fault.empty();
}

std::size_t UidRegistry::left() const {
    const auto used = static_cast<std::size_t>(std::distance(given_.lower_bound(first_), given_.upper_bound(last_)));
    return static_cast<std::size_t>(last_ - first_) + 1 - used;
}

std::string UidRegistry::shortage() const {
    const std::size_t all = static_cast<std::size_t>(last_ - first_) + 1;
    const std::size_t free = left();
    if (free * 10 > all) return {};
    const std::string range = std::to_string(first_) + "-" + std::to_string(last_);
    return "uid_range " + range + ": " + std::to_string(free) + " of " + std::to_string(all) +
           " are left, and a name keeps its number when its worker goes; warderctl forget NAME takes back one that is no longer in use (" + path_ +
           " lists them), or widen the range";
}

// The next after all that were given; only when the end of the range is reached, one that a forgotten name had. 0: none.
uid_t UidRegistry::free_number() const {
    const auto after = given_.upper_bound(last_);
    const uid_t highest = after == given_.begin() ? 0 : *std::prev(after);
    if (highest < first_) return first_;
    if (highest < last_) return highest + 1;
    for (uid_t uid = first_; uid < last_; ++uid) {
        if (!given_.contains(uid)) return uid;
    }
    return 0;
}

Result<uid_t> UidRegistry::number_of(const std::string& name) {
    if (const auto found = numbers_.find(name); found != numbers_.end()) return found->second;
    const uid_t uid = free_number();
    if (uid == 0) return failure(ENOSPC, "giving it a uid: \"uid_range\" is used up; warderctl forget NAME takes back that of a name no longer in use, or widen the range");
    numbers_.emplace(name, uid);
    given_.insert(uid);
    if (const auto saved = save(); !saved) {
        numbers_.erase(name);
        given_.erase(uid);
        return Failure(saved.error());
    }
    return uid;
}

Result<uid_t> UidRegistry::forget(const std::string& name) {
    const auto found = numbers_.find(name);
    if (found == numbers_.end()) return failure(ENOENT, "forgetting a worker's uid");
    const uid_t uid = found->second;
    numbers_.erase(found);
    if (const auto saved = save(); !saved) {
        numbers_.emplace(name, uid);
        return Failure(saved.error());
    }
    given_.erase(uid);
    return uid;
}

// An empty record would look like one that was lost.
Result<void> UidRegistry::save() const {
    if (numbers_.empty()) return ::unlink(path_.c_str()) == 0 || errno == ENOENT ? Result<void>() : failure("unlink");
    std::string text;
    for (const auto& [name, uid] : numbers_) text += name + ' ' + std::to_string(uid) + '\n';
    return replace_file(path_, text, 0644);
}

}  // namespace warder::daemon
