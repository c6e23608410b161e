#include "opener/descriptor_store.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <utility>

#include "base/time.h"
#include "protocol/codec.h"
#include "sys/files.h"
#include "sys/kernel.h"
#include "sys/process.h"
#include "unit/opener/lingering.h"

using namespace warder;
using namespace warder::opener;
using namespace warder::test;
using namespace std::chrono_literals;

namespace {

#define NEEDS_ROOT()                      \
    do {                                  \
        if (::geteuid() != 0) {           \
            MESSAGE("skipped: not root"); \
            return;                       \
        }                                 \
    } while (false)

constexpr uid_t worker_uid = 64321;

std::ptrdiff_t descriptors_of(pid_t pid) {
    const std::filesystem::path table = "/proc/" + std::to_string(pid) + "/fd";
    return std::distance(std::filesystem::directory_iterator(table), std::filesystem::directory_iterator());
}

Fd file_saying(std::string_view text) {
    Fd file(::memfd_create("kept", MFD_CLOEXEC));
    REQUIRE(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    return file;
}

std::string text_in(const Fd& file) {
    char bytes[64];
    const ssize_t size = ::pread(file.get(), bytes, sizeof bytes, 0);
    return {bytes, size > 0 ? static_cast<std::size_t>(size) : 0};
}

std::uint64_t inode_of(const Fd& file) {
    struct stat about{};
    ::fstat(file.get(), &about);
    return about.st_ino;
}

struct Reply {
    int error = -1;   // -1: none, the socket is closed. -2: not in time
    std::string text;
    std::vector<Fd> fds;
};

// One life of a worker, played by this process: what the kernel says of its messages is this process's own pid and ids.
struct Life {
    Channel socket;
    std::array<std::byte, max_message> buffer;
    std::uint32_t last_id = 0;

    Result<void> say(Bytes bytes, std::span<const int> fds = {}) { return socket.send(bytes, fds); }
    Result<void> say(protocol::Type type, std::string_view name, std::span<const int> fds = {}) {
        const auto message = protocol::encode_text(buffer, type, RequestId{++last_id}, name);
        REQUIRE(message);
        return say(*message, fds);
    }
    Reply hear(int timeout_ms = 5'000) {
        pollfd ready{socket.get(), POLLIN, 0};
        if (::poll(&ready, 1, timeout_ms) != 1) return {-2, {}, {}};
        std::array<Fd, kernel::scm_max_fd> fds;
        auto taken = socket.receive_with_fds(buffer, fds, MSG_DONTWAIT);
        if (!taken || taken->received.kind != Received::Kind::message) return {};
        const auto message = protocol::decode(taken->received.bytes);
        REQUIRE(message);
        const auto done = protocol::decode_done(*message);
        REQUIRE(done);
        CHECK(message->id == RequestId{last_id});
        Reply reply{done->error, std::string(done->text), {}};
        for (auto& fd : std::span(fds).first(taken->fd_count)) reply.fds.push_back(std::move(fd));
        return reply;
    }
    Reply ask(protocol::Type type, std::string_view name, std::span<const int> fds = {}) {
        REQUIRE(say(type, name, fds));
        return hear();
    }
    int put(std::string_view name, std::vector<const Fd*> files) {
        std::vector<int> numbers;
        for (const auto* file : files) numbers.push_back(file->get());
        return ask(protocol::Type::put, name, numbers).error;
    }
    Reply fetch(std::string_view name) { return ask(protocol::Type::fetch, name); }
    std::string stored() { return ask(protocol::Type::stored, "").text; }
};

struct Stand {
    Privileges privileges;
    std::unique_ptr<DescriptorStore> descriptor_store;

    explicit Stand(std::uint32_t most = 8) {
        auto made = DescriptorStore::spawn(privileges, worker_uid, worker_uid, most);
        REQUIRE(made);
        descriptor_store = std::move(*made);
    }

    Life begin(Credentials who = {::getpid(), ::getuid(), ::getgid()}) {
        auto end = descriptor_store->adopt();
        REQUIRE(end);
        Life life;
        life.socket = Channel(std::move(*end));
        REQUIRE(descriptor_store->begins(who));
        return life;
    }

    // What the parent hears until the condition holds.
    bool until(const std::function<bool()>& condition, int within_ms = 5'000) {
        for (const Instant end = monotonic_now() + within_ms * 1ms; !condition();) {
            pollfd ready{descriptor_store->socket(), POLLIN, 0};
            if (::poll(&ready, 1, 50) == 1) last = descriptor_store->hear();
            if (monotonic_now() > end) return false;
        }
        return true;
    }
    bool violates() {
        return until([&] { return last == DescriptorStore::News::violated; });
    }
    DescriptorStore::News last = DescriptorStore::News::nothing;
};

// A file of a FUSE file system whose server opens it and then never answers a flush: whoever closes it waits. It is served and
// opened by processes of its own, in their own mount namespace; `send` is called in the one that has it open.
class FuseFile {
public:
    explicit FuseFile(const std::function<void(int)>& send) {
        REQUIRE(::pipe2(ready_, O_CLOEXEC) == 0);
        opener_ = ::fork();
        if (opener_ != 0) return;
        ::setpgid(0, 0);
        char place[] = "/tmp/warder-fuse-test-XXXXXX";
        ::close(::mkstemp(place));
        const int device = ::open("/dev/fuse", O_RDWR);
        const std::string options = "fd=" + std::to_string(device) + ",rootmode=100644,user_id=0,group_id=0";
        const bool mounted = device >= 0 && ::unshare(CLONE_NEWNS) == 0 &&
                             ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             ::mount("warder-test", place, "fuse", 0, options.c_str()) == 0;
        if (mounted && ::fork() == 0) serve(device);
        ::close(device);   // with its server's end everybody who waits is let go
        const int file = mounted ? ::open(place, O_RDONLY) : -1;
        ::umount2(place, MNT_DETACH);
        ::unlink(place);
        if (file < 0) ::_exit(1);
        send(file);
        if (::write(ready_[1], "x", 1) != 1) ::_exit(1);
        for (;;) ::pause();
    }
    ~FuseFile() {
        ::kill(-opener_, SIGKILL);
        ::waitpid(opener_, nullptr, 0);
        ::close(ready_[0]);
        ::close(ready_[1]);
    }
    FuseFile(const FuseFile&) = delete;
    FuseFile& operator=(const FuseFile&) = delete;

    // Whether it could be made here, and was sent.
    bool sent() const {
        ::close(std::exchange(ready_[1], -1));
        char one = 0;
        return ::read(ready_[0], &one, 1) == 1;
    }

private:
    [[noreturn]] static void serve(int device) {
        static char request[1 << 17];
        for (;;) {
            if (::read(device, request, sizeof request) < 0 && errno != EINTR) ::_exit(0);
            fuse_in_header asked;
            std::memcpy(&asked, request, sizeof asked);
            struct {
                fuse_out_header head;
                char body[256];
            } answer{};
            std::uint32_t body = 0;
            if (asked.opcode == FUSE_INIT) {
                fuse_init_out init{};
                init.major = FUSE_KERNEL_VERSION;
                init.minor = 31;
                init.max_write = 4096;
                std::memcpy(answer.body, &init, body = sizeof init);
            } else if (asked.opcode == FUSE_OPEN) {
                body = sizeof(fuse_open_out);
            } else if (asked.opcode == FUSE_GETATTR) {
                fuse_attr_out attributes{};
                attributes.attr.ino = 1;
                attributes.attr.mode = S_IFREG | 0644;
                attributes.attr.nlink = 1;
                std::memcpy(answer.body, &attributes, body = sizeof attributes);
            } else {
                continue;
            }
            static_assert(sizeof(fuse_attr_out) <= sizeof answer.body && sizeof(fuse_init_out) <= sizeof answer.body);
            answer.head = {static_cast<std::uint32_t>(sizeof answer.head) + body, 0, asked.unique};
            if (::write(device, &answer, answer.head.len) < 0) ::_exit(0);
        }
    }

    pid_t opener_ = -1;
    mutable int ready_[2]{-1, -1};
};

// A process that runs `body` and is waited for.
int in_child(const std::function<void()>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        body();
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return status;
}

}  // namespace

TEST_CASE("what a worker puts under a name comes back in a later life, the same open files in their order") {
    NEEDS_ROOT();
    Stand stand;
    const Fd one = file_saying("one");
    const Fd two = file_saying("two");
    {
        Life first = stand.begin();
        CHECK(first.put("state", {&one, &two}) == 0);
        CHECK(first.put("log.1", {&two}) == 0);
        CHECK(first.stored() == "state 2\nlog.1 1\n");
    }
    stand.descriptor_store->over();
    Life second = stand.begin();
    CHECK(second.stored() == "state 2\nlog.1 1\n");
    const Reply back = second.fetch("state");
    CHECK(back.error == 0);
    REQUIRE(back.fds.size() == 2);
    CHECK(inode_of(back.fds[0]) == inode_of(one));
    CHECK(text_in(back.fds[1]) == "two");
    CHECK(second.stored() == "log.1 1\n");
    CHECK(second.fetch("state").error == ENOENT);
}

TEST_CASE("names are 1 to 63 usual characters, each is kept once, and nothing is kept without a descriptor") {
    NEEDS_ROOT();
    Stand stand;
    Life life = stand.begin();
    const Fd file = file_saying("");
    const std::string longest(63, 'n');
    CHECK(life.put(longest, {&file}) == 0);
    CHECK(life.put("A-z_0.9", {&file}) == 0);
    CHECK(life.put(longest, {&file}) == EEXIST);
    CHECK(life.put(longest + "n", {&file}) == EINVAL);
    CHECK(life.put("", {&file}) == EINVAL);
    CHECK(life.put("a b", {&file}) == EINVAL);
    CHECK(life.put("a/b", {&file}) == EINVAL);
    CHECK(life.put("a\nb 7", {&file}) == EINVAL);
    CHECK(life.put(std::string_view("a\0b", 3), {&file}) == EINVAL);
    CHECK(life.put("new", {}) == EINVAL);
    CHECK(life.fetch("a/b").error == EINVAL);
    CHECK(life.fetch("new").error == ENOENT);
    CHECK(life.stored() == longest + " 1\nA-z_0.9 1\n");
}

TEST_CASE("no more are kept at once than the config says, and what is given back makes room") {
    NEEDS_ROOT();
    Stand stand(3);
    Life life = stand.begin();
    const Fd file = file_saying("");
    CHECK(life.put("a", {&file, &file}) == 0);
    const auto before = descriptors_of(stand.descriptor_store->pid());
    const int two[] = {file.get(), file.get()};
    const Reply refused = life.ask(protocol::Type::put, "b", two);
    CHECK(refused.error == EDQUOT);
    CHECK(refused.text.find("at most 3") != std::string::npos);
    CHECK(life.put("b", {&file}) == 0);
    CHECK(life.put("c", {&file}) == EDQUOT);
    CHECK(life.fetch("a").fds.size() == 2);
    CHECK(life.put("c", {&file}) == 0);
    CHECK(descriptors_of(stand.descriptor_store->pid()) == before);
    stand.descriptor_store->limit(4);
    CHECK(life.put("d", {&file, &file}) == 0);
}

TEST_CASE("the parent is told what is kept, by value") {
    NEEDS_ROOT();
    Stand stand;
    Life life = stand.begin();
    const Fd file = file_saying("");
    CHECK(life.put("conns", {&file, &file}) == 0);
    REQUIRE(stand.until([&] { return stand.descriptor_store->kept().total == 2; }));
    REQUIRE(stand.descriptor_store->kept().names.size() == 1);
    CHECK(stand.descriptor_store->kept().names[0].name == "conns");
    CHECK(stand.descriptor_store->kept().names[0].count == 2);
    CHECK(wall_clock_now() - stand.descriptor_store->kept().names[0].since < 10'000'000'000);
    CHECK(life.fetch("conns").error == 0);
    CHECK(stand.until([&] { return stand.descriptor_store->kept().total == 0; }));
}

TEST_CASE("a worker that asks without end makes the parent hear no more than ten times a second") {
    NEEDS_ROOT();
    Stand stand;
    Life life = stand.begin();
    const Fd file = file_saying("");
    int reports = 0;
    const Instant end = monotonic_now() + 1s;
    while (monotonic_now() < end) {
        CHECK(life.put("a", {&file}) == 0);
        CHECK(life.fetch("a").error == 0);
        pollfd ready{stand.descriptor_store->socket(), POLLIN, 0};
        if (::poll(&ready, 1, 0) == 1 && stand.descriptor_store->hear() == DescriptorStore::News::changed) ++reports;
    }
    CHECK(reports <= 12);
    CHECK(life.last_id <= 6'000);
}

TEST_CASE("T13: a process that is not this life's main one is refused, and its descriptors are closed") {
    NEEDS_ROOT();
    Stand stand;
    Life life = stand.begin();
    const Fd file = file_saying("");
    CHECK(life.put("mine", {&file}) == 0);
    const auto before = descriptors_of(stand.descriptor_store->pid());
    in_child([&] {
        const int number = file.get();
        (void)life.say(protocol::Type::put, "theirs", std::span(&number, 1));
    });
    ++life.last_id;
    CHECK(life.hear().error == EPERM);
    in_child([&] { (void)life.say(protocol::Type::fetch, "mine"); });
    ++life.last_id;
    const Reply refused = life.hear();
    CHECK(refused.error == EPERM);
    CHECK(refused.fds.empty());
    CHECK(life.stored() == "mine 1\n");
    CHECK(descriptors_of(stand.descriptor_store->pid()) == before);
}

TEST_CASE("T9: the same pid with another uid or gid is somebody else") {
    NEEDS_ROOT();
    Stand stand;
    Life life = stand.begin({::getpid(), worker_uid, ::getgid()});
    CHECK(life.ask(protocol::Type::stored, "").error == EPERM);
    Life next = stand.begin({::getpid(), ::getuid(), worker_uid});
    CHECK(next.ask(protocol::Type::stored, "").error == EPERM);
}

TEST_CASE("T19: nothing is taken from a life that has not begun, and nothing from one that is over") {
    NEEDS_ROOT();
    Stand stand;
    auto end = stand.descriptor_store->adopt();
    REQUIRE(end);
    Life life;
    life.socket = Channel(std::move(*end));
    const Fd file = file_saying("");
    const int number = file.get();
    REQUIRE(life.say(protocol::Type::put, "early", std::span(&number, 1)));
    CHECK(life.hear(200).error == -2);
    REQUIRE(stand.descriptor_store->begins({::getpid(), ::getuid(), ::getgid()}));
    CHECK(life.hear().error == 0);
    stand.descriptor_store->over();
    CHECK(life.hear().error == -1);
    CHECK_FALSE(life.say(protocol::Type::stored, ""));
}

TEST_CASE("T1 T2: stray descriptors, however many and with whatever message, are closed by the descriptor store and reach nobody else") {
    NEEDS_ROOT();
    Stand stand(300);
    const Fd file = file_saying("");
    {
        Life warm = stand.begin();
        CHECK(warm.stored().empty());
    }
    stand.descriptor_store->over();
    REQUIRE(stand.until([&] { return descriptors_of(stand.descriptor_store->pid()) == 4; }));
    const auto here = descriptors_of(::getpid());
    for (const std::size_t count : {1U, 2U, 3U, 253U}) {
        const std::vector<int> numbers(count, file.get());
        CAPTURE(count);
        {
            Life life = stand.begin();
            CHECK(life.ask(protocol::Type::fetch, "none", numbers).error == EINVAL);
            CHECK(life.ask(protocol::Type::stored, "", numbers).error == EINVAL);
            CHECK(life.ask(protocol::Type::put, "bad/name", numbers).error == EINVAL);
            CHECK(stand.until([&] { return descriptors_of(stand.descriptor_store->pid()) == 5; }));
        }
        for (const auto type : {protocol::Type::ready, protocol::Type::hello, protocol::Type::ask, protocol::Type::done}) {
            stand.last = DescriptorStore::News::nothing;
            Life life = stand.begin();
            REQUIRE(life.say(type, "", numbers));
            CHECK(life.hear().error == -1);
            CHECK(stand.violates());
        }
        stand.last = DescriptorStore::News::nothing;
        Life empty = stand.begin();
        REQUIRE(empty.say(Bytes(), numbers));   // T15: a datagram of no bytes
        CHECK(stand.violates());
        CHECK(stand.until([&] { return descriptors_of(stand.descriptor_store->pid()) == 4; }));
    }
    CHECK(descriptors_of(::getpid()) == here);
    Life life = stand.begin();
    CHECK(life.ask(protocol::Type::put, "all", std::vector<int>(253, file.get())).error == 0);
    CHECK(life.fetch("all").fds.size() == 253);
    CHECK(stand.until([&] { return stand.descriptor_store->kept().strays > 0; }));
}

TEST_CASE("T14: bytes that are no message end this life's store and are told, and the next life has all that was kept") {
    NEEDS_ROOT();
    Stand stand;
    const Fd file = file_saying("safe");
    {
        Life life = stand.begin();
        CHECK(life.put("safe", {&file}) == 0);
        std::vector<std::byte> junk(100, std::byte{0xff});
        REQUIRE(life.say(junk));
        CHECK(life.hear().error == -1);
    }
    REQUIRE(stand.violates());
    CHECK(stand.descriptor_store->violated_now());
    CHECK(std::string_view(stand.descriptor_store->violation()).find("is none") != std::string_view::npos);
    Life next = stand.begin();
    CHECK_FALSE(stand.descriptor_store->violated_now());
    CHECK(text_in(next.fetch("safe").fds.at(0)) == "safe");
}

TEST_CASE("L2: a worker that does not read its answers is not heard any more, and loses nothing") {
    NEEDS_ROOT();
    Stand stand;
    const Fd file = file_saying("");
    Life life = stand.begin();
    CHECK(life.put("kept", {&file}) == 0);
    const auto message = protocol::encode_text(life.buffer, protocol::Type::stored, RequestId{1}, "");
    int sent = 0;
    while (sent < 20'000 && life.say(*message)) ++sent;
    CHECK(sent < 20'000);   // its own queue is full, and nobody else's
    stand.descriptor_store->over();
    Life next = stand.begin();
    CHECK(next.stored() == "kept 1\n");
}

TEST_CASE("a descriptor store is of the worker's user, without capabilities, under a filter, and nobody of that user looks into it") {
    NEEDS_ROOT();
    Stand stand;
    Life life = stand.begin();
    CHECK(life.stored().empty());
    const auto status = read_file("/proc/" + std::to_string(stand.descriptor_store->pid()) + "/status", 8192);
    REQUIRE(status);
    for (const auto* line : {"Uid:\t64321\t64321\t64321\t64321", "Gid:\t64321\t64321\t64321\t64321", "Groups:\t \n",
                             "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapInh:\t0000000000000000",
                             "NoNewPrivs:\t1", "Seccomp:\t2"}) {
        CAPTURE(line);
        CHECK(status->find(line) != std::string::npos);
    }
    const int looked = in_child([&] {
        if (::setresgid(worker_uid, worker_uid, worker_uid) != 0 || ::setresuid(worker_uid, worker_uid, worker_uid) != 0) ::_exit(9);
        const std::string table = "/proc/" + std::to_string(stand.descriptor_store->pid()) + "/fd/3";
        ::_exit(::open(table.c_str(), O_RDONLY) < 0 && ::open(("/proc/" + std::to_string(stand.descriptor_store->pid()) + "/mem").c_str(), O_RDONLY) < 0 ? 0 : 1);
    });
    CHECK(looked == 0);
}

TEST_CASE("T37: a lingering socket that a worker sends holds up that worker's descriptor store, and neither the parent nor another") {
    NEEDS_ROOT();
    Stand hung;
    Stand other;
    Life victim = other.begin();
    Life life = hung.begin();
    CHECK(life.stored().empty());
    {
        Lingering lingering(3);
        const int number = lingering.socket.get();
        REQUIRE(::kill(hung.descriptor_store->pid(), SIGSTOP) == 0);
        REQUIRE(life.say(protocol::Type::stored, "", std::span(&number, 1)));
        lingering.socket.reset();   // still on its way, so the last one to close it waits
        REQUIRE(::kill(hung.descriptor_store->pid(), SIGCONT) == 0);
        CHECK(life.hear().error == EINVAL);   // the answer comes first
        REQUIRE(life.say(protocol::Type::stored, ""));
        const Instant before = monotonic_now();
        for (int i = 0; i < 100; ++i) CHECK(victim.ask(protocol::Type::stored, "").error == 0);
        hung.descriptor_store->over();
        auto next = hung.descriptor_store->adopt();
        REQUIRE(next);
        REQUIRE(hung.descriptor_store->begins({::getpid(), ::getuid(), ::getgid()}));
        CHECK(monotonic_now() - before < 1s);
        CHECK(life.hear(500).error == -2);   // it does hang: this is what nobody else felt
        Life later;
        later.socket = Channel(std::move(*next));
        CHECK(later.ask(protocol::Type::stored, "").error == 0);
    }
}

TEST_CASE("T6: a file of a FUSE server that never answers holds up the descriptor store that closes it, and nobody else") {
    NEEDS_ROOT();
    Stand hung;
    Stand other;
    Life victim = other.begin();
    Life life = hung.begin();
    CHECK(life.stored().empty());
    const FuseFile file([&](int number) { (void)life.say(protocol::Type::stored, "", std::span(&number, 1)); });
    if (!file.sent()) {
        MESSAGE("skipped: no FUSE here");
        return;
    }
    ++life.last_id;
    CHECK(life.hear().error == EPERM);   // it came from another process, and this was said before it was closed
    REQUIRE(life.say(protocol::Type::stored, ""));
    CHECK(life.hear(300).error == -2);   // it does hang
    const Instant before = monotonic_now();
    for (int i = 0; i < 100; ++i) CHECK(victim.ask(protocol::Type::stored, "").error == 0);
    hung.descriptor_store->over();
    CHECK(hung.descriptor_store->adopt());
    hung.descriptor_store.reset();   // killed, and left alone
    CHECK(monotonic_now() - before < 1s);
}

TEST_CASE("T37: one still on its way when the worker dies costs its parent nothing") {
    NEEDS_ROOT();
    Stand stand;
    Life life = stand.begin();
    REQUIRE(::kill(stand.descriptor_store->pid(), SIGSTOP) == 0);
    Lingering lingering(3);
    const int number = lingering.socket.get();
    REQUIRE(life.say(protocol::Type::put, "late", std::span(&number, 1)));
    lingering.socket.reset();
    const Instant before = monotonic_now();
    life.socket.close();
    stand.descriptor_store->over();
    stand.descriptor_store.reset();   // and its descriptor store is killed with it
    CHECK(monotonic_now() - before < 500ms);
}

TEST_CASE("a descriptor store that hangs for good is not sent one socket after another") {
    NEEDS_ROOT();
    Stand stand;
    REQUIRE(::kill(stand.descriptor_store->pid(), SIGSTOP) == 0);
    int taken = 0;
    while (taken < 10 && stand.descriptor_store->adopt()) ++taken;
    CHECK(taken == 4);
    CHECK(stand.descriptor_store->adopt().error().number == EAGAIN);
    REQUIRE(::kill(stand.descriptor_store->pid(), SIGCONT) == 0);
    REQUIRE(stand.until([&] { return stand.descriptor_store->adopt().has_value(); }));
}

TEST_CASE("a descriptor store that is killed is seen to have ended; its worker's socket ends with it") {
    NEEDS_ROOT();
    Stand stand;
    Life life = stand.begin();
    CHECK(life.stored().empty());
    CHECK_FALSE(stand.descriptor_store->ended());
    REQUIRE(::kill(stand.descriptor_store->pid(), SIGKILL) == 0);
    REQUIRE(ended_within(stand.descriptor_store->pidfd(), 2'000));
    CHECK(stand.descriptor_store->ended());
    CHECK(life.hear().error == -1);
    CHECK_FALSE(stand.descriptor_store->adopt());
}
