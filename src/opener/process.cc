#include "opener/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "broker/sentence.h"
#include "opener/job.h"
#include "protocol/codec.h"
#include "sys/channel.h"

namespace warder::opener {
namespace {

constexpr int parent_socket = 3;
constexpr int answer_patience_ms = 1000;   // with a worker that does not read its replies

// What one job needs, in memory that is there from the start.
struct Workshop {
    std::array<std::byte, max_job> job;
    std::array<std::byte, max_message> reply;
    std::array<std::byte, Board::room> report;
    std::array<Fd, kernel::scm_max_fd> received;
    std::array<broker::JobItem, protocol::max_requests> items;
    std::array<broker::Performed, protocol::max_requests> performed;
    std::array<broker::JobResult, protocol::max_requests> results;
    std::array<protocol::Outcome, protocol::max_requests> outcomes;
    broker::Texts texts;
    LookedAt looked_at;
};

// Our end of what is shared with warderd, and the job that is done.
struct Parent {
    const Channel& socket;
    const Board& board;
};

// What the parent has settled. Its sentences come first into the one buffer that all texts of the reply share, so that
// what is found afterwards cannot make the reply too long to be sent.
void take_settled(Workshop& shop, std::size_t index) {
    const broker::JobItem& item = shop.items[index];
    shop.performed[index] = broker::Performed{};
    shop.outcomes[index] = item.outcome;
    shop.outcomes[index].text = shop.texts.keep(item.outcome.text);
    struct stat about{};
    if (item.lend >= 0 && ::fstat(item.lend, &about) != 0) about = {};
    shop.results[index] = {item.outcome.reason, item.outcome.error, about.st_dev, about.st_ino, 0, 0};
}

// Tells how what was performed has ended, with a sentence if it failed.
void conclude(Workshop& shop, std::size_t index) {
    const broker::JobItem& item = shop.items[index];
    const auto& done = shop.performed[index];
    protocol::Outcome& outcome = shop.outcomes[index];
    outcome = item.outcome;
    outcome.error = done.error;
    outcome.reason = done.reason;
    outcome.value = done.value;
    outcome.fds = done.fd ? 1 : 0;
    outcome.text = done.data;
    if (done.reason != Reason::ok) {
        const auto sentence =
            broker::failure_sentence(item.grant_name, item.task.operation, item.shown, done.reason, done.error);
        outcome.text = shop.texts.keep(sentence.view());
    }
    shop.results[index] = {done.reason, done.error, done.device, done.inode, done.generation, done.memory};
}

// What of the worker's memory is still held by anybody takes from what is left, and so do its places.
std::uint64_t memory_left(Workshop& shop, const JobView& job, Privileges& privileges) {
    shop.looked_at = {};
    std::uint64_t left = job.memory_left;
    if (job.to_look_at.empty()) return left;
    privileges.become_root();
    Reader reader(job.to_look_at);
    while (!reader.left().empty()) {
        const auto memory = reader.take<broker::MadeMemory>();
        const bool there = broker::is_there(memory);
        shop.looked_at.there[shop.looked_at.count++] = there;
        if (there) left -= std::min<std::uint64_t>(left, memory.bytes);
    }
    return left;
}

void perform_all(Workshop& shop, const JobView& job, Privileges& privileges) {
    shop.texts.clear();
    for (std::size_t i = 0; i < job.count; ++i) {
        if (shop.items[i].settled) take_settled(shop, i);
    }
    std::uint64_t left = memory_left(shop, job, privileges);
    std::size_t places = broker::MemoryAccount::capacity - shop.looked_at.there.count();
    for (std::size_t i = 0; i < job.count; ++i) {
        broker::Task& task = shop.items[i].task;
        if (shop.items[i].settled) continue;
        task.memory_left = places > 0 ? left : 0;
        shop.performed[i] = broker::perform(task, broker::Patience::until_deadline, privileges, job.identity, shop.texts);
        left -= std::min<std::uint64_t>(left, shop.performed[i].memory);
        if (shop.performed[i].memory > 0) --places;
        conclude(shop, i);
    }
}

Result<Bytes> results_of(Workshop& shop, const JobView& job) {
    return encode_results(shop.report, job.id, std::span(shop.results).first(job.count), shop.looked_at);
}

// Sends once, if warderd has not given the job up meanwhile: its results lie on the board first. ECANCELED: it has.
Result<void> send_claimed(Workshop& shop, const JobView& job, const Board& board, const Channel& worker, Bytes message,
                          std::span<const int> fds) {
    const Bytes results = TRY(results_of(shop, job));
    if (!board.claim(job.id, results)) return failure(ECANCELED, "answering a worker");
    auto sent = worker.send(message, fds);
    if (sent) {
        board.answered(job.id);
    } else {
        board.unclaim(job.id);
    }
    return sent;
}

// Waits a moment for a worker that has not read its earlier replies.
Result<void> send(Workshop& shop, const JobView& job, const Board& board, const Channel& worker) {
    WARDER_UNINITIALIZED std::array<int, protocol::max_requests> fds;
    std::size_t count = 0;
    for (std::size_t i = 0; i < job.count; ++i) {
        if (shop.performed[i].fd) fds[count++] = shop.performed[i].fd.get();
        else if (shop.items[i].lend >= 0) fds[count++] = shop.items[i].lend;
    }
    const auto outcomes = std::span(shop.outcomes).first(job.count);
    const auto message = TRY(protocol::encode_answer(shop.reply, job.request, outcomes));
    auto sent = send_claimed(shop, job, board, worker, message, std::span(fds).first(count));
    if (sent || sent.error().number != EAGAIN) return sent;
    pollfd room{worker.get(), POLLOUT, 0};
    if (::poll(&room, 1, answer_patience_ms) == 1) {
        sent = send_claimed(shop, job, board, worker, message, std::span(fds).first(count));
    }
    return sent;
}

// The kernel passes no more descriptors (ETOOMANYREFS: the worker leaves too many unread), or has no memory: nothing is
// lent then, and each request that would have been is told so. What was done otherwise is done.
void lend_nothing(Workshop& shop, std::size_t count, int error) {
    for (std::size_t i = 0; i < count; ++i) {
        broker::JobItem& item = shop.items[i];
        if (!shop.performed[i].fd && item.lend < 0) continue;
        item.lend = -1;
        shop.performed[i] = broker::Performed{Fd(), Reason::system, error, 0, 0, 0, {}, 0, 0, false};
        conclude(shop, i);
    }
}

// What warderd cannot tell the worker for want of a descriptor or of what was found has failed; what was done otherwise is done.
void tell_nothing(Workshop& shop, const JobView& job, int error) {
    lend_nothing(shop, job.count, error);
    for (std::size_t i = 0; i < job.count; ++i) {
        const bool found = !shop.items[i].settled && (!shop.performed[i].data.empty() || shop.performed[i].value != 0);
        if (found && shop.performed[i].reason == Reason::ok) shop.results[i] = {Reason::system, error, 0, 0, 0, 0};
    }
}

// Of a worker that is gone warderd knows by itself.
void answer(Workshop& shop, const JobView& job, const Board& board, const Channel& worker) {
    auto sent = send(shop, job, board, worker);
    if (sent || sent.error().number == ECANCELED) return;
    if (sent.error().number != EAGAIN) {
        lend_nothing(shop, job.count, sent.error().number);
        sent = send(shop, job, board, worker);
        if (sent || sent.error().number == ECANCELED) return;
    }
    tell_nothing(shop, job, sent.error().number);
    if (const auto results = results_of(shop, job)) board.unanswered(job.id, *results);
}

// Whether this means that there is no such secret, rather than that it could not be had just now.
bool is_gone(const broker::Performed& done) {
    return done.reason != Reason::too_many && done.error != ENOMEM && done.error != EMFILE && done.error != ENFILE && done.error != EAGAIN;
}

// A secret that changed: the new one, or without a descriptor that there is none any more.
void push(Workshop& shop, const JobView& job, const Board& board, const Channel& worker) {
    const auto& done = shop.performed[0];
    const std::uint32_t count = done.fd ? 1 : 0;
    Result<void> sent = failure(done.error, "reading a secret");
    if (done.fd || is_gone(done)) {
        const auto event = protocol::encode_event(shop.reply, protocol::Type::secret,
                                                  {shop.items[0].grant_name, shop.items[0].task.argument, count});
        const int fd = done.fd.get();
        sent = event ? send_claimed(shop, job, board, worker, *event, std::span(&fd, count)) : Failure(event.error());
    }
    if (sent || sent.error().number == ECANCELED) return;
    tell_nothing(shop, job, sent.error().number);
    if (const auto results = results_of(shop, job)) board.unanswered(job.id, *results);
}

// The parent sees it in its next turn; it is woken only when somebody waits for this opener.
void end(const JobView& job, const Parent& parent, Instant began) {
    const auto spent = static_cast<std::uint64_t>((monotonic_now() - began).count());
    if (parent.board.over(job.id, spent)) (void)parent.socket.send_waiting(std::as_bytes(std::span(&job.id, 1)));
}

// Its close may wait, and does so for the last who holds it: that is not to be the parent, which says when it has let go.
void dispose(Workshop& shop, const JobView& job, const Parent& parent) {
    WARDER_UNINITIALIZED std::array<std::byte, sizeof job.id> word;
    (void)parent.socket.receive_waiting(word);
    const auto results = results_of(shop, job);
    if (results && parent.board.claim(job.id, *results)) parent.board.answered(job.id);
    shop.received[0].reset();
}

// What the worker was answered is on the board before anything is closed: closing may take as long as somebody else likes.
void do_job(Workshop& shop, const JobView& job, const Parent& parent, Privileges& privileges) {
    if (job.count == 0) return dispose(shop, job, parent);
    perform_all(shop, job, privileges);
    const Channel worker(std::move(shop.received[0]));
    if (job.count == 1 && broker::is_push(shop.items[0].task)) {
        push(shop, job, parent.board, worker);
    } else {
        answer(shop, job, parent.board, worker);
    }
    // Like the parent it keeps the credentials of the last job, until one needs others: there and back is a fifth of a job's time.
    for (auto& done : std::span(shop.performed).first(job.count)) done.fd.reset();
}

// A job that is not open was given to a predecessor that hung, and is answered: only its descriptors are let go of.
void take_job(Workshop& shop, Bytes bytes, std::size_t fd_count, const Parent& parent, Privileges& privileges) {
    const Instant began = monotonic_now();
    WARDER_UNINITIALIZED std::array<int, kernel::scm_max_fd> numbers;
    for (std::size_t i = 0; i < fd_count; ++i) numbers[i] = shop.received[i].get();
    const auto job = decode(bytes, std::span(numbers).first(fd_count), shop.items);
    if (!job || fd_count == 0 || !parent.board.is_open(job->id)) return;
    shop.looked_at = {};
    do_job(shop, *job, parent, privileges);
    for (auto& fd : std::span(shop.received).first(fd_count)) fd.reset();
    end(*job, parent, began);
}

}  // namespace

void run(Fd socket, const Board& board) {
    ::prctl(PR_SET_NAME, "warder-opener");
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_DUMPABLE, 0);
    if (socket.get() != parent_socket && ::dup3(socket.release(), parent_socket, O_CLOEXEC) < 0) ::_exit(1);
    if (::close_range(parent_socket + 1, ~0U, 0) != 0) ::_exit(1);
    // Modes of what is made are written in the grants: nothing takes bits away from them.
    ::umask(0);
    static Workshop shop;
    static Privileges privileges;
    privileges.renew_parent_death_signal(SIGKILL);
    const Channel parent{Fd(parent_socket)};
    for (;;) {
        const auto received = parent.receive_with_fds(shop.job, shop.received, 0);
        if (!received || received->received.kind != Received::Kind::message) ::_exit(0);
        take_job(shop, received->received.bytes, received->fd_count, {parent, board}, privileges);
        for (auto& fd : std::span(shop.received).first(received->fd_count)) fd.reset();
    }
}

}  // namespace warder::opener
