#include "broker/memory_account.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace warder::broker {
namespace {

constexpr std::uint64_t page = 4096;

// As the kernel's shmem_encode_fh() writes it: behind the head the generation, and the inode's number in two halves.
using Words = std::array<std::uint32_t, 3>;

class Handle {
public:
    Handle() { head()->handle_bytes = sizeof(Words); }
    file_handle* head() { return reinterpret_cast<file_handle*>(bytes_.data()); }
    std::byte* words() { return bytes_.data() + sizeof(file_handle); }

private:
    alignas(file_handle) std::array<std::byte, sizeof(file_handle) + sizeof(Words)> bytes_{};
};

// Any file of the kernel's one file system for anonymous memory leads to all that are there.
const Fd& any_memory() {
    static const Fd memory(::memfd_create("warder-memory", MFD_CLOEXEC));
    return memory;
}

}  // namespace

std::uint32_t memory_taken_by(std::uint64_t size) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>((size + page - 1) / page * page + page, 0xffffffffU));
}

void MemoryAccount::made(const MadeMemory& memory) {
    if (entries_.size() == capacity) return;   // no opener makes more than there are places for
    entries_.push_back(memory);
    bytes_ += memory.bytes;
}

// It is looked at before it is needed, so that most asks need not.
MemoryLeft MemoryAccount::left(std::uint64_t most) const {
    if (bytes_ > most / 2 || entries_.size() > capacity / 2) return {most, entries_};
    return {most - bytes_, {}};
}

void MemoryAccount::looked_at(std::size_t count, const Places& there) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (i < count && !there[i]) {
            bytes_ -= entries_[i].bytes;
        } else {
            entries_[kept++] = entries_[i];
        }
    }
    entries_.resize(kept);
}

Result<MadeMemory> name_memory(int memory) {
    Handle handle;
    int mount = 0;
    if (::name_to_handle_at(memory, "", handle.head(), &mount, AT_EMPTY_PATH) != 0) return failure("name_to_handle_at");
    Words words;
    std::memcpy(words.data(), handle.words(), sizeof words);
    return MadeMemory{words[1] | static_cast<std::uint64_t>(words[2]) << 32, words[0], 0};
}

bool is_there(const MadeMemory& memory) {
    constexpr int as_shmem = 1;
    Handle handle;
    handle.head()->handle_type = as_shmem;
    const Words words{memory.generation, static_cast<std::uint32_t>(memory.inode), static_cast<std::uint32_t>(memory.inode >> 32)};
    std::memcpy(handle.words(), words.data(), sizeof words);
    return static_cast<bool>(Fd(::open_by_handle_at(any_memory().get(), handle.head(), O_PATH | O_CLOEXEC)));
}

}  // namespace warder::broker
