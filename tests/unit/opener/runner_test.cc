#include "opener/runner.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>

#include "protocol/codec.h"
#include "sys/cgroup.h"
#include "sys/files.h"
#include "sys/process.h"

using namespace warder;
using namespace warder::opener;
using namespace std::chrono_literals;

namespace {

#define NEEDS_ROOT()                      \
    do {                                  \
        if (::geteuid() != 0) {           \
            MESSAGE("skipped: not root"); \
            return;                       \
        }                                 \
    } while (false)

constexpr WorkerId web{7};
constexpr WorkerId other{8};

struct Heard : RunnerObserver {
    struct Begun {
        pid_t pid;
        int error;
        bool answered;
    };
    struct End {
        pid_t pid;
        bool by_signal;
        int value;
        bool timed_out;
    };
    std::vector<Begun> begun;
    std::vector<End> ended;

    void command_begun(const CommandBegun& one) override { begun.push_back({one.pid, one.error, one.answered}); }
    void command_ended(const CommandEnded& one) override {
        ended.push_back({one.pid, one.by_signal, one.value, one.timed_out});
    }
};

// What a worker got for one run.
struct Lent {
    int error = 0;
    std::string text;
    std::uint64_t pid = 0;
    std::uint64_t ends = 0;   // protocol::RunEnd
    std::vector<Fd> fds;

    // Everything that the n-th descriptor says until its end.
    std::string read(std::size_t index) {
        std::string all;
        char bytes[4096];
        for (;;) {
            const ssize_t size = ::read(fds.at(index).get(), bytes, sizeof bytes);
            if (size <= 0) return all;
            all.append(bytes, static_cast<std::size_t>(size));
        }
    }
    std::string pidfd_says() {
        pollfd ended{fds.back().get(), POLLIN, 0};
        return ::poll(&ended, 1, 5'000) == 1 ? "ended" : "runs";
    }
};

bool is_alive(pid_t pid) {
    const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    return stat && stat->find(") Z ") == std::string::npos;
}

struct Stand {
    Result<Poller> poller = Poller::create();
    Privileges privileges;
    Heard heard;
    std::optional<Runner> runner;
    ChannelPair pair = *make_channel_pair();
    policy::Command command;
    std::string cgroup;
    std::array<std::byte, max_message> buffer;

    explicit Stand(RunnerSettings settings = {}) {
        cgroup = settings.cgroup;
        runner.emplace(*poller, privileges, heard, std::move(settings));
        runner->set_now(monotonic_now());
    }

    Result<void> ask(std::vector<std::string_view> words, WorkerId worker = web, std::string_view grant = "job") {
        broker::CommandJob job;
        job.worker = worker;
        job.generation = 3;
        job.request = RequestId{41};
        job.channel = pair.ours.get();
        job.grant = GrantId{2};
        job.grant_name = grant;
        job.command = &command;
        job.words = words;
        return runner->take(job);
    }

    void turn(int timeout_ms) {
        const auto events = poller->wait(std::chrono::milliseconds(timeout_ms));
        REQUIRE(events);
        for (const auto& event : std::vector<PollEvent>(events->begin(), events->end())) runner->handle(event, monotonic_now());
        runner->run_due(monotonic_now());
    }

    template <typename Condition>
    bool until(Condition condition, Duration within = 10s) {
        const Instant end = monotonic_now() + within;
        while (!condition()) {
            if (monotonic_now() >= end) return false;
            turn(20);
        }
        return true;
    }

    // The reply to a run, as a worker has it.
    Lent answer() {
        pollfd ready{pair.theirs.get(), POLLIN, 0};
        REQUIRE(until([&] { return ::poll(&ready, 1, 0) == 1; }));
        std::array<Fd, max_lent_by_run + 1> fds;
        auto taken = pair.theirs.receive_with_fds(buffer, fds, MSG_DONTWAIT);
        REQUIRE(taken);
        const auto message = protocol::decode(taken->received.bytes);
        REQUIRE(message);
        CHECK(message->id == RequestId{41});
        const auto outcomes = protocol::decode_answer(*message);
        REQUIRE(outcomes);
        REQUIRE(outcomes->size() == 1);
        const auto outcome = outcomes->at(0);
        CHECK(outcome.fds == taken->fd_count);
        CHECK(outcome.grant == GrantId{2});
        Lent lent{outcome.error, std::string(outcome.text), outcome.value >> 32, outcome.value & protocol::run_ends, {}};
        for (std::size_t i = 0; i < taken->fd_count; ++i) lent.fds.push_back(std::move(fds[i]));
        return lent;
    }

    Lent run(std::vector<std::string_view> words) {
        REQUIRE(ask(std::move(words)));
        return answer();
    }
};

// A group of ours to try groups in, where this machine has cgroup v2.
struct OwnGroup {
    std::string path;
    OwnGroup() {
        const auto own = cgroup::own_directory();
        if (!own) return;
        path = *own + "/warder-runner-test." + std::to_string(::getpid());
        if (::mkdir(path.c_str(), 0755) != 0) path.clear();
    }
    ~OwnGroup() {
        if (!path.empty()) ::rmdir(path.c_str());
    }
};

}  // namespace

TEST_CASE("a command's pipes and pidfd come to the worker from the runner, and the parent hears of its end by value") {
    NEEDS_ROOT();
    Stand stand;
    stand.command.in = true;
    stand.command.err = true;
    auto lent = stand.run({"/bin/sh", "-c", "cat; echo oops >&2; exit 3"});
    CHECK(lent.error == 0);
    REQUIRE(lent.fds.size() == 4);
    CHECK(lent.ends == 0xf);
    CHECK(::write(lent.fds[0].get(), "through", 7) == 7);
    lent.fds[0].reset();
    CHECK(lent.read(1) == "through");
    CHECK(lent.read(2) == "oops\n");
    CHECK(lent.pidfd_says() == "ended");
    REQUIRE(stand.until([&] { return !stand.heard.ended.empty(); }));
    CHECK(stand.heard.begun.at(0).error == 0);
    CHECK(static_cast<std::uint64_t>(stand.heard.begun.at(0).pid) == lent.pid);
    CHECK(stand.heard.ended.at(0).value == 3);
    CHECK_FALSE(stand.heard.ended.at(0).by_signal);
    CHECK(stand.runner->running().empty());
}

TEST_CASE("only the pipes of the grant are lent; the rest is /dev/null") {
    NEEDS_ROOT();
    Stand stand;
    stand.command.in = false;
    stand.command.out = true;
    stand.command.err = false;
    auto lent = stand.run({"/bin/sh", "-c", "readlink /proc/self/fd/0; readlink /proc/self/fd/2"});
    REQUIRE(lent.fds.size() == 2);
    CHECK(lent.ends == 0xa);   // its output and its pidfd
    CHECK(lent.read(0) == "/dev/null\n/dev/null\n");
}

TEST_CASE("T26: an argument with spaces, quotes and a line's end arrives as one, and no shell reads it") {
    NEEDS_ROOT();
    Stand stand;
    auto lent = stand.run({"/usr/bin/printf", "[%s]", "a b", "'\"$(id)`id`;\n&|", "", "-n"});
    CHECK(lent.read(0) == "[a b]['\"$(id)`id`;\n&|][][-n]");
}

TEST_CASE("T26: a command has an environment of one variable, the root directory and a usual umask, whoever asks") {
    NEEDS_ROOT();
    ::setenv("LD_PRELOAD_OF_THE_PARENT", "hostile", 1);
    Stand stand;
    auto lent = stand.run({"/bin/sh", "-c", "tr '\\0' '\\n' < /proc/self/environ; pwd; umask; ulimit -Sn"});
    ::unsetenv("LD_PRELOAD_OF_THE_PARENT");
    CHECK(lent.read(0) == "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n/\n0022\n1024\n");
}

TEST_CASE("T7: a command has descriptors 0, 1 and 2 and no other, its own session, and no signal blocked or ignored") {
    NEEDS_ROOT();
    const Fd leaky(::open("/dev/null", O_RDONLY));   // not close-on-exec: it is the runner that must not pass it on
    Stand stand;
    auto lent = stand.run({"/bin/ls", "/proc/self/fd"});
    CHECK(lent.read(0) == "0\n1\n2\n3\n");   // 3 is the directory that ls reads
    auto status = stand.run({"/bin/grep", "-E", "^(SigBlk|SigIgn|Groups)", "/proc/self/status"});
    const std::string text = status.read(0);
    CHECK(text.find("SigBlk:\t0000000000000000") != std::string::npos);
    CHECK(text.find("SigIgn:\t0000000000000000") != std::string::npos);
    auto session = stand.run({"/bin/sh", "-c", "cut -d' ' -f1,5,6 /proc/$$/stat"});
    std::string own = std::to_string(session.pid);
    CHECK(session.read(0) == own + " " + own + " " + own + "\n");
}

TEST_CASE("a command of another user has that user's ids, no other group and no capability") {
    NEEDS_ROOT();
    Stand stand;
    stand.command.uid = 64123;
    stand.command.gid = 64124;
    auto lent = stand.run({"/bin/grep", "-E", "^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb))", "/proc/self/status"});
    CHECK(lent.read(0) ==
          "Uid:\t64123\t64123\t64123\t64123\nGid:\t64124\t64124\t64124\t64124\nGroups:\t \nCapInh:\t0000000000000000\n"
          "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n");
}

TEST_CASE("a program that cannot be executed is the kernel's errno in the reply, and a sentence") {
    NEEDS_ROOT();
    Stand stand;
    auto absent = stand.run({"/nowhere/at/all"});
    CHECK(absent.error == ENOENT);
    CHECK(absent.fds.empty());
    CHECK(absent.text.find("/nowhere/at/all") != std::string::npos);
    char plain[] = "/tmp/warder-runner-test-XXXXXX";   // made without the right to execute
    const Fd file(::mkstemp(plain));
    CHECK(stand.run({plain}).error == EACCES);
    ::unlink(plain);
    CHECK(stand.run({"/usr"}).error == EACCES);
    REQUIRE(stand.until([&] { return stand.runner->running().empty(); }));
    CHECK(stand.heard.begun.size() == 3);
    CHECK(stand.heard.begun.at(0).error == ENOENT);
    CHECK(stand.heard.ended.empty());
}

TEST_CASE("T26: words that are none are refused before anything runs") {
    NEEDS_ROOT();
    Stand stand;
    CHECK(stand.ask({}).error().number == EINVAL);
    CHECK(stand.ask({"sh"}).error().number == EINVAL);
    CHECK(stand.ask({"/bin/echo", std::string_view("a\0b", 3)}).error().number == EINVAL);
    const std::string long_one(max_message, 'x');
    CHECK(stand.ask({"/bin/echo", long_one}).error().number == E2BIG);
    CHECK(stand.runner->running().empty());
}

TEST_CASE("a command that takes too long is killed with everything in its process group") {
    NEEDS_ROOT();
    Stand stand;
    stand.command.timeout = 300ms;
    auto lent = stand.run({"/bin/sh", "-c", "sleep 600 & echo $!; wait"});
    char line[32]{};
    REQUIRE(::read(lent.fds[0].get(), line, sizeof line - 1) > 0);
    const pid_t child = std::atoi(line);
    CHECK(is_alive(child));
    REQUIRE(stand.until([&] { return !stand.heard.ended.empty(); }));
    CHECK(stand.heard.ended.at(0).timed_out);
    CHECK(stand.heard.ended.at(0).by_signal);
    CHECK(stand.heard.ended.at(0).value == SIGKILL);
    CHECK(stand.until([&] { return !is_alive(child); }));
}

TEST_CASE("what leaves the session of its command ends with it all the same, where there are cgroups") {
    NEEDS_ROOT();
    const OwnGroup group;
    if (group.path.empty()) {
        MESSAGE("skipped: no cgroup v2");
        return;
    }
    RunnerSettings settings;
    settings.cgroup = group.path;
    Stand stand(settings);
    auto lent = stand.run({"/bin/sh", "-c", "setsid sh -c 'echo $$; exec sleep 600' & sleep 600"});
    char line[32]{};
    REQUIRE(::read(lent.fds[0].get(), line, sizeof line - 1) > 0);
    const pid_t escaped = std::atoi(line);
    CHECK(is_alive(escaped));
    SUBCASE("when the worker's life ends") { stand.runner->session_ended(web); }
    SUBCASE("when the command itself ends") { REQUIRE(::kill(static_cast<pid_t>(lent.pid), SIGTERM) == 0); }
    SUBCASE("when the runner dies") { REQUIRE(::kill(stand.runner->pid(), SIGKILL) == 0); }
    SUBCASE("when all stops") { stand.runner->stop(); }
    CHECK(stand.until([&] { return !is_alive(escaped); }));
    stand.runner->stop();
    CHECK(std::filesystem::is_empty(group.path) == false);   // the kernel's files
    for (const auto& entry : std::filesystem::directory_iterator(group.path)) CHECK_FALSE(entry.is_directory());
}

TEST_CASE("no more of a worker's grant run at once than it says; other grants and other workers have their own") {
    NEEDS_ROOT();
    Stand stand;
    stand.command.max_concurrent = 2;
    auto first = stand.run({"/bin/sleep", "600"});
    auto second = stand.run({"/bin/sleep", "600"});
    CHECK(stand.ask({"/bin/true"}).error().number == EDQUOT);
    CHECK(stand.ask({"/bin/true"}, other));
    CHECK(stand.answer().error == 0);
    CHECK(stand.ask({"/bin/true"}, web, "another"));
    CHECK(stand.answer().error == 0);
    REQUIRE(::kill(static_cast<pid_t>(first.pid), SIGKILL) == 0);
    REQUIRE(stand.until([&] { return stand.ask({"/bin/true"}).has_value(); }));
    CHECK(stand.answer().error == 0);
}

TEST_CASE("the commands of a life end with it, and nobody else's do") {
    NEEDS_ROOT();
    Stand stand;
    auto mine = stand.run({"/bin/sleep", "600"});
    REQUIRE(stand.ask({"/bin/sleep", "600"}, other));
    auto theirs = stand.answer();
    stand.runner->session_ended(web);
    REQUIRE(stand.until([&] { return !stand.heard.ended.empty(); }));
    CHECK(mine.pidfd_says() == "ended");
    CHECK(is_alive(static_cast<pid_t>(theirs.pid)));
}

TEST_CASE("T19: a runner that dies takes its commands along, and the next command gets a new one") {
    NEEDS_ROOT();
    Stand stand;
    auto lent = stand.run({"/bin/sleep", "600"});
    const pid_t first = stand.runner->pid();
    REQUIRE(stand.until([&] { return !stand.heard.begun.empty(); }));
    REQUIRE(::kill(first, SIGKILL) == 0);
    REQUIRE(stand.until([&] { return !stand.heard.ended.empty(); }));
    CHECK(lent.pidfd_says() == "ended");
    CHECK(stand.heard.ended.at(0).value == SIGKILL);
    auto next = stand.run({"/bin/echo", "again"});
    CHECK(next.read(0) == "again\n");
    CHECK(stand.runner->pid() != first);
}

TEST_CASE("T19: a runner that hangs is given up; who waits for it is told that it was told nothing") {
    NEEDS_ROOT();
    RunnerSettings settings;
    settings.begin_within = 5s;   // its end is told, not waited for
    Stand stand(settings);
    auto lent = stand.run({"/bin/true"});
    const pid_t first = stand.runner->pid();
    REQUIRE(stand.until([&] { return !stand.heard.begun.empty(); }));   // the worker may have heard of it before us
    REQUIRE(::kill(first, SIGSTOP) == 0);
    REQUIRE(stand.ask({"/bin/true"}));
    const Instant due = stand.runner->next_deadline();
    CHECK(due != Instant::never());
    stand.heard.begun.clear();
    stand.runner->run_due(due);
    REQUIRE(stand.heard.begun.size() == 1);
    CHECK(stand.heard.begun[0].error == EIO);
    CHECK_FALSE(stand.heard.begun[0].answered);
    CHECK(stand.run({"/bin/true"}).error == 0);
}

TEST_CASE("L2: a worker that does not read its replies loses its command, and delays nobody else's") {
    NEEDS_ROOT();
    Stand stand;
    const std::array<std::byte, 32 * 1024> noise{};
    while (stand.pair.ours.send(noise)) {}
    REQUIRE(stand.ask({"/bin/sleep", "600"}));
    auto deaf = std::move(stand.pair);
    stand.pair = *make_channel_pair();
    const Instant before = monotonic_now();
    REQUIRE(stand.ask({"/bin/true"}, other));
    CHECK(stand.answer().error == 0);
    CHECK(monotonic_now() - before < 700ms);
    REQUIRE(stand.until([&] { return stand.runner->running().empty(); }));
    const auto gave_up = std::ranges::find(stand.heard.begun, EAGAIN, &Heard::Begun::error);
    REQUIRE(gave_up != stand.heard.begun.end());
    CHECK_FALSE(is_alive(gave_up->pid));
}

TEST_CASE("a worker that is gone when its command begins takes the command with it") {
    NEEDS_ROOT();
    Stand stand;
    stand.pair.theirs.close();
    REQUIRE(stand.ask({"/bin/sleep", "600"}));
    REQUIRE(stand.until([&] { return stand.runner->running().empty(); }));
    CHECK(stand.heard.begun.at(0).error == EPIPE);
    CHECK_FALSE(is_alive(stand.heard.begun.at(0).pid));
}

TEST_CASE("T2: a hundred commands leave no descriptor behind, here or in the runner") {
    NEEDS_ROOT();
    const auto open_in = [](pid_t pid) {
        const std::filesystem::path table = "/proc/" + std::to_string(pid) + "/fd";
        return std::distance(std::filesystem::directory_iterator(table), std::filesystem::directory_iterator());
    };
    Stand stand;
    stand.command.in = true;
    (void)stand.run({"/bin/true"});
    REQUIRE(stand.until([&] { return stand.runner->running().empty(); }));
    const auto here = open_in(::getpid());
    const auto there = open_in(stand.runner->pid());
    for (int i = 0; i < 100; ++i) {
        (void)stand.run({i % 3 == 0 ? "/nowhere" : "/bin/true"});
        REQUIRE(stand.until([&] { return stand.runner->running().empty(); }));
    }
    CHECK(open_in(::getpid()) == here);
    CHECK(stand.until([&] { return open_in(stand.runner->pid()) == there; }));
}

TEST_CASE("when the parent is gone, the runner ends its commands and itself") {
    NEEDS_ROOT();
    Stand stand;
    auto lent = stand.run({"/bin/sleep", "600"});
    const auto pidfd = open_pidfd(stand.runner->pid());
    REQUIRE(pidfd);
    stand.runner->stop();
    CHECK(ended_within(pidfd->get(), 2'000));
    CHECK(lent.pidfd_says() == "ended");
}
