#include "audit/trail.h"

#include <algorithm>
#include <utility>

namespace warder::audit {

// What is still to be told of a worker that is gone keeps its place.
Account Trail::open(std::string_view worker) {
    const auto free_place = std::find_if(accounts_.begin() + 1, accounts_.end(), [&](const Counts& counts) {
        return !counts.open && !has_something(counts);
    });
    const auto account = static_cast<Account>(free_place - accounts_.begin());
    if (free_place == accounts_.end()) accounts_.emplace_back();
    common_.make_room_for(accounts_.size());
    events_.make_room_for(accounts_.size());
    Counts& counts = accounts_[account];
    counts = Counts{};
    counts.worker.append(worker);
    counts.open = true;
    ++workers_;
    return account;
}

void Trail::close(Account account) {
    if (account == own_account || !accounts_[account].open) return;
    accounts_[account].open = false;
    --workers_;
}

Account Trail::account_of(std::string_view worker) const {
    const auto found = std::ranges::find_if(accounts_, [&](const Counts& counts) { return counts.open && counts.worker.view() == worker; });
    return found == accounts_.end() ? own_account : static_cast<Account>(found - accounts_.begin());
}

Duration Trail::each_of_files() const {
    if (in_files_ == 0) return Duration::zero();
    return Duration(day.count() / static_cast<std::int64_t>(std::max<std::uint64_t>(in_files_ / (workers_ + 1), 1)));
}

// `before`: whether there was something to tell already.
void Trail::note(Counts& counts, bool before, Instant now) {
    if (before || !has_something(counts)) return;
    ++counted_;
    next_telling_ = std::min(next_telling_, now + telling);
}

bool Trail::beyond_files(Account account, Bucket& files, Instant now) {
    return account != own_account && in_files_ != 0 && !files.take(each_of_files(), day, now);
}

Record* Trail::push(Account account, Instant now, std::uint32_t count) {
    Counts& counts = accounts_[account];
    Record* record = common_.push(account, beyond_files(account, counts.files, now));
    if (record == nullptr) {
        const bool before = has_something(counts);
        counts.lost += count;
        note(counts, before, now);
        return nullptr;
    }
    record->count = count;
    return record;
}

Record* Trail::push_refused(Account account, std::uint32_t count, Instant now) {
    Counts& counts = accounts_[account];
    if (counts.refused.count == 0 && counts.refusals.take(refusals_each, refusals_ahead, now)) return push(account, now, count);
    const bool before = has_something(counts);
    const bool first = counts.refused.count == 0;
    counts.refused.count += count;
    note(counts, before, now);
    return first ? &counts.refused : nullptr;
}

void Trail::tell(const Record& record, Account account, Instant now) {
    if (Record* common = push(account, now)) *common = record;
    Counts& counts = accounts_[account];
    Record* event = beyond_files(account, counts.event_files, now) ? nullptr : events_.push(account);
    if (event != nullptr) {
        *event = record;
        return;
    }
    const bool before = has_something(counts);
    ++counts.lost_events;
    note(counts, before, now);
}

void Trail::tell_counts(Instant now) {
    next_telling_ = Instant::never();
    if (counted_ == 0) return;
    for (Account account = 0; account < accounts_.size(); ++account) {
        if (has_something(accounts_[account]) && tell_counts_of(account, now)) --counted_;
    }
    if (counted_ > 0) next_telling_ = now + telling;
}

// False: there was no room for all of it. These records have warderd's account: the worker's share may be full, which is what they
// tell.
bool Trail::tell_counts_of(Account account, Instant now) {
    Counts& counts = accounts_[account];
    const bool aside = beyond_files(account, counts.files, now);
    if (counts.refused.count > 0) {
        Record* record = common_.push(own_account, aside);
        if (record == nullptr) return false;
        *record = counts.refused;
        record->kind = Record::Kind::refusals;
        record->wall_clock = wall_clock_now();
        counts.refused.count = 0;
    }
    return tell_lost(common_, counts, counts.lost, aside) && tell_lost(events_, counts, counts.lost_events, false);
}

bool Trail::tell_lost(Ring& ring, Counts& counts, std::uint64_t& lost, bool aside) {
    if (lost == 0) return true;
    Record* record = ring.push(own_account, aside);
    if (record == nullptr) return false;
    *record = Record{};
    record->kind = Record::Kind::lost;
    record->wall_clock = wall_clock_now();
    record->worker = counts.worker;
    record->count = std::exchange(lost, 0);
    return true;
}

}  // namespace warder::audit
