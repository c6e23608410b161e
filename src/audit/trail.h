// Trail: what is remembered of decisions and events until the sinks have written it, so that nobody's records push out another's.
//
// Everything goes to the common ring, and from there to the common files. States, violations, denied calls and what operators did
// go to a ring and to files of their own besides, which requests cannot fill. A worker that brings more than its part of the
// common files in a day has the rest in a file of its own; of its refusals so many a second are kept one by one, and the rest are
// counted and told of in one record a second. What is not kept is counted, never silent.
//
// push() never waits and never allocates; accounts are opened beforehand.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "audit/record.h"
#include "audit/ring.h"
#include "base/time.h"

namespace warder::audit {

// So many at once, and then so many in a time.
class Bucket {
public:
    bool take(Duration each, Duration ahead, Instant now) {
        const Instant from = std::max(earned_, now);
        if (from + each > now + ahead) return false;
        earned_ = from + each;
        return true;
    }

private:
    Instant earned_{};   // when all that was taken would have been earned
};

class Trail {
public:
    static constexpr std::size_t events_kept = 256;   // places of the ring of events
    static constexpr Duration refusals_each = std::chrono::milliseconds(50);    // of one worker: twenty a second,
    static constexpr Duration refusals_ahead = std::chrono::seconds(10);        // ... and two hundred at once
    static constexpr Duration telling = std::chrono::seconds(1);                // between two records of those only counted
    static constexpr Duration day = std::chrono::hours(24);

    explicit Trail(std::size_t capacity) : common_(capacity), events_(events_kept), accounts_(1) {}

    // Of a worker. Allocates. What is only counted is told of one that was closed as well.
    Account open(std::string_view worker);
    void close(Account account);
    // That of an open one; warderd's own if there is none of that name. Looks at all of them.
    Account account_of(std::string_view worker) const;

    // How many records the common files hold; all accounts together fill them in no less than a day. 0: no bound.
    void set_capacity_of_files(std::uint64_t records) { in_files_ = records; }

    // A record to fill in, all but its `count`; nullptr: it was counted as lost.
    Record* push(Account account, Instant now, std::uint32_t count = 1);
    // For `count` requests that were refused: a record to fill in (of Kind::refusals where they are more than one), or nullptr where
    // they are only counted.
    Record* push_refused(Account account, std::uint32_t count, Instant now);

    // An event: goes to both. What is not a worker's own doing (an operator's) has warderd's account.
    void tell(const Record& record, Account account, Instant now);

    // Puts what was only counted into records. To be called when next_telling() has come.
    void tell_counts(Instant now);
    Instant next_telling() const { return next_telling_; }

    Ring& common() { return common_; }
    Ring& events() { return events_; }
    bool empty() const { return common_.empty() && events_.empty() && counted_ == 0; }
    bool pressing() const { return common_.pressing() || events_.pressing(); }

    // Of the common ring.
    std::size_t size() const { return common_.size(); }
    const Record& at(std::size_t index) const { return common_.at(index); }
    void pop(std::size_t count) { common_.pop(count); }

private:
    struct Counts {
        FixedString<63> worker;
        bool open = false;
        Bucket files;            // of the common ones
        Bucket event_files;
        Bucket refusals;
        Record refused;          // the first of those that are only counted: its count is theirs
        std::uint64_t lost = 0;
        std::uint64_t lost_events = 0;
    };
    static bool has_something(const Counts& counts) {
        return counts.refused.count > 0 || counts.lost > 0 || counts.lost_events > 0;
    }
    Duration each_of_files() const;
    void note(Counts& counts, bool before, Instant now);
    bool tell_counts_of(Account account, Instant now);
    static bool tell_lost(Ring& ring, Counts& counts, std::uint64_t& lost, bool aside);
    bool beyond_files(Account account, Bucket& files, Instant now);

    Ring common_;
    Ring events_;
    std::vector<Counts> accounts_;      // by account; the first is warderd's own
    std::size_t workers_ = 0;           // accounts that are open
    std::uint64_t in_files_ = 0;
    std::size_t counted_ = 0;           // accounts with something to tell
    Instant next_telling_ = Instant::never();
};

}  // namespace warder::audit
