#include "opener/pool.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "broker/watch.h"
#include "opener/process.h"

namespace warder::opener {
namespace {

// How long warderd may be without a turn until it wants to know how a job ended that nobody waits for.
constexpr Duration unhurried = std::chrono::milliseconds(20);

// Whose jobs the closings are.
constexpr WorkerId nobody{0xffffffff};

PollTag tag_of(broker::Watch watch, std::uint32_t index, std::uint32_t generation) {
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
    slots_.clear();
    // The kernel closes them when this process is gone, and who exits waits for nobody.
    for (auto& fd : condemned_) [[maybe_unused]] const int left = fd.release();
    condemned_.clear();
}

Result<void> Pool::start(broker::Broker& broker) {
    broker_ = &broker;
    slots_.resize(settings_.openers);
    for (std::uint32_t i = 0; i < settings_.openers; ++i) {
        slots_[i].bytes.reserve(1024);
        TRY(spawn(slots_[i], i));
    }
    return {};
}

Result<void> Pool::spawn(Slot& slot, std::uint32_t index) {
    privileges_.become_root();
    ChannelPair pair = TRY(make_channel_pair());
    int pidfd = -1;
    Board board = TRY(Board::create());
    const pid_t pid = fork_with_pidfd(pidfd);
    if (pid < 0) return failure("clone3");
    if (pid == 0) run(pair.theirs.take(), board);
    TRY(board.withhold());
    slot.channel = std::move(pair.ours);
    slot.board = std::move(board);
    slot.pidfd = Fd(pidfd);
    slot.busy = false;
    slot.deadline = Instant::never();
    ++slot.generation;
    TRY(poller_.watch(slot.channel.get(), tag_of(broker::Watch::opener, index, slot.generation)));
    return poller_.watch(slot.pidfd.get(), tag_of(broker::Watch::opener_exit, index, slot.generation));
}

// A slot whose opener could not be made when the last one went gets another try here.
Pool::Slot* Pool::idle_slot() {
    for (auto& slot : slots_) {
        if (slot.busy) continue;
        if (slot.channel || spawn(slot, static_cast<std::uint32_t>(&slot - slots_.data()))) return &slot;
    }
    return nullptr;
}

bool Pool::has_job(WorkerId worker) const {
    return std::ranges::any_of(slots_, [&](const Slot& slot) { return slot.busy && slot.worker == worker; });
}

Result<void> Pool::take(const broker::Job& job) {
    JobFds fds;
    const Bytes bytes = TRY(encode(scratch_, next_job_, job, fds));
    const Instant deadline = now_ + settings_.deadline;
    Slot* slot = has_job(job.worker) ? nullptr : idle_slot();
    if (slot == nullptr) return enqueue(job.worker, deadline, bytes, fds);
    return send(*slot, job.worker, deadline, bytes, std::span(fds.numbers).first(fds.count));
}

Result<void> Pool::send(Slot& slot, WorkerId worker, Instant deadline, Bytes bytes, std::span<const int> fds) {
    std::copy_n(bytes.begin(), sizeof slot.job_id, reinterpret_cast<std::byte*>(&slot.job_id));
    slot.look = now_ + unhurried;
    if (anybody_waits()) await(slot);
    TRY(slot.channel.send(bytes, fds));
    slot.busy = true;
    slot.worker = worker;
    slot.deadline = deadline;
    slot.bytes.assign(bytes.begin(), bytes.end());
    ++next_job_;
    return {};
}

void Pool::dispose(Fd fd) {
    condemned_.push_back(std::move(fd));
    dispatch_condemned();
}

// One at a time, so that those that hang take one opener and no more.
void Pool::dispatch_condemned() {
    if (condemned_.empty() || has_job(nobody)) return;
    Slot* slot = idle_slot();
    if (slot == nullptr || !hand_over(*slot, condemned_.front().get())) return;
    condemned_.pop_front();   // not the last: it is on its way, or waits there for the word
    if (!slot->channel.send(Bytes(scratch_).first(sizeof slot->job_id))) replace(*slot, Reason::deadline, now_);
}

// A job without requests: its descriptor is closed when the word has come that ours is.
Result<void> Pool::hand_over(Slot& slot, int condemned) {
    broker::Job job;
    job.worker = nobody;
    job.identity = &root_identity;
    job.channel = condemned;
    JobFds fds;
    const Bytes bytes = TRY(encode(scratch_, next_job_, job, fds));
    return send(slot, nobody, now_ + settings_.deadline, bytes, std::span(fds.numbers).first(fds.count));
}

Result<void> Pool::enqueue(WorkerId worker, Instant deadline, Bytes bytes, const JobFds& fds) {
    if (waiting_.size() >= settings_.max_waiting) return failure(EDQUOT, "jobs that wait for an opener");
    Waiting waiting{{bytes.begin(), bytes.end()}, {}, worker, deadline};
    for (const int number : std::span(fds.numbers).first(fds.count)) {
        waiting.fds.push_back(Fd(::fcntl(number, F_DUPFD_CLOEXEC, 3)));
        if (!waiting.fds.back()) return failure("fcntl(F_DUPFD_CLOEXEC)");
    }
    waiting_.push_back(std::move(waiting));
    ++next_job_;
    for (auto& slot : slots_) {
        if (slot.busy) await(slot);
    }
    return {};
}

// Its end is told at once, by a word or, when it has ended just before it heard of this, in the next turn.
void Pool::await(Slot& slot) {
    slot.board.await(slot.job_id);
    slot.look = slot.board.has(slot.job_id) ? now_ : Instant::never();
}

// The first that waits whose worker has nothing with an opener now, as long as one is idle.
void Pool::dispatch_waiting() {
    dispatch_condemned();
    for (auto next = waiting_.begin(); next != waiting_.end();) {
        Slot* slot = idle_slot();
        if (slot == nullptr) return;
        if (has_job(next->worker)) {
            ++next;
            continue;
        }
        const Waiting job = std::move(*next);
        next = waiting_.erase(next);
        std::vector<int> numbers;
        for (const auto& fd : job.fds) numbers.push_back(fd.get());
        if (!send(*slot, job.worker, job.deadline, job.bytes, numbers)) fail(job.bytes, Reason::system, now_);
    }
}

void Pool::collect(Instant now) {
    now_ = now;
    bool any = false;
    for (auto& slot : slots_) {
        if (!slot.busy || !slot.board.has(slot.job_id)) continue;
        on_report(slot, now);
        any = true;
    }
    if (any && anybody_waits()) dispatch_waiting();
}

void Pool::handle(const PollEvent& event, Instant now) {
    reap_abandoned();
    if (event.tag.id >= slots_.size()) return;
    Slot& slot = slots_[event.tag.id];
    if (event.tag.generation != slot.generation) return;
    now_ = now;
    // A word that was awaited says no more than that there is something to collect.
    if (event.tag.kind == static_cast<std::uint8_t>(broker::Watch::opener) && event.readable) {
        (void)slot.channel.receive(scratch_);
        collect(now);
    }
    const bool exited = event.tag.kind == static_cast<std::uint8_t>(broker::Watch::opener_exit);
    if (exited && event.tag.generation == slot.generation) replace(slot, Reason::deadline, now);
    dispatch_waiting();
}

void Pool::on_report(Slot& slot, Instant now) {
    const auto results = decode_results(slot.board.take(report_), results_);
    if (!results || results->id != slot.job_id) return replace(slot, Reason::deadline, now);   // it is not what we forked
    slot.busy = false;
    slot.deadline = slot.look = Instant::never();
    const auto job = decode(slot.bytes, {}, items_);
    if (!job) return;
    broker_->job_done(job->worker, job->generation, std::span(items_).first(job->count),
                      std::span(results_).first(results->count), now);
}

void Pool::fail(Bytes bytes, Reason reason, Instant now) {
    const auto job = decode(bytes, {}, items_);
    if (!job) return;
    const auto items = std::span(items_).first(job->count);
    broker_->job_failed(job->worker, job->generation, job->request, items, reason);
    for (std::size_t i = 0; i < job->count; ++i) {
        const bool denied = items[i].settled && items[i].lend < 0;
        results_[i] = denied ? broker::JobResult{items[i].outcome.reason, items[i].outcome.error, 0, 0}
                             : broker::JobResult{reason, errno_of(reason), 0, 0};
    }
    broker_->job_done(job->worker, job->generation, items, std::span(results_).first(job->count), now);
}

// The one that hangs is killed and set aside until the kernel lets it go: its memory is all that it costs.
void Pool::replace(Slot& slot, Reason reason, Instant now) {
    poller_.forget(slot.channel.get());
    slot.channel.close();
    kill(slot.pidfd);
    abandoned_.push_back(std::move(slot.pidfd));
    reap_abandoned();
    const bool was_busy = std::exchange(slot.busy, false);
    slot.deadline = slot.look = Instant::never();
    const std::vector<std::byte> bytes = std::move(slot.bytes);
    slot.bytes.clear();
    (void)spawn(slot, static_cast<std::uint32_t>(&slot - slots_.data()));
    if (was_busy) fail(bytes, reason, now);
}

// Their pidfds are still watched, under tags of a generation that is over, so their ends bring us here.
void Pool::reap_abandoned() {
    std::erase_if(abandoned_, [&](const Fd& pidfd) {
        if (!reaped(pidfd)) return false;
        poller_.forget(pidfd.get());
        return true;
    });
}

Instant Pool::next_deadline() const {
    Instant next = Instant::never();
    for (const auto& slot : slots_) {
        if (slot.busy) next = std::min({next, slot.deadline, slot.look});
    }
    for (const auto& job : waiting_) next = std::min(next, job.deadline);
    return next;
}

void Pool::run_due(Instant now) {
    collect(now);
    for (auto& slot : slots_) {
        if (slot.busy && slot.deadline <= now) replace(slot, Reason::deadline, now);
        if (slot.busy && slot.look <= now) await(slot);   // it takes its time: its end is told
    }
    while (!waiting_.empty() && waiting_.front().deadline <= now) {
        const Waiting job = std::move(waiting_.front());
        waiting_.pop_front();
        fail(job.bytes, Reason::deadline, now);
    }
    dispatch_waiting();
}

}  // namespace warder::opener
