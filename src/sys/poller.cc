#include "sys/poller.h"

#include "base/bytes.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

namespace warder {
namespace {

constexpr std::uint32_t generation_mask = 0x00ffffffU;

std::uint64_t pack(PollTag tag) {
    return (std::uint64_t{tag.kind} << 56) | (std::uint64_t{tag.generation & generation_mask} << 32) | tag.id;
}

timespec timespec_of(Duration duration) {
    return {duration.count() / 1'000'000'000, duration.count() % 1'000'000'000};
}

PollTag unpack(std::uint64_t raw) {
    return {static_cast<std::uint8_t>(raw >> 56), static_cast<std::uint32_t>(raw),
            static_cast<std::uint32_t>(raw >> 32) & generation_mask};
}

}  // namespace

Result<Poller> Poller::create() {
    Fd fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!fd) return failure("epoll_create1");
    return Poller(std::move(fd));
}

Result<void> Poller::control(int operation, int fd, std::uint32_t events, PollTag tag) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = pack(tag);
    if (::epoll_ctl(fd_.get(), operation, fd, &event) != 0) return failure("epoll_ctl");
    return {};
}

Result<void> Poller::watch(int fd, PollTag tag) { return control(EPOLL_CTL_ADD, fd, EPOLLIN, tag); }
Result<void> Poller::watch_hangup(int fd, PollTag tag) { return control(EPOLL_CTL_ADD, fd, 0, tag); }
Result<void> Poller::change_to_read(int fd, PollTag tag) { return control(EPOLL_CTL_MOD, fd, EPOLLIN, tag); }
Result<void> Poller::change_to_write(int fd, PollTag tag) { return control(EPOLL_CTL_MOD, fd, EPOLLOUT, tag); }
Result<void> Poller::change_to_hangup(int fd, PollTag tag) { return control(EPOLL_CTL_MOD, fd, 0, tag); }

void Poller::forget(int fd) { ::epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

Result<std::span<const PollEvent>> Poller::wait(Duration patience) {
    WARDER_UNINITIALIZED epoll_event raw[batch];
    const timespec limit = timespec_of(patience);
    const int count = patience == Duration::max() ? ::epoll_wait(fd_.get(), raw, batch, -1)
                                                  : ::epoll_pwait2(fd_.get(), raw, batch, &limit, nullptr);
    if (count < 0 && errno != EINTR) return failure("epoll_wait");
    const auto ready = static_cast<std::size_t>(count < 0 ? 0 : count);
    for (std::size_t i = 0; i < ready; ++i) {
        const std::uint32_t bits = raw[i].events;
        events_[i] = {unpack(raw[i].data.u64), (bits & EPOLLIN) != 0, (bits & EPOLLOUT) != 0,
                      (bits & (EPOLLHUP | EPOLLERR)) != 0};
    }
    return std::span<const PollEvent>(events_, ready);
}

Result<Timer> Timer::create() {
    Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!fd) return failure("timerfd_create");
    return Timer(std::move(fd));
}

Result<void> Timer::set(Instant at) {
    itimerspec setting{};
    if (at != Instant::never()) {
        // Zero would disarm, so a moment at or before boot becomes the first nanosecond after it.
        const std::int64_t moment = at.nanoseconds > 0 ? at.nanoseconds : 1;
        setting.it_value.tv_sec = moment / 1'000'000'000;
        setting.it_value.tv_nsec = moment % 1'000'000'000;
    }
    if (::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &setting, nullptr) != 0) return failure("timerfd_settime");
    return {};
}

void Timer::acknowledge() {
    std::uint64_t expirations = 0;
    [[maybe_unused]] const ssize_t size = ::read(fd_.get(), &expirations, sizeof expirations);
}

}  // namespace warder
