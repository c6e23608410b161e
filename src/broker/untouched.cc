#include "broker/untouched.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <span>
#include <string_view>

#include "sys/fd.h"
#include "sys/socket_options.h"

namespace warder::broker {
namespace {

// fcntl's, of linux/fcntl.h, which cannot be included beside that of the C library.
constexpr int get_hint = 1035;   // F_GET_RW_HINT
constexpr int set_hint = 1036;

constexpr std::size_t longest = 256;   // of a value
using Value = std::array<std::byte, longest>;

struct Range {
    int level;
    int end;   // options are numbered below it; kernels count upwards without leaving many out
};

// Above those of IP and IPv6 lie those of netfilter, which are the machine's and no socket's.
constexpr Range of_all[] = {{SOL_SOCKET, 128}};
constexpr Range of_tcp4[] = {{SOL_SOCKET, 128}, {IPPROTO_IP, 64}, {IPPROTO_TCP, 128}};
constexpr Range of_tcp6[] = {{SOL_SOCKET, 128}, {IPPROTO_IP, 64}, {IPPROTO_IPV6, 80}, {IPPROTO_TCP, 128}};
constexpr Range of_udp4[] = {{SOL_SOCKET, 128}, {IPPROTO_IP, 64}, {IPPROTO_UDP, 128}};
constexpr Range of_udp6[] = {{SOL_SOCKET, 128}, {IPPROTO_IP, 64}, {IPPROTO_IPV6, 80}, {IPPROTO_UDP, 128}};
constexpr Range of_vsock[] = {{SOL_SOCKET, 128}, {AF_VSOCK, 32}};

std::span<const Range> ranges_of(int family, int type) {
    const bool stream = type == SOCK_STREAM;
    switch (family) {
        case AF_INET: return stream ? std::span<const Range>(of_tcp4) : of_udp4;
        case AF_INET6: return stream ? std::span<const Range>(of_tcp6) : of_udp6;
        case AF_VSOCK: return of_vsock;
        default: return of_all;
    }
}

struct Number {
    int level, option;
};

// What tells of traffic and of time, and what does something when it is read: SO_ERROR is looked at by poll, SO_PEERPIDFD opens a
// descriptor. The backlog in TCP_INFO is compared by another way.
constexpr Number not_of_its_holder[] = {
    {SOL_SOCKET, 4},     // SO_ERROR
    {SOL_SOCKET, 55},    // SO_MEMINFO
    {SOL_SOCKET, 56},    // SO_INCOMING_NAPI_ID
    {SOL_SOCKET, 77},    // SO_PEERPIDFD
    {IPPROTO_TCP, 11},   // TCP_INFO
    {IPPROTO_TCP, 24},   // TCP_TIMESTAMP
    {IPPROTO_TCP, 26},   // TCP_CC_INFO
    {IPPROTO_TCP, 28},   // TCP_SAVED_SYN
    {IPPROTO_TCP, 35},   // TCP_ZEROCOPY_RECEIVE
};

bool is_compared(int level, int option) {
    return std::ranges::none_of(not_of_its_holder, [&](const Number& one) { return one.level == level && one.option == option; });
}

// What follows from a harmless option when that is set: TOS sets the priority, a size of the buffers locks it.
bool follows_from_harmless(std::uint32_t level, std::uint32_t option) {
    constexpr std::uint32_t priority = 12, buffer_lock = 72;
    return level == SOL_SOCKET && (option == priority || option == buffer_lock);
}

// An option that no worker may set without being named may leave more behind than the kernel tells.
bool can_be_put_back(std::uint32_t level, std::uint32_t option) {
    const auto* known = socket_options::find(level, option);
    return (known != nullptr && known->harmless) || follows_from_harmless(level, option);
}

// Whoever calls listen(2) on a unix socket is who its clients see: SO_PEERCRED, SO_PEERSEC, SO_PEERGROUPS.
bool tells_who_listens(std::uint32_t level, std::uint32_t option) {
    return level == SOL_SOCKET && (option == 17 || option == 31 || option == 59);
}

std::string name_of_option(std::uint32_t level, std::uint32_t option) {
    constexpr std::uint32_t accepts = 30;
    if (level == SOL_SOCKET && option == accepts) return "no longer listening";
    if (tells_who_listens(level, option)) return "who listens";
    if (const auto* known = socket_options::find(level, option)) return std::string(known->name);
    const auto* known_level = socket_options::find_level(level);
    return (known_level == nullptr ? std::to_string(level) : std::string(known_level->name)) + " option " + std::to_string(option);
}

// A negative errno, or the size.
int read_option(int fd, int level, int option, Value& value) {
    auto size = static_cast<socklen_t>(value.size());
    return ::getsockopt(fd, level, option, value.data(), &size) == 0 ? static_cast<int>(std::min<std::size_t>(size, value.size())) : -errno;
}

bool set_option(int fd, int level, int option, const void* value, std::size_t size) {
    return ::setsockopt(fd, level, option, value, static_cast<socklen_t>(size)) == 0;
}

short poll_state(int fd) {
    constexpr short asked = POLLRDHUP | POLLPRI;
    pollfd polled{fd, asked, 0};
    return ::poll(&polled, 1, 0) < 0 ? static_cast<short>(0) : static_cast<short>(polled.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL));
}

// An error that waits to be told is taken off: the next holder did not cause it.
void take_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    static_cast<void>(::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
}

int number_of(int fd, int option) {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

Result<Untouched::State> Untouched::state_of(int fd) {
    State state;
    struct stat about;
    if (::fstat(fd, &about) != 0) return failure("fstat");
    state.mode = about.st_mode;
    state.uid = about.st_uid;
    state.gid = about.st_gid;
    state.flags = ::fcntl(fd, F_GETFL);
    if (state.flags < 0) return failure("fcntl(F_GETFL)");
    f_owner_ex owner{};
    if (::fcntl(fd, F_GETOWN_EX, &owner) != 0) return failure("fcntl(F_GETOWN_EX)");
    state.owner = owner.pid;
    state.signal = ::fcntl(fd, F_GETSIG);
    static_cast<void>(::fcntl(fd, get_hint, &state.hint));   // not of sockets, to some kernels
    state.name_size = sizeof state.name;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&state.name), &state.name_size) != 0) return failure("getsockname");
    take_error(fd);
    state.polled = poll_state(fd);
    return state;
}

Result<Untouched> Untouched::of(int fd) {
    Untouched made;
    made.family_ = number_of(fd, SO_DOMAIN);
    made.type_ = number_of(fd, SO_TYPE);
    made.state_ = TRY(state_of(fd));
    if (const auto condition = condition_of(fd)) made.condition_ = *condition;
    made.read_options(fd);
    return made;
}

void Untouched::read_options(int fd) {
    Value value;
    for (const Range& range : ranges_of(family_, type_)) {
        for (int number = 0; number < range.end; ++number) {
            if (!is_compared(range.level, number)) continue;
            const int size = read_option(fd, range.level, number, value);
            if (size == -ENOPROTOOPT || size == -EOPNOTSUPP) continue;
            Option option{static_cast<std::uint16_t>(range.level), static_cast<std::uint16_t>(number), static_cast<std::uint16_t>(values_.size()),
                          static_cast<std::uint16_t>(std::max(size, 0)), size < 0 ? -size : 0};
            values_.insert(values_.end(), value.begin(), value.begin() + option.size);
            options_.push_back(option);
        }
    }
    options_.shrink_to_fit();
    values_.shrink_to_fit();
}

void Untouched::compare_state(int fd, std::vector<Difference>& into) const {
    using enum Difference::Kind;
    const auto now = state_of(fd);
    if (!now) return into.push_back({.kind = other, .name = "not told", .can_be_put_back = false}), void();
    const auto differs = [&](Difference::Kind kind, const char* name, bool can_be_put_back) {
        into.push_back({.kind = kind, .name = name, .can_be_put_back = can_be_put_back});
    };
    // Who is lent it says whether it waits, each time.
    if (((now->flags ^ state_.flags) & ~O_NONBLOCK) != 0) differs(flags, "status flags", true);
    if (now->owner != state_.owner) differs(owner, "F_SETOWN", true);
    if (now->signal != state_.signal) differs(signal, "F_SETSIG", true);
    if (now->hint != state_.hint) differs(hint, "F_SET_RW_HINT", true);
    if (now->mode != state_.mode || now->uid != state_.uid || now->gid != state_.gid) differs(other, "mode and owner", false);
    if (now->polled != state_.polled) differs(other, "shut down", false);
    const bool same_name = now->name_size == state_.name_size && std::memcmp(&now->name, &state_.name, now->name_size) == 0;
    if (!same_name) differs(other, "another address", false);
}

// A listener that is shut down, and then shut down again and made to listen, looks untouched in each option, and those it accepts
// cannot send.
void Untouched::compare_condition(int fd, std::vector<Difference>& into) const {
    if (family_ == AF_VSOCK) return;   // a vsock listener cannot be shut down (ENOTCONN)
    // A table that was not there before is not asked for again: the kernel would look for a module, and wait.
    const auto now = condition_ ? condition_of(fd) : Result<SocketCondition>(failure(ENOENT, "socket tables"));
    if (!now) {
        into.push_back({.kind = Difference::Kind::other, .name = "the kernel does not tell whether it was shut down", .can_be_put_back = false});
        return;
    }
    if (now->shut_down != condition_->shut_down) into.push_back({.kind = Difference::Kind::other, .name = "shut down", .can_be_put_back = false});
    if (now->backlog != condition_->backlog) into.push_back({.kind = Difference::Kind::backlog, .name = "its backlog", .can_be_put_back = true});
}

std::vector<Difference> Untouched::differences(int fd) const {
    std::vector<Difference> found;
    compare_state(fd, found);
    compare_condition(fd, found);
    Value value;
    Value fresh_value;
    Fd fresh;
    for (const Option& option : options_) {
        const int size = read_option(fd, option.level, option.number, value);
        const auto is = [&](int length, const Value& bytes) {
            if (option.error != 0) return length == -option.error;
            return length == option.size && std::memcmp(bytes.data(), values_.data() + option.at, option.size) == 0;
        };
        if (is(size, value)) continue;
        if (option.level != SOL_SOCKET) {
            if (!fresh) fresh = Fd(::socket(family_, type_ | SOCK_CLOEXEC, 0));
            const int length = fresh ? read_option(fresh.get(), option.level, option.number, fresh_value) : -EBADF;
            if (length == size && (size < 0 || std::memcmp(value.data(), fresh_value.data(), static_cast<std::size_t>(size)) == 0)) continue;
        }
        const bool listened = tells_who_listens(option.level, option.number);
        found.push_back({.kind = listened ? Difference::Kind::backlog : Difference::Kind::option, .name = name_of_option(option.level, option.number),
                         .level = option.level, .option = option.number,
                         .can_be_put_back = listened || can_be_put_back(option.level, option.number)});
    }
    return found;
}

bool Untouched::restore(int fd, const Option& option) const {
    const std::byte* value = values_.data() + option.at;
    if (option.error != 0) return false;
    if (option.level == SOL_SOCKET && (option.number == SO_SNDBUF || option.number == SO_RCVBUF)) {
        int size = 0;   // the kernel doubles what it is told
        std::memcpy(&size, value, std::min<std::size_t>(sizeof size, option.size));
        size /= 2;
        return set_option(fd, option.level, option.number, &size, sizeof size);
    }
    if (option.level == SOL_SOCKET && option.number == SO_LINGER) {
        linger was{};   // its time counts, and is kept, only where it is on
        std::memcpy(&was, value, std::min<std::size_t>(sizeof was, option.size));
        const linger on{1, was.l_linger};
        return set_option(fd, option.level, option.number, &on, sizeof on) && set_option(fd, option.level, option.number, &was, sizeof was);
    }
    return set_option(fd, option.level, option.number, value, option.size);
}

bool Untouched::put_back(int fd, const Difference& what) const {
    switch (what.kind) {
        case Difference::Kind::flags: return ::fcntl(fd, F_SETFL, state_.flags) == 0;
        case Difference::Kind::owner: {
            const f_owner_ex nobody{F_OWNER_PID, state_.owner};
            return ::fcntl(fd, F_SETOWN_EX, &nobody) == 0;
        }
        case Difference::Kind::signal: return ::fcntl(fd, F_SETSIG, state_.signal) == 0;
        case Difference::Kind::hint: return ::fcntl(fd, set_hint, &state_.hint) == 0;
        case Difference::Kind::option: {
            const auto found = std::ranges::find_if(options_, [&](const Option& one) { return one.level == what.level && one.number == what.option; });
            return found != options_.end() && restore(fd, *found);
        }
        default: return false;
    }
}

}  // namespace warder::broker
