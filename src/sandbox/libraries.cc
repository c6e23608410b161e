#include "sandbox/libraries.h"

#include <elf.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "sandbox/elf.h"
#include "sys/files.h"

namespace warder::sandbox {
namespace {

constexpr std::size_t max_libraries = 512;
constexpr std::size_t max_cache = 16 << 20;

// Built into loaders, after all else: Debian's, and everybody's.
std::vector<std::string> last_directories(std::uint16_t machine) {
    std::vector<std::string> directories;
    const std::string triplet = machine == EM_X86_64 ? "x86_64-linux-gnu" : machine == EM_AARCH64 ? "aarch64-linux-gnu" : "";
    if (!triplet.empty()) directories = {"/lib/" + triplet, "/usr/lib/" + triplet};
    for (const char* one : {"/lib64", "/usr/lib64", "/lib", "/usr/lib"}) directories.emplace_back(one);
    return directories;
}

std::vector<std::string> library_path_of(const std::vector<std::string>& environment) {
    constexpr std::string_view name = "LD_LIBRARY_PATH=";
    std::vector<std::string> directories;
    for (const auto& variable : environment) {
        if (!variable.starts_with(name)) continue;
        std::istringstream words(variable.substr(name.size()));
        for (std::string word; std::getline(words, word, ':');) directories.push_back(word);
    }
    return directories;
}

class Collector {
public:
    Collector(const Plan& plan, const MayLook& may, Chain& chain)
        : plan_(plan), may_(may), chain_(chain), cache_(read_file("/etc/ld.so.cache", max_cache).value_or("")),
          library_path_(library_path_of(plan.environment)) {}

    void run() {
        for (const auto& file : chain_.files) waiting_.push_back({file, {}});
        while (!waiting_.empty() && chain_.libraries.size() < max_libraries) {
            const Object object = std::move(waiting_.back());
            waiting_.pop_back();
            look_at_needs(object);
        }
    }

private:
    struct Object {
        std::string path;
        std::vector<std::string> inherited;   // RPATH of those that brought it
    };

    std::optional<elf::File> decode(const std::string& path) const {
        const Fd file = open_regular(path, plan_, may_);
        return file ? elf::decode(reader_of(file)) : std::nullopt;
    }

    void look_at_needs(const Object& object) {
        const auto file = decode(object.path);
        if (!file) return;
        const std::string origin = object.path.substr(0, object.path.rfind('/'));
        std::vector<std::string> rpath = file->runpath.empty() ? expanded(file->rpath, origin) : std::vector<std::string>();
        rpath.insert(rpath.end(), object.inherited.begin(), object.inherited.end());
        std::vector<std::string> directories = file->runpath.empty() ? rpath : std::vector<std::string>();
        for (const auto& more : {expanded(library_path_, origin), expanded(file->runpath, origin)}) {
            directories.insert(directories.end(), more.begin(), more.end());
        }
        for (const auto& name : file->needed) {
            for (const auto& path : find(name, directories, file->machine)) add(path, rpath);
        }
    }

    static std::vector<std::string> expanded(const std::vector<std::string>& directories, const std::string& origin) {
        std::vector<std::string> all;
        for (const auto& one : directories) all.push_back(elf::with_origin(one, origin));
        std::erase_if(all, [](const auto& one) { return !one.starts_with('/'); });
        return all;
    }

    // One path, or of the cache all that the loader may choose from by what the processor can do.
    std::vector<std::string> find(const std::string& name, const std::vector<std::string>& directories, std::uint16_t machine) const {
        if (name.find('/') != std::string::npos) return fits(name, machine) ? std::vector{name} : std::vector<std::string>();
        for (const auto& path : below(directories, name)) {
            if (fits(path, machine)) return {path};
        }
        auto cached = elf::find_in_cache(cache_, name);
        std::erase_if(cached, [&](const auto& path) { return !fits(path, machine); });
        if (!cached.empty()) return cached;
        for (const auto& path : below(last_directories(machine), name)) {
            if (fits(path, machine)) return {path};
        }
        return {};
    }

    static std::vector<std::string> below(const std::vector<std::string>& directories, const std::string& name) {
        std::vector<std::string> paths;
        for (const auto& one : directories) paths.push_back(std::filesystem::path(one + "/" + name).lexically_normal().string());
        return paths;
    }

    bool fits(const std::string& path, std::uint16_t machine) const {
        const auto file = path.starts_with('/') ? decode(path) : std::nullopt;
        return file && file->machine == machine;
    }

    void add(const std::string& path, const std::vector<std::string>& inherited) {
        if (chain_.libraries.size() >= max_libraries || !known_.insert(path).second) return;
        const std::string end = follow_links(path, plan_, may_, chain_.links);
        chain_.libraries.push_back(path);
        if (end != path && known_.insert(end).second) chain_.libraries.push_back(end);
        waiting_.push_back({path, inherited});
    }

    const Plan& plan_;
    const MayLook& may_;
    Chain& chain_;
    const std::string cache_;
    const std::vector<std::string> library_path_;
    std::vector<Object> waiting_;
    std::set<std::string> known_;
};

}  // namespace

void add_libraries(const Plan& plan, const MayLook& may, Chain& chain) { Collector(plan, may, chain).run(); }

}  // namespace warder::sandbox
