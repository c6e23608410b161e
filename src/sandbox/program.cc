#include "sandbox/program.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "sys/fd.h"

namespace warder::sandbox {
namespace {

// As the kernel: a script's interpreter may be a script, but not for ever.
constexpr int deepest_script = 5;
constexpr int most_links = 16;
constexpr std::size_t head_size = 4096;

Fd open_regular(const std::string& path) {
    Fd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat status;
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    return file;
}

std::string read_at(const Fd& file, std::size_t size, off_t offset) {
    std::string bytes(size, '\0');
    const ssize_t got = ::pread(file.get(), bytes.data(), size, offset);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
}

template <typename T>
bool read_struct(const Fd& file, T& value, off_t offset) {
    return ::pread(file.get(), &value, sizeof value, offset) == static_cast<ssize_t>(sizeof value);
}

// The loader that an ELF program names, or nothing: a static one, or not ELF.
std::string loader_of(const Fd& file) {
    Elf64_Ehdr header;
    if (!read_struct(file, header, 0) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) return {};
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment;
        const auto offset = static_cast<off_t>(header.e_phoff + i * sizeof segment);
        if (!read_struct(file, segment, offset)) return {};
        if (segment.p_type != PT_INTERP || segment.p_filesz > PATH_MAX) continue;
        return std::string(read_at(file, segment.p_filesz, static_cast<off_t>(segment.p_offset)).c_str());
    }
    return {};
}

// "#! /usr/bin/env python3" names /usr/bin/env.
std::string script_interpreter_of(const Fd& file) {
    const std::string head = read_at(file, head_size, 0);
    if (!head.starts_with("#!")) return {};
    const auto first = head.find_first_not_of(" \t", 2);
    if (first == std::string::npos) return {};
    const auto end = head.find_first_of(" \t\n", first);
    return end == std::string::npos ? std::string() : head.substr(first, end - first);
}

std::string next_of(const std::string& path, const std::vector<Bind>& binds) {
    const Fd file = open_regular(host_path(path, binds));
    if (!file) return {};
    std::string script = script_interpreter_of(file);
    return script.empty() ? loader_of(file) : script;
}

std::string link_text(const std::string& path) {
    char text[PATH_MAX];
    const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// The links that stand in for the file itself; those in its directories are the mount tree's.
void follow_links(std::string path, const std::vector<Bind>& binds, Chain& chain) {
    for (int i = 0; i < most_links; ++i) {
        const std::string text = link_text(host_path(path, binds));
        if (text.empty()) return;
        chain.links.push_back({path, text});
        path = text.front() == '/' ? text : directory_of(path) + text;
    }
}

}  // namespace

bool lies_below(const std::string& path, const std::string& directory) {
    if (directory == "/") return true;
    return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

std::string host_path(const std::string& path, const std::vector<Bind>& binds) {
    const Bind* covering = nullptr;
    for (const auto& bind : binds) {
        if (!lies_below(path, bind.target)) continue;
        if (!covering || bind.target.size() > covering->target.size()) covering = &bind;
    }
    return covering ? covering->source + path.substr(covering->target.size()) : path;
}

Chain chain_of(const std::string& program, const std::vector<Bind>& binds) {
    Chain chain;
    std::string path = program;
    for (int depth = 0; depth < deepest_script && path.starts_with('/'); ++depth) {
        chain.files.push_back(path);
        follow_links(path, binds, chain);
        path = next_of(path, binds);
    }
    return chain;
}

}  // namespace warder::sandbox
