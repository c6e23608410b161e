#include "opener/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

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
    shop.results[index] = {item.outcome.reason, item.outcome.error, about.st_dev, about.st_ino};
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
    shop.results[index] = {done.reason, done.error, done.device, done.inode};
}

void perform_all(Workshop& shop, std::size_t count, Privileges& privileges, const Identity& identity) {
    shop.texts.clear();
    for (std::size_t i = 0; i < count; ++i) {
        if (shop.items[i].settled) take_settled(shop, i);
    }
    for (std::size_t i = 0; i < count; ++i) {
        const broker::Task& task = shop.items[i].task;
        if (shop.items[i].settled) continue;
        shop.performed[i] = broker::perform(task, broker::Patience::until_deadline, privileges, identity, shop.texts);
        conclude(shop, i);
    }
}

// Waits a moment for a worker that has not read its earlier replies; then this one is lost to it.
Result<void> send(Workshop& shop, const JobView& job, const Channel& worker) {
    WARDER_UNINITIALIZED std::array<int, protocol::max_requests> fds;
    std::size_t count = 0;
    for (std::size_t i = 0; i < job.count; ++i) {
        if (shop.performed[i].fd) fds[count++] = shop.performed[i].fd.get();
        else if (shop.items[i].lend >= 0) fds[count++] = shop.items[i].lend;
    }
    const auto outcomes = std::span(shop.outcomes).first(job.count);
    const auto message = TRY(protocol::encode_answer(shop.reply, job.request, outcomes));
    auto sent = worker.send(message, std::span(fds).first(count));
    if (sent || sent.error().number != EAGAIN) return sent;
    pollfd room{worker.get(), POLLOUT, 0};
    if (::poll(&room, 1, answer_patience_ms) == 1) sent = worker.send(message, std::span(fds).first(count));
    return sent;
}

// The kernel passes no more descriptors (ETOOMANYREFS: the worker leaves too many unread), or has no memory: nothing is
// lent then, and each request that would have been is told so. What was done otherwise is done.
void lend_nothing(Workshop& shop, std::size_t count, int error) {
    for (std::size_t i = 0; i < count; ++i) {
        broker::JobItem& item = shop.items[i];
        if (!shop.performed[i].fd && item.lend < 0) continue;
        item.lend = -1;
        shop.performed[i] = broker::Performed{Fd(), Reason::system, error, 0, 0, 0, {}};
        conclude(shop, i);
    }
}

bool is_gone(int error) { return error == EAGAIN || error == EPIPE || error == ECONNRESET; }

void answer(Workshop& shop, const JobView& job, const Channel& worker) {
    const auto sent = send(shop, job, worker);
    if (sent || is_gone(sent.error().number)) return;
    lend_nothing(shop, job.count, sent.error().number);
    (void)send(shop, job, worker);
}

// A secret that changed: the new one, or without a descriptor that there is none any more.
void push(Workshop& shop, const Channel& worker) {
    const auto& done = shop.performed[0];
    const std::uint32_t count = done.fd ? 1 : 0;
    const auto event = protocol::encode_event(shop.reply, protocol::Type::secret,
                                              {shop.items[0].grant_name, shop.items[0].task.argument, count});
    const int fd = done.fd.get();
    if (event) (void)worker.send(*event, std::span(&fd, count));
}

// The parent sees it in its next turn; it is woken only when somebody waits for this opener.
void report(Workshop& shop, const JobView& job, const Channel& parent, const Board& board) {
    const auto results = encode_results(shop.report, job.id, std::span(shop.results).first(job.count));
    if (results && board.put(job.id, *results)) (void)parent.send_waiting(Bytes(shop.report).first(sizeof job.id));
}

// Its close may wait, and does so for the last who holds it: that is not to be the parent, which says when it has let go.
void dispose(Workshop& shop, const JobView& job, const Channel& parent, const Board& board) {
    WARDER_UNINITIALIZED std::array<std::byte, sizeof job.id> word;
    (void)parent.receive_waiting(word);
    shop.received[0].reset();
    report(shop, job, parent, board);
}

void do_job(Workshop& shop, Bytes bytes, std::size_t fd_count, const Channel& parent, const Board& board, Privileges& privileges) {
    WARDER_UNINITIALIZED std::array<int, kernel::scm_max_fd> numbers;
    for (std::size_t i = 0; i < fd_count; ++i) numbers[i] = shop.received[i].get();
    const auto job = decode(bytes, std::span(numbers).first(fd_count), shop.items);
    if (!job || fd_count == 0) return;
    if (job->count == 0) return dispose(shop, *job, parent, board);
    perform_all(shop, job->count, privileges, job->identity);
    const Channel worker(std::move(shop.received[0]));
    if (job->count == 1 && broker::is_push(shop.items[0].task)) {
        push(shop, worker);
    } else {
        answer(shop, *job, worker);
    }
    // Like the parent it keeps the credentials of the last job, until one needs others: there and back is a fifth of a job's time.
    for (auto& done : std::span(shop.performed).first(job->count)) done.fd.reset();
    report(shop, *job, parent, board);
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
        do_job(shop, received->received.bytes, received->fd_count, parent, board, privileges);
        for (auto& fd : std::span(shop.received).first(received->fd_count)) fd.reset();
    }
}

}  // namespace warder::opener
