#include "opener/descriptor_store_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/fixed_string.h"
#include "base/time.h"
#include "protocol/codec.h"
#include "sys/channel.h"
#include "sys/kernel.h"
#include "sys/privileges.h"
#include "sys/seccomp.h"

namespace warder::opener {
namespace {

using namespace descriptor_store_wire;

constexpr int parent_socket = 3;
constexpr Duration report_interval = std::chrono::milliseconds(100);
constexpr Duration pace_interval = std::chrono::milliseconds(100);
constexpr int messages_in_an_interval = 500;   // of the worker: more than that wait in its own socket

bool valid_name(std::string_view name) {
    const auto usual = [](char one) {
        return (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') || (one >= '0' && one <= '9') || one == '_' || one == '.' || one == '-';
    };
    return !name.empty() && name.size() < name_room && std::ranges::all_of(name, usual);
}

struct Kept {
    std::string name;
    std::vector<Fd> fds;
    std::int64_t since = 0;
};

class DescriptorStore {
public:
    explicit DescriptorStore(Channel parent) : parent_(std::move(parent)) {}

    [[noreturn]] void run() {
        for (;;) {
            const auto speak = wait();
            // The parent's word comes first: a life that is over says nothing any more.
            if (speak.parent && !hear_parent()) ::_exit(0);
            if (speak.worker) serve();
            if (dirty_ && report_at_ <= monotonic_now()) report();
        }
    }

private:
    bool paused() const { return taken_ >= messages_in_an_interval; }
    bool listens() const { return worker_ && who_.pid > 0 && !paused(); }

    struct Speak {
        bool parent = false;
        bool worker = false;
    };

    // The worker is looked at first: what the parent said before it spoke is seen then.
    Speak wait() {
        const Instant now = monotonic_now();
        if (pace_ends_ <= now) {
            pace_ends_ = now + pace_interval;
            taken_ = 0;
        }
        const int worker = listens() ? worker_.get() : -1;   // poll(2) passes over it
        pollfd polled[2] = {{worker, static_cast<short>(reply_.empty() ? POLLIN : POLLOUT), 0}, {parent_.get(), POLLIN, 0}};
        Instant next = paused() ? pace_ends_ : Instant::never();
        if (dirty_) next = std::min(next, report_at_);
        const int timeout = next == Instant::never() ? -1
                            : next <= now ? 0 : static_cast<int>((next - now) / std::chrono::milliseconds(1)) + 1;
        if (::poll(polled, 2, timeout) <= 0) return {};
        return {.parent = polled[1].revents != 0, .worker = polled[0].revents != 0};
    }

    // ---- The parent ----

    // False when it is gone.
    bool hear_parent() {
        for (;;) {
            Fd end;
            const auto taken = parent_.receive_with_fds(incoming_, std::span(&end, 1), MSG_DONTWAIT);
            if (!taken || taken->received.kind == Received::Kind::closed) return false;
            if (taken->received.kind == Received::Kind::nothing) return true;
            Reader reader(taken->received.bytes);
            const auto order = reader.take<Order>();
            if (reader.ok()) obey(order, std::move(end));
        }
    }

    void obey(const Order& order, Fd end) {
        switch (order.kind) {
            case Kind::adopt: return adopt(order, std::move(end));
            case Kind::begins:
                if (order.life == life_) who_ = {order.pid, order.uid, order.gid};
                return;
            case Kind::over:
                if (order.life == life_) let_go();
                return;
            case Kind::limit: most_ = order.most; return;
            default: return;
        }
    }

    void adopt(const Order& order, Fd end) {
        life_ = order.life;
        most_ = order.most;
        tell_soon(Instant{});
        let_go();
        worker_ = Channel(std::move(end));
    }

    // What was still on its way is closed with it.
    void let_go() {
        who_ = {};
        forget_reply();
        if (dirty_) report();   // closing may take its time
        worker_.close();
    }

    // What it told the parent last is no longer so.
    void tell_soon(Instant at) {
        if (!dirty_ || at < report_at_) report_at_ = at;
        dirty_ = true;
    }

    // A parent that does not read just now hears it later.
    void report() {
        Writer writer(outgoing_);
        Report head{.kind = Kind::held, .life = life_, .fault = Fault::none, .names = static_cast<std::uint32_t>(kept_.size()),
                    .total = total_, .entries = 0, .refused = refused_, .strays = strays_};
        head.entries = std::min<std::uint32_t>(head.names, max_names_told);
        writer.put(head);
        for (const auto& kept : std::span(kept_).first(head.entries)) {
            Entry entry;
            std::copy(kept.name.begin(), kept.name.end(), entry.name.begin());
            entry.count = static_cast<std::uint32_t>(kept.fds.size());
            entry.since = kept.since;
            writer.put(entry);
        }
        dirty_ = !parent_.send(writer.written()).has_value();
        report_at_ = monotonic_now() + report_interval;
    }

    // It broke the protocol: this life of it has no store any more, and what becomes of it is the parent's to say.
    void violate(Fault fault) {
        const Report said{.kind = Kind::violated, .life = life_, .fault = fault};
        (void)parent_.send_waiting(std::as_bytes(std::span(&said, 1)));
        let_go();
    }

    // ---- The worker ----

    void serve() {
        if (!reply_.empty()) return send_reply();
        ++taken_;
        auto taken = worker_.receive_with_fds(incoming_, fds_, MSG_DONTWAIT);
        if (!taken || taken->received.kind == Received::Kind::closed) {
            let_go();
        } else if (taken->received.kind == Received::Kind::message) {
            take(taken->received, taken->fd_count);
        }
        // Whatever was not kept goes here, after the answer: it may take its time.
        for (auto& fd : fds_) fd.reset();
    }

    void take(const Received& received, std::size_t count) {
        if (!received.authenticated) return violate(Fault::no_credentials);
        const auto message = protocol::decode(received.bytes);
        if (received.sender != who_) {
            strays_ += count;
            if (message) answer(message->id, {EPERM, Reason::not_requester, "only this worker's main process may use its store"});
            return;
        }
        if (received.truncated) return violate(Fault::too_long);
        if (!message || message->id == RequestId::event) return violate(Fault::undecodable);
        const auto text = protocol::decode_text(*message);
        switch (message->type) {
            case protocol::Type::put: return text ? put(message->id, *text, count) : violate(Fault::undecodable);
            case protocol::Type::fetch: return text ? fetch(message->id, *text, count) : violate(Fault::undecodable);
            case protocol::Type::stored: return text ? list(message->id, count) : violate(Fault::undecodable);
            default: return violate(Fault::wrong_type);
        }
    }

    void put(RequestId id, std::string_view name, std::size_t count) {
        if (!valid_name(name)) return answer(id, {EINVAL, Reason::bad_argument, "a name has 1 to 63 of the characters a-zA-Z0-9_.-"});
        if (count == 0) return answer(id, {EINVAL, Reason::bad_argument, "no descriptor came with it"});
        if (find(name) != kept_.end()) return answer(id, {EEXIST, Reason::system, "something is kept under this name already"});
        if (count > most_ || total_ > most_ - count) return refuse_more(id, count);
        Kept& kept = kept_.emplace_back();
        kept.name = name;
        kept.since = wall_clock_now();
        for (auto& fd : std::span(fds_).first(count)) kept.fds.push_back(std::move(fd));
        total_ += static_cast<std::uint32_t>(count);
        tell_soon(report_at_);
        answer(id, {});
    }

    void refuse_more(RequestId id, std::size_t count) {
        FixedString<160> text("the store keeps at most ");
        text.append_number(most_).append(" descriptors at once (most), has ").append_number(total_).append(", and ");
        text.append_number(count).append(" came");
        answer(id, {EDQUOT, Reason::too_many, text.view()});
    }

    void fetch(RequestId id, std::string_view name, std::size_t count) {
        if (!valid_name(name) || count > 0) return answer(id, {EINVAL, Reason::bad_argument, "no name, or descriptors where none may be"}, count);
        const auto kept = find(name);
        if (kept == kept_.end()) return answer(id, {ENOENT, Reason::system, "nothing is kept under this name"});
        giving_ = name;
        answer(id, {});
    }

    void list(RequestId id, std::size_t count) {
        if (count > 0) return answer(id, {EINVAL, Reason::bad_argument, "descriptors where none may be"}, count);
        std::string text;
        for (const auto& kept : kept_) text += kept.name + " " + std::to_string(kept.fds.size()) + "\n";
        answer(id, {0, Reason::ok, text});
    }

    void answer(RequestId id, const protocol::Done& done, std::size_t strays = 0) {
        strays_ += strays;
        if (done.error != 0) {
            ++refused_;
            tell_soon(report_at_);
        }
        const auto message = protocol::encode_done(outgoing_, id, done);
        if (!message) return answer(id, {EMSGSIZE, Reason::system, "the list is too long for one message"});
        reply_.assign(message->begin(), message->end());
        reply_id_ = id;
        send_reply();
    }

    // A worker that does not read has its answer kept, and nothing more is taken from it until then.
    void send_reply() {
        std::vector<int> numbers;
        const auto giving = giving_.empty() ? kept_.end() : find(giving_);
        if (giving != kept_.end()) {
            for (const auto& fd : giving->fds) numbers.push_back(fd.get());
        }
        const auto sent = worker_.send(reply_, numbers);
        if (!sent && sent.error().number == EAGAIN) return;
        const int error = sent ? 0 : sent.error().number;
        forget_reply();
        if (error == EPIPE || error == ECONNRESET) return;
        // Too many of this user's are on their way already (ETOOMANYREFS): what is kept stays.
        if (error != 0) return numbers.empty() ? let_go() : answer(reply_id_, {error, Reason::system, {}});
        if (giving == kept_.end()) return;
        // It is the worker's now.
        total_ -= static_cast<std::uint32_t>(giving->fds.size());
        const Kept given = std::move(*giving);
        kept_.erase(giving);
        tell_soon(report_at_);
    }

    void forget_reply() {
        reply_.clear();
        giving_.clear();
    }

    std::vector<Kept>::iterator find(std::string_view name) { return std::ranges::find(kept_, name, &Kept::name); }

    Channel parent_;
    Channel worker_;                // of this life
    Credentials who_;               // pid 0: it has not begun
    std::uint32_t life_ = 0;
    std::uint32_t most_ = 0;
    std::uint32_t total_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t strays_ = 0;
    std::vector<Kept> kept_;
    std::vector<std::byte> reply_;  // not sent yet
    RequestId reply_id_{};
    std::string giving_;            // the name whose descriptors go with it
    int taken_ = 0;
    Instant pace_ends_{};
    bool dirty_ = false;
    Instant report_at_{};
    std::array<Fd, kernel::scm_max_fd> fds_;
    std::array<std::byte, max_message> incoming_;
    std::array<std::byte, max_message> outgoing_;
};
static_assert(sizeof(Report) + max_names_told * sizeof(Entry) <= max_message);

// What a descriptor store needs: to receive, to send, to wait, memory and the time. It opens nothing, and can signal nobody.
Result<seccomp::Program> few_calls() {
    std::vector<int> calls;
    for (const auto* name : {"brk", "clock_gettime", "clock_nanosleep", "close", "exit", "exit_group", "futex", "getpid", "gettid",
                             "madvise", "mmap", "mprotect", "mremap", "munmap", "poll", "ppoll", "recvmsg", "restart_syscall",
                             "rt_sigprocmask", "rt_sigreturn", "sched_yield", "sendmsg", "sigaltstack", "write"}) {
        calls.push_back(seccomp::call_number(name));
    }
    return seccomp::compile_few(calls);
}

bool drop_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2]{};
    return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 && ::syscall(SYS_capset, &header, none) == 0;
}

// As the worker's own user: what it has on its way to the worker is charged to that user, so a worker that takes nothing back
// fills up nobody's account but its own. Being of the same user gives the worker no way in: this process is not dumpable, so it
// is neither traced nor read, and lies outside the worker's pid namespace and its Landlock scope, so it is not signalled. In a
// sandbox without both a worker can end its own descriptor store, and lose what it had given it.
bool confine(const DescriptorStoreOrders& orders) {
    const auto calls = few_calls();
    if (!calls) return false;
    if (!settle_as(orders.uid, orders.gid)) return false;
    if (!drop_capabilities()) return false;
    if (::prctl(PR_SET_DUMPABLE, 0) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return false;
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
    return seccomp::install(calls->data(), static_cast<unsigned short>(calls->size())) == 0;
}

}  // namespace

void keep_descriptors(Fd socket, const DescriptorStoreOrders& orders) {
    ::prctl(PR_SET_NAME, "warder-store");
    if (socket.get() != parent_socket && ::dup3(socket.release(), parent_socket, O_CLOEXEC) < 0) ::_exit(1);
    if (::close_range(parent_socket + 1, ~0U, 0) != 0) ::_exit(1);
    if (!confine(orders)) ::_exit(1);
    // A parent that died before it could be heard of has closed its end.
    static std::optional<DescriptorStore> descriptor_store;
    descriptor_store.emplace(Channel(Fd(parent_socket)));
    descriptor_store->run();
}

}  // namespace warder::opener
