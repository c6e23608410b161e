#include "client/waiter.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace warder::client {

Result<void> Bell::create(WaitCounts* counts) {
    rung_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!rung_) return failure("eventfd");
    counts_ = counts;
    return {};
}

void Bell::ring() const {
    if (counts_->waiters.load() > 0) (void)::eventfd_write(rung_.get(), 1);
}

void Bell::turn_ended() const {
    if (counts_->turn_wanted.load() != 0 && counts_->turn_wanted.exchange(0) != 0) ring();
}

// While it waited it may have kept others from the line; whoever found it taken then looks now.
Waiter::~Waiter() {
    if (!epoll_) return;
    --bell_.counts_->waiters;
    bell_.turn_ended();
}

Result<void> Waiter::begin(int socket) {
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) return failure("epoll_create1");
    epoll_event edge{};
    edge.events = EPOLLIN | EPOLLET;
    for (const int fd : {socket, bell_.rung_.get()}) {
        if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &edge) != 0) return failure("epoll_ctl");
    }
    epoll_ = std::move(epoll);
    ++bell_.counts_->waiters;
    return {};
}

void Waiter::sleep(int timeout_ms) const {
    epoll_event heard[2];
    (void)::epoll_wait(epoll_.get(), heard, 2, timeout_ms);
}

}  // namespace warder::client
