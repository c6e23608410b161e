// Board: where an opener puts down how its job goes, in memory that it shares with warderd. warderd looks at the boards at the
// beginning of each turn that it takes anyway, so that telling it costs no message and no wake-up; an opener sends a word only when
// somebody waits for it. Each opener has its own, which no other process has.
//
// A job is *open* from when warderd gives it. The opener *claims* it with its results just before it answers the worker, so that
// they stand here whatever becomes of it after that; then it is *answered*, or *unanswered* when the worker does not take it. Or
// warderd *withdraws* it first, and then no answer is sent. Only one of the two can be: a worker has one answer, and the record
// says what it was. When nothing of the job is open any more in the opener it is *over*.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/error.h"

namespace warder::opener {

class Board {
public:
    static constexpr std::size_t room = 12 * 1024;   // bytes of a report

    Board() = default;   // none
    // Errors: mmap(2).
    static Result<Board> create();
    // Keeps processes that are forked from here on from having it. Errors: madvise(2).
    Result<void> withhold() const;

    // The opener's side; reports are no longer than `room`.
    bool is_open(std::uint64_t job) const;
    // False: it was withdrawn, and nothing may be sent.
    bool claim(std::uint64_t job, Bytes report) const;
    // It was not sent after all: as if it had not been claimed.
    void unclaim(std::uint64_t job) const;
    void answered(std::uint64_t job) const;
    // After the last try: `report` says what is true without an answer.
    void unanswered(std::uint64_t job, Bytes report) const;
    // Says whether a word is awaited. `spent`: nanoseconds that it took.
    bool over(std::uint64_t job, std::uint64_t spent) const;

    // warderd's side. Numbers of jobs are never 0.
    void open(std::uint64_t job) const;
    // True: its opener has not answered, and never will.
    bool withdraw(std::uint64_t job) const;
    // Whether its results are here for good: answered or unanswered.
    bool has(std::uint64_t job) const;
    bool is_unanswered(std::uint64_t job) const;
    bool is_over(std::uint64_t job) const;
    std::uint64_t spent() const;   // of what is over
    // Once it has(), or its opener is dead and it cannot be withdrawn: a copy, so that what is decoded stays as it is.
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
