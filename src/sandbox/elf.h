// Reading ELF files and the loader's cache, as far as it takes to know which files a program is loaded from. Pure: bytes come from
// whoever asks, and may be hostile, so each offset is held against what is left and each list is bounded. What makes no
// sense is no ELF file, or names nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace warder::sandbox::elf {

// Fills `size` bytes at `to` with those at `offset` of a file, or says that they are not all there.
using Reader = std::function<bool(std::uint64_t offset, void* to, std::size_t size)>;

// At most 256 of each are looked at, and 4095 bytes of each string.
struct File {
    std::uint16_t machine = 0;            // EM_*
    std::string loader;                   // PT_INTERP; empty: none
    std::vector<std::string> needed;      // DT_NEEDED
    std::vector<std::string> rpath;       // directories, with $ORIGIN as it stands there
    std::vector<std::string> runpath;
};

// Of 64 bits and this machine's byte order; others are not told from what is no ELF file at all.
std::optional<File> decode(const Reader& read);

// Where /etc/ld.so.cache has libraries of this name: all that the loader might choose from, in its order. Understands the format
// of glibc 2.2 and later ("glibc-ld.so.cache1.1"), also behind the older one.
std::vector<std::string> find_in_cache(std::string_view cache, std::string_view name);

// "$ORIGIN" and "${ORIGIN}" replaced by the directory that the file lies in. Other words ($LIB, $PLATFORM) are of the loader's own
// making: then empty.
std::string with_origin(std::string_view directory, std::string_view origin);

}  // namespace warder::sandbox::elf
