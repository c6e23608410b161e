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

Result<void> EventQueue::create(PendingSignals* pending, EndTable* ends) {
    wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) return failure("eventfd");
    owner_wake_ = TRY(wake_.duplicate());
    pending_ = pending;
    ends_ = ends;
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

void EventQueue::command_ended(std::uint64_t value, std::string_view grant) {
    ends_->record(value, grant);
    wake(wake_);
}

// Quiet first, look after: what another process raises in between wakes us again.
std::optional<Event> EventQueue::take() {
    const std::lock_guard guard(mutex_);
    quiet(wake_);
    auto event = take_signal();
    if (!event) event = take_queued();
    if (!event) event = take_end();
    if (anything_left()) wake(wake_);
    return event;
}

// The older ones of that name go.
std::optional<Event> EventQueue::take_channel(std::string_view name) {
    const std::lock_guard guard(mutex_);
    std::optional<Event> newest;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        Event event = std::exchange(ring_[(first_ + i) % capacity], Event{});
        if (event.type == protocol::Type::channel && event.name.view() == name) {
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

std::optional<Event> EventQueue::take_end() {
    const auto end = ends_->take_oldest();
    if (!end) return std::nullopt;
    Event event = plain_event(protocol::Type::ended);
    event.name.append(end->grant.view());
    event.value = end->value;
    event.lost = static_cast<std::uint32_t>(ends_->dropped() - std::exchange(ends_dropped_, ends_->dropped()));
    return event;
}

bool EventQueue::anything_left() const {
    return count_ > 0 || !ends_->empty() || (takes_signals_ && (pending_->stop.load() != 0 || pending_->reload.load() != 0));
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
