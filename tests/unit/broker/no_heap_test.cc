// Between receive and send there is no heap: a real broker answers a real worker while operator new is counted.
#include <cstdio>

#include "unit/broker/bench.h"
#include "unit/policy/counted_new.h"

using namespace warder;
using namespace warder::test;

namespace {

constexpr int warm_up = 100;
constexpr int answers = 1000;
constexpr int max_asks = 3000;

struct Count {
    int whole = 0;              // asks of which every request ended as it must
    int elsewhere = 0;          // asks that went to an opener: a mount on this machine in the middle of a lookup
    std::size_t allocations = 0;
};

bool as_expected(const Result<protocol::Outcomes>& outcomes, std::size_t fds) {
    if (!outcomes || outcomes->size() != 5 || fds != 2) return false;
    return outcomes->at(0).reason == Reason::ok && outcomes->at(1).reason == Reason::ok &&
           outcomes->at(2).reason == Reason::not_granted && !outcomes->at(2).text.empty() &&
           outcomes->at(3).reason == Reason::wrong_operation && outcomes->at(4).error == ENOENT;
}

void ask_once(Bench& bench, std::span<const protocol::Request> requests, Count& count) {
    const int before_asked = bench.openers.asked;
    const std::size_t before = allocations();
    const auto outcomes = bench.ask(requests);
    count.allocations += allocations() - before;
    if (bench.openers.asked != before_asked) {
        ++count.elsewhere;
    } else if (as_expected(outcomes, bench.fd_count)) {
        ++count.whole;
    }
    bench.audit.pop(bench.audit.size());
}

}  // namespace

int main() {
    const Folder folder("/var/tmp");   // /tmp may be a tmpfs, which does not keep in memory what is not there
    folder.write("a-file-with-a-name-too-long-for-a-small-string.html", "hello");
    Bench bench;
    const std::string socket = "unix:@warder-no-heap-" + std::to_string(::getpid());
    const auto troubles = bench.admit({tree_grant("the-site-that-is-served", folder.path, {Operation::read}),
                                       listener_grant("the-socket-that-is-listened-on", socket)});
    if (!troubles.empty() || !bench.begin() || !bench.greet()) return std::puts("no session"), 1;

    // What is not there is known without waiting only when somebody has looked before: an opener, in life.
    if (::access(folder.at("absent.html").c_str(), F_OK) == 0) return 1;
    const std::string file = folder.at("a-file-with-a-name-too-long-for-a-small-string.html");
    const protocol::Request requests[] = {
        request_for(Operation::read, {}, file),
        request_for(Operation::listen, "the-socket-that-is-listened-on"),
        request_for(Operation::read, {}, "/etc/a/path/that/no/grant/covers"),
        request_for(Operation::write, "the-site-that-is-served", "index.html"),
        request_for(Operation::read, "the-site-that-is-served", "absent.html"),
    };
    Count warm;
    for (int i = 0; i < warm_up; ++i) ask_once(bench, requests, warm);
    Count count;
    int asks = 0;
    for (; count.whole < answers && asks < max_asks; ++asks) ask_once(bench, requests, count);
    std::printf("%d asks, %d answered here, %d elsewhere, %zu allocations\n", asks, count.whole, count.elsewhere,
                count.allocations);
    if (allocations() < 10) return std::puts("operator new is not counted"), 1;
    return count.allocations == 0 && count.whole == answers && count.whole + count.elsewhere == asks ? 0 : 1;
}
