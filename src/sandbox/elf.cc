#include "sandbox/elf.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

namespace warder::sandbox::elf {
namespace {

constexpr std::size_t max_segments = 128;
constexpr std::size_t max_entries = 4096;
constexpr std::size_t max_strings = 256;
constexpr std::size_t max_text = 4095;

// ---- ELF ----

class Decoder {
public:
    explicit Decoder(const Reader& read) : read_(read) {}

    std::optional<File> run() {
        if (!read_header() || !read_segments()) return std::nullopt;
        read_loader();
        read_dynamic();
        return std::move(file_);
    }

private:
    bool read_header();
    bool read_segments();
    void read_loader();
    void read_dynamic();
    void note(const Elf64_Dyn& entry);
    void resolve();
    std::optional<std::uint64_t> offset_of(std::uint64_t address, std::uint64_t size) const;
    std::optional<std::string> text_at(std::uint64_t offset, std::uint64_t room) const;
    std::optional<std::string> named(std::uint64_t index) const;
    std::vector<std::string> directories(const std::vector<std::uint64_t>& indices) const;

    const Reader& read_;
    File file_;
    Elf64_Ehdr header_{};
    std::vector<Elf64_Phdr> segments_;
    std::uint64_t strings_at_ = 0;     // in the file
    std::uint64_t strings_address_ = 0;
    std::uint64_t strings_size_ = 0;
    std::vector<std::uint64_t> needed_, rpath_, runpath_;   // indices into the strings
};

bool Decoder::read_header() {
    if (!read_(0, &header_, sizeof header_) || std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0) return false;
    constexpr unsigned char order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != order) return false;
    file_.machine = header_.e_machine;
    return true;
}

bool Decoder::read_segments() {
    if (header_.e_phnum > max_segments || (header_.e_phnum != 0 && header_.e_phentsize != sizeof(Elf64_Phdr))) return false;
    segments_.resize(header_.e_phnum);
    const std::size_t size = segments_.size() * sizeof(Elf64_Phdr);
    return size == 0 || read_(header_.e_phoff, segments_.data(), size);
}

void Decoder::read_loader() {
    const auto found = std::ranges::find(segments_, std::uint32_t{PT_INTERP}, &Elf64_Phdr::p_type);
    if (found != segments_.end()) file_.loader = text_at(found->p_offset, found->p_filesz).value_or("");
}

void Decoder::read_dynamic() {
    const auto found = std::ranges::find(segments_, std::uint32_t{PT_DYNAMIC}, &Elf64_Phdr::p_type);
    if (found == segments_.end()) return;
    const std::uint64_t count = std::min<std::uint64_t>(found->p_filesz / sizeof(Elf64_Dyn), max_entries);
    for (std::uint64_t i = 0; i < count; ++i) {
        Elf64_Dyn entry;
        std::uint64_t offset = 0;
        if (__builtin_add_overflow(found->p_offset, i * sizeof entry, &offset) || !read_(offset, &entry, sizeof entry)) return;
        if (entry.d_tag == DT_NULL) break;
        note(entry);
    }
    resolve();
}

void Decoder::note(const Elf64_Dyn& entry) {
    const auto add = [&](std::vector<std::uint64_t>& to) {
        if (to.size() < max_strings) to.push_back(entry.d_un.d_val);
    };
    switch (entry.d_tag) {
        case DT_NEEDED: return add(needed_);
        case DT_RPATH: return add(rpath_);
        case DT_RUNPATH: return add(runpath_);
        case DT_STRTAB: strings_address_ = entry.d_un.d_ptr; return;
        case DT_STRSZ: strings_size_ = entry.d_un.d_val; return;
        default: return;
    }
}

void Decoder::resolve() {
    const auto at = offset_of(strings_address_, strings_size_);
    if (!at) return;
    strings_at_ = *at;
    for (const auto index : needed_) {
        if (auto name = named(index); name && !name->empty()) file_.needed.push_back(std::move(*name));
    }
    file_.rpath = directories(rpath_);
    file_.runpath = directories(runpath_);
}

// The table holds addresses as they will be in memory; a loaded segment says where in the file that is.
std::optional<std::uint64_t> Decoder::offset_of(std::uint64_t address, std::uint64_t size) const {
    for (const auto& segment : segments_) {
        if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
        const std::uint64_t within = address - segment.p_vaddr;
        std::uint64_t offset = 0;
        if (within > segment.p_filesz || size > segment.p_filesz - within) continue;
        if (!__builtin_add_overflow(segment.p_offset, within, &offset)) return offset;
    }
    return std::nullopt;
}

// Ends with a NUL byte before `room` is over.
std::optional<std::string> Decoder::text_at(std::uint64_t offset, std::uint64_t room) const {
    std::string text;
    char piece[64];
    while (text.size() < room && text.size() <= max_text) {
        std::uint64_t at = 0;
        const std::size_t size = std::min<std::uint64_t>(room - text.size(), sizeof piece);
        if (__builtin_add_overflow(offset, text.size(), &at) || !read_(at, piece, size)) return std::nullopt;
        const void* end = std::memchr(piece, '\0', size);
        if (end == nullptr) text.append(piece, size);
        else return text.append(piece, static_cast<std::size_t>(static_cast<const char*>(end) - piece));
    }
    return std::nullopt;
}

std::optional<std::string> Decoder::named(std::uint64_t index) const {
    std::uint64_t offset = 0;
    if (index >= strings_size_ || __builtin_add_overflow(strings_at_, index, &offset)) return std::nullopt;
    return text_at(offset, strings_size_ - index);
}

std::vector<std::string> Decoder::directories(const std::vector<std::uint64_t>& indices) const {
    std::vector<std::string> all;
    for (const auto index : indices) {
        const std::string text = named(index).value_or("");
        for (std::size_t at = 0; at < text.size() && all.size() < max_strings;) {
            const std::size_t end = std::min(text.find(':', at), text.size());
            if (end > at) all.push_back(text.substr(at, end - at));
            at = end + 1;
        }
    }
    return all;
}

// ---- The loader's cache ----

constexpr std::string_view old_magic = "ld.so-1.7.0";
constexpr std::string_view new_magic = "glibc-ld.so.cache1.1";

struct OldHead {
    char magic[11];
    std::uint32_t count;
};
constexpr std::size_t old_entry_size = 12;

struct CacheHead {
    char magic[20];
    std::uint32_t count;
    std::uint32_t strings_size;
    std::uint32_t unused[5];
};
static_assert(sizeof(CacheHead) == 48);

struct CacheEntry {
    std::int32_t flags;
    std::uint32_t name;    // from the beginning of the head
    std::uint32_t path;
    std::uint32_t os;
    std::uint64_t hardware;
};

// Where the newer format begins, which may stand behind the older one, as its strings.
std::string_view newer_part(std::string_view cache) {
    OldHead head;
    if (cache.starts_with(old_magic) && cache.size() >= sizeof head) {
        std::memcpy(&head, cache.data(), sizeof head);
        const std::uint64_t end = sizeof head + std::uint64_t{head.count} * old_entry_size;
        const std::uint64_t aligned = (end + 7) / 8 * 8;
        cache = aligned <= cache.size() ? cache.substr(aligned) : std::string_view();
    }
    return cache.starts_with(new_magic) && cache.size() >= sizeof(CacheHead) ? cache : std::string_view();
}

std::optional<std::string_view> text_in(std::string_view cache, std::uint32_t offset) {
    if (offset >= cache.size()) return std::nullopt;
    const std::string_view rest = cache.substr(offset, max_text + 1);
    const std::size_t end = rest.find('\0');
    return end == rest.npos ? std::nullopt : std::optional(rest.substr(0, end));
}

}  // namespace

std::optional<File> decode(const Reader& read) { return Decoder(read).run(); }

std::vector<std::string> find_in_cache(std::string_view cache, std::string_view name) {
    const std::string_view part = newer_part(cache);
    std::vector<std::string> paths;
    if (part.empty()) return paths;
    CacheHead head;
    std::memcpy(&head, part.data(), sizeof head);
    const std::size_t count = std::min<std::size_t>(head.count, (part.size() - sizeof head) / sizeof(CacheEntry));
    for (std::size_t i = 0; i < count && paths.size() < max_strings; ++i) {
        CacheEntry entry;
        std::memcpy(&entry, part.data() + sizeof head + i * sizeof entry, sizeof entry);
        if (text_in(part, entry.name) != name) continue;
        if (const auto path = text_in(part, entry.path); path && path->starts_with('/')) paths.emplace_back(*path);
    }
    return paths;
}

std::string with_origin(std::string_view directory, std::string_view origin) {
    std::string text;
    while (!directory.empty()) {
        const std::size_t dollar = std::min(directory.find('$'), directory.size());
        text += directory.substr(0, dollar);
        directory.remove_prefix(dollar);
        if (directory.empty()) break;
        const std::string_view word = directory.starts_with("${ORIGIN}") ? "${ORIGIN}" : "$ORIGIN";
        if (!directory.starts_with(word)) return {};
        text += origin;
        directory.remove_prefix(word.size());
    }
    return text;
}

}  // namespace warder::sandbox::elf
