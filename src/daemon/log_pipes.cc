#include "daemon/log_pipes.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <utility>

#include "daemon/log.h"

namespace warder::daemon {
namespace {

constexpr int max_on_their_way = 16;
constexpr std::size_t max_former = 4;   // pipes of runs that are over, of one worker

// Limits of a log as one number, in the event that carries its pipe: bytes of a file below, files to keep in the top 16 bits.
std::uint64_t pack(const config::Logging& limits) {
    constexpr std::uint64_t largest = (std::uint64_t{1} << 48) - 1;
    const std::uint64_t size = limits.max_size < largest ? limits.max_size : largest;
    const std::uint64_t keep = limits.keep < 0xffff ? limits.keep : 0xffff;
    return size | (keep << 48);
}

}  // namespace

LogPipes::~LogPipes() {
    for (const auto& [name, pipe] : pipes_) names_.remove(pipe.name);
}

// What a worker writes is worth more than the name of where it goes.
bool LogPipes::open_named(Pipe& pipe) {
    auto made = names_.make(*pipe.group);
    if (!made && can_name_) log_warning("workers' output has no name, and /dev/stdout cannot be opened in them: " + describe(made.error()));
    can_name_ = made.has_value();
    if (!made) return false;
    pipe.reader = {std::move(made->reading), false};
    pipe.writer = std::move(made->writing);
    pipe.name = made->name;
    return true;
}

Result<void> LogPipes::open(Pipe& pipe) {
    if (pipe.group && open_named(pipe)) return {};
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    pipe.reader = {Fd(ends[0]), false};
    pipe.writer = Fd(ends[1]);
    return {};
}

Result<Fd> LogPipes::writer(const std::string& name, const config::Logging& limits, std::optional<gid_t> group) {
    Pipe& pipe = pipes_[name];
    const bool another = std::exchange(pipe.group, group) != group;
    if (!pipe.writer) {
        if (const auto opened = open(pipe); !opened) {
            pipes_.erase(name);
            return Failure(opened.error());
        }
    }
    if (another && group && pipe.name != 0 && ::fchown(pipe.writer.get(), static_cast<uid_t>(-1), *group) != 0) return failure("fchown");
    pipe.limits = limits;
    pipe.reader.delivered = false;
    return pipe.writer.duplicate();
}

Result<Fd> LogPipes::renew(const std::string& name) {
    const auto found = pipes_.find(name);
    if (found == pipes_.end()) return failure(ENOENT, "the pipe of a log");
    Pipe& pipe = found->second;
    // What is empty was read, or nothing was ever written: whoever still writes there has the keeper's end to write to.
    const auto is_empty = [](const Reader& reader) {
        int left = 0;
        return ::ioctl(reader.fd.get(), FIONREAD, &left) == 0 && left == 0;
    };
    std::erase_if(pipe.former, is_empty);
    if (pipe.former.size() < max_former) {
        Pipe next;
        next.group = pipe.group;
        TRY(open(next));
        Reader last = std::exchange(pipe.reader, std::move(next.reader));
        pipe.writer = std::move(next.writer);
        names_.remove(std::exchange(pipe.name, next.name));
        if (!is_empty(last)) pipe.former.push_back(std::move(last));
    }
    return pipe.writer.duplicate();
}

void LogPipes::forget(const std::string& name) {
    const auto found = pipes_.find(name);
    if (found == pipes_.end()) return;
    names_.remove(found->second.name);
    pipes_.erase(found);
}

void LogPipes::keeper_began(WorkerId keeper) {
    keeper_ = keeper;
    keeper_up_ = true;
    on_their_way_ = 0;
    for (auto& [name, pipe] : pipes_) {
        pipe.reader.delivered = false;
        for (auto& reader : pipe.former) reader.delivered = false;
    }
}

void LogPipes::keeper_ended() { keeper_up_ = false; }

bool LogPipes::deliver(broker::Broker& broker) {
    if (!keeper_up_) return false;
    for (auto& [name, pipe] : pipes_) {
        const Sent sent = send_all(broker, name, pipe);
        if (sent != Sent::yes) return sent == Sent::full;
    }
    return false;
}

// Those of former runs first: the keeper reads a log's pipes in the order in which they come to it.
LogPipes::Sent LogPipes::send_all(broker::Broker& broker, const std::string& name, Pipe& pipe) {
    for (auto& reader : pipe.former) {
        if (const Sent sent = send(broker, name, pipe, reader); sent != Sent::yes) return sent;
    }
    return send(broker, name, pipe, pipe.reader);
}

LogPipes::Sent LogPipes::send(broker::Broker& broker, const std::string& name, const Pipe& pipe, Reader& reader) {
    if (reader.delivered) return Sent::yes;
    if (on_their_way_ == max_on_their_way) return Sent::later;
    const protocol::Event event{name, pack(pipe.limits), 1};
    const auto sent = broker.send_event(keeper_, protocol::Type::channel, event, reader.fd.get());
    if (!sent) return sent.error().number == EAGAIN ? Sent::full : Sent::later;
    reader.delivered = true;
    ++on_their_way_;
    return Sent::yes;
}

}  // namespace warder::daemon
