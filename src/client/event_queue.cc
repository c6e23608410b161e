#include "client/event_queue.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <new>
#include <utility>

namespace warder::client {
namespace {

void wake(const Fd& fd) {
    if (fd) (void)::eventfd_write(fd.get(), 1);
}

void quiet(const Fd& fd) {
    eventfd_t count = 0;
    if (fd) (void)::eventfd_read(fd.get(), &count);
}

Event plain_event(protocol::Type type) {
    Event event;
    event.type = type;
    return event;
}

}  // namespace

Result<void> EventQueue::create(PendingSignals* pending) {
    wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) return failure("eventfd");
    owner_wake_ = TRY(wake_.duplicate());
    pending_ = pending;
    return {};
}

void EventQueue::push(Event event) {
    const std::lock_guard guard(mutex_);
    if (count_ == capacity) {
        ring_[first_] = Event{};
        first_ = (first_ + 1) % capacity;
        --count_;
        ++lost_;
    }
    ring_[(first_ + count_) % capacity] = std::move(event);
    ++count_;
    wake(wake_);
}

void EventQueue::raise(protocol::Type type) {
    (type == protocol::Type::stop ? pending_->stop : pending_->reload).store(1);
    wake(owner_wake_);
}

// Quiet first, look after: what another process raises in between wakes us again.
std::optional<Event> EventQueue::take() {
    const std::lock_guard guard(mutex_);
    quiet(wake_);
    auto event = take_signal();
    if (!event) event = take_queued();
    if (anything_left()) wake(wake_);
    return event;
}

std::optional<Event> EventQueue::take_channel(std::string_view name) {
    return take_newest([&](const Event& event) { return event.type == protocol::Type::channel && event.name.view() == name; });
}

// Of two with one pid the older is of a command whose number has come back.
std::optional<Event> EventQueue::take_end(std::int64_t pid) {
    return take_newest([&](const Event& event) {
        return event.type == protocol::Type::ended && static_cast<std::int64_t>(event.value >> 32) == pid;
    });
}

// The newest of those that are wanted; the older ones of them go.
template <typename Wanted>
std::optional<Event> EventQueue::take_newest(Wanted wanted) {
    const std::lock_guard guard(mutex_);
    std::optional<Event> newest;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        Event event = std::exchange(ring_[(first_ + i) % capacity], Event{});
        if (wanted(event)) {
            newest = std::move(event);
        } else {
            ring_[(first_ + kept++) % capacity] = std::move(event);
        }
    }
    count_ = kept;
    quiet(wake_);
    if (anything_left()) wake(wake_);
    return newest;
}

std::optional<Event> EventQueue::take_signal() {
    if (!takes_signals_) return std::nullopt;
    if (pending_->stop.exchange(0) != 0) return plain_event(protocol::Type::stop);
    if (pending_->reload.exchange(0) != 0) return plain_event(protocol::Type::reload);
    return std::nullopt;
}

std::optional<Event> EventQueue::take_queued() {
    if (count_ == 0) return std::nullopt;
    Event event = std::exchange(ring_[first_], Event{});
    event.lost = std::exchange(lost_, 0);
    first_ = (first_ + 1) % capacity;
    --count_;
    return event;
}

bool EventQueue::anything_left() const {
    return count_ > 0 || (takes_signals_ && (pending_->stop.load() != 0 || pending_->reload.load() != 0));
}

// The mutex may have been held by a thread that does not exist here: it is made anew.
void EventQueue::after_fork_in_child() {
    new (&mutex_) std::mutex;
    for (auto& event : ring_) event.fd.reset();
    count_ = 0;
    lost_ = 0;
    takes_signals_ = false;
    wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

}  // namespace warder::client
