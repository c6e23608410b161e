// A real opener, alone: jobs go in by its socket, answers come out of a worker's, reports lie on its board.
#include "opener/process.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <csignal>
#include <memory>
#include <vector>

#include "opener/job.h"
#include "protocol/codec.h"
#include "sys/channel.h"
#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::opener;
using warder::test::Stand;

namespace {

constexpr int patience_ms = 20'000;

struct Opener {
    Stand stand;
    ChannelPair ours = make_channel_pair().value();     // with the opener
    ChannelPair worker = make_channel_pair().value();   // the worker's, whose end it answers on
    Board board = Board::create().value();
    pid_t pid = -1;
    std::unique_ptr<std::array<std::byte, max_job>> buffer = std::make_unique<std::array<std::byte, max_job>>();
    std::array<Fd, protocol::max_requests> fds;
    std::size_t fd_count = 0;
    Identity identity = warder::test::nobody;
    broker::MemoryLeft memory{64 << 20, {}};

    explicit Opener(rlim_t descriptors = 4096) {
        pid = ::fork();
        if (pid == 0) {
            const rlimit limit{descriptors, descriptors};
            ::setrlimit(RLIMIT_NOFILE, &limit);
            ::umask(077);
            ::alarm(60);
            run(ours.theirs.take(), board);
        }
        ours.theirs.close();
        const timeval patience{patience_ms / 1000, 0};
        for (const int fd : {ours.ours.get(), worker.theirs.get()}) {
            ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        }
    }
    ~Opener() {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }

    void give(std::uint64_t id, std::span<const broker::JobItem> items) {
        const broker::Job job{WorkerId{3}, 1, RequestId{static_cast<std::uint32_t>(id)}, &identity, worker.ours.get(), items};
        JobFds along;
        auto bytes = encode(*buffer, id, job, along);
        REQUIRE(bytes);
        if (makes_memory(*bytes)) bytes = append_memory(*buffer, *bytes, memory);
        REQUIRE(bytes);
        board.open(id);
        board.await(id);   // so that a word says when it is over
        REQUIRE(ours.ours.send_waiting(*bytes, std::span(along.numbers).first(along.count)));
    }

    // What the worker reads next; its texts live until the next.
    protocol::Outcomes hear() {
        for (auto& fd : fds) fd.reset();
        const auto taken = worker.theirs.receive_with_fds(*buffer, fds, 0);
        REQUIRE(taken);
        fd_count = taken->fd_count;
        const auto message = protocol::decode(taken->received.bytes);
        REQUIRE(message);
        const auto outcomes = protocol::decode_answer(*message);
        REQUIRE(outcomes);
        return *outcomes;
    }

    std::vector<broker::JobResult> report() {
        std::array<Fd, 4> none;
        std::array<std::byte, 32 * 1024> bytes;
        const auto taken = ours.ours.receive_with_fds(bytes, none, 0);
        REQUIRE(taken);
        std::vector<broker::JobResult> results(protocol::max_requests);
        const auto view = decode_results(board.take(bytes), results);
        REQUIRE(view);
        results.resize(view->count);
        return results;
    }

    broker::JobItem item(Operation operation, std::string_view name, policy::As as = policy::As::root) const {
        broker::JobItem made;
        made.task = stand.task(operation, name);
        made.task.as = as;
        made.grant_name = "site";
        made.shown = name;
        return made;
    }
};

broker::JobItem denied(std::string_view sentence) {
    broker::JobItem item;
    item.settled = true;
    item.outcome.reason = Reason::not_granted;
    item.outcome.error = EACCES;
    item.outcome.text = sentence;
    return item;
}

}  // namespace

TEST_CASE("what an operation found travels in the answer, and the report says only how it ended") {
    NEEDS_ROOT();
    Opener opener;
    REQUIRE(::symlink("to/there", opener.stand.at("link").c_str()) == 0);
    opener.stand.write("file", "text");
    const broker::JobItem items[] = {opener.item(Operation::readlink, "link"), opener.item(Operation::stat, "file"),
                                     opener.item(Operation::list, ""), opener.item(Operation::rmdir, "absent")};
    opener.give(1, items);
    const auto outcomes = opener.hear();
    REQUIRE(outcomes.size() == 4);
    CHECK(outcomes.at(0).text == "to/there");
    CHECK(outcomes.at(1).text.size() == sizeof(protocol::wire::Stat));
    CHECK(outcomes.at(2).fds == 1);
    CHECK(outcomes.at(2).value > 0);
    CHECK(outcomes.at(3).error == ENOENT);
    CHECK(outcomes.at(3).text ==
          "grant \"site\" allows removing the directory absent, but: No such file or directory (ENOENT)");
    CHECK(opener.fd_count == 1);
    const auto results = opener.report();
    REQUIRE(results.size() == 4);
    CHECK(results[0].reason == Reason::ok);
    CHECK(results[3].error == ENOENT);
}

TEST_CASE("what is made has the mode that was asked for, whatever umask warderd was started with") {
    NEEDS_ROOT();
    Opener opener;
    auto directory = opener.item(Operation::mkdir, "directory");
    directory.task.mode = 0777;
    opener.give(1, {{directory}});
    CHECK(opener.hear().at(0).error == 0);
    CHECK(opener.stand.about("directory").st_mode == (S_IFDIR | 0777));
}

TEST_CASE("253 stats and 253 lists fit into one answer each") {
    NEEDS_ROOT();
    Opener opener;
    opener.stand.write("file", "text");
    for (const auto operation : {Operation::stat, Operation::list}) {
        const std::vector<broker::JobItem> items(253, opener.item(operation, operation == Operation::stat ? "file" : ""));
        opener.give(1, items);
        const auto outcomes = opener.hear();
        REQUIRE(outcomes.size() == 253);
        std::size_t whole = 0;
        for (std::size_t i = 0; i < 253; ++i) {
            const auto one = outcomes.at(i);
            whole += operation == Operation::stat ? one.text.size() == sizeof(protocol::wire::Stat) : one.fds == 1;
        }
        CHECK(whole == 253);
        CHECK(opener.fd_count == (operation == Operation::list ? 253 : 0));
        CHECK(opener.report().size() == 253);
    }
}

TEST_CASE("more data than an answer holds is EMSGSIZE for what came last, and the answer arrives") {
    NEEDS_ROOT();
    Opener opener;
    REQUIRE(::symlink(std::string(4000, 'x').c_str(), opener.stand.at("link").c_str()) == 0);
    std::vector<broker::JobItem> items(253, opener.item(Operation::readlink, "link"));
    opener.give(1, items);
    auto outcomes = opener.hear();
    REQUIRE(outcomes.size() == 253);
    CHECK(outcomes.at(0).text.size() == 4000);
    CHECK(outcomes.at(252).error == EMSGSIZE);
    std::size_t whole = 0;
    for (std::size_t i = 0; i < 253; ++i) whole += outcomes.at(i).error == 0 && outcomes.at(i).text.size() == 4000;
    CHECK(whole == 12);
    opener.report();
    // What the parent has said already is part of the same answer.
    const std::string sentence(470, 's');
    for (std::size_t i = 0; i < 90; ++i) items[i] = denied(sentence);
    opener.give(2, items);
    outcomes = opener.hear();
    REQUIRE(outcomes.size() == 253);
    CHECK(outcomes.at(0).text == sentence);
    CHECK(outcomes.at(89).text == sentence);
    CHECK(outcomes.at(90).text.size() == 4000);
    CHECK(outcomes.at(252).error == EMSGSIZE);
}

TEST_CASE("T3: when no more descriptors may be in flight the worker is told, and what was done without them stands") {
    NEEDS_ROOT();
    Opener opener(110);
    opener.stand.write("file", "text");
    std::vector<broker::JobItem> items(80, opener.item(Operation::read, "file", policy::As::worker));
    for (std::uint32_t id = 1; id <= 2; ++id) {
        opener.give(id, items);
        CHECK(opener.report().back().reason == Reason::ok);
    }
    items.insert(items.begin(), opener.item(Operation::stat, "file", policy::As::worker));
    opener.give(3, items);   // 160 lie unread: more than one user's processes may have under this limit
    opener.report();
    CHECK(opener.hear().at(0).fds == 1);
    CHECK(opener.hear().at(0).fds == 1);
    const auto outcomes = opener.hear();
    REQUIRE(outcomes.size() == 81);
    CHECK(outcomes.at(0).text.size() == sizeof(protocol::wire::Stat));
    CHECK(outcomes.at(1).error == ETOOMANYREFS);
    CHECK(outcomes.at(1).fds == 0);
    CHECK_FALSE(outcomes.at(1).text.empty());
    CHECK(opener.fd_count == 0);
    opener.give(4, items);
    CHECK(opener.hear().at(1).fds == 1);
}

TEST_CASE("T43: what a worker holds of lists takes from what is made for it, and what it let go of does not") {
    NEEDS_ROOT();
    Opener opener;
    for (int i = 0; i < 200; ++i) opener.stand.write("file" + std::to_string(i), "");
    opener.memory.bytes = 5 * 4096;   // two lists of one page and what the kernel needs for each
    const std::vector<broker::JobItem> items(3, opener.item(Operation::list, ""));
    opener.give(1, items);
    auto outcomes = opener.hear();
    REQUIRE(opener.fd_count == 2);
    CHECK(outcomes.at(2).reason == Reason::too_many);
    auto results = opener.report();
    std::vector<broker::MadeMemory> made;
    for (const auto& one : results) {
        if (one.memory > 0) made.push_back({one.inode, one.generation, one.memory});
    }
    REQUIRE(made.size() == 2);
    // A mapping holds it as a descriptor does.
    void* mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, opener.fds[0].get(), 0);
    REQUIRE(mapped != MAP_FAILED);
    for (auto& fd : opener.fds) fd.reset();
    opener.memory.to_look_at = made;
    opener.give(2, items);
    outcomes = opener.hear();
    CHECK(opener.fd_count == 1);
    CHECK(outcomes.at(1).reason == Reason::too_many);
    opener.report();
    for (auto& fd : opener.fds) fd.reset();
    ::munmap(mapped, 4096);
    opener.give(3, items);
    opener.hear();
    CHECK(opener.fd_count == 2);
}
