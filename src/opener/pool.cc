#include "opener/pool.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "opener/process.h"
#include "sys/poll_kind.h"

namespace warder::opener {
namespace {

// How long warderd may be without a turn until it wants to know how a job ended that nobody waits for.
constexpr Duration unhurried = std::chrono::milliseconds(20);

// ... and how often while somebody waits for it: what is over is told by a word, what is answered and cannot be closed is not.
constexpr Duration still_there = std::chrono::milliseconds(100);

// How long closing may take what was answered.
constexpr Duration closing = std::chrono::milliseconds(200);

// A debt of time shrinks by so much of the time that passes, and is never larger than this.
constexpr int earns_one_in = 4;
constexpr Duration largest_debt = std::chrono::seconds(1);

// Whose jobs the closings are.
constexpr WorkerId nobody{0xffffffff};

PollTag tag_of(PollKind watch, std::uint32_t index, std::uint32_t generation) {
    return {static_cast<std::uint8_t>(watch), index, generation};
}

// A plain fork that also gives a pidfd. The child has a copy of everything, and lets go of it in run().
pid_t fork_with_pidfd(int& pidfd) {
    clone_args args{};
    args.flags = CLONE_PIDFD;
    args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
    args.exit_signal = SIGCHLD;
    return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

void kill(const Fd& pidfd) {
    if (pidfd) ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
}

// Whether there is something that was not read.
bool readable(const Channel& channel) {
    pollfd some{channel.get(), POLLIN, 0};
    return ::poll(&some, 1, 0) == 1 && (some.revents & POLLIN) != 0;
}

bool reaped(const Fd& pidfd) {
    siginfo_t info{};
    return ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG) != 0 || info.si_pid != 0;
}

}  // namespace

Pool::Pool(Poller& poller, Privileges& privileges, PoolSettings settings)
    : poller_(poller), privileges_(privileges), settings_(settings) {}

Pool::~Pool() { stop(); }

void Pool::stop() {
    constexpr int patience_ms = 100;
    for (auto& slot : slots_) kill(slot.pidfd);
    for (auto& slot : slots_) {
        pollfd ended{slot.pidfd.get(), POLLIN, 0};
        if (slot.pidfd && ::poll(&ended, 1, patience_ms) == 1) reaped(slot.pidfd);
    }
    // The kernel closes them, and what is on its way to openers, when this process is gone: who exits waits for nobody.
    for (auto& slot : slots_) [[maybe_unused]] const int left = slot.theirs.take().release();
    slots_.clear();
    for (auto& fd : condemned_) [[maybe_unused]] const int left = fd.release();
    condemned_.clear();
}

Result<void> Pool::start(broker::Broker& broker) {
    broker_ = &broker;
    slots_.reserve(settings_.openers + settings_.more);
    for (std::uint32_t i = 0; i < settings_.openers; ++i) TRY(spawn(slots_.emplace_back()));
    return {};
}

Result<void> Pool::spawn(Slot& slot) {
    const auto index = static_cast<std::uint32_t>(&slot - slots_.data());
    privileges_.become_root();
    if (!slot.channel) {
        ChannelPair pair = TRY(make_channel_pair());
        slot.bytes.reserve(1024);
        slot.channel = std::move(pair.ours);
        slot.theirs = std::move(pair.theirs);
        TRY(poller_.watch(slot.channel.get(), tag_of(PollKind::opener, index, 0)));
    }
    int pidfd = -1;
    Board board = TRY(Board::create());
    // What its predecessor had not read is its own.
    if (slot.busy) board.open(slot.job_id);
    const pid_t pid = fork_with_pidfd(pidfd);
    if (pid < 0) return failure("clone3");
    if (pid == 0) run(slot.theirs.take(), board);
    TRY(board.withhold());
    slot.board = std::move(board);
    slot.pidfd = Fd(pidfd);
    ++slot.generation;
    return poller_.watch(slot.pidfd.get(), tag_of(PollKind::opener_exit, index, slot.generation));
}

// ---- Who is served, and by which ----

Duration Pool::debt_of(WorkerId worker) const {
    const auto found = charges_.find(worker);
    if (found == charges_.end()) return {};
    return std::max(Duration{}, found->second.debt - (now_ - found->second.at) / earns_one_in);
}

void Pool::charge(WorkerId worker, Duration spent) {
    const Duration debt = std::clamp(debt_of(worker) + spent, Duration{}, largest_debt);
    // Those who owe next to nothing are not remembered.
    if (debt < std::chrono::milliseconds(1)) {
        charges_.erase(worker);
    } else {
        charges_[worker] = {debt, now_};
    }
}

bool Pool::has_job(WorkerId worker) const {
    return std::ranges::any_of(slots_, [&](const Slot& slot) { return slot.busy && slot.worker == worker; });
}

bool Pool::all_take_long() const {
    return std::ranges::all_of(slots_, [&](const Slot& slot) { return !slot.busy || now_ - slot.since >= settings_.slice; });
}

// Null when none may take a job of this worker's now. A slot whose opener could not be made when the last one went gets another try.
Pool::Slot* Pool::idle_slot(WorkerId worker) {
    Slot* idle = nullptr;
    std::size_t count = 0;
    for (auto& slot : slots_) {
        if (slot.busy || (!slot.pidfd && !spawn(slot))) continue;
        if (idle == nullptr) idle = &slot;
        ++count;
    }
    // With one opener alone there is none to be kept.
    const bool kept = count == 1 && settings_.openers > 1 && debt_of(worker) > settings_.slice;
    if (idle != nullptr && !kept) return idle;
    return all_take_long() ? one_more() : nullptr;
}

Pool::Slot* Pool::one_more() {
    if (slots_.size() >= settings_.openers + settings_.more) return nullptr;
    Slot& slot = slots_.emplace_back();
    if (spawn(slot)) return &slot;
    if (slot.channel) poller_.forget(slot.channel.get());
    slots_.pop_back();
    return nullptr;
}

Result<void> Pool::take(const broker::Job& job) {
    JobFds fds;
    const Bytes bytes = TRY(encode(scratch_, next_job_++, job, fds));
    const Instant deadline = now_ + settings_.deadline;
    Slot* slot = waiting_.contains(job.worker) || has_job(job.worker) ? nullptr : idle_slot(job.worker);
    if (slot != nullptr) {
        const auto sent = send(*slot, job.worker, deadline, bytes, std::span(fds.numbers).first(fds.count));
        if (sent || sent.error().number != EAGAIN) return sent;
    }
    return enqueue(job.worker, deadline, bytes, fds);
}

// EAGAIN: what was left to its predecessors it has not read yet.
Result<void> Pool::send(Slot& slot, WorkerId worker, Instant deadline, Bytes bytes, std::span<const int> fds) {
    if (makes_memory(bytes)) bytes = TRY(append_memory(scratch_, bytes, broker_->memory_left(worker)));
    std::copy_n(bytes.begin(), sizeof slot.job_id, reinterpret_cast<std::byte*>(&slot.job_id));
    slot.board.open(slot.job_id);
    slot.look = now_ + unhurried;
    if (anybody_waits()) await(slot);
    TRY(slot.channel.send(bytes, fds));
    slot.busy = true;
    slot.told = false;
    slot.worker = worker;
    slot.since = now_;
    slot.deadline = deadline;
    slot.bytes.assign(bytes.begin(), bytes.end());
    return {};
}

void Pool::dispose(Fd fd) {
    condemned_.push_back(std::move(fd));
    dispatch_condemned();
}

// One at a time, so that those that hang take one opener and no more.
void Pool::dispatch_condemned() {
    if (condemned_.empty() || has_job(nobody)) return;
    Slot* slot = idle_slot(nobody);
    if (slot == nullptr || !hand_over(*slot, condemned_.front().get())) return;
    condemned_.pop_front();   // not the last: it is on its way, or waits there for the word
    if (!slot->channel.send(Bytes(scratch_).first(sizeof slot->job_id))) replace(*slot, Gone::hangs, now_);
}

// A job without requests: its descriptor is closed when the word has come that ours is.
Result<void> Pool::hand_over(Slot& slot, int condemned) {
    broker::Job job;
    job.worker = nobody;
    job.identity = &root_identity;
    job.channel = condemned;
    JobFds fds;
    const Bytes bytes = TRY(encode(scratch_, next_job_++, job, fds));
    return send(slot, nobody, now_ + settings_.deadline, bytes, std::span(fds.numbers).first(fds.count));
}

Result<void> Pool::enqueue(WorkerId worker, Instant deadline, Bytes bytes, const JobFds& fds) {
    if (waiting_count_ >= settings_.max_waiting) return failure(EDQUOT, "jobs that wait for an opener");
    Waiting waiting{{bytes.begin(), bytes.end()}, {}, deadline};
    for (const int number : std::span(fds.numbers).first(fds.count)) {
        waiting.fds.push_back(Fd(::fcntl(number, F_DUPFD_CLOEXEC, 3)));
        if (!waiting.fds.back()) return failure("fcntl(F_DUPFD_CLOEXEC)");
    }
    waiting_[worker].push_back(std::move(waiting));
    ++waiting_count_;
    for (auto& slot : slots_) {
        if (slot.busy) await(slot);
    }
    return {};
}

// Its end is told at once, by a word or, when it has ended just before it heard of this, in the next turn. Until it has taken a
// slice it is looked at then, since one more may have to be made.
void Pool::await(Slot& slot) {
    slot.board.await(slot.job_id);
    const Instant long_from = slot.since + settings_.slice;
    slot.look = slot.board.is_over(slot.job_id) ? now_ : long_from > now_ ? long_from : now_ + still_there;
}

// Of those whose worker has nothing with an opener now, the one whose worker took least of their time; the first of its jobs.
std::deque<Pool::Waiting>* Pool::next_waiting(WorkerId& worker) {
    std::deque<Waiting>* next = nullptr;
    Duration least = Duration::max();
    for (auto& [id, jobs] : waiting_) {
        const Duration debt = debt_of(id);
        if (has_job(id) || (next != nullptr && (debt > least || (debt == least && jobs.front().deadline >= next->front().deadline)))) continue;
        next = &jobs;
        least = debt;
        worker = id;
    }
    return next;
}

void Pool::dispatch_waiting() {
    dispatch_condemned();
    WorkerId worker{};
    while (auto* jobs = next_waiting(worker)) {
        Slot* slot = idle_slot(worker);
        if (slot == nullptr) return;
        const Waiting job = std::move(jobs->front());
        jobs->pop_front();
        --waiting_count_;
        if (jobs->empty()) waiting_.erase(worker);
        std::vector<int> numbers;
        for (const auto& fd : job.fds) numbers.push_back(fd.get());
        if (!send(*slot, worker, job.deadline, job.bytes, numbers)) fail(job.bytes, Reason::unavailable, now_);
    }
}

// ---- How jobs end ----

void Pool::collect(Instant now) {
    now_ = now;
    bool any = false;
    for (auto& slot : slots_) any = (slot.busy && look_at(slot, now)) || any;
    if (any && anybody_waits()) dispatch_waiting();
}

// True when the opener is idle again.
bool Pool::look_at(Slot& slot, Instant now) {
    if (!slot.told && slot.board.has(slot.job_id)) {
        slot.told = true;
        slot.deadline = std::min(slot.deadline, now + closing);
        tell(slot, now);
    }
    if (!slot.busy || !slot.board.is_over(slot.job_id)) return false;
    if (!slot.told) {   // it is not what we forked
        replace(slot, Gone::hangs, now);
        return true;
    }
    charge(slot.worker, Duration(slot.board.spent()));
    set_idle(slot);
    return true;
}

void Pool::set_idle(Slot& slot) {
    slot.busy = false;
    slot.deadline = slot.look = Instant::never();
}

void Pool::handle(const PollEvent& event, Instant now) {
    reap_abandoned();
    if (event.tag.id >= slots_.size()) return;
    Slot& slot = slots_[event.tag.id];
    now_ = now;
    // A word that was awaited says no more than that there is something to collect.
    if (event.tag.kind == static_cast<std::uint8_t>(PollKind::opener) && event.readable) {
        (void)slot.channel.receive(scratch_);
        collect(now);
    }
    const bool exited = event.tag.kind == static_cast<std::uint8_t>(PollKind::opener_exit);
    if (exited && event.tag.generation == slot.generation) replace(slot, Gone::dead, now);
    dispatch_waiting();
}

// What lies on the board is what the worker was answered, whatever has become of the opener.
void Pool::tell(Slot& slot, Instant now) {
    const auto results = decode_results(slot.board.take(report_), results_);
    const auto job = decode(slot.bytes, {}, items_);
    if (!job || job->worker == nobody) return;
    if (!results || results->id != slot.job_id || results->count != job->count) {   // it is not what we forked
        return fail(std::vector(slot.bytes), Reason::deadline, now);
    }
    const auto items = std::span(items_).first(job->count);
    const auto ended = std::span(results_).first(results->count);
    broker_->memory_looked_at(job->worker, results->looked_at.count, results->looked_at.there);
    if (slot.board.is_unanswered(slot.job_id)) broker_->job_unanswered(job->worker, job->generation, job->request, items, ended, now);
    broker_->job_done(job->worker, job->generation, items, ended, now);
}

void Pool::fail(Bytes bytes, Reason reason, Instant now) {
    const auto job = decode(bytes, {}, items_);
    if (!job) return;
    const auto items = std::span(items_).first(job->count);
    broker_->job_failed(job->worker, job->generation, job->request, items, reason, now);
    for (std::size_t i = 0; i < job->count; ++i) {
        const bool denied = items[i].settled && items[i].lend < 0;
        results_[i] = denied ? broker::JobResult{items[i].outcome.reason, items[i].outcome.error, 0, 0, 0, 0}
                             : broker::JobResult{reason, errno_of(reason), 0, 0, 0, 0};
    }
    broker_->job_done(job->worker, job->generation, items, std::span(results_).first(job->count), now);
}

// What is settled was decided and done before; what an opener has begun is not called back.
bool Pool::by_what_changed(const Waiting& job, const std::function<bool(std::string_view)>& same) {
    const auto view = decode(job.bytes, {}, items_);
    const auto items = std::span(items_).first(view ? view->count : 0);
    return std::ranges::any_of(items, [&](const broker::JobItem& item) { return !item.settled && !same(item.grant_name); });
}

void Pool::withdraw(WorkerId worker, const std::function<bool(std::string_view)>& same, Instant now) {
    const auto found = waiting_.find(worker);
    if (found == waiting_.end()) return;
    std::deque<Waiting> kept;
    std::vector<Waiting> withdrawn;
    for (auto& job : found->second) {
        if (by_what_changed(job, same)) withdrawn.push_back(std::move(job));
        else kept.push_back(std::move(job));
    }
    waiting_count_ -= withdrawn.size();
    found->second = std::move(kept);
    if (found->second.empty()) waiting_.erase(found);
    for (const auto& job : withdrawn) fail(job.bytes, Reason::not_granted, now);
}

// One that hangs is killed and set aside until the kernel lets it go: its memory is all that it costs. What it did not begin is its
// successor's; what it answered, or was about to, is what it said; the rest is failed, and nothing is sent for it any more.
void Pool::replace(Slot& slot, Gone how, Instant now) {
    kill(slot.pidfd);
    abandoned_.push_back(std::move(slot.pidfd));
    reap_abandoned();
    const bool untold = slot.busy && !slot.told;
    const bool withdrawn = untold && slot.board.withdraw(slot.job_id);
    if (withdrawn && how == Gone::dead && readable(slot.theirs) && spawn(slot)) {
        await(slot);
        return;
    }
    // A debt, too: whose jobs hang has the openers' time.
    if (slot.busy) charge(slot.worker, now - slot.since);
    if (untold && !withdrawn) tell(slot, now);
    const std::vector<std::byte> bytes = std::move(slot.bytes);
    slot.bytes.clear();
    set_idle(slot);
    (void)spawn(slot);
    if (withdrawn) fail(bytes, Reason::deadline, now);
}

// Their pidfds are still watched, under tags of a generation that is over, so their ends bring us here.
void Pool::reap_abandoned() {
    std::erase_if(abandoned_, [&](const Fd& pidfd) {
        if (pidfd && !reaped(pidfd)) return false;
        if (pidfd) poller_.forget(pidfd.get());
        return true;
    });
}

Instant Pool::next_deadline() const {
    Instant next = Instant::never();
    for (const auto& slot : slots_) {
        if (slot.busy) next = std::min({next, slot.deadline, slot.look});
    }
    for (const auto& [worker, jobs] : waiting_) next = std::min(next, jobs.front().deadline);
    return next;
}

void Pool::fail_overdue(Instant now) {
    for (auto entry = waiting_.begin(); entry != waiting_.end();) {
        auto& jobs = entry->second;
        std::vector<Waiting> overdue;
        while (!jobs.empty() && jobs.front().deadline <= now) {
            overdue.push_back(std::move(jobs.front()));
            jobs.pop_front();
        }
        entry = jobs.empty() ? waiting_.erase(entry) : std::next(entry);
        waiting_count_ -= overdue.size();
        for (const auto& job : overdue) fail(job.bytes, Reason::deadline, now);
    }
}

void Pool::run_due(Instant now) {
    collect(now);
    for (auto& slot : slots_) {
        if (slot.busy && slot.deadline <= now) replace(slot, Gone::hangs, now);
        if (slot.busy && slot.look <= now) await(slot);   // it takes its time: its end is told
    }
    fail_overdue(now);
    dispatch_waiting();
}

}  // namespace warder::opener
