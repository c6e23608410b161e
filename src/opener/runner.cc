#include "opener/runner.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "sys/cgroup.h"
#include "sys/poll_kind.h"
#include "sys/process.h"

namespace warder::opener {
namespace {

constexpr Duration retry_interval = std::chrono::milliseconds(50);
constexpr Duration hang_margin = std::chrono::seconds(2);   // beyond begin_within: then the runner itself hangs
constexpr int patience_ms = 100;

PollTag tag_of(PollKind watch, std::uint32_t generation) { return {static_cast<std::uint8_t>(watch), 0, generation}; }

}  // namespace

Runner::Runner(Poller& poller, Privileges& privileges, RunnerObserver& observer, RunnerSettings settings)
    : poller_(poller), privileges_(privileges), observer_(observer), settings_(std::move(settings)) {}

Runner::~Runner() { stop(); }

// ---- The process ----

Result<void> Runner::start() {
    if (channel_) return {};
    privileges_.become_root();
    ChannelPair pair = TRY(make_channel_pair());
    // What is lent goes to the worker by the runner; nothing of it ever comes here.
    (void)pair.ours.refuse_descriptors();
    ++generation_;
    groups_ = settings_.cgroup.empty() ? "" : settings_.cgroup + "/run." + std::to_string(generation_);
    // Killing a group forbids it to be used again, so each runner has its own.
    if (!groups_.empty() && ::mkdir(groups_.c_str(), 0755) != 0 && errno != EEXIST) groups_.clear();
    const RunnerOrders orders{groups_, settings_.begin_within};
    Cloned child = TRY(clone_process(0, -1));
    if (child.pid == 0) run_commands(pair.theirs.take(), orders);
    pid_ = child.pid;
    pidfd_ = std::move(child.pidfd);
    channel_ = std::move(pair.ours);
    TRY(poller_.watch(channel_.get(), tag_of(PollKind::runner, generation_)));
    return poller_.watch(pidfd_.get(), tag_of(PollKind::runner_exit, generation_));
}

// Seeing the end of its parent it kills its commands and ends; it is not trusted to do so.
void Runner::stop() {
    if (channel_) {
        poller_.forget(channel_.get());
        poller_.forget(pidfd_.get());
        channel_.close();
        if (!ended_within(pidfd_.get(), patience_ms)) (void)send_signal(pidfd_.get(), SIGKILL);
        if (ended_within(pidfd_.get(), patience_ms)) (void)reap(pidfd_.get());
        pidfd_.reset();
        pid_ = -1;
        if (!groups_.empty()) spent_groups_.push_back(std::move(groups_));
        groups_.clear();
    }
    jobs_.clear();
    for (const auto& path : spent_groups_) cgroup::kill_all(path);
    for (int tries = 0; tries < 20; ++tries) {
        sweep_groups();
        if (spent_groups_.empty()) return;
        ::usleep(5'000);
    }
}

// It has died, or hangs and is killed here. Whoever waits for it is told; the next command makes another.
void Runner::lose() {
    poller_.forget(channel_.get());
    channel_.close();
    (void)send_signal(pidfd_.get(), SIGKILL);
    abandoned_.push_back(std::move(pidfd_));
    pid_ = -1;
    if (!groups_.empty()) {
        cgroup::kill_all(groups_);
        spent_groups_.push_back(std::move(groups_));
        groups_.clear();
    }
    retry_at_ = now_ + retry_interval;
    const auto lost = std::exchange(jobs_, {});
    for (const auto& [id, job] : lost) {
        if (!job.begun) {
            observer_.command_begun({job.worker, job.generation, job.request, job.grant_name, -1, EIO, false, job.ends, job.use});
        } else if (!job.failed) {
            observer_.command_ended({job.worker, job.generation, job.grant_name, job.pid, true, SIGKILL, false, now_ - job.since});
        }
    }
}

void Runner::sweep_groups() {
    // They can go when nobody is in them any more, which is a moment after they were killed.
    std::erase_if(spent_groups_, cgroup::remove_with_those_below);
    std::erase_if(abandoned_, [&](const Fd& pidfd) {
        const auto end = reap(pidfd.get());
        if (end && !*end) return false;
        poller_.forget(pidfd.get());
        return true;
    });
}

// ---- Commands ----

std::size_t Runner::running_of(const broker::CommandJob& job) const {
    return static_cast<std::size_t>(std::ranges::count_if(jobs_, [&](const auto& entry) {
        return entry.second.worker == job.worker && entry.second.grant_name == job.grant_name;
    }));
}

Result<void> Runner::check(const broker::CommandJob& job) const {
    const auto has_nul = [](std::string_view text) { return text.find('\0') != std::string_view::npos; };
    if (job.words.empty() || !job.words[0].starts_with('/')) return failure(EINVAL, "a command's program");
    if (has_nul(job.grant_name) || std::ranges::any_of(job.words, has_nul)) return failure(EINVAL, "a NUL in a command");
    if (running_of(job) >= job.command->max_concurrent) return failure(EDQUOT, "commands of this grant at once");
    if (jobs_.size() >= settings_.most) return failure(EAGAIN, "commands at once");
    return {};
}

Result<Bytes> Runner::encode(std::uint64_t id, const broker::CommandJob& job) {
    using namespace runner_wire;
    const policy::Command& command = *job.command;
    Start start;
    start.pipes = (command.in ? pipe_in : 0) | (command.out ? pipe_out : 0) | (command.err ? pipe_err : 0);
    start.job = id;
    start.timeout = command.timeout.count();
    start.uid = command.uid;
    start.gid = command.gid;
    start.request = number(job.request);
    start.grant = number(job.grant);
    start.words = static_cast<std::uint32_t>(job.words.size());
    Writer writer(scratch_);
    writer.put(start);
    const auto put = [&](std::string_view text) {
        writer.put_bytes(bytes_of(text));
        writer.put('\0');
    };
    put(job.grant_name);
    for (const auto word : job.words) put(word);
    if (!writer.ok()) return failure(E2BIG, "the words of a command");
    return writer.written();
}

Result<void> Runner::take(const broker::CommandJob& job) {
    TRY(check(job));
    if (const auto started = start(); !started) return failure(EAGAIN, started.error().doing);
    const std::uint64_t id = next_job_++;
    const Bytes message = TRY(encode(id, job));
    if (const auto sent = channel_.send(message, std::span(&job.channel, 1)); !sent) return failure(EAGAIN, sent.error().doing);
    jobs_[id] = {.worker = job.worker, .generation = job.generation, .request = job.request,
                 .grant_name = std::string(job.grant_name), .ends = job.ends, .use = job.use, .since = now_,
                 .begin_by = now_ + (settings_.begin_within + hang_margin)};
    return {};
}

void Runner::session_ended(WorkerId worker) {
    for (auto& [id, job] : jobs_) {
        if (job.worker == worker) tell_to_kill(id, job);
    }
}

// A runner that does not read is asked again, and found out when it begins nothing.
void Runner::tell_to_kill(std::uint64_t id, Job& job) {
    const runner_wire::Kill order{.job = id};
    const auto sent = channel_.send(std::as_bytes(std::span(&order, 1)));
    job.to_kill = !sent && sent.error().number == EAGAIN;
    if (job.to_kill) retry_at_ = now_ + retry_interval;
}

// ---- News ----

void Runner::handle(const PollEvent& event, Instant now) {
    now_ = now;
    sweep_groups();
    if (!channel_ || event.tag.generation != (generation_ & 0xffffffU)) return;
    if (event.tag.kind == static_cast<std::uint8_t>(PollKind::runner) && event.readable) hear();
    if (event.tag.kind != static_cast<std::uint8_t>(PollKind::runner_exit) || !channel_) return;
    // Its last words count, so that nobody is told twice.
    const int quickly = 256;
    for (int i = 0; i < quickly && ended_within(channel_.get(), 0); ++i) hear();
    lose();
}

void Runner::hear() {
    const auto received = channel_.receive(scratch_);
    if (!received || received->kind != Received::Kind::message) return;
    Reader reader(received->bytes);
    const auto report = reader.take<runner_wire::Report>();
    if (reader.ok() && reader.left().empty()) on_report(report);
}

void Runner::on_report(const runner_wire::Report& report) {
    const auto found = jobs_.find(report.job);
    if (found == jobs_.end()) return;
    if (report.kind == runner_wire::Kind::begun) {
        Job& job = found->second;
        job.begun = true;
        job.failed = report.error != 0;
        job.pid = report.pid;
        job.begin_by = Instant::never();
        const Job known = job;
        observer_.command_begun({known.worker, known.generation, known.request, known.grant_name, known.pid, report.error,
                                 report.unanswered == 0, known.ends, known.use});
        return;
    }
    const Job job = found->second;
    jobs_.erase(found);
    if (job.failed) return;
    observer_.command_ended({job.worker, job.generation, job.grant_name, job.pid, report.by_signal != 0, report.value,
                             report.timed_out != 0, Duration(report.ran)});
}

Instant Runner::next_deadline() const {
    Instant next = retry_at_;
    for (const auto& [id, job] : jobs_) next = std::min(next, job.begin_by);
    return next;
}

void Runner::run_due(Instant now) {
    now_ = now;
    const auto overdue = [&](const auto& entry) { return entry.second.begin_by <= now; };
    if (channel_ && std::ranges::any_of(jobs_, overdue)) lose();
    if (retry_at_ > now) return;
    sweep_groups();
    retry_at_ = spent_groups_.empty() && abandoned_.empty() ? Instant::never() : now + retry_interval;
    for (auto& [id, job] : jobs_) {
        if (job.to_kill) tell_to_kill(id, job);
    }
}

std::vector<Runner::Running> Runner::running() const {
    std::vector<Running> list;
    for (const auto& [id, job] : jobs_) list.push_back({job.worker, job.grant_name, job.begun ? job.pid : -1, job.since});
    return list;
}

}  // namespace warder::opener
