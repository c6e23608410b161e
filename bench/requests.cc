#include "bench/requests.h"

#include <functional>
#include <map>
#include <optional>

#include "bench/cpu_group.h"
#include "bench/floor.h"

namespace warder::bench {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t wide = 64;
constexpr Duration patience = 20s;

// The samples of all rounds, and each round's own median for the ratios: what the machine does to one round, it does to
// both sides of the ratio.
struct Series {
    Samples all;
    std::vector<double> medians;

    void add(const Samples& round, double per = 1) {
        for (const auto sample : round) all.push_back(static_cast<std::uint32_t>(static_cast<double>(sample) / per));
        medians.push_back(percentile(round, 0.5) / per);
    }
};

double ratio(const Series& series, const Series& to) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < series.medians.size() && i < to.medians.size(); ++i) {
        if (to.medians[i] > 0) ratios.push_back(series.medians[i] / to.medians[i]);
    }
    return median(std::move(ratios));
}

using Workers = std::map<std::string, Visitor>;

Result<Workers> expect_workers(const Scratch& scratch, std::size_t count) {
    Workers workers;
    while (workers.size() < count) {
        Visitor visitor = TRY(next_visitor(scratch, patience));
        std::string name = visitor.name;
        workers.insert_or_assign(std::move(name), std::move(visitor));
    }
    return workers;
}

// One open each, in turn: every one of them comes after somebody else's, through the bench's own process.
Result<Samples> in_turn(std::span<Visitor* const> visitors, std::size_t count) {
    Samples samples;
    for (std::size_t i = 0; i < count; ++i) {
        const Samples one = TRY(visitors[i % visitors.size()]->opens(1));
        samples.push_back(one.front());
    }
    return samples;
}

class Requests {
public:
    Requests(const Subject& subject, Workers& workers, Floor& floor, Floor& apart, const std::optional<CpuGroup>& group,
             const Target& target, const Effort& effort)
        : subject_(subject), workers_(workers), floor_(floor), apart_(apart), group_(group), target_(target), effort_(effort) {}

    Result<Section> pinned() {
        place(Place::one_cpu);
        for (std::size_t i = 0; i <= effort_.rounds; ++i) {
            TRY(round());
            if (i == 0) forget();   // the first is to warm up
        }
        return report();
    }

    // Started by hand: each session is a group of the scheduler's, and a worker has one of its own.
    Result<Section> by_hand() {
        place(Place::one_cpu);
        TRY(leave_group());
        Series floor;
        Series apart;
        Series one;
        for (std::size_t i = 0; i <= effort_.rounds; ++i) {
            floor.add(TRY(floor_.opens(effort_.requests)));
            one.add(TRY(worker("one").opens(effort_.requests)));
            apart.add(TRY(apart_.opens(effort_.requests)));
            if (i == 0) floor = apart = one = {};   // to warm up
        }
        Section section{.title = "A brokered open, started by hand, both sides on one CPU",
                        .rows = {}, .notes = {}};
        section.rows.push_back(row("floor: bare broker, in one session", floor.all));
        section.rows.push_back(row("floor: bare broker, in two", apart.all, ratio(apart, floor), "one"));
        section.rows.push_back(row("warderd, 1 grant", one.all, ratio(one, floor), "floor in one"));
        section.rows.push_back(row("warderd, 1 grant", one.all, ratio(one, apart), "floor in two"));
        section.notes.emplace_back("Each session is a group of the scheduler's here (autogroup). A worker has its own, so that one that "
                                   "computes takes no part of the processor from warderd.");
        return section;
    }

    Result<Section> unpinned() {
        place(Place::any_cpu);
        Series floor;
        Series one;
        for (std::size_t i = 0; i < effort_.rounds; ++i) {
            floor.add(TRY(floor_.opens(effort_.requests / 4)));
            one.add(TRY(worker("one").opens(effort_.requests / 4)));
        }
        Section section{.title = "A brokered open, on any CPU", .rows = {}, .notes = {}};
        section.rows.push_back(row("floor: bare broker", floor.all));
        section.rows.push_back(row("warderd, 1 grant", one.all, ratio(one, floor), "floor"));
        section.notes.emplace_back("Here most of the time is the machine's wake-up of another CPU.");
        return section;
    }

private:
    Visitor& worker(const std::string& name) { return workers_.at(name); }

    void place(Place place) {
        floor_.move(place);
        apart_.move(place);
        subject_.move(place);
    }

    // Everybody was forked in it.
    Result<void> leave_group() {
        if (!group_) return {};
        for (const pid_t pid : {pid_t{0}, floor_.pid(), apart_.pid(), subject_.pid(), worker("one").who.pid}) TRY(group_->release(pid));
        return {};
    }

    const char* where_it_ran() const {
        if (group_) return "In a CPU control group, as a service with Delegate=yes is: sessions are no groups of the scheduler's there.";
        return sessions_are_groups() ? "By hand: no CPU control group could be made, and each session is a group of the scheduler's."
                                     : "Sessions are no groups of the scheduler's here.";
    }

    Result<void> round() {
        const std::size_t few = effort_.requests / 4;
        direct_.add(TRY(direct_opens(target_, effort_.requests)));
        floor_series_.add(TRY(floor_.opens(effort_.requests)));
        one_.add(TRY(worker("one").opens(effort_.requests)));
        hundred_.add(TRY(worker("hundred").opens(effort_.requests)));
        thousand_.add(TRY(worker("thousand").opens(effort_.requests)));
        floor_wide_.add(TRY(floor_.batches(effort_.batches, wide)), wide);
        wide_.add(TRY(worker("one").opens(effort_.batches, wide)), wide);
        Visitor* const alone[] = {&worker("one")};
        Visitor* const both[] = {&worker("one"), &worker("other")};
        alone_.add(TRY(in_turn(alone, few)));
        alternating_.add(TRY(in_turn(both, few)));
        return {};
    }

    void forget() {
        for (Series* series : {&direct_, &floor_series_, &one_, &hundred_, &thousand_, &floor_wide_, &wide_, &alone_, &alternating_}) {
            *series = {};
        }
    }

    Section report() const {
        Section section{.title = "A brokered open, both sides on one CPU", .rows = {}, .notes = {}};
        auto& rows = section.rows;
        rows.push_back(row("direct: openat2, fstat, close", direct_.all));
        rows.push_back(row("floor: bare broker", floor_series_.all));
        rows.push_back(row("warderd, 1 grant", one_.all, ratio(one_, floor_series_), "floor"));
        rows.push_back(row("warderd, 100 grants", hundred_.all, ratio(hundred_, one_), "1 grant"));
        rows.push_back(row("warderd, 1,000 grants", thousand_.all, ratio(thousand_, one_), "1 grant"));
        rows.push_back(row("floor: 64 opens in one request, each", floor_wide_.all, ratio(floor_wide_, floor_series_),
                           "single floor"));
        rows.push_back(row("warderd: 64 opens in one request, each", wide_.all, ratio(wide_, one_), "single"));
        rows.push_back(row("warderd, one worker, ordered one by one", alone_.all));
        rows.push_back(row("warderd, two workers of two uids in turn", alternating_.all, ratio(alternating_, alone_),
                           "one worker"));
        section.notes.emplace_back(where_it_ran());
        section.notes.emplace_back("Ratios are the median over the rounds, which alternate between the two sides.");
        return section;
    }

    const Subject& subject_;
    Workers& workers_;
    Floor& floor_;
    Floor& apart_;
    const std::optional<CpuGroup>& group_;
    const Target& target_;
    const Effort& effort_;
    Series direct_, floor_series_, one_, hundred_, thousand_, floor_wide_, wide_, alone_, alternating_;
};

// This process goes into it, so that all that it starts is there.
std::optional<CpuGroup> enter_group() {
    auto made = CpuGroup::make();
    if (!made || !made->take(0)) return std::nullopt;
    return std::move(*made);
}

}  // namespace

Result<std::vector<Section>> request_sections(const Programs& programs, const Effort& effort) {
    const bool by_hand = sessions_are_groups();
    const std::optional<CpuGroup> group = by_hand ? enter_group() : std::nullopt;
    const Scratch scratch = TRY(Scratch::create());
    const std::string config = worker_config(scratch, programs, "one", "", 1) +
                               worker_config(scratch, programs, "hundred", "", 100) +
                               worker_config(scratch, programs, "thousand", "", 1000) +
                               worker_config(scratch, programs, "other", "", 1);
    Subject subject = TRY(Subject::start(scratch, programs, config));
    Workers workers = TRY(expect_workers(scratch, 4));
    const Credentials who = workers.at("one").who;
    const Target target{scratch.site(), "page.html", who.uid, who.gid};
    Floor floor = TRY(Floor::start(target));
    Floor apart = TRY(Floor::start(target, Sessions::one_each));
    Requests requests(subject, workers, floor, apart, group, target, effort);
    std::vector<Section> sections;
    sections.push_back(TRY(requests.pinned()));
    sections.push_back(TRY(requests.unpinned()));
    if (by_hand) sections.push_back(TRY(requests.by_hand()));
    return sections;
}

}  // namespace warder::bench
