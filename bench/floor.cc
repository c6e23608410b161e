#include "bench/floor.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstring>

#include "sys/kernel.h"

namespace warder::bench {

namespace {

// The sizes of a real question and its answer in protocol version 1, so that the kernel copies as much.
constexpr std::size_t question_size = 80;
constexpr std::size_t answer_size = 56;

struct Question {
    std::uint32_t width = 1;
    char rest[question_size - sizeof(std::uint32_t)]{};
};
static_assert(sizeof(Question) == question_size);

Result<Fd> open_directory(const Target& target) {
    Fd directory(::open(target.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return failure("opening the directory of the bench");
    return directory;
}

int open_beneath(int directory, const char* name) {
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | RESOLVE_CACHED;
    const int fd = static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof how));
    if (fd >= 0 || errno != EAGAIN) return fd;
    how.resolve &= ~std::uint64_t{RESOLVE_CACHED};   // which gives up when somebody mounts something meanwhile
    return static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof how));
}

// Raw system calls: glibc's wrappers tell every thread, and cost more.
bool become(uid_t uid, gid_t gid) {
    return ::syscall(SYS_setgroups, 0, nullptr) == 0 && ::syscall(SYS_setresgid, -1, gid, -1) == 0 &&
           ::syscall(SYS_setresuid, -1, uid, -1) == 0;
}

bool become_root() {
    return ::syscall(SYS_setresuid, -1, 0, -1) == 0 && ::syscall(SYS_setresgid, -1, 0, -1) == 0;
}

Fd open_checked(int directory, const char* name) {
    Fd file(open_beneath(directory, name));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
    return file;
}

// Room for the most descriptors of one message. Not on the stack, where it would be cleared for each request.
alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kernel::scm_max_fd)];

// Gathers the opened files of one question and sends them in one message.
bool answer(int socket, int directory, const char* name, std::size_t width) {
    static std::array<Fd, kernel::scm_max_fd> files;
    static char text[answer_size];
    iovec part{text, sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * width);
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * width);
    for (std::size_t i = 0; i < width; ++i) {
        files[i] = open_checked(directory, name);
        if (!files[i]) return false;
        const int number = files[i].get();
        std::memcpy(CMSG_DATA(head) + i * sizeof(int), &number, sizeof(int));
    }
    const bool sent = ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof text);
    for (std::size_t i = 0; i < width; ++i) files[i].reset();
    return sent;
}

bool credentials_came(msghdr& message, Credentials& sender) {
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head == nullptr || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_CREDENTIALS) return false;
    ucred said{};
    std::memcpy(&said, CMSG_DATA(head), sizeof said);
    sender = {said.pid, said.uid, said.gid};
    return sender.pid > 0;
}

// Serves until the other side closes.
[[noreturn]] void serve(int socket, const Target& target) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto directory = open_directory(target);
    if (!directory || !become(target.uid, target.gid)) ::_exit(1);
    for (;;) {
        Question question;
        iovec part{&question, sizeof question};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(ucred));
        if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(question_size)) ::_exit(0);
        Credentials sender;
        if (!credentials_came(message, sender)) ::_exit(1);
        if (!answer(socket, directory->get(), target.name.c_str(), question.width)) ::_exit(1);
    }
}

// The asking side: one question, its descriptors received and closed.
Result<void> ask(int socket, std::uint32_t width) {
    Question question;
    question.width = width;
    if (::send(socket, &question, sizeof question, MSG_NOSIGNAL) < 0) return failure("asking the floor");
    static char text[answer_size];
    iovec part{text, sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * width);
    if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) return failure(EPIPE, "hearing from the floor");
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head == nullptr || head->cmsg_len != CMSG_LEN(sizeof(int) * width)) return failure(EPROTO, "the floor's answer");
    for (std::size_t i = 0; i < width; ++i) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(head) + i * sizeof(int), sizeof number);
        ::close(number);
    }
    return {};
}

}  // namespace

Result<Samples> direct_opens(const Target& target, std::size_t count) {
    const Fd directory = TRY(open_directory(target));
    if (!become(target.uid, target.gid)) return failure("becoming the worker's user");
    Samples samples;
    samples.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        const Instant start = monotonic_now();
        Fd file = open_checked(directory.get(), target.name.c_str());
        const bool opened = static_cast<bool>(file);
        file.reset();
        samples.push_back(elapsed_since(start));
        if (!opened) {
            become_root();
            return failure(EIO, "opening the bench's file directly");
        }
    }
    if (!become_root()) return failure("becoming root again");
    return samples;
}

Result<Floor> Floor::start(const Target& target, Sessions sessions) {
    ChannelPair pair = TRY(make_channel_pair());
    const pid_t child = ::fork();
    if (child < 0) return failure("fork");
    if (child == 0) {
        pair.theirs.close();
        if (sessions == Sessions::one_each) ::setsid();
        serve(pair.ours.get(), target);
    }
    return Floor(child, std::move(pair.theirs));
}

Floor::~Floor() {
    if (!channel_) return;   // moved from
    channel_.close();
    ::waitpid(child_, nullptr, 0);
}

void Floor::move(Place place) {
    move_to(place);
    move_to(place, child_);
}

Result<Samples> Floor::opens(std::size_t count) { return batches(count, 1); }

Result<Samples> Floor::batches(std::size_t count, std::size_t width) {
    Samples samples;
    samples.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        const Instant start = monotonic_now();
        TRY(ask(channel_.get(), static_cast<std::uint32_t>(width)));
        samples.push_back(elapsed_since(start));
    }
    return samples;
}

}  // namespace warder::bench
