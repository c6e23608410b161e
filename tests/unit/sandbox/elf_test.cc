#include "sandbox/elf.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "sandbox/source_root.h"

using namespace warder::sandbox;

namespace {

// Files that tests/fuzz/elf_corpus.py makes.
std::string sample(const std::string& name) {
    std::ifstream file(std::string(WARDER_SOURCE_ROOT) + "/tests/fuzz/corpus/elf/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::optional<elf::File> decoded(const std::string& bytes) {
    return elf::decode([&](std::uint64_t offset, void* to, std::size_t size) {
        if (offset > bytes.size() || size > bytes.size() - offset) return false;
        std::memcpy(to, bytes.data() + offset, size);
        return true;
    });
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("an ELF file says its loader, its libraries and where to look for them") {
    const auto plain = decoded(sample("dynamic"));
    REQUIRE(plain);
    CHECK(plain->machine == 62);
    CHECK(plain->loader == "/lib64/ld.so");
    CHECK(plain->needed == Names{"libc.so.6", "libm.so.6"});
    CHECK(plain->rpath.empty());
    CHECK(decoded(sample("rpath"))->rpath == Names{"$ORIGIN/../lib", "/opt/lib"});
    CHECK(decoded(sample("runpath"))->runpath == Names{"${ORIGIN}", "$LIB", "/a"});
    CHECK(decoded(sample("no-loader"))->loader.empty());
}

TEST_CASE("what is cut short, of another class or points outside of itself names nothing") {
    const std::string whole = sample("dynamic");
    CHECK_FALSE(decoded(whole.substr(0, 63)));
    CHECK_FALSE(decoded("#!/bin/sh\n"));
    std::string other = whole;
    other[4] = 1;   // ELFCLASS32
    CHECK_FALSE(decoded(other));
    for (const std::size_t at : {32U, 54U}) {   // e_phoff, e_phentsize
        std::string broken = whole;
        std::memset(broken.data() + at, 0xff, 2);
        CHECK_FALSE(decoded(broken));
    }
    std::string far = whole;
    std::memset(far.data() + 64 + 2 * 56 + 8, 0xff, 8);   // p_offset of PT_DYNAMIC
    REQUIRE(decoded(far));
    CHECK(decoded(far)->needed.empty());
}

TEST_CASE("the loader's cache gives all that it has of a name, in its order, in the old format too") {
    CHECK(elf::find_in_cache(sample("cache"), "libc.so.6") == Names{"/lib/libc.so.6", "/lib32/libc.so.6"});
    CHECK(elf::find_in_cache(sample("old-cache"), "libc.so.6") == Names{"/lib/libc.so.6"});
    CHECK(elf::find_in_cache(sample("cache"), "libx.so").empty());
    CHECK(elf::find_in_cache(sample("cache").substr(0, 60), "libc.so.6").empty());
    CHECK(elf::find_in_cache("", "libc.so.6").empty());
}

TEST_CASE("only $ORIGIN is known") {
    CHECK(elf::with_origin("$ORIGIN/../lib", "/opt/app") == "/opt/app/../lib");
    CHECK(elf::with_origin("/a/${ORIGIN}", "/b") == "/a//b");
    CHECK(elf::with_origin("/usr/$LIB", "/b").empty());
    CHECK(elf::with_origin("/usr/lib", "/b") == "/usr/lib");
}
