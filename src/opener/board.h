// Board: where an opener puts down how its job ended, in memory that it shares with warderd. warderd looks at the boards at the
// beginning of each turn that it takes anyway, so that telling it costs no message and no wake-up; an opener sends a word only when
// somebody waits for it. Each opener has its own, which no other process has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/error.h"

namespace warder::opener {

class Board {
public:
    static constexpr std::size_t room = 8 * 1024;   // bytes of a report

    Board() = default;   // none
    // Errors: mmap(2).
    static Result<Board> create();
    // Keeps processes that are forked from here on from having it. Errors: madvise(2).
    Result<void> withhold() const;

    // The opener's side. Its report must be no longer than `room`. Says whether a word is awaited.
    bool put(std::uint64_t job, Bytes report) const;

    // warderd's side. Numbers of jobs are never 0.
    bool has(std::uint64_t job) const;
    // Once it has(): a copy, so that what is decoded stays as it is.
    Bytes take(MutableBytes into) const;
    // From now on a word is awaited when this job is over. It may be over already: look.
    void await(std::uint64_t job) const;

private:
    struct Shared;
    struct Unmap {
        void operator()(Shared* shared) const;
    };
    explicit Board(Shared* shared) : shared_(shared) {}
    std::unique_ptr<Shared, Unmap> shared_;
};

}  // namespace warder::opener
