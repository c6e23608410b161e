// The log keeper itself, asked and answered over a real channel; warderd's part is played by the test, which lends files of
// one directory.
#include <doctest/doctest.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>

#include "protocol/codec.h"
#include "sys/channel.h"

using namespace warder;

namespace {

const char* keeper_program() {
    const char* path = std::getenv("WARDER_LOG_KEEPER");
    return path != nullptr ? path : WARDER_LOG_KEEPER;
}

struct Directory {
    std::string path = "/tmp/warder-keeper-XXXXXX";
    bool mounted = false;
    Directory() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    ~Directory() {
        if (mounted) ::umount2(path.c_str(), MNT_DETACH);
        for (const auto& name : names()) ::unlink(file(name).c_str());
        ::rmdir(path.c_str());
    }
    void make_small() {
        REQUIRE(::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=64k") == 0);
        mounted = true;
    }
    std::string file(const std::string& name) const { return path + "/" + name; }
    std::string text(const std::string& name) const {
        std::ostringstream out;
        out << std::ifstream(file(name)).rdbuf();
        return out.str();
    }
    std::vector<std::string> names() const {
        std::vector<std::string> all;
        DIR* directory = ::opendir(path.c_str());
        while (const dirent* entry = ::readdir(directory)) {
            if (entry->d_name[0] != '.') all.emplace_back(entry->d_name);
        }
        ::closedir(directory);
        std::sort(all.begin(), all.end());
        return all;
    }
    std::size_t size(const std::string& name) const {
        struct stat found{};
        return ::stat(file(name).c_str(), &found) == 0 ? static_cast<std::size_t>(found.st_size) : 0;
    }
};

std::uint64_t limits(std::uint64_t max_size, std::uint64_t keep) { return max_size | (keep << 48); }

struct Pipe {
    Fd reading;
    Fd writing;
    Pipe() {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        reading = Fd(ends[0]);
        writing = Fd(ends[1]);
    }
    void write(std::string_view text) const {
        REQUIRE(::write(writing.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
};

// A keeper that runs, and what lends it files.
class Keeper {
public:
    explicit Keeper(const Directory& directory) : folder_(::open(directory.path.c_str(), O_PATH | O_CLOEXEC)) {
        auto pair = make_channel_pair();
        REQUIRE(pair);
        channel_ = std::move(pair->ours);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) run(pair->theirs.get());
        pair->theirs.close();
        serve_until([this] { return ready_; });
    }
    ~Keeper() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    // As warderd does it: a few at a time, then a word from the keeper.
    void give(const std::string& name, std::uint64_t value, const Pipe& pipe) {
        serve_until([this] { return unanswered_ < 16; });
        ++unanswered_;
        event(protocol::Type::channel, {name, value, 1}, pipe.reading.get());
    }
    void tell_to_stop() { event(protocol::Type::stop, {}, -1); }
    void signal(int number) const { ::kill(pid_, number); }

    // Serves until it exits; returns its exit status as wait(2) has it.
    int end() {
        serve_until([this] { return gone_; });
        int status = -1;
        ::waitpid(std::exchange(pid_, -1), &status, 0);
        return status;
    }

    void serve_until(const std::function<bool()>& enough) {
        for (int quiet = 0; quiet < 250;) {   // 5 s
            if (enough()) return;
            if (gone_) FAIL("the keeper has gone");
            pollfd one{channel_.get(), POLLIN, 0};
            if (::poll(&one, 1, 20) == 1) answer();
            else ++quiet;
        }
        FAIL("the keeper did not come to it in time");
    }

    int refuse_with = 0;   // errno for every request
    bool watched = false;  // it has asked for a watch
    const std::string& said() const { return said_; }

private:
    [[noreturn]] static void run(int fd) {
        ::dup2(fd, 3);   // without close-on-exec
        ::setenv("WARDER_SOCKET", "3", 1);
        ::execl(keeper_program(), "log-keeper", nullptr);
        ::_exit(127);
    }

    void event(protocol::Type type, const protocol::Event& event, int fd) {
        const auto bytes = protocol::encode_event(outgoing_, type, event);
        REQUIRE(bytes);
        REQUIRE(channel_.send_waiting(*bytes, fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>()));
    }

    void answer() {
        auto received = channel_.receive(incoming_);
        REQUIRE(received);
        gone_ = received->kind == Received::Kind::closed;
        if (received->kind != Received::Kind::message) return;
        const auto message = protocol::decode(received->bytes);
        REQUIRE(message);
        switch (message->type) {
            case protocol::Type::hello: reply(protocol::encode_hello_reply(outgoing_, message->id, hello())); return;
            case protocol::Type::ready:
                ready_ = true;
                [[fallthrough]];
            case protocol::Type::status:
                if (const auto text = protocol::decode_text(*message); text && message->type == protocol::Type::status) said_ = *text;
                unanswered_ = 0;
                reply(protocol::encode_done(outgoing_, message->id, {}));
                return;
            case protocol::Type::ask: return answer_ask(*message);
            default: FAIL("unexpected message");
        }
    }

    static protocol::HelloReply hello() {
        protocol::HelloReply reply;
        reply.max_message = max_message;
        reply.worker = "log-keeper";
        return reply;
    }

    void answer_ask(const protocol::Message& message) {
        const auto requests = protocol::decode_ask(message);
        REQUIRE(requests);
        REQUIRE(requests->size() == 1);
        const auto request = requests->at(0);
        CHECK(request.grant == "logs");
        const Fd fd(refuse_with != 0 ? (errno = refuse_with, -1) : perform(request));
        protocol::Outcome outcome;
        const bool no_fd = request.operation >= static_cast<std::uint16_t>(Operation::rename);
        if (!fd && !(no_fd && done_)) {
            outcome.error = errno;
            outcome.reason = Reason::system;
        }
        outcome.fds = fd ? 1 : 0;
        const int number = fd.get();
        const auto bytes = protocol::encode_answer(outgoing_, message.id, std::span(&outcome, 1));
        REQUIRE(bytes);
        REQUIRE(channel_.send(*bytes, fd ? std::span<const int>(&number, 1) : std::span<const int>()));
    }

    int perform(const protocol::Request& request) {
        const std::string target(request.target);
        const std::string second(request.second);
        CHECK(target.find('/') == std::string::npos);
        done_ = false;
        switch (static_cast<Operation>(request.operation)) {
            case Operation::append: return ::openat(folder_.get(), target.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
            case Operation::create: return ::openat(folder_.get(), target.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
            case Operation::rename:
                done_ = ::renameat(folder_.get(), target.c_str(), folder_.get(), second.c_str()) == 0;
                return -1;
            case Operation::watch: {
                const int watcher = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
                watched = true;
                const std::string self = "/proc/self/fd/" + std::to_string(folder_.get());
                CHECK(::inotify_add_watch(watcher, self.c_str(), static_cast<std::uint32_t>(request.argument)) >= 0);
                return watcher;
            }
            case Operation::unlink: done_ = ::unlinkat(folder_.get(), target.c_str(), 0) == 0; return -1;
            default: FAIL("unexpected operation"); return -1;
        }
    }

    void reply(const Result<Bytes>& bytes) {
        REQUIRE(bytes);
        REQUIRE(channel_.send(*bytes));
    }

    Fd folder_;
    Channel channel_;
    pid_t pid_ = -1;
    bool ready_ = false;
    bool gone_ = false;
    int unanswered_ = 0;
    std::string said_;   // its status
    bool done_ = false;
    std::array<std::byte, max_message> incoming_;
    std::array<std::byte, max_message> outgoing_;
};

constexpr const char* stamp = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z )";

std::string without_stamps(const std::string& text) { return std::regex_replace(text, std::regex(stamp), ""); }

}  // namespace

TEST_CASE("log keeper: a worker's lines are stamped and kept, and a stop takes what is still in the pipe") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(1 << 20, 3), pipe);
    pipe.write("one\ntwo\n");
    keeper.serve_until([&] { return directory.size("web.log") > 0; });
    CHECK(std::regex_match(directory.text("web.log"), std::regex(std::string(stamp) + "one\n" + stamp + "two\n")));
    pipe.write("three\nwithout newline");
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    CHECK(without_stamps(directory.text("web.log")) == "one\ntwo\nthree\nwithout newline\n");
}

TEST_CASE("log keeper: SIGTERM is a stop like any other") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(1 << 20, 3), pipe);
    pipe.write("one\n");
    keeper.serve_until([&] { return directory.size("web.log") > 0; });
    pipe.write("two\n");
    keeper.signal(SIGTERM);
    CHECK(keeper.end() == 0);
    CHECK(without_stamps(directory.text("web.log")) == "one\ntwo\n");
}

TEST_CASE("log keeper: the audit is kept as it is, beside the workers") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe audit;
    const Pipe web;
    keeper.give("audit", limits(10 << 20, 5), audit);
    keeper.give("log:web", limits(10 << 20, 5), web);
    for (const char* line : {"{\"a\":1}\n", "{\"a\":2}\n"}) {
        const std::size_t before = directory.size("audit.jsonl");
        audit.write(line);
        web.write("x\n");
        keeper.serve_until([&] { return directory.size("audit.jsonl") > before; });
    }
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    CHECK(directory.text("audit.jsonl") == "{\"a\":1}\n{\"a\":2}\n");
    CHECK(directory.names() == std::vector<std::string>{"audit.jsonl", "web.log"});   // nothing was rotated
}

TEST_CASE("log keeper: files are rotated by size, and only so many are kept") {
    Directory directory;
    for (const char* old : {"web.log.3", "web.log.4", "web.log.5"}) std::ofstream(directory.file(old)) << "of a time when more were kept\n";
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(500, 2), pipe);
    std::string all;
    for (int i = 0; i < 40; ++i) {
        const std::string line = "line " + std::to_string(i) + " " + std::string(60, 'x') + "\n";
        pipe.write(line);
        all += line;
        keeper.serve_until([&] { return directory.text("web.log").find("line " + std::to_string(i) + " ") != std::string::npos; });
    }
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    CHECK(directory.names() == std::vector<std::string>{"web.log", "web.log.1", "web.log.2"});
    for (const auto& name : directory.names()) CHECK(directory.size(name) <= 500);
    const std::string kept = without_stamps(directory.text("web.log.2") + directory.text("web.log.1") + directory.text("web.log"));
    CHECK(all.ends_with(kept));
    CHECK(kept.size() > 700);
}

TEST_CASE("log keeper: where none is to be kept, the full file goes") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(100, 0), pipe);
    for (int i = 0; i < 5; ++i) {
        pipe.write("line " + std::to_string(i) + " " + std::string(40, 'x') + "\n");
        keeper.serve_until([&] { return directory.text("web.log").find("line " + std::to_string(i)) != std::string::npos; });
    }
    CHECK(directory.names() == std::vector<std::string>{"web.log"});
    CHECK(directory.size("web.log") <= 100);
}

TEST_CASE("log keeper: a full disk loses lines, which are counted and told of (L6)") {
    Directory directory;
    directory.make_small();
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(1 << 20, 3), pipe);
    pipe.write("before\n");
    keeper.serve_until([&] { return directory.size("web.log") > 0; });
    const std::string filler(60 * 1024, 'f');
    std::ofstream(directory.file("filler")) << filler;
    for (int i = 0; i < 30; ++i) {
        pipe.write("lost? " + std::to_string(i) + " " + std::string(1000, 'y') + "\n");
        ::usleep(2000);
        keeper.serve_until([] { return true; });
    }
    keeper.serve_until([&] {
        int left = 0;
        return ::ioctl(pipe.reading.get(), FIONREAD, &left) == 0 && left == 0;
    });
    ::usleep(20'000);
    ::unlink(directory.file("filler").c_str());
    pipe.write("after\n");
    keeper.serve_until([&] { return directory.text("web.log").find(" after\n") != std::string::npos; });
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);

    const std::string text = without_stamps(directory.text("web.log"));
    std::smatch found;
    REQUIRE(std::regex_search(text, found, std::regex("log-keeper: (\\d+) lines were lost: No space left on device\nafter\n$")));
    const int lost = std::stoi(found[1]);
    int kept = 0;
    for (int i = 0; i < 30; ++i) kept += text.find("lost? " + std::to_string(i) + " " + std::string(1000, 'y') + "\n") != std::string::npos;
    CHECK(lost + kept == 30);
    CHECK(lost >= 20);
}

TEST_CASE("log keeper: a file that somebody removes is begun anew, one that somebody cuts has no placeholder") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(1 << 20, 3), pipe);
    pipe.write("one\n");
    keeper.serve_until([&] { return directory.size("web.log") > 0; });
    ::unlink(directory.file("web.log").c_str());
    pipe.write("two\n");
    keeper.serve_until([&] { return directory.size("web.log") > 0; });
    CHECK(without_stamps(directory.text("web.log")) == "two\n");
    CHECK(::truncate(directory.file("web.log").c_str(), 0) == 0);
    pipe.write("three\n");
    keeper.serve_until([&] { return directory.size("web.log") > 0; });
    CHECK(without_stamps(directory.text("web.log")) == "three\n");
}

TEST_CASE("log keeper: the same pipe handed over again is read once") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    for (int i = 0; i < 5; ++i) keeper.give("log:web", limits(1 << 20, 3), pipe);
    for (int i = 0; i < 100; ++i) pipe.write("line " + std::to_string(i) + "\n");
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    std::string expected;
    for (int i = 0; i < 100; ++i) expected += "line " + std::to_string(i) + "\n";
    CHECK(without_stamps(directory.text("web.log")) == expected);
}

TEST_CASE("log keeper: a pipe whose writers have gone is finished and forgotten, another of its name goes on") {
    Directory directory;
    Keeper keeper(directory);
    {
        Pipe first;
        keeper.give("log:web", limits(1 << 20, 3), first);
        first.write("cut off");
        first.writing.reset();
        keeper.serve_until([&] { return directory.size("web.log") > 0; });
    }
    const Pipe second;
    keeper.give("log:web", limits(1 << 20, 3), second);
    second.write("second\n");
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    CHECK(without_stamps(directory.text("web.log")) == "cut off\nsecond\n");
}

TEST_CASE("log keeper: names that would lead elsewhere, and descriptors that are no pipe, are turned away") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    pipe.write("x\n");
    for (const char* name : {"log:../../etc/cron.d/x", "log:", "log:a/b", "passwd", "audit.jsonl"}) {
        keeper.give(name, limits(1 << 20, 3), pipe);
    }
    const Pipe good;
    keeper.give("log:web", limits(1 << 20, 3), good);
    good.write("y\n");
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    CHECK(directory.names() == std::vector<std::string>{"web.log"});
}

TEST_CASE("log keeper: a parent that refuses every file does not end it") {
    Directory directory;
    Keeper keeper(directory);
    keeper.refuse_with = EACCES;
    const Pipe pipe;
    keeper.give("log:web", limits(1 << 20, 3), pipe);
    pipe.write("one\ntwo\n");
    keeper.serve_until([&] {
        int left = 0;
        return ::ioctl(pipe.reading.get(), FIONREAD, &left) == 0 && left == 0;
    });
    ::usleep(20'000);
    for (int i = 0; i < 5; ++i) keeper.serve_until([] { return true; });
    pollfd quiet{-1, 0, 0};
    ::poll(&quiet, 0, 50);
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    CHECK(directory.names().empty());
}

TEST_CASE("log keeper: hundreds of workers that write at once lose nothing") {
    Directory directory;
    Keeper keeper(directory);
    std::vector<Pipe> pipes(300);
    for (std::size_t i = 0; i < pipes.size(); ++i) {
        keeper.give("log:w" + std::to_string(i), limits(1 << 20, 3), pipes[i]);
        pipes[i].write("hello from " + std::to_string(i) + "\n");
    }
    keeper.serve_until([&] { return directory.names().size() == pipes.size(); });
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    for (std::size_t i = 0; i < pipes.size(); ++i) {
        CHECK(without_stamps(directory.text("w" + std::to_string(i) + ".log")) == "hello from " + std::to_string(i) + "\n");
    }
}

TEST_CASE("log keeper: what has no newline is written after a second, and the newline that comes later is no line") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(1 << 20, 3), pipe);
    pipe.write("whole\nwaiting ");
    keeper.serve_until([&] { return without_stamps(directory.text("web.log")) == "whole\nwaiting \n"; });
    pipe.write("\n");
    pipe.write("dots");
    keeper.serve_until([&] { return without_stamps(directory.text("web.log")) == "whole\nwaiting \ndots\n"; });
    pipe.write(" and more\n");
    keeper.serve_until([&] { return without_stamps(directory.text("web.log")) == "whole\nwaiting \ndots\n and more\n"; });
}

TEST_CASE("log keeper: the end of a run's pipe ends its last line, and the next run's pipe is read after it") {
    Directory directory;
    Keeper keeper(directory);
    for (int run = 0; run < 3; ++run) {
        Pipe pipe;
        pipe.write("run " + std::to_string(run) + "\nfatal: x");
        keeper.give("log:web", limits(1 << 20, 3), pipe);
    }
    keeper.serve_until([&] { return directory.text("web.log").ends_with(" run 2\n") || directory.text("web.log").ends_with("x\n"); });
    keeper.tell_to_stop();
    CHECK(keeper.end() == 0);
    CHECK(without_stamps(directory.text("web.log")) == "run 0\nfatal: x\nrun 1\nfatal: x\nrun 2\nfatal: x\n");
}

TEST_CASE("log keeper: a log that was moved away is begun anew") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(1 << 20, 3), pipe);
    pipe.write("before\n");
    keeper.serve_until([&] { return directory.size("web.log") > 0 && keeper.watched; });
    REQUIRE(::rename(directory.file("web.log").c_str(), directory.file("web.log.old").c_str()) == 0);
    pipe.write("after\n");
    keeper.serve_until([&] { return directory.size("web.log") > 0 || directory.text("web.log.old").find("after") != std::string::npos; });
    if (directory.size("web.log") == 0) {   // it was written before the news came, into the file that was moved
        pipe.write("later\n");
        keeper.serve_until([&] { return directory.size("web.log") > 0; });
    }
    CHECK(without_stamps(directory.text("web.log.old") + directory.text("web.log")).starts_with("before\nafter\n"));
}

TEST_CASE("log keeper: lost lines are in its status at once, and no longer when they are written again, without another line") {
    Directory directory;
    Keeper keeper(directory);
    const Pipe pipe;
    keeper.give("log:web", limits(1 << 20, 3), pipe);
    keeper.serve_until([&] { return keeper.said() == "keeping 1 log"; });
    keeper.refuse_with = EDQUOT;
    pipe.write("one\ntwo\n");
    keeper.serve_until([&] { return keeper.said() == "losing lines of web.log: Disk quota exceeded"; });
    keeper.refuse_with = 0;
    keeper.serve_until([&] { return keeper.said() == "keeping 1 log"; });
    CHECK(without_stamps(directory.text("web.log")) == "log-keeper: 2 lines were lost: Disk quota exceeded\n");
}
