// Memory that was made for a worker: lists and secrets, which are the kernel's as long as anybody holds them and charged to warderd's
// own group. Each is remembered by what finds it again if it is still there (open_by_handle_at(2)) and does not keep it there.
// warderd asks nobody: an opener that is about to make more looks first which are gone.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "sys/fd.h"

namespace warder::broker {

struct MadeMemory {
    std::uint64_t inode = 0;
    std::uint32_t generation = 0;
    std::uint32_t bytes = 0;          // with what the kernel needs for it
};

// What may still be made for a worker. With something to look at it is what may be there in all, and what is there takes from it.
struct MemoryLeft {
    std::uint64_t bytes = 0;
    std::span<const MadeMemory> to_look_at;
};

// As bytes are counted: whole pages, and one for what else there is.
std::uint32_t memory_taken_by(std::uint64_t size);

class MemoryAccount {
public:
    static constexpr std::size_t capacity = 512;   // of one worker at once
    using Places = std::bitset<capacity>;

    void made(const MadeMemory& memory);
    // Of the first `count`, as they were when somebody looked, those not among `there` are gone.
    void looked_at(std::size_t count, const Places& there);

    std::uint64_t bytes() const { return bytes_; }
    // Where `most` bytes are allowed.
    MemoryLeft left(std::uint64_t most) const;

private:
    std::vector<MadeMemory> entries_;
    std::uint64_t bytes_ = 0;
};

// The name of an anonymous file. Errors: name_to_handle_at(2).
Result<MadeMemory> name_memory(int memory);
// Whether it is still there. Where that cannot be known, which takes CAP_DAC_READ_SEARCH, it is taken to be gone: without root all
// memory is the one user's anyway.
bool is_there(const MadeMemory& memory);

}  // namespace warder::broker
