#include "opener/board.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>

namespace warder::opener {

// Both sides first say what they have to say and then look at what the other has said, in one order that both see: so a job that
// ends while warderd begins to wait for it is noticed by at least one of them.
struct Board::Shared {
    std::atomic<std::uint64_t> done;      // the job whose report this is
    std::atomic<std::uint64_t> awaited;   // the job whose end is waited for
    std::uint32_t size;
    std::array<std::byte, room> report;
};

void Board::Unmap::operator()(Shared* shared) const { ::munmap(shared, sizeof *shared); }

Result<Board> Board::create() {
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return failure("mmap");
    return Board(new (memory) Shared);   // zeroes, as the kernel gives them
}

Result<void> Board::withhold() const {
    if (::madvise(shared_.get(), sizeof(Shared), MADV_DONTFORK) != 0) return failure("madvise");
    return {};
}

bool Board::put(std::uint64_t job, Bytes report) const {
    shared_->size = static_cast<std::uint32_t>(std::min(report.size(), room));
    std::copy_n(report.begin(), shared_->size, shared_->report.begin());
    shared_->done.store(job);
    return shared_->awaited.load() == job;
}

bool Board::has(std::uint64_t job) const { return shared_->done.load() == job; }

Bytes Board::take(MutableBytes into) const {
    const std::size_t size = std::min({std::size_t{shared_->size}, room, into.size()});
    std::copy_n(shared_->report.begin(), size, into.begin());
    return into.first(size);
}

void Board::await(std::uint64_t job) const { shared_->awaited.store(job); }

}  // namespace warder::opener
