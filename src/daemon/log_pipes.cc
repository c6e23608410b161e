#include "daemon/log_pipes.h"

#include <fcntl.h>
#include <unistd.h>

namespace warder::daemon {
namespace {

constexpr int most_on_their_way = 16;

// Limits of a log as one number, in the event that carries its pipe: bytes of a file below, files to keep in the top 16 bits.
std::uint64_t pack(const config::Logging& limits) {
    constexpr std::uint64_t largest = (std::uint64_t{1} << 48) - 1;
    const std::uint64_t size = limits.max_size < largest ? limits.max_size : largest;
    const std::uint64_t keep = limits.keep < 0xffff ? limits.keep : 0xffff;
    return size | (keep << 48);
}

}  // namespace

Result<Fd> LogPipes::writer(const std::string& name, const config::Logging& limits) {
    Pipe& pipe = pipes_[name];
    if (!pipe.writer) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) {
            pipes_.erase(name);
            return failure("pipe2");
        }
        pipe.reader = Fd(ends[0]);
        pipe.writer = Fd(ends[1]);
    }
    pipe.limits = limits;
    pipe.delivered = false;
    return pipe.writer.duplicate();
}

void LogPipes::forget(const std::string& name) { pipes_.erase(name); }

void LogPipes::keeper_began(WorkerId keeper) {
    keeper_ = keeper;
    keeper_up_ = true;
    on_their_way_ = 0;
    for (auto& [name, pipe] : pipes_) pipe.delivered = false;
}

void LogPipes::keeper_ended() { keeper_up_ = false; }

bool LogPipes::deliver(broker::Broker& broker) {
    if (!keeper_up_) return false;
    for (auto& [name, pipe] : pipes_) {
        if (pipe.delivered) continue;
        if (on_their_way_ == most_on_their_way) return false;
        const protocol::Event event{name, pack(pipe.limits), 1};
        const auto sent = broker.send_event(keeper_, protocol::Type::channel, event, pipe.reader.get());
        if (!sent) return sent.error().number == EAGAIN;
        pipe.delivered = true;
        ++on_their_way_;
    }
    return false;
}

}  // namespace warder::daemon
