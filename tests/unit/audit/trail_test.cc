#include "audit/trail.h"

#include <doctest/doctest.h>

#include <string>

using namespace warder;
using namespace warder::audit;

namespace {

constexpr Instant start{1'000'000'000'000};

Record event(std::string_view worker, int number = 0) {
    Record record;
    record.kind = Record::Kind::state;
    record.pid = number;
    record.worker.append(worker);
    return record;
}

// Records of one kind in a ring, and what they count.
struct Found {
    std::size_t records = 0;
    std::uint64_t counted = 0;
};
Found found(const Ring& ring, Record::Kind kind) {
    Found found;
    for (std::size_t i = 0; i < ring.size(); ++i) {
        if (ring.at(i).kind != kind) continue;
        ++found.records;
        found.counted += ring.at(i).count;
    }
    return found;
}

void refuse(Trail& trail, Account account, int times, Instant now, std::uint32_t count = 1) {
    for (int i = 0; i < times; ++i) {
        Record* record = trail.push_refused(account, count, now);
        if (record == nullptr) continue;
        record->kind = count > 1 ? Record::Kind::refusals : Record::Kind::request;
        record->reason = Reason::not_granted;
        record->worker.clear();
        record->worker.append("web");
    }
}

}  // namespace

TEST_CASE("T41: refusals beyond so many a second are counted, and told of in one record a second") {
    Trail trail(4096);
    const Account web = trail.open("web");
    refuse(trail, web, 10'000, start);
    const auto one_by_one = found(trail.common(), Record::Kind::request).records;
    CHECK(one_by_one == 200);
    CHECK_FALSE(trail.empty());
    CHECK(trail.next_telling() == start + Trail::telling);
    trail.tell_counts(start + Trail::telling);
    CHECK(found(trail.common(), Record::Kind::refusals).records == 1);
    CHECK(found(trail.common(), Record::Kind::refusals).counted == 10'000 - one_by_one);
    CHECK(trail.at(trail.size() - 1).worker.view() == "web");
    CHECK(trail.at(trail.size() - 1).reason == Reason::not_granted);
    CHECK(trail.next_telling() == Instant::never());
    refuse(trail, web, 1, start + std::chrono::seconds(2));
    CHECK(found(trail.common(), Record::Kind::request).records == one_by_one + 1);
}

TEST_CASE("T41: many requests that are refused for one reason are one record, which counts them") {
    Trail trail(64);
    refuse(trail, trail.open("web"), 1, start, 200);
    CHECK(trail.size() == 1);
    CHECK(found(trail.common(), Record::Kind::refusals).counted == 200);
}

TEST_CASE("T41: another's refusals are kept whatever one worker does") {
    Trail trail(1024);
    const Account flood = trail.open("flood");
    const Account web = trail.open("web");
    refuse(trail, flood, 100'000, start);
    while (trail.push(flood, start) != nullptr) {}
    const std::size_t before = trail.size();
    refuse(trail, web, 20, start);
    CHECK(trail.size() == before + 20);
}

TEST_CASE("T41: what finds no place is counted for its worker, and told when there is one") {
    Trail trail(64);
    const Account web = trail.open("web");
    int kept = 0;
    for (int i = 0; i < 100; ++i) kept += trail.push(web, start) != nullptr ? 1 : 0;
    CHECK(kept == 32);
    trail.pop(trail.size());
    trail.tell_counts(start + Trail::telling);
    REQUIRE(trail.size() == 1);
    CHECK(trail.at(0).kind == Record::Kind::lost);
    CHECK(trail.at(0).worker.view() == "web");
    CHECK(trail.at(0).count == 68);
}

TEST_CASE("T41: nobody fills the common files in less than a day: what is more is set aside") {
    Trail trail(4096);
    trail.set_capacity_of_files(300);   // records: a hundred for each of two workers, and for warderd
    const Account web = trail.open("web");
    const Account db = trail.open("db");
    for (int i = 0; i < 1000; ++i) CHECK(trail.push(web, start) != nullptr);
    std::size_t common = 0;
    for (std::size_t i = 0; i < trail.size(); ++i) common += trail.common().aside(i) ? 0 : 1;
    CHECK(common == 100);
    CHECK(trail.push(db, start) != nullptr);
    CHECK_FALSE(trail.common().aside(trail.size() - 1));
    CHECK(trail.push(web, start + Trail::day) != nullptr);
    CHECK_FALSE(trail.common().aside(trail.size() - 1));
}

TEST_CASE("T41: requests take no place from states, violations and operators' actions") {
    Trail trail(64);
    const Account web = trail.open("web");
    while (trail.push(web, start) != nullptr) {}
    while (trail.push(own_account, start) != nullptr) {}
    trail.tell(event("web", 7), web, start);
    trail.tell(event("", 8), own_account, start);
    REQUIRE(trail.events().size() == 2);
    CHECK(trail.events().at(0).pid == 7);
    CHECK(trail.events().at(1).pid == 8);
}

TEST_CASE("T41: a worker that ends and begins without end leaves the others' events in their files") {
    Trail trail(64);
    trail.set_capacity_of_files(40);
    const Account crasher = trail.open("crasher");
    for (int i = 0; i < 100; ++i) trail.tell(event("crasher"), crasher, start);
    CHECK(trail.events().size() == 20);
    trail.events().pop(20);
    trail.tell_counts(start + Trail::telling);
    REQUIRE(trail.events().size() == 1);
    CHECK(trail.events().at(0).kind == Record::Kind::lost);
    CHECK(trail.events().at(0).count == 80);
}

TEST_CASE("a place is used again, but not while something is to be told of who had it") {
    Trail trail(64);
    const Account web = trail.open("web");
    CHECK(trail.account_of("web") == web);
    refuse(trail, web, 1000, start);
    trail.close(web);
    CHECK(trail.account_of("web") == own_account);
    const Account other = trail.open("other");
    CHECK(other != web);
    trail.pop(trail.size());
    trail.tell_counts(start + Trail::telling);
    CHECK(trail.at(trail.size() - 1).worker.view() == "web");
    CHECK(trail.open("third") == web);
}
