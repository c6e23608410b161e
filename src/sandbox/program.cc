#include "sandbox/program.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <iterator>
#include <sstream>

#include "sandbox/libraries.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace warder::sandbox {
namespace {

// A script's interpreter may be a script, but not for ever.
constexpr std::size_t max_files = 12;
constexpr int max_links = 16;
constexpr std::size_t head_size = 4096;

std::string read_at(const Fd& file, std::size_t size, off_t offset) {
    std::string bytes(size, '\0');
    const ssize_t got = ::pread(file.get(), bytes.data(), size, offset);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
}

bool is_elf(const Fd& file) { return read_at(file, SELFMAG, 0) == ELFMAG; }

// The loader that an ELF program names, or nothing: a static one, or not ELF.
std::string loader_of(const Fd& file) {
    const auto decoded = elf::decode(reader_of(file));
    return decoded ? decoded->loader : std::string();
}

// The words of "#!/usr/bin/env -S python3 -u", or none.
std::vector<std::string> script_line_of(const Fd& file) {
    const std::string head = read_at(file, head_size, 0);
    if (!head.starts_with("#!")) return {};
    std::istringstream line(head.substr(2, head.find('\n') - 2));
    return {std::istream_iterator<std::string>(line), std::istream_iterator<std::string>()};
}

// The program that env would run: its first word that is no option and no assignment.
std::string name_for_env(const std::vector<std::string>& words) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (!words[i].starts_with('-') && words[i].find('=') == std::string::npos) return words[i];
    }
    return {};
}

std::string search_path_of(const std::vector<std::string>& environment) {
    for (const auto& variable : environment) {
        if (variable.starts_with("PATH=")) return variable.substr(5);
    }
    return "/usr/local/bin:/usr/bin:/bin";
}

std::string find_in_path(const std::string& name, const Plan& plan, const MayLook& may) {
    std::istringstream directories(search_path_of(plan.environment));
    for (std::string directory; std::getline(directories, directory, ':');) {
        const std::string path = directory + "/" + name;
        if (directory.starts_with('/') && open_regular(path, plan, may)) return path;
    }
    return {};
}

// What the kernel, or env, runs next when it is told to run `path`.
std::vector<std::string> next_of(const std::string& path, const Plan& plan, const MayLook& may) {
    const Fd file = open_regular(path, plan, may);
    if (!file) return {};
    const auto words = script_line_of(file);
    if (words.empty()) return {loader_of(file)};
    const std::string name = words[0].ends_with("/env") ? name_for_env(words) : std::string();
    if (name.empty() || name.starts_with('/')) return {words[0], name};
    return {words[0], find_in_path(name, plan, may)};
}

std::string link_text(const std::string& path, const MayLook& may) {
    if (may && !may(path)) return {};
    char text[PATH_MAX];
    const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// Through links too: each name of the file is one.
bool ends_here(const std::string& path, const Plan& plan, const MayLook& may) {
    const Fd file = open_regular(path, plan, may);
    return file && is_elf(file) && loader_of(file).empty();
}

// Nothing else is shown below one.
const Overlay* overlay_over(const std::string& path, const Plan& plan) {
    const auto found = std::ranges::find_if(plan.overlays, [&](const Overlay& one) { return lies_below(path, one.target); });
    return found == plan.overlays.end() ? nullptr : &*found;
}

std::string in_layers(const std::string& path, const Overlay& over) {
    const std::string rest = path.substr(over.target.size());
    struct stat status;
    for (const auto& layer : over.lower) {
        if (::lstat((layer + rest).c_str(), &status) == 0) return layer + rest;
    }
    return over.lower.front() + rest;
}

}  // namespace

bool lies_below(const std::string& path, const std::string& directory) {
    if (directory == "/") return true;
    return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

std::string host_path(const std::string& path, const Plan& plan) {
    if (const Overlay* over = overlay_over(path, plan)) return in_layers(path, *over);
    const Bind* covering = nullptr;
    for (const auto& bind : plan.binds) {
        if (!lies_below(path, bind.target)) continue;
        if (!covering || bind.target.size() > covering->target.size()) covering = &bind;
    }
    return covering ? covering->source + path.substr(covering->target.size()) : path;
}

Fd open_regular(const std::string& path, const Plan& plan, const MayLook& may) {
    const std::string there = host_path(path, plan);
    if (may && !may(there)) return {};
    const Fd found(::open(there.c_str(), O_PATH | O_CLOEXEC));   // opening a device may do something
    struct stat status;
    if (!found || ::fstat(found.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    return Fd(::open(own_path(found.get()).c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

elf::Reader reader_of(const Fd& file) {
    return [fd = file.get()](std::uint64_t offset, void* to, std::size_t size) {
        return offset <= INT64_MAX && ::pread(fd, to, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
    };
}

std::string follow_links(std::string path, const Plan& plan, const MayLook& may, std::vector<FollowedLink>& links) {
    for (int i = 0; i < max_links; ++i) {
        const std::string text = link_text(host_path(path, plan), may);
        if (text.empty()) break;
        links.push_back({path, text});
        path = text.front() == '/' ? text : directory_of(path) + text;
    }
    return path;
}

namespace {

// Adds `program` and what it runs with, as far as that is not known yet.
void follow(const std::string& program, const Plan& plan, const MayLook& may, Chain& chain) {
    std::vector<std::string> waiting{program};
    const std::size_t most = chain.files.size() + max_files;
    const auto known = [&chain](const std::string& path) { return std::ranges::find(chain.files, path) != chain.files.end(); };
    while (!waiting.empty() && chain.files.size() < most) {
        const std::string path = std::move(waiting.back());
        waiting.pop_back();
        if (!path.starts_with('/') || known(path)) continue;
        chain.files.push_back(path);
        if (const std::string end = follow_links(path, plan, may, chain.links); end != path && !known(end)) chain.files.push_back(end);
        for (auto& next : next_of(path, plan, may)) waiting.push_back(std::move(next));
    }
}

// A tree is run from as it stands: what lies in it is not looked through. And what the worker may write names nothing that it may run
// the next time.
bool may_be_followed(const Bind& bind, const Plan& plan, const MayLook& may) {
    const Fd file = open_regular(bind.target, plan, may);
    struct stat about;
    if (!file || ::fstat(file.get(), &about) != 0) return false;
    const bool own = about.st_uid == plan.uid && plan.uid != 0 && !plan.without_root;
    const bool open_to_all = (about.st_mode & S_IWOTH) != 0;
    return !own && !open_to_all && std::ranges::none_of(plan.binds, [&](const Bind& one) { return one.writable && lies_below(bind.target, one.target); });
}

}  // namespace

Chain chain_of_program(const Plan& plan, const MayLook& may) {
    Chain chain;
    follow(plan.program, plan, may, chain);
    std::ranges::copy_if(chain.files, std::back_inserter(chain.ends), [&](const auto& file) { return ends_here(file, plan, may); });
    return chain;
}

Chain chain_of(const Plan& plan, const MayLook& may) {
    Chain chain = chain_of_program(plan, may);
    for (const auto& bind : plan.binds) {
        if (bind.execute && may_be_followed(bind, plan, may)) follow(bind.target, plan, may, chain);
    }
    if (plan.root == Root::minimal) add_libraries(plan, may, chain);
    return chain;
}

}  // namespace warder::sandbox
