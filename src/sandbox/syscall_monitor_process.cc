#include "sandbox/syscall_monitor_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "sandbox/forbidden.h"
#include "sandbox/seen_call.h"
#include "sys/channel.h"
#include "sys/seccomp.h"

namespace warder::sandbox {
namespace {

using namespace syscall_monitor_wire;

constexpr int parent_socket = 3;
constexpr Duration report_interval = std::chrono::milliseconds(100);
// Of one worker. More than that wait for their answer: a flood of denied calls slows down who makes it.
constexpr Duration pace_interval = std::chrono::milliseconds(100);
constexpr int answers_in_an_interval = 1000;

// Room for what a newer kernel has to say beyond what we know.
template <typename T>
union Roomy {
    T known;
    std::array<std::byte, 512> all;
};

// As the ABI of the call has it; libseccomp's tokens are the kernel's.
std::string name_of(const seccomp_data& call) {
    char* const found = ::seccomp_syscall_resolve_num_arch(call.arch, call.nr);
    std::string name = found != nullptr ? found : "call number " + std::to_string(call.nr);
    std::free(found);
    return name.substr(0, name_room - 1);
}

class SyscallMonitor {
public:
    explicit SyscallMonitor(Channel parent) : parent_(std::move(parent)) {}

    [[noreturn]] void run() {
        for (;;) {
            const Polled ready = wait();
            // The parent's word comes first: a life that is over is told of no more.
            if (!hear_parent()) ::_exit(0);
            if (ready.hand && hand_) take_listener();
            if (ready.listener && listener_) serve();
            if (ready.nobody) listener_.reset();
            if (dirty_ && report_at_ <= monotonic_now()) report();
        }
    }

private:
    struct Polled {
        bool hand = false;
        bool listener = false;
        bool nobody = false;     // nobody is left under the filter
    };

    Polled wait() {
        const Instant now = monotonic_now();
        if (pace_ends_ <= now) {
            pace_ends_ = now + pace_interval;
            answered_ = 0;
        }
        const bool paused = answered_ >= answers_in_an_interval;
        pollfd polled[3] = {{parent_.get(), POLLIN, 0}, {hand_.get(), POLLIN, 0}, {paused ? -1 : listener_.get(), POLLIN, 0}};
        Instant next = paused ? pace_ends_ : Instant::never();
        if (dirty_) next = std::min(next, report_at_);
        const int timeout = next == Instant::never() ? -1
                            : next <= now ? 0 : static_cast<int>((next - now) / std::chrono::milliseconds(1)) + 1;
        if (::poll(polled, 3, timeout) <= 0) return {};
        // Asking for a notification where there is none would wait for one.
        const bool asked = (polled[2].revents & POLLIN) != 0;
        return {polled[1].revents != 0, asked, !asked && polled[2].revents != 0};
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
            if (reader.ok()) obey(order, reader, std::move(end));
        }
    }

    void obey(const Order& order, Reader& reader, Fd end) {
        if (order.kind == Kind::over && order.life == life_) return let_go();
        if (order.kind != Kind::adopt || order.length > max_instructions) return;
        seccomp::Program program(order.length);
        for (auto& one : program) one = reader.take<sock_filter>();
        if (!reader.ok()) return;
        let_go();
        life_ = order.life;
        program_ = std::move(program);
        hand_ = Channel(std::move(end));
        seen_.clear();
        others_ = 0;
        killed_ = counts_ = false;
        dirty_ = false;
    }

    // Whoever still waits is answered ENOSYS by the kernel.
    void let_go() {
        if (dirty_) report();
        hand_.close();
        listener_.reset();
    }

    void tell_soon(Instant at) {
        if (!dirty_ || at < report_at_) report_at_ = at;
        dirty_ = true;
    }

    // A parent that does not read just now hears it later.
    void report() {
        Writer writer(outgoing_);
        writer.put(Report{.kind = Kind::seen, .life = life_, .entries = static_cast<std::uint32_t>(seen_.size()),
                          .killed = killed_ ? 1U : 0U, .others = others_});
        for (const auto& entry : seen_) writer.put(entry);
        dirty_ = !parent_.send(writer.written()).has_value();
        report_at_ = monotonic_now() + report_interval;
    }

    // ---- The worker ----

    // Sent by the child of this life before it executes anything; nobody else ever has the other end.
    void take_listener() {
        std::byte none[1];
        Fd listener;
        const auto taken = hand_.receive_with_fds(none, std::span(&listener, 1), MSG_DONTWAIT);
        if (taken && taken->received.kind == Received::Kind::nothing) return;
        if (taken && taken->fd_count == 1) listener_ = std::move(listener);
        hand_.close();
    }

    void serve() {
        Roomy<seccomp_notif> room{};
        if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &room) != 0) {
            // ENOENT: who asked has been killed meanwhile. Otherwise nobody is left under this filter.
            if (errno != EINTR && errno != ENOENT) listener_.reset();
            return;
        }
        ++answered_;
        const seccomp_notif& asked = room.known;
        if (asked.data.nr == static_cast<int>(seccomp::listener_call)) {
            counts_ = counts_ || asked.data.args[0] != 0;
            return answer(asked.id, seccomp::listener_answer);
        }
        const std::uint32_t verdict = verdict_of(program_, asked.data);
        const std::uint32_t action = verdict & SECCOMP_RET_ACTION_FULL;
        if (action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_KILL_THREAD) return end_worker(asked);
        const auto error = static_cast<int>(verdict & SECCOMP_RET_DATA);
        // Whatever else the filter says, it was not this that it was asked for: denied all the same.
        const int given = action == SECCOMP_RET_ERRNO && error != 0 ? error : EPERM;
        if (counts_) record(asked, given);
        answer(asked.id, given);
    }

    // Never SECCOMP_USER_NOTIF_FLAG_CONTINUE. One who is gone needs no answer.
    void answer(std::uint64_t id, int error) {
        Roomy<seccomp_notif_resp> reply{};
        reply.known.id = id;
        reply.known.error = -error;
        (void)::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &reply);
    }

    // It waits unanswered until the parent, which alone may, has ended it.
    void end_worker(const seccomp_notif& asked) {
        killed_ = true;
        record(asked, 0);
        report();
    }

    void record(const seccomp_notif& asked, int error) {
        const auto& call = asked.data;
        const bool foreign =
            call.arch != seccomp::native_abi || static_cast<std::uint32_t>(call.nr) >= seccomp::first_foreign_number;
        const auto found = std::ranges::find_if(seen_, [&](const Entry& one) {
            return one.number == call.nr && one.error == error && (one.foreign != 0) == foreign;
        });
        const std::int64_t now = wall_clock_now();
        if (found != seen_.end()) return count(*found, asked, now);
        if (seen_.size() == max_calls) {
            ++others_;
            return tell_soon(report_at_);
        }
        Entry& entry = seen_.emplace_back();
        entry.number = call.nr;
        entry.error = error;
        entry.foreign = foreign ? 1 : 0;
        const std::string name = name_of(call);
        std::ranges::copy(name, entry.name.begin());
        entry.plain = plain_arguments(name);
        entry.first = now;
        count(entry, asked, now);
        report();
    }

    void count(Entry& entry, const seccomp_notif& asked, std::int64_t now) {
        ++entry.count;
        entry.last = now;
        entry.pid = static_cast<std::int32_t>(asked.pid);
        for (unsigned i = 0; i < entry.arguments.size(); ++i) {
            entry.arguments[i] = (entry.plain >> i & 1) != 0 ? asked.data.args[i] : 0;
        }
        tell_soon(report_at_);
    }

    Channel parent_;
    Channel hand_;                  // the child of this life sends its listener here
    Fd listener_;
    std::uint32_t life_ = 0;
    seccomp::Program program_;      // as planned, with its own answers
    std::vector<Entry> seen_;
    std::uint64_t others_ = 0;
    bool killed_ = false;
    bool counts_ = false;           // the program runs, or is about to
    int answered_ = 0;
    Instant pace_ends_{};
    bool dirty_ = false;
    Instant report_at_{};
    std::array<std::byte, max_message> incoming_;
    std::array<std::byte, max_message> outgoing_;
};
static_assert(sizeof(Report) + max_calls * sizeof(Entry) <= max_message);
static_assert(sizeof(Order) + max_instructions * sizeof(sock_filter) <= max_message);

// What a syscall monitor needs: its three descriptors, memory and the time. It opens nothing, and can signal nobody.
Result<seccomp::Program> few_calls() {
    seccomp::Rules rules;
    for (const auto* name : {"brk", "clock_gettime", "close", "exit", "exit_group", "ioctl", "madvise", "mmap", "mprotect", "mremap",
                             "munmap", "poll", "ppoll", "recvmsg", "restart_syscall", "rt_sigreturn", "sendmsg"}) {
        if (const int number = seccomp::call_number(name); number >= 0) rules.allowed.push_back(number);
    }
    const auto other_than = [](unsigned long request) {
        return seccomp::Test{1, seccomp::Test::When::differs, static_cast<std::uint32_t>(request)};
    };
    rules.denials.push_back({seccomp::call_number("ioctl"), {other_than(SECCOMP_IOCTL_NOTIF_RECV), other_than(SECCOMP_IOCTL_NOTIF_SEND)}});
    return seccomp::compile(rules);
}

// root's number, so that no worker can signal it whatever its sandbox leaves open, and nothing of root's power.
bool confine() {
    const auto calls = few_calls();
    if (!calls) return false;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2]{};
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 || ::syscall(SYS_capset, &header, none) != 0) return false;
    if (::prctl(PR_SET_DUMPABLE, 0) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return false;
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
    return seccomp::install(calls->data(), static_cast<unsigned short>(calls->size())) == 0;
}

// A notification that a newer kernel would not fit into our room is none that we could read.
bool kernel_fits() {
    seccomp_notif_sizes sizes{};
    if (::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0) return false;
    return sizes.seccomp_notif <= sizeof(Roomy<seccomp_notif>) && sizes.seccomp_notif_resp <= sizeof(Roomy<seccomp_notif_resp>);
}

}  // namespace

void monitor_calls(Fd socket) {
    ::prctl(PR_SET_NAME, "warder-monitor");
    if (socket.get() != parent_socket && ::dup3(socket.release(), parent_socket, O_CLOEXEC) < 0) ::_exit(1);
    if (::close_range(parent_socket + 1, ~0U, 0) != 0) ::_exit(1);
    if (!kernel_fits() || !confine()) ::_exit(1);
    // A parent that died before it could be heard of has closed its end.
    static std::optional<SyscallMonitor> syscall_monitor;
    syscall_monitor.emplace(Channel(Fd(parent_socket)));
    syscall_monitor->run();
}

}  // namespace warder::sandbox
