#include "supervise/roster.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

namespace warder::supervise {
namespace {

// A thousand deaths at once must not keep the loop from everybody else. Time, not a number: a wake may be a start, or next to nothing.
constexpr Duration share_of_a_turn = std::chrono::milliseconds(2);

std::uint32_t seed_or_random(std::uint32_t seed) {
    if (seed == 0) [[maybe_unused]] const ssize_t size = ::getrandom(&seed, sizeof seed, GRND_NONBLOCK);
    return seed;
}

}  // namespace

Roster::Roster(RosterSettings settings, Poller& poller, Observer& observer)
    : dependencies_{poller, observer, {}, std::minstd_rand(seed_or_random(settings.seed)),
              std::move(settings.runtime_directory), std::move(settings.cgroup_directory), std::move(settings.controllers),
              {settings.spare_sandboxes}} {}

Roster::~Roster() = default;

Result<WorkerId> Roster::add(WorkerSettings settings, Fd output, std::string& why) {
    if (names_.contains(settings.name)) return failure(EEXIST, "adding a worker");
    if (is_leaving(settings.name)) return failure(EBUSY, "adding a worker");   // its group and its NOTIFY_SOCKET are still there
    const WorkerId id{next_id_++};
    auto worker = Worker::create(id, std::move(settings), std::move(output), dependencies_, why);
    names_.emplace(worker->name(), id);
    workers_.emplace(number(id), std::move(worker));
    return id;
}

void Roster::remove(WorkerId id, Instant now) {
    Worker* worker = find(id);
    if (worker == nullptr || std::find(leaving_.begin(), leaving_.end(), id) != leaving_.end()) return;
    const Turn turn(*this);
    names_.erase(worker->name());
    leaving_.push_back(id);
    worker->stop(now);
}

Worker* Roster::find(WorkerId id) {
    const auto found = workers_.find(number(id));
    return found == workers_.end() ? nullptr : found->second.get();
}

Worker* Roster::find(std::string_view name) {
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : find(found->second);
}

bool Roster::is_leaving(std::string_view name) const {
    return std::ranges::any_of(leaving_, [&](WorkerId id) {
        const auto found = workers_.find(number(id));
        return found != workers_.end() && found->second->name() == name;
    });
}

void Roster::start_all(Instant now) {
    const Turn turn(*this);
    for (Worker* worker : by_name()) {
        if (worker->settings().rule.autostart) worker->start(now);
    }
}

void Roster::stop_all(Instant now) {
    const Turn turn(*this);
    for (const auto& [id, worker] : workers_) worker->stop(now);
}

bool Roster::handle(const PollEvent& event, Instant now) {
    if (!is_of_supervise(event.tag.kind)) return false;
    const Turn turn(*this);
    if (Worker* worker = find(WorkerId{event.tag.id})) worker->handle(event, now);
    return true;
}

void Roster::run_due(Instant now) {
    const Turn turn(*this);
    WorkerId id{};
    const Instant began = monotonic_now();
    while (dependencies_.deadlines.take_due(now, id)) {
        if (Worker* worker = find(id)) worker->wake(now);
        if (monotonic_now() - began >= share_of_a_turn) break;
    }
}

bool Roster::everything_stopped() const {
    return std::all_of(workers_.begin(), workers_.end(), [](const auto& one) { return one.second->gone(); });
}

std::vector<Worker*> Roster::by_name() const {
    std::vector<Worker*> workers;
    workers.reserve(names_.size());
    for (const auto& [name, id] : names_) workers.push_back(workers_.at(number(id)).get());
    return workers;
}

std::vector<Snapshot> Roster::snapshots() const {
    std::vector<Snapshot> seen;
    seen.reserve(names_.size());
    for (const Worker* worker : by_name()) seen.push_back(worker->snapshot());
    return seen;
}

bool Roster::is_gone(WorkerId id) {
    const auto found = workers_.find(number(id));
    if (found == workers_.end()) return true;
    Worker& worker = *found->second;
    if (!worker.gone() || worker.busy()) return false;
    dependencies_.observer.removed(worker);
    workers_.erase(found);
    return true;
}

void Roster::sweep() {
    ++turns_;   // an observer that removes another one in the middle of this only adds to the list
    std::vector<WorkerId> leaving = std::exchange(leaving_, {});
    std::erase_if(leaving, [this](WorkerId id) { return is_gone(id); });
    leaving_.insert(leaving_.end(), leaving.begin(), leaving.end());
    --turns_;
}

}  // namespace warder::supervise
