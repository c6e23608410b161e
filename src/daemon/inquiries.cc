#include "daemon/inquiries.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <utility>

#include "control/command.h"
#include "control/report.h"
#include "daemon/daemon.h"
#include "sys/poll_kind.h"
#include "sys/process.h"

namespace warder::daemon {
namespace {

constexpr std::size_t piece = 64 * 1024;         // bytes read in one turn
constexpr int lowered = 10;                      // niceness
#if defined(__SANITIZE_ADDRESS__)
constexpr rlim_t max_memory = RLIM_INFINITY;    // what the sanitizer maps for itself counts as data
#else
constexpr rlim_t max_memory = 512UL << 20;      // bytes of data, with what it was forked with
#endif

// To look at the tables of other users' processes.
constexpr std::uint32_t to_look = 1U << CAP_SYS_PTRACE | 1U << CAP_DAC_READ_SEARCH;

PollTag tag_of(PollKind watch, std::uint32_t number) { return {static_cast<std::uint8_t>(watch), number, 0}; }

// All but the two; it executes nothing, so what else it is bounded by does not matter.
void keep_only_looking() {
    __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[2]{};
    if (::syscall(SYS_capget, &head, sets) != 0) ::_exit(1);
    sets[0] = {sets[0].permitted & to_look, sets[0].permitted & to_look, 0};
    sets[1] = {};
    if (::syscall(SYS_capset, &head, sets) != 0) ::_exit(1);
}

// What it may use up, and what is left to it of warderd's rights.
void confine(rlim_t seconds) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    const rlimit no_files{0, 0};
    const rlimit time{seconds, seconds};
    const rlimit memory{max_memory, max_memory};
    ::setrlimit(RLIMIT_FSIZE, &no_files);
    ::setrlimit(RLIMIT_CORE, &no_files);
    ::setrlimit(RLIMIT_CPU, &time);
    ::setrlimit(RLIMIT_DATA, &memory);
    [[maybe_unused]] const int nice = ::setpriority(PRIO_PROCESS, 0, lowered);
    keep_only_looking();
}

// The first bytes are the error, the rest is the text.
void write_out(int out, const control::Reported& reported) {
    std::string all(sizeof reported.error, '\0');
    std::memcpy(all.data(), &reported.error, sizeof reported.error);
    all += reported.text;
    for (std::string_view left = all; !left.empty();) {
        const ssize_t size = ::write(out, left.data(), left.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) ::_exit(1);
        left.remove_prefix(static_cast<std::size_t>(size));
    }
}

[[noreturn]] void run(int out, const control::Report& report) {
    confine(static_cast<rlim_t>(std::chrono::duration_cast<std::chrono::seconds>(Inquiries::deadline).count()));
    constexpr int own = 3;
    if (out != own) ::dup2(out, own);
    const auto let_go = [] { ::close_range(own + 1, ~0U, 0); };
    write_out(own, report(let_go));
    ::_exit(0);
}

}  // namespace

Result<void> Inquiries::begin(const control::Ticket& ticket, const control::Report& report, Instant now) {
    if (inquiries_.size() >= max_concurrent) return failure(EAGAIN, "answering that beside others");
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    Inquiry inquiry{.ticket = ticket, .number = ++next_, .output = Fd(ends[0]), .pidfd = {}, .text = {}, .deadline = now + deadline};
    Fd theirs(ends[1]);
    if (::fcntl(inquiry.output.get(), F_SETFL, O_NONBLOCK) != 0) return failure("fcntl");
    auto child = TRY(clone_process(0, -1));
    if (child.pid == 0) run(theirs.get(), report);
    inquiry.pidfd = std::move(child.pidfd);
    TRY(poller_.watch(inquiry.output.get(), tag_of(PollKind::inquiry, inquiry.number)));
    TRY(poller_.watch(inquiry.pidfd.get(), tag_of(PollKind::inquiry_exit, inquiry.number)));
    inquiries_.push_back(std::move(inquiry));
    return {};
}

void Inquiries::handle(const PollEvent& event) {
    const auto found = std::ranges::find(inquiries_, event.tag.id, &Inquiry::number);
    if (found == inquiries_.end()) return;
    if (event.tag.kind == static_cast<std::uint8_t>(PollKind::inquiry)) return read_some(*found);
    const auto ended = reap(found->pidfd.get());
    if (ended && !*ended) return;
    poller_.forget(found->pidfd.get());
    Inquiry gone = std::move(*found);
    inquiries_.erase(found);
    if (gone.answered) return;
    // What is left in the pipe is no more than a pipe holds: a piece, and its end.
    read_some(gone);
    read_some(gone);
    if (!gone.answered) fail(gone, EIO, "the process that was to answer ended before it had");
}

// The end of the pipe is the end of the answer.
void Inquiries::read_some(Inquiry& inquiry) {
    if (!inquiry.output) return;
    char buffer[piece];
    const ssize_t size = ::read(inquiry.output.get(), buffer, sizeof buffer);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size > 0) inquiry.text.append(buffer, static_cast<std::size_t>(size));
    if (inquiry.text.size() > max_text) return fail(inquiry, EFBIG, "the answer is longer than 8MiB: ask about one worker");
    if (size > 0) return;
    int error = 0;
    if (size < 0 || inquiry.text.size() < sizeof error) return fail(inquiry, EIO, "the process that was to answer said nothing");
    std::memcpy(&error, inquiry.text.data(), sizeof error);
    answer(inquiry, {error, inquiry.text.substr(sizeof error)});
}

void Inquiries::fail(Inquiry& inquiry, int error, std::string_view why) {
    (void)send_signal(inquiry.pidfd.get(), SIGKILL);
    answer(inquiry, {error, control::refusal_json(control::name_of(inquiry.ticket.verb), {error, std::string(why)})});
}

void Inquiries::answer(Inquiry& inquiry, control::Reported reported) {
    poller_.forget(inquiry.output.get());
    inquiry.output.reset();
    inquiry.text.clear();
    inquiry.answered = true;
    inquiry.deadline = Instant::never();
    done_(inquiry.ticket, std::move(reported));
}

Instant Inquiries::next_deadline() const {
    Instant next = Instant::never();
    for (const auto& inquiry : inquiries_) next = std::min(next, inquiry.deadline);
    return next;
}

// One that the kernel does not let go of stays in its place until it does.
void Inquiries::run_due(Instant now) {
    for (auto& inquiry : inquiries_) {
        if (inquiry.deadline <= now) fail(inquiry, ETIMEDOUT, "it took longer than 5s to look at all that the worker holds");
    }
}

void Inquiries::stop() {
    for (auto& inquiry : inquiries_) {
        if (inquiry.output) poller_.forget(inquiry.output.get());
        poller_.forget(inquiry.pidfd.get());
        (void)send_signal(inquiry.pidfd.get(), SIGKILL);
        if (ended_within(inquiry.pidfd.get(), 100)) (void)reap(inquiry.pidfd.get());
    }
    inquiries_.clear();
}

}  // namespace warder::daemon
