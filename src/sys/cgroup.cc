#include "sys/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "base/fixed_string.h"
#include "base/mount_table.h"
#include "sys/files.h"
#include "sys/kernel.h"

namespace warder::cgroup {
namespace {

constexpr std::size_t proc_file_limit = 1 << 20;

std::optional<std::string_view> take_line(std::string_view& text) {
    if (text.empty()) return std::nullopt;
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (!line.empty()) {
        const auto end = line.find(' ');
        if (end != 0) words.push_back(line.substr(0, end));
        line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
    }
    return words;
}

struct Mount {
    std::string root;    // the group that is shown at `point`
    std::string point;
};

// "41 31 0:38 /root /point options [optional...] - cgroup2 source options"
std::optional<Mount> cgroup2_mount(std::string_view line) {
    const auto dash = line.find(" - cgroup2 ");
    const auto words = words_of(line);
    if (dash == std::string_view::npos || words.size() < 5) return std::nullopt;
    return Mount{unescape_mount_word(words[3]), unescape_mount_word(words[4])};
}

// "0::/system.slice/warder.service"
std::optional<std::string> group_in(std::string_view self_cgroup) {
    while (const auto line = take_line(self_cgroup)) {
        if (line->starts_with("0::/")) return std::string(line->substr(3));
    }
    return std::nullopt;
}

// Where `group` is to be found under a mount that shows only what lies below its root.
std::optional<std::string> place_of(const Mount& mount, const std::string& group) {
    if (mount.root == "/") return group == "/" ? mount.point : mount.point + group;
    if (group == mount.root) return mount.point;
    if (!group.starts_with(mount.root + "/")) return std::nullopt;
    return mount.point + group.substr(mount.root.size());
}

bool marked(const std::string& directory, const char* attribute) {
    char value[8];
    const ssize_t size = ::getxattr(directory.c_str(), attribute, value, sizeof value);
    return size == 1 && value[0] == '1';
}

bool belongs_to_us(const std::string& directory) {
    struct stat status;
    return ::geteuid() != 0 && ::stat(directory.c_str(), &status) == 0 && status.st_uid == ::geteuid();
}

Result<Fd> open_at_directory(int directory, const char* name, int flags) {
    Fd fd(::openat(directory, name, flags | O_CLOEXEC));
    if (!fd) return failure("opening a control group's file");
    return fd;
}

Result<void> write_to(int directory, const char* name, std::string_view text) {
    const Fd file = TRY(open_at_directory(directory, name, O_WRONLY));
    if (::write(file.get(), text.data(), text.size()) < 0) return failure("writing to a control group's file");
    return {};
}

using GroupName = FixedString<255>;

Result<GroupName> name_of_group(std::string_view name) {
    GroupName full("w.");
    full.append(name);
    if (name.empty() || name.find('/') != std::string_view::npos || full.truncated()) return failure(EINVAL, "naming a control group");
    return full;
}

Result<void> make_directory(int directory, const char* name) {
    if (::mkdirat(directory, name, 0755) != 0 && errno != EEXIST) return failure("making a control group");
    return {};
}

}  // namespace

Result<std::string> directory_from(std::string_view mountinfo, std::string_view self_cgroup) {
    const auto group = group_in(self_cgroup);
    if (!group) return failure(ENOENT, "finding our control group");
    while (const auto line = take_line(mountinfo)) {
        const auto mount = cgroup2_mount(*line);
        if (!mount) continue;
        if (auto place = place_of(*mount, *group)) return *std::move(place);
    }
    return failure(ENOENT, "finding cgroup v2");
}

Result<std::string> own_directory() {
    const std::string mountinfo = TRY(read_file("/proc/self/mountinfo", proc_file_limit));
    const std::string self_cgroup = TRY(read_file("/proc/self/cgroup", proc_file_limit));
    return directory_from(mountinfo, self_cgroup);
}

Result<std::string> mount_point() {
    const std::string mountinfo = TRY(read_file("/proc/self/mountinfo", proc_file_limit));
    std::string_view rest = mountinfo;
    while (const auto line = take_line(rest)) {
        if (const auto mount = cgroup2_mount(*line)) return mount->point;
    }
    return failure(ENOENT, "finding cgroup v2");
}

// One at a time: the kernel takes all of a line or none of it.
Result<std::string> give_controllers(const std::string& directory, const std::vector<std::string>& controllers) {
    const Fd fd = TRY(open_at_directory(AT_FDCWD, directory.c_str(), O_RDONLY | O_DIRECTORY));
    for (const auto& one : controllers) (void)write_to(fd.get(), "cgroup.subtree_control", "+" + one);
    const std::string given = TRY(read_file(directory + "/cgroup.subtree_control", 1024));
    return given.substr(0, given.find('\n'));
}

std::string tree_above(const std::string& own) {
    constexpr std::string_view last = "/daemon";
    return own.ends_with(last) ? own.substr(0, own.size() - last.size()) : own;
}

bool delegated(const std::string& directory) {
    if (::access("/run/systemd/system", F_OK) != 0) return true;
    return marked(directory, "user.delegate") || marked(directory, "trusted.delegate") || belongs_to_us(directory);
}

Result<Tree> Tree::take(const std::string& directory) {
    Fd fd = TRY(open_at_directory(AT_FDCWD, directory.c_str(), O_RDONLY | O_DIRECTORY));
    if (TRY(file_system_of(fd.get())) != kernel::magic_cgroup2) return failure(ENOTSUP, "taking a directory that is not cgroup v2");
    TRY(make_directory(fd.get(), "daemon"));
    TRY(write_to(fd.get(), "daemon/cgroup.procs", "0"));
    return Tree(directory, std::move(fd));
}

Result<Group> Tree::make(std::string_view name) const {
    const auto full = TRY(name_of_group(name));
    TRY(make_directory(fd_.get(), full.c_str()));
    Fd directory = TRY(open_at_directory(fd_.get(), full.c_str(), O_RDONLY | O_DIRECTORY));
    Fd events = TRY(open_at_directory(directory.get(), "cgroup.events", O_RDONLY));
    return Group{std::move(directory), std::move(events)};
}

Result<void> Tree::remove(std::string_view name) const {
    const auto full = TRY(name_of_group(name));
    if (::unlinkat(fd_.get(), full.c_str(), AT_REMOVEDIR) != 0) return failure("removing a control group");
    return {};
}

Result<void> kill_all(const Group& group) { return write_to(group.directory.get(), "cgroup.kill", "1"); }

Result<void> set_frozen(const Group& group, Freeze freeze) {
    return write_to(group.directory.get(), "cgroup.freeze", freeze == Freeze::freeze ? "1" : "0");
}

void kill_all(const std::string& directory) {
    const Fd file(::open((directory + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
    [[maybe_unused]] const ssize_t size = file ? ::write(file.get(), "1", 1) : 0;
}

bool remove_with_those_below(const std::string& directory) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        if (entry.is_directory(ignored)) ::rmdir(entry.path().c_str());
    }
    return ::rmdir(directory.c_str()) == 0 || errno == ENOENT;
}

Result<bool> populated(const Group& group) {
    char text[256];
    const ssize_t size = ::pread(group.events.get(), text, sizeof text, 0);
    if (size < 0) return failure("reading cgroup.events");
    return std::string_view(text, static_cast<std::size_t>(size)).find("populated 1") != std::string_view::npos;
}

Result<void> move_into(const Group& group, pid_t pid) {
    FixedString<24> text;
    text.append_number(static_cast<std::uint64_t>(pid));
    return write_to(group.directory.get(), "cgroup.procs", text.view());
}

}  // namespace warder::cgroup
