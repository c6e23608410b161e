// Any bytes as an ELF file and as a loader's cache. What comes out is bounded, holds no NUL byte, and stood in the bytes.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/elf.h"

namespace {

using namespace warder::sandbox;

void must(bool holds) {
    if (!holds) std::abort();
}

void check(const std::vector<std::string>& found, std::string_view bytes) {
    must(found.size() <= 256);
    for (const auto& one : found) {
        must(!one.empty() && one.size() <= 4096 && one.find('\0') == one.npos);
        must(bytes.find(one) != bytes.npos);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto file = elf::decode([&](std::uint64_t offset, void* to, std::size_t wanted) {
        if (offset > bytes.size() || wanted > bytes.size() - offset) return false;
        if (wanted != 0) std::memcpy(to, bytes.data() + offset, wanted);
        return true;
    });
    if (file) {
        check(file->needed, bytes);
        check(file->rpath, bytes);
        check(file->runpath, bytes);
        must(file->loader.find('\0') == std::string::npos);
        for (const auto& one : file->runpath) must(one.starts_with('$') || elf::with_origin(one, "/o").size() <= one.size() * 2);
    }
    const auto cached = elf::find_in_cache(bytes, "libc.so.6");
    check(cached, bytes);
    for (const auto& path : cached) must(path.starts_with('/'));
    return 0;
}
