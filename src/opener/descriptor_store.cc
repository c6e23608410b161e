#include "opener/descriptor_store.h"

#include <csignal>
#include <cstring>

#include "sys/process.h"

namespace warder::opener {
namespace {

using namespace descriptor_store_wire;

constexpr std::uint32_t max_unanswered = 4;   // sockets that lie in the queue of one that hangs
constexpr int patience_ms = 20;

const char* in_words(Fault fault) {
    switch (fault) {
        case Fault::no_credentials: return "a message to the store without credentials";
        case Fault::too_long: return "a message to the store longer than 64 KiB";
        case Fault::undecodable: return "a message to the store that is none";
        case Fault::wrong_type: return "a message to the store of a type that it does not take";
        case Fault::none: break;
    }
    return "a message to the store";
}

}  // namespace

Result<std::unique_ptr<DescriptorStore>> DescriptorStore::spawn(Privileges& privileges, uid_t uid, gid_t gid, std::uint32_t most) {
    privileges.become_root();
    ChannelPair pair = TRY(make_channel_pair());
    // It is of the worker's user: were it taken over, it still could send nothing here but bytes.
    (void)pair.ours.refuse_descriptors();
    const DescriptorStoreOrders orders{uid, gid};
    Cloned child = TRY(clone_process(0, -1));
    if (child.pid == 0) keep_descriptors(pair.theirs.take(), orders);
    return std::unique_ptr<DescriptorStore>(new DescriptorStore(std::move(pair.ours), std::move(child.pidfd), child.pid, most));
}

DescriptorStore::~DescriptorStore() {
    if (reaped_) return;
    (void)send_signal(pidfd_.get(), SIGKILL);
    if (ended_within(pidfd_.get(), patience_ms)) (void)ended();
}

bool DescriptorStore::ended() {
    if (reaped_) return true;
    const auto end = reap(pidfd_.get());
    reaped_ = !end || *end;
    return reaped_;
}

Result<void> DescriptorStore::tell(const Order& order, std::span<const int> fds) {
    return channel_.send(std::as_bytes(std::span(&order, 1)), fds);
}

Result<Fd> DescriptorStore::adopt() {
    if (life_ - adopted_ >= max_unanswered) return failure(EAGAIN, "the descriptor store hangs");
    ChannelPair pair = TRY(make_channel_pair());
    const int end = pair.ours.get();
    Order order{.kind = Kind::adopt, .life = life_ + 1, .most = most_};
    TRY(tell(order, std::span(&end, 1)));
    ++life_;
    return pair.theirs.take();
}

Result<void> DescriptorStore::begins(Credentials who) {
    return tell({.kind = Kind::begins, .life = life_, .most = most_, .pid = who.pid, .uid = who.uid, .gid = who.gid});
}

void DescriptorStore::over() { (void)tell({.kind = Kind::over, .life = life_}); }

void DescriptorStore::limit(std::uint32_t most) {
    most_ = most;
    (void)tell({.kind = Kind::limit, .life = life_, .most = most});
}

DescriptorStore::News DescriptorStore::hear() {
    const auto received = channel_.receive(scratch_);
    if (!received || received->kind != Received::Kind::message) return News::nothing;
    Reader reader(received->bytes);
    const auto report = reader.take<Report>();
    if (!reader.ok()) return News::nothing;
    if (report.kind == Kind::violated) {
        violating_life_ = report.life;
        violation_ = in_words(report.fault);
        return News::violated;
    }
    if (report.kind != Kind::held || report.entries > max_names_told) return News::nothing;
    adopted_ = std::min(report.life, life_);
    take_list(report, reader.left());
    return News::changed;
}

void DescriptorStore::take_list(const Report& report, Bytes entries) {
    kept_ = {{}, report.names, report.total, report.refused, report.strays};
    Reader reader(entries);
    for (std::uint32_t i = 0; i < report.entries; ++i) {
        const auto entry = reader.take<Entry>();
        if (!reader.ok()) return;
        const std::size_t length = ::strnlen(entry.name.data(), entry.name.size());
        kept_.names.push_back({std::string(entry.name.data(), length), entry.count, entry.since});
    }
}

}  // namespace warder::opener
