#include "bench/kinds_floor.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <vector>

#include "sys/fd.h"

namespace warder::bench {

namespace {

// The sizes of a question and an answer in protocol version 1, so that the kernel copies as much.
constexpr std::size_t question_size = 80;
constexpr std::size_t answer_size = 56;
constexpr std::size_t max_data = 4096;
constexpr std::size_t max_fds = 4;

struct Question {
    Kind kind{};
    char rest[question_size - sizeof(Kind)]{};
};

struct Answer {
    int error = 0;
    std::uint32_t size = 0;   // of the data behind this
    char rest[answer_size - 8]{};
    char data[max_data];
};

// What an operation gives.
struct Done {
    std::array<Fd, max_fds> fds;
    std::size_t count = 0;
    std::size_t size = 0;   // bytes in the answer's data

    void lend(Fd fd) { fds[count++] = std::move(fd); }
};

// Each fails with errno, and then returns false.
class Bare {
public:
    explicit Bare(const KindPlaces& places) : places_(places) {}

    bool open() {
        directory_ = Fd(::open(places_.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un any{};
        any.sun_family = AF_UNIX;
        return directory_ && listener_ && ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&any), sizeof any.sun_family) == 0 &&
               ::listen(listener_.get(), 16) == 0 && watched();
    }

    bool perform(Kind kind, Fd received, Done& done, char* data) {
        if (!become(as_root(kind))) return false;
        switch (kind) {
            case Kind::read: return file(O_RDONLY, RESOLVE_CACHED, done, 0);
            case Kind::write: return file(O_WRONLY, RESOLVE_CACHED, done, 0);
            case Kind::append: return file(O_WRONLY | O_APPEND, RESOLVE_CACHED, done, O_APPEND);
            case Kind::create: return create(done);
            case Kind::stat: return stat(done, data);
            case Kind::access: return access();
            case Kind::readlink: return readlink(done, data);
            case Kind::list: return list(done);
            case Kind::mkdir: return ::mkdirat(directory_.get(), kind_made, 0755) == 0;
            case Kind::rmdir: return ::unlinkat(directory_.get(), kind_made, AT_REMOVEDIR) == 0;
            case Kind::unlink: return ::unlinkat(directory_.get(), kind_made, 0) == 0;
            case Kind::unlink_renamed: return ::unlinkat(directory_.get(), kind_renamed, 0) == 0;
            case Kind::rename: return ::renameat(directory_.get(), kind_made, directory_.get(), kind_renamed) == 0;
            case Kind::link: return link();
            case Kind::symlink: return ::symlinkat(kind_file, directory_.get(), kind_made) == 0;
            case Kind::chmod: return chmod();
            case Kind::truncate: return truncate();
            case Kind::watch: return watch(done);
            case Kind::listen: return lend(Fd(::fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0)), done);
            case Kind::connect_unix: return connect_path("socket", SOCK_STREAM, done);
            case Kind::syslog: return connect_path("log", SOCK_DGRAM, done);
            case Kind::connect_tcp: return connect_inet(SOCK_STREAM, done);
            case Kind::connect_udp: return connect_inet(SOCK_DGRAM, done);
            case Kind::connect_name: return connect_name(done);
            case Kind::raw: return lend_looked_at(Fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)), done);
            case Kind::packet: return packet(done);
            case Kind::netlink: return netlink(done);
            case Kind::device: return device(done);
            case Kind::secret: return secret(done);
            case Kind::lookup: return lookup(done, data);
            case Kind::sysctl_read: return sysctl_read(done, data);
            case Kind::sysctl_write: return sysctl_write();
            case Kind::run: return run(done);
            case Kind::signal: return ::syscall(SYS_pidfd_send_signal, watched_.get(), SIGWINCH, nullptr, 0) == 0;
            case Kind::store_put: return kept_ = std::move(received), static_cast<bool>(kept_);
            case Kind::store_fetch: return lend(std::move(kept_), done);
            case Kind::nothing:
            case Kind::narrow: return true;
        }
        return false;
    }

private:
    static constexpr std::uint64_t beneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

    static bool as_root(Kind kind) { return kind >= Kind::raw || kind == Kind::listen || kind == Kind::nothing; }

    // Raw system calls, as in bench/floor.cc; nothing when the ids are right already.
    bool become(bool root) {
        if (root == root_) return true;
        root_ = root;
        if (root) return ::syscall(SYS_setresuid, -1, 0, -1) == 0 && ::syscall(SYS_setresgid, -1, 0, -1) == 0;
        return ::syscall(SYS_setgroups, 0, nullptr) == 0 && ::syscall(SYS_setresgid, -1, places_.gid, -1) == 0 &&
               ::syscall(SYS_setresuid, -1, places_.uid, -1) == 0;
    }

    bool watched() {
        watched_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, ::getppid(), 0)));
        return static_cast<bool>(watched_);
    }

    static Fd open_at(int directory, const char* name, std::uint64_t flags, std::uint64_t resolve, std::uint64_t mode = 0) {
        open_how how{};
        how.flags = flags | O_CLOEXEC;
        how.mode = mode;
        how.resolve = resolve;
        Fd fd(static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof how)));
        if (fd || errno != EAGAIN) return fd;
        how.resolve &= ~std::uint64_t{RESOLVE_CACHED};   // which gives up when somebody mounts something meanwhile
        return Fd(static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof how)));
    }

    Fd open_below(const char* name, std::uint64_t flags, std::uint64_t more = 0, std::uint64_t mode = 0) {
        Fd file = open_at(directory_.get(), name, flags, beneath | more, mode);
        return file && ::fstat(file.get(), &about_) == 0 ? std::move(file) : Fd();
    }

    static const char* own_path(int fd) {
        static char text[40];
        std::snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
        return text;
    }

    static bool lend(Fd fd, Done& done) {
        if (!fd) return false;
        done.lend(std::move(fd));
        return true;
    }

    bool lend_looked_at(Fd fd, Done& done, int flags = 0) {
        if (!fd || ::fcntl(fd.get(), F_SETFL, flags) != 0 || ::fstat(fd.get(), &about_) != 0) return false;
        return lend(std::move(fd), done);
    }

    bool file(std::uint64_t flags, std::uint64_t resolve, Done& done, int left) {
        Fd file = open_below(kind_file, flags | O_NONBLOCK | O_NOCTTY, resolve);
        return file && ::fcntl(file.get(), F_SETFL, left) == 0 && lend(std::move(file), done);
    }

    bool create(Done& done) {
        Fd file = open_below(kind_made, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK | O_NOCTTY, 0, 0644);
        return file && ::fcntl(file.get(), F_SETFL, 0) == 0 && lend(std::move(file), done);
    }

    bool stat(Done& done, char* data) {
        if (!open_below(kind_file, O_PATH | O_NOFOLLOW, RESOLVE_CACHED)) return false;
        std::memcpy(data, &about_, done.size = 72);
        return true;
    }

    bool access() {
        const Fd file = open_below(kind_file, O_PATH, RESOLVE_CACHED);
        return file && ::syscall(SYS_faccessat2, file.get(), "", R_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
    }

    bool readlink(Done& done, char* data) {
        const Fd link = open_below(kind_link, O_PATH | O_NOFOLLOW, RESOLVE_CACHED);
        const ssize_t size = link ? ::readlinkat(link.get(), "", data, max_data) : -1;
        done.size = size > 0 ? static_cast<std::size_t>(size) : 0;
        return size > 0;
    }

    bool list(Done& done) {
        const Fd directory = open_below(".", O_RDONLY | O_DIRECTORY | O_NONBLOCK);
        Fd memory(::memfd_create("list", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        if (!directory || !memory) return false;
        alignas(dirent64) static char entries[32 * 1024];
        for (ssize_t size = 0; (size = ::getdents64(directory.get(), entries, sizeof entries)) != 0;) {
            if (size < 0 || ::write(memory.get(), entries, static_cast<std::size_t>(size) / 2) < 0) return false;
        }
        return lend_sealed(std::move(memory), done);
    }

    bool lend_sealed(Fd memory, Done& done) {
        const bool sealed = ::fchmod(memory.get(), 0400) == 0 &&
                            ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0 &&
                            ::lseek(memory.get(), 0, SEEK_SET) == 0 && ::fstat(memory.get(), &about_) == 0;
        return sealed && lend(std::move(memory), done);
    }

    bool link() {
        const Fd file = open_below(kind_file, O_PATH | O_NOFOLLOW);
        return file && ::linkat(AT_FDCWD, own_path(file.get()), directory_.get(), kind_made, AT_SYMLINK_FOLLOW) == 0;
    }

    bool chmod() {
        const Fd file = open_below("owned", O_PATH | O_NOFOLLOW);
        return file && ::chmod(own_path(file.get()), 0640) == 0;
    }

    bool truncate() {
        const Fd file = open_below(kind_file, O_WRONLY | O_NONBLOCK | O_NOCTTY);
        return file && ::ftruncate(file.get(), 36) == 0;
    }

    bool watch(Done& done) {
        const Fd file = open_below(kind_file, O_PATH | O_NOFOLLOW);
        Fd watcher(::inotify_init1(IN_CLOEXEC));
        if (!file || !watcher || ::inotify_add_watch(watcher.get(), own_path(file.get()), IN_ALL_EVENTS) < 0) return false;
        return lend_looked_at(std::move(watcher), done);
    }

    template <typename Address>
    bool connected(int family, int type, const Address& address, Done& done) {
        Fd socket(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!socket) return false;
        if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
            return false;
        }
        return lend_looked_at(std::move(socket), done);
    }

    bool connect_path(const char* name, int type, Done& done) {
        const Fd file = open_below(name, O_PATH | O_NOFOLLOW, RESOLVE_CACHED);
        if (!file) return false;
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof address.sun_path, "%s", own_path(file.get()));
        return connected(AF_UNIX, type, address, done);
    }

    sockaddr_in loopback() const {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(places_.port);
        return address;
    }

    bool connect_inet(int type, Done& done) { return connected(AF_INET, type, loopback(), done); }

    bool connect_name(Done& done) {
        addrinfo wanted{};
        wanted.ai_family = AF_INET;
        wanted.ai_socktype = SOCK_DGRAM;
        addrinfo* found = nullptr;
        if (::getaddrinfo("localhost", nullptr, &wanted, &found) != 0) return false;
        ::freeaddrinfo(found);
        return connect_inet(SOCK_DGRAM, done);
    }

    bool packet(Done& done) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ARP);
        address.sll_ifindex = static_cast<int>(::if_nametoindex("lo"));
        Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
        return lend_looked_at(std::move(socket), done);
    }

    bool netlink(Done& done) {
        sockaddr_nl address{};
        address.nl_family = AF_NETLINK;
        Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
        if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
        return lend_looked_at(std::move(socket), done);
    }

    bool device(Done& done) {
        const Fd found = open_at(AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW, 0);
        if (!found || ::fstat(found.get(), &about_) != 0) return false;
        return lend_looked_at(Fd(::open(own_path(found.get()), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)), done);
    }

    bool secret(Done& done) {
        const Fd source = open_at(AT_FDCWD, places_.secret.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        Fd memory(::memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        if (!source || !memory || ::fstat(source.get(), &about_) != 0) return false;
        char part[4096];
        for (ssize_t size = 0; (size = ::read(source.get(), part, sizeof part)) != 0;) {
            if (size < 0 || ::write(memory.get(), part, static_cast<std::size_t>(size)) != size) return false;
        }
        ::explicit_bzero(part, sizeof part);
        return lend_sealed(std::move(memory), done);
    }

    static bool lookup(Done& done, char* data) {
        const passwd* user = ::getpwnam("root");
        if (user == nullptr) return false;
        done.size = static_cast<std::size_t>(std::snprintf(data, max_data, "%s:x:%u:%u:%s:%s:%s\n", user->pw_name, user->pw_uid,
                                                           user->pw_gid, user->pw_gecos, user->pw_dir, user->pw_shell));
        return true;
    }

    Fd open_key(std::uint64_t flags) {
        const Fd keys = open_at(AT_FDCWD, "/proc/sys", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
        Fd key = open_at(keys.get(), "net/unix/max_dgram_qlen", flags | O_NONBLOCK | O_NOCTTY, beneath);
        return key && ::fstat(key.get(), &about_) == 0 ? std::move(key) : Fd();
    }

    bool sysctl_read(Done& done, char* data) {
        const Fd key = open_key(O_RDONLY);
        const ssize_t size = key ? ::read(key.get(), data, max_data) : -1;
        value_.assign(data, size > 0 ? static_cast<std::size_t>(size) : 0);
        done.size = value_.size();
        return size > 0;
    }

    bool sysctl_write() {
        const Fd key = open_key(O_WRONLY);
        return key && ::write(key.get(), value_.data(), value_.size()) == static_cast<ssize_t>(value_.size());
    }

    // Three pipes and a pidfd, and the command has begun when its program runs: the status pipe closes at exec.
    static bool run(Done& done) {
        std::array<std::array<int, 2>, 4> pipes{};
        for (auto& pipe : pipes) {
            if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return false;
        }
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
        const pid_t child = ::fork();   // stays until it is waited for, so that there is a pidfd of it
        if (child < 0) return false;
        if (child == 0) {
            ::dup2(pipes[0][0], 0);
            ::dup2(pipes[1][1], 1);
            ::dup2(pipes[2][1], 2);
            ::setsid();
            ::execl("/usr/bin/true", "true", nullptr);
            ::_exit(127);
        }
        done.lend(Fd(pipes[0][1]));
        done.lend(Fd(pipes[1][0]));
        done.lend(Fd(pipes[2][0]));
        done.lend(Fd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0))));
        for (const int unused : {pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1]}) ::close(unused);
        const Fd status(pipes[3][0]);
        char word = 0;
        return ::read(status.get(), &word, 1) == 0;
    }

    const KindPlaces& places_;
    std::string value_;
    Fd directory_, listener_, watched_, kept_;
    struct stat about_ {};
    bool root_ = true;
};

alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * max_fds)];

// The first descriptor that came, if one did; false without credentials.
bool read_control(msghdr& message, Fd& received) {
    bool known = false;
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_type == SCM_CREDENTIALS) {
            ucred said{};
            std::memcpy(&said, CMSG_DATA(head), sizeof said);
            known = said.pid > 0;
        } else if (head->cmsg_type == SCM_RIGHTS) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(head), sizeof number);
            received = Fd(number);
        }
    }
    return known;
}

// Puts descriptors into the message's control part.
void attach(msghdr& message, std::span<const Fd> fds) {
    if (fds.empty()) return;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    for (std::size_t i = 0; i < fds.size(); ++i) {
        const int number = fds[i].get();
        std::memcpy(CMSG_DATA(head) + i * sizeof(int), &number, sizeof(int));
    }
}

bool reply(int socket, Bare& bare, Kind kind, Fd received) {
    static Answer answer;
    Done done;
    answer.error = bare.perform(kind, std::move(received), done, answer.data) ? 0 : errno;
    answer.size = static_cast<std::uint32_t>(done.size);
    iovec part{&answer, answer_size + done.size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    attach(message, std::span(done.fds).first(done.count));
    return ::sendmsg(socket, &message, MSG_NOSIGNAL) >= 0;
}

// Waits for the next, with who asks and the descriptor that came along, if one did. Ends when the other side closes.
Question next_question(int socket, Fd& received) {
    Question question;
    iovec part{&question, sizeof question};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(sizeof question)) ::_exit(0);
    if (!read_control(message, received)) ::_exit(1);
    return question;
}

// Questions come on one socket and are answered on another, which is the same without a relay.
[[noreturn]] void serve(int socket, int answers, const KindPlaces& places) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Bare bare(places);
    if (!bare.open()) ::_exit(1);
    for (;;) {
        Fd received;
        const Question question = next_question(socket, received);
        if (!reply(answers, bare, question.kind, std::move(received))) ::_exit(1);
    }
}

// Learns who asks, as a broker must, and passes the question on.
[[noreturn]] void relay(int socket, int onwards) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        Fd received;
        const Question question = next_question(socket, received);
        if (::send(onwards, &question, sizeof question, MSG_NOSIGNAL) < 0) ::_exit(1);
    }
}

// The asking side: what came is kept until it is looked at, outside of the time that is taken.
class Asker {
public:
    explicit Asker(int socket) : socket_(socket), something_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {}

    Result<void> ask(Kind kind) {
        Question question;
        question.kind = kind;
        iovec out{&question, sizeof question};
        msghdr message{};
        message.msg_iov = &out;
        message.msg_iovlen = 1;
        if (kind == Kind::store_put) attach(message, std::span(&something_, 1));
        if (::sendmsg(socket_, &message, MSG_NOSIGNAL) < 0) return failure("asking the floor");
        iovec in{&answer_, sizeof answer_};
        message = {};
        message.msg_iov = &in;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        if (::recvmsg(socket_, &message, MSG_CMSG_CLOEXEC) <= 0) return failure(EPIPE, "hearing from the floor");
        take(message);
        if (answer_.error != 0) return failure(answer_.error, "the floor's answer");
        return {};
    }

    // A command has ended before the next one begins.
    void finish(Kind kind) {
        if (kind == Kind::run && !came_.empty()) {
            pollfd ended{came_.back().get(), POLLIN, 0};
            ::poll(&ended, 1, 5000);
        }
        came_.clear();
    }

    void close_what_came(Kind kind) {
        if (kind != Kind::run) came_.clear();
    }

private:
    void take(msghdr& message) {
        for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
            if (head->cmsg_type != SCM_RIGHTS) continue;
            const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < count; ++i) {
                int number = -1;
                std::memcpy(&number, CMSG_DATA(head) + i * sizeof(int), sizeof number);
                came_.emplace_back(number);
            }
        }
    }

    int socket_;
    Fd something_;
    Answer answer_;
    std::vector<Fd> came_;
};

}  // namespace

Result<KindFloor> KindFloor::start(const KindPlaces& places, Relay with) {
    ChannelPair pair = TRY(make_channel_pair());
    ChannelPair inner = TRY(make_channel_pair());
    std::vector<pid_t> children;
    children.push_back(::fork());
    if (children.back() < 0) return failure("fork");
    if (children.back() == 0) {
        pair.theirs.close();
        inner.theirs.close();
        serve(with == Relay::with ? inner.ours.get() : pair.ours.get(), pair.ours.get(), places);
    }
    if (with == Relay::with) {
        children.push_back(::fork());
        if (children.back() < 0) return failure("fork");
        if (children.back() == 0) {
            pair.theirs.close();
            inner.ours.close();
            relay(pair.ours.get(), inner.theirs.get());
        }
    }
    return KindFloor(std::move(children), std::move(pair.theirs));
}

KindFloor::~KindFloor() {
    if (!channel_) return;   // moved from
    channel_.close();
    for (const pid_t child : children_) ::waitpid(child, nullptr, 0);
}

void KindFloor::move(Place place) {
    move_to(place);
    for (const pid_t child : children_) move_to(place, child);
}

Result<Samples> KindFloor::measure(const KindSteps& steps, std::size_t count) {
    Asker asker(channel_.get());
    Samples samples;
    samples.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        if (steps.before != Kind::nothing) TRY(asker.ask(steps.before));
        asker.finish(steps.before);
        const Instant start = monotonic_now();
        TRY(asker.ask(steps.timed));
        asker.close_what_came(steps.timed);
        samples.push_back(elapsed_since(start));
        asker.finish(steps.timed);
        if (steps.after != Kind::nothing) TRY(asker.ask(steps.after));
        asker.finish(steps.after);
    }
    return samples;
}

}  // namespace warder::bench
