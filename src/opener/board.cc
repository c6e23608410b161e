#include "opener/board.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>

namespace warder::opener {

namespace {

enum Stage : std::uint64_t { opened, claimed, answered_stage, unanswered_stage, withdrawn };

// The job and how far it is, in one word.
constexpr std::uint64_t at(std::uint64_t job, Stage stage) { return job << 3 | stage; }

}  // namespace

// Both sides first say what they have to say and then look at what the other has said, in one order that both see: so a job that
// ends while warderd begins to wait for it is noticed by at least one of them.
struct Board::Shared {
    std::atomic<std::uint64_t> stage;     // of the latest job
    std::atomic<std::uint64_t> over;      // the job of which nothing is open any more
    std::atomic<std::uint64_t> awaited;   // the job whose end is waited for
    std::uint64_t spent;
    std::uint32_t size;
    std::array<std::byte, room> report;

    void put(Bytes text) {
        size = static_cast<std::uint32_t>(std::min(text.size(), room));
        std::copy_n(text.begin(), size, report.begin());
    }
    bool step(std::uint64_t job, Stage from, Stage to) {
        std::uint64_t expected = at(job, from);
        return stage.compare_exchange_strong(expected, at(job, to));
    }
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

void Board::open(std::uint64_t job) const { shared_->stage.store(at(job, opened)); }

bool Board::is_open(std::uint64_t job) const { return shared_->stage.load() == at(job, opened); }

// Nobody reads the report before it is claimed, nor writes it after.
bool Board::claim(std::uint64_t job, Bytes report) const {
    if (!is_open(job)) return false;
    shared_->put(report);
    return shared_->step(job, opened, claimed);
}

void Board::unclaim(std::uint64_t job) const { shared_->step(job, claimed, opened); }

void Board::answered(std::uint64_t job) const { shared_->step(job, claimed, answered_stage); }

void Board::unanswered(std::uint64_t job, Bytes report) const {
    if (claim(job, report)) shared_->step(job, claimed, unanswered_stage);
}

bool Board::over(std::uint64_t job, std::uint64_t spent) const {
    shared_->spent = spent;
    shared_->over.store(job);
    return shared_->awaited.load() == job;
}

bool Board::withdraw(std::uint64_t job) const { return shared_->step(job, opened, withdrawn); }

bool Board::has(std::uint64_t job) const { return shared_->stage.load() == at(job, answered_stage) || is_unanswered(job); }

bool Board::is_unanswered(std::uint64_t job) const { return shared_->stage.load() == at(job, unanswered_stage); }

bool Board::is_over(std::uint64_t job) const { return shared_->over.load() == job; }

std::uint64_t Board::spent() const { return shared_->spent; }

Bytes Board::take(MutableBytes into) const {
    const std::size_t size = std::min({std::size_t{shared_->size}, room, into.size()});
    std::copy_n(shared_->report.begin(), size, into.begin());
    return into.first(size);
}

void Board::await(std::uint64_t job) const { shared_->awaited.store(job); }

}  // namespace warder::opener
