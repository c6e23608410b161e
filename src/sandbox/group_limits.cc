#include "sandbox/group_limits.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "sys/fd.h"
#include "sys/files.h"
#include "sys/path_walk.h"

namespace warder::sandbox {
namespace {

constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

std::string_view take_word(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
    const std::string_view word = text.substr(0, text.find_first_of(" \n"));
    text.remove_prefix(word.size());
    return word;
}

std::optional<std::uint64_t> number_of(std::string_view word) {
    if (word == "max") return no_limit;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return value;
}

bool at_most(std::string_view seen, std::string_view wanted) {
    const auto there = number_of(seen);
    const auto limit = number_of(wanted);
    return there && limit && *there <= *limit;
}

// "50000 100000": microseconds in each period.
bool at_most_of_time(std::string_view seen, std::string_view wanted) {
    const auto quota = number_of(take_word(seen));
    const auto period = number_of(take_word(seen));
    const auto most = number_of(take_word(wanted));
    const auto of = number_of(take_word(wanted));
    if (!quota || !period || !most || !of || *quota == no_limit) return false;
    return static_cast<long double>(*quota) * static_cast<long double>(*of) <= static_cast<long double>(*most) * static_cast<long double>(*period);
}

// The value of "rbps" in "rbps=1048576 wbps=max"; a key that is not there is not limited.
std::string_view value_of(std::string_view pairs, std::string_view key) {
    for (std::string_view word = take_word(pairs); !word.empty(); word = take_word(pairs)) {
        const std::size_t equals = std::min(word.find('='), word.size());
        if (word.substr(0, equals) == key) return word.substr(std::min(equals + 1, word.size()));
    }
    return "max";
}

bool at_most_of_each(std::string_view seen, std::string_view wanted) {
    for (std::string_view word = take_word(wanted); !word.empty(); word = take_word(wanted)) {
        const std::size_t equals = std::min(word.find('='), word.size());
        const std::string_view limit = word.substr(std::min(equals + 1, word.size()));
        if (!at_most(value_of(seen, word.substr(0, equals)), limit)) return false;
    }
    return true;
}

// "254:0 " in front of what is said of a device; nothing for any other limit.
Result<std::string> device_word(const GroupLimit& limit) {
    if (limit.device.empty()) return std::string();
    const Fd device = TRY(open_to_use(limit.device));
    struct stat status {};
    if (::fstat(device.get(), &status) != 0) return failure("looking at a device");
    if (!S_ISBLK(status.st_mode)) return failure(ENOTBLK, "limiting a device");
    return std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev)) + " ";
}

// The rest of the line that begins so; the only line where it begins with anything.
std::string line_of(std::string_view text, std::string_view begins) {
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        if (line.starts_with(begins)) return std::string(line.substr(begins.size()));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
    return {};
}

}  // namespace

std::string_view controller_of(const GroupLimit& limit) { return std::string_view(limit.file).substr(0, limit.file.find('.')); }

std::string name_of(const GroupLimit& limit) {
    std::string name = limit.file;
    std::ranges::replace(name, '.', '_');
    return limit.device.empty() ? name : name + " of " + limit.device;
}

bool names_controller(std::string_view controllers, std::string_view one) {
    for (std::string_view word = take_word(controllers); !word.empty(); word = take_word(controllers)) {
        if (word == one) return true;
    }
    return false;
}

Result<void> set_limit(int group, const GroupLimit& limit) {
    const std::string text = TRY(device_word(limit)) + limit.value;
    const Fd file(::openat(group, limit.file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return failure("opening a limit of a control group");
    if (::write(file.get(), text.data(), text.size()) < 0) return failure("writing a limit of a control group");
    return {};
}

std::string read_limit(const std::string& group, const GroupLimit& limit) {
    const auto device = device_word(limit);
    const auto text = group.empty() || !device ? Result<std::string>(std::string()) : read_file(group + "/" + limit.file, 64 * 1024);
    return text ? line_of(*text, *device) : std::string();
}

bool as_tight(const GroupLimit& wanted, std::string_view seen) {
    if (seen.empty()) return false;
    if (wanted.file.ends_with(".weight")) return seen == wanted.value;
    if (wanted.file == "cpu.max") return at_most_of_time(seen, wanted.value);
    if (wanted.file == "io.max") return at_most_of_each(seen, wanted.value);
    return at_most(seen, wanted.value);
}

}  // namespace warder::sandbox
