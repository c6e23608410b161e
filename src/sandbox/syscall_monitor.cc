#include "sandbox/syscall_monitor.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "sandbox/syscall_monitor_process.h"
#include "sys/process.h"

namespace warder::sandbox {
namespace {

using namespace syscall_monitor_wire;

constexpr int patience_ms = 20;

// What a syscall monitor says is shown to operators: a name is letters, digits and "_", whoever sent it.
std::string clean(const std::array<char, name_room>& name) {
    const auto strange = [](char one) {
        return !((one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') || (one >= '0' && one <= '9') || one == '_' || one == ' ' || one == '-');
    };
    std::string text(name.data(), ::strnlen(name.data(), name.size()));
    std::ranges::replace_if(text, strange, '?');
    return text;
}

SeenCall from(const Entry& entry) {
    SeenCall call;
    call.name = clean(entry.name);
    call.foreign = entry.foreign != 0;
    call.number = entry.number;
    call.error = entry.error;
    call.pid = entry.pid;
    call.count = entry.count;
    call.first = entry.first;
    call.last = entry.last;
    call.arguments = entry.arguments;
    call.plain = entry.plain & 0b111111;
    return call;
}

}  // namespace

Result<std::unique_ptr<SyscallMonitor>> SyscallMonitor::spawn() {
    ChannelPair pair = TRY(make_channel_pair());
    (void)pair.ours.refuse_descriptors();
    const SignalsBlocked blocked;
    Cloned child = TRY(clone_process(0, -1));
    if (child.pid == 0) monitor_calls(pair.theirs.take());
    return std::unique_ptr<SyscallMonitor>(new SyscallMonitor(std::move(pair.ours), std::move(child.pidfd), child.pid));
}

SyscallMonitor::~SyscallMonitor() {
    if (reaped_) return;
    (void)send_signal(pidfd_.get(), SIGKILL);
    if (ended_within(pidfd_.get(), patience_ms)) (void)ended();
}

bool SyscallMonitor::ended() {
    if (reaped_) return true;
    const auto end = reap(pidfd_.get());
    reaped_ = !end || *end;
    return reaped_;
}

Result<Fd> SyscallMonitor::adopt(const seccomp::Program& filter) {
    ChannelPair pair = TRY(make_channel_pair());
    const int end = pair.ours.get();
    std::vector<std::byte> message(sizeof(Order) + filter.size() * sizeof(sock_filter));
    const Order order{.kind = Kind::adopt, .life = life_ + 1, .length = static_cast<std::uint32_t>(filter.size())};
    std::memcpy(message.data(), &order, sizeof order);
    if (!filter.empty()) std::memcpy(message.data() + sizeof order, filter.data(), filter.size() * sizeof(sock_filter));
    TRY(channel_.send(message, std::span(&end, 1)));
    ++life_;
    return pair.theirs.take();
}

void SyscallMonitor::over() {
    const Order order{.kind = Kind::over, .life = life_};
    (void)channel_.send(std::as_bytes(std::span(&order, 1)));
}

bool SyscallMonitor::hear() {
    const auto received = channel_.receive(scratch_);
    if (!received || received->kind != Received::Kind::message) return false;
    Reader reader(received->bytes);
    const auto report = reader.take<Report>();
    if (!reader.ok() || report.kind != Kind::seen || report.life != life_ || report.entries > max_calls) return false;
    SeenCalls seen{.list = {}, .others = report.others, .killed = report.killed != 0};
    for (std::uint32_t i = 0; i < report.entries; ++i) {
        const auto entry = reader.take<Entry>();
        if (!reader.ok()) return false;
        seen.list.push_back(from(entry));
    }
    seen_ = std::move(seen);
    seen_life_ = life_;
    return true;
}

}  // namespace warder::sandbox
